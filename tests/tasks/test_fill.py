from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from kerazoo.codecs._wordpiece import MASK, WordPiece, placeholder
from kerazoo.errors import InputError, UsageError
from kerazoo.ops import numpy as ops
from kerazoo.tasks.fill import Fill
from tests.tasks.stubs import Stub, again, both, text

TASK = Fill(WordPiece(placeholder(70), 12, longest=10, marks=(MASK,)), count=3)


def favourite(ops, tokens):
    """At each place the piece five numbers behind the one that stands there, then that behind it."""
    behind = ops.cast(tokens, "int32")[:, :, None] + 5
    number = ops.arange(70)[None, None, :]
    likes = ops.cast(number == behind, "float32") * 9.0 + ops.cast(number == behind + 1, "float32") * 4.0
    return {"words": likes}


def test_candidates_for_the_gap_come_out():
    host, graph = both(TASK, {"text": text("a [MASK] b", "[MASK]")}, network=favourite)
    first = TASK.read(host, 0)
    there = TASK.input.numbers[MASK]
    assert first.labels[:2] == (TASK.input.words[there + 5], TASK.input.words[there + 6])
    assert first.scores[0] == pytest.approx(np.exp(9) / (np.exp(9) + np.exp(4) + 68), rel=1e-5)
    assert first.to_json(1) == {
        "top": [{"label": first.labels[0], "index": there + 5, "score": pytest.approx(0.98, abs=0.02)}]
    }
    assert first.rows(1)[0].endswith(first.labels[0])
    for name, value in host.items():
        assert np.array_equal(graph[name], value) or np.allclose(graph[name], value, atol=1e-6)
    assert json.dumps(first.to_json())
    assert max(TASK.compare(host, graph).values()) < 1e-6
    assert TASK.agreement(host, graph) == 1.0


@pytest.mark.parametrize("sentence", ["a b", "[MASK] a [MASK]", "[mask]", "a" * 5])
def test_a_text_has_one_gap(sentence):
    with pytest.raises(InputError, match=r"must have one \[MASK\]"):
        TASK.answer(Stub(ops, {"network": favourite}), {"text": text(sentence)})


def test_the_task_travels_and_asks_something_small():
    assert again(TASK) == TASK
    assert TASK.golden()["text"].decode().split() == ["a", MASK, "z"]
    with pytest.raises(UsageError, match="must be among the marks"):
        replace(TASK, input=replace(TASK.input, marks=()))
