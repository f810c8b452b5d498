"""Who has which samples."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.errors import UsageError
from kerazoo.train.recipe import Batch, Data

SHARDS = 2
"""That each client has of data sorted by class (arXiv:1602.05629, section 3)."""


def _iid(data: Data, clients: int, rng: np.random.Generator) -> list[np.ndarray]:
    return np.array_split(rng.permutation(len(data)), clients)


def _shards(data: Data, clients: int, rng: np.random.Generator) -> list[np.ndarray]:
    arrays: Any = getattr(data, "arrays", ())
    if len(arrays) < 2 or arrays[1].ndim != 1 or arrays[1].dtype.kind not in "iu":
        raise UsageError("split=shards is for samples with one class each; split=iid shares out any.")
    if len(data) < clients * SHARDS:
        raise UsageError(f"{len(data)} samples are no {clients * SHARDS} shards for {clients} clients.")
    # Equal classes in the order of the data: which samples lie in one shard depends on nothing else.
    shards = np.array_split(np.argsort(arrays[1], kind="stable"), clients * SHARDS)
    order = rng.permutation(len(shards)).reshape(clients, SHARDS)
    return [np.concatenate([shards[number] for number in own]) for own in order]


SPLITS: Mapping[str, Callable[[Data, int, np.random.Generator], list[np.ndarray]]] = {"iid": _iid, "shards": _shards}


@dataclass(frozen=True)
class Clients:
    """The data of a round: the samples of the clients that are drawn for it.

    Attributes:
        data: Of all clients together.
        owned: For each client the numbers of its samples.
        drawn: Clients a round.
        drop: How probably one of them does not answer.
    """

    data: Data
    owned: tuple[np.ndarray, ...]
    drawn: int
    drop: float = 0.0

    @staticmethod
    def sharing(data: Data, clients: int, split: str, fraction: float, drop: float, seed: int) -> Clients:
        """The samples shared out among so many.

        Raises:
            UsageError: There are fewer samples than clients, or they cannot be split so.
        """
        if len(data) < clients:
            raise UsageError(f"{len(data)} samples cannot be shared out among {clients} clients.")
        owned = SPLITS[split](data, clients, np.random.default_rng((seed, 0xFED)))
        return Clients(data, tuple(owned), max(1, round(fraction * clients)), drop)

    @staticmethod
    def owning(data: Data, owners: np.ndarray, drawn: int, drop: float = 0.0) -> Clients:
        """The samples as their owners have them: speakers, writers, devices.

        Args:
            owners: Of each sample, int [n]; who has none takes no part.
            drawn: Clients a round.

        Raises:
            UsageError: There are fewer owners than are to be drawn.
        """
        order = np.argsort(owners, kind="stable")
        owned = np.split(order, np.flatnonzero(np.diff(owners[order])) + 1)
        if not 1 <= drawn <= len(owned):
            raise UsageError(f"{drawn} clients a round cannot be drawn of {len(owned)}.")
        return Clients(data, tuple(owned), drawn, drop)

    def __len__(self) -> int:
        return self.drawn

    @functools.cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(f"{self.data.fingerprint} {self.drawn} {self.drop}".encode())
        for rows in self.owned:
            digest.update(rows.astype(np.int64).tobytes() + b"|")
        return digest.hexdigest()

    def order(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """The clients of a round."""
        return rng.choice(len(self.owned), self.drawn, replace=False)

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        """The samples of these clients one after the other; where those of each begin, and the last end, int64
        [clients + 1]; a seed of each, int64 [clients]; and whether it answers, bool [clients].
        """
        owned = [self.owned[int(client)] for client in rows]
        ends = np.cumsum([0, *map(len, owned)])
        samples = self.data.batch(np.concatenate(owned), rng)
        return *samples, ends, rng.integers(2**62, size=len(rows)), rng.random(len(rows)) >= self.drop
