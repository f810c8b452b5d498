"""DCGAN: adversarial nets of convolutions.

Paper: Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
    Networks", ICLR 2016, arXiv:1511.06434, section 3 and figure 1.
Reference weights: none by the authors in a format that can be read; of `dcgan_28` those of a fork of Keras-GAN.
Variants: `dcgan_64`, the paper's, generator 18,855,040 trainable parameters: noise through a dense layer to 4x4x1024,
    then 5x5 transposed convolutions of stride 2. `dcgan_32`, the same with 4x4 kernels from 256 maps, one channel, of
    the WassersteinGAN repository: 1,066,880 and 661,248. `dcgan_28`, Keras-GAN's for digits: nearest upsampling and
    3x3 convolutions with biases, generator 856,193.
Differs: noise is normal, as in every public implementation; the paper's is uniform. The discriminator ends in a 4x4
    convolution without bias, which is the paper's single output over flattened maps. `dcgan_28` has dropout in its
    discriminator and no normalisation after the first layer of its generator, as Keras-GAN has it.

`build` gives both, one after the other: noise to the logits of "this is real", through the layers `generator` (noise to
pictures in -1..1) and `discriminator` (pictures to logits). A step that trains one of them holds the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kerazoo.applications._builder import Weights, assembled
from kerazoo.assets import Assets
from kerazoo.contract import Task, Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.tasks.sample import Sample
from kerazoo.weights import recipes

__all__ = ["DCGAN28", "DCGAN32", "DCGAN64"]


@dataclass(frozen=True)
class Config:
    """Sizes of a DCGAN.

    Attributes:
        name: Name of the Keras model.
        input_shape: Height, width, channels of a picture; sides are 4 times a power of 2, 28 for `nearest`.
        latents: Numbers of noise a picture is made from.
        maps: Maps of the generator's first layer; each further one has half as many, the discriminator's twice.
        kernel: Side of the kernels.
        nearest: Whether the generator enlarges by repeating pixels, before convolutions (Keras-GAN).
        norms: Whether there are batch normalisations at all.
    """

    name: str
    input_shape: tuple[int, int, int]
    latents: int = 100
    maps: int = 1024
    kernel: int = 5
    nearest: bool = False
    norms: bool = True


VARIANTS = {
    "dcgan_28": Variant(
        Config("dcgan_28", (28, 28, 1), maps=128, kernel=3, nearest=True),
        params=1_249_922,
        input=(100,),
        task="sample",
    ),
    "dcgan_32": Variant(
        Config("dcgan_32", (32, 32, 1), maps=256, kernel=4), params=1_729_792, input=(100,), task="sample"
    ),
    "dcgan_64": Variant(
        Config("dcgan_64", (64, 64, 3)),
        params=36_095_232,
        input=(100,),
        task="sample",
        small=Config("dcgan_64", (64, 64, 3), maps=64),
    ),
}


def build(config: Config) -> keras.Model:
    """Noise [batch, latents] to logits [batch, 1] of the drawn picture being real."""
    inputs = keras.Input((config.latents,), name="noise")
    outputs = discriminator(config)(generator(config)(inputs))
    return keras.Model(inputs, outputs, name=config.name)


def generator(config: Config) -> Any:
    """Noise [batch, latents] to pictures [batch, height, width, channels] in -1..1."""
    inputs = keras.Input((config.latents,), name="generator_noise")
    x = _nearest(config, inputs) if config.nearest else _transposed(config, inputs)
    return keras.Model(inputs, keras.layers.Activation("tanh", name="picture")(x), name="generator")


def _doublings(config: Config) -> int:
    return (config.input_shape[0] // 4).bit_length() - 1


def _transposed(config: Config, x: Any) -> Any:
    layers, maps = keras.layers, config.maps
    x = layers.Dense(4 * 4 * maps, use_bias=False, name="project")(x)
    x = layers.Reshape((4, 4, maps), name="seed")(x)
    x = _normed(config, x, "project", 1e-5, "relu")
    for index in range(1, _doublings(config) + 1):
        last = index == _doublings(config)
        maps = config.input_shape[2] if last else maps // 2
        name = f"up{index}"
        x = layers.Conv2DTranspose(maps, config.kernel, 2, padding="same", use_bias=False, name=name)(x)
        x = x if last else _normed(config, x, name, 1e-5, "relu")
    return x


def _nearest(config: Config, x: Any) -> Any:
    layers, maps = keras.layers, config.maps
    height, width, channels = config.input_shape
    x = layers.Dense(height // 4 * (width // 4) * maps, activation="relu", name="project")(x)
    x = layers.Reshape((height // 4, width // 4, maps), name="seed")(x)
    for index, maps in enumerate((config.maps, config.maps // 2), start=1):
        x = layers.UpSampling2D(name=f"enlarge{index}")(x)
        x = layers.Conv2D(maps, config.kernel, padding="same", name=f"up{index}")(x)
        x = _normed(config, x, f"up{index}", 1e-3, "relu")
    return layers.Conv2D(channels, config.kernel, padding="same", name="up3")(x)


def _normed(config: Config, x: Any, name: str, epsilon: float, then: str) -> Any:
    if config.norms:
        momentum = 0.8 if config.nearest else 0.9
        x = keras.layers.BatchNormalization(momentum=momentum, epsilon=epsilon, name=f"{name}_bn")(x)
    if then == "relu":
        return keras.layers.ReLU(name=f"{name}_relu")(x)
    return keras.layers.LeakyReLU(0.2, name=f"{name}_leaky")(x)


def discriminator(config: Config) -> Any:
    """Pictures [batch, height, width, channels] in -1..1 to logits [batch, 1] of being real."""
    inputs = keras.Input(config.input_shape, name="discriminator_picture")
    x = _dropping(config, inputs) if config.nearest else _strided(config, inputs)
    return keras.Model(inputs, x, name="discriminator")


def _strided(config: Config, x: Any) -> Any:
    layers, count = keras.layers, _doublings(config)
    for index in range(1, count + 1):
        maps, name = config.maps >> (count - index), f"down{index}"
        x = layers.Conv2D(maps, config.kernel, 2, padding="same", use_bias=False, name=name)(x)
        x = layers.LeakyReLU(0.2, name=f"{name}_leaky")(x) if index == 1 else _normed(config, x, name, 1e-5, "leaky")
    x = layers.Conv2D(1, 4, use_bias=False, name="real")(x)
    return layers.Reshape((1,), name="logit")(x)


def _dropping(config: Config, x: Any) -> Any:
    layers = keras.layers
    for index, stride in enumerate((2, 2, 2, 1), start=1):
        maps, name = config.maps >> (3 - index) if index < 4 else config.maps * 2, f"down{index}"
        x = layers.Conv2D(maps, config.kernel, stride, padding="same", name=name)(x)
        if index == 2:
            x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="pad")(x)
        x = layers.LeakyReLU(0.2, name=f"{name}_leaky")(x) if index == 1 else _normed(config, x, name, 1e-3, "leaky")
        x = layers.Dropout(0.25, name=f"{name}_dropout")(x)
    return layers.Dense(1, name="real")(layers.Flatten(name="flatten")(x))


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """A picture from a seed."""
    return {"sample": Sample(config.latents, *config.input_shape, part="generator", output="signed")}


def from_keras(config: Config, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
    """Keras-GAN's files, whose layers are numbered: its generator's first is `dense_2`, its discriminator's `conv2d_1`.

    Files that hold our own names pass as they are.
    """
    return recipes.renamed(tensors, {
        "dense_2": "project", "conv2d_5": "up1", "batch_normalization_4": "up1_bn", "conv2d_6": "up2",
        "batch_normalization_5": "up2_bn", "conv2d_7": "up3", "conv2d_1": "down1", "conv2d_2": "down2",
        "batch_normalization_1": "down2_bn", "conv2d_3": "down3", "batch_normalization_2": "down3_bn",
        "conv2d_4": "down4", "batch_normalization_3": "down4_bn", "dense_1": "real",
    })  # fmt: skip


def from_torch(config: Config, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
    """The example of PyTorch and of WassersteinGAN: `main.N` or `main.NAME`, in the order of the layers, one a part.

    Their first transposed convolution, from 1x1 to 4x4, is our dense layer.
    """
    import numpy as np

    recipe: recipes.Recipe = {}
    count = _doublings(config)
    for part, convs in (
        ("generator", ["project", *(f"up{index}" for index in range(1, count + 1))]),
        ("discriminator", [*(f"down{index}" for index in range(1, count + 1)), "real"]),
    ):
        own = [name for name in tensors if name.startswith(f"{part}.")]
        kernels = [name for name in own if np.ndim(tensors[name]) == 4]
        norms = [name.removesuffix(".running_mean") for name in own if name.endswith(".running_mean")]
        for layer, source in zip(convs, kernels, strict=False):
            recipe[f"{layer}/kernel"] = (source, _from_one if layer == "project" else recipes.hwio)
        first = 0 if part == "generator" else 1
        for layer, source in zip(convs[first:-1], norms, strict=False):
            recipe |= recipes.torch_norm(f"{layer}_bn", source)
    return recipes.convert(tensors, recipe, recipes.counters(tensors))


def _from_one(kernel: Any) -> Any:
    """A transposed convolution's kernel [in, out, 4, 4] from one pixel, to a dense layer's [in, 4 * 4 * out]."""
    return kernel.transpose(0, 2, 3, 1).reshape(len(kernel), -1)


SOURCES: Mapping[str, Any] = {"keras_h5": from_keras, "torch": from_torch}


def _built(variant: str, weights: Weights, latents: int, name: str | None) -> keras.Model:
    if type(latents) is not int or latents < 1:
        raise UsageError(f"latents={latents!r} is not a positive whole number.")
    config = replace(VARIANTS[variant].config, name=name or variant, latents=latents)
    return assembled(__name__, variant, config, weights)


def DCGAN28(weights: Weights = None, latents: int = 100, name: str | None = None) -> keras.Model:
    """Keras-GAN's DCGAN for digits of 28x28 pixels: generator 856,193 parameters, discriminator 393,729.

    Args:
        weights: `None` for random ones, a name from the manifest, or the path of a file in any format that
            `kerazoo.weights` reads. `kerasgan` holds the generator alone; the discriminator is then fresh.
        latents: Numbers of noise a picture is made from.
        name: Name of the model.

    Returns:
        A `keras.Model`: noise [batch, latents] to logits [batch, 1]. `model.get_layer("generator")` draws: noise to
        pictures [batch, 28, 28, 1] in -1..1; `get_layer("discriminator")` judges: pictures to logits of being real.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    return _built("dcgan_28", weights, latents, name)


def DCGAN32(weights: Weights = None, latents: int = 100, name: str | None = None) -> keras.Model:
    """The WassersteinGAN repository's DCGAN for 32x32 pixels: 1,066,880 and 661,248 trainable parameters.

    Args:
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        latents: Numbers of noise a picture is made from.
        name: Name of the model.

    Returns:
        A `keras.Model` as `DCGAN28` gives it, for pictures [batch, 32, 32, 1].

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    return _built("dcgan_32", weights, latents, name)


def DCGAN64(weights: Weights = None, latents: int = 100, name: str | None = None) -> keras.Model:
    """DCGAN of Radford et al. 2016 (arXiv:1511.06434): generator 18,855,040 trainable parameters.

    Args:
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        latents: Numbers of noise a picture is made from.
        name: Name of the model.

    Returns:
        A `keras.Model` as `DCGAN28` gives it, for pictures [batch, 64, 64, 3].

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    return _built("dcgan_64", weights, latents, name)
