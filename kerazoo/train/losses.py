"""Losses and figures of a batch, as functions of the truth and the network's output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kerazoo.errors import UsageError, near
from kerazoo.lazy import keras


def cross_entropy(labels: Any, logits: Any) -> Any:
    """Of class numbers [...] and logits [..., classes], one number for each."""
    return keras.ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)


@dataclass(frozen=True)
class Smoothed:
    """Cross-entropy of class numbers [...] and logits [..., classes] with labels smoothed as `shares` does.

    The shares are not made: where there are thousands of classes they would be as large as the logits.
    """

    smoothing: float = 0.1

    def __call__(self, labels: Any, logits: Any) -> Any:
        ops, others = keras.ops, self.smoothing / max(1, logits.shape[-1] - 1)
        right_ = cross_entropy(labels, logits)
        # The sum of all classes' surprises.
        whole = logits.shape[-1] * ops.logsumexp(logits, axis=-1) - ops.sum(logits, axis=-1)
        return (1 - self.smoothing - others) * right_ + others * whole


def right(labels: Any, logits: Any, *_: Any) -> Any:
    """1.0 where the label has the largest of the logits [..., classes], else 0.0.

    Labels are class numbers [...], or shares of classes [..., classes], of which the largest counts.
    """
    ops = keras.ops
    if len(labels.shape) == len(logits.shape):
        labels = ops.argmax(labels, axis=-1)
    same = ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), ops.cast(labels, "int32"))
    return ops.cast(same, "float32")


def accuracy(labels: Any, logits: Any, *_: Any) -> Any:
    """The share of the labels that are `right`."""
    return keras.ops.mean(right(labels, logits))


def squared(targets: Any, output: Any) -> Any:
    """The mean squared difference."""
    return keras.ops.mean(keras.ops.square(output - targets))


def squared_a_sample(targets: Any, output: Any) -> Any:
    """The squared difference of each sample, summed over all that it holds."""
    return keras.ops.sum(keras.ops.square(output - targets), axis=tuple(range(1, len(output.shape))))


def psnr(targets: Any, output: Any) -> Any:
    """Peak signal-to-noise ratio in dB of values 0..1."""
    return -10.0 * keras.ops.log10(squared(targets, output))


@dataclass(frozen=True)
class Within:
    """A figure of the middle of an output [batch, h, w, c], as large as the target: what saw no edge."""

    figure: Callable[[Any, Any], Any]

    def __call__(self, targets: Any, output: Any) -> Any:
        top, left = ((output.shape[axis] - targets.shape[axis]) // 2 for axis in (1, 2))
        return self.figure(targets, output[:, top : top + targets.shape[1], left : left + targets.shape[2]])


def over_known(figure: Callable[[Any, Any], Any]) -> Callable[[Any, Any, Any], Any]:
    """The mean of a figure of each node over those whose weight is not 0: of labels, logits and weights [nodes]."""

    def mean(labels: Any, logits: Any, known: Any) -> Any:
        return keras.ops.sum(figure(labels, logits) * known) / keras.ops.sum(known)

    return mean


def of_probabilities(labels: Any, probabilities: Any) -> Any:
    """Cross-entropy of class numbers [...] and probabilities [..., classes], one number for each."""
    return keras.ops.sparse_categorical_crossentropy(labels, probabilities, from_logits=False)


def with_loss(step: Any, change: Callable[[Any], Any]) -> Any:
    """A step whose loss is what `change` makes of it, or, where a step stands around another, of the inner one's."""
    if hasattr(step, "loss"):
        return replace(step, loss=change(step.loss))
    return replace(step, step=with_loss(step.step, change))


KINDS: Mapping[str, tuple[str, str]] = {
    "cross_entropy": ("categorical_crossentropy", "logits"),
    "binary_cross_entropy": ("binary_crossentropy", "logits"),
    "kl": ("kl_divergence", "softmax"),
    "mse": ("mean_squared_error", "softmax"),
    "msle": ("mean_squared_logarithmic_error", "softmax"),
    "mae": ("mean_absolute_error", "softmax"),
    "hinge": ("hinge", "linear"),
    "categorical_hinge": ("categorical_hinge", "linear"),
}
"""Words for Keras' losses, and what they are given: logits, softmax probabilities, or plain outputs."""


def shares(labels: Any, classes: int, smoothing: float = 0.0) -> Any:
    """What each class should get of the probability: float32 [..., classes].

    Args:
        labels: Class numbers [...], or shares already.
        classes: How many there are.
        smoothing: What the true class gives to the others together. Szegedy et al., arXiv:1512.00567, section 7, as He
            et al., arXiv:1812.01187, section 5.2, write it: `1 - smoothing` and `smoothing / (classes - 1)`. Keras'
            `label_smoothing` spreads over all classes, the true one too: its 0.1 is 0.09 here where there are ten.
    """
    ops = keras.ops
    if labels.dtype not in ("float16", "float32", "float64", "bfloat16"):
        labels = ops.one_hot(labels, classes)
    labels = ops.cast(labels, "float32")
    if not smoothing:
        return labels
    return labels * (1 - smoothing) + (1 - labels) * (smoothing / max(1, classes - 1))


