"""What all public builders do: check their arguments, build, load weights; and the names that `help` shows for them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from kerazoo import weights as weights_
from kerazoo.errors import UsageError
from kerazoo.lazy import keras

Weights = str | os.PathLike[str] | None


def whole_numbers(**sizes: Any) -> None:
    """Refuses sizes that are no positive whole numbers."""
    for what, value in sizes.items():
        if type(value) is not int or value < 1:
            raise UsageError(f"{what}={value!r} is not a positive whole number.")


def share(**shares: Any) -> None:
    """Refuses rates of dropout that are none."""
    for what, value in shares.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
            raise UsageError(f"{what}={value!r} is not a share of at least 0 and less than 1.")


def picture_shape(shape: Any, variant: str, least: int = 1, open_: bool = True) -> Any:
    """Height, width and channels of pictures, as a tuple; refused where they are not.

    Args:
        least: Smallest height and width that the architecture admits.
        open_: Whether height and width may be `None`, for any.
    """
    lowest = (least, least, 1)
    fits = isinstance(shape, Sequence) and len(shape) == 3
    if not fits or not all(
        (side is None and open_ and place < 2) or (type(side) is int and side >= lowest[place])
        for place, side in enumerate(shape)
    ):
        raise UsageError(
            f"input_shape={shape!r} does not fit {variant}: it takes (height, width, channels), height and width at "
            f"least {least}{' or None' if open_ else ''}."
        )
    return tuple(shape)


def assembled(
    family: str,
    variant: str,
    config: Any,
    weights: Weights,
    input_tensor: Any = None,
) -> keras.Model:
    """Checks `weights`, builds a family's model and loads them, whatever layers an input tensor came through.

    Args:
        family: `__name__` of the family's module.
        variant: A key of its `VARIANTS`, whose weights a word means.
        config: What is built.
        input_tensor: The caller's own tensor to build on, for families that take one.

    Raises:
        UsageError: The weights are not known, or do not fit.
        WeightsUnavailable: They are not in the cache and cannot be fetched.
    """
    module: Any = sys.modules[family]
    weights_.check(variant, weights)
    model = module.build(config) if input_tensor is None else module.build(config, input_tensor=input_tensor)
    own = model
    if weights is not None and input_tensor is not None and keras.backend.is_keras_tensor(input_tensor):
        own = keras.Model(input_tensor, model.outputs, name=config.name)
    restore(own, module, variant, config, weights)
    return model


def restore(model: keras.Model, module: Any, variant: str, config: Any, weights: Weights) -> None:
    """Loads weights into a model that a family's `build` made of `config`.

    Args:
        module: The family's.
    """
    if weights is None:
        return
    include_top = getattr(config, "include_top", True)
    source = weights_.resolve(variant, weights, include_top)

    def whole() -> tuple[Any, keras.Model]:
        trained = module.VARIANTS[variant].config
        full = replace(config, include_top=True, classes=trained.classes, input_shape=trained.input_shape)
        return full, module.build(full)

    weights_.load(model, config, getattr(module, "SOURCES", {}), source, None if include_top else whole)


def published(build: Callable[..., keras.Model], family: str, public: str, doc: str) -> Callable[..., keras.Model]:
    """A function that was made for a family, as though it stood in its file."""
    build.__name__ = build.__qualname__ = public
    build.__module__ = family
    build.__doc__ = doc
    return build
