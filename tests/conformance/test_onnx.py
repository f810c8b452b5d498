"""ONNX files, opened by onnxruntime and asked from request to answer."""

import pytest

from kerazoo import formats
from kerazoo.engines import onnx
from kerazoo.export import golden as golden_
from kerazoo.export import verify
from tests.conformance.models import asked, built, converted, exporting, golden


@exporting("onnx")
def test_says_what_keras_says(name, shared):
    made = converted(name, shared)
    network, card = onnx.open_network(made.path("onnx"))
    assert card.tasks == built(name).tasks
    assert card.model == name
    verify.check(card.tasks, golden_.load(made.folder / "golden.npz"), network, formats.ONNX, name)
    golden_.from_card(card.golden)


@exporting("onnx")
def test_ports_keep_their_names(name, shared):
    network, _ = onnx.open_network(converted(name, shared).path("onnx"))
    for part, signature in built(name).parts.items():
        call = next(call for call in golden(name).calls if call.part == part)
        assert set(network.part(part)(call.inputs)) == {port.name for port in signature.outputs}


@exporting("onnx")
def test_batches(name, shared):
    made = built(name)
    if not made.task.batched:
        pytest.skip("one request is one item")
    network, _ = onnx.open_network(converted(name, shared).path("onnx"))
    from kerazoo.engines import keras as keras_engine

    golden = asked(made, keras_engine.network(made), 3)
    verify.check({made.task.kind: made.task}, {made.task.kind: golden}, network, formats.ONNX, name)
