"""What runs a network: `keras`, `savedmodel`, `onnx`, `litert`. One file each, loaded when it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kerazoo.engines.card import Card

NAMES = ("keras", "savedmodel", "onnx", "litert")


def open_network(engine: str, path: Path, threads: int | None = None) -> tuple[Any, Card]:
    """The network of an exported `onnx` or `litert` artefact, and its card."""
    if engine == "onnx":
        from kerazoo.engines import onnx

        return onnx.open_network(path, threads)
    from kerazoo.engines import litert

    return litert.open_network(path, threads)
