"""NVAE: a deep hierarchy of latent variables, each group drawn behind those before it.

Paper: Vahdat, Kautz, "NVAE: A Deep Hierarchical Variational Autoencoder", NeurIPS 2020, arXiv:2007.03898, sections 3
    and 4 and appendix A.
Reference weights: the authors' (NVlabs/NVAE), under NVIDIA's licence for non-commercial use alone; their files are
    read by the names in their code, with none at hand to try it.
Variants: `nvae_mnist`, 5 groups of 4x4 places and 10 of 8x8, 33,363,134 trainable parameters; `nvae_mnist_small`, 2 and
    4 groups of half the channels and fewer cells, which one core can train, 2,231,270; `nvae_cifar10`, 30 groups of
    16x16 places with a flow behind each posterior, 130,852,480. So many has the authors' program with these sizes:
    kernels, biases, the logarithms of kernels' lengths (18,505 in `nvae_mnist`), and the decoder's first state. The
    moving statistics of the normalisations are 164,480, 19,328 and 484,352 more.
Differs: nothing in the network. In the decoder's cells pixels are doubled behind the first convolution and not before
    it, which gives the same numbers at a quarter of the work. A drawn colour picture shows the mean of each pixel's
    distribution and no draw of it, as a drawn digit does.

`build` gives the training model: pictures in 0..1 to the logits of their reconstruction (grey), or to the parameters of
a mixture of logistic distributions (colours). The divergences of the groups are already part of its loss, so this
trains it, and the loss that `fit` reports is the negative lower bound in nats a picture::

    model.compile("adamax", nvae.reconstruction())
    model.fit(x, x)

`kerazoo.train.steps.hierarchical` has the paper's own way, with balanced and warmed-up divergences and spectral
regularisation. The pieces stand together as `kerazoo.layers.hierarchy` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kerazoo.applications._builder import Weights, assembled
from kerazoo.applications._nvae import from_torch
from kerazoo.assets import Assets
from kerazoo.contract import Task, Variant
from kerazoo.lazy import keras
from kerazoo.tasks.sample import Hierarchical

__all__ = ["NVAECIFAR10", "NVAEMNIST", "NVAEMNISTSmall"]


@dataclass(frozen=True)
class Config:
    """Sizes of an NVAE.

    Attributes:
        name: Name of the Keras model.
        input_shape: Height, width, channels of a picture; 1 channel ends in logits, 3 in a mixture.
        groups: Of latent variables at each scale, the coarsest first.
        channels: Of the first maps; twice as many at every halving.
        latents: Channels of a group.
        blocks: Halvings before the first group, and doublings after the last.
        around: Cells of each of these.
        encoding, decoding: Cells of a group.
        flows: Pairs of autoregressive cells behind each posterior.
        mixture: Logistic distributions of a colour.
    """

    name: str
    input_shape: tuple[int, int, int] = (28, 28, 1)
    groups: tuple[int, ...] = (5, 10)
    channels: int = 32
    latents: int = 20
    blocks: int = 2
    around: int = 3
    encoding: int = 2
    decoding: int = 2
    flows: int = 0
    mixture: int = 10

    @property
    def smallest(self) -> tuple[int, int]:
        """Height and width of the coarsest scale; pictures are padded to what halves to it."""
        times = 2 ** (self.blocks + len(self.groups) - 1)
        height, width, _ = self.input_shape
        return -(-height // times), -(-width // times)

    @property
    def noise(self) -> int:
        """Numbers that a picture is drawn from."""
        height, width = self.smallest
        return sum(count * 4**scale * height * width * self.latents for scale, count in enumerate(self.groups))


MNIST = Config("nvae_mnist")
SMALL = Config("nvae_mnist_small", groups=(2, 4), channels=16, around=2, encoding=1, decoding=1)
CIFAR10 = Config("nvae_cifar10", (32, 32, 3), groups=(30,), channels=128, blocks=1, around=2, flows=1)

_TINY = replace(SMALL, input_shape=(10, 10, 1), groups=(1, 1), channels=4, latents=3, blocks=1, around=1)
VARIANTS = {
    "nvae_mnist_small": Variant(SMALL, params=2_250_598, input=(5760,), task="sample", small=_TINY),
    "nvae_mnist": Variant(
        MNIST, params=33_527_614, input=(14_400,), task="sample", small=replace(_TINY, name="nvae_mnist", around=2)
    ),
    "nvae_cifar10": Variant(
        CIFAR10,
        params=131_336_832,
        input=(153_600,),
        task="sample",
        small=replace(_TINY, name="nvae_cifar10", input_shape=(8, 8, 3), groups=(2,), flows=1, mixture=2),
    ),
}


def build(config: Config) -> keras.Model:
    """Pictures [batch, height, width, channels] in 0..1 to logits of the same shape, or [batch, height, width, 10 k]
    for colours."""
    from kerazoo.layers import hierarchy, latent

    encoder = _encoder(config)
    states = [tuple(features.shape[1:]) for features in encoder.outputs]
    pieces: dict[str, Any] = {
        "start": latent.LearnedMaps(states[0][-1], name="start"),
        "prior0": latent.StandardNormal(name="prior0"),
        "picture": _picture(config, states[-1]),
    }
    for index, state in enumerate(states):
        if index:
            pieces[f"prior{index}"] = _prior(config, state, index)
        pieces[f"posterior{index}"] = _posterior(config, state, index)
        pieces[f"group{index}"] = _group(config, state, states[index + 1 : index + 2], index)
    inputs = keras.Input(config.input_shape, name="image")
    features = encoder(inputs)
    noises = [latent.Noise(config.latents, name=f"noise{index}")(each) for index, each in enumerate(features)]
    outputs, _ = hierarchy.described(pieces.__getitem__, features, noises)
    return keras.Model(inputs, outputs, name=config.name)


def _encoder(config: Config) -> Any:
    """A picture to the features of every group, the coarsest first."""
    layers = keras.layers
    inputs = keras.Input(config.input_shape, name="encoder_image")
    x = layers.ZeroPadding2D(_margins(config), name="pad")(inputs)
    x = layers.Rescaling(2.0, -1.0, name="signed")(x)
    x = _convolution(x, config.channels, 3, "stem")
    for block in range(1, config.blocks + 1):
        for cell in range(1, config.around + 1):
            x = _encoding_cell(x, f"before{block}_cell{cell}", halve=cell == config.around)
    found: list[Any] = []
    left = sum(config.groups)
    for scale, count in enumerate(reversed(config.groups)):
        if scale:
            x = _encoding_cell(x, f"down{scale}", halve=True)
        for _ in range(count):
            left -= 1
            for cell in range(1, config.encoding + 1):
                x = _encoding_cell(x, f"encoder{left}_cell{cell}")
            found.append(x)
    x = layers.Activation("elu", name="top_elu")(found.pop())
    x = layers.Activation("elu", name="top")(_convolution(x, x.shape[-1], 1, "top_conv"))
    return keras.Model(inputs, [x, *reversed(found)], name="encoder")


def _margins(config: Config) -> tuple[tuple[int, int], tuple[int, int]]:
    """Black rows and columns around a picture: before and behind it."""
    times = 2 ** (config.blocks + len(config.groups) - 1)
    rows, columns = (small * times - side for small, side in zip(config.smallest, config.input_shape[:2], strict=True))
    return (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)


def _prior(config: Config, state: tuple[int, ...], index: int) -> Any:
    inputs = keras.Input(state, name=f"prior{index}_state")
    x = keras.layers.Activation("elu", name=f"prior{index}_elu")(inputs)
    return keras.Model(inputs, _convolution(x, 2 * config.latents, 1, f"prior{index}_conv"), name=f"prior{index}")


def _posterior(config: Config, state: tuple[int, ...], index: int) -> Any:
    """Features, the decoder's state behind the first group, prior and noise to what is drawn, and its divergence.

    The residual normal distribution of section 3.2: what the picture adds to the prior's parameters.
    """
    from kerazoo.layers.latent import Divergence, Drawn

    name, layers = f"posterior{index}", keras.layers
    features = x = keras.Input(state, name=f"{name}_features")
    prior = keras.Input((*state[:2], 2 * config.latents), name=f"{name}_prior")
    noise = keras.Input((*state[:2], config.latents), name=f"{name}_noise")
    inputs = [features, prior, noise]
    if index:
        behind = keras.Input(state, name=f"{name}_state")
        inputs.insert(1, behind)
        x = layers.Add(name=f"{name}_sum")([x, _convolution(behind, state[-1], 1, f"{name}_combine")])
    change = _convolution(x, 2 * config.latents, 3, f"{name}_conv")
    posterior = layers.Add(name=f"{name}_residual")([prior, change])
    before = drawn = Drawn(name=f"{name}_drawn")([posterior, noise])
    for flow in range(1, config.flows + 1):
        for mirrored in (False, True):
            drawn = _flow(drawn, f"{name}_flow{flow}{'_mirrored' if mirrored else ''}", mirrored)
    ends = [before, drawn] if config.flows else []
    nats = Divergence(name=f"{name}_divergence")([prior, posterior, *ends])
    return keras.Model(inputs, [drawn, nats], name=name)


def _flow(x: Any, name: str, mirrored: bool) -> Any:
    """What was drawn less what an autoregressive network makes of it, which keeps volumes: appendix A.6."""
    from kerazoo.layers import AutoregressiveConv2D

    layers, latents = keras.layers, x.shape[-1]
    common = {"padding": "same", "mirrored": mirrored, **_UNIFORM}
    y = AutoregressiveConv2D(6 * latents, 3, own=False, use_bias=False, name=f"{name}_conv1", **common)(x)
    y = layers.Activation("elu", name=f"{name}_elu1")(y)
    y = AutoregressiveConv2D(6 * latents, 5, groups=6 * latents, use_bias=False, name=f"{name}_conv2", **common)(y)
    y = layers.Activation("elu", name=f"{name}_elu2")(y)
    # Near to nothing at first.
    y = layers.Activation("elu", name=f"{name}_elu3")(y)
    y = AutoregressiveConv2D(latents, 1, shrink=0.1, name=f"{name}_mean", **common)(y)
    return layers.Subtract(name=name)([x, y])


def _group(config: Config, state: tuple[int, ...], after: Sequence[tuple[int, ...]], index: int) -> Any:
    """The decoder's state and what was drawn to the state before the next group, or, behind the last, the picture."""
    name = f"group{index}"
    before = keras.Input(state, name=f"{name}_state")
    drawn = keras.Input((*state[:2], config.latents), name=f"{name}_latent")
    x = keras.layers.Concatenate(name=f"{name}_both")([before, drawn])
    x = _convolution(x, state[-1], 1, f"{name}_combine")
    if after and after[0] != state:
        x = _decoding_cell(x, f"{name}_up", double=True)
    for cell in range(1, config.decoding + 1 if after else 1):
        x = _decoding_cell(x, f"{name}_cell{cell}")
    return keras.Model([before, drawn], x, name=name)


