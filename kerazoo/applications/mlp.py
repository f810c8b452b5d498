"""MLP: pictures, read as one row of numbers.

Paper: Rumelhart, Hinton, Williams, "Learning representations by back-propagating errors", Nature 323, 1986.
Reference weights: none were published; `mlp:mnist` is trained by `recipes/mlp_mnist.py`.
Variants: `mlp`, 784-512-512-10 on 28x28 digits, 669,706 parameters; `MLP(widths=...)` builds any other.
Differs: ReLU for the paper's logistic units (`activation="sigmoid"` gives those), a softmax layer trained with
    cross-entropy for squared errors, and dropout (Srivastava et al., JMLR 15, 2014), none of which the paper had.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kerazoo.applications._classifier import tasks as tasks
from kerazoo.applications._dense import DenseConfig, dense_builder, stack
from kerazoo.applications._dense import sizes as sizes
from kerazoo.contract import Variant
from kerazoo.lazy import keras

__all__ = ["MLP"]


@dataclass(frozen=True)
class Config(DenseConfig):
    """Sizes of an MLP; see `DenseConfig`."""

    widths: tuple[int, ...] = (512, 512)
    dropout: float = 0.2
    hidden_activation: str = "relu"


VARIANTS = {
    "mlp": Variant(Config("mlp", (28, 28, 1), classes=10), params=669_706, input=(28, 28, 1), task="classify"),
}


def build(config: Config, input_tensor: Any = None) -> keras.Model:
    """Grey pictures [batch, 28, 28, 1] to logits [batch, classes]."""
    return stack(config, input_tensor, "glorot_uniform", keras.layers.Dropout)


MLP = dense_builder(__name__, "mlp", "MLP", "the multi-layer perceptron of any widths, for 28x28 grey digits.")
