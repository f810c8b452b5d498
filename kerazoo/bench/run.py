"""Measures artefacts of every engine and precision, each in a process of its own, turn and turn about."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo import engines, formats, own
from kerazoo.bench import items
from kerazoo.bench.table import FAILED, OK, SLOW, SLOWER, Row, Table, machine, short
from kerazoo.contract import Task
from kerazoo.errors import UsageError
from kerazoo.export import agreement

TELLS = 1.05
"""So many times as slow as in floats is slower."""
CRAWLS = 4.0
"""So many times as slow is no kernel of the processor's own."""


@dataclass
class Candidate:
    """A row that is being made."""

    model: str
    form: formats.Format | None
    path: Path | None = None
    reason: str | None = None
    worker: Any = None
    ms: list[float] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)
    answers: list[dict[str, Any]] = field(default_factory=list)
    truths: list[int] | None = None

    @property
    def name(self) -> str:
        """For people."""
        return f"{short(self.model)} on {self.form.name if self.form is not None else engines.KERAS}"

    @property
    def engine(self) -> str:
        return self.form.engine if self.form is not None else engines.KERAS

    def ask(self, **order: Any) -> dict[str, Any]:
        """Sends an order to its process; a failure becomes its reason."""
        if self.reason is not None:
            return {}
        try:
            self.worker.stdin.write(json.dumps(order) + "\n")
            self.worker.stdin.flush()
            line = self.worker.stdout.readline()
            answer = json.loads(line) if line else {"error": f"its process ended ({self.worker.poll()})"}
        except (OSError, ValueError) as error:
            answer = {"error": str(error)}
        self.reason = answer.get("error")
        return answer


