"""Training: a recipe is data, a state is one file, and a step is all that tells one kind of learning from another.

This package can be called: `kerazoo.train(...)` is `kerazoo.train.fit.train`.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerazoo.train.fit import Trained, train
    from kerazoo.train.recipe import Recipe
    from kerazoo.train.run import Outcome
    from kerazoo.train.state import State

_WHERE = {"Trained": "fit", "train": "fit", "Recipe": "recipe", "State": "state", "Outcome": "run"}


class _Module(types.ModuleType):
    # `kerazoo.train` is both this package and the public function `kerazoo.train(...)`.
    def __call__(self, *args: Any, **kwargs: Any) -> Trained:
        from kerazoo.train.fit import train

        return train(*args, **kwargs)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)


sys.modules[__name__].__class__ = _Module

__all__ = ["Outcome", "Recipe", "State", "Trained", "train"]
