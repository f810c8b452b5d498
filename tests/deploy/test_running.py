"""The images' entry points and health checks, run as the images run them, and the smoke test on two servers."""

from __future__ import annotations

import json
import os
import runpy
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kerazoo.errors import UsageError
from kerazoo.serve import config
from tests.deploy.files import ROOT, dockerfile

SMOKE = runpy.run_path(str(ROOT / "deploy" / "smoke.py"))
BAKE = runpy.run_path(str(ROOT / "deploy" / "bake.py"))
STAGES = dockerfile()[1]

READ_ONLY = """
awk '$3 !~ /^(proc|sysfs|devpts|mqueue|cgroup2?)$/ && $2 !~ "^/dev" {print $2}' /proc/self/mounts |
while read -r folder; do mount -o remount,ro,bind "$folder" 2>/dev/null; done
mount -t tmpfs tmpfs "$TMPDIR" || exit 97
touch "$KERAZOO_HOME" 2>/dev/null && exit 98
exec "$@"
"""
"""Runs a command where nothing can be written but to a fresh TMPDIR."""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("", 0))
        return found.getsockname()[1]


def commands(folder: Path, **scripts: str) -> str:
    """A PATH with these commands in front."""
    folder.mkdir(exist_ok=True)
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def said(tmp_path: Path, script: str, *arguments: str, **env: str) -> list[str]:
    """The command line that an entry point ends in."""
    echo = 'printf "%s\\n" "$0" "$@"'
    path = commands(tmp_path / "bin", kerazoo=echo, tensorflow_model_server=echo)
    done = subprocess.run(
        ["sh", str(ROOT / "deploy" / script), *arguments], env={**os.environ, "PATH": path, **env},
        capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    command, *rest = done.stdout.splitlines()
    return [Path(command).name, *rest]


@pytest.fixture
def models(tmp_path):
    for name in ("a", "b c"):
        (tmp_path / "models" / name / "1").mkdir(parents=True)
    return tmp_path / "models"


def test_1_17_a_name_is_served_as_the_official_image_does(tmp_path, models):
    assert said(tmp_path, "tfserving.sh", "--enable_batching", MODEL_NAME="a", MODEL_BASE_PATH=str(models)) == [
        "tensorflow_model_server", "--port=8500", "--rest_api_port=8501", "--model_name=a",
        f"--model_base_path={models}/a", "--enable_batching",
    ]  # fmt: skip
    assert said(tmp_path, "embedded.sh", "--drain=1", MODEL_NAME="a", MODEL_BASE_PATH=str(models)) == [
        "kerazoo", "serve", f"a={models}/a", "--drain=1",
    ]  # fmt: skip


def test_without_a_name_everything_is_served(tmp_path, models):
    words = said(tmp_path, "tfserving.sh", "--enable_batching", MODEL_NAME="", MODEL_BASE_PATH=str(models))
    assert words[-1] == "--enable_batching"
    read = config.models(Path(words[-2].removeprefix("--model_config_file=")))
    assert {model.name: model.base_path for model in read} == {"a": f"{models}/a", "b c": f"{models}/b c"}
    words = said(tmp_path, "embedded.sh", MODEL_NAME="", MODEL_BASE_PATH=str(models))
    assert sorted(words[2:]) == [f"a={models}/a", f"b c={models}/b c"]


def test_a_folder_without_bundles_leaves_it_to_the_arguments(tmp_path):
    (tmp_path / "empty").mkdir()
    words = said(tmp_path, "embedded.sh", "lenet5:mnist", MODEL_NAME="", MODEL_BASE_PATH=str(tmp_path / "empty"))
    assert words == ["kerazoo", "serve", "lenet5:mnist"]


def test_a_name_without_a_folder_is_handed_on(tmp_path, models):
    words = said(tmp_path, "embedded.sh", MODEL_NAME="none", MODEL_BASE_PATH=str(models))
    assert words == ["kerazoo", "serve", f"none={models}/none"]


def test_one_image_holds_a_variant_once(tmp_path):
    with pytest.raises(UsageError, match="twice there: resnet20"):
        BAKE["bake"](tmp_path, ["resnet20:cifar10", "resnet20:cifar10-akamaster"])
    assert BAKE["main"]([str(tmp_path), "nothing:such lenet5:mnist"]) != 0
    assert not list(tmp_path.iterdir())


# --- two servers -------------------------------------------------------------------------------------------------


AROUND = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", READ_ONLY, "sh"]


def can_be_read_only(folder: Path) -> bool:
    """Whether this machine lets us make a read-only view of its file systems."""
    if shutil.which("unshare") is None:
        return False
    env = {**os.environ, "TMPDIR": str(folder), "KERAZOO_HOME": str(folder.parent)}
    return subprocess.run([*AROUND, "true"], env=env, capture_output=True).returncode == 0


class Running:
    """An image's entry point as a process, with ports of its own."""

    def __init__(self, script: str, folder: Path, baked: Path, around: list[str]):
        self.grpc, self.rest = free_port(), free_port()
        python = shlex.quote(sys.executable)
        path = commands(
            folder / "bin",
            kerazoo=f'exec {python} -m kerazoo "$@"',
            # In the place of the real one, and as that one with the SavedModel in TensorFlow.
            tensorflow_model_server=f'exec {python} -m kerazoo serve --engine=savedmodel "$@"',
        )
        self.log = folder / f"{script}.log"
        (folder / script).mkdir()
        env = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder / script),
               "KERAZOO_HOME": str(folder), "MODEL_NAME": "", "MODEL_BASE_PATH": str(baked)}  # fmt: skip
        ports = [f"--port={self.grpc}", f"--rest_api_port={self.rest}"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*around, "sh", str(ROOT / "deploy" / script), *ports], env=env, stdout=log, stderr=log
            )

    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{self.rest}", f"grpc://127.0.0.1:{self.grpc}"]

    def health(self, stage: str) -> int:
        """Status of the image's own health check."""
        command = json.loads(STAGES[stage].one("HEALTHCHECK").partition("CMD ")[2])
        words = [sys.executable if word == "python" else word.replace("8501", str(self.rest)) for word in command]
        return subprocess.run(words, capture_output=True, timeout=20).returncode

    def ready(self, seconds: float = 90) -> None:
        end = time.monotonic() + seconds
        while self.health("tfserving") != 0:
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()
            time.sleep(0.1)

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@pytest.fixture(scope="module")
def both(baked, tmp_path_factory):
    """The embedded server, on a read-only file system where this machine lets us make one, and the other one."""
    folder = tmp_path_factory.mktemp("both")
    (folder / "probe").mkdir()
    servers = [
        Running("embedded.sh", folder, baked, AROUND if can_be_read_only(folder / "probe") else []),
        Running("tfserving.sh", folder, baked, []),
    ]
    try:
        for server in servers:
            server.ready()
        yield servers
    finally:
        for server in servers:
            server.process.kill()
            server.process.wait()


