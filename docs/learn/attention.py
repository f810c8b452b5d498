"""Attention in NumPy: a query finds the values whose keys are like it; and why it is divided by a root.

    python docs/learn/attention.py [--draw docs/images/learn/attention.png]

Bahdanau, Cho, Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate", ICLR 2015,
arXiv:1409.0473; Vaswani et al., "Attention Is All You Need", NIPS 2017, arXiv:1706.03762, section 3.2.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

ASKED, ANSWERED = "ein mann auf einem fahrrad", "A man on a bike."


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def weights(queries: np.ndarray, keys: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
    """How much each query [.., n, d] looks at each key [.., m, d]; rows of [.., n, m] sum to 1.

    `seen` [n, m] is false where a query must not look: in a decoder at what is still to be written.
    """
    scores = queries @ np.swapaxes(keys, -1, -2) / np.sqrt(queries.shape[-1])
    return softmax(scores if seen is None else np.where(seen, scores, -np.inf))


def attention(queries: np.ndarray, keys: np.ndarray, values: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
    """What each query finds: values [.., m, units], mixed by its weights."""
    return weights(queries, keys, seen) @ values


def drawn(path: str) -> None:
    """What the bundled Transformer looks at in a sentence while it writes: the mean of the heads of its last layer."""
    from matplotlib.figure import Figure

    from kerazoo import registry
    from kerazoo.codecs.text import END, SPECIAL, START
    from kerazoo.lazy import keras

    built = registry.build("transformer_small:multi30k-de-en")
    source, heads, last = built.task.source, 8, "decoder_3_source"
    written = replace(source, lower=False).tokens(ANSWERED)
    sides = [[*source.tokens(ASKED), SPECIAL[END]], [SPECIAL[START], *written]]
    numbers = [np.array([[source.pieces.index(piece) for piece in side]], np.int32) for side in sides]
    read = np.pad(numbers[0], ((0, 0), (0, source.length - numbers[0].shape[1])))
    tensors = [built.keras.get_layer(f"{last}_{kind}").output for kind in ("query", "key")]
    made = keras.Model(built.keras.inputs, tensors)([read, numbers[1]])
    queries, keys = (
        np.asarray(each)[0].reshape(each.shape[1], heads, -1).transpose(1, 0, 2)[:, : len(side)]
        for each, side in zip(made, reversed(sides), strict=True)
    )
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.imshow(weights(queries, keys).mean(axis=0), cmap="Greens", vmin=0)
    axes.set_xticks(range(len(sides[0])), sides[0], rotation=40, ha="right")
    axes.set_yticks(range(len(sides[1])), [f"behind {piece}" for piece in sides[1]])
    figure.savefig(path, dpi=110)


def main(arguments: list[str]) -> None:
    rng = np.random.default_rng(0)
    keys = np.eye(4)
    found = attention(8 * keys[[2]], keys, np.array([[10.0], [20.0], [30.0], [40.0]]))
    print(f"a query like the third of four keys, values 10 to 40, finds {found[0, 0]:.2f}")
    early = weights(rng.normal(size=(3, 8)), rng.normal(size=(3, 8)), np.tri(3, dtype=bool))
    print(f"the first of three looks at itself alone: {early[0].round(2)}")
    for units in (4, 64, 1024):
        queries, keys = rng.normal(size=(2, 200, 16, units))
        scores = queries @ np.swapaxes(keys, 1, 2)
        sharp, soft = softmax(scores).max(axis=-1).mean(), weights(queries, keys).max(axis=-1).mean()
        told = f"largest weight {sharp:.2f}, by the root {soft:.2f}"
        print(f"{units:4} units: products vary by {scores.std():5.1f}; {told}")
    if arguments[:1] == ["--draw"]:
        drawn(arguments[1])


if __name__ == "__main__":
    main(sys.argv[1:])
