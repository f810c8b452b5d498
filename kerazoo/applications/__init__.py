"""Every architecture as a function that returns a `keras.Model`: `from kerazoo.applications import ResNet50`.

One family is one file. A new family needs no list to be edited: its public names are found here.
"""

from __future__ import annotations

import ast
import functools
import importlib
import pkgutil
from pathlib import Path
from typing import Any


@functools.cache
def families() -> tuple[str, ...]:
    """Names of the family modules, sorted."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


@functools.cache
def _public() -> dict[str, str]:
    """Public builder -> family. Read from each file's `__all__` without running it."""
    found: dict[str, str] = {}
    for family in families():
        tree = ast.parse((Path(__path__[0]) / f"{family}.py").read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "__all__":
                found |= dict.fromkeys(ast.literal_eval(node.value), family)
    return found


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return sorted(_public())
    if name in families():
        return importlib.import_module(f"{__name__}.{name}")
    if name in _public():
        return getattr(importlib.import_module(f"{__name__}.{_public()[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*_public(), *families()])
