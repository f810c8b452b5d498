"""The card that every artefact carries: what it is, what it does, and the golden answer it was checked with."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerazoo import tasks
from kerazoo.contract import Task
from kerazoo.errors import UsageError

KEY = "kerazoo"
"""Name of the card in ONNX metadata; `kerazoo.json` in LiteRT's archive; `assets.extra/kerazoo/card.json`."""


@dataclass(frozen=True)
class Card:
    """What travels inside an artefact.

    Attributes:
        model: The model's name.
        task: What it does, labels and resize recipe included.
        weights_sha256: Of the weight file that it was made from.
        versions: Of the packages that made it.
        golden: A tiny request with its answer, as `kerazoo.export.golden` writes it.
        differences: Measured against Keras when it was made.
    """

    model: str
    task: Task
    weights_sha256: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    golden: Mapping[str, Any] | None = None
    differences: Mapping[str, Any] = field(default_factory=dict)

    def dumps(self) -> str:
        plain = {**vars(self), "task": tasks.to_card(self.task)}
        return json.dumps(plain, ensure_ascii=False)


def loads(text: str, path: Path) -> Card:
    """The card of the artefact at `path`.

    Raises:
        UsageError: It is not a card of this version.
    """
    try:
        plain = json.loads(text)
        return Card(**{**plain, "task": tasks.from_card(plain["task"])})
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} holds a card that cannot be read: {error}") from None


def missing(path: Path) -> UsageError:
    return UsageError(
        f"{path} holds no Kerazoo card, so its labels and its preprocessing are not known.\n"
        "Artefacts that `kerazoo export` made carry one."
    )


def of_litert(path: Path) -> Card:
    """The card in the archive that a .tflite file ends with, as LiteRT's associated files do."""
    try:
        with zipfile.ZipFile(path) as archive:
            return loads(archive.read(f"{KEY}.json").decode(), path)
    except (zipfile.BadZipFile, KeyError):
        raise missing(path) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None


def of_saved_model(path: Path) -> Card:
    """The card of a bundle, in `assets.extra/kerazoo/card.json`."""
    file = path / "assets.extra" / KEY / "card.json"
    if not file.is_file():
        raise missing(path)
    return loads(file.read_text(encoding="utf-8"), path)
