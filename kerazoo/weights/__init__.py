"""Weights into models, strictly: every variable gets exactly one tensor of its own shape, or nothing is changed.

One reader a format turns a file into named arrays; the family's `SOURCES` rename and reshape those of foreign formats
into variable paths (`layer/variable`). Reading never runs anything that a file holds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerazoo import manifest, store
from kerazoo.errors import UsageError, WeightsDamaged, near
from kerazoo.weights import caffe, deep_compressed, keras_h5, litert, npz, onnx, safetensors, slim, torch

if TYPE_CHECKING:
    import keras as keras_

Arrays = dict[str, np.ndarray]

READERS: Mapping[str, Any] = {
    "keras_h5": keras_h5,
    "torch": torch,
    "safetensors": safetensors,
    "litert": litert,
    "npz": npz,
    "slim": slim,
    "deep_compressed": deep_compressed,
    "onnx": onnx,
    "caffe": caffe,
}
"""Format -> module with `ABOUT`, `recognises(path, head)` and `read(path)`; those without a signature come last."""

NAMING = {"safetensors": "torch"}
"""Containers whose tensors go by the names of another format: one item in a family's `SOURCES` serves both."""

HEAD = 16
"""Bytes of a file's beginning that `recognises` is shown."""


def words(variant: str) -> tuple[str, ...]:
    """The names of a variant's weights in the manifest, its default first; empty where it has none."""
    return tuple(entry.weights for entry in manifest.entries_of(variant))


def check(variant: str, weights: str | os.PathLike[str] | None) -> None:
    """Refuses, before anything is built, `weights` that are neither `None`, a word of the variant, nor a file."""
    known = words(variant)
    if weights is None or weights in known or Path(weights).is_file():
        return
    others = [entry.variant for entry in manifest.load().values() if entry.weights == weights]
    there = f"it has {', '.join(known)}" if known else "it has no pretrained ones"
    elsewhere = f" {others[0]} has weights of that name." if others else near(str(weights), known)
    raise UsageError(
        f"weights={str(weights)!r} is not known for {variant}: {there}; None and the path of an existing file "
        f"are allowed too.{elsewhere}"
    )


