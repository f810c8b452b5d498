"""Every architecture as a function that returns a `keras.Model`: `from kerazoo.applications import ResNet50`.

One family is one file. A new family needs no list to be edited: its public names are found here. `recognise` tells of a
model which builder made it.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any


@functools.cache
def families() -> tuple[str, ...]:
    """Names of the family modules, sorted."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


_ALL = re.compile(r"^__all__ = \[(.*?)\]", re.MULTILINE | re.DOTALL)


@functools.cache
def _public() -> dict[str, str]:
    """Public builder -> family. Read from each file's `__all__` without running it.

    As text: `ast.parse` fails now and then on Python 3.11 when several threads use it.
    """
    found: dict[str, str] = {}
    for family in families():
        names = _ALL.search((Path(__path__[0]) / f"{family}.py").read_text(encoding="utf-8"))
        found |= dict.fromkeys(re.findall(r'"(\w+)"', names[1]) if names else (), family)
    return found


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return sorted(_public())
    if name == "recognise":
        # No builder, and so not in `__all__`, which lists those.
        return importlib.import_module(f"{__name__}._recognise").recognise
    if name in families():
        return importlib.import_module(f"{__name__}.{name}")
    if name in _public():
        return getattr(importlib.import_module(f"{__name__}.{_public()[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*_public(), *families(), "recognise"])
