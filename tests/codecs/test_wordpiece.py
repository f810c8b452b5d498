"""Texts become the pieces that BERT was trained on, the same on the host and in a graph."""

from __future__ import annotations

import functools
import json
import os
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo.codecs._wordpiece import WordPiece, placeholder
from kerazoo.codecs.text import Vocabulary
from kerazoo.errors import InputError, UsageError
from kerazoo.ops import numpy as ops
from kerazoo.ops import tensorflow as graph_ops
from tests.tasks.stubs import text

WORDS = Vocabulary(
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##want", "##ed", "runn", "##ing", ",", "want", "low", "##est",
     "日", "語", "'", "s", "ς", "σ", "##ς", "##σ", "e", "##e", "각", "ᄀ", "##ᅡ", "##ᆨ", "[", "]", "mask", "##", "#",
     "Un", "É", "##é", "é", "o", "##o"]
)  # fmt: skip
PLAIN = WordPiece(WORDS, length=16)


def pieces(sentence, codec=PLAIN):
    return [codec.words[number] for number in codec.pieces(sentence)]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("unwanted running", ["un", "##want", "##ed", "runn", "##ing"]),
        ("  UNwant\u00e9d,running", ["un", "##want", "##ed", ",", "runn", "##ing"]),
        ("unwantedX running", ["[UNK]", "runn", "##ing"]),
        ("low\u00adest lo\x00w\ufffdest", ["low", "##est", "low", "##est"]),
        ("日語low", ["日", "語", "low"]),
        ("low's#", ["low", "'", "s", "#"]),
        ("[MASK] ##ed", ["[", "mask", "]", "#", "#", "[UNK]"]),
        ("ΣΟΣ Σ", ["[UNK]", "σ"]),
        ("ΣΣ", ["σ", "##ς"]),
        ("각", ["ᄀ", "##ᅡ", "##ᆨ"]),
        ("low\u2028low\u3000low", ["low"] * 3),
        ("", []),
        ("\u200b\x7f", []),
    ],
)
def test_pieces(sentence, expected):
    assert pieces(sentence) == expected
    assert graph_ops.word_pieces(tf.constant(sentence.encode()), PLAIN).numpy().tolist() == PLAIN.pieces(sentence)


def test_case_and_accents_can_be_kept():
    assert pieces("Un É é", replace(PLAIN, lower=False)) == ["Un", "É", "é"]


def test_a_mark_is_read_where_it_is_written():
    codec = replace(PLAIN, marks=("[MASK]",))
    assert pieces("low[MASK][mask] [MASK]", codec) == ["low", "[MASK]", "[", "mask", "]", "[MASK]"]


def test_a_longer_word_is_not_cut():
    assert pieces("lowest " + "e" * 201) == ["low", "##est", "[UNK]"]
    assert pieces("e" * 200) == ["e"] + ["##e"] * 199
    assert pieces("lowest low", replace(PLAIN, longest=5)) == ["[UNK]", "low"]


@functools.cache
def traced(codec):
    return tf.function(lambda data: graph_ops.word_pieces(data, codec), input_signature=[tf.TensorSpec((), tf.string)])


READERS = (PLAIN, replace(PLAIN, lower=False, marks=("[MASK]", "low")))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([*WORDS, "##", "Σ", "Ας", "ΑΣ.", "İ", "\u0345", "\u302e\u0327\u0301", "각\u11a8", "豈"]),
            st.text(max_size=6),
            st.text("eEsΣ\u0301\u00ad' [MASK]日é", max_size=9),
        ),
        max_size=9,
    ).map("".join),
    st.sampled_from(READERS),
)
def test_a_graph_reads_what_the_host_reads(sentence, codec):
    data = sentence.encode("utf-8", "replace")
    assert traced(codec)(tf.constant(data)).numpy().tolist() == ops.word_pieces(data, codec).tolist()


def test_rows_are_as_long_as_the_longest():
    expected = [[2, 12, 3, 0, 0], [2, 5, 6, 7, 3]]
    assert PLAIN.prepare(ops, text("low", "unwanted")).tolist() == expected
    assert PLAIN.prepare(graph_ops, tf.constant(["low", "unwanted"])).numpy().tolist() == expected


