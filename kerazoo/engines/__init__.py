"""What runs a network, one file each, loaded when it is asked for. Each has `open_network(path, threads)`.

Every network may be called by any number of threads at once.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from kerazoo import formats
from kerazoo.engines.card import Card

KERAS = "keras"
"""The engine of models that are built in this process."""

NAMES = (KERAS, *dict.fromkeys(each.engine for each in formats.FORMATS.values()))


def open_network(engine: str, path: Path, threads: int | None = None) -> tuple[Any, Card]:
    """The network of an artefact, and its card.

    Args:
        engine: Of `NAMES`, without `KERAS`.
        path: The artefact.
        threads: Within one run, where the engine lets them be chosen; the machine's cores by default.
    """
    return importlib.import_module(f"{__name__}.{engine}").open_network(path, threads)
