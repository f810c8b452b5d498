"""`kerazoo train` on plain text and on texts with their classes: from a file to a model that answers."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerazoo import assets, cli, own, registry
from kerazoo.applications import bert
from kerazoo.assets import Assets
from kerazoo.codecs._wordpiece import placeholder
from kerazoo.errors import InputError, UsageError
from kerazoo.sources import texts
from kerazoo.train import fit
from kerazoo.train.data.stream import Stream
from kerazoo.train.jobs.write import divided

RHYME = "one, two,\nbuckle my shoe;\n"
QUICK = {"batch": 8, "length": 16, "rate": 5e-3}


def run(*arguments: str, capsys: Any) -> str:
    assert cli.run([str(each) for each in arguments]) == 0
    return str(capsys.readouterr().out)


@pytest.mark.slow
def test_a_text_is_learnt_and_goes_on(tmp_path: Path, capsys: Any) -> None:
    source, out = tmp_path / "rhyme.txt", tmp_path / "out"
    source.write_text(RHYME * 60, encoding="utf-8")
    sets = [f"--set={key}={value}" for key, value in QUICK.items()]
    run("train", "char_gru", "--data", source, "-o", out, "--epochs=15", *sets, capsys=capsys)
    model = out / "model.keras"
    told = json.loads(run("evaluate", model, source, "--only=90%-100%", "--engine=keras", "--json", capsys=capsys))
    assert told["nats a character"] < 0.2
    assert told["count"] == len(RHYME) * 6
    asked = ("predict", "-m", model, "--engine=keras", "one, two,", "--length=10", "--top-k=1")
    assert run(*asked, capsys=capsys) == "\nbuckle my\n"
    again = [run(*asked[:-1], f"--seed={seed}", capsys=capsys) for seed in (1, 1)]
    assert again[0] == again[1]
    assert own.find(model).card().training["vocabulary"] == len(set(RHYME)) + 1  # type: ignore[union-attr]


@pytest.mark.slow
def test_learning_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    """The states that are carried are part of what is kept: within an epoch, too."""
    from kerazoo.train import state as state_
    from kerazoo.train.run import batches

    source = tmp_path / "rhyme.txt"
    source.write_text(RHYME * 20, encoding="utf-8")
    recipe = fit.job("char_lstm", source, settings=QUICK).recipe
    whole = state_.begin(recipe)
    for number, batch in enumerate(batches(recipe, 0)):
        if number == 2:
            state_.save(whole, recipe, tmp_path / "state.npz")
        whole, figures = recipe.step(whole, batch)
        whole.index += 1
    again = state_.load(recipe, tmp_path / "state.npz")
    assert set(again.arrays) == {"h_1", "c_1", "h_2", "c_2"}
    for batch in batches(recipe, 0, again.index):
        again, same = recipe.step(again, batch)
        again.index += 1
    assert same == pytest.approx(figures, abs=1e-6)


@pytest.mark.slow
def test_a_model_that_knows_its_characters_keeps_them(tmp_path: Path) -> None:
    first, other = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_text(RHYME * 20, encoding="utf-8")
    other.write_text("ONE, two!\n" * 60, encoding="utf-8")
    trained = fit.train("char_gru", first, tmp_path / "one", epochs=1, settings=QUICK)
    said: list[str] = []
    made = fit.job(trained.path, other, settings=QUICK, say=said.append)
    assert made.notes["vocabulary"] == len(set(RHYME)) + 1
    assert made.notes["unknown"] == 4 * 54
    assert any("are not known to" in line for line in said)


# --- gaps ---------------------------------------------------------------------------------------------------------

ALPHABET = "".join(f"{a} {b} {a}\n" for a in "abcdefgh" for b in "ijklmnop")
SMALL = replace(bert.VARIANTS["bert_tiny"].small, units=32)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A BERT of few and small layers, whose vocabulary is at hand."""
    family, described = registry.variants()["bert_tiny"]
    monkeypatch.setitem(registry.variants(), "bert_tiny", (family, replace(described, config=SMALL)))
    words = Assets(vocabulary=placeholder(SMALL.vocabulary, SMALL.separator))
    monkeypatch.setattr(assets, "of", lambda entry: words)


