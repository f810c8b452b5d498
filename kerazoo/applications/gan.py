"""GAN: a generator that draws, and the discriminator that taught it, both plain dense networks.

Paper: Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville, Bengio, "Generative Adversarial Nets",
    NeurIPS 2014, arXiv:1406.2661, sections 3 and 5.
Reference weights: none by the authors.
Variants: `gan_mlp`, 64-256-256-784 against 784-256-256-1 on 28x28 digits, 283,920 and 267,009 parameters: the size of
    a widespread PyTorch example.
Differs: the paper's generator mixes rectifiers and sigmoids and its discriminator has maxout units and dropout, of
    sizes that it does not print; here ReLU, leaky ReLU of slope 0.2, and pictures in -1..1 through tanh.

`build` gives both, one after the other: noise to the logits of "this is real", through the layers `generator` (noise to
pictures in -1..1) and `discriminator` (pictures to logits). A step that trains one of them holds the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kerazoo.applications._builder import Weights, assembled, picture_shape, whole_numbers
from kerazoo.assets import Assets
from kerazoo.contract import Task, Variant
from kerazoo.lazy import keras
from kerazoo.tasks.sample import Sample
from kerazoo.weights import recipes

__all__ = ["GAN"]


@dataclass(frozen=True)
class Config:
    """Sizes of a GAN of dense layers.

    Attributes:
        name: Name of the Keras model.
        input_shape: Height, width, channels of a picture.
        latents: Numbers of noise a picture is made from.
        hidden: Units of each of the two hidden layers on either side.
    """

    name: str = "gan_mlp"
    input_shape: tuple[int, int, int] = (28, 28, 1)
    latents: int = 64
    hidden: int = 256


VARIANTS = {"gan_mlp": Variant(Config(), params=550_929, input=(64,), task="sample")}


def build(config: Config) -> keras.Model:
    """Noise [batch, latents] to logits [batch, 1] of the drawn picture being real."""
    inputs = keras.Input((config.latents,), name="noise")
    outputs = _discriminator(config)(_generator(config)(inputs))
    return keras.Model(inputs, outputs, name=config.name)


def _generator(config: Config) -> Any:
    height, width, channels = config.input_shape
    inputs = x = keras.Input((config.latents,), name="generator_noise")
    for index in (1, 2):
        x = keras.layers.Dense(config.hidden, activation="relu", name=f"generator_hidden{index}")(x)
    x = keras.layers.Dense(height * width * channels, activation="tanh", name="pixels")(x)
    return keras.Model(inputs, keras.layers.Reshape(config.input_shape, name="picture")(x), name="generator")


def _discriminator(config: Config) -> Any:
    inputs = keras.Input(config.input_shape, name="discriminator_picture")
    x = keras.layers.Flatten(name="flatten")(inputs)
    for index in (1, 2):
        x = keras.layers.Dense(config.hidden, name=f"discriminator_hidden{index}")(x)
        x = keras.layers.LeakyReLU(0.2, name=f"leaky{index}")(x)
    return keras.Model(inputs, keras.layers.Dense(1, name="real")(x), name="discriminator")


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    hidden = model.get_layer("generator").get_layer("generator_hidden1")
    return {"latents": hidden.kernel.shape[0], "hidden": hidden.units}


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """A picture from a seed."""
    return {"sample": Sample(config.latents, *config.input_shape, part="generator", output="signed")}


def from_torch(config: Config, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
    """`torch.nn.Sequential`s of three linear layers, one a part."""
    names: dict[str, str] = {}
    for part, last in (("generator", "pixels"), ("discriminator", "real")):
        ours = (f"{part}_hidden1", f"{part}_hidden2", last)
        names |= {name: f"{part}.{index}" for name, index in zip(ours, (0, 2, 4), strict=True)}
    return recipes.convert(tensors, recipes.layers(names, dict.fromkeys(names, recipes.dense)))


SOURCES: Mapping[str, Any] = {"torch": from_torch}


def GAN(
    weights: Weights = None,
    input_shape: tuple[int, int, int] = (28, 28, 1),
    latents: int = 64,
    hidden: int = 256,
    name: str = "gan_mlp",
) -> keras.Model:
    """Generative adversarial nets of Goodfellow et al. 2014 (arXiv:1406.2661); 283,920 and 267,009 parameters.

    Args:
        weights: `None` for random ones, a name from the manifest, or the path of a file in any format that
            `kerazoo.weights` reads.
        input_shape: `(height, width, channels)` of a picture.
        latents: Numbers of noise a picture is made from.
        hidden: Units of each hidden layer of generator and discriminator.
        name: Name of the model.

    Returns:
        A `keras.Model`: noise [batch, latents] to logits [batch, 1]. `model.get_layer("generator")` draws: noise to
        pictures [batch, height, width, channels] in -1..1; `get_layer("discriminator")` judges: pictures to logits of
        being real.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    whole_numbers(latents=latents, hidden=hidden)
    config = Config(name, picture_shape(input_shape, "gan_mlp", open_=False), latents, hidden)
    return assembled(__name__, "gan_mlp", config, weights)
