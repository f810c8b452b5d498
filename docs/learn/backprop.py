"""Back-propagation in a hundred lines of NumPy: a network of dense layers that learns two spirals.

    python docs/learn/backprop.py

Rumelhart, Hinton, Williams, "Learning representations by back-propagating errors", Nature 323, 1986.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Layers = list[tuple[np.ndarray, np.ndarray]]
"""Kernel [inputs, units] and bias [units] of each layer; tanh follows all but the last."""


def initial(sizes: Sequence[int], rng: np.random.Generator) -> Layers:
    """Layers from `sizes[0]` inputs to `sizes[-1]` outputs.

    Kernels are uniform within sqrt(6 / (inputs + units)), so that neither values nor gradients grow or fade from layer
    to layer (Glorot and Bengio, AISTATS 2010, equation 16).
    """
    layers = []
    for inputs, units in zip(sizes[:-1], sizes[1:], strict=True):
        limit = np.sqrt(6 / (inputs + units))
        layers.append((rng.uniform(-limit, limit, (inputs, units)), np.zeros(units)))
    return layers


def forward(layers: Layers, inputs: np.ndarray) -> list[np.ndarray]:
    """What each layer gives, the inputs [batch, features] first and the logits [batch, classes] last."""
    values = [inputs]
    for index, (kernel, bias) in enumerate(layers):
        sums = values[-1] @ kernel + bias
        values.append(sums if index == len(layers) - 1 else np.tanh(sums))
    return values


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax [batch, classes]; the largest logit is taken off first, so that no power overflows."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """The mean cross-entropy of class numbers [batch]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    logarithms = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-logarithms[np.arange(len(labels)), labels].mean())


def backward(layers: Layers, values: list[np.ndarray], labels: np.ndarray) -> Layers:
    """The gradient of `loss` by every kernel and bias, in the order of the layers.

    Args:
        layers: The network.
        values: Of `forward`.
        labels: Class numbers [batch].
    """
    # By the logits: what the network says, less what is true, over the number of samples.
    error = probabilities(values[-1])
    error[np.arange(len(labels)), labels] -= 1
    error /= len(labels)
    gradients = []
    for index in reversed(range(len(layers))):
        kernel, _ = layers[index]
        below = values[index]
        gradients.append((below.T @ error, error.sum(axis=0)))
        if index:
            # Back through the kernel, and then through tanh, whose slope is 1 - tanh^2.
            error = (error @ kernel.T) * (1 - below**2)
    return gradients[::-1]


def slopes(layers: Layers, inputs: np.ndarray, labels: np.ndarray, step: float = 1e-5) -> Layers:
    """The same gradient by central differences: two forward passes for every number of the network."""

    def slope(array: np.ndarray) -> np.ndarray:
        found = np.zeros_like(array)
        for place in np.ndindex(*array.shape):
            kept = array[place]
            ends = []
            for moved in (kept + step, kept - step):
                array[place] = moved
                ends.append(loss(forward(layers, inputs)[-1], labels))
            array[place] = kept
            found[place] = (ends[0] - ends[1]) / (2 * step)
        return found

    return [(slope(kernel), slope(bias)) for kernel, bias in layers]


def learn(layers: Layers, inputs: np.ndarray, labels: np.ndarray, steps: int, rate: float = 0.2) -> list[float]:
    """Gradient descent with a momentum of 0.9 on all samples at once; changes the layers, and returns the losses."""
    moving = [tuple(np.zeros_like(array) for array in layer) for layer in layers]
    losses = []
    for _ in range(steps):
        values = forward(layers, inputs)
        losses.append(loss(values[-1], labels))
        for layer, motion, gradient in zip(layers, moving, backward(layers, values, labels), strict=True):
            for array, velocity, slope in zip(layer, motion, gradient, strict=True):
                velocity *= 0.9
                velocity -= rate * slope
                array += velocity
    return losses


def spirals(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points [count, 2] on two spirals around each other, and which of them each is on."""
    labels = np.arange(count) % 2
    along = rng.uniform(0.5, 3, count)
    angle = along * np.pi + labels * np.pi
    points = np.stack([along * np.cos(angle), along * np.sin(angle)], axis=1) / 3
    return points + rng.normal(0, 0.02, points.shape), labels


def main() -> None:
    rng = np.random.default_rng(0)
    layers = initial((2, 32, 32, 2), rng)
    points, labels = spirals(400, rng)
    losses = learn(layers, points, labels, 2000)
    for step in (0, 100, 500, 1000, 1999):
        print(f"step {step} loss {losses[step]:.4f}")
    unseen, truth = spirals(400, rng)
    right = forward(layers, unseen)[-1].argmax(axis=1) == truth
    print(f"right of 400 points that were not learnt: {100 * right.mean():.1f} %")


if __name__ == "__main__":
    main()
