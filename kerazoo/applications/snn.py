"""SNN: dense layers that keep their own mean and variance, so that they can be stacked deep.

Paper: Klambauer, Unterthiner, Mayr, Hochreiter, "Self-Normalizing Neural Networks", NIPS 2017, arXiv:1706.02515.
Reference weights: none were published; `snn:mnist` is trained by `recipes/snn_mnist.py`.
Variants: `snn`, eight hidden layers of 256 on 28x28 digits, 664,074 parameters; `SNN(widths=...)` builds any other.
Differs: Keras' `LecunNormal` draws from a normal distribution cut off at two deviations, of the paper's variance. The
    pixels are standardised with one mean and deviation, not each with its own. The fixed point is SELU's: with another
    `activation` neither the initial weights nor alpha dropout keep mean and variance, which is what comparing shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kerazoo.applications._classifier import tasks as tasks
from kerazoo.applications._dense import DenseConfig, dense_builder, stack
from kerazoo.applications._dense import sizes as sizes
from kerazoo.contract import Variant
from kerazoo.lazy import keras

__all__ = ["SNN"]


@dataclass(frozen=True)
class Config(DenseConfig):
    """Sizes of an SNN; see `DenseConfig`."""

    widths: tuple[int, ...] = (256,) * 8
    dropout: float = 0.05
    hidden_activation: str = "selu"


VARIANTS = {
    "snn": Variant(Config("snn", (28, 28, 1), classes=10), params=664_074, input=(28, 28, 1), task="classify"),
}


def build(config: Config, input_tensor: Any = None) -> keras.Model:
    """Grey pictures [batch, 28, 28, 1], of mean 0 and variance 1, to logits [batch, classes]."""
    return stack(config, input_tensor, "lecun_normal", keras.layers.AlphaDropout)


SNN = dense_builder(__name__, "snn", "SNN", "self-normalising layers, Klambauer et al. 2017, for 28x28 grey digits.")
