"""Spelling: sentences as characters and back, on both op sets; what has no number is refused."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo.codecs._spelling import Spelling, characters, placeholder
from kerazoo.codecs.text import Vocabulary
from kerazoo.errors import InputError, UsageError
from kerazoo.ops import numpy as ops
from kerazoo.ops import tensorflow as graph_ops
from tests.tasks.stubs import text

FRENCH = ["Ça alors !", "Où ?", "A\u202f!"]
SOURCE, TARGET = Spelling(characters(["Go.", "I see"]), 6), Spelling(characters(FRENCH, written=True), 14)


def test_the_vocabulary_is_the_characters_and_nothing_more() -> None:
    assert SOURCE.words == (" ", ".", "G", "I", "e", "o", "s")
    assert TARGET.words[:4] == ("<U+0009>", "<U+000A>", " ", "!") and "<U+202F>" in TARGET.words
    assert Vocabulary.loads(TARGET.words.dumps()) == TARGET.words
    assert len(placeholder(20)) == 20 and len(placeholder(24, written=True)) == 24


def test_what_is_written_ends_and_what_is_read_does_not() -> None:
    assert SOURCE.prepare(ops, text("Go.")).tolist() == [[2, 5, 1, 0, 0, 0]]
    row = TARGET.prepare(ops, text("Où ?"))[0]
    assert [TARGET.pieces[number] for number in row] == ["O", "ù", " ", "?", "\n", *" " * 9]


SENTENCES = st.text(st.sampled_from(sorted(set("".join(FRENCH)))), min_size=1, max_size=13)


@settings(max_examples=30)
@given(st.lists(SENTENCES, min_size=1, max_size=3))
def test_both_op_sets_read_alike_and_nothing_is_lost(sentences: list[str]) -> None:
    host = TARGET.prepare(ops, text(*sentences))
    graph = TARGET.prepare(graph_ops, tf.constant([sentence.encode() for sentence in sentences]))
    np.testing.assert_array_equal(graph.numpy(), host)
    assert [line.decode() for line in TARGET.decode(ops, host)] == sentences
    np.testing.assert_array_equal(TARGET.decode(graph_ops, graph).numpy(), TARGET.decode(ops, host))


@pytest.mark.parametrize(
    ("sentence", "match"),
    [
        ("", "empty"),
        ("I see I", "more than 6 characters"),
        ("so\tI", r"none of ' \.GIeos'"),
        ("Go!", r"none of ' \.GIeos'"),
        ("go", "none of"),
        ("\ud83d\ude00", "none of"),
        ("I\0", "none of"),
    ],
)
def test_what_has_no_number_is_refused(sentence: str, match: str) -> None:
    data = sentence.encode("utf-8", "replace")
    with pytest.raises(InputError, match=match):
        SOURCE.prepare(ops, text("Go.", data))
    with pytest.raises(tf.errors.InvalidArgumentError, match=match):
        SOURCE.prepare(graph_ops, tf.constant([b"Go.", data]))


def test_the_marks_are_no_part_of_a_sentence() -> None:
    for mark in "\t\n":
        with pytest.raises(InputError, match="none of"):
            TARGET.prepare(ops, text(f"a{mark}s"))
    with pytest.raises(InputError, match="more than 13"):
        TARGET.prepare(ops, text("s" * 14))


@pytest.mark.parametrize("lines", [("a", "b"), (" ", "a", "a"), (" ", "<U+0009>", "a"), (" ", "ab"), (" ", "<U+D800>")])
def test_a_vocabulary_must_be_one(lines: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        Spelling(Vocabulary(lines), 5)
