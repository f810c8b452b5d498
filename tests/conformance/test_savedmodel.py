"""Bundles, opened by a process that never saw the models, as a server would open them."""

import json
import subprocess
import sys
import tempfile

import pytest

from tests.conformance.models import built, converted, converting

SERVER = """
import json, pathlib, sys
from kerazoo import formats
from kerazoo.engines import savedmodel
from kerazoo.export import golden, verify

def specs(tensors):
    return {name: [tensor.dtype.name, list(tensor.shape)] for name, tensor in tensors.items()}

for line in sys.stdin:
    folder = pathlib.Path(json.loads(line))
    said = {}
    try:
        network, card = savedmodel.open_network(folder / "savedmodel")
        said["signatures"] = {
            name: [specs(signature.structured_input_signature[1]), specs(signature.structured_outputs)]
            for name, signature in network.loaded.signatures.items()
        }
        kept = golden.load(folder / "golden.npz")
        said["differences"] = verify.check(card.tasks, kept, network, formats.SAVED_MODEL, folder.name)
        said["model"] = card.model
    except Exception as error:  # One that does not answer leaves the others theirs.
        said["error"] = f"{type(error).__name__}: {error}"[-800:]
    print("said " + json.dumps(said), flush=True)
"""


@pytest.fixture(scope="session")
def served(shared):
    """Asks what the process says of a variant's bundle. It opens them all, since starting it takes seconds."""
    said = {}
    with tempfile.TemporaryFile("w+") as complaints:
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True
        )

        def ask(name):
            if name not in said:
                bundle = converted(name, shared).path("savedmodel")
                server.stdin.write(json.dumps(str(bundle.parent)) + "\n")
                server.stdin.flush()
                line = next((line for line in iter(server.stdout.readline, "") if line.startswith("said ")), None)
                if line is None:
                    complaints.seek(0)
                    pytest.fail(f"the process ended: {complaints.read()[-800:]}")
                said[name] = json.loads(line.removeprefix("said "))
            return said[name]

        yield ask
        server.communicate()


@converting
def test_a_fresh_process_says_the_same(name, served):
    said = served(name)
    assert "error" not in said, said["error"]
    assert said["model"] == name
    assert {port.name for port in built(name).task.response} <= set(said["differences"]) | {"index"}


@converting
def test_signatures_are_the_ports(name, served):
    made = built(name)
    expected = {part: (signature.inputs, signature.outputs) for part, signature in made.parts.items()}
    for kind, task in made.tasks.items():
        expected["serving_default" if task is made.task else kind] = (task.request, task.response)
        expected |= {also: (other.request, other.response) for also, other in getattr(task, "also", {}).items()}
    signatures = served(name)["signatures"]
    assert set(signatures) == set(expected)
    for signature, sides in expected.items():
        for ports, there in zip(sides, signatures[signature], strict=True):
            assert {port.name: port.dtype for port in ports} == {port: dtype for port, (dtype, _) in there.items()}
            for port in ports:
                shape = there[port.name][1]
                pairs = zip(port.shape, shape, strict=True)
                assert all(mine in (None, theirs) or theirs is None for mine, theirs in pairs), port
