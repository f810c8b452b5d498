"""`keras` as a name that imports it on first use: describing a model must not cost the seconds of building one."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any


class _Module:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


if TYPE_CHECKING:
    import keras
else:
    keras = _Module("keras")

__all__ = ["keras"]
