"""What people look at afterwards: the table and the curves of a training."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerazoo.train.state import full_disk, replacing

if TYPE_CHECKING:
    from kerazoo.train.find_rate import Found

LOG, CURVES, EVENTS, RATES = "log.csv", "curves.png", "tensorboard", "rates"


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
    _draw(figure, folder / CURVES)
    return True


def _draw(figure: Any, path: Path) -> None:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120)
    with replacing(path) as file:
        file.write(out.getvalue())


def rates(folder: Path, found: Found, title: str) -> None:
    """Writes the range test as `rates.csv` and, where matplotlib is installed, as `rates.png`."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["rate", "loss", "smoothed"])
    table.writerows(
        [f"{value:.6g}" for value in row] for row in zip(found.rates, found.losses, found.smoothed, strict=True)
    )
    with replacing(folder / f"{RATES}.csv") as file:
        file.write(out.getvalue().encode())
    if importlib.util.find_spec("matplotlib") is None:
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(found.rates, found.losses, alpha=0.3, label="loss of a batch")
    axes.plot(found.rates, found.smoothed, label="smoothed")
    axes.axvline(found.suggested, color="green", label=f"suggested {found.suggested:.2g}")
    axes.axvline(found.highest, color="red", label=f"least loss {found.highest:.2g}")
    axes.set(title=title, xlabel="learning rate", ylabel="loss", xscale="log")
    # The loss beyond the highest rate that works would hide the rest.
    low, high = min(found.losses), max(found.losses[0], found.smoothed[0])
    axes.set_ylim(low - 0.1 * (high - low), high + 0.5 * (high - low))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    _draw(figure, folder / f"{RATES}.png")


@contextlib.contextmanager
def events(
    folder: Path, wanted: bool, history: Sequence[Mapping[str, float]]
) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    """What writes the figures of an epoch as TensorBoard's event files, in `tensorboard/training` and `.../held_out`.

    Args:
        wanted: Whether anything is written at all.
        history: Figures of the epochs that are done; written first where there are no event files yet.
    """
    if not wanted:
        yield lambda epoch, row: None
        return
    import tensorflow as tf

    # What `tf.summary.scalar` writes where TensorBoard is installed; to write it, nobody needs to have it.
    scalar = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"}, data_class=1)
    writers: dict[str, Any] = {}

    def write(epoch: int, row: Mapping[str, float]) -> None:
        with full_disk(folder / EVENTS):
            for name, value in row.items():
                part = "held_out" if name.startswith("val_") else "training"
                if part not in writers:
                    writers[part] = tf.summary.create_file_writer(str(folder / EVENTS / part))
                with writers[part].as_default():
                    tf.summary.write(name.removeprefix("val_"), np.float32(value), step=epoch, metadata=scalar)
            for writer in writers.values():
                writer.flush()

    try:
        if not (folder / EVENTS).exists():
            for epoch, row in enumerate(history, start=1):
                write(epoch, row)
        yield write
    finally:
        for writer in writers.values():
            writer.close()
