from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerazoo import cli, registry
from kerazoo.applications import CharSeq2Seq, char_seq2seq
from kerazoo.assets import Assets
from kerazoo.codecs._spelling import placeholder
from kerazoo.engines import keras as keras_engine
from kerazoo.errors import UsageError
from kerazoo.evaluation import evaluate
from kerazoo.loading import load
from kerazoo.registry import Built
from kerazoo.train import fit
from kerazoo.train.jobs import spell
from tests.applications.common import in_float64, lstm, numbers_of

SMALL = char_seq2seq.VARIANTS["char_seq2seq"].small
WORDS = {
    "source": placeholder(SMALL.source_characters),
    "target": placeholder(SMALL.target_characters, written=True),
}
SOURCE, BEFORE = np.array([5, 9, 7, 0, 0, 0]), np.array([0, 12, 8, 20, 1, 2, 2, 2])


def params(source: int, target: int, units: int = 256) -> int:
    return sum(4 * units * (each + units + 1) for each in (source, target)) + (units + 1) * target


def test_count_by_arithmetic() -> None:
    assert char_seq2seq.VARIANTS["char_seq2seq"].params == params(71, 93) == 718_173
    # The file of 2019 has a character less.
    assert params(70, 93) == 717_149
    assert CharSeq2Seq(source_characters=9, target_characters=8, target_length=2, units=5).count_params() == params(
        9, 8, 5
    )


def by_hand(w: Any, source: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Keras' example for one sentence, spaces included: logits of each step."""
    h = c = np.zeros(SMALL.units)
    for number in source:
        h, c = lstm(w, "encoder_lstm/lstm_cell", np.eye(SMALL.source_characters)[number], h, c)
    logits = []
    for number in before:
        h, c = lstm(w, "decoder_lstm", np.eye(SMALL.target_characters)[number], h, c)
        logits.append(h @ w["characters/kernel"] + w["characters/bias"])
    return np.array(logits)


def test_says_what_the_example_says() -> None:
    with in_float64():
        model = char_seq2seq.build(SMALL)
    logits = by_hand(numbers_of(model), SOURCE, BEFORE)
    np.testing.assert_allclose(np.asarray(model([SOURCE[None], BEFORE[None]]))[0], logits, rtol=0, atol=1e-6)
    # Step by step, as the task has it; in the network's own precision.
    single = char_seq2seq.build(SMALL)
    single.set_weights(model.get_weights())
    several = char_seq2seq.tasks(SMALL, Assets(vocabulary=WORDS))
    step, state = several["translate"].begun(keras_engine.network(Built("x", single, several)), SOURCE[None])
    for number, expected in zip(BEFORE, logits, strict=True):
        said, state = step(np.full(1, number, np.int32), state)
        np.testing.assert_allclose(said[0], expected, rtol=0, atol=1e-5)


def test_it_writes_characters_up_to_a_line_break() -> None:
    model = char_seq2seq.build(SMALL)
    several = char_seq2seq.tasks(SMALL, Assets(vocabulary=WORDS))
    task = several["translate"]
    network = keras_engine.network(Built("char_seq2seq", model, several))
    numbers_of(model)
    # A tab would be likeliest of all, and is never written; a line break ends a sentence, and space is a character.
    bias = model.get_layer("decoder").get_layer("characters").bias
    ask = {"text": np.array([b"abc", b"b"], object)}
    bias.assign(np.eye(SMALL.target_characters)[task.written().start] * 1e3 + np.eye(SMALL.target_characters)[2] * 500)
    for search in ("greedy", "beam"):
        said = replace(task, search=search, width=3, length_penalty=0.0).answer(network, ask)
        assert said["translation"].tolist() == [b" " * SMALL.target_length] * 2
    bias.assign(np.eye(SMALL.target_characters)[task.written().end] * 1e3)
    assert task.answer(network, ask)["translation"].tolist() == [b"", b""]


PAIRS = [("go.", "va !"), ("run!", "cours\u202f!"), ("go on.", "marche."), ("wait", "attends")]


def test_pairs_that_do_not_fit_are_left_out_and_named() -> None:
    config = spell.sized(SMALL, PAIRS)
    assert (config.source_length, config.target_length) == (6, 9)
    task: Any = char_seq2seq.tasks(config, Assets(vocabulary=spell.alphabets(PAIRS)))["translate"]
    said: list[str] = []
    others = [("stop", "halte"), ("too long", "va"), ("go.", "attendez"), ("", "va"), ("go", "")]
    learnt, left = spell.read([*PAIRS, *others], task, say=said.append)
    assert (len(learnt), left) == (4, 5)
    for number, why in enumerate(("none of", "more than 6", "8 characters; 7 fit", "empty", "empty"), 5):
        assert f"pair {number}" in said[number - 5] and why in said[number - 5]
    source, before, target = learnt.arrays
    assert before[:, 0].tolist() == [task.written().start] * 4 and np.array_equal(before[:, 1:], target[:, :-1])
    with pytest.raises(UsageError, match="no sentences"):
        spell.sized(SMALL, [])


@pytest.mark.slow
def test_from_a_file_of_pairs_to_a_model_that_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    family, described = registry.variants()["char_seq2seq"]
    small = replace(described, config=replace(described.config, units=48))
    monkeypatch.setitem(registry.variants(), "char_seq2seq", (family, small))
    rows = "".join(f"{english}\t{french}\n" for english, french in PAIRS)
    (tmp_path / "pairs.tsv").write_text(rows * 8, encoding="utf-8")
    changes = ["--set=rate=0.03", "--set=batch=16", "--epochs=30", "--seed=1", f"--validation={tmp_path / 'pairs.tsv'}"]
    arguments = ["train", "char_seq2seq", "--data", str(tmp_path / "pairs.tsv"), "-o", str(tmp_path / "out"), *changes]
    assert cli.run(arguments) == 0
    predictor = load(str(tmp_path / "out" / "model.keras"), "keras")
    assert [predictor(english).text for english, _ in PAIRS] == [french for _, french in PAIRS]
    report = evaluate(predictor, tmp_path / "pairs.tsv")
    assert report.figures["exact"] == report.figures["accuracy"] == 100
    (tmp_path / "more.tsv").write_text("go.\tva !\ngo.\tÀ vous\nrun\tva\n", encoding="utf-8")
    said: list[str] = []
    report = evaluate(predictor, tmp_path / "more.tsv", say=said.append)
    assert (report.count, report.figures["exact"]) == (3, pytest.approx(100 / 3))
    assert report.details["words"] == len("va !\n" + "va\n") and "1 translations have words" in said[-1]
    with pytest.raises(UsageError, match="words=9"):
        fit.job("char_seq2seq", tmp_path / "pairs.tsv", settings={"words": 9})


def test_vocabulary() -> None:
    with pytest.raises(UsageError, match="no vocabulary, so it can read and write no character"):
        char_seq2seq.tasks(SMALL, Assets())
    with pytest.raises(UsageError, match="target vocabulary has 20 characters; char_seq2seq has 24"):
        char_seq2seq.tasks(SMALL, Assets(vocabulary={**WORDS, "target": WORDS["source"]}))


@pytest.mark.parametrize("wrong", [{"units": 0}, {"source_length": 1.5}, {"weights": "imagenet"}])
def test_what_does_not_fit_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        CharSeq2Seq(**wrong)