def _picture(config: Config, state: tuple[int, ...]) -> Any:
    inputs = x = keras.Input(state, name="picture_state")
    for block in range(1, config.blocks + 1):
        for cell in range(1, config.around + 1):
            x = _decoding_cell(x, f"after{block}_cell{cell}", times=3, double=cell == 1)
    x = keras.layers.Activation("elu", name="pixels_elu")(x)
    grey = config.input_shape[2] == 1
    x = _convolution(x, 1 if grey else 10 * config.mixture, 3, "pixels")
    return keras.Model(inputs, keras.layers.Cropping2D(_margins(config), name="crop")(x), name="picture")


_UNIFORM: Mapping[str, Any] = {
    "kernel_initializer": {"class_name": "VarianceScaling", "config": {"scale": 1 / 3, "distribution": "uniform"}}
}
"""First kernels as the reference implementation has them: PyTorch's own, uniform within the root of the inputs."""


def _convolution(x: Any, channels: int, kernel: int, name: str, stride: int = 1, bias: bool = True) -> Any:
    from kerazoo.layers import WeightNormConv2D

    if stride > 1 and kernel > 1:  # One row above as well as one below.
        x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    padding = "same" if stride == 1 else "valid"
    options = {"strides": stride, "padding": padding, "use_bias": bias, **_UNIFORM}
    return WeightNormConv2D(channels, kernel, name=name, **options)(x)


