"""What families that detect share: what the public builders do."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from kerazoo import manifest
from kerazoo import weights as weights_
from kerazoo.applications._builder import Weights, assembled, picture_shape, whole_numbers
from kerazoo.errors import UsageError
from kerazoo.lazy import keras

Shape = tuple[int | None, int | None, int]

COARSEST = 32
"""Sides of pictures are multiples of so many pixels: a map of YOLOv3's or of a ResNet's has no fewer places."""


def built(
    family: str, variant: str, weights: Weights, input_shape: Shape | None, classes: int | None, name: str | None
) -> keras.Model:
    """A detector with the sizes that its weights have, where these are of the manifest and nothing else is asked for.

    Args:
        family: `__name__` of the family's module, after its `VARIANTS`.
        variant: A key of its `VARIANTS`.
        weights, input_shape, classes, name: As the public builder was given them; `None` as the weights have it.
    """
    weights_.check(variant, weights)
    entry = next((each for each in manifest.entries_of(variant) if each.weights == str(weights)), None)
    trained: Any = replace(sys.modules[family].VARIANTS[variant].config, **(entry.sizes if entry is not None else {}))
    classes = trained.classes if classes is None else classes
    whole_numbers(classes=classes)
    if input_shape is None:
        shape = (*entry.preprocessing["size"], 3) if entry is not None else trained.input_shape
    else:
        shape = picture_shape(input_shape, variant, COARSEST)
    if any(side is not None and side % COARSEST for side in shape[:2]):
        raise UsageError(f"input_shape={input_shape!r} does not fit {variant}: sides are multiples of {COARSEST}.")
    if weights in weights_.words(variant) and (classes, shape[2]) != (trained.classes, 3):
        raise UsageError(
            f"weights={weights!r} of {variant} has {trained.classes} classes and 3 channels; {classes} and {shape[2]} "
            "were asked for. Use weights=None."
        )
    config = replace(trained, name=name or trained.name, input_shape=shape, classes=classes)
    return assembled(family, variant, config, weights)
