"""Subwords: a text in pieces as `tokenizers` cuts it, on both op sets, and put together again."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo.codecs._subwords import Subwords, codec, marked
from kerazoo.codecs.text import END, SPECIAL, Text, Vocabulary, placeholder
from kerazoo.errors import InputError, UsageError
from kerazoo.ops import numpy as ops
from kerazoo.ops import tensorflow as graph_ops
from kerazoo.train.data import subwords
from tests.tasks.stubs import text

SENTENCES = (
    "the low lower lowest tower", "a newer, wider river -- l'homme", "banana bananas aaa aaaa aaaaa", "wow! wow?",
    "ein Mann fährt auf dem Fahrrad", "Männer fahren auf Fahrrädern.", "T-shirt_und x y z",
)  # fmt: skip
WORDS = subwords.learnt(SENTENCES * 3, 120, lower=False)


def pieces(codec_, numbers):
    return [[codec_.pieces[number] for number in row[: row.tolist().index(END)]] for row in numbers]


def test_pieces_are_those_of_tokenizers():
    codec_ = Subwords(WORDS, 64, lower=False)
    theirs = subwords.tokenizer(WORDS)
    for sentence in (*SENTENCES, "lowlow towers aaaaaaa bananabanana Mannfahrrad", "日本 low\u2581er"):
        expected = theirs.encode(" ".join(marked(sentence, lower=False))).tokens
        assert codec_.tokens(sentence) == expected
        assert pieces(codec_, codec_.prepare(ops, text(sentence)))[0] == expected
    assert any(len(piece) > 3 for piece in codec_.pieces), "nothing was merged"


LETTERS = st.text(st.sampled_from("aabnlowerst ÄäMF.,-'!_ \u2581日\u0301"), min_size=1, max_size=24)


@settings(max_examples=30, deadline=None)
@given(st.lists(LETTERS.map(lambda line: f"a {line}"), min_size=1, max_size=3), st.booleans())
def test_both_op_sets_and_the_quick_way_read_alike(sentences, lower):
    codec_ = Subwords(WORDS, 64, lower)
    host = codec_.prepare(ops, text(*[sentence.encode() for sentence in sentences]))
    graph, again = traced(lower)(tf.constant([sentence.encode() for sentence in sentences]))
    np.testing.assert_array_equal(graph.numpy(), host)
    assert pieces(codec_, host) == [codec_.tokens(sentence) for sentence in sentences]
    np.testing.assert_array_equal(again.numpy(), codec_.decode(ops, host))


@functools.cache
def traced(lower):
    """In a graph: to numbers and back."""
    codec_ = Subwords(WORDS, 64, lower)

    def both(sentences):
        numbers = codec_.prepare(graph_ops, sentences)
        return numbers, codec_.decode(graph_ops, numbers)

    return tf.function(both, input_signature=[tf.TensorSpec([None], tf.string)])


def test_pieces_put_together_are_the_text():
    codec_ = Subwords(WORDS, 64, lower=False)
    numbers = codec_.prepare(ops, text(*SENTENCES))
    assert [line.decode() for line in codec_.decode(ops, numbers)] == list(SENTENCES)
    small = codec(WORDS, 64)
    assert small.decode(ops, small.prepare(ops, text("Ein  MANN\u00a0fährt")))[0].decode() == "ein mann fährt"


@pytest.mark.parametrize("sentence", ["", " \n\u200b", "x y " * 9, "a" * 100_000])
def test_nothing_and_too_much_are_refused_not_cut(sentence):
    codec_ = Subwords(WORDS, 9)
    with pytest.raises(InputError, match="empty|more than 8 pieces"):
        codec_.prepare(ops, text("a b", sentence))
    with pytest.raises(tf.errors.InvalidArgumentError, match="empty|more than 8 pieces"):
        codec_.prepare(graph_ops, tf.constant([b"a b", sentence.encode()]))


def test_a_vocabulary_says_what_it_is():
    assert isinstance(codec(placeholder(9), 5), Text)
    assert isinstance(codec(Vocabulary.loads(WORDS.dumps()), 5), Subwords)
    with pytest.raises(UsageError, match="as a letter"):
        Subwords(placeholder(9), 5)
    with pytest.raises(UsageError, match="merges 'b c' before"):
        Subwords(Vocabulary((*SPECIAL, "\u2581", "a", "b", "a b", "b c")), 5)


def test_a_merge_that_makes_what_is_there_makes_no_new_piece():
    words = Vocabulary((*SPECIAL, "\u2581", "a", "b", "c", "a b", "b c", "ab c", "a bc"))
    codec_ = Subwords(words, 9)
    assert codec_.pieces[-3:] == ("ab", "bc", "abc") and len(codec_.pieces) == 11
