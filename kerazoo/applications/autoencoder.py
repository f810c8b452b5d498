"""Autoencoders: a picture through few numbers and back.

Paper: Hinton, Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks", Science 313, 2006, and its
    supporting text; for `autoencoder_conv` Masci, Meier, Ciresan, Schmidhuber, "Stacked Convolutional Auto-Encoders for
    Hierarchical Feature Extraction", ICANN 2011; for `autoencoder_denoising` Vincent, Larochelle, Bengio, Manzagol,
    "Extracting and Composing Robust Features with Denoising Autoencoders", ICML 2008.
Reference weights: none by the authors.
Variants: `autoencoder_2006`, the first paper's 784-1000-500-250-30 and back, 2,837,314 parameters. `autoencoder_conv`,
    two 3x3 convolutions of stride 2, 32 and 64 maps, and a dense code of 30, 228,895. `autoencoder_denoising`, two 3x3
    convolutions of 32 maps with max-pooling, whose maps are the code, 28,353: the size of the widespread Keras example.
Differs: hidden units are rectifiers, which need no pretraining by restricted Boltzmann machines; the 2006 paper's are
    logistic. Its code is linear, as here, and the two halves do not share weights, as after its fine-tuning. Strides
    stand for the second paper's max-pooling; the third paper's net is dense, and its noise sets pixels to 0.

`build` gives the whole, pictures in 0..1 to pictures in 0..1, through the layers `encoder` (picture to code) and
`decoder` (code to picture).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from kerazoo.applications._builder import Weights, assembled, picture_shape, whole_numbers
from kerazoo.assets import Assets
from kerazoo.codecs.image import Image, Normalise
from kerazoo.contract import Task, Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.tasks.embed import Embed
from kerazoo.tasks.redraw import Reconstruct

__all__ = ["Autoencoder2006", "AutoencoderConv", "AutoencoderDenoising"]

NORMALISE = Normalise("gray", scale=1 / 255)


@dataclass(frozen=True)
class Config:
    """Sizes of an autoencoder.

    Attributes:
        name: Name of the Keras model.
        input_shape: Height, width, channels; of convolutions both sides are multiples of 4.
        latents: Numbers of the code; `None` where the maps themselves are the code.
        widths: Units of the encoder's hidden layers; the decoder's are the same, backwards.
        maps: Maps of the encoder's two convolutions, in place of hidden layers.
        noise: Deviation of the normal noise that it is meant to take away, in units of the brightest value.
    """

    name: str
    input_shape: tuple[int, int, int] = (28, 28, 1)
    latents: int | None = 30
    widths: tuple[int, ...] = ()
    maps: tuple[int, ...] = ()
    noise: float = 0.0


VARIANTS = {
    "autoencoder_2006": Variant(
        Config("autoencoder_2006", widths=(1000, 500, 250)), params=2_837_314, input=(28, 28, 1), task="redraw"
    ),
    "autoencoder_conv": Variant(
        Config("autoencoder_conv", maps=(32, 64)), params=228_895, input=(28, 28, 1), task="redraw"
    ),
    "autoencoder_denoising": Variant(
        Config("autoencoder_denoising", latents=None, maps=(32, 32), noise=0.4),
        params=28_353,
        input=(28, 28, 1),
        task="redraw",
    ),
}


def build(config: Config) -> keras.Model:
    """Pictures [batch, height, width, channels] in 0..1 to the same, as their codes have them."""
    inputs = keras.Input(config.input_shape, name="image")
    return keras.Model(inputs, _decoder(config)(_encoder(config)(inputs)), name=config.name)


def _encoder(config: Config) -> Any:
    layers = keras.layers
    inputs = x = keras.Input(config.input_shape, name="encoder_image")
    # A code of maps is what max-pooling leaves; a dense one is taken from strided maps.
    stride = 1 if config.latents is None else 2
    for index, maps in enumerate(config.maps, start=1):
        x = layers.Conv2D(maps, 3, stride, padding="same", activation="relu", name=f"down{index}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{index}")(x) if stride == 1 else x
    x = layers.Flatten(name="flatten")(x)
    for index, units in enumerate(config.widths, start=1):
        x = layers.Dense(units, activation="relu", name=f"encoder_hidden{index}")(x)
    if config.latents is not None:
        x = layers.Dense(config.latents, name="code")(x)
    return keras.Model(inputs, x, name="encoder")


def _decoder(config: Config) -> Any:
    layers = keras.layers
    height, width, channels = config.input_shape
    inputs = x = keras.Input((_numbers(config),), name="embedding")
    for index, units in enumerate(reversed(config.widths), start=1):
        x = layers.Dense(units, activation="relu", name=f"decoder_hidden{index}")(x)
    if not config.maps:
        x = layers.Dense(height * width * channels, activation="sigmoid", name="pixels")(x)
        return keras.Model(inputs, layers.Reshape(config.input_shape, name="picture")(x), name="decoder")
    small = (height // 4, width // 4, config.maps[1])
    if config.latents is not None:
        x = layers.Dense(small[0] * small[1] * small[2], activation="relu", name="project")(x)
    x = layers.Reshape(small, name="maps")(x)
    for index in (1, 2):
        # What is denoised keeps its maps up to the last convolution; else the last enlarging draws.
        last = index == 2 and config.latents is not None
        maps = channels if last else config.maps[2 - index if config.latents is None else 0]
        then = "sigmoid" if last else "relu"
        x = layers.Conv2DTranspose(maps, 3, 2, padding="same", activation=then, name=f"up{index}")(x)
    if config.latents is None:
        x = layers.Conv2D(channels, 3, padding="same", activation="sigmoid", name="pixels")(x)
    return keras.Model(inputs, x, name="decoder")


def _numbers(config: Config) -> int:
    """Of a code."""
    height, width, _ = config.input_shape
    return config.latents or height // 4 * (width // 4) * config.maps[1]


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    encoder = {layer.name: layer for layer in model.get_layer("encoder").layers}
    widths = tuple(layer.units for name, layer in encoder.items() if re.fullmatch(r"encoder_hidden\d+", name))
    maps = tuple(layer.filters for name, layer in encoder.items() if re.fullmatch(r"down\d+", name))
    return {"latents": encoder["code"].units if "code" in encoder else None, "widths": widths, "maps": maps}


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """The picture as its code has it, and the code."""
    image = Image(*config.input_shape)
    code = _numbers(config)
    return {
        "redraw": Reconstruct(image, code, config.noise),
        "embed": Embed(image, code, part="encoder"),
    }


def _checked(variant: str, weights: Weights, name: str | None, shape: Any, **fields: Any) -> keras.Model:
    shape = picture_shape(shape, variant, open_=False)
    config = replace(VARIANTS[variant].config, name=name or variant, input_shape=shape, **fields)
    if config.maps and (shape[0] % 4 or shape[1] % 4):
        raise UsageError(f"input_shape={shape!r} does not fit {variant}: height and width are multiples of 4.")
    return assembled(__name__, variant, config, weights)


def Autoencoder2006(
    widths: tuple[int, ...] = (1000, 500, 250),
    latents: int = 30,
    weights: Weights = None,
    input_shape: tuple[int, int, int] = (28, 28, 1),
    name: str | None = None,
) -> keras.Model:
    """Deep autoencoder of Hinton and Salakhutdinov 2006; 2,837,314 parameters by default.

    Args:
        widths: Units of the encoder's hidden layers; the decoder's are the same, backwards.
        latents: Numbers that a picture is described by.
        weights: `None` for random ones, a name from the manifest, or the path of a file in any format that
            `kerazoo.weights` reads.
        input_shape: `(height, width, channels)`.
        name: Name of the model.

    Returns:
        A `keras.Model`: float32 pictures [batch, height, width, channels] in 0..1 to the same shape.
        `model.get_layer("encoder")` gives codes [batch, latents], `get_layer("decoder")` draws them.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    if not isinstance(widths, (tuple, list)) or not widths:
        raise UsageError(f"widths={widths!r} are not positive whole numbers, one a hidden layer: (1000, 500, 250).")
    whole_numbers(latents=latents, **{f"widths[{index}]": units for index, units in enumerate(widths)})
    return _checked("autoencoder_2006", weights, name, input_shape, widths=tuple(widths), latents=latents)