def read(path: str | os.PathLike[str]) -> tuple[str, Arrays]:
    """The format and the named arrays of a weight file. What the file is, its content says, not its name.

    Raises:
        UsageError: There is no such file, or no reader recognises it.
        WeightsDamaged: It is truncated or corrupt.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        size = path.stat().st_size
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror or error}.") from error
    for name, reader in READERS.items():
        try:
            if reader.recognises(path, head):
                return name, reader.read(path)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error
        except Exception as error:
            # Readers meet damage in the middle of parsing, as whatever error their libraries make of it.
            why = " ".join(str(error).split())[:160] or type(error).__name__
            raise WeightsDamaged(f"{path} is truncated or corrupt: {why}.\nFetch or save it again.") from error
    readable = ", ".join(reader.ABOUT for reader in READERS.values())
    raise UsageError(f"{path} is not a weight file that can be read ({size} bytes).\nReadable: {readable}.")


def assign(model: keras_.Model, tensors: Mapping[str, np.ndarray], source: str) -> None:
    """Sets every weight of the model from the tensor of its path; nothing is changed unless everything fits.

    Args:
        source: What the tensors came from, for messages.

    Raises:
        UsageError: Tensors are missing or left over, or have other shapes.
        WeightsDamaged: A tensor holds NaN or infinity.
    """
    variables = {variable.path: variable for variable in model.weights}
    if len(variables) != len(model.weights):
        raise UsageError(f"Two weights of {model.name} have the same path; its layers need names of their own.")
    missing = [path for path in variables if path not in tensors]
    unexpected = [path for path in tensors if path not in variables]
    if missing or unexpected:
        raise _unlike(source, model.name, missing, unexpected)
    wrong = [path for path, variable in variables.items() if tuple(variable.shape) != tensors[path].shape]
    if wrong:
        shapes = [f"{path} is {tensors[path].shape}, expected {tuple(variables[path].shape)}" for path in wrong[:3]]
        raise UsageError(f"{source} does not fit {model.name}: {'; '.join(shapes)}{_more(wrong)}.")
    bad = [path for path, tensor in tensors.items() if not np.isfinite(tensor).all()]
    if bad:
        raise WeightsDamaged(f"{source} holds NaN or infinity in {', '.join(bad[:3])}{_more(bad)}.")
    for path, variable in variables.items():
        variable.assign(tensors[path])


def _more(names: Collection[str], shown: int = 3) -> str:
    return f" and {len(names) - shown} more" if len(names) > shown else ""


def _unlike(source: str, target: str, missing: Collection[str], unexpected: Collection[str]) -> UsageError:
    lines = [f"{source} does not fit {target}."]
    for what, names in (("Missing", list(missing)), ("Unexpected", list(unexpected))):
        if names:
            lines.append(f"{what}: {', '.join(names[:3])}{_more(names)}.")
    return UsageError("\n".join(lines))


def convert(
    tensors: Mapping[str, np.ndarray],
    recipe: Mapping[str, tuple[str, Callable[[np.ndarray], np.ndarray]]],
    dropped: Iterable[str] = (),
) -> Arrays:
    """Source tensors under the names of variables, with no source tensor left over and none missing.

    Args:
        recipe: Variable path -> name of its source tensor and what makes it the variable's value. A source name of
            one path can be another's too.
        dropped: Source tensors that are known and not wanted.
    """
    wanted = {source for source, _ in recipe.values()}
    missing = [source for source in dict.fromkeys(source for source, _ in recipe.values()) if source not in tensors]
    unexpected = sorted(tensors.keys() - wanted - set(dropped))
    if missing or unexpected:
        raise _unlike("The file", "this architecture", missing, unexpected)
    made = {}
    for path, (source, change) in recipe.items():
        try:
            made[path] = change(tensors[source])
        except (ValueError, IndexError) as error:
            shape = tensors[source].shape
            raise UsageError(f"The file's {source} of shape {shape} does not become {path}: {error}.") from error
    return made


def restore(
    model: keras_.Model,
    family: Any,
    variant: str,
    weights: str | os.PathLike[str] | None,
    include_top: bool = True,
) -> None:
    """Loads weights into a model that `family.build` made.

    Args:
        family: The family's module.
        variant: A key of its `VARIANTS`; the weights' words are this one's.
        weights: A word of the manifest, the path of a file in any readable format, or `None` for none.
        include_top: False where the model has no classifier; that of a full file is then left out.

    Raises:
        UsageError: The word is not known and no such file exists, or the tensors do not fit the model.
        WeightsUnavailable: The weights are not in the cache and cannot be fetched.
        WeightsDamaged: The file is damaged.
    """
    if weights is None:
        return
    check(variant, weights)
    if weights not in words(variant):
        path = Path(weights)
        kind, tensors = read(path)
        assign(model, _fitted(model, family, variant, kind, tensors, include_top), str(path))
        return
    entry = next(entry for entry in manifest.entries_of(variant) if entry.weights == weights)
    role = "no_top" if not include_top and any(file.role == "no_top" for file in entry.files) else "full"
    path = store.fetch(entry, role)
    kind, tensors = read(path)
    if kind != entry.file(role).format:
        raise WeightsDamaged(f"{entry.name}: {path} reads as {kind}, expected {entry.file(role).format}.")
    assign(model, _fitted(model, family, variant, kind, tensors, include_top), f"{entry.name} ({path.name})")


def _fitted(
    model: keras_.Model, family: Any, variant: str, kind: str, tensors: Arrays, include_top: bool
) -> Mapping[str, np.ndarray]:
    """The tensors under the model's variable paths, without those of a classifier that the model does not have."""
    config = family.VARIANTS[variant].config
    found = _named(model, family, variant, config, kind, tensors)
    own = {layer.name for layer in model.layers if layer.weights}
    if include_top or {path.partition("/")[0] for path in found} <= own:
        return found
    # Only what the same architecture has with its classifier may be left out; anything else is still unexpected.
    whole = family.build(replace(config, include_top=True))
    head = {layer.name for layer in whole.layers if layer.weights} - own
    found = _named(whole, family, variant, config, kind, tensors)
    return {path: tensor for path, tensor in found.items() if path.partition("/")[0] not in head}


def _named(
    model: keras_.Model, family: Any, variant: str, config: Any, kind: str, tensors: Arrays
) -> Mapping[str, np.ndarray]:
    if kind == "npz":
        return tensors
    sources: Mapping[str, Callable[[Any, Arrays], Arrays]] = getattr(family, "SOURCES", {})
    naming = NAMING.get(kind, kind)
    if naming in sources:
        tensors = sources[naming](config, tensors)
    elif kind != "keras_h5":
        known = ", ".join(READERS[name].ABOUT for name in dict.fromkeys(("keras_h5", "npz", *sources)))
        raise UsageError(f"{variant} has no converter from {READERS[kind].ABOUT}; it reads {known}.")
    # A converter from Keras' own files gives layers our names; their arrays are told apart by order all the same.
    return keras_h5.match(model, tensors) if kind == "keras_h5" else tensors


__all__ = ["READERS", "assign", "check", "convert", "read", "restore", "words"]
