"""The metrics of the field, one file a kind of task, and each in two layers.

The functions are on arrays alone, for recipes, trainings and anybody's script. Where a file also has

    FIGURES                     name of each figure -> `Figure`: its unit, which way is better, what is tolerated
    measure(predictor, asked)   asks a model about data with its truth -> `Report`

`kerazoo evaluate` measures models of that kind; nothing lists the kinds. NumPy only: the model runs on any engine.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from kerazoo.errors import UsageError


def kinds() -> tuple[str, ...]:
    """The kinds of tasks that can be measured, sorted."""
    names = (m.name for m in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in names if hasattr(importlib.import_module(f"{__name__}.{name}"), "measure")))


def of(kind: str) -> Any:
    """The module that measures a kind of task.

    Raises:
        UsageError: None does.
    """
    if kind in (m.name for m in pkgutil.iter_modules(__path__)):
        module = importlib.import_module(f"{__name__}.{kind}")
        if hasattr(module, "measure"):
            return module
    raise UsageError(f"Models that do {kind} are not measured by this command; those that do {', '.join(kinds())} are.")
