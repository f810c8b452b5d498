"""Random numbers that depend on nothing but a seed."""

from __future__ import annotations

import numpy as np

_GAMMA = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))


def _mixed(bits: np.ndarray) -> np.ndarray:
    for shift, factor in _MIX:
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    return bits


def uniform(seeds: np.ndarray, count: int) -> np.ndarray:
    """Numbers between 0 and 1 that depend on nothing but the seed: int64 [batch] to float64 [batch, count].

    SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014) used as a counter:
    the bits number i of a seed are `mix(mix(seed) + (i + 1) * 0x9E3779B97F4A7C15)` in arithmetic modulo 2^64, and the
    number is their upper 53 bits, centred, so that it is neither 0 nor 1. So a longer row begins with the shorter one,
    and rows do not depend on their neighbours.
    """
    keys = _mixed(np.asarray(seeds, np.int64).astype(np.uint64) + np.uint64(_GAMMA))
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GAMMA)
    bits = _mixed(keys[:, None] + steps)
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normal(seeds: np.ndarray, count: int) -> np.ndarray:
    """Standard normal noise that depends on nothing but the seed: int64 [batch] to float32 [batch, count].

    The uniform numbers 2j and 2j + 1 of a seed become number j by Box and Muller's cosine branch.
    """
    pairs = uniform(seeds, 2 * count)
    radius, angle = np.sqrt(-2.0 * np.log(pairs[:, 0::2])), 2.0 * np.pi * pairs[:, 1::2]
    return (radius * np.cos(angle)).astype(np.float32)
