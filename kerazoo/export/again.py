"""An artefact as it lies there: whole or not, and whether it still answers as it did when it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kerazoo import formats, seal
from kerazoo.engines import card as card_
from kerazoo.engines import open_network
from kerazoo.engines.card import FOLDER, Card
from kerazoo.errors import GateError, UsageError
from kerazoo.export import golden as golden_
from kerazoo.export import run, verify
from kerazoo.formats import Format


@dataclass(frozen=True)
class Verified:
    """What an artefact is, and how far its answers lie from those it was made with."""

    model: str
    format: str
    precision: str
    tasks: tuple[str, ...]
    differences: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def verified(path: Path) -> Verified:
    """Looks at an artefact: its bytes first, before any of them is run.

    Args:
        path: An .onnx file or folder of parts, a .tflite file, a bundle, or a `.keras` file with a card.

    Raises:
        UsageError: There is none, it is of another tool and has no card, or no golden to be asked.
        WeightsDamaged: Its bytes are not those that were written.
        GateError: It answers otherwise.
    """
    if not path.exists():
        raise UsageError(f"No such file: {path}")
    form = next((each for each in formats.NETWORKS if path.suffix == each.suffix), None)
    if form is None and (path / "saved_model.pb").is_file():
        form = formats.SAVED_MODEL
    if form is None:
        return _keras(path)
    if form.whole:
        card = card_.of_folder(path)
        seal.check_folder(path, FOLDER)
        differences = _run(path) if card.adapter is None else _asked(path, form, form)
        _engines(path)
        return Verified(card.model, form.name, card.precision, tuple(card.tasks), differences)
    for file in sorted(path.glob(f"*{form.suffix}")) if path.is_dir() else (path,):
        _whole(file, form)
    _, card = open_network(form.engine, path)
    exact = formats.find(form.word, card.precision)
    return Verified(card.model, exact.name, card.precision, tuple(card.tasks), _asked(path, form, exact))


def _whole(file: Path, form: Format) -> None:
    """Damage is told from a stranger's file by the seal that strangers do not have; both are told before it is run."""
    if not seal.is_sealed(file):
        open_network(form.engine, file)  # Which says that it is no model, or has no card.
    seal.check_file(file)


def _asked(path: Path, form: Format, exact: Format) -> dict[str, float]:
    network, card = open_network(form.engine, path)
    if card.part is not None and len(card.parts) > 1:
        return {}  # A part answers no request: its bytes are all that can be held against anything.
    return _answers(card, network, exact, path.name)


def _answers(card: Card, network: Any, form: Format, what: str) -> dict[str, float]:
    if not card.goldens:
        raise UsageError(f"{what} is whole, but its card holds no golden that could be asked.")
    differences: dict[str, float] = {}
    for index, (name, task) in enumerate(card.tasks.items()):
        plain = card.goldens.get(name)
        if plain is None:
            raise GateError(f"{what}: its card has no golden of the task {name}.")
        golden = golden_.from_card(plain)
        answer = verify.answering(task, network, form, name if index else None)
        found = verify.check_answer(task, golden, answer, form, what)
        differences |= {key: max(value, differences.get(key, 0.0)) for key, value in found.items()}
    return differences


def _run(path: Path) -> dict[str, float]:
    """A bundle in a fresh process, as a server's is: TensorFlow stays out of this one."""
    import json

    return json.loads(run("kerazoo.export.again", str(path)))


def main(path: str) -> dict[str, float]:
    """Asks a bundle in this process."""
    network, card = open_network(formats.SAVED_MODEL.engine, Path(path))
    return _answers(card, network, formats.SAVED_MODEL, Path(path).name)


def _engines(path: Path) -> None:
    """The engines' files within a bundle."""
    for form in formats.ROWS.values():
        inside = path / FOLDER / form.file
        if not form.whole and inside.exists():
            _asked(inside, form, form)


def _keras(path: Path) -> Verified:
    from kerazoo.own.files import SUFFIXES, KerasFile

    if path.suffix != SUFFIXES[0]:
        ends = ", ".join(each.suffix for each in formats.NETWORKS)
        raise UsageError(f"{path} is no artefact: verify takes {ends} and {SUFFIXES[0]} files, and bundles.")
    found = KerasFile(path, lambda line: None)
    card = found.card()
    if card is None:
        raise card_.missing(path)
    from kerazoo import loading

    predictor = loading.load(path, engine="keras")
    golden = golden_.from_card(card.goldens[next(iter(card.tasks))]) if card.goldens else None
    if golden is None:
        raise UsageError(f"{path} is whole, but its card holds no golden that could be asked.")
    differences = verify.check_answer(predictor.task, golden, predictor.answer, formats.SAVED_MODEL, path.name)
    return Verified(card.model, "keras", card.precision, tuple(card.tasks), differences)
