"""Byte strings and Unicode."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def strings(values: Sequence[Any]) -> Any:
    return tf.stack([tf.convert_to_tensor(value, tf.string) for value in values])


def code_points(text: Any) -> Any:
    return tf.strings.unicode_decode(text, "UTF-8", errors="replace")


def join(strings: Any) -> Any:
    return tf.strings.reduce_join(strings, axis=-1)


def word_pieces(text: Any, codec: Any) -> Any:
    letters, folding, pieces, doubled = codec.tables()
    codes, space, alone = _letters(code_points(text), letters, folding, codec.marks)
    size = tf.size(codes)
    # A word begins behind a space, at a letter that stands alone, and behind one.
    true = tf.ones(1, tf.bool)
    begins = ~space & (alone | tf.concat([true, (space | alone)[:-1]], 0))
    word = tf.maximum(tf.cumsum(tf.cast(begins, tf.int32)) - 1, 0)
    long = tf.math.unsorted_segment_sum(tf.cast(~space, tf.int32), word, size)
    here = tf.range(size)
    first = tf.math.unsorted_segment_sum(tf.where(begins, here, 0), word, size)
    end = tf.gather(first + long, word)
    taken, number = _longest(codes, begins, end, pieces)
    # From where each piece may begin to where the next one does; what begins pieces is reached by ever longer jumps.
    jump = tf.concat([tf.where((taken > 0) & (here + taken < end), here + taken, size), [size]], 0)
    reached = tf.concat([tf.cast(begins, tf.int32), [0]], 0)
    for _ in range(doubled):
        reached = tf.maximum(reached, tf.math.unsorted_segment_max(reached, jump, size + 1))
        jump = tf.gather(jump, jump)
    cut = (reached[:-1] > 0) & ~space
    lost = tf.cast((cut & (taken == 0)) | (tf.gather(long, word) > codec.longest), tf.int32)
    unknown = tf.gather(tf.math.unsorted_segment_sum(lost, word, size), word) > 0
    number = tf.where(unknown, codec.numbers["[UNK]"], number)
    return tf.boolean_mask(number, cut & (~unknown | begins))


def _letters(codes: Any, letters: Any, folding: Any, marks: Sequence[str]) -> tuple[Any, Any, Any]:
    """Letters as they are looked up, a space last; which are spaces, and which are words by themselves."""
    within = tf.zeros_like(codes, tf.bool)
    for index, mark in enumerate(marks):
        # A mark becomes one letter, and loses the others.
        size, wide = tf.size(codes), tf.concat([codes, tf.zeros(len(mark), tf.int32)], 0)
        hit = tf.reduce_all([wide[step : step + size] == ord(letter) for step, letter in enumerate(mark)], 0)
        shifted = tf.concat([tf.zeros(len(mark), tf.bool), hit], 0)
        within |= tf.reduce_any([shifted[len(mark) - step :][:size] for step in range(1, len(mark))], 0)
        codes = tf.where(hit, sys.maxunicode + 1 + index, codes)
    run = tf.searchsorted(letters.first, codes, "right") - 1
    codes = tf.boolean_mask(codes, ~within & (tf.gather(letters.kind, run) != 0))
    codes = tf.concat([codes, [ord(" ")]], 0)
    run = tf.searchsorted(letters.first, codes, "right") - 1
    kind = tf.gather(letters.kind, run)
    if folding is not None:
        codes, kind = _folded(tf.where(_final(codes, run, letters), ord("ς"), codes), kind, letters, folding)
    run = tf.searchsorted(letters.first, codes, "right") - 1
    return codes, kind == 1, (kind == 2) | tf.gather(letters.sign, run)


def _final(codes: Any, run: Any, letters: Any) -> Any:
    """Where a capital sigma ends a word: the next letter that counts before it is cased, that behind it is not."""
    cased, counts = tf.gather(letters.cased, run), ~tf.gather(letters.ignorable, run)
    of = tf.concat([[False], tf.boolean_mask(cased, counts), [False]], 0)
    many = tf.cumsum(tf.cast(counts, tf.int32))
    before = tf.gather(of, many - tf.cast(counts, tf.int32))
    return (codes == ord("Σ")) & before & ~tf.gather(of, many + 1)


def _folded(codes: Any, kind: Any, letters: Any, folding: Any) -> tuple[Any, Any]:
    """Small letters, taken apart, put in canonical order, without accents; and the kind of what each came from."""
    at = tf.minimum(tf.searchsorted(folding.code, codes), len(folding.code) - 1)
    hit = tf.gather(folding.code, at) == codes
    times = tf.where(hit, tf.gather(folding.length, at), 1)
    came = tf.repeat(tf.range(tf.size(codes)), times)
    step = tf.range(tf.size(came)) - tf.gather(tf.cumsum(times, exclusive=True), came)
    hit, at = tf.gather(hit, came), tf.gather(at, came)
    apart = tf.gather(folding.letters, tf.where(hit, tf.gather(folding.begin, at) + step, 0))
    codes, kind = tf.where(hit, apart, tf.gather(codes, came)), tf.gather(kind, came)
    run = tf.searchsorted(letters.first, codes, "right") - 1
    order = tf.gather(letters.order, run)
    # Behind each letter of class 0 the others by their class, equal ones as they come.
    key = tf.cumsum(tf.cast(order == 0, tf.int32)) * 256 + order
    sorted_ = tf.argsort(key, stable=True)
    kept = tf.boolean_mask(sorted_, ~tf.gather(tf.gather(letters.nonspacing, run), sorted_))
    return tf.gather(codes, kept), tf.gather(kind, kept)


def _longest(codes: Any, begins: Any, end: Any, pieces: Any) -> tuple[Any, Any]:
    """For each place how many letters the longest piece has that begins there, 0 where none does, and its number."""
    size = tf.size(codes)
    here, wide = tf.range(size), tf.concat([tf.cast(codes, tf.int64) + 1, tf.zeros(pieces.longest, tf.int64)], 0)
    hashed = tf.where(begins, tf.constant(0, tf.int64), pieces.salt)
    taken, number = tf.zeros_like(codes), tf.zeros_like(codes)
    for letters in range(1, pieces.longest + 1):
        hashed += wide[letters - 1 : letters - 1 + size] * pieces.powers[letters - 1]
        at = tf.minimum(tf.searchsorted(pieces.hashes, hashed), len(pieces.hashes) - 1)
        hit = (tf.gather(pieces.hashes, at) == hashed) & (here + letters <= end)
        taken = tf.where(hit, letters, taken)
        number = tf.where(hit, tf.gather(pieces.numbers, at), number)
    return taken, number
