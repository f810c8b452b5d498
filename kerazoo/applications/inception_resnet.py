"""Inception-ResNet: Inception modules whose result is scaled down and added to their input.

Paper: Szegedy, Ioffe, Vanhoucke, Alemi, "Inception-v4, Inception-ResNet and the Impact of Residual Connections on
    Learning", AAAI 2017, arXiv:1602.07261, figures 10 to 20.
Reference weights: for v2 Keras' `inception_resnet_v2_weights_tf_dim_ordering_tf_kernels[_notop].h5`, the authors'
    TF-Slim checkpoint `inception_resnet_v2_2016_08_30` that they come from, and timm's copy of it: RGB, scaled to
    -1..1, 299x299. None were ever released for v1 on ImageNet; `inception_resnet_v1_face` is v1 as facenet trained it
    on faces, in the PyTorch files of facenet-pytorch: RGB, (x - 127.5) / 128, 160x160 around a face.
Variants: `inception_resnet_v1`, `inception_resnet_v2`, `inception_resnet_v1_face`.
Differs: v2 has, as in the checkpoint, the stem and first module of Inception-v3's kind, not figure 3; its numbers of
    filters are the checkpoint's too. Batch normalisation has no `gamma`; where a PyTorch file has one, it is multiplied
    into kernel and moving mean. The auxiliary classifier, which only training uses, is left out, and so is the
    background class before the thousand. A residual is scaled by 0.17, 0.1 or 0.2, the last block's by 1, and that
    block has no ReLU. The dropout of the paper, which Keras' model lacks, is there in training. The face variant
    ends in the 8,631 people of VGGFace2; the embedding is what comes out of the layer `bottleneck_bn`, to be scaled to
    length 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from kerazoo.applications._branches import (
    AVERAGE,
    EPSILON,
    MAX,
    Branch,
    Conv,
    Place,
    concatenated,
    conv_bn,
    folded,
    places,
    pooled,
    slim_recipe,
    slim_unused,
    torch_recipe,
)
from kerazoo.applications._classifier import ClassifierConfig, builder, entrance, finish, without_top
from kerazoo.applications._classifier import tasks as tasks
from kerazoo.applications._created import renamed
from kerazoo.contract import Variant
from kerazoo.lazy import keras
from kerazoo.weights.recipes import convert, dense, layer, torch_norm

__all__ = ["InceptionResNetV1", "InceptionResNetV1Face", "InceptionResNetV2"]

SCALES = {"block35": 0.17, "block17": 0.1, "block8": 0.2}
"""Kind of block, which is the size of its maps, and the factor of what it adds."""


class Step(NamedTuple):
    """A module, or one convolution or pooling between modules.

    Attributes:
        name: What the layer or module is called here, and how its layers' names begin.
        what: The branches, the convolution, or `MAX`.
        slim: Its scope in a checkpoint.
        torch: Its path in PyTorch's state dict.
        scale: The factor of what a residual block adds; `None` for all other steps.
        relu: Whether a residual block ends in one.
    """

    name: str
    what: tuple[Branch, ...] | Conv | str
    slim: str = ""
    torch: str = ""
    scale: float | None = None
    relu: bool = True


def _single(conv: Conv) -> Step:
    return Step(f"conv2d_{conv.name}", conv, f"Conv2d_{conv.name}", f"conv2d_{conv.name.partition('_')[0]}")


STEM = (
    _single(Conv("1a_3x3", 32, 2, "valid")),
    _single(Conv("2a_3x3", 32, padding="valid")),
    _single(Conv("2b_3x3", 64)),
    Step("max_pool_3a", MAX),
    _single(Conv("3b_1x1", 80)),
    _single(Conv("4a_3x3", 192, padding="valid")),
)

MIXED_5B: tuple[Branch, ...] = (
    (Conv("1x1", 96),),
    (Conv("0a_1x1", 48), Conv("0b_5x5", 64)),
    (Conv("0a_1x1", 64), Conv("0b_3x3", 96), Conv("0c_3x3", 96)),
    (AVERAGE, Conv("0b_1x1", 64)),
)

MODULES: Mapping[int, Mapping[str, tuple[Branch, ...]]] = {
    1: {
        "block35": (
            (Conv("1x1", 32),),
            (Conv("0a_1x1", 32), Conv("0b_3x3", 32)),
            (Conv("0a_1x1", 32), Conv("0b_3x3", 32), Conv("0c_3x3", 32)),
        ),
        "mixed_6a": (
            (Conv("1a_3x3", 384, 2, "valid"),),
            (Conv("0a_1x1", 192), Conv("0b_3x3", 192), Conv("1a_3x3", 256, 2, "valid")),
            (MAX,),
        ),
        "block17": ((Conv("1x1", 128),), (Conv("0a_1x1", 128), Conv("0b_1x7", 128), Conv("0c_7x1", 128))),
        "mixed_7a": (
            (Conv("0a_1x1", 256), Conv("1a_3x3", 384, 2, "valid")),
            (Conv("0a_1x1", 256), Conv("1a_3x3", 256, 2, "valid")),
            (Conv("0a_1x1", 256), Conv("0b_3x3", 256), Conv("1a_3x3", 256, 2, "valid")),
            (MAX,),
        ),
        "block8": ((Conv("1x1", 192),), (Conv("0a_1x1", 192), Conv("0b_1x3", 192), Conv("0c_3x1", 192))),
    },
    2: {
        "block35": (
            (Conv("1x1", 32),),
            (Conv("0a_1x1", 32), Conv("0b_3x3", 32)),
            (Conv("0a_1x1", 32), Conv("0b_3x3", 48), Conv("0c_3x3", 64)),
        ),
        "mixed_6a": (
            (Conv("1a_3x3", 384, 2, "valid"),),
            (Conv("0a_1x1", 256), Conv("0b_3x3", 256), Conv("1a_3x3", 384, 2, "valid")),
            (MAX,),
        ),
        "block17": ((Conv("1x1", 192),), (Conv("0a_1x1", 128), Conv("0b_1x7", 160), Conv("0c_7x1", 192))),
        "mixed_7a": (
            (Conv("0a_1x1", 256), Conv("1a_3x3", 384, 2, "valid")),
            (Conv("0a_1x1", 256), Conv("1a_3x3", 288, 2, "valid")),
            (Conv("0a_1x1", 256), Conv("0b_3x3", 288), Conv("1a_3x3", 320, 2, "valid")),
            (MAX,),
        ),
        "block8": ((Conv("1x1", 192),), (Conv("0a_1x1", 192), Conv("0b_1x3", 224), Conv("0c_3x1", 256))),
    },
}
"""Version -> the branches of its blocks and of the reductions before those of 17 and of 8."""

TO_35 = {
    1: (_single(Conv("4b_3x3", 256, 2, "valid")),),
    2: (Step("max_pool_5a", MAX), Step("mixed_5b", MIXED_5B, "Mixed_5b", "mixed_5b")),
}
"""Version -> what brings the stem's maps to 35x35."""