@pytest.fixture
def picture(tmp_path):
    """Noise: no class gets all of it, so that scores have something to tell apart."""
    Image.fromarray(np.random.default_rng(3).integers(0, 255, (28, 28), np.uint8)).save(tmp_path / "noise.png")
    return tmp_path / "noise.png"


@pytest.mark.slow
def test_both_servers_answer_alike(both, picture, capsys):
    urls = [url for server in both for url in server.urls()]
    assert SMOKE["main"]([str(picture), *urls, "--model=lenet5"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split("\t")[0] for row in rows] == urls
    assert all(row.endswith("as expected") for row in rows)
    first = SMOKE["ask"](urls[0], "lenet5", picture)
    assert len(first) == 10 and max(first.values()) < 0.999


@pytest.mark.slow
def test_nothing_was_unknown_to_the_server(both):
    for server in both:
        assert "unknown argument" not in server.log.read_text()


@pytest.mark.slow
def test_health_checks(both):
    embedded, _ = both
    assert embedded.health("embedded") == embedded.health("tfserving") == 0
    embedded.rest = free_port()
    assert embedded.health("embedded") != 0 and embedded.health("tfserving") != 0


@pytest.mark.slow
def test_it_runs_where_nothing_can_be_written(both, tmp_path):
    if not can_be_read_only(tmp_path):
        pytest.skip("this machine does not let us mount")
    with pytest.raises(OSError, match="Read-only file system"):
        Path(f"/proc/{both[0].process.pid}/root{tmp_path}/x").touch()


def test_nobody_there_is_another_status(picture, capsys):
    assert SMOKE["main"]([str(picture), "http://127.0.0.1:9", "--model=lenet5"]) == 2
    assert "does not answer" in capsys.readouterr().out


def test_what_differs_is_said(picture, monkeypatch, capsys):
    answers = iter([{"seven": 0.9, "two": 0.1}, {"seven": 0.8, "two": 0.2}])
    monkeypatch.setitem(SMOKE["main"].__globals__, "ask", lambda *asked: next(answers))
    assert SMOKE["main"]([str(picture), "http://a", "http://b", "--model=m"]) == 1
    assert capsys.readouterr().out.splitlines()[1] == "http://b\tseven 0.800000\tseven is 0.800000 instead of 0.900000"


@pytest.mark.parametrize(
    ("found", "alike"),
    [
        ({"a": 0.7004, "b": 0.2, "c": 0.1}, True),
        ({"a": 0.7, "b": 0.2, "d": 0.1}, True),  # A tie at the end may keep another label.
        ({"a": 0.7, "c": 0.2, "b": 0.1}, False),
        ({"d": 0.7, "e": 0.2, "f": 0.1}, False),
        ({"a": 0.702, "b": 0.2, "c": 0.098}, False),
    ],
)
def test_scores_are_compared_by_label(found, alike):
    assert (SMOKE["differs"]({"a": 0.7, "b": 0.2, "c": 0.1}, found, 1e-3) is None) == alike


@pytest.mark.slow
def test_sigterm_ends_it_with_status_0(both):
    """Last: the servers are gone afterwards."""
    assert [server.end() for server in both] == [0, 0]