def AutoencoderConv(
    latents: int = 30,
    weights: Weights = None,
    input_shape: tuple[int, int, int] = (28, 28, 1),
    name: str | None = None,
) -> keras.Model:
    """Convolutional autoencoder after Masci et al. 2011; 228,895 parameters by default.

    Args:
        latents: Numbers that a picture is described by.
        weights: `None` for random ones, a name from the manifest, or the path of a file in any format that
            `kerazoo.weights` reads.
        input_shape: `(height, width, channels)`; height and width are multiples of 4.
        name: Name of the model.

    Returns:
        A `keras.Model`: float32 pictures [batch, height, width, channels] in 0..1 to the same shape.
        `model.get_layer("encoder")` gives codes [batch, latents], `get_layer("decoder")` draws them.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    whole_numbers(latents=latents)
    return _checked("autoencoder_conv", weights, name, input_shape, latents=latents)


def AutoencoderDenoising(
    weights: Weights = None, input_shape: tuple[int, int, int] = (28, 28, 1), name: str | None = None
) -> keras.Model:
    """Denoising autoencoder after Vincent et al. 2008, of convolutions; 28,353 parameters by default.

    Args:
        weights: `None` for random ones, a name from the manifest, or the path of a file in any format that
            `kerazoo.weights` reads.
        input_shape: `(height, width, channels)`; height and width are multiples of 4.
        name: Name of the model.

    Returns:
        A `keras.Model`: noisy float32 pictures [batch, height, width, channels] in 0..1 to what they were.
        `model.get_layer("encoder")` gives the maps between, flat.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    return _checked("autoencoder_denoising", weights, name, input_shape)
