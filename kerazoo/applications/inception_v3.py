"""Inception v3: convolutions taken apart into smaller and flatter ones, several sizes of them side by side.

Paper: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception Architecture for Computer Vision",
    CVPR 2016, arXiv:1512.00567, table 1 and figures 5 to 7 and 10.
Reference weights: Keras' `inception_v3_weights_tf_dim_ordering_tf_kernels[_notop].h5`, and the authors' checkpoint of
    28 August 2016 (`imagenet-slim`). Both want RGB pixels scaled to -1..1, 299x299.
Variants: `inception_v3`.
Differs: drawn as in the authors' released definition (TF-Slim), not as in table 1: the fourth convolution is 1x1 and
    not 3x3, max-pooling stands where the table has a strided convolution, one branch of the first three blocks has a
    5x5 convolution where figure 5 has a 3x3 one, and four blocks, not five, follow on the 17x17 grid. Batch
    normalisation has no `gamma`. The auxiliary classifier of training is left out, as in Keras. Dropout of 0.2 before
    the classifier is TF-Slim's; Keras has none. PyTorch's ports count the padding of the mean pools in their averages,
    which changes the borders of every block and with them all logits: their files are not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerazoo.applications._branches import slim_unused
from kerazoo.applications._classifier import ClassifierConfig, builder, entrance, finish, without_top
from kerazoo.applications._classifier import tasks as tasks
from kerazoo.applications._created import renamed
from kerazoo.contract import Variant
from kerazoo.lazy import keras
from kerazoo.weights.recipes import convert, slim_classifier, slim_conv_norm

__all__ = ["InceptionV3"]


@dataclass(frozen=True)
class Conv:
    """One convolution, without bias and with batch normalisation and ReLU behind it."""

    filters: int
    rows: int
    columns: int
    strides: int = 1
    padding: str = "same"


Steps = tuple[tuple[Conv, ...], ...]
"""One after the other; convolutions in one step stand side by side and are concatenated."""


def _chain(*convs: Conv) -> Steps:
    return tuple((conv,) for conv in convs)


def _grid_35(pool: int) -> dict[str, Steps]:
    """Figure 5 with a 5x5 convolution in the second branch; `pool` filters follow the mean pool."""
    return {
        "branch1x1": _chain(Conv(64, 1, 1)),
        "branch5x5": _chain(Conv(48, 1, 1), Conv(64, 5, 5)),
        "branch3x3dbl": _chain(Conv(64, 1, 1), Conv(96, 3, 3), Conv(96, 3, 3)),
        "branch_pool": _chain(Conv(pool, 1, 1)),
    }


def _grid_17(width: int) -> dict[str, Steps]:
    """Figure 6 with n = 7: 7x7 convolutions as 1x7 and 7x1 ones, `width` wide until the last of a branch."""
    across, down = Conv(width, 1, 7), Conv(width, 7, 1)
    return {
        "branch1x1": _chain(Conv(192, 1, 1)),
        "branch7x7": _chain(Conv(width, 1, 1), across, Conv(192, 7, 1)),
        "branch7x7dbl": _chain(Conv(width, 1, 1), down, across, down, Conv(192, 1, 7)),
        "branch_pool": _chain(Conv(192, 1, 1)),
    }


def _grid_8() -> dict[str, Steps]:
    """Figure 7: 1x3 and 3x1 convolutions side by side."""
    both = (Conv(384, 1, 3), Conv(384, 3, 1))
    return {
        "branch1x1": _chain(Conv(320, 1, 1)),
        "branch3x3": (*_chain(Conv(384, 1, 1)), both),
        "branch3x3dbl": (*_chain(Conv(448, 1, 1), Conv(384, 3, 3)), both),
        "branch_pool": _chain(Conv(192, 1, 1)),
    }


def _halving(filters: int) -> Conv:
    return Conv(filters, 3, 3, strides=2, padding="valid")


STEM = {
    "conv1": ("Conv2d_1a_3x3", _halving(32)),
    "conv2": ("Conv2d_2a_3x3", Conv(32, 3, 3, padding="valid")),
    "conv3": ("Conv2d_2b_3x3", Conv(64, 3, 3)),
    "conv4": ("Conv2d_3b_1x1", Conv(80, 1, 1)),
    "conv5": ("Conv2d_4a_3x3", Conv(192, 3, 3, padding="valid")),
}
"""Our name -> TF-Slim's, and the convolution; max-pooling follows `conv3` and `conv5`."""

