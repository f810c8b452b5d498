"""One `answer`, two op sets: what is baked into a bundle says what the host says."""

import json

import numpy as np
import pytest
import tensorflow as tf

from kerazoo import formats, tasks
from kerazoo.engines import keras as keras_engine
from kerazoo.export import verify
from kerazoo.ops import tensorflow as ops
from tests.conformance.models import asked, built, every_kind


def _tensors(request):
    return {
        name: tf.constant(value.tolist() if value.dtype == object else value)
        for name, value in ((name, np.asarray(value)) for name, value in request.items())
    }


@every_kind
@pytest.mark.parametrize("rows", [1, 2])
def test_tensorflow_says_what_numpy_says(name, rows):
    made = built(name)
    if not made.task.batched and rows > 1:
        pytest.skip("one request is one item")
    expected = asked(made, keras_engine.network(made), rows)
    got = made.task.answer(keras_engine.network(made, ops), _tensors(expected.request))
    got = {port: value.numpy() for port, value in got.items()}
    told = verify.check_answer(made.task, expected, lambda _: got, formats.SAVED_MODEL, name)
    assert set(told) | {"index"} >= set(expected.response)


@every_kind
def test_the_task_survives_its_card(name):
    for task in built(name).tasks.values():
        card, files = tasks.to_card(task)
        assert tasks.from_card(json.loads(json.dumps(card)), files.__getitem__) == task
