"""Kerazoo: pretrained Keras models that serve.

Importing this package imports neither TensorFlow nor Keras; what needs them loads them when it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerazoo import applications, errors, train
    from kerazoo.evaluation import evaluate
    from kerazoo.export import export
    from kerazoo.loading import load
    from kerazoo.own.about import info
    from kerazoo.own.cards import card
    from kerazoo.own.saving import save
    from kerazoo.predictor import Predictor
    from kerazoo.registry import rows as models
    from kerazoo.serve.client import Client

__version__ = "0.1.0"

_WHERE = {
    "Client": ("kerazoo.serve.client", "Client"),
    "Predictor": ("kerazoo.predictor", "Predictor"),
    "applications": ("kerazoo.applications", None),
    "card": ("kerazoo.own.cards", "card"),
    "errors": ("kerazoo.errors", None),
    "evaluate": ("kerazoo.evaluation", "evaluate"),
    "export": ("kerazoo.export", "export"),
    "info": ("kerazoo.own.about", "info"),
    "load": ("kerazoo.loading", "load"),
    "models": ("kerazoo.registry", "rows"),
    "save": ("kerazoo.own.saving", "save"),
    "train": ("kerazoo.train", None),
}

__all__ = [
    "Client", "Predictor", "applications", "card", "errors", "evaluate", "export", "info", "load", "models", "save",
    "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    where, attribute = _WHERE[name]
    module = importlib.import_module(where)
    return getattr(module, attribute) if attribute else module


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
