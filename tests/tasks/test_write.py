from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kerazoo.codecs._characters import UNKNOWN, Characters, alphabet, meant, named, placeholder
from kerazoo.codecs.text import Vocabulary
from kerazoo.contract import Port
from kerazoo.errors import InputError, UsageError
from kerazoo.ops import numpy as ops
from kerazoo.predictor import request_row
from kerazoo.tasks.write import Write
from tests.tasks.stubs import Stub, again, both, text

LETTERS = Characters(placeholder(8), longest=20)
"""None, a line break, and a to f."""

TASK = Write(LETTERS, (Port("h_1", "float32", (None, 1)),), length=6)


def step(ops: Any, token: Any, h_1: Any) -> dict[str, Any]:
    """After each letter its follower, after the last one the first; the state counts what was read."""
    following = ops.where(token == 7, token * 0 + 2, token + 1)
    logits = ops.cast(following[:, :, None] == np.arange(8), "float32") * 50.0
    return {"logits": logits, "next_h_1": h_1 + 1.0}


def asked(*texts: str, seed: int = 3) -> dict[str, Any]:
    return {"text": text(*texts), "seed": np.arange(len(texts)) + seed}


def test_a_text_goes_on_as_its_characters_say() -> None:
    for said in both(TASK, asked("abc", "f", "", "fedcba"), step=step):
        assert said["continuation"].tolist() == [b"defabc", b"abcdef", b"abcdef", b"bcdefa"]
        assert (said["score"] > -1e-6).all()


def test_each_row_is_read_to_its_own_end() -> None:
    network = Stub(ops, {"step": step})
    TASK.answer(network, asked("abcd", "a"))
    read = [call["h_1"][:, 0].tolist() for call in network.calls]
    # A line break and three letters are read before the last, of the other row the line break alone.
    assert read[:4] == [[0, 0], [1, 1], [2, 1], [3, 1]]
    assert read[4] == [4, 1]
    assert len(read) == 4 + TASK.length


def even(ops: Any, token: Any, h_1: Any) -> dict[str, Any]:
    rising = ops.cast(token[:, :, None] * 0 + np.arange(8), "float32")
    return {"logits": rising * 0.3, "next_h_1": h_1}


def test_a_seed_draws_the_same_and_another_another() -> None:
    first, second = both(replace(TASK, length=15), asked("a", "a"), step=even)
    assert first["continuation"].tolist() == second["continuation"].tolist()
    one, other = first["continuation"]
    assert one != other
    assert {letter for each in (one, other) for letter in each} <= set(b"\nabcdef")


def test_temperature_and_top_k() -> None:
    cold = replace(TASK, temperature=1e-3).answer(Stub(ops, {"step": even}), asked("a"))
    one = replace(TASK, top_k=1).answer(Stub(ops, {"step": even}), asked("a"))
    assert cold["continuation"].tolist() == one["continuation"].tolist() == [b"ffffff"]
    two = replace(TASK, top_k=2, length=40).answer(Stub(ops, {"step": even}), asked("a"))
    assert set(two["continuation"][0]) == set(b"ef")
    for wrong in ({"temperature": 0.0}, {"length": 0}, {"top_k": -1}):
        with pytest.raises(UsageError, match="must be positive"):
            replace(TASK, **wrong)


def test_a_seed_goes_without_saying() -> None:
    assert request_row(TASK, "abc") == {"text": b"abc", "seed": 0}
    assert request_row(TASK, {"text": "abc", "seed": 5})["seed"] == 5


def test_the_card_brings_it_back() -> None:
    assert again(replace(TASK, top_k=3)) == replace(TASK, top_k=3)


# --- characters ---------------------------------------------------------------------------------------------------


def test_characters_that_cannot_be_seen_have_names() -> None:
    for character in ("a", " ", "é", "😀"):
        assert named(character) == character
        assert meant(character) == character
    for character, name in (
        ("\n", "<U+000A>"),
        ("\t", "<U+0009>"),
        ("\u2028", "<U+2028>"),
        ("\U0001fffe", "<U+1FFFE>"),
    ):
        assert named(character) == name
        assert meant(name) == character
    for line in ("ab", "<U+D800>", "<U+110000>", "<unk>"):
        with pytest.raises(UsageError, match="one a line"):
            meant(line)


def test_an_alphabet_has_a_line_break_and_the_most_frequent() -> None:
    assert alphabet(["bba", "c\ud800"]) == (UNKNOWN, "<U+000A>", "a", "b", "c")
    assert alphabet(["bba", "c"], 3) == (UNKNOWN, "<U+000A>", "b")
    assert Vocabulary.loads(alphabet(["a b\r\n\t"]).dumps()) == alphabet(["a b\r\n\t"])


@pytest.mark.parametrize(
    ("given", "numbers"),
    [("abf", [2, 3, 7]), ("A日\0é", [0, 0, 0, 0]), ("\n\na", [1, 1, 2]), ("", []), ("😀a", [0, 2])],
)
def test_both_op_sets_read_alike(given: str, numbers: list[int]) -> None:
    import tensorflow as tf

    from kerazoo.ops import tensorflow as graph

    assert LETTERS.numbers(given).tolist() == numbers
    expected = [1, *numbers] + [0] * (20 - len(numbers))
    for found, count in (
        LETTERS.prepare(ops, text(given)),
        LETTERS.prepare(graph, tf.constant([given.encode()])),
    ):
        assert np.asarray(found).tolist() == [expected]
        assert np.asarray(count).tolist() == [1 + len(numbers)]


def test_a_text_that_is_too_long_is_refused() -> None:
    TASK.answer(Stub(ops, {"step": step}), asked("a" * 20))
    for length in (21, 100_000):
        with pytest.raises(InputError, match="more than 20 characters; give its end"):
            TASK.answer(Stub(ops, {"step": step}), asked("a" * length))


def test_bytes_that_are_no_text_are_unknown() -> None:
    request = {"text": np.array([b"\xff\xfeab"], object), "seed": np.array([1])}
    assert TASK.answer(Stub(ops, {"step": step}), request)["continuation"].tolist() == [b"cdefab"]
    with pytest.raises(InputError, match="no text that UTF-8 can hold"):
        request_row(TASK, "a\ud800")


@pytest.mark.parametrize("lines", [("a", "b"), (UNKNOWN, "a"), (UNKNOWN, "<U+000A>", "a", "<U+0061>")])
def test_a_vocabulary_that_is_none_is_refused(lines: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="vocabulary"):
        Characters(Vocabulary(lines))
