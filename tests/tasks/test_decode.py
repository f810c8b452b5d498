"""Decoding over automata that are small enough to be searched whole."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo.errors import UsageError
from kerazoo.ops import numpy as host
from kerazoo.ops import tensorflow as graph
from kerazoo.tasks._decode import Rules, beam, draw, greedy

END = 0


@dataclass(frozen=True)
class Automaton:
    """Probabilities of the next token, float32 [rows, words, words], by row and by the token before."""

    table: np.ndarray

    def state(self, ops: Any) -> dict[str, Any]:
        """The row, a count of steps and the sum of what was seen, of three types and two ranks."""
        rows = len(self.table)
        return {
            "row": ops.arange(rows),
            "steps": ops.full((rows, 2), 0, "int64"),
            "seen": ops.full((rows, 1), 0.0, "float32"),
        }

    def step(self, ops: Any):
        def step(token, state):
            rows, words, _ = self.table.shape
            flat = np.log(np.maximum(self.table, 1e-30)).reshape(rows * words, words).astype(np.float32)
            following = {
                "row": state["row"],
                "steps": state["steps"] + 1,
                "seen": state["seen"] + ops.cast(token, "float32")[:, None],
            }
            return ops.gather(flat, state["row"] * words + token), following

        return step


def both(decode, automaton: Automaton, rules: Rules, start: int, *arguments: Any, **options: Any):
    """What one way of decoding writes on NumPy, after holding a traced graph's answer to it."""
    first = np.full(len(automaton.table), start, np.int32)
    written = decode(host, automaton.step(host), automaton.state(host), first, rules, *arguments, **options)

    @tf.function(autograph=False)
    def traced(first, *arguments):
        said = decode(graph, automaton.step(graph), automaton.state(graph), first, rules, *arguments, **options)
        return said.tokens, said.total, said.count

    tokens, total, count = traced(tf.constant(first), *map(tf.constant, arguments))
    np.testing.assert_array_equal(tokens.numpy(), written.tokens)
    np.testing.assert_allclose(total.numpy(), written.total, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(count.numpy(), written.count)
    return written


def likelihood(table: np.ndarray, start: int, tokens: Any) -> float:
    """Log probability of a row's tokens up to its end."""
    total, before = 0.0, start
    for token in tokens:
        total += float(np.log(table[before, token]))
        before = token
        if token == END:
            break
    return total


def random_table(seed: int, rows: int, words: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(words) * 0.7, (rows, words)).astype(np.float32) + 1e-3


# Start 3: the likelier first token, 1, leads to an unlikely end; 2 to a certain one.
FORK = np.array([[[1, 0, 0, 0], [0.4, 0.3, 0.3, 0], [1, 0, 0, 0], [0, 0.6, 0.4, 0]]], np.float32)


def test_greedy_takes_the_likelier_step_and_a_beam_the_likelier_sentence():
    rules = Rules(4, END, 6)
    written = both(greedy, Automaton(FORK), rules, 3)
    assert written.tokens.tolist() == [[1, END, END, END, END, END]]
    np.testing.assert_allclose(written.total, np.log(0.24), rtol=1e-5)
    assert written.count.tolist() == [2]
    for penalty in (0.0, 0.6):
        written = both(beam, Automaton(FORK), rules, 3, width=2, length_penalty=penalty)
        assert written.tokens.tolist() == [[2, END, END, END, END, END]]
        np.testing.assert_allclose(written.total, np.log(0.4), rtol=1e-5)


def test_the_length_penalty_favours_the_long():
    # The end at once has 0.4; the long way has 0.6 * 0.6.
    table = np.array([[[1, 0, 0, 0], [0, 0, 1, 0], [0.6, 0.4, 0, 0], [0.4, 0.6, 0, 0]]], np.float32)
    for penalty, expected in ((0.0, [END] * 3), (2.0, [1, 2, END])):
        written = both(beam, Automaton(table), Rules(4, END, 3), 3, width=3, length_penalty=penalty)
        assert written.tokens.tolist() == [expected]


@settings(max_examples=8, derandomize=True)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(2, 5), st.integers(1, 4), st.sampled_from([0.0, 0.6, 1.5]))
def test_a_beam_as_wide_as_the_tree_finds_the_best_of_all(seed, rows, words, limit, penalty):
    table = random_table(seed, rows, words)
    table /= table.sum(-1, keepdims=True)
    written = both(
        beam, Automaton(table), Rules(words, END, limit), words - 1, width=words**limit, length_penalty=penalty
    )
    for row in range(rows):
        ranked = {}
        for length in range(1, limit + 1):
            for middle in itertools.product(range(1, words), repeat=length - 1):
                rank = likelihood(table[row], words - 1, (*middle, END)) / ((5 + length) / 6) ** penalty
                ranked[(*middle, END)] = rank
        best = max(ranked.values())
        found = tuple(written.tokens[row, : int(written.count[row])].tolist())
        assert ranked[found] == pytest.approx(best, abs=1e-4)
        assert written.total[row] == pytest.approx(likelihood(table[row], words - 1, found), abs=1e-4)


