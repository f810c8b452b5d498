"""Networks say today what they said when their golden answer was written down.

`pytest tests/conformance/test_golden.py --accept-goldens` writes the answers anew: look at what changed, and why.
"""

import json

import numpy as np

from kerazoo.export.golden import refuse_flat
from tests.conformance.models import GOLDENS, every_kind, golden

TOLERANCE = 1e-4
"""Largest difference, relative to the largest number of an output."""

NUMBERS = 256
"""How many numbers of an output are kept."""


def _sample(array):
    flat = np.asarray(array, np.float64).reshape(-1)
    step = np.unique(np.linspace(0, flat.size - 1, min(flat.size, NUMBERS)).round().astype(int))
    return {"shape": list(array.shape), "values": [float(f"{value:.7g}") for value in flat[step]]}


def _said(name):
    first = {}
    for call in golden(name).calls:
        first.setdefault(call.part, call)
    return {
        part: {port: _sample(array) for port, array in call.outputs.items() if array.dtype.kind == "f"}
        for part, call in first.items()
    }


@every_kind
def test_golden(name, request):
    refuse_flat(golden(name), name)
    path, said = GOLDENS / f"{name}.json", _said(name)
    if request.config.getoption("--accept-goldens"):
        rows = [
            f' "{part}": {{\n'
            + ",\n".join(f'  "{port}": {json.dumps(sample)}' for port, sample in ports.items())
            + "\n }"
            for part, ports in said.items()
        ]
        GOLDENS.mkdir(exist_ok=True)
        path.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert kept.keys() == said.keys()
    for part, ports in kept.items():
        assert ports.keys() == said[part].keys()
        for port, sample in ports.items():
            assert sample["shape"] == said[part][port]["shape"]
            scale = np.abs(sample["values"]).max()
            np.testing.assert_allclose(
                said[part][port]["values"], sample["values"], rtol=0, atol=TOLERANCE * scale, err_msg=f"{part}/{port}"
            )