BLOCKS = {
    "mixed0": ("Mixed_5b", _grid_35(32)),
    "mixed1": ("Mixed_5c", _grid_35(64)),
    "mixed2": ("Mixed_5d", _grid_35(64)),
    "mixed3": (
        "Mixed_6a",
        {
            "branch3x3": _chain(_halving(384)),
            "branch3x3dbl": _chain(Conv(64, 1, 1), Conv(96, 3, 3), _halving(96)),
            "branch_pool": (),
        },
    ),
    "mixed4": ("Mixed_6b", _grid_17(128)),
    "mixed5": ("Mixed_6c", _grid_17(160)),
    "mixed6": ("Mixed_6d", _grid_17(160)),
    "mixed7": ("Mixed_6e", _grid_17(192)),
    "mixed8": (
        "Mixed_7a",
        {
            "branch3x3": _chain(Conv(192, 1, 1), _halving(320)),
            "branch7x7x3": _chain(Conv(192, 1, 1), Conv(192, 1, 7), Conv(192, 7, 1), _halving(192)),
            "branch_pool": (),
        },
    ),
    "mixed9": ("Mixed_7b", _grid_8()),
    "mixed10": ("Mixed_7c", _grid_8()),
}
"""Our name -> TF-Slim's, and the branches in the order in which they are concatenated (table 1)."""


@dataclass(frozen=True)
class Config(ClassifierConfig):
    """Sizes of an Inception v3.

    Attributes:
        blocks: Those of `BLOCKS` that are built.
        width: Factor of every convolution's number of filters.
        dropout: Rate before the classifier.
    """

    blocks: tuple[str, ...] = tuple(BLOCKS)
    width: float = 1.0
    dropout: float = 0.2


_CONFIG = Config("inception_v3", (299, 299, 3))

VARIANTS = {
    "inception_v3": Variant(
        _CONFIG,
        23_851_784,
        (299, 299, 3),
        "classify",
        small=replace(
            _CONFIG,
            input_shape=(107, 107, 3),
            classes=50,
            blocks=("mixed0", "mixed3", "mixed4", "mixed8", "mixed9"),
            width=1 / 8,
        ),
    ),
}


def build(config: Config, input_tensor: Any = None) -> keras.Model:
    """RGB pictures [batch, height, width, 3] in -1..1 to logits [batch, classes]."""
    layers = keras.layers
    inputs = entrance(config, input_tensor)
    x = inputs
    for name, (_, conv) in STEM.items():
        x = _conv_bn(config, x, conv, name)
        if name in ("conv3", "conv5"):
            x = layers.MaxPooling2D(3, strides=2, name=f"{name}_pool")(x)
    for block in config.blocks:
        x = _block(config, x, block)
    if not config.include_top:
        return finish(config, inputs, without_top(config, x))
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dropout(config.dropout, name="dropout")(x)
    outputs = layers.Dense(config.classes, activation=config.activation, name="predictions")(x)
    return finish(config, inputs, outputs)


def _block(config: Config, inputs: Any, block: str) -> Any:
    """The branches of one block, concatenated."""
    layers = keras.layers
    ends = []
    for branch, steps in BLOCKS[block][1].items():
        x = inputs
        if branch == "branch_pool":
            # The pool of a block that halves the grid has no convolution behind it.
            name = f"{block}_pool"
            if steps:
                x = layers.AveragePooling2D(3, strides=1, padding="same", name=name)(x)
            else:
                x = layers.MaxPooling2D(3, strides=2, name=name)(x)
        for names, step in zip(_names(block, branch), steps, strict=True):
            made = [_conv_bn(config, x, conv, name) for name, conv in zip(names, step, strict=True)]
            x = made[0] if len(made) == 1 else layers.Concatenate(name=names[0][:-1])(made)
        ends.append(x)
    return layers.Concatenate(name=block)(ends)