@settings(max_examples=8, derandomize=True)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(2, 6), st.integers(1, 7), st.floats(0, 2))
def test_a_beam_of_one_is_greedy(seed, rows, words, limit, penalty):
    automaton, rules = Automaton(random_table(seed, rows, words)), Rules(words, END, limit)
    one = both(beam, automaton, rules, 1, width=1, length_penalty=penalty)
    other = both(greedy, automaton, rules, 1)
    np.testing.assert_array_equal(one.tokens, other.tokens)
    np.testing.assert_array_equal(one.count, other.count)
    np.testing.assert_allclose(one.total, other.total, rtol=1e-5)


@settings(max_examples=8, derandomize=True)
@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(1, 5))
def test_a_row_does_not_depend_on_its_neighbours(seed, rows, width):
    table, rules = random_table(seed, rows, 5), Rules(5, END, 6)
    first, seeds = np.full(rows, 2, np.int32), np.arange(rows) + seed
    for decode, extra in ((greedy, []), (beam, [width]), (draw, [seeds])):
        together = decode(host, Automaton(table).step(host), Automaton(table).state(host), first, rules, *extra)
        for row in range(rows):
            lone = Automaton(table[row : row + 1])
            own = [each[row : row + 1] if isinstance(each, np.ndarray) else each for each in extra]
            alone = decode(host, lone.step(host), lone.state(host), first[:1], rules, *own)
            np.testing.assert_array_equal(alone.tokens[0], together.tokens[row])
            np.testing.assert_allclose(alone.total[0], together.total[row], rtol=1e-5)


def test_rows_end_at_different_times_and_at_the_limit():
    # Row 0 ends at once, row 1 after two tokens, row 2 never.
    table = np.zeros((3, 4, 4), np.float32)
    table[0, :, END] = 1
    table[1, 3, 1] = table[1, 1, 2] = table[1, 2, END] = 1
    table[2, :, 1] = 1
    table += 1e-6
    for decode, options in ((greedy, {}), (beam, {"width": 2})):
        written = both(decode, Automaton(table), Rules(4, END, 5), 3, **options)
        assert written.tokens[:2].tolist() == [[END] * 5, [1, 2, END, END, END]]
        assert written.count[:2].tolist() == [1, 3]
    assert both(greedy, Automaton(table), Rules(4, END, 5), 3).tokens[2].tolist() == [1] * 5


def test_what_was_cut_off_counts_only_where_nothing_ended():
    endless = np.array([[[0, 0, 0], [0, 0.7, 0.3], [0, 0.5, 0.5]]], np.float32)
    written = both(beam, Automaton(endless), Rules(3, END, 3), 2, width=2)
    assert written.count.tolist() == [3]
    assert END not in written.tokens[0]
    rare = endless + np.array([0.02, 0, 0], np.float32)
    written = both(beam, Automaton(rare), Rules(3, END, 3), 2, width=4)
    assert END in written.tokens[0].tolist()


