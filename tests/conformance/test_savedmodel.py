"""Bundles, opened by one fresh process as a server would open them."""

import json
import subprocess
import sys

import pytest

from tests.conformance.models import built, converted, converting

SERVER = """
import json, pathlib, sys
from kerazoo import formats
from kerazoo.engines import savedmodel
from kerazoo.errors import KerazooError
from kerazoo.export import golden, verify

def specs(tensors):
    return {name: [tensor.dtype.name, list(tensor.shape)] for name, tensor in tensors.items()}

for folder in map(pathlib.Path, sys.argv[1:]):
    said = {"name": folder.name}
    try:
        network, card = savedmodel.open_network(folder / "savedmodel")
        said["signatures"] = {
            name: [specs(signature.structured_input_signature[1]), specs(signature.structured_outputs)]
            for name, signature in network.loaded.signatures.items()
        }
        kept = golden.load(folder / "golden.npz")
        said["differences"] = verify.check(card.tasks, kept, network, formats.SAVED_MODEL, folder.name)
        said["model"] = card.model
    except KerazooError as error:
        said["error"] = str(error)
    print("said " + json.dumps(said), flush=True)
"""


@pytest.fixture(scope="module")
def served(shared, request):
    names = sorted({item.callspec.params["name"] for item in request.session.items if item.path == request.path})
    folders = [converted(name, shared) for name in names]
    done = subprocess.run(
        [sys.executable, "-c", SERVER, *(str(one.folder) for one in folders if one.failures["savedmodel"] is None)],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [json.loads(line[5:]) for line in done.stdout.splitlines() if line.startswith("said ")]
    unsaid = {one.folder.name: {"error": one.failures["savedmodel"] or done.stderr[-800:]} for one in folders}
    return unsaid | {row["name"]: row for row in rows}


@converting
def test_a_fresh_process_says_the_same(name, served):
    said = served[name]
    assert "error" not in said, said["error"]
    assert said["model"] == name
    assert {port.name for port in built(name).task.response} <= set(said["differences"]) | {"index"}


@converting
def test_signatures_are_the_ports(name, served):
    made = built(name)
    expected = {part: (signature.inputs, signature.outputs) for part, signature in made.parts.items()}
    for kind, task in made.tasks.items():
        expected["serving_default" if task is made.task else kind] = (task.request, task.response)
        for named, other in getattr(task, "also", {}).items():
            expected[named] = (other.request, other.response)
    signatures = served[name]["signatures"]
    assert set(signatures) == set(expected)
    for signature, sides in expected.items():
        for ports, there in zip(sides, signatures[signature], strict=True):
            assert {port.name: port.dtype for port in ports} == {port: dtype for port, (dtype, _) in there.items()}
            for port in ports:
                shape = there[port.name][1]
                pairs = zip(port.shape, shape, strict=True)
                assert all(mine in (None, theirs) or theirs is None for mine, theirs in pairs), port
