"""What answers with prepared models does so where TensorFlow and all that builds models are not installed."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path

import pytest

from kerazoo import packages

ROOT = Path(__file__).parents[2]
SEVEN = ROOT / "examples" / "seven.png"

BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """Processes that are started from here cannot import what builds models."""
    names = {name.replace("-", "_").removesuffix("_api") for name in packages.BUILDING}
    (tmp_path / "sitecustomize.py").write_text(BLOCKED.format(names=names))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "home"))


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "kerazoo", *map(str, arguments)], capture_output=True, text=True, timeout=120
    )


def ports():
    with socket.socket() as one, socket.socket() as two:
        one.bind(("", 0))
        two.bind(("", 0))
        return one.getsockname()[1], two.getsockname()[1]


def test_a_bundle_is_served_and_asked(bare, exported):
    grpc, rest = ports()
    serving = subprocess.Popen(
        [sys.executable, "-m", "kerazoo", "serve", f"lenet5={exported.parent}", f"--port={grpc}",
         f"--rest_api_port={rest}"], stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        end = time.monotonic() + 60
        while serving.poll() is None and time.monotonic() < end:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{rest}/readyz", timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        for server in (f"http://127.0.0.1:{rest}", f"grpc://127.0.0.1:{grpc}"):
            asked = run("predict", SEVEN, "--server", server, "-m", "lenet5", "--json")
            assert asked.returncode == 0, asked.stderr
            assert json.loads(asked.stdout)["top"][0]["label"] == "7"
        with urllib.request.urlopen(f"http://127.0.0.1:{rest}/v1/models/lenet5/metadata", timeout=20) as answer:
            signatures = json.load(answer)["metadata"]["signature_def"]["signature_def"]
        assert "image_bytes" in signatures["serving_default"]["inputs"]
    finally:
        serving.terminate()
        serving.communicate(timeout=60)


def test_files_answer_and_models_are_described(bare, exported):
    for file in (exported.parents[1] / "lenet5.onnx", exported.parents[1] / "lenet5.tflite"):
        asked = run("predict", SEVEN, "-m", file, "--json")
        assert asked.returncode == 0, asked.stderr
        assert json.loads(asked.stdout)["top"][0]["label"] == "7"
    for arguments in (["models"], ["info", "lenet5"], ["cache", "list"], ["serve", "--version"]):
        done = run(*arguments)
        assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("TensorFlow ModelServer: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", SEVEN, "-m", "lenet5:mnist", "--engine", "keras"],
        ["predict", SEVEN, "-m", "lenet5:mnist"],
        ["export", "lenet5:mnist", "--to", "onnx", "-o", "out"],
        ["serve", "lenet5:mnist"],
    ],
    ids=lambda words: " ".join(map(str, words[:1] + words[-1:])),
)
def test_what_builds_models_says_what_is_missing(bare, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.returncode == 6, done.stderr
    assert "is not installed" in done.stderr and "pip install" in done.stderr and "tensorflow" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_plain_saved_model_says_so_at_once(bare, exported, tmp_path):
    copy = tmp_path / "plain" / "1"
    shutil.copytree(exported, copy, ignore=lambda folder, names: {"assets.extra"} & set(names))
    grpc, rest = ports()
    done = run("serve", f"--model_base_path={copy.parent}", f"--port={grpc}", f"--rest_api_port={rest}")
    assert done.returncode == 6
    assert "UNIMPLEMENTED: tensorflow is not installed" in done.stdout


def test_the_one_list():
    """What serving needs is what the package asks for, less what builds models."""
    names = [
        packages._name(row) for row in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    ]
    assert set(packages.BUILDING) <= set(names)
    printed = subprocess.run([sys.executable, "-m", "kerazoo.packages"], capture_output=True, text=True, check=True)
    assert {packages._name(row) for row in printed.stdout.splitlines()} <= set(names) - set(packages.BUILDING)
    assert "grpcio" in printed.stdout
