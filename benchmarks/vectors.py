"""Word vectors learnt here and by gensim, from the same text with the same settings: whether they are worth the same.

    python -m benchmarks.vectors words_5m.txt word_tests/ --out benchmarks/results/vectors.json

Wants `gensim`, in an environment that may be thrown away. Words are runs of the letters a to z, capitals made small,
that occur five times or more; 100 numbers, windows of 5, `sample` 1e-4, five passes, one thread. The tests are
questions-words.txt, wordsim353.tsv and simlex999.txt, asked of the 30,000 most frequent words. Spearman's correlations
should lie within 0.03 of gensim's; text of this size gives neither high ones.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import record
from kerazoo.metrics.embed import spearman
from kerazoo.sources import texts
from kerazoo.train import words
from kerazoo.train.words import Way
from kerazoo.words import Table, unit

WAYS = {
    "skip-gram": Way(sample=1e-4),
    "skip-gram, tree": Way(sample=1e-4, negative=0),
    "bag": Way(sample=1e-4, bag=True),
    "bag, tree": Way(sample=1e-4, bag=True, negative=0),
}
KNOWN = 30_000


def ours(sentences: Sequence[Sequence[str]], way: Way) -> tuple[Sequence[str], np.ndarray]:
    """Words, the most frequent first, and their vectors."""
    known, counts = words.counted(sentences)
    number = {word: place for place, word in enumerate(known)}
    numbers = [[number[word] for word in sentence if word in number] for sentence in sentences]
    *_, vectors = words.learn(numbers, counts, way)
    return known, vectors


def gensims(sentences: Sequence[Sequence[str]], way: Way) -> tuple[Sequence[str], np.ndarray]:
    """The same by gensim."""
    from gensim.models import Word2Vec

    model = Word2Vec(
        sentences, vector_size=way.units, window=way.window, min_count=5, sample=way.sample, epochs=way.epochs,
        sg=not way.bag, hs=not way.negative, negative=way.negative, alpha=way.first, seed=way.seed, workers=1,
    )  # fmt: skip
    return model.wv.index_to_key, model.wv.vectors


def figures(known: Sequence[str], vectors: np.ndarray, folder: Path) -> dict[str, float]:
    """Percent of analogies, and Spearman's correlation with what people judged."""
    table = Table(tuple(word.lower() for word in known[:KNOWN]), unit(vectors[:KNOWN]))
    asked = [four for _, four in texts.analogies(folder / "questions-words.txt") if all(map(table.known, four))]
    fours = np.array([[table.number(word) for word in four] for four in asked])
    found = {"analogies": 100 * float(np.mean(table.answers(fours[:, :3]) == fours[:, 3])), "questions": len(fours)}
    for name, file in (("WordSim", "wordsim353.tsv"), ("SimLex", "simlex999.txt")):
        pairs = [pair for pair in texts.alike(folder / file) if all(map(table.known, pair.item))]
        sides = (table.vectors[[table.number(pair.item[side]) for pair in pairs]] for side in (0, 1))
        found[name] = spearman(np.sum(np.prod([*sides], 0), -1), np.array([pair.truth for pair in pairs]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path, help="one sentence or paragraph a line, also .gz")
    parser.add_argument("tests", type=Path, help="a folder with the three tests")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[*WAYS])
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()

    sentences = [re.findall("[a-z]+", line) for line in texts.plain(arguments.text).lower().split("\n")]
    told: dict[str, Any] = {}
    for name in arguments.ways:
        told[name] = {}
        for learner in (ours, gensims):
            start = time.process_time()
            found = learner(sentences, WAYS[name])
            spent = time.process_time() - start
            told[name][learner.__name__] = {**figures(*found, arguments.tests), "processor seconds": spent}
            print(name, learner.__name__, told[name][learner.__name__], flush=True)
        if arguments.out:
            record.keep(arguments.out, {**told, **record.origin("vectors")})


if __name__ == "__main__":
    main()
