"""Networks that learn labels which mean nothing: rows of table 1 of "Understanding deep learning requires rethinking
generalization" (Zhang, Bengio, Hardt, Recht, Vinyals, ICLR 2017, arXiv:1611.03530) on CIFAR-10.

    python -m benchmarks.rethinking cifar10.npz [--pictures 50000 --epochs 100 --width 1] [--only WORD ...]
    python -m benchmarks.rethinking --table

As in the paper's appendix A: 28x28 pixels from the middle (or from anywhere, with `crop`), each picture with mean 0 and
deviation 1; SGD with momentum 0.9 and batches of 128, from 0.1 for the Inception and 0.01 for the dense networks, times
0.95 an epoch; no dropout. The paper's sizes are `--pictures 50000 --width 1`; what was measured here had far less, and
says so. A run ends when all training pictures are right, or its epochs are over; what was measured is kept.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import record
from benchmarks.techniques import written

RESULTS = Path(__file__).parent / "results" / "rethinking.json"
SIDE = 28
TEST = 2000


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        model: A key of `MODELS`.
        crop: Squares from anywhere instead of the middle.
        decay: Weight decay, of everything.
        random: Labels are drawn anew, once, before learning.
        paper: Accuracy on training and test pictures, in percent, in the paper.
    """

    model: str
    crop: bool
    decay: bool
    random: bool
    paper: tuple[float | None, float | None] = (None, None)

    @property
    def name(self) -> str:
        words = [self.model, *(word for word in ("crop", "decay", "random") if getattr(self, word))]
        return " ".join(words)


ROWS = (
    Row("inception", True, True, False, (100.0, 89.05)),
    Row("inception", True, False, False, (100.0, 89.31)),
    Row("inception", False, True, False, (100.0, 86.03)),
    Row("inception", False, False, False, (100.0, 85.75)),
    Row("inception", False, False, True, (100.0, 9.78)),
    Row("mlp 3x512", False, False, False),
    Row("mlp 3x512", False, False, True),
    Row("mlp 1x512", False, False, False),
    Row("mlp 1x512", False, False, True),
)


def inception(width: float = 1.0) -> Any:
    """The paper's small Inception (figure 3): 1,649,402 numbers at width 1, without those of the normalisations."""
    from keras import Input, Model, layers

    def conv(x: Any, filters: int, size: int, name: str, strides: int = 1) -> Any:
        x = layers.Conv2D(max(1, round(filters * width)), size, strides, "same", name=f"{name}_conv")(x)
        return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x))

    def wide(x: Any, small: int, large: int, name: str) -> Any:
        return layers.Concatenate(name=name)([conv(x, small, 1, f"{name}_1"), conv(x, large, 3, f"{name}_3")])

    def down(x: Any, filters: int, name: str) -> Any:
        pooled = layers.MaxPooling2D(3, 2, "same", name=f"{name}_pool")(x)
        return layers.Concatenate(name=name)([conv(x, filters, 3, f"{name}_3", 2), pooled])

    inputs = Input((SIDE, SIDE, 3))
    x = conv(inputs, 96, 3, "stem")
    for index, (small, large) in enumerate(
        ((32, 32), (32, 48), (0, 80), (112, 48), (96, 64), (80, 80), (48, 96), (0, 96), (176, 160), (176, 160)), 1
    ):
        x = wide(x, small, large, f"block{index}") if small else down(x, large, f"block{index}")
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return Model(inputs, layers.Dense(10, name="predictions")(x), name="inception_small")


def mlp(hidden: int) -> Any:
    """Dense layers of 512 rectifiers: 1,735,178 numbers with three of them, 1,209,866 with one."""
    from keras import Input, Model, layers

    inputs = Input((SIDE, SIDE, 3))
    x = layers.Flatten(name="flatten")(inputs)
    for index in range(hidden):
        x = layers.Dense(512, activation="relu", name=f"dense{index + 1}")(x)
    return Model(inputs, layers.Dense(10, name="predictions")(x), name=f"mlp_{hidden}x512")


MODELS = {
    "inception": (inception, 0.1),
    "mlp 3x512": (lambda width: mlp(3), 0.01),
    "mlp 1x512": (lambda width: mlp(1), 0.01),
}
"""What makes a network of a width, and its first rate."""


@dataclass(frozen=True)
class Falling:
    """A rate times 0.95 after each epoch."""

    value: float

    def rate(self, steps: int, epochs: int) -> Any:
        import keras

        return keras.optimizers.schedules.ExponentialDecay(self.value, steps, 0.95, staircase=True)


def whitened(pictures: np.ndarray) -> np.ndarray:
    """Each picture less its mean, over its deviation, or over what evens out its pixels' number where that is less."""
    pictures = pictures.astype(np.float32)
    mean, deviation = (getattr(pictures, of)(axis=(1, 2, 3), keepdims=True) for of in ("mean", "std"))
    return (pictures - mean) / np.maximum(deviation, pictures[0].size ** -0.5)


def middle(pictures: np.ndarray) -> np.ndarray:
    edge = (pictures.shape[1] - SIDE) // 2
    return pictures[:, edge : edge + SIDE, edge : edge + SIDE]


