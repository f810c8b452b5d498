"""A bundle: a version folder with a card, on the fastest engine that was verified for it."""

from __future__ import annotations

import contextlib
import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from kerazoo import seal, tasks
from kerazoo.contract import Network, Port, Task
from kerazoo.engines import open_network
from kerazoo.engines.card import FOLDER, Card, of_folder
from kerazoo.errors import GateError, KerazooError
from kerazoo.export import golden as golden_
from kerazoo.export import verify
from kerazoo.formats import FLOAT, PRECISIONS, ROWS, SAVED_MODEL, Format
from kerazoo.serve import budget
from kerazoo.serve.models import savedmodel, signatures, warmup
from kerazoo.serve.models.adaptive import MOST, Joiner, Size
from kerazoo.serve.models.cores import Cores, Crew, crew
from kerazoo.serve.models.servable import Servable
from kerazoo.serve.models.session import DEFAULTS, SessionOptions
from kerazoo.serve.models.session import load as load_session
from kerazoo.serve.wire import status as status_
from kerazoo.serve.wire.status import Status, invalid

EXTRA = FOLDER
CARD = EXTRA / "card.json"

TIMES = "engines.json"
"""In a bundle, beside the engines' files: format -> milliseconds, as measured when it was prepared."""

LONGEST_TIMES = 1 << 16
"""Bytes of the longest file of times that is read."""


def is_bundle(folder: Path) -> bool:
    return (folder / CARD).is_file()


def load(
    folder: Path,
    engine: str = "auto",
    options: SessionOptions = DEFAULTS,
    seen: Callable[[int], object] = lambda rows: None,
    cores: Cores | None = None,
    exact_pixels: bool = False,
    precision: str = "auto",
) -> Servable:
    """Opens a bundle, whole as it was sealed, and asks it the golden of each of its tasks.

    Args:
        engine: `auto` is the fastest one measured; or one of those of `kerazoo.formats`.
        seen: Is told the rows of every batch that runs.
        cores: Those of the server; all of the machine where none are given.
        exact_pixels: Whether large pictures are decoded whole, whatever the card says.
        precision: `auto` stays in floats where there are any; or one of `kerazoo.formats.PRECISIONS`.

    Raises:
        Status: It is damaged, cannot be opened, lacks the engine or a golden, or answers a golden wrongly.
    """
    form = _chosen(folder, engine, precision)
    try:
        seal.check_folder(folder, FOLDER, functools.partial(_used, form))
        card = of_folder(folder)
        if exact_pixels:
            card = replace(card, tasks={name: tasks.exactly(task) for name, task in card.tasks.items()})
        described = _signatures(folder, card, options)
        # A SavedModel that was made elsewhere is a network like the others: its answer is not baked in.
        if form.whole and card.adapter is None:
            session = load_session(folder, options)
            servable = Servable(described, session.run, session.close, form.engine, card)
        else:
            opened = crew(form, folder if form.whole else folder / EXTRA / form.file, cores or Cores())
            running = _OnEngine(card, opened, seen, 1 if form.row_by_row else MOST)
            servable = Servable(described, running.run, running.close, _called(form), card)
    except KerazooError as error:
        raise status_.of(error) from error
    try:
        # What is less precise than floats answers as it did when it was made, not as the bundle does.
        asked = card if form.precision == FLOAT else open_network(form.engine, folder / EXTRA / form.file, 1)[1]
        _check_goldens(servable, asked, form, folder)
    except BaseException as error:
        servable.close()
        raise status_.of(error) from error if isinstance(error, KerazooError) else error
    return servable


def _signatures(folder: Path, card: Card, options: SessionOptions) -> dict[str, object]:
    """The SavedModel's own, where there is one that was made for this card."""
    if (folder / savedmodel.FILE).exists() and card.adapter is None:
        return savedmodel.signatures(folder, options.tags)
    return signatures.of_card(card)


def _used(form: Format, name: str) -> bool:
    """Whether a file of a sealed bundle matters where this format runs: the times are a hint, which may be odd."""
    place = Path(name)
    if place.is_relative_to(EXTRA):
        inside = place.relative_to(EXTRA).parts[0]
        return inside == form.file or inside not in {TIMES, *(each.file for each in ROWS.values())}
    return form.whole or place in (Path(savedmodel.FILE), warmup.FILE)


def _check_goldens(servable: Servable, card: Card, form: Format, folder: Path) -> None:
    for signature, name in signatures.of_tasks(card).items():
        task, plain = card.tasks[name], card.goldens.get(name)
        if plain is None:
            raise GateError(f"{folder}: its card has no golden of the task {name}, by which it could be checked.")
        try:
            golden = golden_.from_card(plain)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise GateError(f"{folder}: the card's golden of the task {name} cannot be read: {error}") from None
        outputs = [port.name for port in task.response]

        def answer(request: Mapping[str, np.ndarray], key: str = signature, wanted: Sequence[str] = outputs) -> object:
            return servable.run(key, {name: np.asarray(value) for name, value in request.items()}, wanted)

        verify.check_answer(task, golden, answer, form, str(folder))  # type: ignore[arg-type]