@pytest.mark.slow
def test_words_for_gaps_are_learnt_and_measured(tmp_path: Path, small: None, capsys: Any) -> None:
    source, out = tmp_path / "alphabet.txt", tmp_path / "out"
    source.write_text(ALPHABET * 8, encoding="utf-8")
    sets = ("--set=length=28", "--set=rate=5e-3", "--epochs=8", "--seed=1")
    run("train", "bert_tiny", "--data", source, "-o", out, *sets, capsys=capsys)
    model = out / "model.keras"
    card = own.find(model).card()  # type: ignore[union-attr]
    # Of 70 pieces, whose logarithm it begins with, 16 are ever there.
    assert card.metrics["val_masked"] < 3.2 < np.log(70) - 1
    asked = ("evaluate", model, source, "--only=90%-100%", "--engine=keras", "--json")
    told = json.loads(run(*asked, capsys=capsys))
    assert told["nats a piece"] < 3.2 and told["perplexity"] == pytest.approx(np.exp(told["nats a piece"]), rel=1e-3)
    assert told == {**json.loads(run(*asked, capsys=capsys)), "seconds": told["seconds"]}
    found = json.loads(run("predict", "-m", model, "--engine=keras", "a [MASK] a", "--json", capsys=capsys))
    assert found["top"][0]["label"] in "abcdefghijklmnop"
    # Longer texts than were learnt from are refused, and it goes on from what it knows.
    assert own.find(model).build().task.input.length == 28  # type: ignore[attr-defined]
    made = fit.job(model, source)
    network = made.finish(made.recipe.model())  # type: ignore[misc]
    for mine, theirs in zip(network.weights, own.find(model).build().keras.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs, err_msg=mine.path)


def test_what_is_asked_at_places_is_what_the_whole_says(tmp_path: Path, small: None) -> None:
    source = tmp_path / "alphabet.txt"
    source.write_text(ALPHABET, encoding="utf-8")
    made = fit.job("bert_tiny", source, settings={"length": 16})
    model = made.recipe.model()
    batch = made.recipe.data.batch(np.arange(3), np.random.default_rng(0))
    told = {name: np.asarray(value) for name, value in model([batch[0], batch[1]]).items()}
    whole = {name: np.asarray(value) for name, value in made.finish(model)(batch[0]).items()}  # type: ignore[misc]
    there = np.take_along_axis(whole["words"], batch[1][:, :, None], 1)
    np.testing.assert_allclose(told["words"], there, atol=1e-6)
    np.testing.assert_allclose(told["following"], whole["following"], atol=1e-6)


def test_what_cannot_be_learnt_from_is_refused(tmp_path: Path, small: None) -> None:
    (tmp_path / "line.txt").write_text("a b c", encoding="utf-8")
    with pytest.raises(UsageError, match="not two lines"):
        fit.job("bert_tiny", tmp_path / "line.txt", validation=0)
    with pytest.raises(UsageError, match="augment=mirror"):
        fit.job("bert_tiny", tmp_path / "line.txt", settings={"augment": "mirror"})


# --- the source ---------------------------------------------------------------------------------------------------


