"""Singing voice: a U-Net that says which part of a song's spectrum is sung.

Paper: Jansson, Humphrey, Montecchio, Bittner, Kumar, Weyde, "Singing Voice Separation with Deep U-Net Convolutional
    Networks", ISMIR 2017, section 3.
Reference weights: none by the authors.
Variants: `singing_voice_unet`, 9,826,321 parameters: one channel at 8,192 Hz, windows of 1,024 samples 768 apart, 128
    frames of 512 frequencies at a time.
Differs: a patch is divided by its own largest magnitude, not by the song's, which a network that sees a patch does not
    know. The accompaniment is what the voice leaves over; the paper trains a second net for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kerazoo.applications._builder import Weights, assembled
from kerazoo.assets import Assets
from kerazoo.contract import Task, Variant
from kerazoo.lazy import keras
from kerazoo.tasks.separate import Separate

__all__ = ["SingingVoiceUNet"]


@dataclass(frozen=True)
class Config:
    """Sizes of a singing-voice U-Net.

    Attributes:
        name: Name of the Keras model.
        rate: Frames a second of the sounds.
        frame, hop: Samples of a frame of the spectrum, and from one to the next; half a frame is a multiple of 64.
        frames: Of the spectrum that the net sees at a time, a multiple of 64.
        filters: Maps of the six convolutions on the way down.
    """

    name: str
    rate: int = 8192
    frame: int = 1024
    hop: int = 768
    frames: int = 128
    filters: tuple[int, ...] = (16, 32, 64, 128, 256, 512)


VARIANTS = {
    "singing_voice_unet": Variant(
        Config("singing_voice_unet"),
        params=9_826_321,
        input=(128, 513, 1),
        task="separate",
        small=Config("singing_voice_unet", rate=8000, frame=256, hop=192, frames=128, filters=(4, 4, 4, 8, 8, 8)),
    ),
}

STEMS = ("vocals", "accompaniment")
DROPPED = 3
"""Decoder levels, from the lowest on, behind which half of the values are dropped in training."""


def build(config: Config) -> keras.Model:
    """Magnitudes [batch, frames, bins, 1] to masks [batch, frames, bins, 2] in 0..1, which add up to 1."""
    layers = keras.layers
    inputs = keras.Input((config.frames, config.frame // 2 + 1, 1), name="magnitude")
    # The lowest frequency, the mean, is left out: nobody sings it, and the other 512 halve evenly.
    x = _scaled(layers.Cropping2D(((0, 0), (1, 0)), name="crop")(inputs))
    skips = []
    for level, filters in enumerate(config.filters, start=1):
        x = layers.Conv2D(filters, 5, strides=2, padding="same", name=f"down{level}_conv")(x)
        x = layers.BatchNormalization(name=f"down{level}_bn")(x)
        x = layers.LeakyReLU(0.2, name=f"down{level}_leaky")(x)
        skips.append(x)
    for level, filters in enumerate(config.filters[-2::-1], start=1):
        x = layers.Conv2DTranspose(filters, 5, strides=2, padding="same", name=f"up{level}_conv")(x)
        x = layers.BatchNormalization(name=f"up{level}_bn")(x)
        x = layers.ReLU(name=f"up{level}_relu")(x)
        if level <= DROPPED:
            x = layers.Dropout(0.5, name=f"up{level}_dropout")(x)
        x = layers.Concatenate(name=f"up{level}_concat")([skips[-level - 1], x])
    last = f"up{len(config.filters)}_conv"
    mask = layers.Conv2DTranspose(1, 5, strides=2, padding="same", activation="sigmoid", name=last)(x)
    voice = layers.ZeroPadding2D(((0, 0), (1, 0)), name="voice")(mask)
    return keras.Model(inputs, layers.Concatenate(name="masks")([voice, 1.0 - voice]), name=config.name)


def _scaled(magnitude: Any) -> Any:
    """A patch's magnitudes as shares of its largest; silence stays silence."""
    largest = keras.ops.max(magnitude, axis=(1, 2, 3), keepdims=True)
    return magnitude / keras.ops.maximum(largest, 1e-8)


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Separation of sounds of any length into voice and accompaniment."""
    return {"separate": Separate(STEMS, config.rate, 1, config.frame, config.hop, config.frames)}


def SingingVoiceUNet(weights: Weights = None, name: str | None = None) -> keras.Model:
    """The U-Net of Jansson et al. 2017: 9,826,321 parameters.

    Args:
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        name: Name of the model.

    Returns:
        A `keras.Model`: float32 magnitudes [batch, 128, 513, 1] of a mono sound, of Hann windows of 1,024 samples at
        8,192 Hz, 768 samples apart, to masks [batch, 128, 513, 2] in 0..1 of the voice and of all else.

    Raises:
        UsageError: The weights do not fit.
    """
    return assembled(__name__, "singing_voice_unet", Config(name or "singing_voice_unet"), weights)