def test_forbidden_tokens_are_not_written():
    table = np.array([[[1, 0, 0, 0], [0.1, 0.1, 0.7, 0.1], [1, 0, 0, 0], [0.05, 0.05, 0.8, 0.1]]], np.float32)
    rules = Rules(4, END, 4, never=(2, 3))
    for decode, extra, options in (
        (greedy, (), {}),
        (beam, (), {"width": 3}),
        (draw, (np.array([5], np.int64),), {"temperature": 3.0}),
    ):
        written = both(decode, Automaton(table), rules, 3, *extra, **options)
        assert not {2, 3} & set(written.tokens.ravel().tolist())
        assert np.isfinite(written.total).all()


def test_nothing_that_can_be_written_ends_the_search():
    table = np.array([[[0.5, 0.5], [0.5, 0.5]]], np.float32)
    written = both(beam, Automaton(table), Rules(2, END, 3, never=(1,)), 1, width=4)
    assert written.tokens.tolist() == [[END] * 3]
    np.testing.assert_allclose(written.total, np.log(0.5), rtol=1e-5)


def test_draws_follow_the_probabilities_and_their_seed():
    rows = 4000
    table = np.tile(np.array([[0.5, 0.3, 0.15, 0.05]], np.float32), (rows, 4, 1))
    seeds = np.arange(rows, dtype=np.int64)
    written = both(draw, Automaton(table), Rules(4, END, 1), 1, seeds)
    share = np.bincount(written.tokens[:, 0], minlength=4) / rows
    np.testing.assert_allclose(share, [0.5, 0.3, 0.15, 0.05], atol=0.03)
    again = both(draw, Automaton(table), Rules(4, END, 1), 1, seeds)
    np.testing.assert_array_equal(again.tokens, written.tokens)
    cold = both(draw, Automaton(table), Rules(4, END, 1), 1, seeds, temperature=0.5)
    squared = np.array([0.5, 0.3, 0.15, 0.05]) ** 2
    share = np.bincount(cold.tokens[:, 0], minlength=4) / rows
    np.testing.assert_allclose(share, squared / squared.sum(), atol=0.03)
    few = both(draw, Automaton(table), Rules(4, END, 1), 1, seeds, top_k=2)
    share = np.bincount(few.tokens[:, 0], minlength=4) / rows
    np.testing.assert_allclose(share, [0.625, 0.375, 0, 0], atol=0.03)


@settings(max_examples=6, derandomize=True)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(2, 6), st.sampled_from([0.3, 1.0, 2.5]))
def test_draws_are_the_same_on_both_op_sets_and_one_of_one_is_greedy(seed, rows, words, temperature):
    automaton, rules = Automaton(random_table(seed, rows, words)), Rules(words, END, 6)
    seeds = np.arange(rows, dtype=np.int64) - seed
    both(draw, automaton, rules, 1, seeds, temperature=temperature)
    only = both(draw, automaton, rules, 1, seeds, temperature=temperature, top_k=1)
    np.testing.assert_array_equal(only.tokens, both(greedy, automaton, rules, 1).tokens)


def test_tokens_of_a_longer_limit_begin_with_the_shorter():
    table, seeds = random_table(3, 5, 4), np.arange(5, dtype=np.int64)
    short, long = (both(draw, Automaton(table), Rules(4, END, limit), 1, seeds) for limit in (3, 7))
    np.testing.assert_array_equal(long.tokens[:, :3], short.tokens)


def test_settings_that_mean_nothing():
    automaton, rules, first = Automaton(FORK), Rules(4, END, 3), np.array([3], np.int32)
    start = (host, automaton.step(host), automaton.state(host), first, rules)
    with pytest.raises(UsageError, match="temperature"):
        draw(*start, np.array([1]), temperature=0.0)
    with pytest.raises(UsageError, match="top_k"):
        draw(*start, np.array([1]), top_k=0)
    with pytest.raises(UsageError, match="width"):
        beam(*start, width=0)
    with pytest.raises(UsageError, match="length_penalty"):
        beam(*start, length_penalty=-1.0)
