"""Every behaviour that the server promises has a test named after its number."""

import re
from pathlib import Path

HERE = Path(__file__).parent
PROMISES = HERE.parents[1] / "docs" / "serving-behaviour.md"


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


def test_every_promise_has_its_test():
    found = re.findall(r"^- (\d+)\.(\d+) \S", PROMISES.read_text(encoding="utf-8"), re.MULTILINE)
    promised = [(int(section), int(item)) for section, item in found]
    assert len(promised) > 100 and len(set(promised)) == len(promised)
    every, tested = set(promised), set()
    for path in [*HERE.glob("test_*.py"), *(HERE.parent / "deploy").glob("test_*.py")]:
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            tested |= _named(name)
    assert not tested - every, "there are no such items"
    left = ", ".join(f"{section}.{item}" for section, item in sorted(every - tested))
    assert not left
