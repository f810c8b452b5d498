"""WGAN: adversarial nets whose critic measures how far apart what is drawn and what is real are.

Paper: Arjovsky, Chintala, Bottou, "Wasserstein GAN", ICML 2017, arXiv:1701.07875, algorithm 1; Gulrajani, Ahmed,
    Arjovsky, Dumoulin, Courville, "Improved Training of Wasserstein GANs", NeurIPS 2017, arXiv:1704.00028,
    algorithm 1 and appendix C.
Reference weights: none by the authors.
Variants: `wgan`, the DCGAN that Wasserstein GAN was shown with, 64x64 colours, 4x4 kernels, generator 3,576,704 and
    critic 2,765,568 trainable parameters; `wgan_gp`, the authors' net for digits without normalisation, 1,554,177 and
    1,030,145.
Differs: `wgan_gp` cuts 8x8 maps to 7x7 after its first enlargement, as the authors' code does; the paper does not say.

`build` gives both, one after the other: noise to the critic's number, through the layers `generator` (noise to
pictures, in -1..1 for `wgan` and 0..1 for `wgan_gp`) and `discriminator`, the critic. What makes them Wasserstein is
how they are trained: no logarithm, and a critic whose slope is held, by clipped weights or by a penalty.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from kerazoo.applications._builder import Weights, assembled, whole_numbers
from kerazoo.applications.dcgan import Config as Colours
from kerazoo.applications.dcgan import build as build_colours
from kerazoo.assets import Assets
from kerazoo.contract import Task, Variant
from kerazoo.lazy import keras
from kerazoo.tasks.sample import Sample

__all__ = ["WGAN", "WGANGP"]


@dataclass(frozen=True)
class Config:
    """Sizes of the net for digits.

    Attributes:
        name: Name of the Keras model.
        input_shape: Height, width, channels of a picture.
        latents: Numbers of noise a picture is made from.
        maps: Maps of the critic's first layer; the generator begins with four times as many.
    """

    name: str = "wgan_gp"
    input_shape: tuple[int, int, int] = (28, 28, 1)
    latents: int = 128
    maps: int = 64


COLOURS = Colours("wgan", (64, 64, 3), maps=512, kernel=4)

VARIANTS = {
    "wgan": Variant(
        COLOURS, params=6_345_984, input=(100,), task="sample", small=replace(COLOURS, maps=64)
    ),
    "wgan_gp": Variant(Config(), params=2_584_322, input=(128,), task="sample"),
}  # fmt: skip


def build(config: Config | Colours) -> keras.Model:
    """Noise [batch, latents] to the critic's number [batch, 1], larger for what is real."""
    if isinstance(config, Colours):
        return build_colours(config)
    inputs = keras.Input((config.latents,), name="noise")
    outputs = _critic(config)(_generator(config)(inputs))
    return keras.Model(inputs, outputs, name=config.name)


def _generator(config: Config) -> Any:
    layers, maps = keras.layers, config.maps
    inputs = keras.Input((config.latents,), name="generator_noise")
    x = layers.Dense(4 * 4 * 4 * maps, activation="relu", name="project")(inputs)
    x = layers.Reshape((4, 4, 4 * maps), name="seed")(x)
    x = layers.Conv2DTranspose(2 * maps, 5, 2, padding="same", activation="relu", name="up1")(x)
    x = layers.Cropping2D(((0, 1), (0, 1)), name="crop")(x)
    x = layers.Conv2DTranspose(maps, 5, 2, padding="same", activation="relu", name="up2")(x)
    x = layers.Conv2DTranspose(config.input_shape[2], 5, 2, padding="same", activation="sigmoid", name="up3")(x)
    return keras.Model(inputs, x, name="generator")


def _critic(config: Config) -> Any:
    layers = keras.layers
    inputs = x = keras.Input(config.input_shape, name="discriminator_picture")
    for index in range(3):
        x = layers.Conv2D(config.maps << index, 5, 2, padding="same", name=f"down{index + 1}")(x)
        x = layers.LeakyReLU(0.2, name=f"down{index + 1}_leaky")(x)
    x = layers.Dense(1, name="real")(layers.Flatten(name="flatten")(x))
    return keras.Model(inputs, x, name="discriminator")


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    generator = model.get_layer("generator")
    return {"latents": generator.input.shape[-1]}


def tasks(config: Config | Colours, assets: Assets) -> dict[str, Task]:
    """A picture from a seed."""
    output = "signed" if isinstance(config, Colours) else "unit"
    return {"sample": Sample(config.latents, *config.input_shape, part="generator", output=output)}


def WGAN(weights: Weights = None, latents: int = 100, name: str = "wgan") -> keras.Model:
    """Wasserstein GAN of Arjovsky et al. 2017 (arXiv:1701.07875): 3,576,704 and 2,765,568 trainable parameters.

    Args:
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        latents: Numbers of noise a picture is made from.
        name: Name of the model.

    Returns:
        A `keras.Model`: noise [batch, latents] to the critic's number [batch, 1]. `model.get_layer("generator")` draws:
        noise to pictures [batch, 64, 64, 3] in -1..1; `get_layer("discriminator")` is the critic.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    whole_numbers(latents=latents)
    return assembled(__name__, "wgan", replace(COLOURS, name=name, latents=latents), weights)


def WGANGP(weights: Weights = None, latents: int = 128, maps: int = 64, name: str = "wgan_gp") -> keras.Model:
    """The digits' net of Gulrajani et al. 2017 (arXiv:1704.00028): 1,554,177 and 1,030,145 parameters.

    Args:
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        latents: Numbers of noise a picture is made from.
        maps: Maps of the critic's first layer.
        name: Name of the model.

    Returns:
        A `keras.Model`: noise [batch, latents] to the critic's number [batch, 1]. `model.get_layer("generator")` draws:
        noise to pictures [batch, 28, 28, 1] in 0..1; `get_layer("discriminator")` is the critic.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    whole_numbers(latents=latents, maps=maps)
    return assembled(__name__, "wgan_gp", Config(name, latents=latents, maps=maps), weights)
