"""Named arrays into the variables of a model, all of them or none, and what is said where they do not fit."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.lazy import keras


def assign(model: keras.Model, tensors: Mapping[str, np.ndarray], source: str, without: Collection[str] = ()) -> None:
    """Sets every weight of the model from the tensor of its path; nothing is changed unless everything fits.

    Args:
        source: What the tensors came from, for messages.
        without: Layers, models of their own, that keep the weights they have.

    Raises:
        UsageError: Tensors are missing or left over, or have other shapes.
        WeightsDamaged: A tensor holds NaN or infinity.
    """
    kept = {id(weight) for layer in model.layers if layer.name in without for weight in layer.weights}
    wanted = [weight for weight in model.weights if id(weight) not in kept]
    variables = {variable.path: variable for variable in wanted}
    if len(variables) != len(wanted):
        raise UsageError(f"Two weights of {model.name} have the same path; its layers need names of their own.")
    missing = [path for path in variables if path not in tensors]
    unexpected = [path for path in tensors if path not in variables]
    if missing or unexpected:
        raise unlike(source, model.name, missing, unexpected)
    wrong = [path for path, variable in variables.items() if tuple(variable.shape) != tensors[path].shape]
    if wrong:
        shapes = [f"{path} is {tensors[path].shape}, expected {tuple(variables[path].shape)}" for path in wrong[:3]]
        raise UsageError(f"{source} does not fit {model.name}: {'; '.join(shapes)}{_more(wrong)}.")
    bad = [path for path, tensor in tensors.items() if not np.isfinite(tensor).all()]
    if bad:
        raise WeightsDamaged(f"{source} holds NaN or infinity in {', '.join(bad[:3])}{_more(bad)}.")
    for path, variable in variables.items():
        variable.assign(tensors[path])


def unlike(source: str, target: str, missing: Collection[str], unexpected: Collection[str]) -> UsageError:
    """The error of a file that holds other tensors than it should."""
    lines = [f"{source} does not fit {target}."]
    for what, names in (("Missing", list(missing)), ("Unexpected", list(unexpected))):
        if names:
            lines.append(f"{what}: {', '.join(names[:3])}{_more(names)}.")
    return UsageError("\n".join(lines))


def _more(names: Collection[str], shown: int = 3) -> str:
    return f" and {len(names) - shown} more" if len(names) > shown else ""
