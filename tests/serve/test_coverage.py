"""Every behaviour of TF Serving that is known has a test named after its number, or a line that says why not."""

import re
from pathlib import Path

ITEMS = {0: 3, 1: 17, 2: 15, 3: 25, 4: 9, 5: 12, 6: 8, 7: 20, 8: 15, 9: 10, 10: 9, 11: 4, 12: 2}
"""Section -> its last item."""

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "serving.md"


def _named(name):
    """Items in a test's name: `test_4_1_4_2_answers`, `test_3_6_to_3_25_refused`."""
    pairs = re.findall(r"(?:(to)_)?(\d+)_(\d+)(?=_|$)", name.removeprefix("test_"))
    found, before = set(), None
    for to, section, item in pairs:
        here = (int(section), int(item))
        if to and before and before[0] == here[0]:
            found |= {(here[0], number) for number in range(before[1], here[1] + 1)}
        found.add(here)
        before = here
    return found


def test_every_item_has_its_test_or_its_reason():
    every = {(section, item) for section, last in ITEMS.items() for item in range(1, last + 1)}
    tested = set()
    for path in [*HERE.glob("test_*.py"), *(HERE.parent / "deploy").glob("test_*.py")]:
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            tested |= _named(name)
    reasons = {
        (int(section), int(item))
        for section, item in re.findall(r"^\| (\d+)\.(\d+) \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert not tested - every, "there are no such items"
    assert not reasons & tested, "tested, so no reason is needed"
    left = ", ".join(f"{section}.{item}" for section, item in sorted(every - tested - reasons))
    assert not left
