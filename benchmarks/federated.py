"""Rounds until clients' common network is as good as asked, beside the paper's, and what their changes weigh.

    python -m benchmarks.federated mnist.npz [--only WORD ...] [--minutes M] [--states FOLDER]
    python -m benchmarks.federated --draw docs/images/federated.png --write docs/federated.md

Networks and protocol of arXiv:1602.05629: 100 clients of 600 digits, a tenth of them a round; `shards` gives each two
classes. Rounds are counted as there: the curve is made monotone, and the crossing lies between two rounds on a line.
The rate is one for each row, where the paper took the best of many for each cell. The kinds of updates are those of
arXiv:1610.05492, here on the dense network. What was measured is kept; a row that ends below its target says so, and
with a folder of states the same command goes on with it.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import record
from benchmarks.techniques import written

RESULTS = Path(__file__).parent / "results" / "federated.json"
CLIENTS, FRACTION = 100, 0.1


@dataclass(frozen=True)
class Row:
    """One training.

    Attributes:
        network: A key of `NETWORKS`.
        split, epochs, batch, update: See `kerazoo.train.federated.Plan`.
        target: Accuracy on the test digits at which it ends, in percent; `None` for a number of rounds.
        paper: Rounds in the paper, as far as they are known.
        rate: Learning rate.
        rounds: Most of them.
    """

    network: str
    split: str = "iid"
    epochs: int = 1
    batch: int = 10
    update: str = "plain"
    target: float | None = None
    paper: int | None = None
    rate: float = 0.1
    rounds: int = 40

    @property
    def name(self) -> str:
        end = f"to {self.target:g}" if self.target is not None else f"{self.rounds} rounds"
        return " ".join((self.network, self.split, f"E={self.epochs}", f"B={self.batch or 'all'}", self.update, end))


ROWS = (
    Row("2nn", target=97, paper=87, rounds=200),
    Row("2nn", "shards", target=97, paper=664, rate=0.05, rounds=400),
    Row("cnn", epochs=5, target=99, paper=20, rounds=60),
    Row("cnn", batch=10, target=99, paper=34, rounds=100),
    *(
        Row("2nn", update=update)
        for update in ("plain", "bits:2", "rotated:2", "sample:0.0625", "mask:0.0625", "low_rank:30")
    ),
)
"""The last ones: 40 rounds each, of changes of a sixteenth of the size but for the first."""


def two_hidden() -> Any:
    """The paper's 2NN: 199,210 numbers."""
    from kerazoo.applications import MLP

    return MLP(weights=None, widths=(200, 200), dropout=0.0, classifier_activation=None)


def convolutions() -> Any:
    """The paper's CNN: 1,663,370 numbers."""
    from keras import Input, Model, layers

    inputs = x = Input((28, 28, 1))
    for maps in (32, 64):
        x = layers.MaxPooling2D(2)(layers.Conv2D(maps, 5, padding="same", activation="relu")(x))
    x = layers.Dense(512, activation="relu")(layers.Flatten()(x))
    return Model(inputs, layers.Dense(10)(x))


NETWORKS = {"2nn": two_hidden, "cnn": convolutions}


def measure(row: Row, data: Any, folder: Path, minutes: float | None) -> dict[str, Any]:
    """Accuracies after each round, in percent, and megabytes that all clients sent.

    Args:
        folder: With the state of this row, which is gone on from.
        minutes: Of all that a row has, those before it was gone on from among them.
    """
    import keras

    from kerazoo.train import losses
    from kerazoo.train.data.arrays import Arrays
    from kerazoo.train.federated import updates
    from kerazoo.train.federated.clients import Clients
    from kerazoo.train.federated.step import Averaging
    from kerazoo.train.recipe import Recipe
    from kerazoo.train.run import run
    from kerazoo.train.schedules import Constant, Optimizer
    from kerazoo.train.steps.supervised import Supervised

    keras.backend.clear_session()
    learnt, test = (
        (data[f"x_{part}"].reshape(-1, 28, 28, 1).astype(np.float32) / 255, data[f"y_{part}"].astype(np.int64))
        for part in ("train", "test")
    )
    clients = Clients.sharing(Arrays(learnt), CLIENTS, row.split, FRACTION, 0.0, seed=0)

    def accuracy(state: Any) -> dict[str, float]:
        logits = state.model.predict(test[0], batch_size=1000, verbose=0)
        return {"accuracy": round(100 * float((logits.argmax(1) == test[1]).mean()), 2)}

    def reached(history: Any) -> bool:
        return row.target is not None and bool(history) and history[-1]["val_accuracy"] >= row.target

    recipe = Recipe(
        row.name,
        model=NETWORKS[row.network],
        data=clients,
        step=Averaging(Supervised(losses.cross_entropy), row.epochs, row.batch, updates.read(row.update)),
        optimizer=Optimizer("sgd"),
        schedule=Constant(row.rate),
        measure=accuracy,
        stop=reached,
        batch=len(clients),
        epochs=row.rounds,
        minutes=minutes,
    )
    done = run(recipe, folder, say=lambda line: None)
    return {
        "parameters": done.state.model.count_params(),
        "curve": [each["val_accuracy"] for each in done.history],
        "sent_mb": round(sum(each["sent_mb"] for each in done.history), 3),
        "seconds": round(done.state.seconds, 1),
    }