@dataclass(frozen=True)
class Classes:
    """A loss of a classifier that ends in logits, one number for each sample.

    Attributes:
        kind: A key of `KINDS`, or `focal`.
        smoothing: See `shares`.
    """

    kind: str = "cross_entropy"
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        known = (*KINDS, "focal")
        if self.kind not in known:
            raise UsageError(f"loss={self.kind} is not known; known are {', '.join(known)}.{near(self.kind, known)}")

    def __call__(self, labels: Any, logits: Any) -> Any:
        """Of class numbers [...] or shares [..., classes], and logits [..., classes]."""
        wanted = shares(labels, logits.shape[-1], self.smoothing)
        if self.kind == "focal":
            return keras.ops.sum(focal_terms(wanted, logits), axis=-1)
        name, form = KINDS[self.kind]
        function = getattr(keras.losses, name)
        if form == "logits":
            return function(wanted, logits, from_logits=True)
        return function(wanted, keras.ops.softmax(logits) if form == "softmax" else logits)


@dataclass(frozen=True)
class Ranking:
    """By how much wrong pairs come within a margin of right ones, both ways: of either's others.

    Source: Karpathy, Fei-Fei, arXiv:1412.2306, equation 9; of a batch's pairs the mean, and not the sum.

    Attributes:
        margin: By which a right pair must score more.
    """

    margin: float = 1.0

    def __call__(self, kinds: Any, scores: Any) -> Any:
        """One number for each pair.

        Args:
            kinds: Whole numbers [n]; pairs of equal number could be exchanged, and are not wrong with each other.
            scores: Of the first of pair k with the second of pair l, float32 [n, n].
        """
        ops = keras.ops
        right_ = ops.diagonal(scores)
        wrong = ops.cast(ops.not_equal(kinds[:, None], kinds[None, :]), scores.dtype)
        rows, columns = (ops.relu(scores - own + self.margin) * wrong for own in (right_[:, None], right_[None, :]))
        return ops.sum(rows, axis=1) + ops.sum(columns, axis=0)


def focal_terms(targets: Any, logits: Any, gamma: float = 2.0, alpha: float = 0.25) -> Any:
    """`-alpha_t (1 - p_t)^gamma log p_t` of each output, from logits, which are finite where probabilities are 0 or 1.

    Lin, Goyal, Girshick, He, Dollar, "Focal Loss for Dense Object Detection", ICCV 2017, arXiv:1708.02002, equation 5,
    with a sigmoid for each class.

    Args:
        targets: [...]: 1 for positives, 0 for negatives, or anything between.
        logits: Of the same shape.
        gamma: How much less what is right already counts; 0 for plain cross-entropy.
        alpha: Weight of positives; that of negatives is `1 - alpha`.
    """
    ops = keras.ops
    # -log p and -log(1 - p) of the sigmoid, whose powers are taken of logarithms, so that no gradient is 0 / 0.
    no, yes = ops.softplus(-logits), ops.softplus(logits)
    positive = targets * alpha * ops.exp(-gamma * yes) * no
    return positive + (1 - targets) * (1 - alpha) * ops.exp(-gamma * no) * yes


def focal(targets: Any, logits: Any, counted: Any = None, gamma: float = 2.0, alpha: float = 0.25) -> Any:
    """The sum of `focal_terms` over the number of positives in the batch, at least 1 (section 4.1 of the paper).

    Args:
        targets: [..., classes]: 1 where an anchor is of a class, else 0.
        logits: Of the same shape. Their first bias should be `-log(99)`, or the many negatives drown the start.
        counted: [..., 1] or [..., classes]: 0 for anchors that are left out, else 1.
        gamma, alpha: See `focal_terms`.
    """
    ops = keras.ops
    terms, positives = focal_terms(targets, logits, gamma, alpha), targets
    if counted is not None:
        terms, positives = terms * counted, targets * counted
    return ops.sum(terms) / ops.maximum(ops.sum(positives), 1.0)


def smooth_l1(targets: Any, output: Any, beta: float = 1 / 9) -> Any:
    """Of each number the difference less `beta / 2`, or, where that is below `beta`, its square over `2 beta`.

    Girshick, "Fast R-CNN", ICCV 2015, arXiv:1504.08083, equation 3, where `beta` is 1.
    """
    ops = keras.ops
    apart = ops.abs(targets - output)
    return ops.where(apart < beta, ops.square(apart) / (2 * beta), apart - beta / 2)


