"""Where figures were measured, and how they are kept."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

PACKAGES = (
    "kerazoo", "tensorflow", "keras", "onnxruntime", "ai-edge-litert", "ai-edge-quantizer", "numpy", "pillow", "grpcio",
    "uvicorn", "httptools", "uvloop", "fastapi", "litserve",
)  # fmt: skip


def origin(name: str) -> dict[str, Any]:
    """The command that measures, the machine and the versions.

    Args:
        name: Of the benchmark's module.
    """
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "command": " ".join(("python -m", f"benchmarks.{name}", *map(_told, sys.argv[1:]))),
        "machine": {"cpu": _cpu(), "cores": len(os.sched_getaffinity(0)), "python": platform.python_version()},
        "versions": versions,
    }


def _told(argument: str) -> str:
    """Where something lies on this machine is of no use on another."""
    return Path(argument).name if Path(argument).is_absolute() else argument


def _cpu() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def keep(path: Path, found: dict[str, Any]) -> None:
    """Writes figures over those of the same names in a file; the others stay."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**kept, **found}, indent=2) + "\n", encoding="utf-8")