def bench(
    models: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    to: Iterable[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    *,
    calibrate: str | os.PathLike[str] | None = None,
    rounds: int = 5,
    runs: int = 20,
    most: int = 1000,
    threads: int | None = None,
    say: Callable[[str], Any] = lambda line: None,
) -> Table:
    """Measures a model on every engine, each in its own process, turn and turn about.

    Args:
        models: A name, or the path of a file or an artefact; or several, which are compared with the first.
        to: Words of `kerazoo.formats`, names of its rows (`onnx-int8`), and `keras`; `all` for every row; `None` for
            every format in floats.
        data: For a classifier what `kerazoo evaluate` takes; for others a folder of items.
        calibrate: A folder of items for the precisions that are calibrated; made-up ones by default.
        rounds, runs: So many times in turn, so many requests each.
        most: So many items of the data are asked, evenly; 0 for all.
        threads: Within one run, where an engine lets them be chosen.
        say: Is told what is under way.

    Raises:
        UsageError: There is no such model, format or data. What fails later is a row's status.
    """
    words = [os.fspath(models)] if isinstance(models, (str, os.PathLike)) else [os.fspath(each) for each in models]
    asked = None if data is None else str(Path(data).expanduser().absolute())
    if asked is not None and not Path(asked).exists():
        raise UsageError(f"No such file or folder: {asked}")
    if rounds < 1 or runs < 1:
        raise UsageError(f"rounds={rounds} and runs={runs} must be positive numbers.")
    with tempfile.TemporaryDirectory(prefix="kerazoo-bench-") as folder, contextlib.ExitStack() as stack:
        rows = [each for word in words for each in _candidates(word, to, Path(folder), calibrate, say)]
        for each in rows:
            if each.reason is None:
                each.worker = stack.enter_context(_process())
                say(f"Opening {each.name} ...")
                each.ask(do="open", word=str(each.path or each.model), engine=each.engine, threads=threads)
        say(f"Timing, {rounds} rounds of {runs} ...")
        for _ in range(rounds):
            for each in rows:
                each.ms += each.ask(do="time", runs=runs).get("ms", [])
        for number, each in enumerate(rows):
            each.found |= each.ask(do="rate", seconds=1.0) | each.ask(do="memory")
            say(f"Asking {each.name} ...")
            out = Path(folder) / f"{number}.npz"
            told = each.ask(do="answer", data=asked, most=most, out=str(out))
            if out.exists():
                each.answers, each.truths = items.load(out), told.get("truths")
        task = _task_of(rows)
        several = tuple(_row(each, rows, task) for each in rows)
    count = max((len(each.answers) for each in rows), default=0)
    return Table(several, machine(), count, agreement.measure(task).name if task is not None else "agreement")


def _candidates(
    word: str, to: Iterable[str] | None, folder: Path, calibrate: Any, say: Callable[[str], Any]
) -> list[Candidate]:
    path = Path(word).expanduser()
    for form in sorted(formats.ROWS.values(), key=lambda each: -len(each.suffix)):
        whole = form.whole and (path / "saved_model.pb").is_file()
        if whole or form.suffix and path.exists() and path.name.endswith(form.suffix):
            return [Candidate(word, form, path.absolute())]
    wanted = [engines.KERAS, *formats.FORMATS] if to is None else list(to)
    if "all" in wanted:
        wanted = [engines.KERAS, *formats.ROWS]
    chosen = [None if name == engines.KERAS else formats.ROWS.get(name) or formats.find(name) for name in wanted]
    found = own.find(word)
    made = []
    for row in chosen:
        made.append(Candidate(word, row))
        if row is None:
            continue
        try:
            made[-1].path = _artefact(found, row, folder / f"{len(list(folder.iterdir()))}", calibrate, say)
        except Exception as error:  # One format that cannot be had is a row of the table.
            made[-1].reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return made


def _artefact(
    found: own.Subject, form: formats.Format, folder: Path, calibrate: Any, say: Callable[[str], Any]
) -> Path:
    """A format in floats from the cache, another precision made for the purpose, whatever its agreement."""
    from kerazoo.export import export, prepare

    if form.precision == formats.FLOAT:
        return prepare.artefact(found, form, say)
    folder.mkdir()
    say(f"Making {form.name} ...")
    asked: dict[str, Any] = {"calibrate": calibrate or "random"} if form.calibrated else {}
    asked |= {"min_agreement": 0.0} if form.rounded else {}
    (made,) = export(found.name, form.word, folder, precision=form.precision, say=say, **asked)
    return made.path


def _task_of(rows: Iterable[Candidate]) -> Task | None:
    """Of the first that could be opened."""
    from kerazoo import loading

    for each in rows:
        with contextlib.suppress(Exception):
            return loading.load(str(each.path or each.model)).task
    return None


@contextlib.contextmanager
def _process() -> Iterator[Any]:
    process = subprocess.Popen(
        [sys.executable, "-m", "kerazoo.bench.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _row(each: Candidate, rows: list[Candidate], task: Task | None) -> Row:
    precision = each.form.precision if each.form is not None else formats.FLOAT
    name = each.form.word if each.form is not None else engines.KERAS
    size = packed = None
    file = each.path or (Path(each.model) if Path(each.model).is_file() else None)
    if file is not None:
        size, packed = weighed(file)
    if each.reason is not None:
        return Row(each.model, name, precision, size, packed, status=FAILED, reason=each.reason)
    p50 = statistics.median(each.ms)
    floats = [
        statistics.median(other.ms)
        for other in rows
        if other.ms and other.model == each.model and other.engine == each.engine
        and (other.form is None or other.form.precision == formats.FLOAT)
    ]  # fmt: skip
    slower = p50 / floats[0] if precision != formats.FLOAT and floats else 1.0
    status = SLOW if slower > CRAWLS else SLOWER if slower > TELLS else OK
    first = next((other.answers for other in rows if other.answers), [])
    agrees = accuracy = None
    if task is not None and len(first) == len(each.answers) and first:
        pairs = zip(first, each.answers, strict=True)
        agrees = float(np.mean([agreement.of(task, expected, got) for expected, got in pairs]))
    if task is not None and each.truths is not None:
        guesses: list[Any] = [task.read(answer, 0) for answer in each.answers]
        right = [guess.indices[0] == truth for guess, truth in zip(guesses, each.truths, strict=True)]
        accuracy = 100 * float(np.mean(right))
    return Row(
        each.model, name, precision, size, packed, round(p50, 4), round(float(np.percentile(each.ms, 95)), 4),
        round(each.found["rate"], 2), round(each.found["mib"], 1), agrees, accuracy, status,
    )  # fmt: skip


def weighed(path: Path) -> tuple[int, int]:
    """Bytes of a file or folder, and what gzip makes of them."""
    files = [each for each in sorted(path.rglob("*")) if each.is_file()] if path.is_dir() else [path]
    data = [each.read_bytes() for each in files]
    return sum(map(len, data)), sum(len(gzip.compress(each, 6, mtime=0)) for each in data)
