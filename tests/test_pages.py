"""What the README and the pages that one begins with show is run as it is printed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from kerazoo import registry, tasks
from tests.printed import bodies

ROOT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    *(pytest.param(f"docs/{page}.md", marks=pytest.mark.slow) for page in ("index", "predict", "export")),
]


SET_UP = [body.strip() for body in bodies("README.md", "sh") if "python3 -m venv" in body]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder with the examples, and an environment with the installed command and a cache of its own."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "examples").mkdir()
    (folder / "examples" / "seven.png").write_bytes((ROOT / "examples" / "seven.png").read_bytes())
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "KERAZOO_HOME": str(folder / "home"), "KERAZOO_OFFLINE": "1"}
    return folder, env


def _run(command: list[str] | str, workplace: tuple[Path, dict[str, str]]) -> str:
    folder, env = workplace
    done = subprocess.run(
        command, shell=isinstance(command, str), cwd=folder, env=env, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_there_are_exactly_two_set_up_commands() -> None:
    assert len(SET_UP) == 2
    assert all("\n" not in command for command in SET_UP)
    assert "kerazoo predict examples/seven.png -m lenet5:mnist" in SET_UP[0]
    assert "pytest" in SET_UP[1]


@pytest.mark.parametrize("page", PAGES)
def test_what_is_printed_runs_in_its_order(page: str, workplace: tuple[Path, dict[str, str]]) -> None:
    for body in bodies(page, "python", "sh", "console"):
        if body.startswith("$ "):
            for session in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
                command, _, expected = session.partition("\n")
                got = _run(command, workplace)
                same = [re.sub(r'"ms": [\d.]+', '"ms": N', text) for text in (got, expected)]
                assert same[0] == same[1]
        elif body.startswith("import "):
            _run([sys.executable, "-c", body], workplace)
        elif body.strip() not in SET_UP:
            for line in body.splitlines():
                _run(line, workplace)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_the_server_answers_what_is_shown(workplace: tuple[Path, dict[str, str]]) -> None:
    """The blocks that need a running server, on ports that are free."""
    folder, env = workplace
    (start,), shown = (body.strip().splitlines() for body in bodies("README.md", "shell"))
    (asked,), (stubs,) = bodies("docs/serving.md", "shell"), bodies("docs/serving.md", "py")
    questions = dict.fromkeys([*shown, *asked.strip().splitlines()])
    ports = {"8500": str(_free_port()), "8501": str(_free_port())}

    def moved(text: str) -> str:
        return re.sub(r"localhost:(850[01])", lambda found: f"127.0.0.1:{ports[found[1]]}", text)

    command = [*start.split(), f"--port={ports['8500']}", f"--rest_api_port={ports['8501']}"]
    server = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(moved("http://localhost:8501/readyz"))
        for question in questions:
            if question.startswith("curl") and shutil.which("curl") is None:
                continue
            got = _run(moved(question), workplace)
            assert '"7"' in got or "100.00%  7" in got or "serving_default" in got, (question, got)
        assert _run([sys.executable, "-c", moved(stubs)], workplace).strip() == "b'7'"
    finally:
        server.terminate()
        server.wait(60)


@pytest.mark.slow
def test_a_model_of_ones_own_goes_all_the_way(workplace: tuple[Path, dict[str, str]]) -> None:
    """Every command that answers names the three colours rightly, whatever stands between the model and the answer."""
    folder, env = workplace
    (commands,) = (body.strip().splitlines() for body in bodies("docs/first-model.md", "bash"))
    for body in bodies("docs/first-model.md", "python"):
        _run([sys.executable, "-c", body], workplace)
    rest, grpc = _free_port(), _free_port()
    server = None
    answered = 0
    try:
        for command in commands:
            if command.endswith("&"):
                ports = [f"--rest_api_port={rest}", f"--port={grpc}"]
                server = subprocess.Popen([*command.removesuffix("&").split(), *ports], cwd=folder, env=env)
                _wait(f"http://127.0.0.1:{rest}/readyz")
                continue
            said = _run(command.replace("localhost:8501", f"127.0.0.1:{rest}"), workplace)
            if " predict " in command:
                firsts = [line.split()[-1] for line in said.splitlines() if "%" in line][::3]
                assert firsts == ["red", "green", "blue"], (command, said)
                answered += 1
    finally:
        if server is not None:
            server.terminate()
            server.wait(60)
    assert answered == 5


def _wait(url: str) -> None:
    for _ in range(1200):
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(0.1)


def test_the_readme_has_a_model_of_each_task() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (.+) \| \[.*\]\(docs/tasks/(\w+)\.md\) \|$", text, re.MULTILINE)
    assert sorted(kind for kind, _, _ in rows) == sorted(tasks.kinds())
    does = {row["name"]: row["tasks"] for row in registry.rows()}
    for kind, model, page in rows:
        assert page == kind
        assert model == "any classifier" if kind == "dream" else kind in does[model.strip("`")]
