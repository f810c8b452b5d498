"""Weights by variable path come back exactly, and files that do not fit are refused by name with nothing changed."""

import numpy as np
import pytest

from kerazoo import weights
from kerazoo.errors import KerazooError
from tests.conformance.models import built, config, every_kind, family


@pytest.fixture
def arrays(name):
    return {variable.path: variable.numpy() for variable in built(name).keras.weights}


@every_kind
def test_round_trip(name, arrays, tmp_path):
    np.savez(tmp_path / "weights.npz", **arrays)
    other = family(name).build(config(name))
    weights.load(other, config(name), {}, weights.resolve(name, str(tmp_path / "weights.npz")))
    for variable in other.weights:
        np.testing.assert_array_equal(variable, arrays[variable.path], err_msg=variable.path)


@every_kind
def test_what_does_not_fit_is_refused_by_name(name, arrays):
    first = next(iter(arrays))
    model = family(name).build(config(name))
    before = [variable.numpy().copy() for variable in model.weights]
    broken = {
        "missing": ({path: array for path, array in arrays.items() if path != first}, first),
        "unexpected": (arrays | {"stranger/kernel": np.zeros(3, np.float32)}, "stranger/kernel"),
        "shape": (arrays | {first: np.zeros((*arrays[first].shape, 2), np.float32)}, first),
        "finite": (arrays | {first: np.full_like(arrays[first], np.nan)}, first),
    }
    for fault, (tensors, told) in broken.items():
        with pytest.raises(KerazooError) as caught:
            weights.assign(model, tensors, "the file")
        assert told in str(caught.value), fault
        if fault == "shape":
            assert str(arrays[first].shape) in str(caught.value)
    for variable, old in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(variable, old)
