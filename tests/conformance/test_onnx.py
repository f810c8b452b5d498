"""ONNX files, opened by onnxruntime and asked from request to answer."""

import numpy as np
import onnx as onnx_
import pytest

from kerazoo import formats
from kerazoo.engines import onnx
from kerazoo.export import golden as golden_
from kerazoo.export import verify
from tests.conformance.models import CONVERTING, asked, built, calls, converted, converting

SECOND = ("gcn_cora", "lenet5", "rnn_encdec", "squeezenet_v1_0")
"""Variants whose files a second runtime runs quickly; the others wait for the slow run."""


@converting
def test_says_what_keras_says(name, shared):
    made = converted(name, shared)
    network, card = onnx.open_network(made.path("onnx"))
    assert card.tasks == built(name).tasks
    assert card.model == name
    verify.check(card.tasks, golden_.load(made.folder / "golden.npz"), network, formats.ONNX, name)
    golden_.from_card(card.golden)


@converting
def test_ports_keep_their_names(name, shared):
    network, _ = onnx.open_network(converted(name, shared).path("onnx"))
    for part, signature in built(name).parts.items():
        call = next(call for call in calls(name) if call.part == part)
        assert set(network.part(part)(call.inputs)) == {port.name for port in signature.outputs}


@converting
def test_batches(name, shared):
    made = built(name)
    if not made.task.batched:
        pytest.skip("one request is one item")
    network, _ = onnx.open_network(converted(name, shared).path("onnx"))
    from kerazoo.engines import keras as keras_engine

    golden = asked(made, keras_engine.network(made), 3)
    verify.check({made.task.kind: made.task}, {made.task.kind: golden}, network, formats.ONNX, name)


def _files(path):
    return {file.stem: file for file in sorted(path.glob("*.onnx"))} if path.is_dir() else {None: path}


@converting
def test_the_checker_finds_nothing(name, shared):
    for file in _files(converted(name, shared).path("onnx")).values():
        onnx_.checker.check_model(str(file), full_check=True)


@pytest.mark.parametrize(
    "name", [name if name in SECOND else pytest.param(name, marks=pytest.mark.slow) for name in CONVERTING]
)
def test_a_runtime_that_shares_no_code_says_the_same(name, shared):
    openvino = pytest.importorskip("openvino", reason="OpenVINO, of the extra `test`, is not installed")
    made = converted(name, shared)
    core = openvino.Core()
    files = _files(made.path("onnx"))
    compiled = {
        part: core.compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}) for part, file in files.items()
    }
    for call in golden_.load(made.folder / "golden.npz")[built(name).task.kind].calls:
        model = compiled.get(call.part, compiled.get(None))
        answered = model(dict(call.inputs))
        for port, expected in call.outputs.items():
            found = answered[port]
            assert np.abs(found - expected).max() <= 1e-3 * max(np.abs(expected).max(), 1e-12), port