def test_rows_can_have_one_length():
    padded = replace(PLAIN, padded=True)
    for read in (padded.prepare(ops, text("low")), padded.prepare(graph_ops, tf.constant(["low"])).numpy()):
        assert read.tolist() == [[2, 12, 3] + [0] * (PLAIN.length - 3)]
    assert padded.tensor.shape == (None, PLAIN.length)


def test_tokens_are_what_the_numbers_stand_for():
    read = [PLAIN.numbers[token] for token in PLAIN.tokens("unwanted low")]
    assert [*read, PLAIN.end] == PLAIN.prepare(ops, text("unwanted low"))[0].tolist()
    assert PLAIN.tokens(" ") == []


def test_what_is_too_long_is_refused_or_cut_as_the_card_says():
    long = text("low " * 15)
    for prepare in (lambda c: c.prepare(ops, long), lambda c: c.prepare(graph_ops, tf.constant(long.tolist()))):
        with pytest.raises((InputError, tf.errors.InvalidArgumentError), match="more than 14 pieces"):
            prepare(PLAIN)
        assert np.array(prepare(replace(PLAIN, cut=True))).tolist() == [[2, *[12] * 14, 3]]


@pytest.mark.parametrize("sentence", ["", " \n\u200b", "\x00"])
def test_nothing_is_refused(sentence):
    with pytest.raises(InputError, match="empty"):
        PLAIN.prepare(ops, text("low", sentence))
    with pytest.raises(tf.errors.InvalidArgumentError, match="empty"):
        PLAIN.prepare(graph_ops, tf.constant(["low", sentence]))


@pytest.mark.parametrize("letter", ["e", "e ", "日", "\u0301e", "\x00", "é'"])
def test_a_hundred_thousand_letters_take_no_time(letter):
    data = (letter * (100_000 // len(letter))).encode()
    start = time.process_time()
    host = ops.word_pieces(data, PLAIN)
    assert time.process_time() - start < 2
    np.testing.assert_array_equal(graph_ops.word_pieces(tf.constant(data), PLAIN), host)


def test_surrogates_are_refused_and_other_bytes_read_past():
    from kerazoo.codecs import text as text_

    with pytest.raises(InputError, match="UTF-8"):
        text_.read("low\ud800", PLAIN.port)
    assert ops.word_pieces(b"lo\xffw", PLAIN).tolist() == PLAIN.pieces("low")


def test_a_vocabulary_must_be_one():
    with pytest.raises(UsageError, match=r"begins with \[PAD\]"):
        WordPiece(Vocabulary(["a", "b"]))
    with pytest.raises(UsageError, match=r"lacks \[MASK\]"):
        WordPiece(Vocabulary(["[PAD]", "[UNK]", "[CLS]", "[SEP]"]), marks=("[MASK]",))
    with pytest.raises(UsageError, match="equal"):
        WordPiece(Vocabulary([*WORDS, "low"]))
    with pytest.raises(UsageError, match="no room"):
        WordPiece(WORDS, length=2)
    assert len(placeholder(20)) == 20 and len(WordPiece(placeholder(70)).words) == 70


@pytest.mark.slow
@pytest.mark.skipif("KERAZOO_TEST_DATA" not in os.environ, reason="KERAZOO_TEST_DATA names no folder of data")
def test_equal_to_the_tokens_of_the_published_code():
    with tarfile.open(Path(os.environ["KERAZOO_TEST_DATA"]) / "bert_text.tar.xz") as archive:
        words = Vocabulary.loads(archive.extractfile("bert_uncased_vocab.txt").read())
        cases = [json.loads(line) for line in archive.extractfile("wordpiece_cases.jsonl")]
    codec = WordPiece(words)
    assert len(cases) == 238
    for case in cases:
        assert codec.pieces(case["text"]) == case["ids"], case["text"]
        assert traced(codec)(tf.constant(case["text"].encode())).numpy().tolist() == case["ids"], case["text"]


def test_a_codec_is_shown_without_its_words():
    shown = repr(WordPiece(placeholder(60), 8))
    assert "60 words" in shown and "[CLS]" not in shown
