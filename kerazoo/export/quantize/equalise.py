"""Ranges across layers: what one layer gives less, the next takes more (Nagel et al. 2019, section 4.1).

Weights have a scale for each output, so what is left to gain are the weights of a layer's inputs, which share one:
where a channel is quiet, its weights in the next layer are large, and take the levels of all the others.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kerazoo.export.quantize.graph import Graph, Layer, Reader, channels, readers_of

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
    counts = channels(graph)
    changed: set[str] = set()
    for layer in graph.layers:
        readers = readers_of(graph, layer, counts)
        if readers is None or any(each.layer.input not in highest for each in readers):
            continue
        names = {layer.weight, *([layer.bias] if layer.bias is not None else []), *(r.layer.weight for r in readers)}
        scales = _scales(held, layer, readers, highest)
        if scales is None or not graph.shared.isdisjoint(names):
            continue
        held[layer.weight] *= scales.reshape(-1, *[1] * (held[layer.weight].ndim - 1))
        if layer.bias is not None:
            held[layer.bias] *= scales
        for each in readers:
            _slice(held, each, len(scales))[...] /= scales.reshape(-1, 1, 1, 1) if each.layer.depthwise else scales
        changed |= names
    return {name: held[name].astype(np.float32) for name in sorted(changed)}


def _slice(held: Mapping[str, np.ndarray], reader: Reader, count: int) -> np.ndarray:
    """The weights of a reader that take some of its inputs' channels."""
    part = slice(reader.offset, reader.offset + count)
    weight = held[reader.layer.weight]
    return weight[part] if reader.layer.depthwise else weight[..., part]


def _scales(
    held: Mapping[str, np.ndarray], layer: Layer, readers: list[Reader], highest: Mapping[str, np.ndarray]
) -> np.ndarray | None:
    """By how much each channel of a layer's output grows."""
    count = len(held[layer.weight])
    taken, high = np.full(count, 1e-12), np.zeros(count)
    for each in readers:
        inputs = np.asarray(highest[each.layer.input], np.float64)
        weight = held[each.layer.weight]
        if len(inputs) != (len(weight) if each.layer.depthwise else weight.shape[-1]):
            return None  # A multiplier, or groups.
        part = np.abs(_slice(held, each, count))
        seen = inputs[each.offset : each.offset + count]
        if len(seen) != count:
            return None
        if not each.layer.depthwise:
            taken = np.maximum(taken, part.reshape(-1, count).max(0))
        high = np.maximum(high, seen)
    bound = min(each.bound for each in readers)
    quiet = np.maximum(high, 1e-12)
    alive = high > 1e-6 * high.max()
    alone = all(each.layer.depthwise for each in readers)
    if np.isfinite(bound):
        # A channel that is cut off must stay as it is; the others may grow until they would be.
        most = np.clip(bound * ROOM / quiet, 1.0, MOST)
        # No further than it takes to bring the weights down to those of the channels that cannot grow.
        wanted = most if alone else np.clip(taken / (taken / most)[alive].max(initial=1e-12), 1.0, most)
    elif alone:
        # Their weights have a scale each: only the activation in between is shared.
        wanted = high.max() / quiet
    else:
        wanted = np.sqrt(taken / quiet)
        wanted /= np.exp(np.log(wanted[alive]).mean()) if alive.any() else 1.0
    return np.where(alive, np.clip(wanted, 1 / MOST, MOST), 1.0)