LAST = {1: (), 2: (_single(Conv("7b_1x1", 1536))._replace(name="conv_7b"),)}
"""Version -> what follows the blocks."""


@dataclass(frozen=True)
class Config(ClassifierConfig):
    """Sizes of an Inception-ResNet.

    Attributes:
        version: 1 or 2.
        blocks: How many residual blocks it has on maps of 35, 17 and 8; the last of them has no ReLU.
        divisor: What every number of filters is divided by.
        dropout: Rate before the classifier.
        embedding: Features of the bottleneck before the classifier; `None` for no bottleneck.
    """

    version: int = 2
    blocks: tuple[int, int, int] = (10, 20, 10)
    divisor: int = 1
    dropout: float = 0.2
    embedding: int | None = None


def _variant(config: Config, params: int) -> Variant:
    small = replace(config, input_shape=(107, 107, 3), classes=50, blocks=(1, 1, 2), divisor=8)
    if config.embedding is not None:
        small = replace(small, embedding=config.embedding // 8)
    return Variant(config, params, config.input_shape, "classify", small)


_V1 = Config("inception_resnet_v1", (299, 299, 3), version=1, blocks=(5, 10, 6))
_V2 = Config("inception_resnet_v2", (299, 299, 3))
_FACE = replace(
    _V1, name="inception_resnet_v1_face", input_shape=(160, 160, 3), classes=8631, dropout=0.6, embedding=512
)

VARIANTS = {
    "inception_resnet_v1": _variant(_V1, 24_371_384),
    "inception_resnet_v2": _variant(_V2, 55_873_736),
    "inception_resnet_v1_face": _variant(_FACE, 27_925_127),
}


def build(config: Config, input_tensor: Any = None) -> keras.Model:
    """RGB pictures [batch, height, width, 3] in -1..1 to logits [batch, classes]."""
    layers = keras.layers
    x = inputs = entrance(config, input_tensor)
    for step in _steps(config):
        if isinstance(step.what, str):
            x = pooled(x, step.what, step.name)
        elif isinstance(step.what, Conv):
            x = conv_bn(x, step.what, step.name, config.divisor)
        elif step.scale is None:
            x = concatenated(x, step.what, step.name, config.divisor)
        else:
            x = _residual(x, step.what, step, config.divisor)
    if not config.include_top:
        return finish(config, inputs, without_top(config, x))
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dropout(config.dropout, name="dropout")(x)
    if config.embedding is not None:
        x = layers.Dense(config.embedding, use_bias=False, name="bottleneck")(x)
        x = layers.BatchNormalization(epsilon=EPSILON, scale=False, name="bottleneck_bn")(x)
    outputs = layers.Dense(config.classes, activation=config.activation, name="predictions")(x)
    return finish(config, inputs, outputs)


def _residual(x: Any, branches: tuple[Branch, ...], step: Step, divisor: int) -> Any:
    """The branches' channels brought to the input's number by a convolution with bias alone, scaled and added."""
    layers = keras.layers
    added = concatenated(x, branches, step.name, divisor, joined="_mixed")
    added = layers.Conv2D(x.shape[-1], 1, kernel_initializer="he_normal", name=f"{step.name}_conv")(added)
    if step.scale != 1:
        added = layers.Rescaling(step.scale, name=f"{step.name}_scale")(added)
    x = layers.Add(name=f"{step.name}_add")([x, added])
    return layers.Activation("relu", name=f"{step.name}_ac")(x) if step.relu else x


def _steps(config: Config) -> Iterator[Step]:
    """The network up to its head, in order."""
    modules = MODULES[config.version]
    yield from (*STEM, *TO_35[config.version])
    kinds = (("block35", None), ("block17", "mixed_6a"), ("block8", "mixed_7a"))
    for stage, (count, (kind, reduction)) in enumerate(zip(config.blocks, kinds, strict=True)):
        if reduction is not None:
            yield Step(reduction, modules[reduction], reduction.capitalize(), reduction)
        for block in range(1, count + 1):
            name, what = f"{kind}_{block}", modules[kind]
            if kind == "block8" and block == count:
                yield Step(name, what, "Block8", "block8", scale=1, relu=False)
            else:
                slim = "Repeat" + (f"_{stage}" if stage else "")
                # facenet-pytorch counts the repeats from 1, timm like TF-Slim.
                torch = f"repeat_{stage + 1}" if config.version == 1 else slim.lower()
                yield Step(name, what, f"{slim}/{name}", f"{torch}.{block - 1}", SCALES[kind])
    yield from LAST[config.version]


def _places(config: Config) -> Iterator[Place]:
    """Every convolution with batch normalisation, in the order in which they are built."""
    for step in _steps(config):
        if isinstance(step.what, Conv):
            yield Place(step.name, step.slim, step.torch)
        elif not isinstance(step.what, str):
            yield from places(step.what, step.name, step.slim, step.torch)


def from_slim(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The authors' checkpoint."""
    root = f"InceptionResnetV{config.version}"
    recipe = slim_recipe(_places(config), root)
    for step in _steps(config):
        if step.scale is not None:
            recipe[f"{step.name}_conv/kernel"] = (f"{root}/{step.slim}/Conv2d_1x1/weights", np.asarray)
            recipe[f"{step.name}_conv/bias"] = (f"{root}/{step.slim}/Conv2d_1x1/biases", np.asarray)
    return convert(tensors, recipe, slim_unused(tensors))


def from_torch(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """timm's v2, and the face networks of facenet-pytorch."""
    recipe = torch_recipe(_places(config), "classif" if config.embedding is None else "logits")
    for step in _steps(config):
        if step.scale is not None:
            recipe |= layer(f"{step.name}_conv", f"{step.torch}.conv2d")
    if config.embedding is not None:
        recipe["bottleneck/kernel"] = ("last_linear.weight", dense)
        recipe |= torch_norm("bottleneck_bn", "last_bn")
    return folded(tensors, recipe)


def from_keras(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Keras' layouts. Of its own model's layers only some have names, and `renamed` gives the others ours."""
    named = {step.name for step in LAST[config.version]}
    convs = [place.layer for place in _places(config) if place.layer not in named]
    return renamed(tensors, {"conv2d": convs, "batch_normalization": [f"{name}_bn" for name in convs]})


SOURCES: Mapping[str, Any] = {"keras_h5": from_keras, "torch": from_torch, "slim": from_slim}

InceptionResNetV1 = builder(__name__, "inception_resnet_v1", "InceptionResNetV1", "Szegedy et al. 2016.", least=75)
InceptionResNetV2 = builder(__name__, "inception_resnet_v2", "InceptionResNetV2", "Szegedy et al. 2016.", least=75)
InceptionResNetV1Face = builder(
    __name__, "inception_resnet_v1_face", "InceptionResNetV1Face", "8,631 people of VGGFace2, facenet 2018.", least=75
)
