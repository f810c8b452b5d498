"""What each technique of the papers changes, with little data and little time: the table of docs/techniques.md.

    python -m benchmarks.techniques DATA [--only WORD ...] [--seeds 0 1 2]
    python -m benchmarks.techniques --table

DATA is a folder with mnist.npz and cifar10.npz (x_train, y_train, x_test, y_test, uint8). A row is the settings of one
baseline and what is changed of them, as `kerazoo train --set` takes it, so that each can be run alone. Every row is run
with every seed: first weights, order of the samples, augmentation and dropout are drawn anew. What was measured already
is not measured again, unless its settings are others now. The last epoch counts, not the best.

Baselines: `digits` and `rates`, LeNet-5 on the first 2,000 training digits of MNIST; `skewed`, the same with 20 to 500
digits a class; `deep`, eight dense layers on those 2,000 digits; `pictures` and `tricks`, a ResNet of 8 layers and 8 to
32 filters on the first 2,000 training pictures of CIFAR-10. MNIST is judged on all 10,000 test digits, CIFAR-10 on the
first 2,000 test pictures.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from benchmarks import record
from kerazoo.codecs.image import Image, Normalise
from kerazoo.train.settings import Settings

RESULTS = Path(__file__).parent / "results" / "techniques.json"


@dataclass(frozen=True)
class Group:
    """What rows are compared with.

    Attributes:
        about: For people.
        variant: The network.
        sizes: What is changed of the variant's.
        data: A key of `DATA`.
        settings: The baseline's.
        seeds: How many.
        figure: What rows are judged by.
    """

    about: str
    variant: str
    data: str
    settings: Settings
    seeds: int = 3
    sizes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    figure: str = "accuracy"


@dataclass(frozen=True)
class Row:
    """A technique.

    Attributes:
        name: What it is found by.
        group: A key of `GROUPS`.
        technique: For people.
        paper: Where it is from.
        changes: Of the baseline's settings.
    """

    name: str
    group: str
    technique: str
    paper: str
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)


_ADAM = Settings("adam", rate=2e-3, schedule="constant", decay=0, batch=64, augment="none", epochs=10)
_SGD = Settings("sgd", rate=0.02, schedule="constant", decay=0, batch=64, augment="none", epochs=10)
_NARROW = {"filters": (8, 16, 32), "blocks": 1}
GROUPS = {
    "digits": Group("LeNet-5, 2,000 digits, 10 epochs of Adam", "lenet5", "digits", _ADAM),
    "rates": Group("LeNet-5, 2,000 digits, 10 epochs of SGD with momentum", "lenet5", "digits", _SGD),
    "skewed": Group(
        "LeNet-5, 2,600 digits (classes 0 to 4: 500 each, 5 to 9: 20 each), 10 epochs of Adam",
        "lenet5", "skewed", _ADAM, figure="auc",
    ),
    "deep": Group(
        "8 dense layers of 256 without dropout, 2,000 digits, 10 epochs of Adam", "snn", "plain",
        replace(_ADAM, rate=5e-4, activation="relu"), sizes={"dropout": 0.0},
    ),
    "pictures": Group(
        "ResNet-8 of 8 to 32 filters, 2,000 CIFAR-10 pictures, 12 epochs of SGD, one cosine", "resnet20", "pictures",
        Settings("sgd", rate=0.1, warm_up=1, decay=5e-3, batch=64, augment="none", epochs=12), 3, _NARROW,
    ),
    "tricks": Group(
        "ResNet-8 of 8 to 32 filters, 2,000 CIFAR-10 pictures, 12 epochs of SGD in steps, crops", "resnet20", "pictures",
        Settings(
            "sgd", rate=0.1, schedule="steps", decay=5e-3, decay_all=True, batch=64, augment="crops", epochs=12
        ), 3, _NARROW,
    ),
}  # fmt: skip

_TRICKS = "He et al. 2019, arXiv:1812.01187"
_BUDA = "Buda et al. 2018, arXiv:1710.05381"
_STEPS = (
    ("warm up, then one cosine", {"schedule": "cosine", "warm_up": 2.0}),
    ("no decay of biases and norms", {"decay_all": False}),
    ("zero gamma", {"zero_gamma": True}),
    ("label smoothing", {"smoothing": 0.1}),
    ("teacher", {"teacher": "resnet20:cifar10"}),
    ("mixup", {"mixup": 0.2}),
)


def _added() -> list[Row]:
    """The Bag of Tricks, one after the other, each on top of those before."""
    rows, changes = [], {}
    for number, (what, more) in enumerate(_STEPS, start=1):
        changes = {**changes, **more}
        rows.append(Row(f"tricks_{number}", "tricks", f"+ {what}", _TRICKS, changes))
    return rows


ROWS = (
    *(Row(f"{name}_baseline", name, "baseline", "") for name in GROUPS),
    Row("loss_mse", "digits", "mean squared error", "", {"loss": "mse"}),
    Row("loss_msle", "digits", "mean squared logarithmic error", "", {"loss": "msle"}),
    Row("loss_mae", "digits", "mean absolute error", "", {"loss": "mae"}),
    Row("loss_binary", "digits", "binary cross-entropy, a class each", "", {"loss": "binary_cross_entropy"}),
    Row("loss_hinge", "digits", "hinge, a class each", "", {"loss": "hinge"}),
    Row("loss_categorical_hinge", "digits", "categorical hinge", "", {"loss": "categorical_hinge"}),
    Row("loss_kl", "digits", "Kullback-Leibler divergence", "", {"loss": "kl"}),
    Row("loss_focal", "digits", "focal loss", "Lin et al. 2017, arXiv:1708.02002", {"loss": "focal"}),
    Row("smoothing", "digits", "label smoothing", "Szegedy et al. 2016, arXiv:1512.00567", {"smoothing": 0.1}),
    Row("cosine", "rates", "cosine with warm-up", "Loshchilov, Hutter 2017, arXiv:1608.03983", {"schedule": "cosine"}),
    Row("steps", "rates", "step decay", "He et al. 2016, arXiv:1512.03385", {"schedule": "steps"}),
    Row("triangular", "rates", "triangular cyclical rates", "Smith 2017, arXiv:1506.01186",
        {"schedule": "triangular", "rate": 0.06, "cycle": 2.5}),
    Row("one_cycle", "rates", "one cycle, inverse momentum", "Smith, Topin 2017, arXiv:1708.07120",
        {"schedule": "one_cycle", "rate": 0.1}),
    Row("dropout", "digits", "dropout", "Srivastava et al. 2014, JMLR 15", {"dropout": 0.5}),
    Row("batch_norm", "digits", "batch normalisation", "Ioffe, Szegedy 2015, arXiv:1502.03167", {"batch_norm": True}),
    Row("decay", "digits", "weight decay without biases and norms", "Loshchilov, Hutter 2019, arXiv:1711.05101",
        {"optimizer": "adamw", "decay": 0.1}),
    Row("decay_all", "digits", "weight decay of everything", "", {"optimizer": "adamw", "decay": 0.1,
                                                                  "decay_all": True}),
    Row("mixup", "digits", "mixup", "Zhang et al. 2018, arXiv:1710.09412", {"mixup": 0.2}),
    Row("teacher", "digits", "distillation (teacher: lenet5:mnist, which saw 60,000 digits)",
        "Hinton et al. 2015, arXiv:1503.02531", {"teacher": "lenet5:mnist"}),
    Row("affine", "digits", "turned, stretched, sheared, moved", "Simard et al. 2003", {"augment": "affine"}),
    Row("cutout_digits", "digits", "cutout", "DeVries, Taylor 2017, arXiv:1708.04552", {"augment": "cutout"}),
    Row("swish", "digits", "Swish", "Ramachandran et al. 2017, arXiv:1710.05941", {"activation": "swish"}),
    Row("selu", "digits", "SELU", "Klambauer et al. 2017, arXiv:1706.02515", {"activation": "selu"}),
    Row("tanh", "digits", "tanh", "", {"activation": "tanh"}),
    Row("scaled_tanh", "digits", "1.7159 tanh(2 x / 3)", "LeCun et al. 1998", {"activation": "scaled_tanh"}),
    Row("deep_selu", "deep", "SELU, eight layers deep", "Klambauer et al. 2017, arXiv:1706.02515",
        {"activation": "selu"}),
    Row("deep_alpha", "deep", "SELU and alpha dropout", "Klambauer et al. 2017, arXiv:1706.02515",
        {"activation": "selu", "alpha_dropout": 0.05}),
    Row("deep_dropout", "deep", "ReLU and dropout", "Srivastava et al. 2014, JMLR 15", {"dropout": 0.05}),
    Row("deep_tanh", "deep", "tanh, eight layers deep", "", {"activation": "tanh"}),
    Row("deep_scaled_tanh", "deep", "1.7159 tanh(2 x / 3), eight layers deep", "LeCun et al. 1998",
        {"activation": "scaled_tanh"}),
    Row("deep_swish", "deep", "Swish, eight layers deep", "Ramachandran et al. 2017, arXiv:1710.05941",
        {"activation": "swish"}),
    Row("mirror", "pictures", "mirrored", "", {"augment": "mirror"}),
    Row("crops", "pictures", "moved by up to 4 pixels and mirrored", "He et al. 2016, arXiv:1512.03385",
        {"augment": "crops"}),
    Row("colour", "pictures", "brightness, contrast, colour", "Krizhevsky et al. 2012; " + _TRICKS,
        {"augment": "colour"}),
    Row("cutout", "pictures", "cutout", "DeVries, Taylor 2017, arXiv:1708.04552", {"augment": "cutout"}),
    Row("mixup_pictures", "pictures", "mixup", "Zhang et al. 2018, arXiv:1710.09412", {"mixup": 0.2}),
    *_added(),
    *(Row(f"balance_{kind}", "skewed", what, _BUDA, {"balance": kind}) for kind, what in (
        ("over", "over-sampling"), ("under", "under-sampling"), ("two_phase", "two-phase training"),
        ("thresholds", "thresholds moved by priors"), ("weights", "class weights"), ("focal", "focal loss"),
    )),
)  # fmt: skip

GREY, RGB = Normalise("gray", 1 / 255, (0.1307,), (0.3081,)), Normalise("rgb", 1.0, (125.3, 123.0, 113.9), (63.0, 62.1, 66.7))  # fmt: skip


@functools.cache
def _data(name: str, folder: Path) -> tuple[Any, Any, Normalise]:
    """Pictures and labels to learn from, those to judge by, and what is done to pixels."""
    from kerazoo.train.script import fitted

    if name == "pictures":
        with np.load(folder / "cifar10.npz", allow_pickle=False) as data:
            kept = [(data[f"x_{part}"][:count], data[f"y_{part}"][:count].reshape(-1).astype(np.int64))
                    for part, count in (("train", 2000), ("test", 2000))]  # fmt: skip
        return kept[0], kept[1], RGB
    with np.load(folder / "mnist.npz", allow_pickle=False) as data:
        pictures, labels = data["x_train"], data["y_train"].astype(np.int64)
        held, truth = data["x_test"], data["y_test"].astype(np.int64)
    rows = np.arange(2000)
    if name == "skewed":
        each = [500] * 5 + [20] * 5
        rows = np.sort(np.concatenate([np.flatnonzero(labels == kind)[:count] for kind, count in enumerate(each)]))
    image = Image(28, 28, channels=1) if name == "plain" else Image(32, 32, channels=1)
    return (fitted(image, pictures[rows]), labels[rows]), (fitted(image, held), truth), GREY


def recipe(row: Row, seed: int, folder: Path) -> Any:
    """What `kerazoo train` would run."""
    from kerazoo.train import losses
    from kerazoo.train.data.arrays import Arrays
    from kerazoo.train.jobs.classify import Accuracy
    from kerazoo.train.recipe import Recipe
    from kerazoo.train.start import Network, find
    from kerazoo.train.steps.supervised import Supervised
    from kerazoo.train.techniques import applied

    group = GROUPS[row.group]
    settings = replace(group.settings, **row.changes)
    learnt, held, normalise = _data(group.data, folder)
    start = find(group.variant)
    optimizer, schedule = settings.made()
    made = Recipe(
        name=row.name,
        model=Network(start, replace(start.config, **group.sizes)),
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
    return applied(made, settings, learnt[1], 10)


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
        settings = dataclasses.asdict(replace(GROUPS[row.group].settings, **row.changes))
        settings |= {"variant": GROUPS[row.group].variant, "data": GROUPS[row.group].data}
        kept = _read(out)["rows"].get(row.name, {})
        if kept.get("settings") == settings and str(seed) in kept["seeds"]:
            continue
        found = run(recipe(row, seed, folder))
        print(row.name, seed, {key: value for key, value in found.items() if key != "losses"}, flush=True)
        with filelock.FileLock(f"{out}.lock"):
            told = _read(out)
            kept = told["rows"].get(row.name, {})
            seeds_ = kept["seeds"] if kept.get("settings") == settings else {}
            told["rows"][row.name] = {"settings": settings, "seeds": {**seeds_, str(seed): found}}
            record.keep(out, {**record.origin("techniques"), "command": "python -m benchmarks.techniques DATA", **told})


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
            switch = " ".join(f"{key}={_word(value)}" for key, value in row.changes.items())
            cells = [row.technique, row.paper, f"`{switch}`" if switch else "", f"{mean:.2f} ± {sd:.2f}"]
            if more:
                cells.append("{:.2f} ± {:.2f}".format(*spread(_values(told, row.name, "accuracy"))))
            cells += ["" if not switch else f"{change:+.2f}", str(len(values))]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines).strip() + "\n"


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
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    if not given.table:
        if given.data is None:
            parser.error("DATA is needed to measure")
        rows = tuple(row for row in ROWS if not given.only or {row.name, row.group} & set(given.only))
        measure(rows, given.data, given.seeds, given.out)
    print(table(_read(given.out)))


if __name__ == "__main__":
    main()
