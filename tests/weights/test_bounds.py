"""Small files that ask for much are refused before they get it; the time and the memory are bounds, not aims."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.weights import attacks

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is bounded as Linux does it")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Attack -> what became of reading it, in one process that may take little."""
    folder = tmp_path_factory.mktemp("attacks")
    for attack in attacks.ATTACKS:
        attack(folder / attack.__name__)
    done = subprocess.run(
        [sys.executable, "-m", "tests.weights.attacks", *map(str, sorted(folder.iterdir()))],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return dict(json.loads(line) for line in done.stdout.splitlines()), done.stderr[-1000:]


@pytest.mark.parametrize(("attack", "words"), attacks.ATTACKS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_refused_before_work_is_done(attack, words, outcomes):
    found, said = outcomes
    assert attack.__name__ in found, f"it took more than {attacks.SECONDS} s, or the process broke down: {said}"
    kind, _, message = found[attack.__name__].partition(": ")
    assert kind in ("UsageError", "WeightsDamaged"), found[attack.__name__]
    assert re.search(words, message), message
    assert len(message.splitlines()) <= 3
