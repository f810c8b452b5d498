"""One honest table: every engine and precision of a model, measured side by side."""

from __future__ import annotations

import contextlib
import csv
import importlib.metadata
import io
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

OK, SLOWER, SLOW, FAILED = "ok", "slower than fp32 on this CPU", "no fast kernel here", "failed"

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
        head = [
            "format",
            "precision",
            "size",
            "gzip",
            "p50 ms",
            "p95 ms",
            "per s",
            "MiB",
            "agrees",
            "top-1 %",
            "status",
        ]
        body = [[*([short(row.model)] if several else []), *_cells(row)] for row in self.rows]
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


def short(word: str) -> str:
    """A model's name, or the end of a file's."""
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
