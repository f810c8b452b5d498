"""What families of dense layers alone share: the stack, the arguments' checks and the public builders' signature."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kerazoo import weights as weights_
from kerazoo.applications._builder import Weights, assembled, published, share
from kerazoo.applications._classifier import ClassifierConfig, Shape, checked, entrance, finish, shape_of
from kerazoo.contract import Variant
from kerazoo.errors import UsageError, near
from kerazoo.lazy import keras


@dataclass(frozen=True)
class DenseConfig(ClassifierConfig):
    """Sizes of a stack of dense layers.

    Attributes:
        widths: Units of each hidden layer.
        dropout: Rate after each hidden layer.
        hidden_activation: Of the hidden layers, by Keras' name.
    """

    widths: tuple[int, ...] = (512, 512)
    dropout: float = 0.0
    hidden_activation: str = "relu"


def stack(config: DenseConfig, input_tensor: Any, initializer: str, dropout: Callable[..., Any]) -> keras.Model:
    """Pictures [batch, height, width, channels], read row by row, to logits [batch, classes].

    Args:
        config: The sizes.
        input_tensor: The caller's own tensor, or `None`.
        initializer: Of every kernel.
        dropout: The layer class that follows each hidden layer.
    """
    layers = keras.layers
    inputs = entrance(config, input_tensor)
    x = layers.Flatten(name="flatten")(inputs)
    for index, units in enumerate(config.widths, start=1):
        x = layers.Dense(units, config.hidden_activation, kernel_initializer=initializer, name=f"dense{index}")(x)
        x = dropout(config.dropout, name=f"dropout{index}")(x)
    if config.include_top:
        x = layers.Dense(config.classes, config.activation, kernel_initializer=initializer, name="predictions")(x)
    return finish(config, inputs, x)


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    hidden = [layer for layer in model.layers if re.fullmatch(r"dense\d+", layer.name)]
    dropped = [layer.rate for layer in model.layers if re.fullmatch(r"dropout\d+", layer.name)]
    return {
        "widths": tuple(layer.units for layer in hidden),
        "dropout": dropped[0] if dropped else 0.0,
        "hidden_activation": keras.activations.serialize(hidden[0].activation) if hidden else "relu",
    }


def activations() -> list[str]:
    """Names of Keras' activations that need no argument and leave the shape as it is."""
    known = inspect.getmembers(keras.activations, inspect.isfunction)
    # `glu` halves the width, and `get` and its like are no activations.
    return [
        name
        for name, function in known
        if name not in ("deserialize", "get", "glu", "serialize")
        and sum(p.default is p.empty for p in inspect.signature(function).parameters.values()) == 1
    ]


def _checked(variant: str, trained: DenseConfig, config: DenseConfig, weights: Weights) -> None:
    """Refuses arguments that cannot work, before anything is built."""
    if not config.widths or not all(type(units) is int and units > 0 for units in config.widths):
        raise UsageError(f"widths={config.widths!r} are not positive whole numbers, one a hidden layer: (512, 512).")
    share(dropout=config.dropout)
    if config.hidden_activation not in activations():
        raise UsageError(
            f"activation={config.hidden_activation!r} is not known; allowed are {', '.join(activations())}."
            f"{near(str(config.hidden_activation), activations())}"
        )
    checked(variant, trained, config, weights, least=1)
    if None in config.input_shape:
        raise UsageError(f"input_shape={config.input_shape!r} does not fit {variant}: it takes pictures of one size.")
    if weights not in weights_.words(variant):
        return
    for what, argument in (("widths", "widths"), ("activation", "hidden_activation"), ("input_shape", "input_shape")):
        theirs, mine = getattr(trained, argument), getattr(config, argument)
        if mine != theirs:
            raise UsageError(
                f"weights={weights!r} of {variant} were trained with {what}={theirs!r}; {mine!r} was asked for. "
                "Use weights=None."
            )


_DOC = """{public}: {about} {params:,} parameters with the default arguments.

    Args:
        widths: Units of each hidden layer.
        dropout: Rate after each hidden layer while training, at least 0 and less than 1.
        activation: Of the hidden layers: the name of any function of `keras.activations` that keeps the shape.
        include_top: Whether the classification layer stands on top.
        weights: {weights} (for the default widths and activation alone), `None` for random ones, or the path of a
            file in any format that `kerazoo.weights` reads.
        input_tensor: A Keras tensor to build on instead of a new input.
        input_shape: `(height, width, channels)`; {shape} by default.
        pooling: `"avg"`, `"max"` or `None`, as for other classifiers; features are a vector already, so that all
            three do the same.
        classes: Number of classes of the top.
        classifier_activation: Activation of the top; `None` returns the logits.
        name: Name of the model.

    Returns:
        A `keras.Model`: float32 pictures [batch, height, width, channels], normalised as the weights want them
        (`kerazoo.info`), to [batch, classes], or to the last hidden layer's [batch, units] without the top.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
        WeightsUnavailable: The weights are not in the cache and cannot be fetched.
    """


def dense_builder(family: str, variant: str, public: str, about: str) -> Callable[..., keras.Model]:
    """The public builder of one variant.

    Args:
        family: `__name__` of the family's module, after its `VARIANTS`.
        variant: A key of its `VARIANTS`, whose config is a `DenseConfig`.
        public: The builder's name.
        about: What and from which paper, for `help`.
    """
    described: Variant = sys.modules[family].VARIANTS[variant]
    trained: DenseConfig = described.config
    words = weights_.words(variant)

    def build(
        widths: Sequence[int] = trained.widths,
        dropout: float = trained.dropout,
        activation: str = trained.hidden_activation,
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
            widths=tuple(widths) if isinstance(widths, Sequence) else (widths,),
            dropout=dropout,
            hidden_activation=activation,
        )
        _checked(variant, trained, config, weights)
        return assembled(family, variant, config, weights, input_tensor)

    doc = _DOC.format(
        public=public,
        about=about,
        params=described.params,
        weights=", ".join(f'`"{word}"`' for word in words) or "no pretrained ones yet",
        shape=trained.input_shape,
    )
    return published(build, family, public, doc)
