"""Pictures drawn from noise: how well a variational auto-encoder describes real ones, and how like them others are."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image as Pillow

from kerazoo import registry
from kerazoo.codecs import image
from kerazoo.codecs.image import Image
from kerazoo.errors import InputError, UsageError
from kerazoo.metrics import plots
from kerazoo.metrics.report import Answers, Asked, Figure, Report
from kerazoo.ops import numpy as ops
from kerazoo.predictor import Failure, Predictor
from kerazoo.sources import pictures
from kerazoo.sources.files import Sample, item_of

FIGURES = {
    "negative lower bound": Figure("nats", False, 1.0),
    "negative lower bound, binarised": Figure("nats", False, 1.0),
    "bits a value": Figure("bits", False, 0.02),
    "reconstruction": Figure("nats", None),
    "divergence": Figure("nats", None),
    "Frechet distance": Figure("", False, 1.0),
    "Frechet distance of real pictures": Figure("", None),
    "confidence": Figure("%", True, 2.0),
    "classes drawn": Figure("", True, 0.0),
    "drawn as asked": Figure("%", True, 2.0),
}

CALLED = {"loss": ("negative lower bound", 1.0)}
"""What cards of trained models call a figure, and what it is multiplied with."""

DRAWS = 5
"""Of noise a picture, of which the mean is taken."""

TOGETHER, FEW = 500, 100
"""Pictures that go through a network at once; fewer where it has many layers."""

SHOWN = 8


def bernoulli(pictures: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """What a picture costs in nats that is described by the logits of its pixels; float64 [n].

    Args:
        pictures: Grey levels in 0..1, taken as probabilities, [n, ...].
        logits: Of the same shape.
    """
    logits = logits.astype(np.float64)
    return np.sum(np.logaddexp(0, logits) - pictures * logits, axis=tuple(range(1, logits.ndim)))


def divergence(mean: np.ndarray, log_variance: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence in nats from a standard normal distribution, of [n, latents]; float64 [n].

    Kingma, Welling, "Auto-Encoding Variational Bayes", arXiv:1312.6114, appendix B.
    """
    mean, log_variance = mean.astype(np.float64), log_variance.astype(np.float64)
    return 0.5 * np.sum(mean**2 + np.exp(log_variance) - 1 - log_variance, axis=1)


