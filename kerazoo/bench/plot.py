"""The table as a picture: what is right against how long it takes, and how large it is."""

from __future__ import annotations

import os
from pathlib import Path

from kerazoo import packages
from kerazoo.bench.table import Row, Table, short
from kerazoo.errors import UsageError

LARGEST = 1200.0
"""Area of the largest artefact's disc, in square points."""


def plot(table: Table, path: Path) -> None:
    """Writes a picture of accuracy, or of agreement where that is not known, against latency; areas are sizes.

    Raises:
        PackageMissing: matplotlib is not installed.
        UsageError: The file's name says no format that it knows, or nothing was measured.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise packages.missing(error) from None
    accurate = any(row.accuracy is not None for row in table.rows)
    shown = [(row, value) for row in table.rows if row.p50 and (value := _height(row, accurate)) is not None]
    if not shown:
        raise UsageError("Nothing was measured that could be drawn: no row has both a time and an agreement.")
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    most = max((row.size or 0 for row, _ in shown), default=0) or 1
    models = list(dict.fromkeys(row.model for row, _ in shown))
    for number, (row, value) in enumerate(sorted(shown, key=lambda pair: pair[0].p50 or 0)):
        label = f"{row.format} {row.precision}" if row.format != "keras" else "keras"
        if len(models) > 1:
            label = f"{label}, {short(row.model)}"
        colour = f"C{models.index(row.model) % 10}"
        area = LARGEST * (row.size or 0.01 * most) / most
        axes.scatter(row.p50 or 0, value, area, color=colour, alpha=0.35, linewidths=0)
        axes.scatter(row.p50 or 0, value, 8, color=colour)
        axes.annotate(
            label, (row.p50 or 0, value), (6, -14 if number % 2 else 8), textcoords="offset points", fontsize=8
        )
    axes.set_xscale("log")
    axes.margins(0.18, 0.25)
    axes.set(xlabel="median latency, ms", ylabel="top-1, %" if accurate else f"agreement: {table.measure}")
    axes.set_title("areas are sizes of files", fontsize=9)
    axes.grid(alpha=0.3)
    new = path.with_name(f".{path.name}.new")
    suffix = path.suffix.removeprefix(".") or "png"
    if suffix not in FigureCanvasAgg.get_supported_filetypes():
        raise UsageError(f"{path} cannot be drawn as {suffix}; .png, .svg and .pdf can.")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(new, format=suffix, dpi=120)
    os.replace(new, path)


def _height(row: Row, accurate: bool) -> float | None:
    return row.accuracy if accurate else row.agreement
