"""One loaded version of one model: what `models` hands out and `inference` runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.engines.card import Card

Run = Callable[[str, Mapping[str, np.ndarray], Sequence[str]], dict[str, np.ndarray]]
"""(signature key, arrays by input alias, wanted output aliases) -> arrays by alias.

Texts are object arrays of bytes. Names and types were checked against the signature, shapes were not: they are left
to the graph. Called by many threads at once. Raises `Status`.
"""


@dataclass(frozen=True)
class Servable:
    """A version that answers.

    Attributes:
        signatures: Key -> `SignatureDef` message of the SavedModel.
        run: Answers one signature.
        close: Gives back what it holds; called once, when nothing runs on it any more.
        engine: `tensorflow` for plain SavedModels, or one of those of `kerazoo.engines`.
        card: What the version is, where Kerazoo made it.
        outdated: Says whether its folder is of another kind now than when it was loaded.
        light: Whether it answers on the caller's thread, waits for nobody, and may be quick.
    """

    signatures: Mapping[str, Any]
    run: Run
    close: Callable[[], None]
    engine: str
    card: Card | None = None
    outdated: Callable[[], bool] = lambda: False
    light: bool = False


@dataclass(frozen=True)
class Spec:
    """Which model a request means: the newest ready version of a name, one version, or the one with a label."""

    name: str
    version: int | None = None
    label: str | None = None


@dataclass(frozen=True)
class Handle:
    """A servable that stays loaded while it is held."""

    name: str
    version: int
    servable: Servable
