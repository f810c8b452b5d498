"""`docs/formats.md` shows what was measured, of every model that there is."""

import json

from benchmarks import formats as page_
from kerazoo import formats, registry


def test_the_page_is_not_stale():
    measured = json.loads(page_.MEASURED.read_text(encoding="utf-8"))
    expected = page_.page(measured)
    assert page_.PAGE.read_text(encoding="utf-8") == expected, "python -m benchmarks.formats --render"


def test_every_model_is_named():
    text = page_.PAGE.read_text(encoding="utf-8")
    assert not [name for name in registry.variants() if f"`{name}`" not in text]


def test_a_measured_model_was_measured_in_every_row():
    measured = json.loads(page_.MEASURED.read_text(encoding="utf-8"))
    for name, row in measured.items():
        if name in registry.variants():
            assert set(row) == set(formats.ROWS), name


def test_what_cannot_be_says_why():
    measured = json.loads(page_.MEASURED.read_text(encoding="utf-8"))
    cells = [cell for name, row in measured.items() if name in registry.variants() for cell in row.values()]
    assert cells and all(cell.get("why") or (cell["bytes"] > 0 and cell["difference"] >= 0) for cell in cells)
