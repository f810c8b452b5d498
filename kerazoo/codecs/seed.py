"""Seeds: whole numbers that a sample is drawn from."""

from __future__ import annotations

from typing import Any

import numpy as np

from kerazoo.codecs import number
from kerazoo.contract import Port

SUFFIXES: tuple[str, ...] = ()
MIME = None

UNSAID = 0
"""The seed of an item that has none: the same answer every time."""

read = number.read
plain = number.plain
distance = number.distance


def example(port: Port, rng: np.random.Generator) -> Any:
    return 7


def drawn(port: Port, rng: np.random.Generator) -> Any:
    """Another seed every time."""
    return int(rng.integers(0, 2**31))
