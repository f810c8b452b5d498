"""What people look at: Matplotlib figures of what was measured."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerazoo.packages import needed
from kerazoo.printable import printable
from kerazoo.sources.files import Sample, item_of
from kerazoo.sources.pictures import opened

CURVES = 100
"""Most classes of which curves are kept."""

NAMED = 30
"""Most classes of a matrix."""

DRAWN = 10
"""Most curves in one picture; where there are more, those that lie lowest."""

COLOURS = np.array(
    [[230, 75, 53], [77, 187, 213], [0, 160, 135], [60, 84, 136], [243, 155, 127], [132, 145, 180], [145, 209, 194],
     [220, 0, 0], [126, 97, 72], [176, 156, 133]],
    np.float64,
)  # fmt: skip
"""Of classes in masks, again from the beginning where there are more."""


def _figure(width: float, height: float) -> Any:
    # Not pyplot: it keeps figures, and looks for a screen.
    return needed("matplotlib.figure").Figure(figsize=(width, height), layout="constrained")


def _short(label: str, width: int = 22) -> str:
    # A dollar sign would begin a formula.
    return textwrap.shorten(printable(label), width, placeholder="…").replace("$", r"\$")


def confusion(matrix: np.ndarray, labels: Sequence[str]) -> Any:
    """Shares of each true class, a row, that were taken for each; of many classes those mixed up most."""
    totals, rows, title = matrix.sum(1), np.arange(len(labels)), "Confusion matrix"
    if len(labels) > NAMED:
        rows = _mixed_up(matrix)
        title = f"The {len(rows)} of {len(labels)} classes that are most often mixed up"
    names = [_short(labels[int(row)]) for row in rows]
    matrix, totals = matrix[np.ix_(rows, rows)], totals[rows]
    shares = 100 * matrix / np.maximum(totals, 1)[:, None]
    side = max(4.5, 0.42 * len(rows) + 2)
    figure = _figure(side + 1, side)
    axes = figure.subplots()
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100, interpolation="nearest")
    axes.set_xticks(range(len(rows)), names, rotation=90 if max(map(len, names)) > 3 else 0)
    axes.set_yticks(range(len(rows)), names)
    counted = matrix.max() < 100_000
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            colour = "white" if shares[row, column] > 55 else "black"
            text = f"{count}" if counted else f"{shares[row, column]:.1f} %"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8 if len(rows) <= 15 else 6)
    axes.set(xlabel="guessed", ylabel="true", title=title)
    figure.colorbar(shown, ax=axes, shrink=0.8, label="% of the true class")
    return figure


def _mixed_up(matrix: np.ndarray) -> np.ndarray:
    """Numbers of at most `NAMED` classes, those of the most frequent mistakes, ascending."""
    wrong = matrix * (1 - np.eye(len(matrix), dtype=matrix.dtype))
    chosen: dict[int, None] = {}
    for pair in np.argsort(-wrong, axis=None, kind="stable"):
        classes = divmod(int(pair), len(matrix))
        if not wrong[classes] or len(chosen.keys() | set(classes)) > NAMED:
            break
        chosen |= dict.fromkeys(classes)
    return np.array(sorted(chosen or range(NAMED)))


def reliability(confidence: np.ndarray, accuracy: np.ndarray, counts: np.ndarray, error: float) -> Any:
    """Accuracy over confidence: on the diagonal where probabilities mean what they say."""
    figure = _figure(5.2, 5.6)
    above, below = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    bins = len(counts)
    centres = (np.arange(bins) + 0.5) / bins
    full = counts > 0
    above.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
    above.bar(centres[full], accuracy[full], width=0.95 / bins, color="#4dbbd5", label="accuracy")
    above.plot(confidence[full], accuracy[full], "o", color="#3c5488", markersize=4, label="mean confidence of the bin")
    above.set(ylabel="accuracy", ylim=(0, 1), xlim=(0, 1), title=f"Reliability: ECE {error:.2f} %")
    above.legend(framealpha=0.9, loc="upper left")
    below.bar(centres, counts, width=0.95 / bins, color="#8491b4")
    below.set(xlabel="confidence", ylabel="samples")
    if counts.max() > 20 * max(np.median(counts), 1):
        below.set_yscale("log")
    return figure


def precision_recall(curves: Mapping[str, tuple[Any, Any, float]]) -> Any:
    """Precision over recall of each class; of many, those with the least area below."""
    lowest = sorted(curves.items(), key=lambda pair: pair[1][2])[:DRAWN]
    figure = _figure(7.4, 4.8)
    axes = figure.subplots()
    for label, (recall, precision, area) in lowest:
        axes.step([0, *recall], [precision[0], *precision], where="pre", label=f"{_short(label)}  {100 * area:.2f} %")
    # Good curves lie in the corner, which is then drawn large: five times as much as lies beyond the equal point.
    equal = min(float(np.max(np.minimum(recall, precision))) for _, (recall, precision, _) in lowest)
    start = 1 - 5 * max(1 - equal, 0.01) if equal > 0.9 else 0.0
    worst = f", the {DRAWN} lowest of {len(curves)}" if len(curves) > DRAWN else ""
    bounds = (start, 1 + 0.02 * (1 - start))
    axes.set(xlabel="recall", ylabel="precision", xlim=bounds, ylim=bounds)
    axes.set_title(f"Precision and recall{worst}")
    axes.grid(alpha=0.3)
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside right upper", frameon=False, title="average precision"
    )
    return figure


def contact_sheet(shown: Sequence[tuple[Sample, str]], title: str) -> Any:
    """Pictures with a line below each."""
    wide = min(6, len(shown))
    tall = -(-len(shown) // wide)
    figure = _figure(2.1 * max(wide, 2), 2.4 * tall + 0.4)
    figure.suptitle(title)
    cells = figure.subplots(tall, wide, squeeze=False).reshape(-1)
    for axes in cells:
        axes.axis("off")
    for axes, (sample, line) in zip(cells, shown, strict=False):
        pixels = np.asarray(opened(sample))
        axes.imshow(pixels, cmap="gray" if pixels.ndim == 2 else None, vmin=0, vmax=255, interpolation="nearest")
        text = printable(line).replace("$", r"\$")
        axes.set_title("\n".join(textwrap.wrap(text, 26)[:3]), fontsize=8)
    return figure


def sentences(shown: Sequence[tuple[Sample, str]], title: str) -> Any:
    """Lines of text, each with what is said of it."""
    figure = _figure(9, 0.5 * len(shown) + 0.8)
    axes = figure.subplots()
    axes.axis("off")
    axes.set(xlim=(0, 1), ylim=(len(shown), 0), title=title)
    for row, (sample, line) in enumerate(shown):
        axes.text(0, row + 0.3, _short(str(item_of(sample)), 110), fontsize=9, va="center")
        axes.text(0.02, row + 0.7, _short(line, 110), fontsize=8, va="center", color="#dc0000")
    return figure


def overlaid(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A picture uint8 [h, w] or [h, w, 3] under the colours of its classes [h, w]; uint8 [h, w, 3]."""
    colour = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=-1)
    return np.rint(0.55 * colour + 0.45 * COLOURS[mask % len(COLOURS)]).astype(np.uint8)


