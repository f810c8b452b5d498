"""How much is pruned at which step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Course(Protocol):
    def at(self, step: int) -> float | None:
        """The share of weights that are zero from this step on; `None` where nothing changes."""
        ...


@dataclass(frozen=True)
class OneShot:
    """All at once, before the first step."""

    final: float

    def at(self, step: int) -> float | None:
        return self.final if step == 0 else None


@dataclass(frozen=True)
class Gradual:
    """Fast while there is much to spare, and slower towards the end.

    Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model compression", 2017,
    arXiv:1710.01878, equation 1: `final + (first - final) * (1 - (step - begin) / (end - begin)) ** 3`.

    Attributes:
        final: The share at last.
        end: The step from which on it holds.
        begin: The step of the first pruning.
        every: Steps from one pruning to the next.
        first: The share at the beginning.
    """

    final: float
    end: int
    begin: int = 0
    every: int = 50
    first: float = 0.0

    def at(self, step: int) -> float | None:
        if step < self.begin or step > self.end or ((step - self.begin) % self.every and step != self.end):
            return None
        done = (step - self.begin) / max(1, self.end - self.begin)
        return self.final + (self.first - self.final) * (1 - done) ** 3 if step < self.end else self.final
