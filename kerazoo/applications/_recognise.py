"""Which builder made a model: a saved file says what its layers are, and the layers say whose they are.

`layers.json` beside this file has the layers with weights that each variant has, the numbers in their names taken out,
and how many of each. It narrows the variants down to few; of those the likeliest are built with the model's own sizes,
and one whose layers are the model's, one by one, is the answer. `python -m kerazoo.applications._recognise` writes the
file anew, which a new variant needs.
"""

from __future__ import annotations

import functools
import importlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from kerazoo import applications
from kerazoo.lazy import keras

TABLE = Path(__file__).with_name("layers.json")

MOST_MISSING = 4
"""Layers that a network without its classifier may lack."""

TOP = "predictions"
"""The last layer of every classifier here."""

VOLATILE = re.compile(
    r"name|trainable|dtype|batch_(input_)?shape|seed|momentum|.*_(initializer|regularizer|constraint)"
)
"""What of a layer's settings says nothing about what it computes when it answers."""


def recognise(model: keras.Model) -> tuple[str, Any] | None:
    """The variant and the config that a model was built from, by its layers alone: its name may be any.

    Args:
        model: A functional model that a public builder made with any arguments but `input_tensor`.

    Returns:
        Name of the variant, and its config with the model's own name, sizes, classes and activation; `None` where the
        layers are those of no builder.
    """
    if not getattr(model, "inputs", None) or not getattr(model, "layers", None):
        return None
    found = layers_of(model)
    for variant, family, config in _candidates(model, found):
        try:
            built = family.build(config)
        except Exception:  # Sizes of a stranger's layers can fail a builder in any way: it is not its model then.
            continue
        if _plain(built) == _plain(model):
            return variant, config
    return None


def _walk(model: Any) -> Iterator[Any]:
    """Layers without inputs, those of inner models one by one."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _walk(layer)
        elif not isinstance(layer, keras.layers.InputLayer):
            yield layer


def layers_of(model: keras.Model) -> dict[str, int]:
    """How many layers with weights there are of each name without its numbers, and class: `conv#_bn:...` -> 2."""
    names = (f"{re.sub('[0-9]+', '#', layer.name)}:{type(layer).__name__}" for layer in _walk(model) if layer.weights)
    return dict(sorted(Counter(names).items()))


@functools.cache
def table() -> Mapping[str, Mapping[str, int]]:
    """Variant -> what `layers_of` says of it, at its own sizes."""
    return json.loads(TABLE.read_text(encoding="utf-8"))


def _candidates(model: keras.Model, found: Mapping[str, int]) -> Iterator[tuple[str, Any, Any]]:
    """Variants that it can be, with family and config, the likeliest first."""
    top = any(layer.name == TOP for layer in _walk(model))
    ranked = []
    for family in map(_module, applications.families()):
        sized = None
        for variant, described in family.VARIANTS.items():
            lacking = _lacking(found, table().get(variant, {}), top, hasattr(family, "sizes"))
            if lacking is None:
                continue
            if sized is None:
                try:
                    sized = _sizes(model, family, top)
                except Exception:  # Its layers are not where every network of the family has them.
                    break
            known = {field.name for field in fields(described.config)}
            config = replace(described.config, **{name: value for name, value in sized.items() if name in known})
            same = sum(getattr(described.config, name) == value for name, value in sized.items() if name in known)
            ranked.append(((-same, lacking), (variant, family, config)))
    for _, candidate in sorted(ranked, key=lambda row: row[0]):
        yield candidate


def _module(family: str) -> Any:
    return importlib.import_module(f"{applications.__name__}.{family}")


def _lacking(found: Mapping[str, int], known: Mapping[str, int], top: bool, varies: bool) -> int | None:
    """How many layers a model lacks of those of a variant; `None` where it cannot be of it.

    Args:
        varies: Whether the family's networks vary in depth; then only the names are compared.
    """
    missing = Counter(known)
    missing.subtract(found)
    if varies:
        missing = Counter(name for name in known if name not in found)
    lacking = missing.total()
    bound = 0 if top else MOST_MISSING
    if min(missing.values(), default=0) < 0 or lacking > bound or not known.keys() & found.keys():
        return None
    return lacking


def _sizes(model: keras.Model, family: Any, top: bool) -> dict[str, Any]:
    """Fields of a config, as far as layers say them."""
    sizes: dict[str, Any] = {"name": model.name, "include_top": top}
    if len(model.inputs) == 1 and len(model.inputs[0].shape) == 4:
        sizes["input_shape"] = tuple(model.inputs[0].shape[1:])
    if top:
        last = next(layer for layer in _walk(model) if layer.name == TOP)
        named = keras.activations.serialize(last.activation)
        sizes |= {"classes": last.output.shape[-1], "activation": None if named == "linear" else named}
    else:
        pools = {"avg_pool": "avg", "max_pool": "max"}
        sizes["pooling"] = pools.get(model.layers[-1].name)
    return sizes | (family.sizes(model) if hasattr(family, "sizes") else {})


def _plain(model: keras.Model) -> list[Any]:
    """Every layer's class, settings and shapes of weights, and its name where it has any, inner models one by one.

    Layers without weights have names here that others leave to Keras, which counts them.
    """
    rows = []
    for layer in _walk(model):
        settings = {key: value for key, value in layer.get_config().items() if not VOLATILE.fullmatch(key)}
        shapes = [tuple(weight.shape) for weight in layer.weights]
        rows.append(
            (
                layer.name if shapes else "",
                type(layer).__name__,
                json.dumps(settings, default=str, sort_keys=True),
                shapes,
            )
        )
    return sorted(rows)


def write() -> None:
    """Writes `layers.json`: builds every variant, which takes minutes."""
    found = {}
    for family in map(_module, applications.families()):
        for variant, described in family.VARIANTS.items():
            found[variant] = layers_of(family.build(described.config))
            keras.backend.clear_session()
    TABLE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
