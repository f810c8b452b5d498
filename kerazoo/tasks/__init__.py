"""Tasks: one function from request to response each, in a file named after its word.

A task is written into every artefact's card and read back from it, so that an artefact needs no other file.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import typing
from collections.abc import Mapping
from typing import Any

from kerazoo.contract import Task
from kerazoo.errors import UsageError, near


def kinds() -> tuple[str, ...]:
    """The words of all tasks, sorted."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


def to_card(task: Task) -> dict[str, Any]:
    """The task as JSON-able values; `from_card` is its inverse."""
    return {"kind": task.kind, **dataclasses.asdict(task)}  # type: ignore[call-overload]


def from_card(card: Mapping[str, Any]) -> Task:
    """The task that `to_card` wrote.

    Raises:
        UsageError: The card names a task that this version does not have.
    """
    fields = dict(card)
    kind = fields.pop("kind", None)
    if kind not in kinds():
        raise UsageError(f"The artefact's task is {kind!r}; known are {', '.join(kinds())}.{near(str(kind), kinds())}")
    module = importlib.import_module(f"{__name__}.{kind}")
    for value in vars(module).values():
        if dataclasses.is_dataclass(value) and getattr(value, "kind", None) == kind:
            return _from_plain(value, fields)
    raise UsageError(f"kerazoo/tasks/{kind}.py holds no task of that kind.")


def _from_plain(cls: Any, values: Mapping[str, Any]) -> Any:
    hints = typing.get_type_hints(cls)
    fields = {}
    for name, value in values.items():
        hint = hints.get(name)
        nested = hint if dataclasses.is_dataclass(hint) else None
        fields[name] = _from_plain(nested, value) if nested and isinstance(value, Mapping) else _frozen(value)
    try:
        return cls(**fields)
    except TypeError as error:
        raise UsageError(f"The artefact's card was written by another version of Kerazoo: {error}") from None


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, (list, tuple)) else value