def _norm(x: Any, name: str, swish: bool = False) -> Any:
    x = keras.layers.BatchNormalization(momentum=0.95, epsilon=1e-5, name=name)(x)
    return keras.layers.Activation("silu", name=f"{name}_swish")(x) if swish else x


def _encoding_cell(x: Any, name: str, halve: bool = False) -> Any:
    """Figure 3b: twice normalisation, swish and a 3x3 convolution."""
    skip = _halved(x, f"{name}_skip") if halve else x
    channels = skip.shape[-1]
    for index in (1, 2):
        x = _norm(x, f"{name}_bn{index}", swish=True)
        x = _convolution(x, channels, 3, f"{name}_conv{index}", stride=2 if halve and index == 1 else 1)
    return _added(skip, x, name)


def _decoding_cell(x: Any, name: str, times: int = 6, double: bool = False) -> Any:
    """Figure 3a: a 1x1 convolution to more channels, a depthwise one of 5x5, and back."""
    layers, channels = keras.layers, x.shape[-1] // 2 if double else x.shape[-1]
    wide, branch = times * x.shape[-1], _norm(x, f"{name}_bn1")
    plain = {"use_bias": False, **_UNIFORM}
    branch = layers.Conv2D(wide, 1, name=f"{name}_expand", **plain)(branch)
    branch = _norm(branch, f"{name}_bn2", swish=True)
    if double:
        branch = layers.UpSampling2D(name=f"{name}_double")(branch)
    spread = keras.initializers.RandomUniform(-0.2, 0.2)
    branch = layers.DepthwiseConv2D(
        5, padding="same", use_bias=False, depthwise_initializer=spread, name=f"{name}_depthwise"
    )(branch)
    branch = _norm(branch, f"{name}_bn3", swish=True)
    branch = layers.Conv2D(channels, 1, name=f"{name}_project", **plain)(branch)
    branch = _norm(branch, f"{name}_bn4")
    skip = _doubled(x, branch, f"{name}_skip") if double else x
    return _added(skip, branch, name)


