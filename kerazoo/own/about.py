"""`kerazoo.info`: everything about one model, of the zoo or of one's own."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from kerazoo import engines, formats, registry, seal, store
from kerazoo.codecs.image import Image
from kerazoo.engines import card as card_
from kerazoo.engines.card import Card
from kerazoo.errors import UsageError
from kerazoo.own.files import SUFFIXES, KerasFile


def info(model: str | os.PathLike[str]) -> dict[str, Any]:
    """What is known of a model, JSON-able.

    Args:
        model: A name of the zoo, or the path of a `.keras` file or an artefact with a card.

    Returns:
        For the zoo `name`, `task`, `params`, `input`, `weights`, `licence`, `metrics`, `measured`, `paper`, and where
        there are weights `source`, `preprocessing`, `files`, `cached`; for a file `name`, `task`, `tasks`, `input`,
        `picture` (how one is made to fit: `kerazoo.codecs.image.Image`), `labels`, `preprocessing`, `measured`,
        `variant`, `versions`, `file`, `size`.

    Raises:
        UnknownModel, UsageError, WeightsDamaged: There is no such model, or the file has no card or is damaged.
    """
    path = Path(model).expanduser()
    ends = (*SUFFIXES, *(form.suffix for form in formats.NETWORKS))
    if path.exists() and (path.suffix in ends or (path / "saved_model.pb").is_file()):
        return _file(path)
    return _zoo(str(model))


def _zoo(name: str) -> dict[str, Any]:
    found = registry.find(name)
    row = next(row for row in registry.rows(found.name) if row["name"] == found.name)
    row["paper"] = (found.family.__doc__ or "").strip()
    entry = found.entry
    if entry is not None:
        files = [
            {
                "name": file.name,
                "role": file.role,
                "size": file.size,
                "urls": list(file.urls),
                file.hash_kind or "hash": file.hash_value,
                "trusted": dataclasses.asdict(known) if (known := store.trusted(entry, file.role)) else None,
            }
            for file in entry.files
        ]
        recipe = dict(entry.preprocessing) if entry.preprocessing else None
        row |= {"source": entry.source, "preprocessing": recipe, "files": files, "cached": store.present(entry)}
    return row


def _file(path: Path) -> dict[str, Any]:
    card = _card(path)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else None
    labels = getattr(card.task, "labels", None)
    first = next(iter(card.parts.values())).inputs[0]
    return {
        "name": card.model,
        "task": card.task.kind,
        "tasks": list(card.tasks),
        "input": list(first.shape[1:]),
        "picture": dataclasses.asdict(fits) if isinstance(fits := getattr(card.task, "input", None), Image) else None,
        "labels": list(labels) if labels is not None else None,
        "preprocessing": dataclasses.asdict(card.normalise) if card.normalise else None,
        "measured": dict(card.metrics),
        "variant": card.config.get("variant") if card.config else None,
        "versions": dict(card.versions),
        "file": str(path),
        "size": path.stat().st_size if size is None else size,
    }


def _card(path: Path) -> Card:
    if path.is_dir() and (path / "saved_model.pb").is_file():
        seal.check_folder(path, card_.FOLDER)
        return card_.of_folder(path)  # Without running it.
    if path.suffix not in SUFFIXES:
        return engines.open_network(next(form for form in formats.NETWORKS if form.suffix == path.suffix).engine, path)[
            1
        ]
    card = KerasFile(path, lambda line: None).card()
    if card is None:
        raise UsageError(
            f"{path} has no card; `kerazoo.save` writes one.\n"
            f"`kerazoo predict INPUT -m {path}` tells what has to be assumed without."
        )
    return card
