"""Answers of public implementations, as `recipes/reference_goldens.py` wrote them, and ours with the same tensors."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo import registry, weights
from recipes.seeded import pictures, tensor
from tests.weights import files

GOLDENS = Path(__file__).parent.parent / "goldens" / "reference"
NAMES = tuple(sorted(path.stem for path in GOLDENS.glob("*.json")))

OWN = "torchvision, timm and Keras have no such network; what weights there are were trained here"
LAYERS = "plain recurrent layers, which a test holds to ONNX's operators"

NO_REFERENCE = {
    "bilstm_classifier": LAYERS,
    "inception_resnet_v1": "torchvision, timm and Keras have no such network",
    "inception_resnet_v1_face": "torchvision, timm and Keras have no such network",
    "inception_v1": "torchvision's copy pads otherwise: `inception_v1_torchvision`, with which a test compares it",
    "lenet5": OWN,
    "lenet5_1998": OWN,
    "lstm_classifier": LAYERS,
    "mlp": OWN,
    "neural_fabric": OWN,
    "resnet20": OWN,
    "resnet32": OWN,
    "resnet44": OWN,
    "resnet56": OWN,
    "snn": OWN,
    "stn": OWN,
}
"""Classifier -> why no public implementation is compared with it."""


def keras_h5(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """The layout of the official Keras files, from `layer/array`."""
    import h5py

    layers: dict[str, list[str]] = {}
    for name in arrays:
        layers.setdefault(name.partition("/")[0], []).append(f"{name}:0")
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer, names in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name in names:
                group[name] = arrays[name.removesuffix(":0")]


def caffemodel(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """From `layer.weight` and `layer.bias`."""
    layers: dict[str, tuple[str, list[np.ndarray]]] = {}
    for name, array in arrays.items():
        kind = "Convolution" if array.ndim == 4 else "InnerProduct"
        layers.setdefault(name.rpartition(".")[0], (kind, []))[1].append(array)
    files.caffe(path, layers)


WRITERS: dict[str, Callable[[Path, dict[str, np.ndarray]], None]] = {
    "caffe": caffemodel,
    "keras_h5": keras_h5,
    "torch": files.torch_zip,
}
"""Format -> what writes a file of it."""


@functools.cache
def golden(name: str) -> dict[str, Any]:
    return json.loads((GOLDENS / f"{name}.json").read_text(encoding="utf-8"))


def library(name: str) -> str:
    """What answered, with its version."""
    kept = golden(name)
    own = kept["reference"].partition(".")[0]
    if own == "reference_networks":
        return f"Caffe's definition in torch {kept['versions']['torch'].partition('+')[0]}"
    return f"{own} {kept['versions'][own].partition('+')[0]}"


def tensors(name: str) -> dict[str, np.ndarray]:
    """The reference's weights under its own names."""
    kept = golden(name)
    rows = kept["tensors"].items()
    return {key: tensor(kept["seed"], key, tuple(shape), *given) for key, (shape, *given) in rows}


def images(name: str) -> np.ndarray:
    kept = golden(name)
    return pictures(kept["seed"], tuple(kept["input"]["shape"]), kept["input"]["scale"])


@dataclass(frozen=True)
class Agreement:
    """How far two implementations agree.

    Attributes:
        error: Largest difference of a logit, relative to the largest logit.
        top1: On how many pictures the best class is the same.
        of: How many pictures there were.
    """

    error: float
    top1: int
    of: int


def agreement(mine: Any, theirs: Any) -> Agreement:
    mine, theirs = np.asarray(mine, np.float64), np.asarray(theirs, np.float64)
    assert mine.shape == theirs.shape
    error = np.abs(mine - theirs).max() / np.abs(theirs).max()
    return Agreement(float(error), int((mine.argmax(1) == theirs.argmax(1)).sum()), len(theirs))


def loaded(name: str, folder: Path, arrays: dict[str, np.ndarray] | None = None) -> Any:
    """Our network with the reference's weights, or others, read from a file of the published format."""
    kept = golden(name)
    path = folder / f"{name}.weights"
    WRITERS[kept["reader"]](path, tensors(name) if arrays is None else arrays)
    family, described = registry.variants()[name]
    config = replace(described.config, input_shape=tuple(kept["input"]["shape"]))
    model = family.build(config)
    weights.load(model, config, getattr(family, "SOURCES", {}), weights.resolve(name, path))
    path.unlink()
    return model


def measured(name: str, model: Any) -> Agreement:
    """Our answer against the reference's."""
    return agreement(model(images(name), training=False), golden(name)["outputs"]["logits"])
