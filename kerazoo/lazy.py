"""`keras`, and `kerazoo.layers`, as names that import on first use: describing a model must not cost building one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kerazoo import packages


class _Module:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(packages.needed(self._name), attribute)


if TYPE_CHECKING:
    import keras

    from kerazoo import layers as own_layers
else:
    keras = _Module("keras")
    own_layers = _Module("kerazoo.layers")

__all__ = ["keras", "own_layers"]
