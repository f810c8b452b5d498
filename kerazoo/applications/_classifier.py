"""What classifier families share: the public builders' signature, the arguments' checks, and the task."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from kerazoo import weights as weights_
from kerazoo.applications._builder import Weights, assembled, picture_shape, published, whole_numbers
from kerazoo.assets import Assets
from kerazoo.codecs.image import Image, from_preprocessing
from kerazoo.contract import Task, Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.tasks.classify import Classify

Shape = tuple[int | None, int | None, int]


@dataclass(frozen=True)
class ClassifierConfig:
    """What every classifier's config holds; families add their own sizes.

    Attributes:
        name: Name of the Keras model.
        input_shape: Height, width and channels; height and width may be `None` without a flattening top.
        classes: Number of classes.
        include_top: Whether the classification layer stands on top.
        pooling: Without the top: `avg`, `max`, or `None` for the feature maps themselves.
        activation: Of the top; `None` gives logits, which is what a task wants.
    """

    name: str
    input_shape: Shape
    classes: int = 1000
    include_top: bool = True
    pooling: str | None = None
    activation: str | None = None


def entrance(config: ClassifierConfig, input_tensor: Any = None) -> Any:
    """The input layer `image`, or the caller's own tensor."""
    if input_tensor is None:
        return keras.Input(config.input_shape, name="image")
    if keras.backend.is_keras_tensor(input_tensor):
        return input_tensor
    return keras.Input(tensor=input_tensor, name="image")


def flatten(config: ClassifierConfig, maps: Any) -> Any:
    """Maps as one vector for a dense layer, which needs to know how long it is."""
    if None in maps.shape[1:3]:
        raise UsageError(
            f"input_shape={config.input_shape!r} does not fit {config.name}: its dense layers have weights for every "
            "place of the maps, so height and width must be numbers; include_top=False takes any."
        )
    return keras.layers.Flatten(name="flatten")(maps)


def without_top(config: ClassifierConfig, features: Any) -> Any:
    """The end of a network that has no classification layer."""
    if config.pooling == "avg":
        return keras.layers.GlobalAveragePooling2D(name="avg_pool")(features)
    if config.pooling == "max":
        return keras.layers.GlobalMaxPooling2D(name="max_pool")(features)
    return features


def finish(config: ClassifierConfig, inputs: Any, outputs: Any) -> keras.Model:
    """The functional model from `inputs`, or from what the caller's own input tensor was computed from."""
    sources = keras.utils.get_source_inputs(inputs)
    return keras.Model(sources[0] if len(sources) == 1 else sources, outputs, name=config.name)


def tasks(config: ClassifierConfig, assets: Assets) -> dict[str, Task]:
    """Classification with the assets' labels and resize recipe, or plain ones where there are none."""
    labels = assets.labels or tuple(f"class_{index}" for index in range(config.classes))
    if assets.preprocessing is not None:
        image, _ = from_preprocessing(assets.preprocessing)
    else:
        height, width, channels = config.input_shape
        image = Image(height or 224, width or 224, channels)
    return {"classify": Classify(image, labels)}


def checked(variant: str, trained: ClassifierConfig, config: ClassifierConfig, weights: Weights, least: int) -> None:
    """Refuses arguments that cannot work, before anything is built.

    Args:
        variant: Whose weights a word such as `imagenet` means.
        trained: The sizes that those weights have.
        config: The sizes asked for.
        weights: A word, a path or `None`.
        least: Smallest height and width that the architecture admits.
    """
    if config.pooling not in (None, "avg", "max"):
        raise UsageError(f"pooling={config.pooling!r} is not known; allowed are None, 'avg' and 'max'.")
    whole_numbers(classes=config.classes)
    picture_shape(config.input_shape, variant, least)
    weights_.check(variant, weights)
    if weights not in weights_.words(variant):
        return
    pairs = [("channels", trained.input_shape[2], config.input_shape[2])]
    if config.include_top:
        pairs.append(("classes", trained.classes, config.classes))
    for what, theirs, mine in pairs:
        if mine != theirs:
            raise UsageError(
                f"weights={weights!r} of {variant} has {theirs} {what}; {mine} were asked for. "
                "Use include_top=False with a layer of your own, or weights=None."
            )


def shape_of(default: Shape, input_tensor: Any, input_shape: Any) -> Any:
    """The caller's tensor says it best, then the caller, then the weights."""
    if input_tensor is not None and len(input_tensor.shape) == 4:
        return tuple(input_tensor.shape[1:])
    return default if input_shape is None else tuple(input_shape)


_DOC = """{title}

    {about}

    Args:
        include_top: Whether the classification layer stands on top.
        weights: {weights}, `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        input_tensor: A Keras tensor to build on instead of a new input.
        input_shape: `(height, width, {channels})`; {shape} by default.
        pooling: Without the top: `"avg"`, `"max"`, or `None` for the feature maps.
        classes: Number of classes of the top.
        classifier_activation: Activation of the top; `None` returns the logits.
        name: Name of the model.

    Returns:
        A `keras.Model`: float32 pictures [batch, height, width, {channels}], normalised as the weights want them
        (`kerazoo.info`), to [batch, classes], or to features without the top.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
        WeightsUnavailable: The weights are not in the cache and cannot be fetched.
    """


def builder(family: str, variant: str, public: str, about: str, least: int) -> Callable[..., keras.Model]:
    """The public builder of one variant, with the signature that keras.applications gives its models.

    Args:
        family: `__name__` of the family's module, after its `VARIANTS`.
        variant: A key of its `VARIANTS`.
        public: The builder's name.
        about: What and from which paper, for `help`.
        least: Smallest height and width that the architecture admits.
    """
    described: Variant = sys.modules[family].VARIANTS[variant]
    trained: ClassifierConfig = described.config
    words = weights_.words(variant)

    def build(
        include_top: bool = True,
        weights: Weights = words[0] if words else None,
        input_tensor: Any = None,
        input_shape: Shape | None = None,
        pooling: str | None = None,
        classes: int = trained.classes,
        classifier_activation: str | None = "softmax",
        name: str = trained.name,
    ) -> keras.Model:
        config = replace(
            trained,
            name=name,
            input_shape=shape_of(trained.input_shape, input_tensor, input_shape),
            classes=classes,
            include_top=include_top,
            pooling=pooling,
            activation=classifier_activation,
        )
        checked(variant, trained, config, weights, least)
        return assembled(family, variant, config, weights, input_tensor)

    doc = _DOC.format(
        title=f"{public}: {about}",
        about=f"{described.params:,} parameters with the default arguments.",
        weights=", ".join(f'`"{word}"`' for word in words) or "no pretrained ones yet",
        channels=trained.input_shape[2],
        shape=trained.input_shape,
    )
    return published(build, family, public, doc)
