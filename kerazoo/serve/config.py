"""TF Serving's configuration files: protocol buffers as text."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from kerazoo.serve.wire import protos
from kerazoo.serve.wire.status import Status, invalid

log = logging.getLogger("kerazoo.serve")

UNPUBLISHED = ("SSLConfig", "MonitoringConfig", "BatchingParameters")
"""Messages that no package publishes; they are declared here."""


def parse(text: str, name: str, where: str) -> Any:
    """The message of that name in a text.

    Raises:
        Status: It is not one; the log says where it ends to be one.
    """
    package = "" if name in UNPUBLISHED else "tensorflow.serving."
    try:
        return text_format.Parse(text, protos.message(f"{package or 'kerazoo.'}{name}")())
    except text_format.ParseError as error:
        # As TF Serving has it, where and why is said by the log.
        log.error("Error parsing text-format %s%s: %s", package, name, error)
        raise invalid(f"Invalid protobuf file: '{where}'") from None


def read(path: str | Path, name: str) -> Any:
    """The message of that name in a file.

    Raises:
        Status: There is no such file, or it holds something else.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Status("NOT_FOUND", f"{path}; {getattr(error, 'strerror', None) or error}") from None
    return parse(text, name, str(path))


def models(path: str | Path) -> list[Any] | None:
    """The `ModelConfig` messages of a model server's configuration file; `None` of one that configures nothing.

    Raises:
        Status: The file cannot be read, or configures something else.
    """
    found = read(path, "ModelServerConfig")
    if found.WhichOneof("config") == "custom_model_config":
        raise Status("UNIMPLEMENTED", f"{path} has a custom_model_config; list models in model_config_list.")
    if found.WhichOneof("config") is None:
        return None  # Emptied, perhaps for a moment only: no list is not a list of no models.
    return list(found.model_config_list.config)
