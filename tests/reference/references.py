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
NO_REFERENCE = {
    "inception_resnet_v1": "torchvision, timm and Keras have no such network",
    "inception_resnet_v1_face": "torchvision, timm and Keras have no such network",
    "lenet5": OWN,
    "lenet5_1998": OWN,
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

EXPECTED_LATER = {
    "alexnet",
    "alexnet_one_tower",
    "googlenet",
    "hrnet_w18",
    "hrnet_w32",
    "hrnet_w48",
    "inception_resnet_v1",
    "inception_resnet_v1_face",
    "inception_resnet_v2",
    "inception_v1",
    "inception_v3",
    "inception_v4",
    "lenet5_1998",
    "mlp",
    "neural_fabric",
    "resnet101d",
    "resnet152d",
    "resnet18",
    "resnet18d",
    "resnet34",
    "resnet34d",
    "resnet50d",
    "resnext101_32x4d",
    "resnext50_32x4d",
    "snn",
    "squeezenet_v1_0",
    "squeezenet_v1_1",
    "stn",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
    "xception",
}
"""Variants spoken of here before the family, or what reads the reference's file, came."""


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
    versions = dict(kept["versions"])
    own = kept["reference"].partition(".")[0]
    return f"{own} {versions[own]}"


def tensors(name: str) -> dict[str, np.ndarray]:
    """The reference's weights under its own names."""
    kept = golden(name)
    rows = kept["tensors"].items()
    return {key: tensor(kept["seed"], key, tuple(shape), *given) for key, (shape, *given) in rows}


def images(name: str) -> np.ndarray:
    kept = golden(name)
    return pictures(kept["seed"], tuple(kept["input"]["shape"]), kept["input"]["scale"])


def here(name: str) -> bool:
    """Whether the variant exists and takes files of the reference's format."""
    kind = golden(name)["reader"]
    if name not in registry.variants() or kind not in weights.READERS:
        return False
    return kind == "keras_h5" or kind in getattr(registry.variants()[name][0], "SOURCES", {})


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


def measured(name: str, folder: Path, arrays: dict[str, np.ndarray] | None = None) -> Agreement:
    """Our network's answer with the reference's weights, read from a file of the published format, against its own."""
    kept = golden(name)
    path = folder / f"{name}.weights"
    WRITERS[kept["reader"]](path, tensors(name) if arrays is None else arrays)
    family, described = registry.variants()[name]
    model = family.build(replace(described.config, input_shape=tuple(kept["input"]["shape"])))
    weights.restore(model, family, name, path)
    path.unlink()
    return agreement(model(images(name), training=False), kept["outputs"]["logits"])