def masks(rows: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]], labels: Sequence[str], void: int) -> Any:
    """Title, picture, true and guessed mask a row: picture, truth, guess, and where they differ."""
    figure = _figure(11, 2.9 * len(rows) + 0.7)
    cells = figure.subplots(len(rows), 4, squeeze=False)
    present: set[int] = set()
    for line, (title, picture, truth, guess) in zip(cells, rows, strict=True):
        wrong = (truth != guess) & (truth != void)
        known = np.where(truth == void, 0, truth)
        present |= set(np.unique(known).tolist()) | set(np.unique(guess).tolist())
        over = overlaid(picture, known)
        over[truth == void] = picture[truth == void] if picture.ndim == 3 else picture[truth == void][:, None]
        dimmed = 0.35 * (picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=-1))
        dimmed[wrong] = (255, 60, 40)
        four = (picture, over, overlaid(picture, guess), dimmed.astype(np.uint8))
        names = (
            _short(title, 30),
            "truth",
            "guess",
            f"wrong: {100 * wrong.sum() / max((truth != void).sum(), 1):.1f} %",
        )
        for axes, pixels, name in zip(line, four, names, strict=True):
            axes.imshow(pixels, cmap="gray" if pixels.ndim == 2 else None, vmin=0, vmax=255)
            axes.set_title(name, fontsize=9)
            axes.axis("off")
    patch = needed("matplotlib.patches").Patch
    legend = [patch(color=COLOURS[n % len(COLOURS)] / 255, label=_short(labels[n])) for n in sorted(present)]
    figure.legend(handles=legend, loc="outside lower center", ncols=min(len(legend), 8), frameon=False)
    return figure