def lower_bound(
    encode: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    decode: Callable[[np.ndarray], np.ndarray],
    pictures: np.ndarray,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """What each picture costs, and its divergence, in nats, each float64 [n]; their sum is the negative lower bound.

    Args:
        encode: Pictures float32 [n, h, w, c] in 0..1 to mean and logarithm of the variance, [n, latents].
        decode: Noise float32 [n, latents] to logits [n, h, w, c].
        pictures: In 0..1; grey levels are taken as probabilities.
        draws: Of noise a picture.
        seed: Of the noise.
    """
    mean, log_variance = encode(pictures)
    rng = np.random.default_rng(seed)
    costs = np.zeros(len(pictures))
    for _ in range(draws):
        noise = mean + np.exp(log_variance / 2) * rng.standard_normal(mean.shape)
        costs += bernoulli(pictures, decode(noise.astype(np.float32))) / draws
    return costs, divergence(mean, log_variance)


def halves(model: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Encoder and decoder of a Keras model that has layers called so, as functions of arrays.

    Raises:
        UsageError: It has none.
    """
    layers = {layer.name: layer for layer in getattr(model, "layers", ())}
    if not {"encoder", "decoder"} <= layers.keys():
        raise UsageError(
            f"The model has no layers encoder and decoder; it has {', '.join(layers) or 'none'}.\n"
            "Pictures have a lower bound in a variational auto-encoder alone."
        )

    def run(name: str, array: np.ndarray) -> tuple[np.ndarray, ...]:
        rows = []
        for start in range(0, len(array), TOGETHER):
            out = layers[name](array[start : start + TOGETHER], training=False)
            rows.append([np.asarray(each) for each in (out if isinstance(out, (list, tuple)) else [out])])
        return tuple(np.concatenate(column) for column in zip(*rows, strict=True))

    return (lambda array: run("encoder", array)[:2]), (lambda array: run("decoder", array)[0])


Describe = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From pictures in 0..1 to what each costs and its divergence, in nats; the sum is the negative lower bound."""


def describing(model: Any) -> tuple[Describe, Callable[[np.ndarray], np.ndarray]]:
    """The lower bound of a variational auto-encoder, of one group of latent variables or several; and what it draws of
    the likeliest description of pictures, in 0..1.

    Raises:
        UsageError: The model is none.
    """
    from kerazoo.layers import hierarchy

    if not hierarchy.is_hierarchy(model):
        encode, decode = halves(model)
        return (lambda seen: lower_bound(encode, decode, seen)), lambda seen: _sigmoid(decode(encode(seen)[0]))
    from kerazoo.layers.latent import MixtureMean, mixture_nats

    network = hierarchy.describing(model)
    latents, channels = network.inputs[1].shape[1], network.inputs[0].shape[-1]
    mixed = network.outputs[0].shape[-1] != channels

    def run(seen: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pixels, apart = network([seen, noise], training=False)
        return np.asarray(pixels), np.asarray(apart).astype(np.float64).sum(1)

    def bound(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rng, rows = np.random.default_rng(0), []
        for start in range(0, len(seen), FEW):
            some = seen[start : start + FEW]
            pixels, apart = run(some, rng.standard_normal((len(some), latents), np.float32))
            nats = np.asarray(mixture_nats(some, pixels)).astype(np.float64).sum((1, 2)) if mixed else None
            rows.append((bernoulli(some, pixels) if nats is None else nats, apart))
        costs, apart = (np.concatenate(column) for column in zip(*rows, strict=True))
        return costs, apart

    def again(seen: np.ndarray) -> np.ndarray:
        pixels, _ = run(seen, np.zeros((len(seen), latents), np.float32))
        return np.asarray(MixtureMean()(pixels)) if mixed else _sigmoid(pixels)

    return bound, again


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


def binarised(pictures: np.ndarray, seed: int = 0) -> np.ndarray:
    """Grey levels in 0..1 as draws of black and white: float32, of 0 and 1."""
    draws = np.random.default_rng(seed).random(pictures.shape, np.float32)
    return (draws < pictures).astype(np.float32)


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """The Frechet distance of two normal distributions that have the means and covariances of features [n, d].

    Dowson, Landau, "The Fréchet Distance between Multivariate Normal Distributions", J. Multivariate Anal. 12, 1982;
    for pictures Heusel et al., arXiv:1706.08500, equation 6. With the features of Inception it is called FID; with
    others it is not, and numbers of different networks cannot be compared.
    """
    first, second = a.astype(np.float64), b.astype(np.float64)
    apart = first.mean(0) - second.mean(0)
    spreads = [np.cov(each, rowvar=False) for each in (first, second)]
    values, vectors = np.linalg.eigh(spreads[0])
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ spreads[1] @ root), 0)).sum()
    return max(float(apart @ apart + np.trace(spreads[0]) + np.trace(spreads[1]) - 2 * cross), 0.0)


FEATURES = "lenet5:mnist"
"""The network whose last hidden layer tells how alike digits are, and whose classes they are sorted into."""

MOST = 10_000
"""Pictures that are drawn."""


def likeness(predictor: Predictor, asked: Asked) -> Report:
    """How like real digits those are that are drawn, as many as there are real ones.

    By the features and the classes of `FEATURES`: the Frechet distance, with that of one half of the real ones from the
    other beside it, which no drawing can be much below; the mean probability of the likeliest class; how many
    classes there are at least one in a hundred of; and, of a model that is told classes, how many are of the one asked
    for.

    Raises:
        UsageError: Digits are not what the model draws, or there are too few pictures.
    """
    task: Any = predictor.task
    if (task.height, task.width, task.channels) not in ((28, 28, 1), (32, 32, 1)):
        raise UsageError(
            f"{predictor.name} draws {task.width} x {task.height} pixels of {task.channels} channels; the features of "
            f"{FEATURES} are of grey digits of 28 or 32 pixels."
        )
    samples = pictures.alone(asked.source, asked.only, asked.say)[:MOST]
    fit = Image(task.height, task.width, 1)
    answers = Answers(samples, _read(samples, fit), asked, "pictures")
    real = np.rint(np.stack([pixels for _, pixels in answers]) * 255).astype(np.uint8)
    if len(real) < 200:
        raise UsageError(f"{asked.source}: {len(real)} pictures are too few for a covariance; give 200 at least.")
    asked.say(f"Likeness by the last hidden layer of {FEATURES}; its numbers are no FID.")
    seeds = [int(seed) for seed in range(len(real))]
    made = [np.asarray(Pillow.open(io.BytesIO(each.result.picture)))  # type: ignore[attr-defined]
            for each in predictor.stream(seeds, batch=max(asked.batch, 100))]  # fmt: skip
    labels = registry.tasks_of(registry.find(FEATURES))[0]["classify"].labels  # type: ignore[attr-defined]
    described = [_described(each) for each in (real, np.stack(made).reshape(real.shape))]
    (truth, _), (features, scores) = described
    named = scores.argmax(1)
    classes = np.bincount(named, minlength=scores.shape[1])
    figures = {
        "Frechet distance": frechet(truth, features),
        "Frechet distance of real pictures": frechet(truth[::2], truth[1::2]),
        "confidence": 100 * float(scores.max(1).mean()),
        "classes drawn": float(np.sum(classes >= len(made) / 100)),
    }
    details: dict[str, Any] = {"features": FEATURES, "drawn": classes.tolist()}
    if set(task.labels) <= set(labels) and task.labels:
        wanted = [labels.index(task.turn(seed)["label"]) for seed in seeds]
        right = named == wanted
        figures["drawn as asked"] = 100 * float(right.mean())
        details["drawn as asked"] = {label: 100 * float(np.mean(right[number :: len(task.labels)]))
                                     for number, label in enumerate(task.labels)}  # fmt: skip
    return answers.report(figures, details=details)


def _described(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features [n, d] and probabilities [n, classes] of grey pictures uint8 [n, h, w, 1], by `FEATURES`."""
    from kerazoo.lazy import keras

    built = registry.build(FEATURES)
    task: Any = built.task
    top = built.keras.get_layer("predictions")
    network = keras.Model(built.keras.input, [top.input, built.keras.output])
    features, scores = [], []
    for start in range(0, len(pixels), TOGETHER):
        fitted = np.stack([task.input.fit(ops, each)[0] for each in pixels[start : start + TOGETHER]])
        seen = built.normalise(fitted) if built.normalise is not None else fitted
        found = [np.asarray(each, np.float32) for each in network(seen, training=False)]
        features.append(found[0])
        scores.append(ops.softmax(found[1]))
    return np.concatenate(features), np.concatenate(scores)


def measure(predictor: Predictor, asked: Asked) -> Report:
    """The lower bound of pictures, of a variational auto-encoder; of an adversarial generator its `likeness`.

    The source is as of `kerazoo.sources.pictures.alone`. The bound needs the encoder, which an exported file does not
    hold: the engine is keras.

    Raises:
        UsageError: There are no pictures, the engine is another, or the model has no encoder.
        InputError: Nothing of it can be read.
    """
    if getattr(predictor.task, "part", None) == "generator":
        return likeness(predictor, asked)
    model = getattr(predictor.network, "model", None)
    if model is None:
        raise UsageError(
            f"{predictor.name} runs on {predictor.engine}, with the decoder alone; the lower bound needs the encoder "
            "too.\nMeasure the Keras model: --engine keras."
        )
    bound, again = describing(model)
    task: Any = predictor.task
    samples = pictures.alone(asked.source, asked.only, asked.say)
    fit = Image(task.height, task.width, task.channels)
    answers = Answers(samples, _read(samples, fit), asked, "pictures")
    seen = np.stack([pixels for _, pixels in answers])
    costs, apart = bound(seen)
    figures = {
        "negative lower bound": float(np.mean(costs) + np.mean(apart)),
        "reconstruction": float(np.mean(costs)),
        "divergence": float(np.mean(apart)),
    }
    if task.channels == 1:
        figures["negative lower bound, binarised"] = float(np.mean(sum(bound(binarised(seen)))))
    else:
        figures["bits a value"] = figures["negative lower bound"] / (seen[0].size * np.log(2))
    drawn = {}
    if asked.plots:
        rows = np.argsort(-(costs + apart))[:SHOWN]
        redrawn = again(seen[rows])
        nats = (costs + apart)[rows]
        drawn["reconstructions.png"] = lambda: plots.side_by_side(
            [
                [(f"{value:.1f} nats", _shown(one)) for value, one in zip(nats, seen[rows], strict=True)],
                [("again", _shown(other)) for other in redrawn],
            ],
            "The dearest pictures, and what is drawn from their description",
        )
    return answers.report(figures, plots=drawn)


def _read(samples: Sequence[Sample], fit: Image) -> Iterator[Any]:
    """Each picture as float32 [h, w, c] in 0..1, or why it cannot be read."""
    for sample in samples:
        try:
            pixels = ops.decode_picture(image.read(item_of(sample), fit.port), fit.channels)
            yield fit.fit(ops, pixels)[0].astype(np.float32) / 255
        except InputError as error:
            yield Failure(error)


def _shown(picture: np.ndarray) -> np.ndarray:
    pixels = np.rint(picture * 255).astype(np.uint8)
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels
