"""Pictures drawn from noise: how well a variational auto-encoder describes real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

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
    "reconstruction": Figure("nats", None),
    "divergence": Figure("nats", None),
}

CALLED = {"loss": ("negative lower bound", 1.0)}
"""What cards of trained models call a figure, and what it is multiplied with."""

DRAWS = 5
"""Of noise a picture, of which the mean is taken."""

TOGETHER = 500
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


def measure(predictor: Predictor, asked: Asked) -> Report:
    """The lower bound of pictures: see `kerazoo.sources.pictures.alone`.

    It needs the encoder, which an exported file does not hold: the engine is keras.

    Raises:
        UsageError: There are no pictures, the engine is another, or the model has no encoder.
        InputError: Nothing of it can be read.
    """
    model = getattr(predictor.network, "model", None)
    if model is None:
        raise UsageError(
            f"{predictor.name} runs on {predictor.engine}, with the decoder alone; the lower bound needs the encoder "
            "too.\nMeasure the Keras model: --engine keras."
        )
    encode, decode = halves(model)
    task: Any = predictor.task
    samples = pictures.alone(asked.source, asked.only, asked.say)
    fit = Image(task.height, task.width, task.channels)
    answers = Answers(samples, _read(samples, fit), asked, "pictures")
    seen = np.stack([pixels for _, pixels in answers])
    costs, apart = lower_bound(encode, decode, seen)
    figures = {
        "negative lower bound": float(np.mean(costs) + np.mean(apart)),
        "reconstruction": float(np.mean(costs)),
        "divergence": float(np.mean(apart)),
    }
    drawn = {}
    if asked.plots:
        rows = np.argsort(-(costs + apart))[:SHOWN]
        again = 1 / (1 + np.exp(-decode(encode(seen[rows])[0]).astype(np.float64)))
        nats = (costs + apart)[rows]
        drawn["reconstructions.png"] = lambda: plots.side_by_side(
            [
                [(f"{value:.1f} nats", _shown(one)) for value, one in zip(nats, seen[rows], strict=True)],
                [("again", _shown(other)) for other in again],
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
