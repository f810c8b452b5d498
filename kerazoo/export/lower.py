"""From a verified artefact in floats to one of less precision, and what there is to tell about either."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerazoo import formats
from kerazoo.engines import open_network
from kerazoo.formats import Format

if TYPE_CHECKING:
    from kerazoo.export import Artefact

RANDOM = "random"
LEARNED, LAYERS = "learned.json", "layers.npz"
"""In the folder of a conversion: ranges by Keras' layers, and what those layers answer to the golden."""


@dataclass(frozen=True)
class How:
    """What a precision is made with.

    Attributes:
        source: Of calibration items: a path, or `RANDOM`.
        wanted: The least agreement; `None` for what the measure says itself.
        learned: Ranges by Keras' layers.
        given: Whether the source was named.
        made_up: Items of `RANDOM`.
    """

    source: str
    wanted: float | None = None
    learned: Mapping[str, tuple[float, float]] | None = None
    given: bool = True
    made_up: int = 16


def lowered(artefact: Artefact, form: Format, folder: Path, how: How, say: Callable[[str], Any]) -> Artefact:
    """The artefact in another precision, held to the one in floats.

    Args:
        artefact: In floats, verified.
        form: Of the precision.
        folder: Of the conversion, with `golden.npz`.

    Raises:
        UsageError: There are too few calibration items.
        GateError: Its answers agree too seldom, or are not Keras'.
    """
    from kerazoo.export import agreement, finish, quantize, verify
    from kerazoo.export import golden as golden_

    network, card = open_network(form.engine, artefact.path)
    goldens = golden_.load(folder / "golden.npz")
    parts = [card.part] if card.part is not None else list(card.parts)
    if form.rounded and how.source == RANDOM:
        note = "calibrated with" if form.calibrated and how.learned is None else "judged by"
        say(f"NOTE: {note} made-up items, which tell little about real ones; --calibrate DIR does better.")
    whole = card.tasks.values() if card.part is None else ()
    also = [task for task in whole if task is not card.task and task.request == card.task.request]
    found = quantize.samples(card.task, network, how.source, say, also, how.made_up)
    wanted = agreement.measure(card.task).enough if how.wanted is None else how.wanted
    place = folder / f"tried-{form.name}"
    place.mkdir()
    calls = [call for golden in goldens.values() for call in golden.calls]
    made, report = quantize.quantise(
        artefact.path, form, card.task, parts, found, wanted if form.rounded else float("-inf"), place,
        lambda line: say(f"  {line}"), _layers(folder, how), calls,
    )  # fmt: skip
    path = folder / form.file
    made.rename(path)
    small = form.engine, path
    # Its own answers are what it is asked for ever after; Keras' lie too far from them.
    opened = quantize.tool(form).network(path, parts, card.task.batched)
    differences = verify.distances(card.tasks, goldens, opened, form, path.name)
    own = {name: golden_.answer(task, opened, goldens[name].request) for name, task in card.tasks.items()}
    finish.FINISHERS[form.engine](
        path,
        dataclasses.replace(
            card, precision=form.precision, differences=differences, quantisation=report.to_json(),
            goldens={name: golden_.to_card(golden) for name, golden in own.items()},
        ),
    )  # fmt: skip
    checked, _ = open_network(*small)
    verify.check(card.tasks, own, checked, form, path.name)
    from kerazoo.export import Artefact as Made

    return Made(form.name, path, differences, report.agreement, report=report.to_json())


def _layers(folder: Path, how: How) -> Any:
    if how.learned is None:
        return None
    with np.load(folder / LAYERS, allow_pickle=False) as held:
        return {name: (bounds, held[name]) for name, bounds in how.learned.items()}


def tell(artefact: Artefact, say: Callable[[str], Any]) -> None:
    """The check list of one artefact, a line each."""
    form = formats.ROWS[artefact.format]
    lines = {"names and shapes": "as the model's ports", "largest difference": _worst(artefact.differences)}
    if artefact.agreement is not None and form.rounded:
        report = artefact.report
        lines["agreement"] = (
            f"{artefact.agreement:.3f} ({report['measure']}) on {report['judged']} items that calibration did not see; "
            f"{report['wanted']:g} wanted"
        )
        for name, cost in report["floats"]:
            lines[f"in floats: {name.split(';')[0][-40:]}"] = f"had cost {cost:.0%} of the outputs' error"
    lines["size"] = f"{size(artefact.path) / 1e6:.2f} MB"
    if artefact.ms is not None:
        lines["time"] = f"{artefact.ms:.2f} ms a run"
    for what, value in lines.items():
        say(f"{artefact.format:16} {what:20} {value}")


def _worst(differences: Mapping[str, float]) -> str:
    if not differences:
        return "none"
    name = max(differences, key=lambda each: differences[each])
    return f"{differences[name]:.2g} ({name}), golden answer asked"


def size(path: Path) -> int:
    """Bytes of a file, or of all in a folder."""
    return (
        sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else path.stat().st_size
    )


def learned_of(folder: Path) -> dict[str, Any]:
    """The names of layers whose ranges were learned, as `export` put them there; empty where there are none."""
    file = folder / LEARNED
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
