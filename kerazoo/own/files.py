"""Files that hold a network: what is in them, and the model that they make."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerazoo import seal
from kerazoo.engines import card as card_
from kerazoo.engines.card import Card
from kerazoo.engines.quiet import import_keras
from kerazoo.errors import KerazooError, UsageError
from kerazoo.registry import Built, file_sha256

if TYPE_CHECKING:
    import keras as keras_

SUFFIXES = (".keras",)
"""Of files that Keras saves a whole model in."""


@dataclass(frozen=True)
class KerasFile:
    """A `.keras` file, with a card or without.

    Attributes:
        path: Absolute.
        say: Is told, in a line, what had to be assumed where there is no card.
    """

    path: Path
    say: Callable[[str], Any]

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def stem(self) -> str:
        return plain_stem(self.path)

    @property
    def cached(self) -> str:
        return f"{self.stem}:own"

    def identity(self) -> list[Any]:
        return [file_sha256(self.path)]

    def fetch(self) -> None:
        pass

    def card(self) -> Card | None:
        """Its card, where `kerazoo.save` wrote it.

        Raises:
            UsageError: It is no `.keras` file, or its card cannot be read.
            WeightsDamaged: It has a card, and its bytes are not those that were saved.
        """
        if card_.FILE not in members(self.path):
            return None
        seal.check_file(self.path)
        return card_.of_archive(self.path)

    def build(self) -> Built:
        card = self.card()
        model = load_keras(self.path)
        if card is None:
            from kerazoo.own.describing import describe

            described, assumed = describe(model, self.stem)
            if assumed:
                self.say(f"{self.path.name} has no card; assumed: {'; '.join(assumed)}.")
            return described
        return Built(card.model, model, card.tasks, card.normalise, file_sha256(self.path), card.config)


TEXT = 64 * 2**20
"""Bytes of the longest description of a network, or of what Keras says about the file."""

UNFOLDS = 200
"""So many times its own size a file may unfold to; weights, which Keras does not compress, never do."""


def members(path: Path) -> list[str]:
    """Names of what is in a `.keras` file.

    Raises:
        UsageError: It is none, or unfolds to more than a network needs.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = archive.infolist()
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError, EOFError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{path} is no .keras file, or is damaged: {why}.{_looks_like(path)}") from None
    names = [each.filename for each in found]
    missing = [name for name in ("config.json", "metadata.json", "model.weights.h5") if name not in names]
    if missing:
        raise UsageError(f"{path} is no .keras file: it has no {', '.join(missing)}.")
    if any(each.flag_bits & 1 for each in found):
        raise UsageError(f"{path} is encrypted; Keras opens plain files only.")
    unfolded = sum(each.file_size for each in found)
    long = [each for each in found if each.filename.endswith(".json") and each.file_size > TEXT]
    if long or unfolded > max(UNFOLDS * path.stat().st_size, TEXT):
        name, size = (long[0].filename, long[0].file_size) if long else ("the whole", unfolded)
        raise UsageError(f"{path} was not opened: {name} would unfold to {size:,} bytes, which no network needs.")
    return names


def _looks_like(path: Path) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError:
        return ""
    if start == b"\x89HDF\r\n\x1a\n":
        return "\nIt is HDF5, Keras' older format: keras.models.load_model(OLD.h5).save(NEW.keras) writes the newer."
    return "\nIt is empty." if not start else ""


def load_keras(path: Path) -> keras_.Model:
    """A Keras model from its file; nothing in the file is run that Keras holds for unsafe.

    Raises:
        UsageError: It cannot be opened; Keras' reason is told.
    """
    members(path)
    import_keras()
    import keras

    import kerazoo.layers  # noqa: F401  Registers the layers of ours that a file may name.

    try:
        return keras.models.load_model(path, compile=False)
    except KerazooError:
        raise
    except Exception as error:  # Keras raises whatever its readers of JSON, HDF5 and zip raise.
        said = str(error)
        if "safe_mode" in said or "Lambda" in said and "unsafe" in said:
            raise UsageError(
                f"{path} holds Python code (a Lambda layer), which is never run from a file: it could do anything.\n"
                "Write it as a layer or with keras.ops; or load the file yourself with safe_mode=False and give the\n"
                "model to kerazoo.load(model, ...)."
            ) from None
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        why = (lines[0] if lines else type(error).__name__)[:300]
        own = "\nA class of your own must be registered in this process, and runs on engine='keras' alone."
        hint = own if "Could not locate" in why else ""
        raise UsageError(f"{path} cannot be opened as a Keras model: {why}{hint}") from None


@dataclass(frozen=True)
class SavedModelFolder:
    """A SavedModel that was made elsewhere, with a card that says what it does."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def stem(self) -> str:
        # Versions are numbers; the model's name is what holds them.
        return plain_stem(self.path.parent if self.path.name.isdigit() else self.path)

    @property
    def cached(self) -> str:
        return f"{self.stem}:own"

    def identity(self) -> list[Any]:
        self.card()
        return [file_sha256(self.path / card_.FOLDER / seal.MANIFEST)]

    def fetch(self) -> None:
        pass

    def card(self) -> Card:
        """Its card.

        Raises:
            UsageError: It has none, or it cannot be read.
            WeightsDamaged: A file of the folder is not what was sealed.
        """
        card = card_.of_folder(self.path)
        seal.check_folder(self.path, card_.FOLDER)
        return card

    def build(self) -> Built:
        from kerazoo.engines.savedmodel import open_saved_model

        card = self.card()
        if card.adapter is None:
            raise UsageError(
                f"{self.path} is an export already; it is served and asked as it is.\n"
                "To export another format, export the model that it was made from."
            )
        loaded: Any = open_saved_model(self.path)
        return Built(card.model, loaded, card.tasks, card.normalise, None, card.config, card.adapter)


def plain_stem(path: Path) -> str:
    """The name of a file without its suffix, as a name that folders, servers and cards can have."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", path.stem).strip("._-") or "model"
