"""Pruning for Keras 3: smaller and faster networks that stay plain ones.

Masks lie outside of the layers, in a step of the training (`step`), and are gone when it ends: what is saved holds
zeros and nothing else. Channels are traced through the graph (`channels`), chosen (`widths`) and taken out (`surgery`).
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerazoo.prune.job import Pruned, prune

_WHERE = {"Pruned": "job", "prune": "job"}


class _Module(types.ModuleType):
    # `kerazoo.prune` is both this package and the public function `kerazoo.prune(...)`.
    def __call__(self, *args: Any, **kwargs: Any) -> Pruned:
        from kerazoo.prune.job import prune

        return prune(*args, **kwargs)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)


sys.modules[__name__].__class__ = _Module

__all__ = ["Pruned", "prune"]
