"""What each technique of the papers changes, with little data and little time: the table of docs/techniques.md.

    python -m benchmarks.techniques DATA [--only WORD ...] [--seeds 0 1 2]
    python -m benchmarks.techniques --table [--write docs/techniques.md] [--draw docs/images/optimisers.png]

DATA is a folder with mnist.npz and cifar10.npz (x_train, y_train, x_test, y_test, uint8). A row is the settings of one
baseline and what is changed of them, as `kerazoo train --set` takes it, so that each can be run alone. Every row is run
with every seed: first weights, order of the samples, augmentation and dropout are drawn anew. What was measured already
is not measured again, unless its settings are others now. The last epoch counts, not the best.

Baselines: `digits` and `rates`, LeNet-5 on the first 1,000 training digits of MNIST; `skewed`, the same with 10 to 200
digits a class; `deep`, eight dense layers on those 1,000 digits; `pictures` and `tricks`, a ResNet of 8 layers and 8 to
32 filters on the first 1,000 training pictures of CIFAR-10, made half as wide and high. MNIST is judged on the first
5,000 test digits, CIFAR-10 on the first 2,000 test pictures.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from benchmarks import record
from benchmarks.technique_rows import GROUPS, ROWS, Row
from kerazoo.codecs.image import Image, Normalise
from kerazoo.train.settings import Settings

RESULTS = Path(__file__).parent / "results" / "techniques.json"


GREY = Normalise("gray", 1 / 255, (0.1307,), (0.3081,))
RGB = Normalise("rgb", 1.0, (125.3, 123.0, 113.9), (63.0, 62.1, 66.7))


@functools.cache
def _data(name: str, folder: Path) -> tuple[Any, Any, Normalise]:
    """Pictures and labels to learn from, those to judge by, and what is done to pixels."""
    from kerazoo.train.script import fitted

    if name == "pictures":
        with np.load(folder / "cifar10.npz", allow_pickle=False) as data:
            kept = [(data[f"x_{part}"][:count], data[f"y_{part}"][:count].reshape(-1).astype(np.int64))
                    for part, count in (("train", 1000), ("test", 2000))]  # fmt: skip
        image = Image(16, 16)
        (pictures, labels), (held, truth) = kept
        return (fitted(image, pictures), labels), (fitted(image, held), truth), RGB
    with np.load(folder / "mnist.npz", allow_pickle=False) as data:
        pictures, labels = data["x_train"], data["y_train"].astype(np.int64)
        held, truth = data["x_test"][:5000], data["y_test"][:5000].astype(np.int64)
    rows = np.arange(1000)
    if name == "skewed":
        each = [200] * 5 + [10] * 5
        rows = np.sort(np.concatenate([np.flatnonzero(labels == kind)[:count] for kind, count in enumerate(each)]))
    image = Image(28, 28, channels=1) if name == "plain" else Image(32, 32, channels=1)
    return (fitted(image, pictures[rows]), labels[rows]), (fitted(image, held), truth), GREY


def recipe(row: Row, seed: int, folder: Path) -> Any:
    """What `kerazoo train` would run."""
    from kerazoo.train import losses
    from kerazoo.train.data.arrays import Arrays
    from kerazoo.train.jobs.classify import Accuracy
    from kerazoo.train.recipe import Recipe
    from kerazoo.train.start import Network, find, resized
    from kerazoo.train.steps.supervised import Supervised
    from kerazoo.train.techniques import applied, general

    group = GROUPS[row.group]
    settings = replace(group.settings, **row.changes)
    learnt, held, normalise = _data(group.data, folder)
    start = find(group.variant)
    config = resized(start.config, settings.size) if settings.size else start.config
    optimizer, schedule = settings.made()
    made = Recipe(
        name=row.name,
        model=Network(start, replace(config, **group.sizes)),
        data=Arrays(learnt),
        step=Supervised(losses.cross_entropy, metrics={"accuracy": losses.accuracy}, prepare=normalise),
        optimizer=optimizer,
        schedule=schedule,
        augment=settings.augmented,
        measure=Accuracy(*held, normalise, losses.cross_entropy, group.figure == "auc"),
        seed=seed,
        batch=settings.batch,
        epochs=settings.epochs,
    )
    return general(applied(made, settings, learnt[1], 10), settings)


def enlarging(row: Row, seed: int, folder: Path) -> Any:
    """Small digits to large ones: learnt by pixels, or by `kerazoo.train.techniques.perceived`."""
    from kerazoo.train import losses
    from kerazoo.train.data.arrays import Arrays
    from kerazoo.train.recipe import Recipe
    from kerazoo.train.steps.supervised import Supervised
    from kerazoo.train.techniques import perceived

    settings = replace(GROUPS[row.group].settings, **row.changes)
    (large, _), held, _ = _data("digits", folder)
    optimizer, schedule = settings.made()
    made = Recipe(
        name=row.name,
        model=_enlarger,
        data=Arrays((_small(large), large / np.float32(255))),
        step=Supervised(perceived(settings.features) if settings.features else losses.squared),
        optimizer=optimizer,
        schedule=schedule,
        measure=functools.partial(_read_digits, (held[0][:2000], held[1][:2000])),
        seed=seed,
        batch=settings.batch,
        epochs=settings.epochs,
    )
    return made


def _small(pictures: np.ndarray) -> np.ndarray:
    """Means of 4x4 pixels, 0..1: [n, 32, 32, 1] to [n, 8, 8, 1]."""
    return (pictures.reshape(-1, 8, 4, 8, 4, 1).mean(axis=(2, 4)) / 255).astype(np.float32)


def _enlarger() -> Any:
    import keras

    layers = keras.layers
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(32, 3, padding="same", activation="relu", name="first")(inputs)
    x = layers.Conv2D(32, 3, padding="same", activation="relu", name="second")(x)
    return keras.Model(inputs, layers.Conv2DTranspose(1, 4, 4, name="enlarge")(x), name="enlarger")


@functools.cache
def _reader() -> Any:
    from kerazoo import own

    return own.find("mlp:mnist").build()


def _read_digits(held: tuple[np.ndarray, np.ndarray], state: Any) -> dict[str, float]:
    """What another network reads in the enlarged digits, and their peak signal-to-noise ratio."""
    from PIL import Image as Pictures

    made = np.clip(np.asarray(state.model.predict_on_batch(_small(held[0]))), 0, 1)
    error = np.square(made - held[0] / 255).mean()
    shown = np.stack([np.asarray(Pictures.fromarray(np.rint(255 * each[..., 0]).astype(np.uint8)).resize((28, 28)))
                      for each in made])  # fmt: skip
    built = _reader()
    logits = built.keras.predict_on_batch(np.asarray(built.normalise(shown[..., None].astype(np.float32))))
    return {"accuracy": float((logits.argmax(-1) == held[1]).mean()), "psnr": float(-10 * np.log10(error))}


def run(made: Any) -> dict[str, Any]:
    """Trains to the last epoch, without files, and measures."""
    import keras

    from kerazoo.train import state as state_
    from kerazoo.train.run import batches

    keras.backend.clear_session()
    begun = time.monotonic()
    state = state_.begin(made)
    curve = []
    for epoch in range(made.epochs):
        losses = []
        for batch in batches(made, epoch):
            state, figures = made.step(state, batch)
            losses.append(figures["loss"])
        state.epoch += 1
        curve.append(round(float(np.mean(losses)), 5))
    figures = {name: round(float(value), 5) for name, value in made.measure(state).items()}
    return {**figures, "losses": curve, "seconds": round(time.monotonic() - begun, 1)}


def measure(rows: tuple[Row, ...], folder: Path, seeds: list[int] | None, out: Path) -> None:
    """Every seed of every row that has no figures yet, seed by seed, so that all rows have some early."""
    work = [(seed, row) for row in rows for seed in (seeds or range(GROUPS[row.group].seeds))]
    for seed, row in sorted(work, key=lambda each: each[0]):
        settings = _set(row)
        kept = _read(out)["rows"].get(row.name, {})
        if kept.get("settings") == settings and str(seed) in kept["seeds"]:
            continue
        found = run((enlarging if row.group == "enlarged" else recipe)(row, seed, folder))
        print(row.name, seed, {key: value for key, value in found.items() if key != "losses"}, flush=True)
        with filelock.FileLock(f"{out}.lock"):
            told = _read(out)
            kept = told["rows"].get(row.name, {})
            seeds_ = kept["seeds"] if kept.get("settings") == settings else {}
            told["rows"][row.name] = {"settings": settings, "seeds": {**seeds_, str(seed): found}}
            record.keep(out, {**record.origin("techniques"), "command": "python -m benchmarks.techniques DATA", **told})


def _stated(settings: Settings) -> dict[str, Any]:
    """What is not as it is by default."""
    usual = dataclasses.asdict(Settings())
    return {name: value for name, value in dataclasses.asdict(settings).items() if value != usual[name]}


def _set(row: Row) -> dict[str, Any]:
    """All that a row is run with and that is not as it is by default."""
    group = GROUPS[row.group]
    changed = _stated(replace(group.settings, **row.changes))
    return {"variant": group.variant, "data": group.data, **changed}


def _read(out: Path) -> dict[str, Any]:
    told = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    return {"rows": told.get("rows", {})}


def spread(values: list[float]) -> tuple[float, float]:
    """Mean and standard deviation."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def table(told: Mapping[str, Any]) -> str:
    """The measured rows as Markdown, a table a baseline."""
    lines = []
    for name, group in GROUPS.items():
        base = _values(told, f"{name}_baseline", group.figure)
        if not base:
            continue
        word = "mean area under the classes' ROC curves" if group.figure == "auc" else "accuracy"
        lines += ["", f"**`{name}`**: {group.about}. {word[0].upper()}{word[1:]} in percent, mean and deviation.", ""]
        more = "| and accuracy " if group.figure == "auc" else ""
        lines += [f"| technique | paper | how to switch it on | {word} {more}| against the baseline | seeds |"]
        lines += ["|---" * (7 if more else 6) + "|"]
        for row in (row for row in ROWS if row.group == name):
            values = _values(told, row.name, group.figure)
            if not values:
                continue
            mean, sd = spread(values)
            change = mean - spread(base)[0]
            stated = row.changes or _stated(group.settings)
            switch = " ".join(f"{key}={_word(value)}" for key, value in stated.items())
            cells = [row.technique, row.paper, f"`{switch}`", f"{mean:.2f} ± {sd:.2f}"]
            if more:
                cells.append("{:.2f} ± {:.2f}".format(*spread(_values(told, row.name, "accuracy"))))
            cells += [f"{change:+.2f}" if row.changes else "", str(len(values))]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines).strip() + "\n"


