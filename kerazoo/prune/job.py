"""`kerazoo.prune.prune(...)`: from a model to a smaller one that everything takes, and what that came to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kerazoo import registry
from kerazoo.engines.quiet import import_tensorflow
from kerazoo.errors import UsageError, near
from kerazoo.own.files import load_keras
from kerazoo.prune import graph, masks, report
from kerazoo.prune.schedules import Course, Gradual, OneShot
from kerazoo.prune.step import Masked
from kerazoo.prune.surgery import without
from kerazoo.prune.widths import Choice, going
from kerazoo.train import product
from kerazoo.train.fit import MODEL, train
from kerazoo.train.jobs import Job
from kerazoo.train.recipe import Recipe
from kerazoo.train.run import LAST
from kerazoo.train.start import Network, Start, find
from kerazoo.train.state import State

SCHEDULES = ("one-shot", "gradual")

GRADUAL_SHARE = 0.5
"""Of the training, in which a gradual schedule prunes; the rest mends."""

LOOKS = 8
"""Batches that the gradient method looks at before channels are chosen."""


@dataclass(frozen=True)
class Pruned:
    """What pruning came to.

    Attributes:
        path: The `.keras` file with its card; everything that takes a MODEL takes it.
        report: What `report.json` says.
        folder: With the model, the report, and what a training leaves.
    """

    path: Path
    report: Mapping[str, Any]
    folder: Path


@dataclass(frozen=True)
class Asked:
    """What was asked for, checked: see `prune`."""

    sparsity: float
    structure: str
    method: str
    scope: str
    schedule: str
    keep: tuple[str, ...]
    multiple: int
    seed: int


def prune(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    sparsity: float | None = None,
    structure: str = "none",
    method: str = "magnitude",
    scope: str | None = None,
    schedule: str | None = None,
    data: str | os.PathLike[str] | None = None,
    epochs: int | None = None,
    recipe: str | None = None,
    settings: Mapping[str, Any] | None = None,
    validation: float | str | os.PathLike[str] | None = None,
    keep: Iterable[str] = (),
    multiple: int = 16,
    seed: int = 0,
    resume: bool = False,
    say: Callable[[str], Any] | None = None,
) -> Pruned:
    """Prunes a model, and trains it on where there is data.

    Args:
        model: `variant:weights`, a bare variant for its first weights, or a `.keras` file of one's own.
        out: A folder for `model.keras`, `report.json` and what a training leaves.
        sparsity: The share of the prunable weights that become zero; 0.5 by necessity with `2:4`; with `channel` the
            share of the multiply-adds that go.
        structure: `none` zeroes weights one by one, `2:4` two of every four, `channel` takes channels out of the
            network, which gets faster on every engine.
        method: `magnitude`, `gradient` (times weight; needs data) or `random`.
        scope: `global` compares all layers' weights, `layer` prunes each by the same share. By default `global` for
            weights and `layer` for channels.
        schedule: `one-shot`, or `gradual` along a cubic curve over the first half of the training; by default
            `gradual` where there is data, but for channels and `2:4`, which go at once.
        data: As `kerazoo.train` takes it; `None` prunes without training.
        epochs: How long to train.
        recipe, settings: As `kerazoo.train` takes them.
        validation: A share of the data to hold out, or a second source: what accuracy before and after is measured on.
        keep: Names of layers that stay as they are, or patterns; by default the classifier alone does.
        multiple: What numbers of channels stay a multiple of: see `kerazoo.prune.widths.Choice`.
        seed: Of what is drawn.
        resume: Go on from the state in `out`.
        say: Is told what happens; by default stderr is.

    Raises:
        UsageError: What is asked for does not fit together, or not the model.
        GateError: The loss became NaN or infinite.
    """
    asked = _asked(sparsity, structure, method, scope, schedule, data, keep, multiple, seed)
    folder = Path(out).expanduser()
    if (folder / LAST).exists() and not resume:
        raise UsageError(f"{folder} holds a training already.\nGo on with --resume, or name another folder.")
    if (folder / MODEL).exists() and not resume:
        raise UsageError(f"{folder / MODEL} exists already and was not overwritten. Name another folder.")
    import_tensorflow()
    start = find(_word(model))
    if start.built is None or getattr(start.built, "keras", None) is None:
        raise UsageError(f"{start.word} has no weights to prune.")
    old = start.built.keras
    asked = replace(asked, keep=asked.keep or tuple(filter(None, [graph.classifier(old)])))
    graph.kernels(old, asked.keep)  # What cannot be pruned is said before the data is read.
    if data is None:
        return _untrained(start, asked, folder)
    before: dict[str, Any] = {}

    def change(made: Job) -> Job:
        job, found = _changed(start, made, asked)
        before.update(found)
        return job

    done = train(
        start.word, data, folder, recipe=recipe, epochs=epochs, settings=settings, resume=resume, seed=seed,
        validation=validation, say=say, change=change,
    )  # fmt: skip
    after = {name.removeprefix("val_"): value for name, value in done.figures.items() if name.startswith("val_")}
    figures = {"before": before, "after": after, "epochs": len(done.history)}
    return _reported(done.path, old, load_keras(done.path), asked, figures, folder)


def _word(model: str | os.PathLike[str]) -> str:
    word = os.fspath(model)
    if word not in registry.variants():
        return word
    found = registry.find(word)
    registry.require_weights(found)
    return found.name


def _asked(
    sparsity: float | None, structure: str, method: str, scope: str | None, schedule: str | None, data: Any,
    keep: Iterable[str], multiple: int, seed: int,
) -> Asked:  # fmt: skip
    scope = scope or ("layer" if structure == "channel" else "global")
    schedule = schedule or ("gradual" if data is not None and structure == "none" else "one-shot")
    for name, word, known in (
        ("structure", structure, masks.STRUCTURES), ("method", method, masks.METHODS), ("scope", scope, masks.SCOPES),
        ("schedule", schedule, SCHEDULES),
    ):  # fmt: skip
        if word not in known:
            raise UsageError(f"{name}={word} is not known; known are {', '.join(known)}.{near(word, known)}")
    if structure == "2:4":
        if sparsity not in (None, 0.5):
            raise UsageError(f"--sparsity {sparsity:g} with 2:4: two of every four weights are half of them, 0.5.")
        sparsity = 0.5
    if sparsity is None:
        raise UsageError("Say how much: --sparsity 0.8 zeroes 80 % of the weights.")
    if not 0 < sparsity < 1:
        raise UsageError(
            f"--sparsity {sparsity:g} is no share between 0 and 1: 0 would change nothing, and 1 leave nothing.\n"
            "--sparsity 0.8 zeroes 80 % of the weights."
        )
    if method == "gradient" and data is None:
        raise UsageError("The gradient method needs data to take gradients on: --data SOURCE.")
    if schedule == "gradual" and (data is None or structure != "none"):
        why = "there is no training to spread it over" if data is None else f"{structure} is pruned at once"
        raise UsageError(f"--schedule gradual: {why}. Use one-shot.")
    if multiple < 1:
        raise UsageError(f"multiple={multiple} is not a positive number.")
    return Asked(sparsity, structure, method, scope, schedule, tuple(keep), multiple, seed)


def _masked(asked: Asked, step: Any, recipe: Recipe | None) -> Masked:
    course: Course = OneShot(asked.sparsity)
    steps = recipe.steps if recipe is not None else 1
    if recipe is not None and asked.schedule == "gradual":
        whole = steps * recipe.epochs
        course = Gradual(asked.sparsity, end=int(GRADUAL_SHARE * whole), every=max(1, whole // 200))
    return Masked(
        step, course, steps, asked.method, asked.scope, asked.structure, asked.keep, asked.seed
    )  # fmt: skip


def _choice(asked: Asked) -> Choice:
    return Choice(asked.sparsity, asked.method, asked.scope, asked.multiple, asked.keep, asked.seed)


@dataclass(frozen=True)
class Thinned:
    """Makes the network that a recipe trains on: another one without some of its channels."""

    network: Network
    choice: Choice
    looks: Looks | None = None

    def __call__(self) -> Any:
        model = self.network()
        return without(model, *going(model, self.choice, self.looks(model) if self.looks is not None else None))


@dataclass(frozen=True)
class Looks:
    """Gradients of the loss over the first batches of some data, for the channels' scores."""

    step: Any
    data: Any
    size: int
    seed: int

    def __call__(self, model: Any) -> dict[str, Any]:
        import numpy as np

        rng = np.random.default_rng(self.seed)
        order, weights = rng.permutation(len(self.data)), model.trainable_variables
        total: dict[str, Any] = {}
        for start in range(0, min(LOOKS * self.size, len(order)), self.size):
            batch = self.data.batch(order[start : start + self.size], rng)
            for weight, gradient in zip(weights, self.step.gradients(model, batch, weights), strict=True):
                total[weight.path] = total.get(weight.path, 0.0) + gradient
        return total