@dataclass(frozen=True)
class Perceptual:
    """How far apart two pictures are for another network: the mean squared difference of its feature maps.

    Johnson, Alahi, Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016,
    arXiv:1603.08155, equation 2.

    Attributes:
        features: From pictures to a list of feature maps, of a network that does not learn: see `features_of`.
        weights: What each map counts; 1 by default.
        pixels: What the mean squared difference of the pictures themselves counts.
    """

    features: Callable[[Any], Sequence[Any]]
    weights: tuple[float, ...] = ()
    pixels: float = 0.0

    def __call__(self, targets: Any, output: Any) -> Any:
        """Of two batches of pictures: one number."""
        maps = list(zip(self.features(targets), self.features(output), strict=True))
        weights = self.weights or (1.0,) * len(maps)
        total = self.pixels * squared(targets, output) if self.pixels else 0.0
        for weight, (wanted, found) in zip(weights, maps, strict=True):
            total += weight * squared(keras.ops.stop_gradient(wanted), found)
        return total


@dataclass(frozen=True)
class Named:
    """A function that a recipe's identity knows by a name.

    Attributes:
        name: What it depends on.
        function: What is called.
    """

    name: str
    function: Callable[..., Any] = field(repr=False)

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)


def features_of(model: Any, layers: Sequence[str], prepare: Callable[[Any], Any] | None = None) -> Any:
    """The outputs of some of a network's layers, for `Perceptual`, on pictures of any size.

    Args:
        model: A functional Keras model of pictures [batch, height, width, channels].
        layers: Names of layers that keep rows and columns.
        prepare: Makes pictures what the network takes: a `Normalise`.

    Raises:
        UsageError: It has no such layer.
    """
    names = [layer.name for layer in model.layers]
    for name in layers:
        if name not in names:
            raise UsageError(f"{model.name} has no layer {name!r}.{near(name, names)}")
    inner = keras.Model(model.input, [model.get_layer(name).output for name in layers])
    free = keras.models.clone_model(inner, keras.Input((None, None, model.input.shape[-1])))
    free.set_weights(inner.get_weights())
    free.trainable = False

    def features(pictures: Any) -> list[Any]:
        found = free(pictures if prepare is None else prepare(pictures), training=False)
        return list(found) if isinstance(found, (list, tuple)) else [found]

    return features


def gram(maps: Any) -> Any:
    """How channels go together: [batch, height, width, c] to [batch, c, c], sums over the pixels divided by all values.

    Johnson et al., arXiv:1603.08155, equation 3.
    """
    ops = keras.ops
    batch, height, width, channels = ops.shape(maps)
    flat = ops.reshape(maps, (batch, height * width, channels))
    return ops.matmul(ops.transpose(flat, (0, 2, 1)), flat) / ops.cast(height * width * channels, "float32")


def variation(pictures: Any) -> Any:
    """The mean squared difference of neighbouring pixels, down and across, of [batch, height, width, channels]."""
    down, across = pictures[:, 1:] - pictures[:, :-1], pictures[:, :, 1:] - pictures[:, :, :-1]
    return keras.ops.mean(keras.ops.square(down)) + keras.ops.mean(keras.ops.square(across))


@dataclass(frozen=True)
class Style:
    """What is to be painted in a style: it should hold what the picture holds, and look as the style's picture does.

    Johnson et al., arXiv:1603.08155, section 3.2: the feature reconstruction loss of one map, the style reconstruction
    loss (equation 4) of all, and the total variation, here a mean.

    Attributes:
        features: From pictures to a list of feature maps, of a network that does not learn: see `features_of`.
        grams: Of the style's picture, [c, c] for each map: see `gram`.
        content: Number of the map that is held to the picture's.
        weights: Of content, style and variation.
    """

    features: Callable[[Any], Sequence[Any]]
    grams: Sequence[Any] = field(repr=False)
    content: int = -1
    weights: tuple[float, float, float] = (1.0, 1.0, 1e-6)

    def __call__(self, targets: Any, output: Any) -> Any:
        """Of two batches of pictures in 0..255: one number."""
        wanted, found = self.features(targets)[self.content], self.features(output)
        content = squared(keras.ops.stop_gradient(wanted), found[self.content])
        # Of each picture the sum over the matrix, as the Frobenius norm has it.
        style = sum(
            keras.ops.mean(squared_a_sample(keras.ops.convert_to_tensor(known)[None], gram(maps)))
            for known, maps in zip(self.grams, found, strict=True)
        )
        share, look, smooth = self.weights
        return share * content + look * style + smooth * variation(output)
