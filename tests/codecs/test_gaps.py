"""What BERT is taught by: two stretches of lines, and gaps in the shares of the paper that are never marks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo.codecs._gaps import FOLLOWS, MASKED, OTHER, SHARE, Lines, gaps, marks
from kerazoo.codecs._wordpiece import END, MASK, PAD, START, WordPiece, placeholder
from kerazoo.errors import UsageError

CODEC = WordPiece(placeholder(70), 32, longest=10, marks=(MASK,))
MARKS, HIDDEN = set(marks(CODEC).tolist()), CODEC.numbers[MASK]
TEXT = "".join(f"{a} {b} {a}{b}\n" for a in "abcdefgh" for b in "ijklmnopq")


@settings(max_examples=60)
@given(st.lists(st.integers(1, 69), min_size=1, max_size=40), st.integers(0, 2**32))
def test_gaps_are_never_marks_and_all_else_stays(pieces: list[int], seed: int) -> None:
    tokens = np.array(pieces, np.int32)
    asked, places = gaps(tokens, CODEC, np.random.default_rng(seed))
    ours = [place for place, piece in enumerate(pieces) if piece not in MARKS]
    assert len(places) == min(len(ours), max(1, round(SHARE * len(pieces))))
    assert set(places.tolist()) <= set(ours) and np.all(np.diff(places) > 0)
    rest = np.delete(np.arange(len(pieces)), places)
    assert np.array_equal(asked[rest], tokens[rest])
    assert not (set(asked[places].tolist()) & (MARKS - {HIDDEN}))
    again, same = gaps(tokens, CODEC, np.random.default_rng(seed))
    assert np.array_equal(again, asked) and np.array_equal(same, places)


def test_the_shares_are_those_of_the_paper() -> None:
    rng, tokens = np.random.default_rng(0), np.full(1_000, 20, np.int32)
    drawn = np.concatenate([asked[places] for asked, places in (gaps(tokens, CODEC, rng) for _ in range(200))])
    # Of 30,000 gaps a share of p is known to three standard deviations of at most .007.
    assert len(drawn) == 200 * 150
    assert np.mean(drawn == HIDDEN) == pytest.approx(MASKED, abs=0.007)
    # One in 65 other pieces is the one that stood there.
    assert np.mean(drawn == 20) == pytest.approx(1 - MASKED - OTHER + OTHER / 65, abs=0.006)
    others, counts = np.unique(drawn[(drawn != HIDDEN) & (drawn != 20)], return_counts=True)
    assert len(others) == 64 and counts.max() < 2 * counts.min()


def test_a_row_is_two_stretches_of_which_half_follow() -> None:
    lines = Lines.of(CODEC, TEXT, 32)
    assert sum(end - begin for begin, end in lines.rows) >= len(lines.lines) - 1
    assert all(first[1] == then[0] for first, then in zip(lines.rows, lines.rows[1:], strict=False))
    follows, sizes = [], []
    for seed in range(40):
        for number, (begin, end) in enumerate(lines.rows):
            first, second, does = lines.pair(number, np.random.default_rng((seed, number)))
            follows.append(does)
            sizes.append(len(first) + len(second))
            text = np.concatenate(lines.lines[begin:])[:29]
            assert 0 < len(first) < sum(map(len, lines.lines[begin:end]))
            assert np.array_equal(first, text[: len(first)])
            assert np.array_equal(np.concatenate([first, second]), text) == does
    assert np.mean(follows) == pytest.approx(FOLLOWS, abs=0.05)
    # A row is full, or else its second stretch is the text's end: its length does not tell which it is.
    full, does = np.array(sizes) == 29, np.array(follows)
    assert full[does].mean() > 0.9 and full[~does].mean() > 0.9


def test_a_batch_says_what_stood_in_the_gaps() -> None:
    lines = Lines.of(CODEC, TEXT, 32)
    rows = np.arange(len(lines))
    batch = lines.batch(rows, np.random.default_rng(3))
    start, end, pad = (CODEC.numbers[mark] for mark in (START, END, PAD))
    assert batch.tokens.shape == (len(lines), 32) and batch.places.shape[1] == round(SHARE * 32)
    assert np.all(batch.tokens[:, 0] == start) and np.all((batch.tokens == end).sum(1) == 2)
    counted = batch.counted > 0
    assert np.all(np.take_along_axis(batch.tokens, batch.places, 1)[counted] != pad)
    assert not set(batch.pieces[counted].tolist()) & MARKS and np.all(batch.places[~counted] == 0)
    assert 0 < batch.elsewhere.mean() < 1
    again = lines.batch(rows, np.random.default_rng(3))
    assert all(np.array_equal(one, other) for one, other in zip(batch, again, strict=True))
    assert not np.array_equal(lines.batch(rows, np.random.default_rng(4)).tokens, batch.tokens)


def test_long_lines_are_cut_and_short_texts_are_refused() -> None:
    lines = Lines.of(CODEC, "a b c d e f g h i j k l m n o p", 11)
    assert [line.tolist() for line in lines.lines] == [[*range(first, first + 4)] for first in (5, 9, 13, 17)]
    assert lines.fingerprint != Lines.of(CODEC, "a b c d e f g h i j k l m n o q", 11).fingerprint
    with pytest.raises(UsageError, match="not two lines"):
        Lines.of(CODEC, "a b c\n\n", 32)
    with pytest.raises(UsageError, match="no room for two texts"):
        Lines.of(CODEC, TEXT, 4)
