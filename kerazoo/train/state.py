"""The state of a training as one file: what it takes to go on as if nothing had happened.

An .npz archive of arrays; its member `about` is JSON. Nothing is pickled, and a file is put in place whole or not at
all.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.engines.quiet import quiet
from kerazoo.errors import KerazooError, UsageError, WeightsDamaged
from kerazoo.lazy import keras
from kerazoo.train.recipe import Recipe

ABOUT = "about"
FORMAT = 1


@dataclass
class State:
    """Where a training stands.

    Attributes:
        models: Networks by name; `model` where there is one. Their variables hold the states of dropout's generators.
        optimizers: By the name of the model whose weights they move.
        seed: Of the recipe.
        epoch: Epochs that are done.
        index: Batches that are done in the epoch that follows.
        history: Figures of each epoch that is done.
        sums: Sums of the steps' figures in the epoch that is not done.
        best: The best value so far of the figure that the recipe names.
        seconds: Spent in training.
        arrays: What else a step keeps from one batch to the next, by name.
    """

    models: dict[str, Any]
    optimizers: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    epoch: int = 0
    index: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    best: float | None = None
    seconds: float = 0.0
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    compiled: dict[Any, Any] = field(default_factory=dict, repr=False)
    """What steps have traced for these models; no part of the file."""

    @property
    def model(self) -> Any:
        """The one network, or the first of several."""
        return next(iter(self.models.values()))

    def once(self, key: Any, make: Any) -> Any:
        """What `make` gives, made at the first call with this key: a traced function, for instance."""
        if key not in self.compiled:
            self.compiled[key] = make()
        return self.compiled[key]

    def variables(self) -> dict[str, Any]:
        """Every variable by a name of its own, in an order that does not change."""
        found = {}
        for kind, owners in (("models", self.models), ("optimizers", self.optimizers)):
            for name, owner in owners.items():
                for number, variable in enumerate(owner.variables):
                    found[f"{kind}/{name}/{number:04d}"] = variable
        return found


def begin(recipe: Recipe) -> State:
    """The state before the first step."""
    with quiet():  # It imports TensorFlow, whatever the backend is.
        keras.utils.set_random_seed(recipe.seed)
    made = recipe.model()
    models = dict(made) if isinstance(made, Mapping) else {"model": made}
    several = recipe.optimizer
    kinds = several if isinstance(several, Mapping) else {next(iter(models)): several}
    optimizers = {}
    for name, kind in kinds.items():
        optimizers[name] = kind.build(recipe.schedule.rate(recipe.steps, recipe.epochs))
        optimizers[name].build(models[name].trainable_variables)
    return State(models, optimizers, recipe.seed)


def save(state: State, recipe: Recipe, path: Path) -> None:
    """Writes the state beside `path`, and then into its place.

    Raises:
        KerazooError: It cannot be written; what was there is still there.
    """
    about = {
        "format": FORMAT,
        "recipe": recipe.identity,
        "name": recipe.name,
        "seed": state.seed,
        "epoch": state.epoch,
        "index": state.index,
        "history": state.history,
        "sums": state.sums,
        "best": state.best,
        "seconds": state.seconds,
    }
    arrays = {name: variable.numpy() for name, variable in state.variables().items()}
    arrays |= {f"arrays/{name}": array for name, array in state.arrays.items()}
    arrays[ABOUT] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    with replacing(path) as new:
        np.savez(new, **arrays)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[io.BufferedWriter]:
    """A file beside `path`, forced to the disk and put in its place at the end; removed if the block fails.

    Raises:
        KerazooError: It cannot be written.
    """
    new = path.with_name(f".{path.name}.new")
    try:
        with full_disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with new.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, path)
    finally:
        with contextlib.suppress(OSError):
            new.unlink()


@contextlib.contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """Says what a file could not be written for, and that nothing is lost.

    Raises:
        KerazooError: The block raised an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise KerazooError(
            f"{path} cannot be written: {error.strerror or error}.\n"
            "What was saved before is still there; make room, and go on from it with --resume."
        ) from error


def load(recipe: Recipe, path: Path) -> State:
    """The state in a file, for the recipe that it is of.

    Raises:
        UsageError: It is the state of another recipe, of another version, or cannot be read.
        WeightsDamaged: The file is not whole.
    """
    try:
        # NumPy leaves a file open that is no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            about = json.loads(stored[ABOUT].tobytes())
            arrays = {name: stored[name] for name in stored.files if name != ABOUT}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise WeightsDamaged(
            f"{path} is damaged, or no state of a training: {error}.\nBegin anew in another folder."
        ) from None
    if about.get("format") != FORMAT:
        raise UsageError(f"{path} was written by another version of Kerazoo; begin anew in another folder.")
    state = begin(recipe)
    variables = state.variables()
    kept = {name: array for name, array in arrays.items() if name.startswith("arrays/")}
    fits = arrays.keys() - kept.keys() == variables.keys() and all(
        arrays[name].shape == tuple(variable.shape) for name, variable in variables.items()
    )
    if about["recipe"] != recipe.identity or not fits:
        raise UsageError(
            f"{path} is the state of another recipe ({about['name']}): model, data, seed or settings differ.\n"
            "Go on with the same ones, or begin anew in another folder."
        )
    for name, variable in variables.items():
        variable.assign(arrays[name])
    for name in ("epoch", "index", "history", "sums", "best", "seconds"):
        setattr(state, name, about[name])
    state.arrays = {name.removeprefix("arrays/"): array for name, array in kept.items()}
    return state
