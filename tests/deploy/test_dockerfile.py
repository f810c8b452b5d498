"""The Dockerfile, held against the tree: a file, flag, page or variable that is renamed breaks one of these."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from kerazoo import cli, registry
from kerazoo.serve import flags, server
from kerazoo.store.paths import packaged
from tests.deploy.files import ROOT, dockerfile, ignored, pages

ARGUMENTS, STAGES = dockerfile()
IMAGES = ("tfserving", "embedded")
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed; it comes with the extra `test`")
def test_the_linter_has_nothing_to_say():
    done = subprocess.run([str(HADOLINT), str(ROOT / "Dockerfile")], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_embedded_server_is_what_is_built_unless_told_otherwise():
    assert list(STAGES)[-2:] == list(IMAGES)


def test_bases_are_pinned():
    for stage in STAGES.values():
        name, _, tag = stage.base.partition(":")
        if name not in STAGES:
            assert name in ("python", "tensorflow/serving")
            assert re.fullmatch(r"\d+\.\d+(\.\d+|-slim-\w+)", ARGUMENTS[tag.strip("${}")])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    least = project["requires-python"].partition(",")[0].removeprefix(">=")
    assert tuple(map(int, ARGUMENTS["PYTHON"].split("-")[0].split("."))) >= tuple(map(int, least.split(".")))


@pytest.mark.parametrize("stage", STAGES.values(), ids=list(STAGES))
def test_what_is_copied_is_there(stage):
    assert not stage.all("ADD")
    earlier = list(STAGES)[: list(STAGES).index(stage.name)]
    for options, sources, _ in stage.copies():
        for source in sources:
            if "from" in options:
                assert options["from"] in earlier
                made = " ".join(f"{name} {text}" for name, text in STAGES[options["from"]].steps)
                assert re.search(rf"\s{source}\b", made), f"{options['from']} makes no {source}"
            else:
                assert (ROOT / source).exists(), source
                assert not ignored(source), f".dockerignore keeps {source} out"


def test_what_is_not_copied_stays_outside():
    copied = {source for stage in STAGES.values() for options, sources, _ in stage.copies() for source in sources
              if "from" not in options}  # fmt: skip
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert allowed == copied
    for path in ("tests/conftest.py", ".git/config", "CHANGELOG.md", ".venv/bin/python", "kerazoo/__pycache__/x.pyc"):
        assert ignored(path), path
    assert not ignored("kerazoo/serve/http/page/index.html")


def test_the_wheel_is_built_of_all_its_files():
    """Whatever pyproject.toml names is in the build."""
    there = {source for _, sources, _ in STAGES["wheel"].copies() for source in sources}
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = whole["tool"]["hatch"]["build"]["targets"]["wheel"]
    named = [*whole["project"]["license-files"], *wheel["packages"], *wheel["force-include"]]
    assert {"pyproject.toml", whole["project"]["readme"], *named} <= there


@pytest.mark.slow
def test_the_bundles_need_nothing_from_elsewhere(baked):
    """Their weights come with the package; what is baked holds both what TF Serving loads and the engines."""
    (names,) = [shlex.split(text.partition("=")[2]) for text in STAGES["bundles"].all("ARG")]
    for name in names:
        model = registry.find(name)
        assert model.entry is not None and all(packaged(file) for file in model.entry.files)
        version = baked / model.variant / "1"
        assert (version / "saved_model.pb").is_file()
        assert {"card.json", "engines.json", "model.onnx", "model.tflite"} <= {
            path.name for path in (version / "assets.extra" / "kerazoo").iterdir()
        }


@pytest.mark.parametrize("name", IMAGES)
def test_nobody_is_root(name):
    uid, gid = STAGES[name].one("USER").split(":")
    assert STAGES[name].steps.index(("USER", f"{uid}:{gid}")) > max(
        index for index, (step, _) in enumerate(STAGES[name].steps) if step in ("COPY", "RUN") or index == 0
    )
    assert int(uid) >= 1000 and int(gid) >= 1000
    for text in STAGES[name].all("RUN"):
        assert f"groupadd --gid {gid} " in text
        assert f"useradd --uid {uid} --gid {gid} " in text


@pytest.mark.parametrize("name", IMAGES)
def test_1_17_ports_and_variables_are_the_official_images(name):
    stage = STAGES[name]
    assert stage.one("EXPOSE").split() == ["8500", "8501"]
    assert stage.env()["MODEL_BASE_PATH"] == "/models"
    assert stage.env()["MODEL_NAME"] == ""
    assert any(target == "/models" for _, _, target in stage.copies())


@pytest.mark.slow
def test_the_embedded_server_opens_the_ports_that_are_exposed(baked, monkeypatch):
    opened = []
    monkeypatch.setattr(server, "serve", lambda options: opened.append(options) or 0)
    monkeypatch.setattr(server, "log_to_stderr", lambda access: None)
    assert cli.run(["serve", f"lenet5={baked / 'lenet5'}"]) == 0
    assert [str(port) for port in (opened[0].grpc, opened[0].rest)] == STAGES["embedded"].one("EXPOSE").split()


def test_variables_are_read():
    env = STAGES["embedded"].env()
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "kerazoo").rglob("*.py"))
    ours = [name for name in env if name.startswith("KERAZOO_")]
    assert ours
    for name in ours:
        assert f'"{name}"' in code, f"nobody reads {name}"
    assert STAGES["embedded"].one("VOLUME") == env["KERAZOO_HOME"]
    assert env["KERAZOO_HOME"] in STAGES["embedded"].one("RUN")
    assert env["PATH"].split(":")[0] == "/opt/kerazoo/bin"


@pytest.mark.parametrize(("name", "script"), [("tfserving", "deploy/tfserving.sh"), ("embedded", "deploy/embedded.sh")])
def test_the_entry_point_is_the_script(name, script):
    (command,) = json.loads(STAGES[name].one("ENTRYPOINT"))
    ((options, sources, _),) = [copy for copy in STAGES[name].copies() if copy[2] == f"/usr/local/bin/{command}"]
    assert (options["chmod"], sources) == ("755", [script])
    text = (ROOT / script).read_text(encoding="utf-8")
    assert text.startswith("#!/bin/sh\n")
    assert set(re.findall(r"\$\{?([A-Z_]+)", text)) <= set(STAGES[name].env())
    assert set(re.findall(r"--(\w+)", text)) <= set(flags.FLAGS)


def test_health_is_asked_of_a_page_that_exists():
    check = STAGES["embedded"].one("HEALTHCHECK")
    (path,) = re.findall(r"'GET', '([^']+)'", check)
    assert path in pages()
    for name in IMAGES:
        assert "8501" in STAGES[name].one("HEALTHCHECK")
