import numpy as np
import pytest

from kerazoo.applications._created import renamed

NAMES = {"conv2d": ["stem", "left", "right"], "batch_normalization": ["stem_bn"]}


@pytest.mark.parametrize(
    "numbered",
    [
        ["conv2d", "conv2d_1", "conv2d_2"],
        ["conv2d_1", "conv2d_2", "conv2d_3"],
        ["conv2d_8", "conv2d_9", "conv2d_10"],
        ["conv2d_95", "conv2d_99", "conv2d_188"],
    ],
)
def test_numbers_tell_the_order_wherever_the_session_stood(numbered):
    """The file's own order, here by the alphabet, does not."""
    tensors = {f"{layer}/kernel": np.asarray(numbered.index(layer)) for layer in sorted(numbered)}
    tensors |= {"batch_normalization_7/0": np.asarray(7), "batch_normalization_7/1": np.asarray(8)}
    found = renamed(tensors | {"predictions/bias": np.asarray(9)}, NAMES)
    assert {key: int(value) for key, value in found.items()} == {
        "stem/kernel": 0, "left/kernel": 1, "right/kernel": 2, "stem_bn/0": 7, "stem_bn/1": 8, "predictions/bias": 9,
    }  # fmt: skip


@pytest.mark.parametrize("there", [("conv2d", "conv2d_1"), ("conv2d", "conv2d_1", "conv2d_2", "conv2d_3"), ()])
def test_another_number_of_layers_stays_as_it_is(there):
    """Nothing is guessed; the loader then names what is missing."""
    tensors = {f"{layer}/kernel": np.zeros(1) for layer in (*there, "separable_conv2d_1", "layers.conv2d_1", "stem")}
    assert list(renamed(tensors, NAMES)) == list(tensors)
