"""Files that take one row at a time, over a batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from kerazoo.contract import Tensors
from kerazoo.errors import UsageError


def rows(run: Any, inputs: Tensors) -> Tensors:
    """A file of one row over a batch.

    Raises:
        UsageError: The batch is empty.
    """
    count = len(next(iter(inputs.values())))
    if count == 1:
        return run(**inputs)
    if count == 0:
        raise UsageError("The file runs one row at a time and was given none.")
    answers = [run(**{name: array[i : i + 1] for name, array in inputs.items()}) for i in range(count)]
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
