"""What people look at afterwards: the table and the curves of a training."""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from kerazoo.train.state import replacing

LOG, CURVES = "log.csv", "curves.png"


def log(folder: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Writes `log.csv`, one row an epoch; a figure that was not measured in an epoch is empty there."""
    names = list(dict.fromkeys(name for row in history for name in row if name != "seconds"))
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["epoch", *names, "seconds"])
    for number, row in enumerate(history, start=1):
        values = [f"{row[name]:.6g}" if name in row else "" for name in names]
        table.writerow([number, *values, f"{row['seconds']:.1f}"])
    with replacing(folder / LOG) as file:
        file.write(out.getvalue().encode())


def curves(folder: Path, history: Sequence[Mapping[str, float]], title: str) -> bool:
    """Draws `curves.png`, a panel a figure with its `val_` beside it; nothing where matplotlib is not installed."""
    if not history or importlib.util.find_spec("matplotlib") is None:
        return False
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name.removeprefix("val_") for row in history for name in row if name != "seconds"))
    figure = Figure(figsize=(5 * len(names), 3.6), layout="constrained")
    figure.suptitle(title)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for key, label in ((name, "training"), (f"val_{name}", "held out")):
            points = [(number, row[key]) for number, row in enumerate(history, start=1) if key in row]
            if points:
                axes.plot(*zip(*points, strict=True), marker="." if len(points) < 40 else "", label=label)
        axes.set(xlabel="epoch", ylabel=name)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120)
    with replacing(folder / CURVES) as file:
        file.write(out.getvalue())
    return True
