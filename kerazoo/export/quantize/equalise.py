"""Ranges across layers: what one layer gives less, the next takes more (Nagel et al. 2019, section 4.1).

Weights have a scale for each output, so what is left to gain are the weights of a layer's inputs, which share one:
where a channel is quiet, its weights in the next layer are large, and take the levels of all the others.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kerazoo.export.quantize.graph import Graph, Layer, next_layer

MOST = 64.0
"""No channel is scaled by more, up or down."""

ROOM = 0.9
"""A channel grows to so much of what its activation lets through: pictures that were not seen are cut off less."""


def equalised(graph: Graph, highest: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Changed weights and biases, with which the network answers as before.

    Args:
        highest: The greatest absolute value of every channel of a layer's input, by the tensor's name, as seen on
            calibration data.
    """
    held = {name: np.array(value, np.float64) for name, value in graph.constants.items()}
    changed: set[str] = set()
    for layer in graph.layers:
        found = next_layer(graph, layer)
        if found is None or found[0].input not in highest:
            continue
        after, bound = found
        names = [name for name in (layer.weight, layer.bias, after.weight) if name is not None]
        scales = _scales(held, layer, after, np.asarray(highest[after.input], np.float64), bound)
        if scales is None or not graph.shared.isdisjoint(names):
            continue
        held[layer.weight] *= scales.reshape(-1, *[1] * (held[layer.weight].ndim - 1))
        if layer.bias is not None:
            held[layer.bias] *= scales
        held[after.weight] /= scales.reshape(-1, 1, 1, 1) if after.depthwise else scales
        changed |= set(names)
    return {name: held[name].astype(np.float32) for name in sorted(changed)}


def _scales(
    held: Mapping[str, np.ndarray], layer: Layer, after: Layer, high: np.ndarray, bound: float
) -> np.ndarray | None:
    """By how much each channel between two layers grows."""
    weights = np.abs(held[after.weight])
    channels = weights.shape[0] if after.depthwise else weights.shape[-1]
    if channels != len(high) or len(held[layer.weight]) != channels:
        return None  # A multiplier, or groups.
    quiet = np.maximum(high, 1e-12)
    alive = high > 1e-6 * high.max()
    taken = np.maximum(weights.reshape(-1, channels).max(0), 1e-12)
    if np.isfinite(bound):
        # A channel that is cut off must stay as it is; the others may grow until they would be.
        most = np.clip(bound * ROOM / quiet, 1.0, MOST)
        # No further than it takes to bring the weights down to those of the channels that cannot grow.
        wanted = most if after.depthwise else np.clip(taken / (taken / most)[alive].max(initial=1e-12), 1.0, most)
    elif after.depthwise:
        # Its weights have a scale each: only the activation in between is shared.
        wanted = high.max() / quiet
    else:
        wanted = np.sqrt(taken / quiet)
        wanted /= np.exp(np.log(wanted[alive]).mean()) if alive.any() else 1.0
    return np.where(alive, np.clip(wanted, 1 / MOST, MOST), 1.0)
