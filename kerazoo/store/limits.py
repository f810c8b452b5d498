"""What a fetch may take, and what it may do; read from the environment when it is needed.

KERAZOO_FETCH_SECONDS   longest time for one file, all its sources together; six hours
KERAZOO_FETCH_RATE      fewest bytes a second, as a mean over 30 s; 1000
KERAZOO_FETCH_BYTES     most bytes of a file whose size was not published; 4 GiB
KERAZOO_ALLOW_HTTP      1, true or yes: plain http too where no hash, or only the beginning of one, was published
"""

from __future__ import annotations

import math
import os

from kerazoo.errors import UsageError
from kerazoo.store.paths import switch

SECONDS = "KERAZOO_FETCH_SECONDS"
RATE = "KERAZOO_FETCH_RATE"
BYTES = "KERAZOO_FETCH_BYTES"
HTTP = "KERAZOO_ALLOW_HTTP"
DEFAULTS = {SECONDS: 6 * 3600.0, RATE: 1000.0, BYTES: float(4 << 30)}

GRACE_SECONDS = 30.0
"""How long a source may be slower than `KERAZOO_FETCH_RATE`."""


def limit(name: str) -> float:
    """The value of one of `DEFAULTS`; `UsageError` where the environment holds no number above 0."""
    text = os.environ.get(name, "").strip()
    try:
        value = float(text) if text else DEFAULTS[name]
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f"{name} must be a number above 0, not {text[:40]!r}; without it {DEFAULTS[name]:.0f} holds.")
    return value


def plain_http() -> bool:
    """Whether the environment allows plain http for files that no hash holds."""
    return switch(HTTP)