def boxes(rows: Sequence[tuple[str, np.ndarray, Any, Any]], labels: Sequence[str]) -> Any:
    """A picture with what there is, and with what was found, a row; what has no partner in the other is dashed.

    Args:
        rows: Title, picture, and twice a pair: what has `boxes` [n, 4] (top, left, bottom, right), `labels` and, of
            what was found, `scores`; and bool [n], which have no partner.
        labels: Of the classes.
    """
    figure = _figure(11, 4.2 * len(rows) + 0.7)
    cells = figure.subplots(len(rows), 2, squeeze=False)
    rectangle = needed("matplotlib.patches").Rectangle
    present: set[int] = set()
    for line, (title, picture, truth, guess) in zip(cells, rows, strict=True):
        for axes, (found, alone), name in zip(line, (truth, guess), (_short(title, 40), "found"), strict=True):
            axes.imshow(picture, cmap="gray" if picture.ndim == 2 else None, vmin=0, vmax=255)
            for number, ((top, left, bottom, right), kind) in enumerate(zip(found.boxes, found.labels, strict=True)):
                present.add(int(kind))
                style = {"edgecolor": COLOURS[kind % len(COLOURS)] / 255, "linestyle": "--" if alone[number] else "-"}
                axes.add_patch(rectangle((left, top), right - left, bottom - top, fill=False, linewidth=1.5, **style))
                if hasattr(found, "scores"):
                    axes.text(left, top, f"{found.scores[number]:.2f}", fontsize=6, va="bottom")
            what = "not found" if name != "found" else "not there"
            axes.set_title(f"{name}: {int(alone.sum())} of {len(alone)} {what}", fontsize=9)
            axes.axis("off")
    patch = needed("matplotlib.patches").Patch
    legend = [patch(color=COLOURS[n % len(COLOURS)] / 255, label=_short(labels[n])) for n in sorted(present)]
    figure.legend(handles=legend, loc="outside lower center", ncols=min(len(legend), 8) or 1, frameon=False)
    return figure


def side_by_side(rows: Sequence[Sequence[tuple[str, np.ndarray]]], title: str) -> Any:
    """Rows of pictures of one kind, with a line above each."""
    wide = max(map(len, rows))
    side = 3.2 if wide < 5 else 1.7
    figure = _figure(side * wide, (side + 0.1) * len(rows) + 0.4)
    figure.suptitle(title)
    cells = figure.subplots(len(rows), wide, squeeze=False)
    for line, row in zip(cells, rows, strict=True):
        for axes in line:
            axes.axis("off")
        for axes, (name, pixels) in zip(line, row, strict=False):
            axes.imshow(pixels, cmap="gray" if pixels.ndim == 2 else None, vmin=0, vmax=255, interpolation="nearest")
            axes.set_title(_short(name, 40), fontsize=9)
    return figure


def bars(values: Mapping[str, float], unit: str, title: str) -> Any:
    """One bar a name."""
    figure = _figure(7, 0.32 * len(values) + 1.4)
    axes = figure.subplots()
    names = [_short(name, 30) for name in values]
    drawn = axes.barh(range(len(names)), list(values.values()), color="#4dbbd5")
    axes.set_yticks(range(len(names)), names)
    axes.bar_label(drawn, fmt="%.2f", padding=2, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set(xlabel=unit, title=title)
    return figure


def scatter(x: np.ndarray, y: np.ndarray, names: tuple[str, str], title: str) -> Any:
    """One dot a pair."""
    figure = _figure(5.4, 5)
    axes = figure.subplots()
    axes.plot(x, y, ".", alpha=0.4, markersize=4)
    axes.set(xlabel=names[0], ylabel=names[1], title=title)
    axes.grid(alpha=0.3)
    return figure
