"""VAE: pictures drawn from noise.

Paper: Kingma, Welling, "Auto-Encoding Variational Bayes", ICLR 2014, arXiv:1312.6114, sections 2, 3 and appendix C.1.
Reference weights: none by the authors.
Variants: `vae`, 784-400-20-400-784 on 28x28 digits, 652,824 parameters: the size of the widespread PyTorch example.
Differs: the paper's MNIST net has 500 hidden units, tanh, initial weights from N(0, 0.01) and Adagrad; here 400, ReLU,
    Keras' defaults, and the optimiser is the user's choice. The lower bound is the paper's.

`build` gives the training model: pictures to the logits of their reconstruction, through the layers `encoder`
(picture to mean, logarithm of the variance and divergence) and `decoder` (noise to logits). The divergence from the
prior is already part of its loss, so this trains it, with pictures in 0..1 as inputs and as targets::

    model.compile("adam", vae.reconstruction())
    model.fit(x, x)

and the loss that `fit` reports is the negative lower bound in nats a picture.
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

__all__ = ["VAE"]


@dataclass(frozen=True)
class Config:
    """Sizes of a VAE.

    Attributes:
        name: Name of the Keras model.
        input_shape: Height, width, channels.
        hidden: Units of the hidden layer on either side.
        latents: Numbers that a picture is described by.
    """

    name: str = "vae"
    input_shape: tuple[int, int, int] = (28, 28, 1)
    hidden: int = 400
    latents: int = 20


VARIANTS = {"vae": Variant(Config(), params=652_824, input=(28, 28, 1), task="sample")}


def build(config: Config) -> keras.Model:
    """Pictures [batch, height, width, channels] in 0..1 to the logits of their reconstruction, of the same shape."""
    layers = keras.layers
    inputs = keras.Input(config.input_shape, name="image")
    mean, log_variance, _ = _encoder(config)(inputs)
    # The reparameterisation, equation 4 and section 2.4. Gaussian noise is silent outside training: the mean is used.
    noise = layers.GaussianNoise(1.0, name="standard_noise")(layers.Subtract(name="nothing")([mean, mean]))
    deviation = layers.Activation("exponential", name="deviation")(layers.Rescaling(0.5, name="half")(log_variance))
    spread = layers.Multiply(name="spread")([deviation, noise])
    outputs = _decoder(config)(layers.Add(name="latent")([mean, spread]))
    return keras.Model(inputs, outputs, name=config.name)


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    encoder = model.get_layer("encoder")
    return {"hidden": encoder.get_layer("encoder_hidden").units, "latents": encoder.get_layer("mean").units}


def _encoder(config: Config) -> Any:
    layers = keras.layers
    inputs = keras.Input(config.input_shape, name="encoder_image")
    x = layers.Flatten(name="flatten")(inputs)
    x = layers.Dense(config.hidden, activation="relu", name="encoder_hidden")(x)
    mean = layers.Dense(config.latents, name="mean")(x)
    log_variance = layers.Dense(config.latents, name="log_variance")(x)
    # Appendix B: 1/2 sum(mean^2 + variance - 1 - log variance). Every term is at least 0, so the built-in L1 penalty
    # on activities, which Keras adds to the loss as its mean over the batch, is exactly the divergence.
    square = layers.Multiply(name="mean_square")([mean, mean])
    variance = layers.Activation("exponential", name="variance")(log_variance)
    moments = layers.Subtract(name="moments")([layers.Add(name="power")([square, variance]), log_variance])
    terms = layers.Rescaling(0.5, offset=-0.5, name="terms")(moments)
    divergence = layers.ActivityRegularization(l1=1.0, name="divergence")(terms)
    return keras.Model(inputs, [mean, log_variance, divergence], name="encoder")


def _decoder(config: Config) -> Any:
    layers = keras.layers
    height, width, channels = config.input_shape
    inputs = keras.Input((config.latents,), name="noise")
    x = layers.Dense(config.hidden, activation="relu", name="decoder_hidden")(inputs)
    x = layers.Dense(height * width * channels, name="pixels")(x)
    return keras.Model(inputs, layers.Reshape(config.input_shape, name="logits")(x), name="decoder")


def reconstruction() -> Any:
    """The loss to compile the training model with: a Bernoulli pixel's, summed over a picture, in nats.

    The sum, not the mean: only so does it balance the divergence.
    """

    def reconstruction(pictures: Any, logits: Any) -> Any:
        nats = keras.ops.binary_crossentropy(pictures, logits, from_logits=True)
        return keras.ops.sum(nats, axis=(1, 2, 3))

    return reconstruction


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """A picture from a seed."""
    return {"sample": Sample(config.latents, *config.input_shape)}


def from_torch(config: Config, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
    """The layers of PyTorch's own example: fc1, fc21 (mean), fc22 (logarithm of the variance), fc3, fc4."""
    names = {
        "encoder_hidden": "fc1", "mean": "fc21", "log_variance": "fc22", "decoder_hidden": "fc3", "pixels": "fc4"
    }  # fmt: skip
    return recipes.convert(tensors, recipes.layers(names, dict.fromkeys(names, recipes.dense)))


SOURCES: Mapping[str, Any] = {"torch": from_torch}


def VAE(
    weights: Weights = None,
    input_shape: tuple[int, int, int] = (28, 28, 1),
    hidden: int = 400,
    latents: int = 20,
    name: str = "vae",
) -> keras.Model:
    """Variational auto-encoder of Kingma and Welling 2013 (arXiv:1312.6114); 652,824 parameters by default.

    Args:
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        input_shape: `(height, width, channels)`.
        hidden: Units of the hidden layer of encoder and decoder.
        latents: Numbers that a picture is described by.
        name: Name of the model.

    Returns:
        The training model, a `keras.Model`: float32 pictures [batch, height, width, channels] in 0..1 to logits of the
        same shape, with the divergence in its losses. Compile it with `kerazoo.applications.vae.reconstruction()`.
        `model.get_layer("decoder")` draws: noise [batch, latents] to logits; `get_layer("encoder")` gives mean,
        logarithm of the variance, and divergence, each [batch, latents].

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    whole_numbers(hidden=hidden, latents=latents)
    config = Config(name, picture_shape(input_shape, "vae", open_=False), hidden, latents)
    return assembled(__name__, "vae", config, weights)