def test_text_comes_from_a_file_or_a_folder(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_bytes(b"second\r\nline\rend")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress("\ufefferst".encode()))
    (tmp_path / "c.dat").write_bytes(b"\xff")
    assert texts.plain(tmp_path / "b.txt") == "second\nline\nend"
    assert texts.plain(tmp_path) == "erst\nsecond\nline\nend"
    assert texts.plain(tmp_path, "b.*") == "second\nline\nend"
    assert texts.plain(tmp_path / "b.txt", "0%-50%") + texts.plain(tmp_path / "b.txt", "50%-100%") == texts.plain(
        tmp_path / "b.txt"
    )


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is empty"),
        (b" \n\r\n ", "is empty"),
        ("für".encode("latin-1"), "no text in UTF-8"),
        ("a\n".encode("utf-16"), "no text in UTF-8"),
        ("a\n".encode("utf-16-le"), "holds NUL"),
        (b"a\0b", "holds NUL"),
        (b"\xed\xa0\x80", "no text in UTF-8"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    source = tmp_path / "a.txt"
    source.write_bytes(data)
    with pytest.raises(UsageError, match=why):
        texts.plain(source)


def test_what_holds_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no text, which ends in \.txt"):
        texts.plain(tmp_path)
    source = tmp_path / "a.txt"
    source.write_text("abc")
    with pytest.raises(UsageError, match="names no stretch"):
        texts.plain(source, "*.txt")
    with pytest.raises(UsageError, match="empty in the stretch"):
        texts.plain(source, "100%-100%")
    with pytest.raises(UsageError, match="3 characters; there must be more than the 64"):
        fit.job("char_rnn", source, validation=0)
    with pytest.raises(UsageError, match="allowed are none"):
        fit.job("char_rnn", source, settings={"augment": "mirror"})


def test_the_end_is_held_out() -> None:
    assert divided("0123456789", 0.1) == ("012345678", "9")
    assert divided("0123456789", 0) == ("0123456789", "")


def test_a_batch_goes_on_with_the_one_before_it() -> None:
    stream = Stream(np.arange(100, dtype=np.int32), 4)
    rng = np.random.default_rng(0)
    order = stream.order(3, rng)
    assert sorted(order) == list(range(24))
    batches = [stream.batch(order[start : start + 3], rng) for start in range(0, 24, 3)]
    for (before, behind), (after, _) in zip(batches, batches[1:], strict=False):
        np.testing.assert_array_equal(behind[:, :-1], before[:, 1:])
        # But for the row that begins anew behind the text's end.
        assert np.sum(after[:, 0] == behind[:, -1]) >= 2


# --- texts with their classes ---------------------------------------------------------------------------------------

KIND, UNKIND = ("a fine, kind film", "I liked it a lot"), ("a dull and bad film", "I hated all of it")


def labelled(path: Path, times: int = 12) -> Path:
    rows = [(label, text) for label, both in (("good", KIND), ("bad", UNKIND)) for text in both] * times
    if path.suffix == ".csv":
        path.write_text("text,label\n" + "".join(f'"{text}",{label}\n' for label, text in rows))
    else:
        path.write_text("".join(f"{label}\t{text}\n" for label, text in rows))
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("model", "ending"), [("lstm_classifier", ".tsv"), ("bilstm_classifier", ".csv")])
def test_texts_are_told_apart(tmp_path: Path, capsys: Any, model: str, ending: str) -> None:
    source, out = labelled(tmp_path / f"films{ending}"), tmp_path / "out"
    sets = ["--set=length=10", "--set=batch=8", "--set=rate=0.02"]
    run("train", model, "--data", source, "-o", out, "--epochs=6", *sets, capsys=capsys)
    told = json.loads(run("evaluate", out / "model.keras", source, "--engine=keras", "--json", capsys=capsys))
    assert told["top-1"] == 100
    said = run("predict", "-m", out / "model.keras", "--engine=keras", "I liked it", "--json", capsys=capsys)
    assert json.loads(said)["top"][0]["label"] == "good"


def test_tables_that_cannot_be_learnt_from(tmp_path: Path) -> None:
    source = tmp_path / "films.tsv"
    source.write_text("good\ta film\ngood\tanother\n")
    with pytest.raises(UsageError, match="texts of one class"):
        fit.job("lstm_classifier", source)
    source.write_text("good\ta film\nbad\n")
    with pytest.raises(UsageError, match="line 2: must hold label and text"):
        fit.job("lstm_classifier", source)
    source.write_text("")
    with pytest.raises(UsageError, match="holds no rows"):
        fit.job("lstm_classifier", source)
    source.write_text("good\t" + "word " * 100 + "\nbad\tshort\n")
    with pytest.raises(InputError, match="100 words and signs; 63 fit"):
        fit.job("lstm_classifier", source, strict=True)
    with pytest.raises(UsageError, match="allowed are none"):
        fit.job("lstm_classifier", labelled(source), settings={"augment": "mirror"})


def test_words_and_classes_come_from_what_is_learnt(tmp_path: Path) -> None:
    said: list[str] = []
    source = labelled(tmp_path / "films.tsv")
    with source.open("a") as file:
        file.write("bad\t" + "long " * 70 + "\n")
    made = fit.job("lstm_classifier", source, settings={"length": 12, "words": 10}, say=said.append)
    assert made.tasks["classify"].labels == ("bad", "good")  # type: ignore[attr-defined]
    assert made.notes["left out"] == 1
    assert made.notes["words"] == 10
    assert said[0] == "left out text 49: 70 words and signs; 11 fit"
