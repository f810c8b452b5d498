"""Hashes that were trusted at the first fetch, for files whose publisher named no sha256.

They lie in one file of the cache, so that they outlive the weights: what is fetched later is held to them.
"""

from __future__ import annotations

import datetime
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerazoo.errors import KerazooError
from kerazoo.printable import printable
from kerazoo.store.paths import beside, home, is_sha256, locked, small_json, write, writing

NAME = "known-hashes.json"
LIMIT = 4 << 20
"""A longer file, in bytes, is none of ours."""


@dataclass(frozen=True)
class Known:
    """The sha256 that was trusted, and the day."""

    sha256: str
    date: str


def known(path: Path) -> Known | None:
    """What was trusted for the file at this path of the cache, `None` where nothing was.

    Raises:
        KerazooError: the record is damaged.
    """
    row = _read().get(_key(path))
    return Known(row["sha256"], row["date"]) if row else None


def remember(path: Path, sha256: str) -> None:
    """Trusts this sha256 from now on, whatever was trusted before.

    Raises:
        KerazooError: the record is damaged or cannot be written.
    """
    target = home() / NAME
    with locked(target), writing(target):
        rows = _read() | {_key(path): {"sha256": sha256, "date": datetime.date.today().isoformat()}}
        text = json.dumps({"schema": 1, "files": dict(sorted(rows.items()))}, indent=2) + "\n"
        draft = beside(target, f".{os.getpid()}.part")
        write(draft, [text.encode()])
        os.replace(draft, target)


def _key(path: Path) -> str:
    return path.relative_to(home() / "weights").as_posix()


def _read() -> dict[str, dict[str, Any]]:
    path = home() / NAME
    if not os.path.lexists(path):
        return {}
    try:
        rows = small_json(path, LIMIT)["files"]
        if all(is_sha256(row["sha256"]) and datetime.date.fromisoformat(row["date"]) for row in rows.values()):
            return rows
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        pass
    # Never taken as empty: whoever damaged it could then have other weights trusted.
    raise KerazooError(
        f"{printable(str(path))}, the record of hashes that were trusted at first fetch, is damaged.\n"
        "Put it back from a copy, or move it away: every file without a published sha256 is then trusted anew."
    )
