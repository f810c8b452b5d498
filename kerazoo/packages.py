"""Packages that are imported where they are used: what to install where one is missing."""

from __future__ import annotations

from kerazoo.errors import PackageMissing

_CALLED = {
    "PIL": "pillow",
    "ai_edge_litert": "ai-edge-litert",
    "google": "protobuf",
    "grpc": "grpcio",
    "keras": "tensorflow keras",
    "ray": "'kerazoo[ray]'",
    "tensorflow": "tensorflow keras",
    "tensorflow_serving": "tensorflow-serving-api",
}
"""What is installed for an import name, where it is called otherwise or needs another beside it."""


def missing(error: ImportError) -> PackageMissing:
    """The error of a package that cannot be imported, with the line that installs it; one of ours stays as it is."""
    if isinstance(error, PackageMissing):
        return error
    name = (error.name or "").partition(".")[0] or "a package"
    if isinstance(error, ModuleNotFoundError):
        return PackageMissing(f"This needs {name}, which is not installed: pip install {_CALLED.get(name, name)}")
    return PackageMissing(f"{name} is installed but cannot be imported: {error}")
