"""Sums of what clients send, of which the server sees no single one.

Source: Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine Learning", CCS 2017, section 4:
each two clients share a seed; the one adds the numbers drawn from it to its own, the other takes them away, so that in
the sum of all they cancel. Where a client is lost after the others have masked, each of these tells the seed that it
shared with the lost one. How two clients come to a secret seed, by keys, belongs to what connects them; it is not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

STEPS = 2.0**24
"""Numbers travel as whole multiples of its inverse, modulo 2 to the 64th."""


def seed_of(one: int, other: int, secret: int) -> tuple[int, int, int]:
    """What two clients of a round share."""
    return min(one, other), max(one, other), secret


def masked(values: np.ndarray, me: int, others: Iterable[int], secret: int) -> np.ndarray:
    """What client `me` sends, uint64 [n], of float values [n].

    Args:
        others: All clients of the round; it may be among them.
        secret: Of the round: known to clients, not to the server.
    """
    sent = np.rint(values.astype(np.float64) * STEPS).astype(np.int64).astype(np.uint64)
    for other in others:
        if other != me:
            mask = _mask(seed_of(me, other, secret), len(values))
            sent = sent + mask if me < other else sent - mask
    return sent


def total(
    sent: Mapping[int, np.ndarray], lost: Sequence[int], told: Mapping[tuple[int, int], tuple[int, int, int]]
) -> np.ndarray:
    """The sum of the values of the clients that answered, float64 [n].

    Args:
        sent: By client.
        lost: Clients that masked nothing, and that others masked for.
        told: For each client that answered and each that is lost, the seed that these two shared.
    """
    size = len(next(iter(sent.values())))
    found = np.zeros(size, np.uint64)
    for values in sent.values():
        found = found + values
    for one in sent:
        for other in lost:
            mask = _mask(told[one, other], size)
            found = found - mask if one < other else found + mask
    return found.astype(np.int64) / STEPS


def _mask(seed: tuple[int, int, int], size: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, size, np.uint64, endpoint=False)
