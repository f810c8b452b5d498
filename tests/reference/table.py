"""The tables of `docs/fidelity.md`: read, compared and, with `--accept-goldens`, written by the tests."""

from __future__ import annotations

import math
import re
from pathlib import Path

from filelock import FileLock

from tests.reference.references import Agreement

PAGE = Path(__file__).parents[2] / "docs" / "fidelity.md"
TOLERANCE = 1e-4
"""Largest difference of a logit, relative to the largest logit."""

ROOM = 5
"""Another processor rounds otherwise: no bound is written down that is not so many times what was measured."""

MEASURED, MAPS, BOXES, WITHOUT = "measured", "maps", "boxes", "without"
"""The tables, by the words of the comments around them."""


def bound(error: float) -> str:
    """The tolerance, or a tenth of it where that leaves room."""
    return _text(TOLERANCE / 10 if error * ROOM <= TOLERANCE / 10 else TOLERANCE)


def up(error: float) -> str:
    """Rounded up to one digit."""
    if error == 0:
        return "0"
    unit = 10.0 ** math.floor(math.log10(error))
    return _text(math.ceil(error / unit) * unit)


def _text(number: float) -> str:
    digit, _, power = f"{number:.0e}".partition("e")
    return f"{digit}e{int(power)}"


def row(variant: str, reference: str, agreed: Agreement) -> tuple[str, ...]:
    return f"`{variant}`", reference, up(agreed.error), bound(agreed.error), f"{agreed.top1} of {agreed.of}"


def rows(table: str) -> dict[str, tuple[str, ...]]:
    """First cell of each row -> the row."""
    found = (tuple(cell.strip() for cell in line.strip("|").split("|")) for line in _lines(table)[2:])
    return {cells[0]: cells for cells in found}


def accept(table: str, made: list[tuple[str, ...]], shared: Path, alone: bool = False) -> None:
    """Writes rows in the places of those with the same first cell, or, `alone`, of all rows.

    Args:
        shared: Folder of this run, where test processes wait for each other.
    """
    with FileLock(shared / "fidelity.lock"):
        kept = ({} if alone else rows(table)) | {cells[0]: cells for cells in made}
        lines = _lines(table)[:2] + [f"| {' | '.join(cells)} |" for _, cells in sorted(kept.items(), key=_plain)]
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(_pattern(table).sub(lambda _: _framed(table, lines), text), encoding="utf-8")


def _plain(item: tuple[str, tuple[str, ...]]) -> str:
    return item[0].strip("`")


def _lines(table: str) -> list[str]:
    found = _pattern(table).search(PAGE.read_text(encoding="utf-8"))
    assert found is not None, f"{PAGE} has no table <!-- {table} -->"
    return found[1].splitlines()


def _pattern(table: str) -> re.Pattern[str]:
    return re.compile(f"<!-- {table} -->\n(.*?)<!-- /{table} -->", re.DOTALL)


def _framed(table: str, lines: list[str]) -> str:
    return "\n".join((f"<!-- {table} -->", *lines, f"<!-- /{table} -->"))
