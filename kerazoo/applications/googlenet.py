"""GoogLeNet: the network that won ImageNet in 2014, nine modules in which kernels of several sizes stand side by side.

Paper: Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich, "Going Deeper with Convolutions",
    CVPR 2015, arXiv:1409.4842, table 1, section 5 and figure 3.
Reference weights: `googlenet:imagenet`, Caffe's `bvlc_googlenet.caffemodel`, and its copy in the ONNX model zoo, which
    lacks the auxiliary classifiers. Both want BGR pixels with the mean (104, 117, 123) taken off, 224x224.
Variants: `googlenet`; the form with batch normalisation is `inception_v1`.
Differs: where the paper says nothing, as Caffe's definition has it: response normalisation with k = 1 and
    alpha = 1e-4 / 5 (not divided by n), after the first pool and before the second, biases that begin at 0.2, pools
    that round up. Without its two auxiliary classifiers, which only training uses; `GoogLeNet(aux=True)` has them.
    Their pools round down, so that at sizes other than 224 they can see less of the border than Caffe's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerazoo.applications._builder import Weights, assembled
from kerazoo.applications._classifier import (
    ClassifierConfig,
    Shape,
    checked,
    entrance,
    finish,
    shape_of,
    without_top,
)
from kerazoo.applications._classifier import tasks as tasks
from kerazoo.applications._googlenet import MODULES
from kerazoo.applications._pooling import ceil_max_pool
from kerazoo.contract import Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras, own_layers
from kerazoo.weights.recipes import Change, after_flatten, convert, dense, in_order, layers

__all__ = ["GoogLeNet"]

PARTS = ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj")
"""The convolutions of a module as Caffe calls them, in the order of `MODULES`."""

AUXILIARY = {"4a": "loss1", "4d": "loss2"}
"""Module -> the auxiliary classifier on it, as Caffe calls it."""

LOSS_WEIGHTS = (1.0, 0.3, 0.3)
"""Of the three outputs of `GoogLeNet(aux=True)` (section 5)."""

SIDE = 4
"""Height and width of the maps that the published auxiliary classifiers have weights for."""


@dataclass(frozen=True)
class Config(ClassifierConfig):
    """Sizes of a GoogLeNet.

    Attributes:
        modules: Those of `MODULES` that are built; a max-pooling comes before the first 4 and the first 5.
        divisor: What every number of filters and units is divided by.
        dropout: Rate before the classifier.
        aux: Whether the auxiliary classifiers are there, as a second and a third output.
        aux_dropout: Rate before their last layer.
    """

    modules: tuple[str, ...] = tuple(MODULES)
    divisor: int = 1
    dropout: float = 0.4
    aux: bool = False
    aux_dropout: float = 0.7


_CONFIG = Config("googlenet", (224, 224, 3))

VARIANTS = {
    "googlenet": Variant(
        _CONFIG,
        6_998_552,
        (224, 224, 3),
        "classify",
        small=replace(_CONFIG, input_shape=(67, 67, 3), classes=50, modules=("3a", "4a", "5a"), divisor=8),
    )
}


def build(config: Config, input_tensor: Any = None) -> keras.Model:
    """BGR pictures [batch, height, width, 3] less the mean to logits [batch, classes].

    With `config.aux` to three such outputs: the classifier's, and those on the modules 4a and 4d.
    """
    layers = keras.layers
    inputs = entrance(config, input_tensor)
    x = layers.ZeroPadding2D(3, name="conv1_pad")(inputs)
    x = _conv(config, x, 64, 7, "conv1_7x7_s2", strides=2, padding="valid")
    x = _norm(ceil_max_pool(x, "pool1_3x3_s2"), "pool1_norm1")
    x = _conv(config, x, 64, 1, "conv2_3x3_reduce")
    x = _norm(_conv(config, x, 192, 3, "conv2_3x3"), "conv2_norm2")
    x = ceil_max_pool(x, "pool2_3x3_s2")
    auxiliary, stage = [], "3"
    for module in config.modules:
        if module[0] != stage:
            x = ceil_max_pool(x, f"pool{stage}_3x3_s2")
            stage = module[0]
        x = _inception(config, x, module)
        if config.aux and module in AUXILIARY:
            auxiliary.append(_auxiliary(config, x, AUXILIARY[module]))
    if not config.include_top:
        return finish(config, inputs, without_top(config, x))
    x = layers.GlobalAveragePooling2D(name="pool5")(x)
    x = layers.Dropout(config.dropout, name="pool5_drop")(x)
    outputs = layers.Dense(config.classes, activation=config.activation, name="predictions")(x)
    return finish(config, inputs, [outputs, *auxiliary] if config.aux else outputs)


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    return {"aux": any(layer.name.startswith(tuple(AUXILIARY.values())) for layer in model.layers)}


def _conv(config: Config, x: Any, filters: int, size: int, name: str, strides: int = 1, padding: str = "same") -> Any:
    bias = keras.initializers.Constant(0.2)
    return keras.layers.Conv2D(
        filters // config.divisor, size, strides, padding, activation="relu", bias_initializer=bias, name=name
    )(x)


def _norm(x: Any, name: str) -> Any:
    return own_layers.LocalResponseNormalization(2, 1.0, 1e-4 / 5, 0.75, name=name)(x)


def _inception(config: Config, inputs: Any, module: str) -> Any:
    """Figure 2b: 1x1, 3x3 and 5x5 convolutions and a pool of the same maps, concatenated."""
    layers, name = keras.layers, f"inception_{module}"

    def conv(x: Any, part: str, size: int) -> Any:
        return _conv(config, x, MODULES[module][PARTS.index(part)], size, f"{name}_{part}")

    ends = [
        conv(inputs, "1x1", 1),
        conv(conv(inputs, "3x3_reduce", 1), "3x3", 3),
        conv(conv(inputs, "5x5_reduce", 1), "5x5", 5),
        conv(layers.MaxPooling2D(3, strides=1, padding="same", name=f"{name}_pool")(inputs), "pool_proj", 1),
    ]
    return layers.Concatenate(name=f"{name}_output")(ends)


def _auxiliary(config: Config, x: Any, name: str) -> Any:
    """The small classifier that feeds gradients into the middle of the network (section 5)."""
    layers = keras.layers
    x = layers.AveragePooling2D(5, strides=3, name=f"{name}_ave_pool")(x)
    x = _conv(config, x, 128, 1, f"{name}_conv")
    x = layers.Flatten(name=f"{name}_flatten")(x)
    bias = keras.initializers.Constant(0.2)
    x = layers.Dense(1024 // config.divisor, activation="relu", bias_initializer=bias, name=f"{name}_fc")(x)
    x = layers.Dropout(config.aux_dropout, name=f"{name}_drop_fc")(x)
    return layers.Dense(config.classes, activation=config.activation, name=f"{name}_classifier")(x)


def _caffe(config: Config) -> dict[str, str]:
    """Our layers -> Caffe's, in the order in which they compute."""
    caffe = ["conv1/7x7_s2", "conv2/3x3_reduce", "conv2/3x3"]
    for module in config.modules:
        caffe += [f"inception_{module}/{part}" for part in PARTS]
        if config.aux and module in AUXILIARY:
            caffe += [f"{AUXILIARY[module]}/{part}" for part in ("conv", "fc", "classifier")]
    return {name.replace("/", "_"): name for name in caffe} | {"predictions": "loss3/classifier"}


