"""Rows at a time, and one part of a network alone."""

import sys

import numpy as np
import pytest

import kerazoo
from kerazoo import formats, loading
from kerazoo.engines import open_network
from kerazoo.errors import PackageMissing, UsageError
from kerazoo.export import again
from kerazoo.export import golden as golden_
from kerazoo.export.convert import convert
from tests.conformance.models import built
from tests.export.models import tiny


@pytest.mark.parametrize(("form", "batch"), [(formats.ONNX, "1"), (formats.LITERT, "dynamic")], ids=["onnx", "litert"])
def test_rows_at_a_time(form, batch, tmp_path):
    assert convert(tiny(), [form.name], tmp_path, batch=batch) == {form.name: None}
    path = tmp_path / form.file
    again.verified(path)
    network, _ = open_network(form.engine, path)
    (call,) = golden_.load(tmp_path / "golden.npz")["classify"].calls
    three = np.concatenate([call.inputs["image"], call.inputs["image"][:, ::-1], call.inputs["image"]])
    found = network({"image": three})["logits"]
    assert found.shape == (3, 5)
    assert np.allclose(found[[0, 2]], call.outputs["logits"], atol=1e-3)
    assert not np.allclose(found[1], found[0], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("form", formats.NETWORKS, ids=lambda form: form.name)
def test_a_part_alone(form, tmp_path):
    made = built("rnn_encdec")
    part = next(iter(made.parts))
    assert convert(made, [form.name], tmp_path, part=part) == {form.name: None}
    path = tmp_path / form.file
    assert path.is_file()
    network, card = open_network(form.engine, path)
    assert card.part == part
    call = next(call for call in golden_.load(tmp_path / "golden.npz")[made.task.kind].calls if call.part == part)
    for name, value in network.part(part)(call.inputs).items():
        assert np.allclose(value, call.outputs[name], atol=1e-3)
    with pytest.raises(UsageError, match=f"holds the part {part} alone"):
        loading.load(path)
    assert again.verified(path).differences == {}


def test_a_package_that_8_bits_need_is_missed_before_anything_is_converted(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_quantizer", None)
    monkeypatch.setattr(sys.modules["kerazoo.export"], "_exported", lambda *given: pytest.fail("it was converted"))
    with pytest.raises(PackageMissing, match=r"pip install 'kerazoo\[quantize\]'"):
        kerazoo.export("lenet5:mnist", "litert", tmp_path, precision="int8", calibrate="random")
