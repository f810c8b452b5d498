"""Darknet's files: numbers without names, held to the layers that they are of; and the `.cfg` that says which."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.weights import darknet, read
from kerazoo.weights.darknet import Conv, Pool, Route, Shortcut, Upsample, Yolo

LAYERS = (
    Conv(2),
    Conv(2, stride=2, groups=2),
    Pool(2, 1),
    Conv(4, 1, activation="linear"),
    Route((3, 1)),
    Conv(6, 1),
    Shortcut(4),
    Upsample(),
    Conv(18, 1, activation="linear", norm=False),
    Yolo(((30.0, 40.5), (7.0, 8.0)), 1.05),
)
CFG = b"""# a network
[net]
width=64
; older comment
[convolutional]
batch_normalize=1
filters = 2
size=3
stride=1
pad=1
activation=leaky
[convolutional]
batch_normalize=1
filters=2
size=3
groups=2
stride=2
activation=leaky
[maxpool]
size=2
stride=1
[convolutional]
batch_normalize=1
filters=4
activation=linear
[route]
layers=-1,1
[convolutional]
batch_normalize=1
filters=6
size=1
activation=leaky
[shortcut]
from=-2   # here too
activation=linear
[upsample]
stride=2
[convolutional]
filters=18
size=1
activation=linear
[yolo]
mask=2,0
anchors = 7,8, 1,2, 30,40.5
scale_x_y = 1.05
"""
COUNT = (4 * 2 + 2 * 3 * 9) + (4 * 2 + 2 * 9) + (4 * 4 + 4 * 2) + (4 * 6 + 6 * 6) + (18 + 18 * 6)


def written(path, values, minor=2, revision=0):
    seen = struct.pack("<q" if minor >= 2 else "<i", 32_013_312)
    path.write_bytes(struct.pack("<iii", 0, minor, revision) + seen + np.asarray(values, "<f4").tobytes())
    return path


@pytest.mark.parametrize("minor", [1, 2])
def test_numbers_of_either_version(minor, tmp_path):
    values = np.arange(COUNT, dtype="f")
    kind, found = read(written(tmp_path / "a.weights", values, minor))
    assert kind == "darknet" and list(found) == ["values"]
    np.testing.assert_array_equal(found["values"], values)


def test_every_number_gets_to_its_variable():
    """Biases, scales, means, variances, then kernels OIHW, as darknet reads them."""
    values = np.arange(COUNT, dtype="f")
    found = darknet.unpacked(LAYERS, 3, values)
    assert found["conv0_bn/beta"].tolist() == [0, 1] and found["conv0_bn/gamma"].tolist() == [2, 3]
    assert found["conv0_bn/moving_mean"].tolist() == [4, 5]
    np.testing.assert_array_equal(
        found["conv0/kernel"], np.arange(8, 62, dtype="f").reshape(2, 3, 3, 3).transpose(2, 3, 1, 0)
    )
    assert found["conv1/kernel"].shape == (3, 3, 2, 1)
    assert found["conv5/kernel"].shape == (1, 1, 6, 6)
    assert found["conv8/bias"].shape == (18,) and "conv8_bn/beta" not in found
    assert sum(tensor.size for tensor in found.values()) == COUNT


@given(st.floats(0, 1e6, width=32))
def test_the_variance_divides_as_darknet_divides(variance):
    layers, values = (Conv(1, 1),), np.array([0, 1, 0, variance, 1], "f")
    kept = darknet.unpacked(layers, 1, values)["conv0_bn/moving_variance"][0]
    np.testing.assert_allclose(np.sqrt(np.float64(kept) + darknet.EPSILON), np.sqrt(np.float64(variance)) + 1e-6, 1e-6)


def test_too_few_and_too_many_are_told_with_their_layer():
    with pytest.raises(UsageError, match=r"conv5 wants 60 values, 50 of 162 are left"):
        darknet.unpacked(LAYERS, 3, np.zeros(COUNT - 126 - 10, "f"))
    with pytest.raises(UsageError, match=r"7 of 305 values are left over after conv8"):
        darknet.unpacked(LAYERS, 3, np.zeros(COUNT + 7, "f"))


def test_a_cfg_is_read():
    assert darknet.parsed(CFG) == LAYERS
    darknet.agree(LAYERS, CFG)


@pytest.mark.parametrize(("old", "new", "told"), [
    (b"filters=6", b"filters=7", "layer 5 is Conv.filters=7"),
    (b"anchors = 7,8", b"anchors = 7,9", "layer 9 is Yolo"),
    (b"layers=-1,1", b"layers=-1,0", "layer 4 is Route"),
    (b"[upsample]", b"[upsample]\n[upsample]", "layer 8 is Upsample"),
    (b"[upsample]", b"[reorg]", r"layer 7 is \[reorg\], which is not known"),
    (b"from=-2", b"from=-9", "no earlier layer"),
    (b"filters = 2", b"filters = many", "no numbers"),
    (b"filters = 2", b"filters = 99999999999999999999", "no numbers"),
    (b"mask=2,0", b"mask=2,3", "no such anchors"),
    (b"[net]", b"", "does not begin"),
    (CFG[CFG.index(b"[yolo]"):], b"", "9 layers, this one 10"),
    (CFG, b"", "does not begin"),
    (b"# a network", b"#" * (darknet.LONGEST_CFG + 1), "more than 1048576 bytes"),
    (b"# a network", b"[net]\n" * 5000, "more than 4096 sections"),
])  # fmt: skip
def test_a_cfg_of_another_network(old, new, told):
    with pytest.raises(UsageError, match=told) as caught:
        darknet.agree(LAYERS, CFG.replace(old, new))
    assert len(str(caught.value).splitlines()) <= 3


@settings(max_examples=80)
@given(st.data())
def test_a_damaged_cfg_is_a_network_or_an_error(data):
    content = bytearray(CFG)
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        darknet.agree(LAYERS, bytes(content))
    except UsageError as error:
        assert len(str(error).splitlines()) <= 3


@settings(max_examples=60)
@given(data=st.data())
def test_a_file_that_is_cut_or_changed(data, tmp_path):
    content = bytearray(written(tmp_path / "whole.weights", np.ones(50)).read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    (tmp_path / "b.weights").write_bytes(bytes(content))
    try:
        _, found = read(tmp_path / "b.weights")
    except (UsageError, WeightsDamaged) as error:
        assert len(str(error).splitlines()) <= 3
    else:
        assert found["values"].nbytes <= len(content)


def test_a_number_that_is_cut(tmp_path):
    path = written(tmp_path / "a.weights", np.ones(5))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsDamaged, match="3 bytes after its last whole number"):
        read(path)


def test_the_cfg_beside_a_file_comes_with_it(tmp_path):
    written(tmp_path / "a.weights", np.ones(5))
    (tmp_path / "a.cfg").write_bytes(CFG)
    assert read(tmp_path / "a.weights")[1]["cfg"].tobytes() == CFG
