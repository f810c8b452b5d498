"""LeNet-5: digits, read.

Paper: LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 86(11),
    1998, section II.B and figure 2.
Reference weights: none were published; `lenet5:mnist` is trained by `recipes/lenet5_mnist.py`.
Variants: `lenet5`, the modern reading, 61,706 parameters.
Differs: ReLU for the scaled tanh; parameter-free 2x2 max-pooling for trainable sub-sampling; every C3 map sees all six
    S2 maps instead of the paper's table I; a dense softmax layer for the radial basis functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kerazoo.applications._classifier import ClassifierConfig, builder, entrance, finish, without_top
from kerazoo.applications._classifier import tasks as tasks
from kerazoo.contract import Variant
from kerazoo.lazy import keras

__all__ = ["LeNet5"]


@dataclass(frozen=True)
class Config(ClassifierConfig):
    """Sizes of a LeNet: maps of the two convolutions, units of the two hidden dense layers."""

    maps: tuple[int, int] = (6, 16)
    units: tuple[int, int] = (120, 84)


VARIANTS = {
    "lenet5": Variant(Config("lenet5", (32, 32, 1), classes=10), params=61_706, input=(32, 32, 1), task="classify"),
}


def build(config: Config, input_tensor: Any = None) -> keras.Model:
    """Grey pictures [batch, 32, 32, 1] to logits [batch, classes]."""
    layers = keras.layers
    inputs = x = entrance(config, input_tensor)
    for index, maps in enumerate(config.maps, start=1):
        x = layers.Conv2D(maps, 5, activation="relu", kernel_initializer="he_normal", name=f"conv{index}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{index}")(x)
    if not config.include_top:
        return finish(config, inputs, without_top(config, x))
    x = layers.Flatten(name="flatten")(x)
    for index, units in enumerate(config.units, start=1):
        x = layers.Dense(units, activation="relu", kernel_initializer="he_normal", name=f"dense{index}")(x)
    outputs = layers.Dense(config.classes, activation=config.activation, name="predictions")(x)
    return finish(config, inputs, outputs)


LeNet5 = builder(
    __name__, "lenet5", "LeNet5", "the modern reading of LeCun et al. 1998, for 32x32 grey digits.", least=14
)