def _chosen(folder: Path, engine: str, precision: str = "auto") -> Format:
    if precision not in ("auto", *PRECISIONS):
        raise Status("INVALID_ARGUMENT", f"Unknown precision {precision!r}; known are auto, {', '.join(PRECISIONS)}.")
    there = [form for form in ROWS.values() if not form.whole and (folder / EXTRA / form.file).exists()]
    whole = [SAVED_MODEL] * (folder / savedmodel.FILE).exists()
    floats = [form for form in (*there, *whole) if form.precision == FLOAT]
    found = (floats or there) if precision == "auto" else [f for f in (*there, *whole) if f.precision == precision]
    if engine == "auto":
        times = _times(folder)
        # What was not measured comes last, and a SavedModel after the others.
        found.sort(key=lambda form: (form.whole, times.get(form.name, math.inf)))
        if found:
            return found[0]
        if precision == "auto":
            return SAVED_MODEL  # Whose loader says what is missing.
    for form in found:
        if form.engine == engine:
            return form
    known = ", ".join(_called(form) for form in (*there, *whole)) or "none"
    wanted = precision if engine == "auto" else engine if precision == "auto" else f"{engine} in {precision}"
    raise Status("FAILED_PRECONDITION", f"{folder} has no {wanted}; it has {known}.")


def _called(form: Format) -> str:
    """What metrics and pages call it: its engine, with the precision where that is not of floats."""
    return form.engine if form.precision == FLOAT else f"{form.engine}-{form.precision}"


def _times(folder: Path) -> dict[str, float]:
    """Milliseconds by format, as far as they can be read: a bundle is as good without."""
    file = folder / EXTRA / TIMES
    try:
        if file.stat().st_size > LONGEST_TIMES:
            return {}
        return {name: float(spent) for name, spent in json.loads(file.read_bytes()).items() if float(spent) >= 0}
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}


@dataclass
class _OnEngine:
    card: Card
    crew: Crew | None
    seen: Callable[[int], object]
    most: int
    tasks: dict[str, Task] = field(init=False)
    joins: dict[str, Joiner] = field(init=False)

    def __post_init__(self) -> None:
        self.tasks = signatures.answered(self.card)
        self.joins = {
            key: Joiner(functools.partial(self._answer, task), self.crew.cores.count, self.seen, Size(self.most))
            for key, task in self.tasks.items()
            if task.batched and self.crew is not None
        }

    def _answer(self, task: Task, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with self._hired() as network:
            return {name: np.asarray(value) for name, value in task.answer(network, inputs).items()}

    def _hired(self) -> contextlib.AbstractContextManager[Network]:
        if self.crew is None:
            raise Status("UNAVAILABLE", "The version is being unloaded.")
        return self.crew.hired()

    def run(self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> dict[str, np.ndarray]:
        for index, port in enumerate(self._ports(signature)):
            _check(index, port, inputs[port.name])
        try:
            ask = self._request if signature in self.tasks else self._network
            answered = ask(signature, inputs)
        except KerazooError as error:
            raise status_.of(error) from None
        return {name: answered[name] for name in outputs}

    def _request(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Many rows are answered a piece at a time: others have their turn in between, and memory is bounded."""
        join = self.joins.get(signature)
        if join is None:
            return self._answer(self.tasks[signature], inputs)
        rows, most = len(next(iter(inputs.values()))), budget.limits().rows
        if rows > most:
            raise Status("RESOURCE_EXHAUSTED", f"The request has {rows} rows; at most {most} go.")
        found = []
        for at in range(0, max(rows, 1), MOST):
            budget.check()
            found.append(join({name: array[at : at + MOST] for name, array in inputs.items()}))
        return found[0] if len(found) == 1 else {name: np.concatenate([f[name] for f in found]) for name in found[0]}

    def _network(self, part: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with self._hired() as network:
            return {name: np.asarray(value) for name, value in network.part(part)(inputs).items()}

    def _ports(self, signature: str) -> tuple[Port, ...]:
        if signature in self.tasks:
            return self.tasks[signature].request
        if signature not in self.card.parts:
            raise Status("UNIMPLEMENTED", f"{signature} runs on the engine {SAVED_MODEL.engine} only.")
        return self.card.parts[signature].inputs

    def close(self) -> None:
        self.crew = None
        for join in self.joins.values():
            join.close()


_KINDS = {"float32": "float", "float64": "double"}


def _check(index: int, port: Port, array: np.ndarray) -> None:
    """What TensorFlow's graph would refuse, in its words where it has any."""
    given = "string" if array.dtype.kind == "O" else _KINDS.get(array.dtype.name, array.dtype.name)
    expected = _KINDS.get(port.dtype, port.dtype)
    if given != expected:
        raise invalid(f"Expects arg[{index}] to be {expected} but {given} is provided")
    fits = array.ndim == len(port.shape) and all(
        want in (None, have) for want, have in zip(port.shape, array.shape, strict=True)
    )
    if not fits:
        shape = ",".join("?" if size is None else str(size) for size in port.shape)
        raise invalid(f"{port.name} must be shaped [{shape}], not [{','.join(map(str, array.shape))}]")
