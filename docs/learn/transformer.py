"""A Transformer counted: where its parameters are; and the waves that tell it where a word stands.

    python docs/learn/transformer.py [--draw docs/images/learn/transformer.png]

Vaswani et al., "Attention Is All You Need", NIPS 2017, arXiv:1706.03762, sections 3.1 to 3.5 and table 3.
"""

from __future__ import annotations

import sys

import numpy as np


def parameters(words: int, layers: int, units: int, inner: int) -> dict[str, int]:
    """Of a Transformer whose three matrices of words are one (section 3.4), with biases."""
    attended = 4 * (units * units + units)  # Queries, keys, values, and the mixing of the heads.
    fed = units * inner + inner + inner * units + units
    norm = 2 * units
    return {
        "words": words * units,
        "encoder": layers * (attended + fed + 2 * norm),
        "decoder": layers * (2 * attended + fed + 3 * norm),
    }


def positions(length: int, units: int) -> np.ndarray:
    """Section 3.5: sines and cosines of wavelengths from 2 pi to 20,000 pi, [length, units]."""
    angles = np.arange(length)[:, None] / 10_000 ** (np.arange(0, units, 2) / units)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, units)


def drawn(path: str) -> None:
    from matplotlib.figure import Figure

    waves = positions(64, 128)
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(waves, cmap="BrBG", aspect="auto")
    left.set_title("each row tells one position", fontsize=9)
    right.imshow(waves @ waves.T, cmap="BrBG", aspect="auto")
    right.set_title("products of two positions", fontsize=9)
    figure.savefig(path, dpi=110)


def main(arguments: list[str]) -> None:
    for name, sizes in {"base": (37_000, 6, 512, 2048), "small": (3_000, 3, 256, 512)}.items():
        found = parameters(*sizes)
        told = ", ".join(f"{part} {count:,}" for part, count in found.items())
        print(f"{name}: {sum(found.values()):,} = {told}")
    waves = positions(64, 128)
    near, far = waves[10] @ waves[11], waves[40] @ waves[41]
    print(f"products of neighbours are equal wherever they stand: {near:.3f}, {far:.3f}")
    if arguments[:1] == ["--draw"]:
        drawn(arguments[1])


if __name__ == "__main__":
    main(sys.argv[1:])
