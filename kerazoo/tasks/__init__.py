"""Tasks: one function from request to response each, in files named after what they do for a person.

A task is written into every artefact's card and read back from it, so that an artefact needs no other file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import pkgutil
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from kerazoo.codecs.image import Image
from kerazoo.codecs.text import Vocabulary
from kerazoo.contract import Signature, Task
from kerazoo.errors import UsageError, near


def kinds() -> tuple[str, ...]:
    """The words of all tasks, sorted."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


def classes(kind: str) -> dict[str, Any]:
    """The classes of a kind by name.

    Raises:
        UsageError: There is no such kind; near ones are suggested.
    """
    if kind not in kinds():
        raise UsageError(f"Unknown task {kind!r}; known are {', '.join(kinds())}.{near(kind, kinds())}")
    module = importlib.import_module(f"{__name__}.{kind}")
    return {
        name: value
        for name, value in vars(module).items()
        if dataclasses.is_dataclass(value) and getattr(value, "kind", None) == kind
    }


def parts(several: Mapping[str, Task]) -> dict[str, Signature]:
    """The parts of a network that does several tasks."""
    return {name: signature for task in several.values() for name, signature in task.parts.items()}


def exactly(task: Task) -> Task:
    """The same task on pictures that are always decoded whole, whatever its card says."""
    inputs = {name: value for name, value in vars(task).items() if isinstance(value, Image)}
    whole = {name: dataclasses.replace(image, exact=True) for name, image in inputs.items()}
    return dataclasses.replace(task, **whole) if whole else task  # type: ignore[type-var]


def to_card(task: Task) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The task as JSON-able values and the files that travel beside them; `from_card` is its inverse."""
    files: dict[str, bytes] = {}
    return {"kind": task.kind, **_plain(task, files)}, files


def _plain(value: Any, files: dict[str, bytes]) -> Any:
    if isinstance(value, Vocabulary):
        name = f"vocabulary-{value.sha256[:16]}.txt"
        files[name] = value.dumps()
        return {"file": name, "sha256": value.sha256}
    if dataclasses.is_dataclass(value):
        fields = {each.name: _plain(getattr(value, each.name), files) for each in dataclasses.fields(value)}
        return {"class": type(value).__name__, **fields}
    return [_plain(item, files) for item in value] if isinstance(value, (tuple, list)) else value


def _no_files(name: str) -> bytes:
    raise UsageError(f"The card's file {name} is not here.")


def from_card(card: Mapping[str, Any], read: Callable[[str], bytes] = _no_files) -> Task:
    """The task that `to_card` wrote.

    Args:
        read: Gives the bytes of a file that travels beside the card.

    Raises:
        UsageError: The card names a task that this version does not have, or a file that is not what it says.
    """
    fields = dict(card)
    kind, name = str(fields.pop("kind", None)), str(fields.get("class"))
    known = classes(kind)
    if name not in known:
        raise UsageError(f"The artefact's task {kind} is a {name!r}; known are {', '.join(known)}.{near(name, known)}")
    return from_plain(known[name], fields, read)


def from_plain(hint: Any, value: Any, read: Callable[[str], bytes] = _no_files) -> Any:
    """What `to_card` made of a value, as the type that it had."""
    if hint is Vocabulary and isinstance(value, Mapping):
        return _vocabulary(value["file"], value["sha256"], read)
    if isinstance(value, Mapping) and (options := _dataclasses(hint)):
        fields = dict(value)
        cls = options.get(fields.pop("class", None), next(iter(options.values())))
        hints = typing.get_type_hints(cls)
        try:
            return cls(**{name: from_plain(hints.get(name), inner, read) for name, inner in fields.items()})
        except TypeError as error:
            raise UsageError(f"The artefact's card was written by another version of Kerazoo: {error}") from None
    if isinstance(value, (list, tuple)):
        inner = next(iter(typing.get_args(hint)), None)
        return tuple(from_plain(inner, item, read) for item in value)
    return value


def _dataclasses(hint: Any) -> dict[str, Any]:
    """The dataclasses that a field may hold, by name."""
    members = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return {member.__name__: member for member in members if dataclasses.is_dataclass(member)}  # type: ignore[union-attr]


def _vocabulary(name: str, sha256: str, read: Callable[[str], bytes]) -> Vocabulary:
    if "/" in name or "\\" in name or name.startswith("."):
        raise UsageError(f"The card names the file {name!r}, which is no plain file name.")
    data = read(name)
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise UsageError(f"The card's file {name} has the sha256 {found[:16]}...; the card says {sha256[:16]}...")
    return Vocabulary.loads(data, name)