def cropped(batch: tuple[np.ndarray, ...], rng: np.random.Generator, epoch: int) -> tuple[np.ndarray, ...]:
    """Squares from anywhere, not mirrored."""
    count, side = len(batch[0]), batch[0].shape[1]
    top, left = rng.integers(0, side - SIDE + 1, (2, count))
    span = np.arange(SIDE)
    rows, columns = (top[:, None] + span)[:, :, None], (left[:, None] + span)[:, None, :]
    return whitened(batch[0][np.arange(count)[:, None, None], rows, columns]), *batch[1:]


def centred(batch: tuple[np.ndarray, ...], rng: np.random.Generator, epoch: int) -> tuple[np.ndarray, ...]:
    return whitened(middle(batch[0])), *batch[1:]


def measure(row: Row, data: Any, pictures: int, epochs: int, width: float, seed: int) -> dict[str, Any]:
    """Trains one row; accuracies in percent."""
    import keras

    from kerazoo.train import losses
    from kerazoo.train import state as state_
    from kerazoo.train.data.arrays import Arrays
    from kerazoo.train.recipe import Recipe
    from kerazoo.train.run import batches
    from kerazoo.train.schedules import Optimizer
    from kerazoo.train.steps.supervised import Supervised

    keras.backend.clear_session()
    labels = data["y_train"][:pictures].reshape(-1).astype(np.int64)
    if row.random:
        labels = np.random.default_rng(seed).integers(0, 10, len(labels))
    make, rate = MODELS[row.model]
    recipe = Recipe(
        name=row.name,
        model=lambda: make(width),
        data=Arrays((data["x_train"][:pictures], labels)),
        step=Supervised(losses.cross_entropy, metrics={"accuracy": losses.accuracy}),
        # Keras' decay is decoupled: with momentum 0.9 ten times what stands in the gradient.
        optimizer=Optimizer("sgd", 5e-3 if row.decay else 0.0, settings={"momentum": 0.9}),
        schedule=Falling(rate),
        augment=cropped if row.crop else centred,
        seed=seed,
        batch=128,
        epochs=epochs,
    )
    begun = time.monotonic()
    state = state_.begin(recipe)
    model = state.model

    def right(shown: np.ndarray, truth: np.ndarray) -> float:
        logits = model.predict(whitened(middle(shown)), batch_size=200, verbose=0)
        return 100 * float((logits.argmax(1) == truth).mean())

    fitted = 0.0
    while state.epoch < epochs and fitted < 100:
        found = []
        for batch in batches(recipe, state.epoch):
            state, figures = recipe.step(state, batch)
            found.append(figures["accuracy"])
        state.epoch += 1
        if np.mean(found) > 0.97 or state.epoch == epochs:
            fitted = right(recipe.data.arrays[0], labels)
    test = right(data["x_test"][:TEST], data["y_test"][:TEST].reshape(-1))
    return {
        "train": round(fitted, 2), "test": round(test, 2), "epochs": state.epoch, "pictures": pictures, "width": width,
        "parameters": model.count_params(), "seed": seed, "seconds": round(time.monotonic() - begun, 1),
    }  # fmt: skip


def table(told: dict[str, Any]) -> str:
    """The rows that were measured, as Markdown."""
    head = (
        "model",
        "parameters",
        "random crop",
        "weight decay",
        "labels",
        "pictures",
        "training",
        "test",
        "epochs",
        "paper",
    )
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in ROWS:
        found = told.get("rows", {}).get(row.name)
        if found:
            width = "" if found["width"] == 1 or row.model.startswith("mlp") else f", width {found['width']:g}"
            paper = " / ".join("-" if value is None else f"{value:g}" for value in row.paper)
            cells = (
                row.model + width, f"{found['parameters']:,}", "yes" if row.crop else "no",
                "yes" if row.decay else "no", "random" if row.random else "true", f"{found['pictures']:,}",
                f"{found['train']:.1f} %", f"{found['test']:.1f} %", str(found["epochs"]), paper,
            )  # fmt: skip
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", help="cifar10.npz: x_train, y_train, x_test, y_test")
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--width", type=float, default=0.25, help="of the Inception; 1 is the paper's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=[row.name for row in ROWS], help="rows by their names")
    parser.add_argument("--table", action="store_true", help="print what was measured, and measure nothing")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into a Markdown page")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    told = json.loads(given.out.read_text(encoding="utf-8")) if given.out.exists() else {"rows": {}}
    if not given.table:
        if given.data is None:
            parser.error("DATA is needed to measure")
        with np.load(given.data, allow_pickle=False) as data:
            arrays = {name: data[name] for name in data.files}
        wanted = {"pictures": given.pictures, "width": given.width, "seed": given.seed}
        for row in (row for row in ROWS if row.name in given.only):
            kept = told["rows"].get(row.name, {})
            if {name: kept.get(name) for name in wanted} == wanted:
                continue
            found = measure(row, arrays, given.pictures, given.epochs, given.width, given.seed)
            told["rows"][row.name] = {**dataclasses.asdict(row), **found}
            origin = record.origin("rethinking")
            origin["command"] = origin["command"].replace(str(given.data), given.data.name)
            record.keep(given.out, {**told, **origin})
            print(row.name, found, flush=True)
    print(table(told))
    if given.write:
        page = written(given.write.read_text(encoding="utf-8"), "rethinking", table(told))
        given.write.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
