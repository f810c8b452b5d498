"""Runs a recipe into a folder, and goes on from what is there."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.engines.quiet import import_keras
from kerazoo.errors import GateError, UsageError
from kerazoo.lazy import keras
from kerazoo.train import reports
from kerazoo.train import state as state_
from kerazoo.train.devices import sharing
from kerazoo.train.feed import ahead
from kerazoo.train.progress import Progress
from kerazoo.train.recipe import Batch, Recipe
from kerazoo.train.state import State

LAST, BEST, LOCK = "last.npz", "best.npz", ".lock"
EPOCH = "epoch{}.npz"
SAVE_SECONDS = 120.0
"""Between two saved states within an epoch."""


@dataclass(frozen=True)
class Outcome:
    """What a training came to.

    Attributes:
        state: The state that is kept: the best where the recipe names a figure, else the last; or the last with the
            mean weights of several.
        history: Figures of each epoch.
        folder: With `last.npz`, `best.npz`, `log.csv` and `curves.png`.
        mean: Figures of mean weights.
    """

    state: State
    history: list[dict[str, float]]
    folder: Path
    mean: Mapping[str, float] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, float]:
        """Of the epoch that is kept."""
        done = self.state.epoch
        return {**self.history[done - 1], **self.mean} if 0 < done <= len(self.history) else {}


def run(
    recipe: Recipe,
    out: str | Path,
    resume: bool = True,
    say: Callable[[str], Any] | None = None,
    tensorboard: bool = False,
    devices: int = 1,
) -> Outcome:
    """Trains until the recipe's budget is spent.

    Args:
        recipe: What to do.
        out: A folder, which is made; one training at a time.
        resume: Go on from the state that is there; `False` refuses to where there is one.
        say: Is told one line an epoch; by default stderr is, with a bar where it is a terminal.
        tensorboard: Write event files, too.
        devices: How many share each batch among them.

    Raises:
        UsageError: Another training uses the folder, or its state is of another recipe.
        GateError: The loss became NaN or infinite; the last good state is kept.
        KeyboardInterrupt: It was interrupted, and the state was saved.
    """
    folder = Path(out).expanduser()
    import_keras()
    with _alone(folder), sharing(devices):
        last = folder / LAST
        if last.exists() and not resume:
            raise UsageError(f"{folder} holds a training already.\nGo on with --resume, or name another folder.")
        state = state_.load(recipe, last) if last.exists() else state_.begin(recipe)
        with (
            Progress(recipe, say) as progress,
            reports.events(folder, tensorboard, state.history) as write,
            _interruptible() as interrupted,
        ):
            _train(recipe, state, folder, progress, write, interrupted)
        best = folder / BEST
        kept = state_.load(recipe, best) if recipe.best and best.exists() else state
        mean = _averaged(recipe, kept, folder) if recipe.average else {}
        return Outcome(kept, state.history, folder, mean)


def _train(
    recipe: Recipe,
    state: State,
    folder: Path,
    progress: Progress,
    write: Callable[[int, Mapping[str, float]], Any],
    interrupted: Callable[[], bool],
) -> None:
    saved = started = time.monotonic()
    before = state.seconds

    def spent() -> bool:
        state.seconds = before + time.monotonic() - started
        return recipe.minutes is not None and state.seconds >= 60 * recipe.minutes

    def stopped() -> bool:
        return recipe.stop is not None and recipe.stop(state.history)

    while state.epoch < recipe.epochs and not spent() and not stopped():
        begun = time.monotonic()
        for batch in batches(recipe, state.epoch, state.index):
            state, figures = recipe.step(state, batch)
            _check(recipe, state, figures, folder)
            state.index += 1
            for name, value in figures.items():
                state.sums[name] = state.sums.get(name, 0.0) + float(value)
            progress.step(state)
            if interrupted():
                spent()
                _keep(state, recipe, folder / LAST)
                raise KeyboardInterrupt
            if time.monotonic() - saved > SAVE_SECONDS:
                spent()
                _keep(state, recipe, folder / LAST)
                saved = time.monotonic()
        row = {name: total / state.index for name, total in state.sums.items()}
        state.epoch, state.index, state.sums = state.epoch + 1, 0, {}
        if recipe.measure is not None and (state.epoch % recipe.every == 0 or state.epoch == recipe.epochs or spent()):
            row |= {f"val_{name}": float(value) for name, value in recipe.measure(state).items()}
        row["seconds"] = time.monotonic() - begun
        state.history.append(row)
        better = _better(recipe, state, row)
        spent()
        if better:  # First: a process that is killed in between does the epoch again.
            _keep(state, recipe, folder / BEST)
        if recipe.average:
            _note(recipe, state, folder)
        _keep(state, recipe, folder / LAST)
        reports.log(folder, state.history)
        write(state.epoch, row)
        progress.epoch(state, row)
        saved = time.monotonic()
    reports.log(folder, state.history)
    reports.curves(folder, state.history, recipe.name)


def batches(recipe: Recipe, epoch: int, first: int = 0) -> Iterator[Batch]:
    """The batches of an epoch from number `first` on, made ahead of their turn and in parallel."""
    drawn, own = np.random.default_rng((recipe.seed, epoch)), getattr(recipe.data, "order", None)
    order = drawn.permutation(len(recipe.data)) if own is None else own(recipe.size, drawn)

    def make(index: int) -> Batch:
        rng = np.random.default_rng((recipe.seed, epoch, int(index)))
        made = recipe.data.batch(order[index * recipe.size : (index + 1) * recipe.size], rng)
        return tuple(recipe.augment(made, rng, epoch) if recipe.augment else made)

    if first >= recipe.steps:
        return
    if keras.backend.backend() != "tensorflow":
        yield from ahead(make, range(first, recipe.steps))
        return
    import tensorflow as tf

    example = [np.asarray(array) for array in make(first)]
    shapes = [array.shape if own is None else (None,) * array.ndim for array in example]

    def load(index: Any) -> Any:
        made = tf.numpy_function(
            lambda i: [np.asarray(array) for array in make(i)], [index], [a.dtype for a in example]
        )
        return tuple(tf.ensure_shape(array, shape) for array, shape in zip(made, shapes, strict=True))

    indices = tf.data.Dataset.range(first, recipe.steps)
    yield from indices.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(2)


def _keep(state: State, recipe: Recipe, path: Path) -> None:
    """Saves the state, unless its last step spoilt it: the loss would only tell at the next."""
    for name, variable in state.variables().items():
        array = variable.numpy()
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise _spoilt(f"A weight ({name})", recipe, state, path.parent)
    state_.save(state, recipe, path)


def _note(recipe: Recipe, state: State, folder: Path) -> None:
    """The weights after this epoch, for the mean; those before the last few are forgotten."""
    with state_.replacing(folder / EPOCH.format(state.epoch)) as new:
        np.savez(new, *(variable.numpy() for variable in state.model.trainable_variables))
    (folder / EPOCH.format(state.epoch - recipe.average)).unlink(missing_ok=True)


def _averaged(recipe: Recipe, state: State, folder: Path) -> dict[str, float]:
    """Gives the network the mean weights of the last epochs, and measures it."""
    last = range(max(1, state.epoch - recipe.average + 1), state.epoch + 1)
    paths = [path for path in (folder / EPOCH.format(epoch) for epoch in last) if path.exists()]
    if not paths:
        return {}
    sums: list[np.ndarray] = []
    for path in paths:
        with np.load(path, allow_pickle=False) as found:
            arrays = [found[f"arr_{number}"].astype(np.float64) for number in range(len(found.files))]
        sums = [total + array for total, array in zip(sums, arrays, strict=True)] if sums else arrays
    for variable, total in zip(state.model.trainable_variables, sums, strict=True):
        variable.assign(total / len(paths))
    if recipe.measure is None:
        return {}
    return {f"val_{name}": float(value) for name, value in recipe.measure(state).items()}


def _check(recipe: Recipe, state: State, figures: Any, folder: Path) -> None:
    bad = [name for name, value in figures.items() if not math.isfinite(float(value))]
    if not bad:
        return
    raise _spoilt(bad[0], recipe, state, folder)


def _spoilt(what: str, recipe: Recipe, state: State, folder: Path) -> GateError:
    step = state.epoch * recipe.steps + state.index + 1
    kept = f"The last good state is {folder / LAST}" if (folder / LAST).exists() else "No state was saved yet"
    return GateError(
        f"{what} is no finite number at step {step} (epoch {state.epoch + 1}, batch {state.index + 1}).\n"
        f"{kept}. A lower learning rate, or clipped gradients, keep it finite."
    )


def _better(recipe: Recipe, state: State, row: dict[str, float]) -> bool:
    if recipe.best is None or recipe.best[0] not in row:
        return False
    name, direction = recipe.best
    if not math.isfinite(row[name]):
        return False
    # Of equals the later one, which has learnt for longer: few held-out samples soon tell no difference.
    better = state.best is None or (row[name] >= state.best if direction == "max" else row[name] <= state.best)
    if better:
        state.best = row[name]
    return better


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    import filelock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / LOCK, timeout=0)
        lock.acquire()
    except filelock.Timeout:
        raise UsageError(f"Another training is running into {folder}.\nWait for it, or name another folder.") from None
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror or error}") from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Says whether Ctrl-C was pressed or the process told to end: no step is cut in half. Twice ends at once."""
    pressed: list[int] = []

    def note(number: int, frame: Any) -> None:
        pressed.append(number)
        if len(pressed) > 1:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(each, note) for each in signals]
    try:
        yield lambda: bool(pressed)
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)
