"""Writing token by token, as a function of a step: greedily, with a beam, or by chance.

A step takes the tokens that were written last, int32 [rows], and a state of any ports, arrays [rows, ...] by name; it
gives the logits of the next tokens, float32 [rows, words], and the state after it. Recurrent cells, attention over
what was read and caches of keys and values are all states. What does not change from step to step need not be one: a
step can close over it (`repeated` for a beam).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.contract import Tensor, Tensors
from kerazoo.errors import UsageError

Step = Callable[[Tensor, Tensors], tuple[Tensor, Tensors]]

SEARCHES = ("greedy", "beam")
"""How the most probable tokens are looked for."""


@dataclass(frozen=True)
class Rules:
    """What may be written.

    Attributes:
        words: How many tokens there are.
        end: The token that ends a row.
        limit: Tokens after which a row is cut off.
        never: Tokens that are not written.
    """

    words: int
    end: int
    limit: int
    never: Sequence[int] = ()

    @property
    def barred(self) -> np.ndarray:
        """What is added to log probabilities: 0, or minus infinity."""
        barred = np.zeros(self.words, np.float32)
        barred[list(self.never)] = -np.inf
        return barred


@dataclass(frozen=True)
class Written:
    """What was written in each row.

    Attributes:
        tokens: int32 [rows, limit]; behind a row's end all are ends.
        total: float32 [rows], the log probability of a row's tokens, its end included.
        count: float32 [rows], how many they are.
    """

    tokens: Tensor
    total: Tensor
    count: Tensor

    def mean(self, ops: Any) -> Tensor:
        """Mean log probability of a token, [rows]: at most 0, the higher the surer."""
        return self.total / ops.maximum(self.count, 1.0)


def greedy(ops: Any, step: Step, state: Tensors, first: Tensor, rules: Rules) -> Written:
    """The most probable next token, again and again, until every row has ended.

    Args:
        ops: The array functions.
        step: See above.
        state: Before the first step.
        first: int32 [rows], what the first step is told was written last.
        rules: What may be written.
    """

    def best(at: Tensor, log_probability: Tensor) -> tuple[Tensor, Tensor]:
        value, choice = ops.top_k(log_probability, 1)
        return value[:, 0], choice[:, 0]

    return _one_by_one(ops, step, state, first, rules, best)


def draw(
    ops: Any,
    step: Step,
    state: Tensors,
    first: Tensor,
    rules: Rules,
    seeds: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
) -> Written:
    """Every next token drawn by its probability. The same seed draws the same on every engine: see `ops.uniform`.

    Number i of a row's seed chooses its token i: the first, in the order of falling probability, up to which the
    probabilities add up to more than that.

    Args:
        seeds: int64 [rows].
        temperature: Divides the logits: below 1 the probable becomes more probable.
        top_k: Only so many of the most probable tokens are drawn from.

    Raises:
        UsageError: The temperature or `top_k` is not positive.
    """
    if not temperature > 0:
        raise UsageError(f"temperature={temperature!r} is not a positive number; greedy decoding is what 0 would be.")
    if top_k is not None and top_k < 1:
        raise UsageError(f"top_k={top_k!r} is not a positive number.")
    count = min(top_k or rules.words, rules.words)
    chance = ops.transpose(ops.uniform(seeds, rules.limit), (1, 0))

    def drawn(at: Tensor, log_probability: Tensor) -> tuple[Tensor, Tensor]:
        values, tokens = ops.top_k(log_probability, count)
        # In float64, so that the engines' roundings do not tell one draw from another.
        share = ops.cumsum(ops.softmax(ops.cast(values, "float64") / temperature))
        below = share <= ops.gather(chance, at)[:, None] * share[:, -1:]
        place = ops.sum(ops.cast(below, "int32"), 1, keepdims=True)
        return ops.gather_batched(values, place)[:, 0], ops.gather_batched(tokens, place)[:, 0]

    return _one_by_one(ops, step, state, first, rules, drawn)


def _one_by_one(
    ops: Any,
    step: Step,
    state: Tensors,
    first: Tensor,
    rules: Rules,
    choose: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
) -> Written:
    names, rows = tuple(state), ops.length(first)
    place = ops.arange(rules.limit)[None, :]

    def next_token(
        at: Tensor, done: Tensor, token: Tensor, tokens: Tensor, total: Tensor, count: Tensor, *states: Tensor
    ) -> tuple[Tensor, ...]:
        logits, following = step(token, dict(zip(names, states, strict=True)))
        value, choice = choose(at, ops.log_softmax(logits) + rules.barred)
        token = ops.where(done, ops.full((rows,), rules.end, "int32"), ops.cast(choice, "int32"))
        tokens = ops.where(place == at, token[:, None], tokens)
        total = ops.where(done, total, total + value)
        count = count + ops.cast(~done, "float32")
        return (at + 1, done | (token == rules.end), token, tokens, total, count, *(following[name] for name in names))

    begin = (
        ops.cast(0, "int32"),
        ops.full((rows,), False, "bool"),
        first,
        ops.full((rows, rules.limit), rules.end, "int32"),
        ops.full((rows,), 0.0, "float32"),
        ops.full((rows,), 0.0, "float32"),
        *state.values(),
    )
    _, _, _, tokens, total, count, *_ = ops.while_loop(_unfinished(ops, rules), next_token, begin)
    return Written(tokens, total, count)


def _unfinished(ops: Any, rules: Rules) -> Callable[..., Tensor]:
    """Goes on while a row has not ended and the limit is not reached."""
    return lambda at, done, *_: (at < rules.limit) & (ops.sum(ops.cast(~done, "int32"), 0) > 0)


def check_search(how: str, width: int, length_penalty: float) -> None:
    """Looks at what `searched` would be told.

    Raises:
        UsageError: The word is none of `SEARCHES`, the width not positive, or the length penalty negative.
    """
    if how not in SEARCHES:
        raise UsageError(f"search={how!r} is not known; allowed are {', '.join(SEARCHES)}.")
    if width < 1 or length_penalty < 0:
        raise UsageError(f"width={width!r} must be at least 1, and length_penalty={length_penalty!r} at least 0.")


def searched(
    ops: Any, step: Step, state: Tensors, first: Tensor, rules: Rules, how: str, width: int, length_penalty: float
) -> Written:
    """What `greedy` or `beam`, whose arguments these are, writes; `how` is one of `SEARCHES`."""
    if how == "beam":
        return beam(ops, step, state, first, rules, width, length_penalty)
    return greedy(ops, step, state, first, rules)


def repeated(ops: Any, tensors: Tensors, times: int) -> dict[str, Tensor]:
    """Each row of arrays [rows, ...] so many times, one behind the other: [rows * times, ...]."""
    return {name: ops.gather(value, ops.arange(ops.length(value) * times) // times) for name, value in tensors.items()}


def beam(
    ops: Any,
    step: Step,
    state: Tensors,
    first: Tensor,
    rules: Rules,
    width: int = 4,
    length_penalty: float = 0.6,
) -> Written:
    """The best of the hypotheses that a beam search finds in each row.

    After every step the `width` most probable continuations that have not ended go on. One that ends among the `width`
    most probable is a result, and is ranked by its log probability divided by `((5 + n) / 6) ** length_penalty` for n
    tokens, the end included (Wu et al., "Google's Neural Machine Translation System", arXiv:1609.08144, section 7,
    without the coverage term). A row is done with `width` results, once nothing that goes on is better as
    it stands; or with fewer, once nothing can become better. A hypothesis that was cut off by the limit counts only
    where none has ended.

    With `width` 1 it writes what `greedy` writes.

    Args:
        step: Is asked for rows * width rows, those of one row side by side (`repeated`).
        state: [rows, ...], before the first step.
        width: Hypotheses that go on.
        length_penalty: 0 ranks by log probability, which favours the short.

    Raises:
        UsageError: The width is not positive, or the length penalty is negative.
    """
    check_search("beam", width, length_penalty)
    names, rows, words = tuple(state), ops.length(first), rules.words
    place = ops.arange(rules.limit)[None, None, :]
    own = ops.arange(rows)[:, None] * width
    # What a log probability is divided by, for any number of tokens.
    penalty = (((5.0 + np.arange(rules.limit + 1)) / 6.0) ** length_penalty).astype(np.float32)
    nothing = ops.full((rows,), -np.inf, "float32")

    def extend(
        at: Tensor,
        done: Tensor,
        results: Tensor,
        rank: Tensor,
        total: Tensor,
        count: Tensor,
        tokens: Tensor,
        reached: Tensor,
        token: Tensor,
        paths: Tensor,
        *states: Tensor,
    ) -> tuple[Tensor, ...]:
        logits, following = step(token, dict(zip(names, states, strict=True)))
        further = ops.reshape(ops.log_softmax(logits) + rules.barred, (rows, width, words)) + reached[:, :, None]
        # Each hypothesis can end in one way only: of twice as many at least `width` go on.
        value, place_of = ops.top_k(ops.reshape(further, (rows, width * words)), min(2 * width, width * words))
        origin, word = ops.cast(place_of // words, "int32"), ops.cast(place_of % words, "int32")
        ways = ops.where(place == at, word[:, :, None], ops.gather_batched(paths, origin))
        ends = word == rules.end

        counted = ends[:, :width] & ~done[:, None] & (value[:, :width] > -np.inf)
        ranks = ops.where(counted, value[:, :width] / ops.gather(penalty, at + 1), nothing[:, None])
        first_of, which = ops.top_k(ranks, 1)
        better = first_of[:, 0] > rank
        rank = ops.where(better, first_of[:, 0], rank)
        total = ops.where(better, ops.gather_batched(value, which)[:, 0], total)
        count = ops.where(better, ops.cast(at + 1, "float32"), count)
        tokens = ops.where(better[:, None], ops.gather_batched(ways, which)[:, 0], tokens)
        results = results + ops.sum(ops.cast(counted, "int32"), 1)

        reached, kept = ops.top_k(ops.where(ends, nothing[:, None], value), width)
        behind = rank >= reached[:, 0] / ops.gather(penalty, at + 1)
        done = done | ((results >= width) & behind) | (rank >= reached[:, 0] / penalty[rules.limit])
        source = ops.reshape(own + ops.gather_batched(origin, kept), (rows * width,))
        token = ops.reshape(ops.gather_batched(word, kept), (rows * width,))
        moved = [ops.gather(following[name], source) for name in names]
        return (
            at + 1,
            done,
            results,
            rank,
            total,
            count,
            tokens,
            reached,
            token,
            ops.gather_batched(ways, kept),
            *moved,
        )

    start = np.array([0.0] + [-np.inf] * (width - 1), np.float32)
    begin = (
        ops.cast(0, "int32"),
        ops.full((rows,), False, "bool"),
        ops.full((rows,), 0, "int32"),
        nothing,
        nothing,
        ops.full((rows,), 0.0, "float32"),
        ops.full((rows, rules.limit), rules.end, "int32"),
        ops.full((rows, 1), 0.0, "float32") + start,
        repeated(ops, {"first": first}, width)["first"],
        ops.full((rows, width, rules.limit), rules.end, "int32"),
        *repeated(ops, state, width).values(),
    )
    loop = ops.while_loop(_unfinished(ops, rules), extend, begin)
    at, rank, total, count, tokens, reached, paths = (loop[index] for index in (0, 3, 4, 5, 6, 7, 9))
    cut = rank == -np.inf
    return Written(
        ops.where(cut[:, None], paths[:, 0], tokens),
        ops.where(cut, reached[:, 0], total),
        ops.where(cut, ops.cast(at, "float32"), count),
    )
