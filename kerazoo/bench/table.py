"""One honest table: every engine and precision of a model, measured side by side."""

from __future__ import annotations

import contextlib
import csv
import gzip
import importlib.metadata
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo import engines, formats, own
from kerazoo.bench import items
from kerazoo.contract import Task
from kerazoo.errors import UsageError
from kerazoo.export import agreement

OK, SLOWER, SLOW, FAILED = "ok", "slower than fp32 on this CPU", "no fast kernel here", "failed"

TELLS = 1.05
"""So many times as slow as in floats is slower."""
CRAWLS = 4.0
"""So many times as slow is no kernel of the processor's own."""

PACKAGES = ("kerazoo", "tensorflow", "keras", "onnxruntime", "ai-edge-litert", "numpy")


@dataclass(frozen=True)
class Row:
    """One artefact. What was not measured is `None`.

    Attributes:
        model: What was asked for.
        format: Of `kerazoo.formats`, or `keras`.
        precision: Of its weights and sums.
        size, gzip: Bytes as it lies, and compressed.
        p50, p95: Milliseconds of the network for one request, by the engine's own threads.
        rate: Requests a second with as many threads as there are cores.
        memory: Peak of the process in MiB, opening included.
        agreement: With the first row, in the task's measure.
        accuracy: Top-1 in percent, where classes are known.
        status: `ok`, or what is wrong with it.
        reason: Why it failed.
    """

    model: str
    format: str
    precision: str
    size: int | None = None
    gzip: int | None = None
    p50: float | None = None
    p95: float | None = None
    rate: float | None = None
    memory: float | None = None
    agreement: float | None = None
    accuracy: float | None = None
    status: str = OK
    reason: str | None = None


@dataclass(frozen=True)
class Table:
    """Rows, and where they were measured.

    Attributes:
        rows: In the order in which they were asked for.
        machine: Processor, cores, versions.
        items: How many requests agreement and accuracy are of.
        measure: What agreement is.
    """

    rows: tuple[Row, ...]
    machine: dict[str, Any]
    items: int
    measure: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_csv(self) -> str:
        out = io.StringIO()
        names = list(asdict(self.rows[0]))
        table = csv.DictWriter(out, names, lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(row) for row in self.rows)
        return out.getvalue()

    def lines(self) -> Iterator[str]:
        """For people: aligned columns, and the machine below them."""
        several = len({row.model for row in self.rows}) > 1
        head = ["format", "precision", "size", "gzip", "p50 ms", "p95 ms", "per s", "MiB", "agrees", "top-1 %", "status"]
        body = [[*([_name(row.model)] if several else []), *_cells(row)] for row in self.rows]
        grid = [[*(["model"] if several else []), *head], *body]
        widths = [max(len(line[column]) for line in grid) for column in range(len(grid[0]))]
        left = 2 + several
        for line in grid:
            cells = [
                cell.ljust(width) if column < left or column == len(widths) - 1 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            yield "  ".join(cells).rstrip()
        versions = ", ".join(f"{name} {version}" for name, version in self.machine["versions"].items())
        yield (
            f"{self.machine['cpu']}, {self.machine['cores']} cores, Python {self.machine['python']}; {versions}; "
            f"agreement: {self.measure} of {self.items} items with the first row"
        )


def _name(word: str) -> str:
    return word if ":" in word else "/".join(Path(word).parts[-2:])


def _cells(row: Row) -> list[str]:
    def shown(value: float | None, text: str) -> str:
        return "-" if value is None else text.format(value)

    return [
        row.format, row.precision, _bytes(row.size), _bytes(row.gzip), shown(row.p50, "{:.2f}"),
        shown(row.p95, "{:.2f}"), shown(row.rate, "{:.0f}"), shown(row.memory, "{:.0f}"),
        shown(row.agreement, "{:.3f}"), shown(row.accuracy, "{:.2f}"),
        row.status + (f": {row.reason}" if row.reason else ""),
    ]  # fmt: skip


def _bytes(count: int | None) -> str:
    if count is None:
        return "-"
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


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
        data: For a classifier what `kerazoo.evaluation.labelled` takes; for others a folder of items.
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
                say(f"Opening {_name(each.model)} on {each.engine} ...")
                each.ask(do="open", word=str(each.path or each.model), engine=each.engine, threads=threads)
        say(f"Timing, {rounds} rounds of {runs} ...")
        for _ in range(rounds):
            for each in rows:
                each.ms += each.ask(do="time", runs=runs).get("ms", [])
        for number, each in enumerate(rows):
            each.found |= each.ask(do="rate", seconds=1.0) | each.ask(do="memory")
            say(f"Asking {_name(each.model)} on {each.engine} ...")
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
    for form in chosen:
        made.append(Candidate(word, form))
        if form is None:
            continue
        try:
            made[-1].path = _artefact(found, form, folder / f"{len(list(folder.iterdir()))}", calibrate, say)
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
    items_ = {"calibrate": calibrate or "random"} if form.calibrated else {}
    lowest = {"min_agreement": 0.0} if form.rounded else {}
    (made,) = export(found.name, form.word, folder, precision=form.precision, say=say, **items_, **lowest)
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


def machine() -> dict[str, Any]:
    """Processor, cores and versions."""
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {"cpu": _cpu(), "cores": os.cpu_count() or 1, "python": platform.python_version(), "versions": versions}


def _cpu() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
