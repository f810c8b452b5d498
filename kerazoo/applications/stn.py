"""Spatial transformer network: a classifier that first turns, scales and centres what it looks at.

Paper: Jaderberg, Simonyan, Zisserman, Kavukcuoglu, "Spatial Transformer Networks", arXiv:1506.02025 (NIPS 2015),
    sections 3 and 4.1: ST-CNN with an affine transformer, on distorted MNIST.
Reference weights: none were published; `stn:mnist-rts` is trained by `recipes/stn_mnist_rts.py`.
Variants: `stn`, for the 42x42 pictures of the paper's RTS set, 277,544 parameters.
Differs: the sizes of the localisation network and the average pooling after the transformer are those of
    hvy/chainer-spatial-transformer-networks, a public reimplementation of the RTS experiment, with a hidden layer of 20
    units more before the six numbers. The classifier's convolutions (9x9 and 7x7, 32 maps) are padded, and a hidden
    layer of 256 units follows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kerazoo.applications._classifier import ClassifierConfig, builder, entrance, finish, without_top
from kerazoo.applications._classifier import tasks as tasks
from kerazoo.contract import Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras, own_layers

__all__ = ["SpatialTransformer"]


@dataclass(frozen=True)
class Config(ClassifierConfig):
    """Sizes of a spatial transformer network.

    Attributes:
        localisation: Maps of the localisation network's two convolutions, and units of its hidden layer.
        maps: Maps of the classifier's two convolutions.
        units: Units of its hidden layer.
    """

    localisation: tuple[int, int, int] = (20, 20, 20)
    maps: tuple[int, int] = (32, 32)
    units: int = 256


VARIANTS = {
    "stn": Variant(
        Config("stn", (42, 42, 1), classes=10),
        params=277_544,
        input=(42, 42, 1),
        task="classify",
        small=Config("stn", (28, 28, 1), classes=10, localisation=(4, 4, 8), maps=(8, 8), units=16),
    ),
}


def localisation(config: Config, pictures: Any) -> Any:
    """Pictures [batch, height, width, channels] to the six numbers of their affine maps [batch, 6]."""
    layers = keras.layers
    x = layers.MaxPooling2D(2, name="localisation_pool1")(pictures)
    x = layers.Conv2D(config.localisation[0], 5, activation="relu", name="localisation_conv1")(x)
    x = layers.MaxPooling2D(2, name="localisation_pool2")(x)
    x = layers.Conv2D(config.localisation[1], 5, activation="relu", name="localisation_conv2")(x)
    x = layers.Flatten(name="localisation_flatten")(x)
    x = layers.Dense(config.localisation[2], activation="relu", name="localisation_dense")(x)
    return layers.Dense(6, kernel_initializer="zeros", bias_initializer=own_layers.IdentityMap(), name="theta")(x)


def build(config: Config, input_tensor: Any = None) -> keras.Model:
    """Pictures [batch, height, width, channels] of a fixed size to logits [batch, classes]."""
    layers = keras.layers
    inputs = x = entrance(config, input_tensor)
    height, width = x.shape[1:3]
    if height is None or width is None:
        raise UsageError(f"{config.name} needs pictures of a fixed size; input_shape={tuple(x.shape[1:])!r} is none.")
    theta = localisation(config, x)
    x = own_layers.AffineTransformer(height, width, name="transformed")([x, theta])
    x = layers.AveragePooling2D(2, name="pool0")(x)
    for index, (maps, kernel) in enumerate(zip(config.maps, (9, 7), strict=True), start=1):
        x = layers.Conv2D(
            maps, kernel, padding="same", activation="relu", kernel_initializer="he_normal", name=f"conv{index}"
        )(x)
        x = layers.MaxPooling2D(2, name=f"pool{index}")(x)
    if not config.include_top:
        return finish(config, inputs, without_top(config, x))
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(config.units, activation="relu", kernel_initializer="he_normal", name="dense")(x)
    outputs = layers.Dense(config.classes, activation=config.activation, name="predictions")(x)
    return finish(config, inputs, outputs)


SpatialTransformer = builder(
    __name__, "stn", "SpatialTransformer", "ST-CNN, affine, of Jaderberg et al. 2015, for distorted digits.", least=28
)
