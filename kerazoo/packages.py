"""Packages that not every installation has: what answers with prepared models does without those that build them.

pip install --no-deps kerazoo
python -m kerazoo.packages | pip install -r /dev/stdin
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from typing import Any

from kerazoo.errors import PackageMissing

BUILDING = ("h5py", "keras", "onnx", "tensorflow", "tensorflow-serving-api", "tf2onnx")
"""What building, training and converting models needs, and serving prepared ones does not."""


def needed(module: str) -> Any:
    """Imports a module that building models needs.

    Raises:
        PackageMissing: It is not installed, nor what it needs itself; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        lacks = (error.name or module).partition(".")[0]
        if lacks == "kerazoo":
            raise
        raise missing(lacks) from None


def missing(name: str) -> PackageMissing:
    """What to tell whoever needs a package that is not there."""
    lines = " ".join(f'"{line}"' for line in requirements() if _name(line) in BUILDING)
    return PackageMissing(
        f"{name} is not installed; models are built and converted with it, and plain SavedModels run on it.\n"
        f"Install what is missing: pip install {lines or name}"
    )


def requirements() -> list[str]:
    """What the installed package asks for, without its extras."""
    try:
        rows = importlib.metadata.requires("kerazoo") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [row for row in rows if "extra ==" not in row]


def serving() -> list[str]:
    """What serving prepared models and asking them needs: all but `BUILDING`."""
    return [row for row in requirements() if _name(row) not in BUILDING]


def _name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


if __name__ == "__main__":
    print("\n".join(serving()))
