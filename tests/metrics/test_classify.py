"""Classifiers: the figures against their definitions, sentences, and the parts of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerazoo.codecs.text import SPECIAL, Text, Vocabulary
from kerazoo.errors import InputError, UsageError
from kerazoo.evaluation import evaluate
from kerazoo.metrics import classify
from kerazoo.metrics._ranking import average_precision, precision_recall
from kerazoo.tasks.classify import Classify
from tests.metrics.stubs import folder, png, predictor, tar
from tests.test_evaluation import PREDICTOR
from tests.test_predictor import COLOURS, picture

LABELS = st.lists(st.integers(0, 3), min_size=1, max_size=30)


@given(LABELS, st.randoms())
def test_every_sample_is_in_the_matrix_once(truths: list[int], random: Any) -> None:
    guesses = [random.randrange(4) for _ in truths]
    matrix = classify.confusion(truths, guesses, 4)
    assert matrix.sum() == len(truths)
    for row in range(4):
        for column in range(4):
            assert matrix[row, column] == sum((t, g) == (row, column) for t, g in zip(truths, guesses, strict=True))
    of = classify.per_class(matrix)
    for row in range(4):
        right, there, said = matrix[row, row], truths.count(row), guesses.count(row)
        assert of["count"][row] == there
        assert np.isnan(of["recall"][row]) if not there else of["recall"][row] == pytest.approx(100 * right / there)
        assert np.isnan(of["precision"][row]) if not said else of["precision"][row] == pytest.approx(100 * right / said)
        if right:
            precision, recall = of["precision"][row], of["recall"][row]
            assert of["F1"][row] == pytest.approx(2 * precision * recall / (precision + recall))


def test_top_five() -> None:
    ranked = [(0, 1, 2, 3, 4), (0, 1, 2, 3, 4)]
    assert (classify.top([4, 0], ranked, 5), classify.top([4, 0], ranked, 4)) == (100, 50)


def test_calibration_by_hand() -> None:
    # Two bins of two are used: 0.75 sure and right half the time; 0.95 sure and always right.
    found = classify.calibration([0.7, 0.8, 0.95, 0.95], [True, False, True, True], bins=5)
    assert found.counts.tolist() == [0, 0, 0, 2, 2]
    assert found.error == pytest.approx(100 * (2 * 0.25 + 2 * 0.05) / 4)
    assert np.isnan(found.accuracy[0])
    # The upper end of a bin belongs to it.
    assert classify.calibration([0.2, 1.0], [True, True], bins=5).counts.tolist() == [1, 0, 0, 0, 1]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=12))
def test_precision_and_recall_at_every_threshold(rows: list[tuple[bool, int]]) -> None:
    right, scores = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], float)
    precision, recall = precision_recall(right, scores)
    thresholds = sorted(set(scores.tolist()), reverse=True)
    assert len(precision) == len(thresholds)
    for place, threshold in enumerate(thresholds):
        chosen = scores >= threshold
        assert precision[place] == pytest.approx(np.mean(right[chosen]))
        if right.any():
            assert recall[place] == pytest.approx(np.sum(right[chosen]) / np.sum(right))
    assert np.isnan(average_precision(precision, recall)) == (not right.any())


def test_the_area_by_hand() -> None:
    precision, recall = precision_recall(np.array([True, False, True]), np.array([3.0, 2.0, 1.0]))
    assert average_precision(precision, recall) == pytest.approx(0.5 + 0.5 * 2 / 3)


def sentences() -> Any:
    words = Vocabulary((*SPECIAL, "good", "bad"))

    def network(inputs: Any) -> Any:
        tokens = inputs["tokens"]
        return {"logits": np.stack([(tokens == 5).sum(1), (tokens == 4).sum(1)], 1).astype(np.float32)}

    return predictor(Classify(Text(words, 6), ("negative", "positive")), network=network)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.tsv", "1\tgood good\n0\tbad\npositive\tbad\nnegative\tbad bad\n"),
        ("x.csv", 'text,label\n"good good",1\nbad,0\nbad,positive\n"bad bad",negative\n'),
    ],
)
def test_sentences(tmp_path: Path, name: str, text: str) -> None:
    report = evaluate(sentences(), folder(tmp_path, {name: text}) / name)
    assert (report.figures["top-1"], report.count, report.what) == (75.0, 4, "texts")
    assert report.confusion is not None and report.confusion.tolist() == [[2, 0], [1, 1]]


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("x.tsv", "2\tgood\n", "line 1 holds the class 2; the model has 2"),
        ("x.tsv", "0\tgood\npositiv\tbad\n", "line 2: 'positiv' is no class.*Did you mean positive"),
        ("x.tsv", "0\tgood\n1\n", "line 2: must hold label and text"),
        ("x.tsv", "\n\n", "holds no rows"),
        ("x.tsv", b"\xff\xfe\x00", "no text in UTF-8"),
        ("x.tsv.gz", b"no gzip", "no text in UTF-8"),
        ("x.txt", "good", "line 1: must hold label and text"),
    ],
)
def test_sentences_that_do_not_fit(tmp_path: Path, name: str, text: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        evaluate(sentences(), folder(tmp_path, {name: text}) / name)


def test_a_sentence_that_is_too_long_is_left_out(tmp_path: Path) -> None:
    said: list[str] = []
    data = folder(tmp_path, {"x.tsv": "1\tgood\n1\tgood good good good good good\n"}) / "x.tsv"
    report = evaluate(sentences(), data, say=said.append)
    assert report.count == 1 and "line 2: The text has more than 5 words" in said[0]
    with pytest.raises(InputError, match="line 2"):
        evaluate(sentences(), data, strict=True)


def coloured() -> dict[str, bytes]:
    return {f"{name}/{number}.png": png(np.asarray(picture(name))) for name in COLOURS for number in range(2)}


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_what_is_held_out_is_measured(tmp_path: Path, form: str) -> None:
    wrong = {name.replace("red", "blue"): data for name, data in coloured().items()}
    files = {f"data/train/{name}": data for name, data in wrong.items()}
    files |= {f"data/val/{name}": data for name, data in coloured().items()}
    data = folder(tmp_path / "x", files) if form == "folder" else tar(tmp_path / "x.tar", files)
    said: list[str] = []
    report = evaluate(PREDICTOR, data, say=said.append)
    assert (report.figures["top-1"], report.count) == (100, 6)
    assert "val is measured on; train is left out" in said[0]
    assert evaluate(PREDICTOR, data, only="train/*").count == 4
    with pytest.raises(UsageError, match="none of .* files matches"):
        evaluate(PREDICTOR, data, only="*.gif")


def test_a_table_of_paths(tmp_path: Path) -> None:
    files: dict[str, Any] = coloured()
    files["x.csv"] = "path,label\nred/0.png,red\ngreen/1.png,1\nblue/1.png,red\ngone.png,blue\n"
    said: list[str] = []
    report = evaluate(PREDICTOR, folder(tmp_path, files) / "x.csv", say=said.append)
    assert report.count == 3 and report.figures["top-1"] == pytest.approx(200 / 3)
    assert said == [f"left out gone.png: No such file: {tmp_path / 'gone.png'}",
                    "1 of 4 pictures could not be read and are left out."]  # fmt: skip


def test_one_damaged_picture_among_many_is_named_and_counted(tmp_path: Path) -> None:
    files = coloured() | {f"red/bad{number}.png": b"\x89PNG no more" for number in range(9)}
    said: list[str] = []
    report = evaluate(PREDICTOR, folder(tmp_path, files), say=said.append)
    assert (report.figures["top-1"], report.count, len(report.failed)) == (100, 6, 9)
    assert sum("red/bad" in line for line in said) == 5
    assert said[-1] == "9 of 15 pictures could not be read and are left out."
    with pytest.raises(InputError, match="red/bad0.png"):
        evaluate(PREDICTOR, tmp_path, strict=True)


def test_an_archive_that_ends_too_soon(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", coloured())
    path.write_bytes(path.read_bytes()[:1600])
    with pytest.raises((UsageError, InputError), match=r"x\.tar"):
        evaluate(PREDICTOR, path)