def _names(block: str, branch: str) -> list[list[str]]:
    """Names of a branch's convolutions: numbered where there are several steps, lettered where a step has several."""
    steps = BLOCKS[block][1][branch]
    name = f"{block}_{branch}"
    made = []
    for number, step in enumerate(steps, start=1):
        numbered = f"{name}_{number}" if len(steps) > 1 else name
        made.append([f"{numbered}{letter}" for letter in "ab"] if len(step) > 1 else [numbered])
    return made


def _conv_bn(config: Config, x: Any, conv: Conv, name: str) -> Any:
    layers = keras.layers
    x = layers.Conv2D(
        int(conv.filters * config.width),
        (conv.rows, conv.columns),
        strides=conv.strides,
        padding=conv.padding,
        use_bias=False,
        name=f"{name}_conv",
    )(x)
    x = layers.BatchNormalization(epsilon=1e-3, scale=False, name=f"{name}_bn")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x)


SLIPS = {
    "Mixed_5c/Branch_1/Conv2d_0a_1x1": "Mixed_5c/Branch_1/Conv2d_0b_1x1",
    "Mixed_5c/Branch_1/Conv2d_0b_5x5": "Mixed_5c/Branch_1/Conv_1_0c_5x5",
    "Mixed_6a/Branch_0/Conv2d_1a_3x3": "Mixed_6a/Branch_0/Conv2d_1a_1x1",
    "Mixed_6a/Branch_1/Conv2d_1a_3x3": "Mixed_6a/Branch_1/Conv2d_1a_1x1",
    "Mixed_7b/Branch_1/Conv2d_0c_3x1": "Mixed_7b/Branch_1/Conv2d_0b_3x1",
}
"""Names in TF-Slim's definition that do not follow its own rule -> what they are, and remain in the checkpoint."""


def _convolutions(config: Config) -> Iterator[tuple[str, str]]:
    """Our name and TF-Slim's of every convolution, in the order in which Keras' own definition creates them."""
    for name, (scope, _) in STEM.items():
        yield name, scope
    for block in config.blocks:
        slim, branches = BLOCKS[block]
        for number, (branch, steps) in enumerate(branches.items()):
            names = [name for step in _names(block, branch) for name in step]
            convs = [conv for step in steps for conv in step]
            # TF-Slim letters what follows each other in a branch, its pool too, and starts anew where it halves.
            letters = "bcdef" if branch == "branch_pool" else "abcdef"
            for name, conv, letter in zip(names, convs, letters, strict=False):
                place = "1a" if conv.strides > 1 else f"0{letter}"
                scope = f"{slim}/Branch_{number}/Conv2d_{place}_{conv.rows}x{conv.columns}"
                yield name, SLIPS.get(scope, scope)


def from_keras_h5(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Keras' own files, whose convolutions and normalisations have only numbers."""
    names = [name for name, _ in _convolutions(config)]
    return renamed(
        tensors,
        {"conv2d": [f"{name}_conv" for name in names], "batch_normalization": [f"{name}_bn" for name in names]},
    )


def from_slim(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """TF-Slim's checkpoints: 1001 classes, of which the first is none, behind a classifier that is a convolution."""
    recipe = slim_classifier("InceptionV3/Logits/Conv2d_1c_1x1")
    for name, scope in _convolutions(config):
        recipe |= slim_conv_norm(f"{name}_conv", f"{name}_bn", f"InceptionV3/{scope}")
    return convert(tensors, recipe, slim_unused(tensors))


SOURCES: Mapping[str, Any] = {"keras_h5": from_keras_h5, "slim": from_slim}

InceptionV3 = builder(__name__, "inception_v3", "InceptionV3", "94 convolutions, Szegedy et al. 2016.", least=75)
