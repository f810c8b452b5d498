"""Weights into models, strictly: every variable gets exactly one tensor of its own shape, or nothing is changed.

One reader a format turns a file into named arrays; the family's `SOURCES` rename and reshape those of foreign formats
into variable paths (`layer/variable`). Reading never runs anything that a file holds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo import manifest
from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.lazy import keras
from kerazoo.weights import (
    caffe,
    darknet,
    deep_compressed,
    frozen_graph,
    keras_h5,
    litert,
    npz,
    npz_int8,
    onnx,
    safetensors,
    slim,
    torch,
    torch_arrays,
    word2vec,
)
from kerazoo.weights._fit import assign
from kerazoo.weights.recipes import convert
from kerazoo.weights.sources import Source, check, resolve, words

Arrays = dict[str, np.ndarray]
Converter = Callable[[Any, Arrays], Arrays]

READERS: Mapping[str, Any] = {
    "keras_h5": keras_h5,
    "torch": torch,
    "torch_arrays": torch_arrays,
    "safetensors": safetensors,
    "litert": litert,
    "npz_int8": npz_int8,
    "npz": npz,
    "slim": slim,
    "deep_compressed": deep_compressed,
    "onnx": onnx,
    "caffe": caffe,
    "frozen_graph": frozen_graph,
    "word2vec": word2vec,
    "darknet": darknet,
}
"""Format -> module with `ABOUT`, `recognises(path, head)` and `read(path)`; those without a signature come last."""

NAMING = {"safetensors": "torch"}
"""Containers whose tensors go by the names of another format: one item in a family's `SOURCES` serves both."""

OWN = ("npz", "npz_int8")
"""Formats of our own files, whose arrays are called as the variables are."""

HEAD = 16
"""Bytes of a file's beginning that `recognises` is shown."""


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


def load(
    model: keras.Model,
    config: Any,
    converters: Mapping[str, Converter],
    source: Source,
    whole: Callable[[], tuple[Any, keras.Model]] | None = None,
) -> None:
    """Loads weights into a model; nothing is changed unless everything fits.

    Args:
        model: What was built.
        config: What it was built from; converters are given it.
        converters: The family's `SOURCES`: format -> function from config and arrays of such a file to arrays by
            variable path. Arrays of a part have its name before theirs, `encoder.conv.weight`.
        source: What `resolve` gave. Where it has files of some parts alone, the others keep the weights they have.
        whole: For a model without its classifier: builds the network that a full file is of, and gives its config and
            itself, so that it is known what may be left out.

    Raises:
        UsageError: The tensors do not fit the model, or the format has no converter.
        WeightsDamaged: A file is damaged.
    """
    kind, tensors = _read_parts(source, converters)
    named = ", ".join(path.name for path in source.weights.values())
    name = source.name if source.format is None else f"{source.name} ({named})"
    own = {layer.name for layer in model.layers if layer.weights}
    if "no_top" in source.files:
        whole = None
    if whole is None or NAMING.get(kind, kind) not in converters:
        found = _named(model, config, converters, kind, tensors)
        if whole is None or {path.partition("/")[0] for path in found} <= own:
            return assign(model, found, name, _absent(model, source))
    # Only what the same architecture has with its classifier may be left out; anything else is still unexpected. The
    # classifier is converted at the sizes that it has in the file.
    full_config, full = whole()
    found = _named(full, full_config, converters, kind, tensors)
    head = {layer.name for layer in full.layers if layer.weights} - own
    assign(model, {path: tensor for path, tensor in found.items() if path.partition("/")[0] not in head}, name)


def _absent(model: keras.Model, source: Source) -> set[str]:
    """The models within the model that a source of parts has no file for: a generator comes without what taught it."""
    parts = {role.removeprefix(manifest.PART) for role in source.weights if role.startswith(manifest.PART)}
    return {layer.name for layer in model.layers if isinstance(layer, keras.Model)} - parts if parts else set()


def _read_parts(source: Source, converters: Mapping[str, Converter]) -> tuple[str, Arrays]:
    """The format of a source's files, and the arrays of all of them."""
    kinds: set[str] = set()
    arrays: Arrays = {}
    for role, path in source.weights.items():
        kind, tensors = read(path)
        if source.format not in (None, kind):
            raise WeightsDamaged(f"{source.name}: {path} reads as {kind}, expected {source.format}.")
        kinds.add(kind)
        if role.startswith(manifest.PART) and NAMING.get(kind, kind) in converters:
            tensors = {f"{role.removeprefix(manifest.PART)}.{name}": tensor for name, tensor in tensors.items()}
        if twice := arrays.keys() & tensors.keys():
            raise WeightsDamaged(f"{source.name}: two of its parts hold {sorted(twice)[0]}.")
        arrays |= tensors
    return kinds.pop(), arrays


def _named(
    model: keras.Model, config: Any, converters: Mapping[str, Converter], kind: str, tensors: Arrays
) -> Mapping[str, np.ndarray]:
    """The tensors under the model's variable paths."""
    naming = NAMING.get(kind, kind)
    paths = {variable.path for variable in model.weights}
    if kind in OWN and (naming not in converters or tensors.keys() == paths):
        return tensors
    if naming in converters:
        tensors = converters[naming](config, tensors)
    elif kind != "keras_h5":
        known = ", ".join(READERS[name].ABOUT for name in dict.fromkeys(("keras_h5", *OWN, *converters)))
        raise UsageError(f"{model.name} has no converter from {READERS[kind].ABOUT}; it reads {known}.")
    # A converter from Keras' own files may give layers our names, and leave their arrays to be told apart by order.
    return keras_h5.match(model, tensors) if kind == "keras_h5" and not tensors.keys() <= paths else tensors


__all__ = ["READERS", "Source", "assign", "check", "convert", "load", "read", "resolve", "words"]
