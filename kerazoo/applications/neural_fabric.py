"""Convolutional neural fabric: a trellis of layers and scales in which many networks are paths.

Paper: Saxena, Verbeek, "Convolutional Neural Fabrics", arXiv:1606.02492 (NIPS 2016), section 3, the dense fabric.
Reference weights: none were published; `neural_fabric:mnist` is trained by `recipes/neural_fabric_mnist.py`.
Variants: `neural_fabric`, 4 layers, 6 scales and 16 channels, for 28x28 digits, 135,482 parameters.
Differs: smaller than the authors' demonstration (shreyassaxena/convolutional-neural-fabrics, MNIST: 9 layers, 27
    channels), of which all else is taken: which node hears which, zeros between the pixels of a coarser scale before
    they are convolved (written here as the transposed convolution that it is), digits padded to 32x32 with black. The
    biases before batch normalisation, which it would take away again, are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kerazoo.applications._classifier import ClassifierConfig, builder, entrance, finish, without_top
from kerazoo.applications._classifier import tasks as tasks
from kerazoo.contract import Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras

__all__ = ["NeuralFabric"]


@dataclass(frozen=True)
class Config(ClassifierConfig):
    """A fabric's two sizes; its scales follow from the picture, halved until one pixel is left.

    Attributes:
        layers: How often all scales exchange what they found.
        channels: Maps of each node.
    """

    layers: int = 4
    channels: int = 16


VARIANTS = {
    "neural_fabric": Variant(
        Config("neural_fabric", (28, 28, 1), classes=10),
        params=135_482,
        input=(28, 28, 1),
        task="classify",
        small=Config("neural_fabric", (7, 7, 1), classes=10, layers=3, channels=8),
    ),
}


def same(config: Config, x: Any, name: str) -> Any:
    """3x3 convolution at one scale."""
    return keras.layers.Conv2D(
        config.channels, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)


def coarser(config: Config, x: Any, name: str) -> Any:
    """3x3 convolution to half as many pixels; the first pixel's window is centred on it, as Caffe has it."""
    x = keras.layers.ZeroPadding2D(((1, 0), (1, 0)), name=f"{name}_pad")(x)
    return keras.layers.Conv2D(
        config.channels, 3, strides=2, use_bias=False, kernel_initializer="he_normal", name=name
    )(x)


def finer(config: Config, x: Any, name: str) -> Any:
    """To twice as many pixels: zeros between them, then a 3x3 convolution; which is one transposed convolution."""
    x = keras.layers.Conv2DTranspose(
        config.channels, 3, strides=2, use_bias=False, kernel_initializer="he_normal", name=name
    )(x)
    return keras.layers.Cropping2D(((1, 0), (1, 0)), name=f"{name}_crop")(x)


def node(heard: list[Any], name: str) -> Any:
    """The sum of what a node hears, batch normalised, and its positive part."""
    x = keras.layers.Add(name=f"{name}_sum")(heard) if len(heard) > 1 else heard[0]
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=name)(x)


def padded(config: Config, pictures: Any) -> tuple[Any, int]:
    """The pictures amid zeros, as squares whose side is a power of two, and the number of scales."""
    height, width = pictures.shape[1:3]
    if height is None or width is None:
        raise UsageError(
            f"{config.name} needs pictures of a fixed size; input_shape={tuple(pictures.shape[1:])!r} is none."
        )
    halvings = (max(height, width) - 1).bit_length()
    top, left = ((2**halvings - side) // 2 for side in (height, width))
    border = ((top, 2**halvings - height - top), (left, 2**halvings - width - left))
    if any(sum(ends) for ends in border):
        pictures = keras.layers.ZeroPadding2D(border, name="pad")(pictures)
    return pictures, halvings + 1


def build(config: Config, input_tensor: Any = None) -> keras.Model:
    """Pictures [batch, height, width, channels] of a fixed size to logits [batch, classes]."""
    inputs = entrance(config, input_tensor)
    x, scales = padded(config, inputs)
    before: list[Any] = []
    for layer in range(1, config.layers + 1):
        now: list[Any] = []
        for scale in range(scales):
            name, heard = f"layer{layer}_scale{scale}", []
            if layer == 1 and scale == 0:
                heard.append(same(config, x, f"{name}_image"))
            if layer > 1:
                heard.append(same(config, before[scale], f"{name}_same"))
                if scale > 0:
                    heard.append(coarser(config, before[scale - 1], f"{name}_coarser"))
                if scale < scales - 1:
                    heard.append(finer(config, before[scale + 1], f"{name}_finer"))
            # The first layer brings the picture to all scales, the last brings all scales to the answer's.
            if scale > 0 and layer in (1, config.layers):
                heard.append(coarser(config, now[-1], f"{name}_chain"))
            now.append(node(heard, name))
        before = now
    x = before[-1]
    if not config.include_top:
        return finish(config, inputs, without_top(config, x))
    x = keras.layers.Flatten(name="flatten")(x)
    outputs = keras.layers.Dense(config.classes, activation=config.activation, name="predictions")(x)
    return finish(config, inputs, outputs)


NeuralFabric = builder(
    __name__, "neural_fabric", "NeuralFabric", "the dense fabric of Saxena and Verbeek 2016, for digits.", least=1
)