def _untrained(start: Start, asked: Asked, folder: Path) -> Pruned:
    built: Any = start.built
    network = Network(start)()
    if asked.structure == "channel":
        made = without(network, *going(network, _choice(asked)))
    else:
        state = State({"model": network})
        _masked(asked, None, None).prune(state, asked.sparsity)
        made = network
    notes = _notes(start, asked)
    path = product.saved(made, folder / MODEL, built.tasks, built.normalise, {}, notes)
    return _reported(path, built.keras, made, asked, {}, folder)


def _changed(start: Start, made: Job, asked: Asked) -> tuple[Job, dict[str, float]]:
    """A training that prunes, and what the network is measured to be before."""
    recipe = replace(made.recipe, best=None)  # The best epoch may be one of before the pruning.
    before = _measured(recipe, State({"model": recipe.model()}))
    if asked.structure == "channel":
        looks = Looks(recipe.step, recipe.data, recipe.size, asked.seed) if asked.method == "gradient" else None
        recipe = replace(recipe, model=Thinned(recipe.model, _choice(asked), looks))  # type: ignore[arg-type]
    else:
        recipe = replace(recipe, step=_masked(asked, recipe.step, recipe))
    return replace(made, recipe=recipe, notes={**made.notes, **_notes(start, asked)}), before


def _measured(recipe: Recipe, state: State) -> dict[str, float]:
    if recipe.measure is None:
        return {}
    return {name: float(value) for name, value in recipe.measure(state).items()}


def _notes(start: Start, asked: Asked) -> dict[str, Any]:
    told = {name: getattr(asked, name) for name in ("sparsity", "structure", "method", "scope", "schedule", "seed")}
    return {"pruned": {"from": Path(start.word).name, **told, "kept": list(asked.keep)}}


def _reported(path: Path, before: Any, after: Any, asked: Asked, figures: Mapping[str, Any], folder: Path) -> Pruned:
    found = {
        "model": str(path),
        "structure": asked.structure,
        "method": asked.method,
        "scope": asked.scope,
        "schedule": asked.schedule,
        "seed": asked.seed,
        **report.counts(before, after, asked.keep),
        **figures,
    }
    report.write(found, folder)
    return Pruned(path, found, folder)
