"""Small networks with every way in which channels can hang together."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

layers = keras.layers


def _model(inputs: Any, x: Any, name: str) -> Any:
    """With weights that are no round numbers, and statistics that are none of a fresh network."""
    model = keras.Model(inputs, x, name=name)
    rng = np.random.default_rng(3)
    for variable in model.weights:
        low = 0.5 if "variance" in variable.path or "gamma" in variable.path else -0.5
        variable.assign(rng.uniform(low, 1.0, variable.shape) / max(1, np.prod(variable.shape[:-1]) ** 0.5))
    return model


def plain() -> Any:
    """Convolutions one after the other, then dense layers on flattened maps: VGG's kind."""
    inputs = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="conv1")(inputs)
    x = layers.MaxPooling2D(name="pool1")(x)
    x = layers.Conv2D(24, 3, padding="same", activation="relu", name="conv2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(0.5, name="drop")(layers.Dense(20, activation="relu", name="fc1")(x))
    return _model(inputs, layers.Dense(4, name="predictions")(x), "plain")


def residual() -> Any:
    """Additions, and a shortcut that is widened by zeros: ResNet's kind."""
    inputs = keras.Input((8, 8, 3), name="image")
    x = layers.ReLU(name="relu0")(_normed(inputs, 16, "conv0"))
    y = layers.ReLU(name="relu1")(_normed(x, 16, "conv1"))
    x = layers.ReLU(name="out1")(layers.Add(name="add1")([x, _normed(y, 16, "conv2")]))
    y = layers.ReLU(name="relu3")(_normed(x, 24, "conv3"))
    wide = layers.ZeroPadding2D(((0, 0), (4, 4)), data_format="channels_first", name="widen")(x)
    x = layers.ReLU(name="out2")(layers.Add(name="add2")([wide, _normed(y, 24, "conv4")]))
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return _model(inputs, layers.Dense(4, name="predictions")(x), "residual")


def _normed(x: Any, filters: int, name: str) -> Any:
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(momentum=0.5, name=f"{name}_bn")(x)


def fire() -> Any:
    """Concatenations: SqueezeNet's kind."""
    inputs = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(16, 3, activation="relu", name="conv1")(inputs)
    x = layers.Conv2D(8, 1, activation="relu", name="squeeze")(x)
    left = layers.Conv2D(16, 1, activation="relu", name="expand1x1")(x)
    right = layers.Conv2D(16, 3, padding="same", activation="relu", name="expand3x3")(x)
    x = layers.Concatenate(name="concat")([left, right])
    x = layers.Conv2D(4, 1, name="conv10")(x)
    return _model(inputs, layers.GlobalAveragePooling2D(name="pool10")(x), "fire")


def separable() -> Any:
    """Depthwise convolutions, one of them with two outputs a channel: MobileNet's kind."""
    inputs = keras.Input((8, 8, 3), name="image")
    x = layers.ReLU(6.0, name="conv1_relu")(_normed(inputs, 8, "conv1"))
    for number, multiplier in ((1, 1), (2, 2)):
        x = layers.DepthwiseConv2D(3, 1, "same", multiplier, use_bias=False, name=f"dw{number}")(x)
        x = layers.ReLU(6.0, name=f"dw{number}_relu")(layers.BatchNormalization(name=f"dw{number}_bn")(x))
        x = layers.ReLU(6.0, name=f"pw{number}_relu")(_normed(x, 16, f"pw{number}"))
    x = layers.GlobalAveragePooling2D(keepdims=True, name="avg_pool")(x)
    x = layers.Conv2D(4, 1, name="conv_preds")(x)
    x = layers.Reshape((4,), name="reshape")(x)
    return _model(inputs, layers.Activation("linear", name="predictions")(x), "separable")


KINDS = {made.__name__: made for made in (plain, residual, fire, separable)}


def pictures(count: int = 4) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, (count, 8, 8, 3)).astype(np.float32)