def draw(told: Mapping[str, Any], path: Path) -> None:
    """The losses of the nine optimisers, epoch by epoch, means over the seeds, as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    styles = ("-", "--", ":")
    rows = [row for row in ROWS if row.group == "optimisers" and row.name in told["rows"]]
    for index, row in enumerate(rows):
        curves = [each["losses"] for each in told["rows"][row.name]["seeds"].values()]
        label = "mini-batch SGD" if not row.changes else row.technique.partition(",")[0]
        curve = np.mean(curves, axis=0)
        axes.plot(np.arange(1, len(curve) + 1), curve, styles[index % 3], color=f"C{index}", label=label, linewidth=1.8)
    axes.set(yscale="log", xlabel="epoch", ylabel="loss on what is learnt from (mean of the epoch)")
    axes.grid(alpha=0.3, which="both")
    axes.legend(frameon=False, ncols=1, loc="center left", bbox_to_anchor=(1.0, 0.5))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def written(page: str, name: str, text: str) -> str:
    """A page with a table between its marks."""
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, _, rest = page.partition(start)
    return before + start + "\n" + text + "\n" + end + rest.partition(end)[2]


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _values(told: Mapping[str, Any], name: str, figure: str) -> list[float]:
    return [100 * each[figure] for each in told["rows"].get(name, {}).get("seeds", {}).values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", help="a folder with mnist.npz and cifar10.npz")
    parser.add_argument("--only", nargs="+", default=[], help="rows, or baselines, by their names")
    parser.add_argument("--seeds", type=int, nargs="+", help="instead of each baseline's own number of them")
    parser.add_argument("--table", action="store_true", help="print what was measured, and measure nothing")
    parser.add_argument("--draw", type=Path, metavar="FILE", help="draw the optimisers' losses into a .png")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into a Markdown page")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    if not given.table:
        if given.data is None:
            parser.error("DATA is needed to measure")
        rows = tuple(row for row in ROWS if not given.only or {row.name, row.group} & set(given.only))
        measure(rows, given.data, given.seeds, given.out)
    told = _read(given.out)
    print(table(told))
    if given.draw:
        draw(told, given.draw)
    if given.write:
        page = written(given.write.read_text(encoding="utf-8"), "measured", table(told))
        given.write.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
