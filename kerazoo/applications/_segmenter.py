"""What families that segment share: the public builders' signature, the last layers, and the task."""

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
from kerazoo.lazy import keras, own_layers
from kerazoo.tasks.segment import Whole

Shape = tuple[int | None, int | None, int]


@dataclass(frozen=True)
class SegmenterConfig:
    """What every segmenter's config holds; families add their own sizes.

    Attributes:
        name: Name of the Keras model.
        input_shape: Height, width and channels; height and width may be `None`.
        classes: Number of classes.
        activation: Of the output; `None` gives logits, which is what a task wants.
    """

    name: str
    input_shape: Shape
    classes: int = 21
    activation: str | None = None


def finish(config: SegmenterConfig, inputs: Any, logits: Any, align_corners: bool | None = None) -> keras.Model:
    """The functional model from `inputs` to the classes' maps.

    Args:
        align_corners: How logits are resized to the picture's size; `None` leaves them as they are.
    """
    if align_corners is not None:
        logits = own_layers.BilinearResize(align_corners, name="logits_resized")([logits, inputs])
    outputs = keras.layers.Activation(config.activation, name="predictions")(logits)
    return keras.Model(inputs, outputs, name=config.name)


def tasks(config: SegmenterConfig, assets: Assets) -> dict[str, Task]:
    """Segmentation of whole pictures; `class_0`, `class_1`, ... where there are no labels."""
    labels = assets.labels or tuple(f"class_{index}" for index in range(config.classes))
    if assets.preprocessing is not None:
        image, _ = from_preprocessing(assets.preprocessing)
    else:
        height, width, channels = config.input_shape
        image = Image(height or 513, width or 513, channels)
    return {"segment": Whole(image, labels)}


_DOC = """{title}

    {params:,} parameters with the default arguments.

    Args:
        weights: {weights}, `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        input_shape: `(height, width, 3)`; {shape} by default. Either side may be `None`, for any.
        classes: Number of classes.
        classifier_activation: Activation of the output; `None` returns the logits.
        name: Name of the model.

    Returns:
        A `keras.Model`: float32 pictures [batch, height, width, 3], normalised as the weights want them
        (`kerazoo.info`), to {result}.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
        WeightsUnavailable: The weights are not in the cache and cannot be fetched.
    """


def builder(
    family: str,
    variant: str,
    public: str,
    about: str,
    least: int = 33,
    result: str = "[batch, height, width, classes]",
    check: Callable[[Shape], None] = lambda shape: None,
) -> Callable[..., keras.Model]:
    """The public builder of one variant.

    Args:
        family: `__name__` of the family's module, after its `VARIANTS`.
        variant: A key of its `VARIANTS`.
        public: The builder's name.
        about: What and from which paper, for `help`.
        least: Smallest height and width that the architecture admits.
        result: What the network gives, for `help`.
        check: Refuses shapes that the architecture cannot have.
    """
    described: Variant = sys.modules[family].VARIANTS[variant]
    trained: SegmenterConfig = described.config
    words = weights_.words(variant)

    def build(
        weights: Weights = words[0] if words else None,
        input_shape: Shape | None = None,
        classes: int = trained.classes,
        classifier_activation: str | None = "softmax",
        name: str = trained.name,
    ) -> keras.Model:
        whole_numbers(classes=classes)
        shape = trained.input_shape if input_shape is None else picture_shape(input_shape, variant, least)
        check(shape)
        weights_.check(variant, weights)
        if weights in words and (classes, shape[2]) != (trained.classes, trained.input_shape[2]):
            raise UsageError(
                f"weights={weights!r} of {variant} has {trained.classes} classes and {trained.input_shape[2]} channels;"
                f" {classes} and {shape[2]} were asked for. Use weights=None."
            )
        config = replace(trained, name=name, input_shape=shape, classes=classes, activation=classifier_activation)
        return assembled(family, variant, config, weights)

    doc = _DOC.format(
        title=f"{public}: {about}",
        params=described.params,
        weights=", ".join(f'`"{word}"`' for word in words) or "no pretrained ones yet",
        shape=trained.input_shape,
        result=result,
    )
    return published(build, family, public, doc)
