"""What the tests of several readers share."""

import tracemalloc

import numpy as np
import pytest

from kerazoo.errors import WeightsDamaged
from kerazoo.weights import read

RANDOM = np.random.default_rng(4)
ARRAYS = {
    "conv/weights": RANDOM.normal(size=(3, 2, 2, 2)).astype("f"),
    "conv/biases": RANDOM.normal(size=3).astype("f"),
    "Netz/größe": np.float32(2.5).reshape(()),
}


def same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
        assert found[name].shape == np.shape(array)


def refused(path, error=WeightsDamaged, match=None, megabytes=8):
    """Reading ends in this error, in at most three lines and without much memory."""
    tracemalloc.start()
    try:
        with pytest.raises(error, match=match) as caught:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.type is error
    assert len(str(caught.value).splitlines()) <= 3
    assert peak < (megabytes << 20) + 8 * path.stat().st_size