def from_caffe(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Caffe's names; auxiliary classifiers are left out where the network has none, and the first kernel stays BGR."""
    kernels: dict[str, Change] = {"predictions": dense}
    for head in AUXILIARY.values():
        kernels[f"{head}_fc"] = after_flatten(128 // config.divisor, SIDE, SIDE)
        kernels[f"{head}_classifier"] = dense
    unused = [] if config.aux else [name for name in tensors if name.partition("/")[0] in AUXILIARY.values()]
    return convert(tensors, layers(_caffe(config), kernels), unused)


def from_onnx(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The model zoo's copy of Caffe's weights, by their order."""
    if config.aux:
        raise UsageError("ONNX files have no auxiliary classifiers; aux=False takes them, aux=True a .caffemodel.")
    return from_caffe(config, in_order(tensors, _caffe(config).values()))


SOURCES: Mapping[str, Any] = {"caffe": from_caffe, "onnx": from_onnx}


def GoogLeNet(
    include_top: bool = True,
    weights: Weights = "imagenet",
    input_tensor: Any = None,
    input_shape: Shape | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "googlenet",
    aux: bool = False,
) -> keras.Model:
    """GoogLeNet: nine Inception modules, Szegedy et al. 2014; 6,998,552 parameters with the default arguments.

    Args:
        include_top: Whether the classification layer stands on top.
        weights: `"imagenet"`, `"imagenet-onnx"`, `None` for random ones, or the path of a file in any format that
            `kerazoo.weights` reads.
        input_tensor: A Keras tensor to build on instead of a new input.
        input_shape: `(height, width, 3)`; `(224, 224, 3)` by default, at least 31 pixels, with `aux` 79.
        pooling: Without the top: `"avg"`, `"max"`, or `None` for the feature maps.
        classes: Number of classes of the top.
        classifier_activation: Activation of the top; `None` returns the logits.
        name: Name of the model.
        aux: Whether the model has the two auxiliary classifiers of training, with which it counts 13,378,280
            parameters and returns a list of three outputs: that of the top, of the one on 4a and of the one on 4d.
            Train it with `compile(loss=..., loss_weights=list(googlenet.LOSS_WEIGHTS))`, which are 1, 0.3 and 0.3, and
            `fit(pictures, [labels] * 3)`. `"imagenet"` fills them at 224x224; other sizes need `weights=None`. To
            infer and export, drop them: `keras.Model(model.input, model.outputs[0])`.

    Returns:
        A `keras.Model`: float32 BGR pictures [batch, height, width, 3] less the mean (104, 117, 123) to
        [batch, classes], to three of these with `aux`, or to features without the top.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
        WeightsUnavailable: The weights are not in the cache and cannot be fetched.
    """
    config = replace(
        _CONFIG,
        name=name,
        input_shape=shape_of(_CONFIG.input_shape, input_tensor, input_shape),
        classes=classes,
        include_top=include_top,
        pooling=pooling,
        activation=classifier_activation,
        aux=aux,
    )
    checked("googlenet", _CONFIG, config, weights, least=79 if aux else 31)
    if aux and not (include_top and all(config.input_shape[:2])):
        raise UsageError(
            "aux=True needs include_top=True and an input_shape whose height and width are numbers, for the auxiliary "
            "classifiers have weights for every place of their maps."
        )
    return assembled(__name__, "googlenet", config, weights, input_tensor)