def _added(skip: Any, branch: Any, name: str) -> Any:
    """A tenth of the branch, each channel of which is weighed by squeeze and excitation, is added."""
    layers, channels = keras.layers, branch.shape[-1]
    share = layers.GlobalAveragePooling2D(name=f"{name}_squeeze")(branch)
    share = layers.Dense(max(channels // 16, 4), activation="relu", name=f"{name}_se1")(share)
    share = layers.Dense(channels, activation="sigmoid", name=f"{name}_se2")(share)
    share = layers.Reshape((1, 1, channels), name=f"{name}_share")(share)
    branch = layers.Multiply(name=f"{name}_excite")([branch, share])
    return layers.Add(name=name)([skip, layers.Rescaling(0.1, name=f"{name}_tenth")(branch)])


def _halved(x: Any, name: str) -> Any:
    """Every second pixel, from four corners, a quarter of the twice as many channels from each."""
    layers, quarter = keras.layers, x.shape[-1] // 2
    x = layers.Activation("silu", name=f"{name}_swish")(x)
    found = []
    for index, (row, column) in enumerate(((0, 0), (1, 1), (0, 1), (1, 0)), start=1):
        shifted = layers.Cropping2D(((row, 0), (column, 0)), name=f"{name}_shift{index}")(x) if index > 1 else x
        found.append(_convolution(shifted, quarter, 1, f"{name}_conv{index}", stride=2))
    return layers.Concatenate(name=name)(found)


def _doubled(x: Any, like: Any, name: str) -> Any:
    from kerazoo.layers import BilinearResize

    x = BilinearResize(align_corners=True, name=f"{name}_resize")([x, like])
    return _convolution(x, like.shape[-1], 1, name, bias=False)


def reconstruction() -> Any:
    """The loss to compile the training model with: what a picture costs that is described so, in nats.

    Of logits a Bernoulli pixel's, as `kerazoo.applications.vae` has it; of a mixture that of its 256 levels.
    """

    def reconstruction(pictures: Any, described: Any) -> Any:
        if described.shape[-1] == pictures.shape[-1]:
            nats = keras.ops.binary_crossentropy(pictures, described, from_logits=True)
            return keras.ops.sum(nats, axis=(1, 2, 3))
        from kerazoo.layers.latent import mixture_nats

        return keras.ops.sum(mixture_nats(pictures, described), axis=(1, 2))

    return reconstruction


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """A picture from a seed."""
    output = "logits" if config.input_shape[2] == 1 else "unit"
    return {"sample": Hierarchical(config.noise, *config.input_shape, output=output)}


SOURCES: Mapping[str, Any] = {"torch": from_torch}


def _checked(variant: str, weights: Weights, name: str) -> keras.Model:
    return assembled(__name__, variant, replace(VARIANTS[variant].config, name=name), weights)


def NVAEMNIST(weights: Weights = None, name: str = "nvae_mnist") -> keras.Model:
    """NVAE of Vahdat and Kautz 2020 (arXiv:2007.03898) for digits; 33,363,134 trainable parameters.

    Args:
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        name: Name of the model.

    Returns:
        The training model, a `keras.Model`: float32 pictures [batch, 28, 28, 1] in 0..1 to logits of the same shape,
        with the divergences in its losses. Compile it with `kerazoo.applications.nvae.reconstruction()`.
        `kerazoo.layers.hierarchy.generating(model)` draws: noise [batch, 14400] to logits.

    Raises:
        UsageError: The weights are not known, or do not fit.
    """
    return _checked("nvae_mnist", weights, name)


def NVAEMNISTSmall(weights: Weights = None, name: str = "nvae_mnist_small") -> keras.Model:
    """The same with 6 groups in place of 15 and half the channels; 2,231,270 trainable parameters.

    Args:
        weights: `None` for random ones, a name from the manifest, or the path of a file in any format that
            `kerazoo.weights` reads.
        name: Name of the model.

    Returns:
        The training model, as of `NVAEMNIST`; its noise is [batch, 5760].

    Raises:
        UsageError: The weights are not known, or do not fit.
    """
    return _checked("nvae_mnist_small", weights, name)


def NVAECIFAR10(weights: Weights = None, name: str = "nvae_cifar10") -> keras.Model:
    """NVAE of Vahdat and Kautz 2020 (arXiv:2007.03898) for CIFAR-10; 130,852,480 trainable parameters.

    Args:
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        name: Name of the model.

    Returns:
        The training model, a `keras.Model`: float32 pictures [batch, 32, 32, 3] in 0..1 to the parameters of ten
        logistic distributions a pixel, [batch, 32, 32, 100], with the divergences in its losses. Compile it with
        `kerazoo.applications.nvae.reconstruction()`. `kerazoo.layers.hierarchy.generating(model)` draws: noise
        [batch, 153600] to the same.

    Raises:
        UsageError: The weights are not known, or do not fit.
    """
    return _checked("nvae_cifar10", weights, name)
