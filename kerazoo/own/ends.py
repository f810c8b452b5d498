"""What a classifier ends in, told from what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.errors import UsageError

ROUNDING = 0.02
"""How far the sum of probabilities may lie from 1, for half precision too."""


@dataclass(frozen=True)
class Ends:
    """What the rows of an output looked like.

    Attributes:
        low, high: Least and largest number.
        sums: Least and largest sum of a row.
        rounding: How far sums may lie from 1.
    """

    low: float
    high: float
    sums: tuple[float, float]
    rounding: float = ROUNDING

    @property
    def between(self) -> bool:
        """Whether all numbers can be probabilities."""
        return self.low >= -1e-6 and self.high <= 1 + 1e-3

    @property
    def shared(self) -> bool:
        """Whether the numbers of a row are probabilities that share 1 out."""
        return self.between and all(abs(each - 1) <= self.rounding for each in self.sums)

    def __str__(self) -> str:
        sums = " to ".join(dict.fromkeys(f"{each:.4g}" for each in self.sums))
        return f"numbers from {self.low:.4g} to {self.high:.4g} that sum to {sums}"


def ends_of(values: Any, scale: float = 0.0) -> Ends:
    """What an output [rows, units] looks like.

    Args:
        scale: Of a quantised output, whose rounding the sum of many small probabilities feels.
    """
    values = np.asarray(values, np.float64)
    sums = values.sum(-1)
    rounding = max(ROUNDING, min(0.5, scale * values.shape[-1] / 2))
    return Ends(float(values.min()), float(values.max()), (float(sums.min()), float(sums.max())), rounding)


def output_of(found: Ends, stated: str | None, units: int, assumed: list[str]) -> str:
    """The task's `output`, as stated or as found.

    Args:
        found: What the output was seen to hold.
        stated: `logits`, `probabilities`, `independent` (logits of classes that do not exclude each other), or nothing.
        units: Outputs of the network.
        assumed: Is told what was.

    Raises:
        UsageError: What was stated cannot be, or what was found can be either.
    """
    if stated == "probabilities" and not found.between:
        raise UsageError(
            f"No probabilities were found: the output holds {found}.\n"
            "State --ends logits for classes that exclude each other, or --ends independent."
        )
    if stated in ("logits", "independent") and units > 1 and found.shared:
        raise UsageError(
            f"{stated} were stated, but the output holds {found}, so a softmax is in the graph already.\n"
            "State --ends probabilities."
        )
    if stated is not None:
        return stated
    if units > 1 and found.shared:
        assumed.append("the output holds probabilities")
        return "probabilities"
    if found.between:
        raise UsageError(
            f"The output holds {found}: this can be probabilities or logits.\n"
            "State which: --ends probabilities, logits, or independent (logits of classes that do not exclude "
            "each other)."
        )
    assumed.append("the output holds logits of classes that exclude each other")
    return "logits"
