"""A classifier of pictures becomes what dreams of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kerazoo import own
from kerazoo.errors import UsageError
from kerazoo.own.saving import save
from kerazoo.tasks.dream import Dream, layers_of


def dreaming(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    layers: Sequence[str] = (),
    *,
    say: Callable[[str], Any] = lambda line: None,
    **settings: Any,
) -> Path:
    """Writes a `.keras` file of a model's network whose task is `kerazoo.tasks.dream.Dream`.

    Args:
        model: What `kerazoo.load` takes and can be built in Keras: a name of the zoo, or a `.keras` file.
        out: The file, ending in `.keras`.
        layers: Names of layers whose maps are to be active; by default one in the middle of the network.
        say: Is told which layer was taken.
        settings: Of the `Dream`: `octaves`, `steps`, `rate`, ...

    Raises:
        UnknownModel, UsageError, WeightsUnavailable: There is no such model or layer, it is no network of colour
            pictures, or `out` is no name for it.
    """
    target = Path(out).expanduser()
    if os.path.lexists(target):
        raise UsageError(f"{target} exists already and was not overwritten. Remove it, or choose another name.")
    built = own.find(model, say).build()
    shape = tuple(built.keras.inputs[0].shape) if built.adapter is None else ()
    if len(shape) != 4 or shape[-1] != 3:
        raise UsageError(f"{model} cannot dream: that needs a Keras network of colour pictures, to see its gradient.")
    names = tuple(layers)
    if not names:
        names = (_middle(built.keras),)
        say(f"Dreaming of the layer {names[0]}; --layers names others.")
    layers_of(built.keras, names)
    return save(built.keras, target, task={Dream.kind: Dream(names, built.normalise, **settings)})


def _middle(model: Any) -> str:
    """Of the layers with weights and maps the one that has as many before it as behind it."""
    found = [layer.name for layer in model.layers if layer.weights and len(layer.output.shape) == 4]
    if not found:
        raise UsageError(f"{model.name} has no layer with rows and columns to dream of.")
    return found[len(found) // 2]
