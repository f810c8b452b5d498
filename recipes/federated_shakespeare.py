"""Federated averaging over Shakespeare's roles: the character model of McMahan et al., arXiv:1602.05629, section 3.

    python recipes/federated_shakespeare.py shakespeare_roles.jsonl.xz out/ [--rounds N] [--minutes M]
    python recipes/federated_shakespeare.py shakespeare_roles.jsonl.xz out/ --measure
    kerazoo predict "My lord," -m out/model.keras

The file has a role a line, as JSON: `train`, the first 80 % of its lines, and `test`, the rest. Each role is a client,
four of them learn in a round, in one pass with ten windows of 80 characters a step. The network is the paper's, two
layers of 256 LSTM units with peepholes over vectors of 8 numbers, but for the characters, which are those of the text.
The log has the share of next characters that are right, in percent, on a tenth of the windows of all roles' test lines;
with `--measure` it is that of all of them.
"""

from __future__ import annotations

import argparse
import functools
import json
import lzma
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.applications import char_rnn
from kerazoo.assets import Assets
from kerazoo.codecs._characters import Characters, alphabet
from kerazoo.engines.quiet import import_keras
from kerazoo.train import losses, product
from kerazoo.train import state as state_
from kerazoo.train.data.windows import windows
from kerazoo.train.descent import answering
from kerazoo.train.federated.clients import Clients
from kerazoo.train.federated.step import Averaging
from kerazoo.train.recipe import Recipe
from kerazoo.train.run import LAST, run
from kerazoo.train.schedules import Constant, Optimizer
from kerazoo.train.state import State
from kerazoo.train.steps.supervised import Supervised

CLIENTS, LENGTH, BATCH, RATE, ROUNDS, EVERY = 4, 80, 10, 1.0, 400, 10


def opened(path: Path) -> list[dict[str, str]]:
    """The roles."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def following(targets: Any, output: Any, known: Any) -> Any:
    """Nats a character."""
    return losses.over_known(losses.cross_entropy)(targets, output["logits"], known)


@dataclass(frozen=True)
class Accuracy:
    """Next characters that are right, in percent, each window read from its own beginning.

    Attributes:
        arrays: As `kerazoo.train.data.windows` makes them.
    """

    arrays: tuple[np.ndarray, ...] = field(repr=False)

    def __call__(self, state: State) -> dict[str, float]:
        answer = state.once("accuracy", lambda: answering(state.model, lambda characters: characters))
        right = 0.0
        for start in range(0, len(self.arrays[0]), 100):
            before, after, known = (array[start : start + 100] for array in self.arrays)
            logits = answer(before)["logits"]
            right += float(np.sum((np.asarray(logits).argmax(-1) == after) * known))
        return {"accuracy": 100 * right / float(self.arrays[2].sum())}


def recipe(roles: list[dict[str, str]], rounds: int, minutes: float | None) -> tuple[Recipe, Characters]:
    """The training, and how its characters are numbered."""
    codec = Characters(alphabet(role["train"] for role in roles))
    config = char_rnn.Config(
        "char_lstm", "peephole_lstm", len(codec.words), embedding=8, units=256, layers=2, dropout=0.0
    )
    data, owners = windows((role["train"] for role in roles), codec, LENGTH)
    held, _ = windows((role["test"] for role in roles), codec, LENGTH)
    clients = Clients.owning(data, owners, CLIENTS)
    made = Recipe(
        "char_lstm:shakespeare-roles",
        model=functools.partial(char_rnn.build, config),
        data=clients,
        step=Averaging(Supervised(following), batch=BATCH),
        optimizer=Optimizer("sgd"),
        schedule=Constant(RATE),
        measure=Accuracy(tuple(array[::10] for array in held.arrays)),
        every=EVERY,
        seed=1616,
        batch=len(clients),
        epochs=rounds,
        minutes=minutes,
    )
    return made, codec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="roles, a JSON object a line, in .xz")
    parser.add_argument("out", type=Path, help="a folder, whose state is gone on from")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--minutes", type=float, help="end earlier, at the round that ends later")
    parser.add_argument("--measure", action="store_true", help="only measure, on all test lines")
    given = parser.parse_args()
    roles = opened(given.data)
    made, codec = recipe(roles, given.rounds, given.minutes)
    if given.measure:
        import_keras()
        state = state_.load(made, given.out / LAST)
        held, _ = windows((role["test"] for role in roles), codec, LENGTH)
        print(f"{state.epoch} rounds", Accuracy(held.arrays)(state))
        return
    done = run(made, given.out, say=functools.partial(print, flush=True))
    config = char_rnn.sizes(done.state.model)
    tasks = char_rnn.tasks(char_rnn.Config(**config), Assets(vocabulary=codec.words))
    product.save(done.state.model, given.out / "model.keras", tasks, None, made, done.figures)


if __name__ == "__main__":
    main()
