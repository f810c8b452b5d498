"""The blocks that a page prints, run as they stand."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from kerazoo import cli

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Said:
    """What a block printed."""

    stdout: str
    stderr: str


def blocks(page: str | Path, *kinds: str) -> list[tuple[str, str]]:
    """Kind and body of a page's blocks, of all or of some kinds, in their order; `page` is a path in the project."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(kind, body) for kind, body in found if not kinds or kind in kinds]


def bodies(page: str | Path, *kinds: str) -> list[str]:
    """The bodies alone."""
    return [body for _, body in blocks(page, *kinds)]


def run(kind: str, body: str, folder: Path) -> Said:
    """Runs a block in a folder, where `home` is the cache, and wants it to end well.

    Python, and lines that are commands of kerazoo and nothing else, run in this process: each of its own would spend
    most of its time on importing TensorFlow. What only a shell understands gets one.
    """
    lines = [shlex.split(line) for line in body.strip().splitlines()] if kind != "python" else []
    if kind != "python" and not (all(line[:1] == ["kerazoo"] for line in lines) and not set(body) & set("&|;>$\\")):
        return _shell(body, folder)
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    before = Path.cwd(), os.environ.copy()
    os.chdir(folder)
    os.environ["KERAZOO_HOME"] = str(folder / "home")
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            warnings.simplefilter("ignore")
            if kind == "python":
                exec(compile(body, "<page>", "exec"), {"__name__": "__main__"})
            for line in lines:
                assert cli.run(line[1:]) == 0, f"{shlex.join(line)}\n{_text(out)[-2000:]}\n{_text(err)[-2000:]}"
    finally:
        os.chdir(before[0])
        os.environ.clear()
        os.environ.update(before[1])
    return Said(_text(out), _text(err))


def _text(stream: io.TextIOWrapper) -> str:
    return stream.buffer.getvalue().decode()  # type: ignore[attr-defined]


def _shell(body: str, folder: Path) -> Said:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    env = {**os.environ, "PATH": path, "PYTHONPATH": paths, "KERAZOO_HOME": str(folder / "home")}
    done = subprocess.run(["bash", "-ec", body], cwd=folder, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{body}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return Said(done.stdout, done.stderr)
