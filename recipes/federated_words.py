"""Words that no central text holds, learnt from clients that keep what they write.

    python recipes/federated_words.py shakespeare_roles.jsonl.xz tinyshakespeare.txt.gz out/ [--rounds N] [--minutes M]

After Chen et al., "Federated Learning of Out-of-Vocabulary Words", arXiv:1903.10635: clients learn a model of the
characters of those words that the server's vocabulary lacks; the server samples words from it, and never sees what
anybody wrote. Here the vocabulary is that of one text, and the clients are the roles of Shakespeare's 37 plays; a word
counts as often as its role says it. Told are, of so many sampled words, how many some client wrote though the
vocabulary lacks them, the same of words that follow the frequencies of pairs of letters in the vocabulary, and the
words that were sampled most; words of four letters and fewer are hit by chance, and do not count.
"""

from __future__ import annotations

import argparse
import functools
import json
import lzma
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.applications import char_rnn
from kerazoo.codecs._characters import Characters, alphabet
from kerazoo.sources import texts
from kerazoo.train import losses
from kerazoo.train.data.windows import windows
from kerazoo.train.federated.clients import Clients
from kerazoo.train.federated.step import Averaging
from kerazoo.train.recipe import Recipe
from kerazoo.train.run import run
from kerazoo.train.schedules import Constant, Optimizer
from kerazoo.train.steps.carried import stepping
from kerazoo.train.steps.supervised import Supervised

CLIENTS, EPOCHS, BATCH, RATE, ROUNDS = 10, 2, 10, 1.0, 400
LONGEST, SAMPLES, SHOWN, LEAST = 20, 10_000, 40, 5


def words(text: str) -> list[str]:
    """In lower case, apostrophes within them kept; what is longer than `LONGEST` is none."""
    return [word for word in re.findall(r"[a-z]+(?:'[a-z]+)*", text.lower()) if len(word) <= LONGEST]


def unknown(path: Path, vocabulary: frozenset[str]) -> list[list[str]]:
    """For each role that has any, its words that the vocabulary lacks."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        roles = [words(json.loads(line)["train"]) for line in file]
    found = [[word for word in role if word not in vocabulary] for role in roles]
    return [role for role in found if role]


def following(targets: Any, output: Any, known: Any) -> Any:
    """Nats a character."""
    return losses.over_known(losses.cross_entropy)(targets, output["logits"], known)


def recipe(clients: list[list[str]], rounds: int, minutes: float | None) -> tuple[Recipe, Characters, Any]:
    """The training, how characters are numbered, and the network's sizes."""
    codec = Characters(alphabet("abcdefghijklmnopqrstuvwxyz'"))
    config = char_rnn.Config("char_lstm", "lstm", len(codec.words), embedding=16, units=128, layers=1, dropout=0.0)
    written = [(word, owner) for owner, client in enumerate(clients) for word in client]
    data, _ = windows((word for word, _ in written), codec, LONGEST + 1)
    owning = Clients.owning(data, np.array([owner for _, owner in written]), CLIENTS)
    made = Recipe(
        "char_lstm:unknown-words",
        model=functools.partial(char_rnn.build, config),
        data=owning,
        step=Averaging(Supervised(following), EPOCHS, BATCH),
        optimizer=Optimizer("sgd"),
        schedule=Constant(RATE),
        seed=1903,
        batch=len(owning),
        epochs=rounds,
        minutes=minutes,
    )
    return made, codec, config


def sampled(model: Any, codec: Characters, config: Any, count: int, seed: int) -> list[str]:
    """Words drawn from the model, character by character."""
    import tensorflow as tf

    step = tf.function(stepping(model, config.states), autograph=False)
    rng = np.random.default_rng(seed)
    before, states = np.full(count, codec.line, np.int32), [np.zeros((count, config.units), np.float32)] * 2
    rows = []
    for _ in range(LONGEST + 1):
        logits, *states = step([before[:, None], *states])
        # The largest of logits with Gumbel noise is a draw of their softmax.
        before = (logits.numpy()[:, 0] + rng.gumbel(size=(count, config.characters))).argmax(-1).astype(np.int32)
        rows.append(before)
    letters = codec.characters
    lines = ("".join(letters[number] for number in row) for row in np.stack(rows, 1))
    return [line.partition("\n")[0] for line in lines]


def paired(vocabulary: Iterable[str], count: int, seed: int) -> list[str]:
    """Words of which each letter follows the one before it as often as in the vocabulary."""
    letters = "\nabcdefghijklmnopqrstuvwxyz'"
    table = np.zeros((len(letters), len(letters)))
    for word in sorted(vocabulary):
        for one, other in zip(f"\n{word}", f"{word}\n", strict=True):
            table[letters.index(one), letters.index(other)] += 1
    sums = np.cumsum(table, 1) / np.maximum(table.sum(1, keepdims=True), 1)
    rng, found = np.random.default_rng(seed), []
    while len(found) < count:
        word, place = "", 0
        while (place := int(np.searchsorted(sums[place], rng.random(), "right"))) and len(word) <= LONGEST:
            word += letters[place]
        found.append(word)
    return found


def judged(drawn: list[str], clients: list[list[str]]) -> dict[str, float]:
    """Of the sampled words of `LEAST` letters and more: percent that a client wrote and the vocabulary lacks, and how
    many different ones. Shorter ones are hit by chance.
    """
    theirs = {word for client in clients for word in client}
    long = [word for word in drawn if len(word) >= LEAST]
    hits = [word for word in long if word in theirs]
    return {
        "long": len(long),
        "of a client, %": round(100 * len(hits) / max(len(long), 1), 2),
        "different": len(set(hits)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="roles, a JSON object a line, in .xz")
    parser.add_argument("central", type=Path, help="the text whose words the server knows")
    parser.add_argument("out", type=Path, help="a folder, whose state is gone on from")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--minutes", type=float, help="end earlier, at the round that ends later")
    given = parser.parse_args()
    vocabulary = frozenset(words(texts.plain(given.central)))
    clients = unknown(given.data, vocabulary)
    written = Counter(word for client in clients for word in client)
    print(
        f"{len(vocabulary)} words are known; {len(clients)} clients wrote {len(written)} others {written.total()} times"
    )
    made, codec, config = recipe(clients, given.rounds, given.minutes)
    done = run(made, given.out, say=functools.partial(print, flush=True))
    drawn = sampled(done.state.model, codec, config, SAMPLES, seed=0)
    print(f"after {done.state.epoch} rounds, of {SAMPLES} words", judged(drawn, clients))
    print("of pairs of letters", judged(paired(vocabulary, SAMPLES, seed=0), clients))
    hits = Counter(word for word in drawn if word in written and len(word) >= LEAST)
    print("most sampled:", ", ".join(f"{word} {hits[word]} ({written[word]})" for word, _ in hits.most_common(SHOWN)))
    frequent = [word for word, _ in written.most_common() if len(word) >= LEAST][:100]
    print("of the 100 such words that are written most, sampled:", sum(word in hits for word in frequent))


if __name__ == "__main__":
    main()
