"""Packages that not every installation has: what answers with prepared models does without those that build them.

pip install --no-deps kerazoo
python -m kerazoo.packages | pip install -r /dev/stdin
"""

from __future__ import annotations

import importlib
import re
from typing import Any

from kerazoo.errors import PackageMissing

BUILDING = ("h5py", "keras", "onnx", "tensorflow", "tensorflow-serving-api", "tf2onnx")
"""What building, training and converting models needs, and serving prepared ones does not."""


_INSTALLED = {
    "PIL": "pillow",
    "ai_edge_litert": "ai-edge-litert",
    "ai_edge_quantizer": "'kerazoo[quantize]'",
    "flwr": "'kerazoo[flower]'",
    "google": "protobuf",
    "grpc": "grpcio",
    "ray": "'kerazoo[ray]'",
    "tensorflow_serving": "tensorflow-serving-api",
}
"""Import name -> what is installed for it, where that is called otherwise."""


def needed(module: str) -> Any:
    """Imports a module that not every installation has.

    Raises:
        PackageMissing: It cannot be imported; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "kerazoo":
            raise
        raise missing(error) from None


def missing(error: ImportError) -> PackageMissing:
    """What to tell whoever needs a package that cannot be imported."""
    if isinstance(error, PackageMissing):
        return error
    name = (error.name or "").partition(".")[0] or "a package"
    if not isinstance(error, ModuleNotFoundError):
        return PackageMissing(f"{name} is installed but cannot be imported: {error}")
    package = _INSTALLED.get(name, name)
    if package not in BUILDING:
        return PackageMissing(f"{name} is not installed, and this needs it: pip install {package}")
    lines = " ".join(f'"{line}"' for line in requirements() if _name(line) in BUILDING)
    return PackageMissing(
        f"{name} is not installed; models are built and converted with it, and plain SavedModels run on it.\n"
        f"Install what is missing: pip install {lines or package}"
    )


def requirements() -> list[str]:
    """What the installed package asks for, without its extras."""
    import importlib.metadata  # It is slow to import, and rarely asked.

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