def crossing(curve: list[float], target: float) -> float | None:
    """Rounds until the best so far reaches the target, on a line between two; `None` where it does not."""
    best = np.maximum.accumulate([0.0, *curve])
    above = np.flatnonzero(best >= target)
    if not len(above):
        return None
    last = int(above[0])
    return last - 1 + float((target - best[last - 1]) / (best[last] - best[last - 1]))


def table(told: dict[str, Any]) -> str:
    """The rows that were measured, as Markdown."""
    lines = ["| network | digits | E | B | target | rounds | the paper's |", "|---|---|---|---|---|---|---|"]
    updates = ["| update | sent a client and round | accuracy after 40 rounds |", "|---|---|---|"]
    for row in ROWS:
        found = told.get("rows", {}).get(row.name)
        if row.target is None and found:
            each = 1000 * found["sent_mb"] / len(found["curve"]) / (CLIENTS * FRACTION)
            updates.append(f"| `{row.update}` | {each:,.0f} kB | {found['curve'][-1]:.2f} % |")
        elif row.target is not None and found:
            rounds = crossing(found["curve"], row.target)
            reached = f"{max(found['curve']):.2f} % after {len(found['curve'])}" if rounds is None else f"{rounds:.1f}"
            digits = "two classes a client" if row.split == "shards" else "alike"
            lines.append(
                f"| {row.network} ({found['parameters']:,}) | {digits} | {row.epochs} | {row.batch or 'all'} | "
                f"{row.target:g} % | {reached} | {row.paper} |"
            )
    return "\n".join([*lines, "", *updates]) + "\n"


def draw(told: dict[str, Any], path: Path) -> None:
    """Accuracy over what was sent, a curve an update."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for row in ROWS:
        found = told.get("rows", {}).get(row.name)
        if row.target is None and found:
            sent = found["sent_mb"] * np.arange(1, len(found["curve"]) + 1) / len(found["curve"])
            axes.plot(sent, found["curve"], label=row.update)
    axes.set(xscale="log", xlabel="megabytes sent by all clients", ylabel="accuracy on test digits (%)", ylim=(50, 100))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", help="mnist.npz: x_train, y_train, x_test, y_test")
    parser.add_argument("--only", nargs="+", default=[], help="rows whose names hold one of these")
    parser.add_argument("--minutes", type=float, help="of a row; it ends at the round that ends later")
    parser.add_argument("--states", type=Path, metavar="FOLDER", help="where rows are kept, and gone on from")
    parser.add_argument("--draw", type=Path, metavar="FILE", help="draw the updates' curves into a .png")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into a Markdown page")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    told = json.loads(given.out.read_text(encoding="utf-8")) if given.out.exists() else {}
    if given.data is not None:
        with np.load(given.data) as data:
            arrays = dict(data)
        for row in ROWS:
            if given.only and not any(word in row.name for word in given.only):
                continue
            with tempfile.TemporaryDirectory() as own:
                folder = (given.states or Path(own)) / re.sub(r"\W+", "-", row.name)
                found = measure(row, arrays, folder, given.minutes)
            print(row.name, found["curve"][-1], f"{found['seconds']:.0f} s", flush=True)
            told["rows"] = {**told.get("rows", {}), row.name: found}
            record.keep(given.out, {"origin": record.origin("federated"), "rows": told["rows"]})
    if given.draw is not None:
        draw(told, given.draw)
    if given.write is not None:
        page = given.write.read_text(encoding="utf-8")
        given.write.write_text(written(page, "federated", table(told)), encoding="utf-8")
    print(table(told))


if __name__ == "__main__":
    main()
