"""`docs/models.md` is what the families and the manifest say of themselves."""

import importlib.util
import re
from pathlib import Path

from kerazoo import registry

FILE = Path(__file__).parents[1] / "docs" / "models.py"

spec = importlib.util.spec_from_file_location("models", FILE)
made = importlib.util.module_from_spec(spec)
spec.loader.exec_module(made)


def test_the_page_is_written_anew_when_something_changes():
    assert made.PAGE.read_text(encoding="utf-8") == made.page(), "python docs/models.py"


def test_every_model_has_its_row_and_every_family_its_paper():
    text = made.PAGE.read_text(encoding="utf-8")
    named = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    assert named == [row["name"] for row in registry.rows()]
    for family in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        assert len(family.splitlines()[2]) > 20 and not family.splitlines()[2].startswith("|"), family.splitlines()[0]
