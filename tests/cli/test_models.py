"""The table of models, and what the shell is offered after Tab."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kerazoo import registry
from kerazoo.cli import COMMANDS
from kerazoo.cli import models as models_


def test_every_row_fits_a_terminal_of_80_columns(kerazoo: Any) -> None:
    done = kerazoo("models")
    assert done.status == 0
    assert max(map(len, done.out.splitlines())) <= 80
    words = done.out.split()
    assert all(row["name"] in words for row in registry.rows())
    assert all(len(line) <= 80 for line in done.err.splitlines())
    assert "brackets" in done.err


def test_what_is_on_this_machine_is_marked(kerazoo: Any) -> None:
    lines = {line.split()[0]: line for line in kerazoo("models").out.splitlines()}
    assert " * " in lines["lenet5:mnist"]
    assert " * " not in lines["vgg16:imagenet"]
    rows = {row["name"]: row for row in kerazoo("models", "--json").rows}
    assert rows["lenet5:mnist"]["cached"]
    assert not rows["vgg16:imagenet"]["cached"]
    assert rows["vgg16:imagenet"]["params"] == 138357544


def test_models_of_several_tasks_and_long_names_lose_nothing() -> None:
    row = {"name": f"{'long' * 12}:{'weights' * 3}", "cached": True, "tasks": ["fill", "embed", "classify"],
           "params": 1_234_567_890, "input": [None, None, 3], "measured": [],
           "metrics": [{"metric": "mean average precision", "value": 51.1234}]}  # fmt: skip
    lines = models_.table([row, {**row, "name": "short", "cached": False, "params": 12, "metrics": []}])
    assert max(map(len, lines)) <= 80
    told = "\n".join(lines)
    names = "".join(line[: lines[0].index("TASK") - 2].strip() for line in lines[1:])
    assert names == f"{row['name']}short"
    for word in ("fill", "embed", "classify", "1.2G", "?x?x3", "average"):
        assert str(word) in told


def test_the_kinds_of_a_model_of_several_tasks(kerazoo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "tasks_of", lambda model: ({"classify": 1, "segment": 2}, None))
    assert kerazoo("models", "lenet5:mnist", "--json").rows[0]["tasks"] == ["classify", "segment"]
    assert "classify, segment" in kerazoo("models", "lenet5:mnist", "--task", "segment").out
    assert "does redraw" in kerazoo("models", "lenet5:mnist", "--task", "redraw").err


def complete(*words: str) -> list[str]:
    command = "from kerazoo import cli\ncli.main()\n"
    command = f"import sys\ntry:\n    {command.replace(chr(10), chr(10) + '    ')}\nfinally:\n    "
    command += "print([m for m in sys.modules if m in ('tensorflow', 'keras')], file=sys.stderr)"
    environment = {"COMP_WORDS": " ".join(["kerazoo", *words]), "COMP_CWORD": str(len(words))}
    done = subprocess.run(
        [sys.executable, "-c", command],
        capture_output=True,
        text=True,
        env={**os.environ, **environment, "_KERAZOO_COMPLETE": "bash_complete"},
    )
    assert done.stderr == "[]\n"
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["pre"], ["plain,predict"]),
        (["predict", "-m", "lenet5:"], ["plain,lenet5:mnist"]),
        (["predict", "-m", "mine.ke"], ["file,mine.ke"]),
        (["predict", "ph"], ["file,ph"]),
        (["predict", "--engine", "l"], ["plain,litert"]),
        (["predict", "--task", "seg"], ["plain,segment"]),
        (["export", "lenet5:mnist", "--to", "saved"], ["plain,savedmodel"]),
        (["info", "lenet5_1998:m"], ["plain,lenet5_1998:mnist"]),
        (["evaluate", "stn:"], ["plain,stn:mnist-rts"]),
        (["completion", "z"], ["plain,zsh"]),
    ],
    ids=" ".join,
)
def test_completion_knows_the_words(words: list[str], offered: list[str]) -> None:
    assert complete(*words) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_what_the_shell_runs(kerazoo: Any, shell: str) -> None:
    done = kerazoo("completion", shell)
    assert done.status == 0
    assert "_KERAZOO_COMPLETE" in done.out


def test_bash_completes_a_name_with_a_colon(tmp_path: Path) -> None:
    (tmp_path / "kerazoo").write_text(f'#!/bin/sh\nexec {sys.executable} -m kerazoo "$@"\n')
    (tmp_path / "kerazoo").chmod(0o755)
    script = """
eval "$(kerazoo completion bash)" || exit 1
case $COMP_WORDBREAKS in *:*) exit 2;; esac
COMP_WORDS=(kerazoo info lenet5:m) COMP_CWORD=2
_kerazoo_completion kerazoo && echo "${COMPREPLY[@]}"
"""
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment)
    assert (done.stdout, done.stderr) == ("lenet5:mnist\n", "")


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=str)
def test_help_has_examples_and_fits(kerazoo: Any, command: list[str]) -> None:
    done = kerazoo(*command, "--help")
    assert "\n  kerazoo " in done.out or 'eval "$(kerazoo ' in done.out
    assert max(map(len, done.out.splitlines())) <= 80
