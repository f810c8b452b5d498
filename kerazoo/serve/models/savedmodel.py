"""The file `saved_model.pb` of a version folder, read without TensorFlow."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from kerazoo.serve.wire import protos
from kerazoo.serve.wire.status import Status

FILE = "saved_model.pb"


def signatures(folder: Path, tags: Collection[str] = ("serve",)) -> dict[str, Any]:
    """Every `SignatureDef` of the graph with exactly these tags, initialisation's included.

    Raises:
        Status: There is no such file, it is damaged, or it has no such graph.
    """
    path = folder / FILE
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        if (folder / "export.meta").exists():
            raise Status("UNIMPLEMENTED", "Session Bundle is deprecated and removed.") from None
        raise Status(
            "NOT_FOUND",
            "Specified file path does not appear to contain a SavedModel bundle (should have a file called "
            f"`{FILE}`)\nSpecified file path: {folder}",
        ) from None
    except OSError as error:
        raise Status("UNAVAILABLE", f"{path} cannot be read: {error.strerror or error}") from None
    try:
        saved = protos.core("SavedModel").FromString(data)
    except DecodeError:
        raise Status("DATA_LOSS", f"Can't parse {path} as binary proto") from None
    for graph in saved.meta_graphs:
        if set(graph.meta_info_def.tags) == set(tags):
            return dict(graph.signature_def)
    raise Status(
        "NOT_FOUND",
        f"Could not find meta graph def matching supplied tags: {{ {' '.join(sorted(tags))} }}. To inspect available "
        "tag-sets in the SavedModel, please use the SavedModel CLI: `saved_model_cli`",
    )
