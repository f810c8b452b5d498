"""Word vectors from the word2vec program's file to answers: vectors, neighbours, analogies, figures."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from PIL import Image

import kerazoo
from kerazoo import evaluation, loading, registry, words
from kerazoo.applications import Word2Vec, word2vec
from kerazoo.assets import Assets
from kerazoo.cli import cli
from kerazoo.codecs._word import Word
from kerazoo.codecs.text import Vocabulary
from kerazoo.errors import InputError, UsageError
from kerazoo.metrics import embed
from kerazoo.metrics.report import Asked
from kerazoo.ops import numpy as ops
from kerazoo.ops import tensorflow as graph_ops
from kerazoo.predictor import Predictor
from kerazoo.sources import texts
from tests.applications.common import DATA_ENV, needs_data
from tests.tasks.stubs import text
from tests.weights.test_word2vec import written

NAMES = ("king", "man", "queen", "woman", "été", "Rome")
VECTORS = np.array([[3, 1, 0], [1, 1, 0], [3, 0, 1], [1, 0, 1], [0, 5, 0], [0, 0, 2]], np.float32)


@pytest.fixture
def predictor():
    task = word2vec.tasks(word2vec.Config("w", 6, 3), Assets(vocabulary=Vocabulary(NAMES)))["embed"]
    network = Looked(VECTORS)
    return Predictor("w", task, "keras", lambda request: task.answer(network, request), network=network)


class Looked:
    ops = ops

    def __init__(self, vectors):
        self.vectors = vectors

    def __call__(self, inputs):
        return {"embedding": self.vectors[inputs["word"]]}

    def part(self, name):
        return self


def test_a_word_becomes_its_vector(predictor):
    assert predictor("Queen").vector.tolist() == [3, 0, 1]
    with pytest.raises(InputError, match="does not have this word"):
        predictor("queens")
    for nothing in ("", "king man", "a" * 100_000):
        with pytest.raises(InputError, match="does not have this word"):
            predictor(nothing)


def test_a_graph_knows_the_same_words():
    for lower in (True, False):
        codec = Word(Vocabulary(NAMES), lower)
        known = ["king", "été", "woman"]
        asked = text(*known)
        assert codec.prepare(ops, asked).tolist() == [NAMES.index(word) for word in known]
        assert codec.prepare(graph_ops, tf.constant(asked.tolist())).numpy().tolist() == [0, 4, 3]
    assert Word(Vocabulary(NAMES), False).prepare(ops, text("Rome")).tolist() == [5]
    with pytest.raises(tf.errors.InvalidArgumentError, match="does not have this word"):
        codec.prepare(graph_ops, tf.constant(["rome"]))
    with pytest.raises(UsageError, match="equal"):
        Word(Vocabulary(["a", "a"])).prepare(ops, text("a"))


def test_neighbours_and_analogies(predictor):
    table = words.table(predictor)
    assert [word for word, _ in table.similar("king", 2)] == ["queen", "man"]
    assert table.similar("king", 1)[0][1] == pytest.approx(9 / 10)
    man, king, woman, queen = (VECTORS[NAMES.index(name)] for name in ("man", "king", "woman", "queen"))
    wanted = king / np.sqrt(10) - man / np.sqrt(2) + woman / np.sqrt(2)
    cosine = wanted @ queen / np.linalg.norm(wanted) / np.sqrt(10)
    assert table.analogy("man", "King", "woman", 1) == [("queen", pytest.approx(cosine))]
    assert len(table.similar("king", 99)) == 5 and len(table.analogy("man", "king", "woman", 99)) == 3
    with pytest.raises(UsageError, match="'kind' is none of the 6 words.*king"):
        table.similar("kind")


def test_only_single_words_have_neighbours(predictor):
    from dataclasses import replace

    with pytest.raises(UsageError, match="answers one word after the other"):
        words.table(replace(predictor, network=None))


QUESTIONS = """: family
man king woman queen
king man queen woman
man king woman prince
: gram1-plural
MAN KING WOMAN Woman
"""


def test_questions_are_counted_as_the_program_does(predictor, tmp_path):
    path = tmp_path / "questions.txt"
    path.write_text(QUESTIONS)
    said = []
    report = embed.measure(predictor, Asked((path,), say=said.append))
    assert report.figures == {"analogies": pytest.approx(200 / 3), "semantic": 100.0, "syntactic": 0.0}
    assert report.count == 3 and said == ["1 of 4 questions have a word that is not known and are left out."]
    path.write_text(": family\na b c\n")
    with pytest.raises(UsageError, match="line 2: an analogy has four words; this has 3"):
        embed.measure(predictor, Asked((path,)))
    path.write_text(": family\na b c d\n")
    with pytest.raises(InputError, match="every question"):
        embed.measure(predictor, Asked((path,)))


def test_the_score_may_stand_behind_the_words(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("# a test\n# Word 1\tWord 2\tmean\nking\tqueen\t8.5\nman\tété\t1\n")
    assert [(row.item, row.truth) for row in texts.alike(path)] == [(("king", "queen"), 8.5), (("man", "été"), 1.0)]
    path.write_text("8.5\tking\tqueen\n")
    assert [(row.item, row.truth) for row in texts.alike(path)] == [(("king", "queen"), 8.5)]


def test_a_file_brings_its_words_with_it(tmp_path):
    rows = [(f"word{index}", [index, 1.0]) for index in range(30)]
    path = written(tmp_path / "mine.bin", rows)
    model = Word2Vec(str(path), words=30, units=2)
    np.testing.assert_array_equal(model(np.array([7, 3])), [[7, 1], [3, 1]])
    with pytest.raises(UsageError, match="does not fit"):
        Word2Vec(str(path), words=30, units=3)
    found = registry.find(f"glove_50:{path}")
    with pytest.raises(UsageError, match="30 words; glove_50 has 20000"):
        registry.tasks_of(found)


def test_from_the_command_line(monkeypatch, predictor):
    monkeypatch.setattr(loading, "load", lambda *_, **__: predictor)
    run = CliRunner().invoke
    told = run(cli, ["similar", "king", "--top", "1"])
    assert told.exit_code == 0 and told.stdout == " 0.9000  queen\n"
    told = run(cli, ["analogy", "man", "king", "woman", "--top", "1", "--json"])
    assert json.loads(told.stdout)["top"][0]["label"] == "queen"
    assert isinstance(run(cli, ["similar", "nobody"]).exception, UsageError)


def test_a_map_of_words_and_their_neighbours(monkeypatch, predictor, tmp_path):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(loading, "load", lambda *_, **__: predictor)
    path = tmp_path / "map.png"
    told = CliRunner().invoke(cli, ["similar", "king", "été", "--top", "1", "-o", str(path)])
    assert told.exit_code == 0 and told.stdout.splitlines()[::2] == ["king:", "été:"]
    with Image.open(path) as picture:
        assert picture.size == (900, 700)
    told = CliRunner().invoke(cli, ["similar", "king", "-o", str(tmp_path / "map.jpg")])
    assert isinstance(told.exception, UsageError) and "is a .png" in str(told.exception)
    assert not (tmp_path / "map.jpg").exists()


def test_a_map_shows_where_words_differ_most():
    rng = np.random.default_rng(0)
    turned, _ = np.linalg.qr(rng.normal(0, 1, (7, 7)))
    corners = np.array([[9, 0], [-9, 0], [0, 2], [0, -2], [8, 1], [-8, 1], [8, -1], [-8, -1]])
    at = words.plane(corners @ turned[:2] + 5)
    np.testing.assert_allclose(np.abs(at), np.abs(corners), atol=1e-12)
    assert (at[np.abs(at).argmax(0), [0, 1]] > 0).all()


@needs_data
@pytest.mark.slow
def test_real_vectors_say_what_an_independent_reading_says(tmp_path, monkeypatch):
    data = Path(os.environ[DATA_ENV])
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path))
    monkeypatch.setenv("KERAZOO_MIRROR", str(data / "weights"))
    with tarfile.open(data / "word_tests.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    model = kerazoo.load("glove_50:6b", "keras")
    figures = evaluation.evaluate(model, tmp_path / "questions-words.txt")
    assert figures.count == 12_042
    assert figures.figures == {
        "analogies": pytest.approx(52.05, abs=0.01),
        "semantic": pytest.approx(51.25, abs=0.01),
        "syntactic": pytest.approx(52.51, abs=0.01),
    }
    for name, count, spearman in (("wordsim353.tsv", 319, 0.5222), ("simlex999.txt", 923, 0.2713)):
        report = evaluation.evaluate(model, tmp_path / name, batch=64)
        assert (report.count, round(report.figures["Spearman"], 4)) == (count, spearman)
