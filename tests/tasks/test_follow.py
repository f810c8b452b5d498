from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from kerazoo.codecs._wordpiece import END, MASK, WordPiece, placeholder
from kerazoo.errors import InputError, UsageError
from kerazoo.ops import numpy as ops
from kerazoo.tasks.follow import Follow
from tests.tasks.stubs import Stub, again, both, text

TASK = Follow(WordPiece(placeholder(70), 12, longest=10, marks=(END,)))


def longer(ops, tokens):
    """The longer a row is, the likelier it is that the second text follows."""
    size = ops.sum(ops.cast(tokens != 0, "float32"), 1)
    return {"following": ops.stack([size, size * 0.0], 1)}


def test_a_pair_is_asked_and_its_probability_said():
    host, graph = both(TASK, {"text": text("a [SEP] b", "a b[SEP]c d")}, network=longer)
    for said in (host, graph):
        np.testing.assert_allclose(said["probability"], 1 / (1 + np.exp([-5.0, -7.0])), rtol=1e-5)
    found = TASK.read(host, 0)
    assert found.rows() == [" 99.3%"] and json.dumps(found.to_json()) == '{"probability": 0.993307}'


@pytest.mark.parametrize("pair", ["a b", "a [SEP] b [SEP] c", "[SEP] a", "a [SEP]", "[SEP]", "a [sep] b"])
def test_two_texts_are_wanted(pair):
    with pytest.raises(InputError, match=r"Two texts are wanted, with one \[SEP\] between them|more than"):
        TASK.answer(Stub(ops, {"network": longer}), {"text": text(pair)})


def test_the_task_travels_and_asks_something_small():
    assert again(TASK) == TASK
    assert TASK.golden()["text"].decode() == f"a {END} z"
    with pytest.raises(UsageError, match="must be a mark"):
        replace(TASK, input=replace(TASK.input, marks=(MASK,)))
