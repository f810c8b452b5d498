"""Conditional GAN: a generator that draws what is asked for, and a discriminator that is told what that was.

Paper: Mirza, Osindero, "Conditional Generative Adversarial Nets", arXiv:1411.1784, sections 3.2 and 4.1.
Reference weights: none by the authors.
Variants: `cgan_mlp`, for ten classes of 28x28 digits, 288,628 and 335,105 parameters.
Differs: two hidden layers of 256 units on either side, as in `gan_mlp`; the paper's are 200, 1000 and 1200 in the
    generator. Its discriminator has, as there, a hidden layer for the picture and one for the class, dropout, and then
    one for both, of leaky rectifiers in place of maxout units. To its generator a class is a vector beside the noise,
    one-hot at first: with a hidden layer of its own it drew each class one way. The generator is normalised by batch.
    Noise is normal, and pictures are in -1..1 through tanh; the paper has uniform noise and a sigmoid.

`build` gives both, one after the other: noise and class to the logits of "this is real, and of that class", through
the layers `generator` (to pictures in -1..1) and `discriminator` (pictures and classes to logits). A step that trains
one of them holds the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kerazoo.applications._builder import Weights, assembled, picture_shape, whole_numbers
from kerazoo.assets import Assets
from kerazoo.contract import Task, Variant
from kerazoo.lazy import keras
from kerazoo.tasks.sample import Sample

__all__ = ["ConditionalGAN"]


@dataclass(frozen=True)
class Config:
    """Sizes of a conditional GAN of dense layers.

    Attributes:
        name: Name of the Keras model.
        input_shape: Height, width, channels of a picture.
        latents: Numbers of noise a picture is made from.
        hidden: Units of each hidden layer on either side.
        classes: That can be asked for.
    """

    name: str = "cgan_mlp"
    input_shape: tuple[int, int, int] = (28, 28, 1)
    latents: int = 64
    hidden: int = 256
    classes: int = 10


VARIANTS = {"cgan_mlp": Variant(Config(), params=623_733, input=(64,), task="sample")}


def build(config: Config) -> keras.Model:
    """Noise [batch, latents] and classes int32 [batch] to logits [batch, 1] of the drawn picture being real."""
    noise, label = keras.Input((config.latents,), name="noise"), _label("label")
    outputs = _discriminator(config)([_generator(config)([noise, label]), label])
    return keras.Model([noise, label], outputs, name=config.name)


def _label(name: str) -> Any:
    return keras.Input((), dtype="int32", name=name)


def _generator(config: Config) -> Any:
    layers = keras.layers
    height, width, channels = config.input_shape
    noise, label = keras.Input((config.latents,), name="generator_noise"), _label("generator_label")
    table = layers.Embedding(config.classes, config.classes, embeddings_initializer="identity", name="generator_class")
    x = layers.Concatenate(name="generator_told")([noise, table(label)])
    for index in (1, 2):
        x = layers.Dense(config.hidden, name=f"generator_hidden{index}")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"generator_bn{index}")(x)
        x = layers.ReLU(name=f"generator_relu{index}")(x)
    x = layers.Dense(height * width * channels, activation="tanh", name="pixels")(x)
    return keras.Model([noise, label], layers.Reshape(config.input_shape, name="picture")(x), name="generator")


def _discriminator(config: Config) -> Any:
    layers = keras.layers
    picture, label = keras.Input(config.input_shape, name="discriminator_picture"), _label("discriminator_label")
    x = layers.Dense(config.hidden, name="discriminator_hidden1")(layers.Flatten(name="flatten")(picture))
    # The products of a one-hot vector with a kernel are the kernel's rows.
    table = layers.Embedding(
        config.classes, config.hidden, embeddings_initializer="he_normal", name="discriminator_class"
    )
    x = _dropped(layers.Concatenate(name="discriminator_told")([x, table(label)]), 1)
    x = _dropped(layers.Dense(config.hidden, name="discriminator_hidden2")(x), 2)
    return keras.Model([picture, label], layers.Dense(1, name="real")(x), name="discriminator")


def _dropped(x: Any, index: int) -> Any:
    x = keras.layers.LeakyReLU(0.2, name=f"leaky{index}")(x)
    return keras.layers.Dropout(0.5, name=f"dropout{index}")(x)


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    generator = model.get_layer("generator")
    return {
        "input_shape": tuple(generator.output.shape[1:]),
        "latents": generator.inputs[0].shape[-1],
        "hidden": generator.get_layer("generator_hidden1").units,
        "classes": generator.get_layer("generator_class").input_dim,
    }


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """A picture of a class from a seed."""
    labels = assets.labels or tuple(map(str, range(config.classes)))
    return {"sample": Sample(config.latents, *config.input_shape, part="generator", output="signed", labels=labels)}


def ConditionalGAN(
    weights: Weights = None,
    input_shape: tuple[int, int, int] = (28, 28, 1),
    latents: int = 64,
    hidden: int = 256,
    classes: int = 10,
    name: str = "cgan_mlp",
) -> keras.Model:
    """Conditional adversarial nets after Mirza and Osindero 2014 (arXiv:1411.1784); 288,628 and 335,105 parameters.

    Args:
        weights: `None` for random ones, a name from the manifest, or the path of a file in any format that
            `kerazoo.weights` reads.
        input_shape: `(height, width, channels)` of a picture.
        latents: Numbers of noise a picture is made from.
        hidden: Units of each hidden layer of generator and discriminator.
        classes: That can be asked for.
        name: Name of the model.

    Returns:
        A `keras.Model`: noise [batch, latents] and classes int32 [batch] to logits [batch, 1].
        `model.get_layer("generator")` draws: both to pictures [batch, height, width, channels] in -1..1;
        `get_layer("discriminator")` judges: pictures and classes to logits of being real and of that class.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    whole_numbers(latents=latents, hidden=hidden, classes=classes)
    config = Config(name, picture_shape(input_shape, "cgan_mlp", open_=False), latents, hidden, classes)
    return assembled(__name__, "cgan_mlp", config, weights)
