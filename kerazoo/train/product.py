"""What a training leaves: a model that everything takes, and weights in half precision."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.contract import Task
from kerazoo.own.saving import save as save_
from kerazoo.train.recipe import Recipe
from kerazoo.train.state import replacing
from kerazoo.weights import npz_int8


def save(
    model: Any,
    path: Path,
    tasks: Mapping[str, Task],
    normalise: Any,
    recipe: Recipe,
    metrics: Mapping[str, float],
    notes: Mapping[str, Any] | None = None,
) -> Path:
    """Saves the network as a `.keras` file whose card says the tasks, the figures and how it was trained."""
    return saved(model, path, tasks, normalise, metrics, {**recipe.plain(), **(notes or {})})


def saved(
    model: Any,
    path: Path,
    tasks: Mapping[str, Task],
    normalise: Any,
    metrics: Mapping[str, float],
    training: Mapping[str, Any],
) -> Path:
    """Saves the network as a `.keras` file; `training` is what the card says of how it was made."""
    return save_(
        model,
        path,
        task=dict(tasks),
        normalise="none" if normalise is None else normalise,
        metrics={name: round(float(value), 6) for name, value in metrics.items()},
        training=dict(training),
    )


def half(model: Any, path: Path) -> Path:
    """Writes the weights as an .npz of float16, one array a variable path.

    What whole numbers or large values float16 cannot hold to a thousandth stays float32.
    """
    arrays: dict[str, Any] = {variable.path: _half(variable.numpy()) for variable in model.weights}
    with replacing(path) as file:
        np.savez_compressed(file, **arrays)
    return path


def eight_bits(model: Any, path: Path) -> Path:
    """Writes the weights as an .npz for `kerazoo.weights.npz_int8`: kernels as int8, with a scale for each output.

    The rest is as `half` has it.
    """
    arrays: dict[str, Any] = {}
    for variable in model.weights:
        array = variable.numpy()
        if array.ndim < 2 or array.dtype.kind != "f":
            arrays[variable.path] = _half(array)
            continue
        most = np.abs(array).max(axis=tuple(range(array.ndim - 1)), keepdims=True)
        scale = np.where(most > 0, most / 127, 1).astype(np.float32)
        arrays[f"{variable.path}{npz_int8.LEVELS}"] = np.rint(array / scale).astype(np.int8)
        arrays[f"{variable.path}{npz_int8.SCALE}"] = scale
    with replacing(path) as file:
        np.savez_compressed(file, **arrays)
    return path


def _half(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):
        small = array.astype(np.float16)
    close = np.abs(small.astype(np.float32) - array) <= 1e-3 * np.abs(array) + 1e-6
    return small if close.all() else array
