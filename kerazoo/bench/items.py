"""What every artefact is asked, and what it answered, as a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo import codecs
from kerazoo.contract import Task

MADE_UP = 16
"""Requests of an example's kind where there is no data."""


def of(task: Task, data: str | None, most: int) -> tuple[list[Any], list[int] | None]:
    """Items, and the numbers of their classes where they are known; the same at every call.

    Args:
        data: For a classifier what `kerazoo evaluate` takes; for others a folder of items. `None` makes some up.
        most: So many of them, evenly; 0 for all.

    Raises:
        UsageError: There is nothing of the kind.
    """
    if data is None:
        rng = np.random.default_rng(0)
        return [{port.name: codecs.of(port).example(port, rng) for port in task.request} for _ in range(MADE_UP)], None
    if task.kind == "classify":
        from kerazoo.sources import labelled
        from kerazoo.sources.files import item_of

        samples = labelled.pictures(Path(data), task.labels)  # type: ignore[attr-defined]
        kept = [samples[number] for number in _evenly(len(samples), most)]
        return [item_of(sample) for sample in kept], [int(sample.truth) for sample in kept]
    from kerazoo import inputs

    found = list(inputs.expand(data, task.request[0]))
    return [found[number] for number in _evenly(len(found), most)], None


def _evenly(count: int, most: int) -> list[int]:
    if not most or count <= most:
        return list(range(count))
    return np.unique(np.linspace(0, count - 1, most).round().astype(int)).tolist()


def save(responses: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Writes responses, one after the other; nothing in the file is pickled."""
    arrays = {}
    for number, response in enumerate(responses):
        for name, value in response.items():
            array = np.asarray(value)
            if array.dtype == object:
                array = np.array([each if isinstance(each, bytes) else str(each).encode() for each in array.ravel()])
                array = array.reshape(np.shape(value))
            arrays[f"{number:06d}/{name}"] = array
    np.savez(path, **arrays)  # type: ignore[arg-type]


def load(path: Path) -> list[dict[str, Any]]:
    """What `save` wrote; texts are bytes in arrays of objects, as engines give them."""
    found: dict[str, dict[str, Any]] = {}
    with np.load(path, allow_pickle=False) as stored:
        for key in stored.files:
            number, _, name = key.partition("/")
            array = stored[key]
            found.setdefault(number, {})[name] = array.astype(object) if array.dtype.kind == "S" else array
    return [found[number] for number in sorted(found)]
