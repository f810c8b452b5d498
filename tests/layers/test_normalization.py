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
