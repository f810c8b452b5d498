"""What the pages show of a session is what the commands print."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from kerazoo import cli, registry
from tests import printed

ROOT = Path(__file__).parents[2]
ANSWERS = {
    asked["command"]: asked["output"]
    for asked in json.loads((ROOT / "docs" / "tasks" / "answers.json").read_text(encoding="utf-8")).values()
    if "output" in asked
}
SHOWN = [
    (page.relative_to(ROOT).as_posix(), *session.partition("\n")[::2])
    for page in sorted((ROOT / "docs").rglob("*.md"))
    for body in printed.bodies(page, "console")
    for session in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]
]


def model(command: str) -> str:
    return re.search(r"-m (\S+)", command)[1]


def bundled(command: str) -> bool:
    """Whether it runs anywhere: its weights lie in the package, and it is one command about a file that is here."""
    words = shlex.split(command)
    here = not {"|", "&&"} & set(words) and words[:2] == ["kerazoo", "predict"]
    entry = registry.find(model(command)).entry if here else None
    return entry is not None and all("package:" in str(file.urls) for file in entry.files)


@pytest.mark.parametrize("page, command, output", SHOWN, ids=[f"{page}: {command}" for page, command, _ in SHOWN])
def test_pages_agree_about_what_a_command_prints(page: str, command: str, output: str) -> None:
    assert "--json" in command or ANSWERS[command] == output


def test_the_sessions_are_found() -> None:
    assert len(SHOWN) > 12 and sum(bundled(command) for _, command, _ in SHOWN) > 6


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted({command for _, command, _ in SHOWN if bundled(command)}))
def test_commands_print_what_is_printed(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for word in shlex.split(command):
        if (ROOT / word).is_file():
            (tmp_path / word).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / word).write_bytes((ROOT / word).read_bytes())
    monkeypatch.chdir(tmp_path)
    # On Keras, since every engine answers alike and this one wants no export.
    assert cli.run([*shlex.split(command)[1:], "--engine", "keras"]) == 0
    got = capsys.readouterr().out
    expected = next(output for _, shown, output in SHOWN if shown == command)
    number = r"-?\d+(?:\.\d+)?"
    texts = [re.sub(r'"ms": [\d.]+', "", text) for text in (expected, got)]
    assert re.sub(number, "N", texts[0]) == re.sub(number, "N", texts[1])
    numbers = [[float(word) for word in re.findall(number, text)] for text in texts]
    assert numbers[1] == pytest.approx(numbers[0], rel=2e-3, abs=0.02)
