"""What flows has the declared shapes and types."""

import numpy as np
import pytest

from kerazoo.engines import keras as keras_engine
from tests.conformance.models import asked, built, every_kind


def _fits(port, array, rows):
    array = np.asarray(array)
    kind = array.dtype.name if array.dtype != object else "string"
    assert kind == port.dtype, port.name
    assert len(port.shape) == array.ndim, (port.name, port.shape, array.shape)
    for index, (declared, there) in enumerate(zip(port.shape, array.shape, strict=True)):
        assert declared in (None, there), (port.name, port.shape, array.shape)
        if index == 0 and declared is None and rows:
            assert there == rows, (port.name, array.shape)


@every_kind
@pytest.mark.parametrize("rows", [1, 3])
def test_declared_shapes_are_what_the_network_gives(name, rows):
    made = built(name)
    if not made.task.batched and rows > 1:
        pytest.skip("one request is one item")
    told = asked(made, keras_engine.network(made), rows)
    batch = rows if made.task.batched else None
    for port in made.task.request:
        _fits(port, told.request[port.name], batch)
    assert set(told.response) == {port.name for port in made.task.response}
    for port in made.task.response:
        _fits(port, told.response[port.name], batch)
    assert {call.part for call in told.calls} == set(made.task.parts)
    for call in told.calls:
        signature = made.task.parts[call.part]
        assert set(call.inputs) == {port.name for port in signature.inputs}
        assert set(call.outputs) == {port.name for port in signature.outputs}
        for port in signature.inputs:
            _fits(port, call.inputs[port.name], batch)
        for port in signature.outputs:
            _fits(port, call.outputs[port.name], batch)


@every_kind
def test_results_are_read(name):
    made = built(name)
    told = asked(made, keras_engine.network(made))
    result = made.task.read(told.response, 0)
    assert result.rows()
    assert result.to_json()


@every_kind
def test_a_row_does_not_depend_on_its_neighbours(name):
    made = built(name)
    if not made.task.batched:
        pytest.skip("one request is one item")
    many, one = (asked(made, keras_engine.network(made), rows).calls[0] for rows in (3, 1))
    for port, array in one.outputs.items():
        scale = np.abs(array).max()
        np.testing.assert_allclose(many.outputs[port][:1], array, rtol=0, atol=1e-4 * scale)
