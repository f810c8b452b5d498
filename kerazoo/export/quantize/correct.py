"""What rounding a layer's weights adds to its output on average, off its bias (Nagel et al. 2019, section 4.2)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kerazoo.export.quantize.graph import Graph, Layer

LEVELS = 127
"""Of weights on either side of zero."""


def rounded(weight: np.ndarray) -> np.ndarray:
    """Weights on the grid of 8 bits with a scale for each output, as every tool here rounds them."""
    flat = weight.reshape(len(weight), -1)
    scale = np.maximum(np.abs(flat).max(1, keepdims=True), 1e-12) / LEVELS
    return (np.round(flat / scale) * scale).reshape(weight.shape)


def bias(graph: Graph, layer: Layer, means: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The corrected bias of a layer; `None` where it has none.

    Args:
        means: The average of every channel of a layer's input, by the tensor's name.
    """
    if layer.bias is None or layer.input not in means or layer.bias in graph.shared:
        return None
    weight = graph.constants[layer.weight].astype(np.float64)
    error = (rounded(weight) - weight).reshape(len(weight), -1, weight.shape[-1]).sum(1)
    mean = np.asarray(means[layer.input], np.float64)
    if len(mean) != (len(weight) if layer.depthwise else weight.shape[-1]):
        return None
    added = error[:, 0] * mean if layer.depthwise else error @ mean
    return (graph.constants[layer.bias] - added).astype(np.float32)
