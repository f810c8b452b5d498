"""Files of one's own as folders that a server opens."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kerazoo import __version__, engines, formats, own, store
from kerazoo.engines import card as card_
from kerazoo.export import golden as golden_
from kerazoo.export import prepare
from kerazoo.own.files import plain_stem
from kerazoo.registry import file_sha256


def bundle(model: str | os.PathLike[str], say: Callable[[str], Any] = lambda line: None) -> Path:
    """A base folder with one version, `1`, of a name or a file: prepared once on this machine.

    A Keras or SavedModel file gets a bundle as a model of the zoo does. An ONNX or LiteRT file has no SavedModel: its
    version holds `assets.extra/kerazoo/` alone, with the card, the file, and how fast it is.

    Args:
        model: A name of the zoo, or the path of a file with a card.
        say: Is told, a line each, what takes long.

    Raises:
        UsageError: There is no such file, or it has no card.
        GateError: The SavedModel could not be verified.
    """
    path = Path(model).expanduser()
    form = next((each for each in formats.NETWORKS if path.suffix == each.suffix and path.exists()), None)
    if form is None:
        return prepare.bundle(own.find(model, say), say)
    network, card = engines.open_network(form.engine, path)
    form = formats.find(form.word, card.precision)
    files = sorted(path.glob("*")) if path.is_dir() else [path]
    made_from = json.dumps([__version__, *map(file_sha256, files)])
    folder = store.artefacts(f"{plain_stem(path)}:own") / hashlib.sha256(made_from.encode()).hexdigest()[:16]
    base = folder / "bundle"
    if not (base / "1").is_dir():
        say(f"Preparing {path.name} to be served, once on this machine ...")
        calls = golden_.answer(card.task, network).calls
        spent = prepare.median_ms(network, [(call.part, call.inputs) for call in calls])
        with store.making(folder) as temporary:
            card_.into_folder(temporary / "1", card)
            copy = temporary / form.file  # The user's own file may change.
            (shutil.copytree if path.is_dir() else shutil.copyfile)(path, copy)
            prepare.add_engines(temporary / "1", {form.name: copy}, {form.name: round(spent, 3)})
            base.mkdir(exist_ok=True)
            if not (base / "1").is_dir():
                os.rename(temporary / "1", base / "1")
    return base
