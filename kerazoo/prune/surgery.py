"""Takes channels out of a network: the same graph with narrower layers, and what is left of the weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from kerazoo.lazy import keras
from kerazoo.prune.channels import Traced

SIZES = {"Conv1D": "filters", "Conv2D": "filters", "Conv3D": "filters", "GroupedConv2D": "filters", "Dense": "units"}


def without(model: Any, traced: Traced, gone: np.ndarray) -> Any:
    """The model without some groups of channels.

    Where their channels were zero throughout, it answers as before.

    Args:
        model: What was traced; it stays as it is.
        traced: Its channels.
        gone: Numbers of groups that may go.
    """
    lost = {int(group) for group in gone}

    def kept(channels: np.ndarray) -> np.ndarray:
        return np.array([group not in lost for group in traced.groups(channels).tolist()], bool)

    def narrower(layer: Any) -> Any:
        config = layer.get_config()
        name = type(layer).__name__
        if layer.name in traced.calls:
            inputs, outputs = traced.calls[layer.name]
            if name in SIZES:
                config[SIZES[name]] = int(kept(outputs).sum())
            elif name == "ZeroPadding2D" and layer.data_format == "channels_first":
                before, after = layer.padding[-1]
                stay = kept(outputs)
                sides = (int(stay[:before].sum()), int(stay[len(stay) - after :].sum()))
                config["padding"] = (tuple(layer.padding[0]), sides)
        return type(layer).from_config(config)

    made = keras.models.clone_model(model, clone_function=narrower)
    old = {variable.path: variable.numpy() for variable in model.weights}
    for side in traced.sides:
        path = side.variable.path
        # A variable with two sides has been narrowed along one of them already; the other's length is whole.
        old[path] = np.compress(kept(side.channels), old[path], axis=side.axis)
    for variable in made.weights:
        variable.assign(old[variable.path])
    for layer in made.layers:
        layer.trainable = model.get_layer(layer.name).trainable
    return made
