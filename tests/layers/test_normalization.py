import keras
import numpy as np
import pytest

from kerazoo.layers import LocalResponseNormalization
from tests.applications.common import close, pictures


@pytest.mark.parametrize(
    ("radius", "bias", "alpha", "beta"), [(2, 2.0, 1e-4, 0.75), (1, 1.0, 0.3, 0.5), (9, 1.0, 0.1, 1.0)]
)
def test_the_papers_sum(radius, bias, alpha, beta):
    x = pictures(2, 3, 4, 8)
    expected = np.empty_like(x)
    for c in range(8):
        window = x[..., max(0, c - radius) : c + radius + 1]
        expected[..., c] = x[..., c] / (bias + alpha * (window**2).sum(-1)) ** beta
    close(LocalResponseNormalization(radius, bias, alpha, beta)(x), expected, 1e-6)


def test_without_tensorflow_the_same(monkeypatch):
    x, layer = pictures(2, 3, 4, 8), LocalResponseNormalization(alpha=0.2)
    expected = layer(x)
    monkeypatch.setattr(keras.backend, "backend", lambda: "other")
    close(layer.call(keras.ops.convert_to_tensor(x)), expected, 1e-6)


def test_survives_saving(tmp_path):
    model = keras.Sequential([keras.Input((3, 3, 6)), LocalResponseNormalization(1, 1.0, 0.5, 0.6)])
    model.save(tmp_path / "model.keras")
    x = pictures(1, 3, 3, 6)
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(x), model(x))


def test_instances_are_normalised_each_for_itself():
    from kerazoo.layers import InstanceNormalization

    x = np.random.default_rng(0).normal(3, 5, (2, 6, 7, 3)).astype("f")
    layer = InstanceNormalization(1e-3)
    layer.build(x.shape)
    layer.gamma.assign([1, 2, 3])
    layer.beta.assign([0, 1, -1])
    normal = (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 1e-3)
    np.testing.assert_allclose(layer(x), normal * [1, 2, 3] + [0, 1, -1], atol=1e-5)
    np.testing.assert_allclose(layer(x)[1:], layer(x[1:]), atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(5, 6), (1, 4), (2, 1), (3, 20)])
def test_reflection_is_numpys(height, width):
    """Also where the border is wider than the map, which is mirrored again and again."""
    from kerazoo.layers import ReflectionPadding2D

    x = np.random.default_rng(0).normal(size=(2, height, width, 3)).astype("f")
    padded = ReflectionPadding2D(7)
    np.testing.assert_array_equal(padded(x), np.pad(x, ((0, 0), (7, 7), (7, 7), (0, 0)), "reflect"))
    assert padded.compute_output_shape((None, None, 6, 3)) == (None, None, 20, 3)
