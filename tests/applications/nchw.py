"""Layers as PyTorch and Caffe have them, channels first, in plain NumPy: what converted weights are held against."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def relu(x):
    return np.maximum(x, 0)


def conv(x, kernel, bias, stride=1, pad=0, groups=1):
    """x [batch, channels, height, width]; kernel OIHW, each group of outputs seeing its part of the channels."""
    x = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
    windows = sliding_window_view(x, kernel.shape[2:], (2, 3))[:, :, ::stride, ::stride]
    parts = zip(np.split(windows, groups, 1), np.split(kernel, groups), strict=True)
    sums = [np.tensordot(window, part, [(1, 4, 5), (1, 2, 3)]) for window, part in parts]
    return np.concatenate(sums, -1).transpose(0, 3, 1, 2) + bias.reshape(-1, 1, 1)


def max_pool(x, size, stride=2):
    return sliding_window_view(x, (size, size), (2, 3))[:, :, ::stride, ::stride].max((-2, -1))


def ceil_pool(x):
    """3x3/2, rounding up; what is pooled is positive."""
    high, wide = (side % 2 == 0 for side in x.shape[2:])
    return max_pool(np.pad(x, [(0, 0), (0, 0), (0, int(high)), (0, int(wide))]), 3)


def adaptive_average(x, side):
    """Means of `side` x `side` ranges of places that cover the map, overlapping where they must."""

    def ranges(length):
        return [slice(i * length // side, -(-(i + 1) * length // side)) for i in range(side)]

    rows = [[x[:, :, high, wide].mean((2, 3)) for wide in ranges(x.shape[3])] for high in ranges(x.shape[2])]
    return np.asarray(rows).transpose(2, 3, 0, 1)


def lrn(x, size=5, k=1.0, alpha=1e-4, beta=0.75):
    """Across channels, alpha divided by the number of them, as Caffe, PyTorch and ONNX do."""
    squares = np.pad(x**2, [(0, 0), (size // 2, size // 2), (0, 0), (0, 0)])
    total = sum(squares[:, shift : shift + x.shape[1]] for shift in range(size))
    return x / (k + alpha / size * total) ** beta


def dense(x, kernel, bias):
    """kernel [outputs, inputs]."""
    return x.reshape(len(x), -1) @ kernel.T + bias


def drawn(shapes, seed=3):
    """Random float32 arrays whose signals keep their size through ReLU; `shapes` of kernels and biases by name."""
    random = np.random.default_rng(seed)
    return {
        name: (
            random.uniform(-0.2, 0.2, shape)
            if len(shape) == 1
            else random.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape)
        ).astype(np.float32)
        for name, shape in shapes.items()
    }


def layer_shapes(kernels):
    """Layer -> shape of its kernel, as shapes of `layer.weight` and `layer.bias`."""
    shapes = {}
    for layer, shape in kernels.items():
        shapes |= {f"{layer}.weight": shape, f"{layer}.bias": shape[:1]}
    return shapes
