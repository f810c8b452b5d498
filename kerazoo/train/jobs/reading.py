"""Classifiers of texts, learnt from a table of texts and their classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.assets import Assets
from kerazoo.codecs.text import END, PAD, UNKNOWN, Text, tokens, vocabulary
from kerazoo.errors import InputError, UsageError
from kerazoo.lazy import keras
from kerazoo.sources.labelled import table
from kerazoo.tasks.classify import Classify
from kerazoo.train import losses
from kerazoo.train.data import files, labelled
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.descent import answering
from kerazoo.train.jobs import Job, Request
from kerazoo.train.recipe import Recipe
from kerazoo.train.start import Network
from kerazoo.train.state import State
from kerazoo.train.steps.supervised import Supervised
from kerazoo.train.techniques import applied


def job(asked: Request) -> Job:
    """A classifier for the classes of a table, with the words that it has, or with the most frequent of the table.

    Raises:
        UsageError, InputError: The source is not what can be learnt from, or does not fit the model.
    """
    start, settings, task = asked.start, asked.settings, asked.start.task
    known: Any = task.input.words if isinstance(task, Classify) and isinstance(task.input, Text) else None
    if start.config is None:
        raise UsageError(f"{start.word} is of no builder here; the variants that read texts are taught.")
    asked.augmented()
    found = texts(asked.source)
    names = tuple(sorted({label for _, label in found}))
    if len(names) < 2:
        raise UsageError(f"{asked.source} holds texts of one class ({names[0]}); there is nothing to tell apart.")
    if isinstance(task, Classify) and set(names) <= set(task.labels):
        names = task.labels
    length = settings.length or start.config.length
    cut: dict[str, Any] = {"length": length, "strict": asked.strict, "say": asked.say}
    rows, labels, skipped = split_into(found, names, **cut)
    held, share = None, asked.held
    if isinstance(share, Path):
        other, theirs, more = split_into(texts(share), names, **cut)
        held, skipped = (other, theirs), skipped + more
    elif share:
        kept, spared = labelled.split(labels, share, asked.seed)
        held = [rows[row] for row in spared], labels[spared]
        rows, labels = [rows[row] for row in kept], labels[kept]
    known = known or vocabulary(rows, settings.words or start.config.words)
    config = replace(start.config, words=len(known), length=length, classes=len(names), activation=None)
    tasks = start.family.tasks(config, Assets(labels=names, vocabulary=known))
    optimizer, schedule = settings.made()
    recipe = Recipe(
        name=asked.name,
        model=Network(start, config, None, asked.freeze),
        data=Arrays((numbered(rows, known, length), labels)),
        step=Supervised(losses.cross_entropy, metrics={"accuracy": losses.accuracy}),
        optimizer=optimizer,
        schedule=schedule,
        measure=Accuracy(numbered(held[0], known, length), held[1]) if held is not None else None,
        best=("val_accuracy", "max") if held is not None and not settings.average else None,
        average=settings.average,
        seed=asked.seed,
        batch=settings.batch,
        epochs=settings.epochs,
    )
    recipe = applied(recipe, settings, labels, len(names))
    counts = np.bincount(labels, minlength=len(names)).tolist()
    notes = {
        "classes": dict(zip(names, counts, strict=True)), "held out": 0 if held is None else len(held[1]),
        "left out": skipped, "words": len(known),
    }  # fmt: skip
    return Job(recipe, tasks, None, notes)


def texts(source: Path) -> list[tuple[str, str]]:
    """Texts and the names of their classes.

    Args:
        source: A .tsv of label and text, or a .csv whose first row names the columns `text` and `label`; either may
            end in .gz.

    Raises:
        UsageError: There is nothing of the kind.
    """
    return [(text, label) for _, (text, label) in table(source, ("text", "label"), ("label", "text"))]


def split_into(
    found: Sequence[tuple[str, str]],
    names: Sequence[str],
    length: int,
    strict: bool = False,
    say: Callable[[str], Any] = lambda line: None,
) -> tuple[list[list[str]], np.ndarray, int]:
    """The words of each text, its class's number, int64 [n], and how many texts were left out: empty or too long ones.

    Raises:
        UsageError: A class is none of `names`.
        InputError: A text does not fit, and `strict`; or none does.
    """
    places = {name: number for number, name in enumerate(names)}
    other = sorted({label for _, label in found if label not in places})
    if other:
        raise UsageError(f"The class {other[0]!r} is not learnt; there are {', '.join(names[:10])}.")
    out: list[Any] = [None] * len(found)

    def read_one(row: int) -> None:
        words = tokens(found[row][0])
        if not words:
            raise InputError("it has no words")
        if len(words) >= length:
            raise InputError(f"{len(words)} words and signs; {length - 1} fit")
        out[row] = words

    rows = [f"text {row + 1}" for row in range(len(found))]
    kept = files.each(rows, read_one, what="texts", strict=strict, say=say)
    labels = np.array([places[label] for _, label in found], np.int64)
    return [words for words in out if words is not None], labels[kept], int(np.sum(~kept))


def numbered(rows: Sequence[Sequence[str]], known: Sequence[str], length: int) -> np.ndarray:
    """Words as numbers, `<end>` behind them, int32 [n, length]: what `kerazoo.codecs.text.Text` gives."""
    places = {word: number for number, word in enumerate(known)}
    out = np.full((len(rows), length), PAD, np.int32)
    for row, words in zip(out, rows, strict=True):
        row[: len(words)] = [places.get(word, UNKNOWN) for word in words]
        row[len(words)] = END
    return out


@dataclass(frozen=True)
class Accuracy:
    """Loss and accuracy on texts that are not learnt from.

    Attributes:
        words, labels: int32 [n, length] and int64 [n].
    """

    words: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)

    def __call__(self, state: State) -> dict[str, float]:
        ops = keras.ops
        answer = state.once("accuracy", lambda: answering(state.model))
        total, right = 0.0, 0.0
        for start in range(0, len(self.labels), 200):
            labels, output = self.labels[start : start + 200], answer(self.words[start : start + 200])
            total += float(ops.sum(losses.cross_entropy(labels, output)))
            right += float(ops.sum(losses.right(labels, output)))
        return {"loss": total / len(self.labels), "accuracy": right / len(self.labels)}
