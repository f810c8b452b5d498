"""The card that every artefact carries: what it is, what it does, and the goldens it was checked with."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerazoo import tasks
from kerazoo.codecs.image import Normalise
from kerazoo.contract import Signature, Task
from kerazoo.engines.adapter import Adapter
from kerazoo.errors import UsageError

KEY = "kerazoo"
"""Name of the card in ONNX metadata; `kerazoo.json` in zip archives; `assets.extra/kerazoo/card.json`."""

PORTS = "ports"
"""Of a card's JSON: what its tasks say anyway."""

FILE = f"{KEY}.json"
FOLDER = Path("assets.extra", KEY)


@dataclass(frozen=True)
class Card:
    """What travels inside an artefact.

    Attributes:
        model: The model's name.
        tasks: What it does, by kind, the default first; labels and resize recipe included.
        normalise: What is done to the network's input first, where the file does not do it itself.
        adapter: How a file that was made elsewhere calls and holds what the task wants; `None` for our own.
        config: Variant and sizes, where a builder of Kerazoo made the network.
        weights_sha256: Of the weight file that it was made from.
        versions: Of the packages that made it.
        goldens: A tiny request with its answer for each task, as `kerazoo.export.golden` writes it.
        differences: Measured against Keras when it was made.
        metrics: What its maker measured.
        training: How its maker trained it.
        precision: Of the artefact, one of `kerazoo.formats.PRECISIONS`.
        part: The one part of the network that it holds; `None` where it holds all.
        inside: The normalisation that the file does itself, for people.
        quantisation: How it was quantised, and what agreement was reached.
        ranges: Of the outputs of layers, as training learned them: name -> (least, greatest).
    """

    model: str
    tasks: Mapping[str, Task]
    normalise: Normalise | None = None
    adapter: Adapter | None = None
    config: Mapping[str, Any] | None = None
    weights_sha256: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    goldens: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    differences: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    precision: str = "fp32"
    part: str | None = None
    inside: Mapping[str, Any] | None = None
    quantisation: Mapping[str, Any] = field(default_factory=dict)
    ranges: Mapping[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> Task:
        """The default task."""
        return next(iter(self.tasks.values()))

    @property
    def golden(self) -> Mapping[str, Any] | None:
        """The default task's."""
        return self.goldens.get(next(iter(self.tasks)))

    @property
    def parts(self) -> dict[str, Signature]:
        """Of all tasks."""
        return tasks.parts(self.tasks)

    def dumps(self) -> str:
        """The card without its files; with the ports of its tasks and parts, for readers that do not know the tasks."""
        plain = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        asked = {name: Signature(task.request, task.response) for name, task in self.tasks.items()}
        plain[PORTS] = {
            side: {name: dataclasses.asdict(each) for name, each in several.items()}
            for side, several in (("tasks", asked), ("parts", self.parts))
        }
        for name in ("normalise", "adapter"):
            plain[name] = dataclasses.asdict(plain[name]) if plain[name] is not None else None
        plain["tasks"] = {name: tasks.to_card(task)[0] for name, task in self.tasks.items()}
        return json.dumps(plain, ensure_ascii=False)

    def files(self) -> dict[str, bytes]:
        """What is too large for the card and travels beside it: name -> bytes."""
        return {name: data for task in self.tasks.values() for name, data in tasks.to_card(task)[1].items()}


def loads(text: str | bytes, path: Path, read: Callable[[str], bytes]) -> Card:
    """The card of the artefact at `path`.

    Args:
        read: Gives the bytes of a file that travels beside the card.

    Raises:
        UsageError: It is not a card of this version.
    """
    try:
        plain = json.loads(text)
        plain.pop(PORTS, None)
        made = {name: tasks.from_card(task, read) for name, task in plain["tasks"].items()}
        if not made:
            raise ValueError("it names no task")
        parts = {
            "normalise": tasks.from_plain(Normalise, plain["normalise"]) if plain.get("normalise") else None,
            "adapter": tasks.from_plain(Adapter, plain["adapter"]) if plain.get("adapter") else None,
        }
        return Card(**{**plain, "tasks": made, **parts})
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise UsageError(f"{path} holds a card that cannot be read: {error}") from None


def missing(path: Path) -> UsageError:
    return UsageError(
        f"{path} holds no Kerazoo card, so its labels and its preprocessing are not known.\n"
        f"State them: `kerazoo card {path} --task classify --labels labels.txt --size 224 -o FILE`."
    )


def of_archive(path: Path) -> Card:
    """The card in a zip archive: a `.keras` file, or what a .tflite file ends with, as its associated files do.

    Raises:
        UsageError: There is none, or it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return loads(_member(archive, FILE).decode(), path, lambda name: _member(archive, f"{KEY}/{name}"))
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError):
        raise missing(path) from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} holds a card that cannot be read: {error}") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None


MOST = 64 * 2**20
"""Bytes of the largest card, or file beside one, that is read: a zip can unfold to anything."""


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > MOST:
        raise UsageError(f"its member {name} is larger than {MOST >> 20} MiB.")
    return archive.read(name)


def into_archive(path: Path, card: Card) -> None:
    """Appends a card and its files to a zip archive, or to a file that may end with one."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(FILE, card.dumps())
        for name, data in card.files().items():
            archive.writestr(f"{KEY}/{name}", data)


def of_folder(path: Path) -> Card:
    """The card of a SavedModel folder, in `assets.extra/kerazoo/card.json`.

    Raises:
        UsageError: There is none, or it cannot be read.
    """
    file = path / FOLDER / "card.json"
    if not file.is_file():
        raise missing(path)
    return loads(_text(file), path, lambda name: (path / FOLDER / name).read_bytes())


def into_folder(path: Path, card: Card) -> None:
    """Puts a card and its files into a SavedModel folder."""
    extra = path / FOLDER
    extra.mkdir(parents=True, exist_ok=True)
    (extra / "card.json").write_text(card.dumps(), encoding="utf-8")
    for name, data in card.files().items():
        (extra / name).write_bytes(data)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
