"""What docs/your-own-model.md shows is run as it is printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from kerazoo.codecs.image import scene
from tests.own import files

PAGE = Path(__file__).parents[2] / "docs" / "your-own-model.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_page_runs_from_top_to_bottom(tmp_path: Path) -> None:
    (tmp_path / "scene.png").write_bytes(scene())
    (tmp_path / "pictures").mkdir()
    for index, colour in enumerate(files.LABELS):
        Image.fromarray(files.picture(colour)).save(tmp_path / "pictures" / f"{index}_{colour}.png")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "KERAZOO_HOME": str(tmp_path / "home"), "KERAZOO_OFFLINE": "1"}
    said = {}
    for kind, body in BLOCKS:
        for step in [body] if kind == "python" else body.strip().splitlines():
            command = [sys.executable, "-c", step] if kind == "python" else ["bash", "-c", step]
            done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
            assert done.returncode == 0, (step, done.stderr)
            said[step] = done.stdout
    answers = [[line.split()[-1] for line in out.splitlines()] for step, out in said.items() if "predict" in step]
    assert len(answers) == 3 and answers[0] == answers[1] == answers[2] and set(answers[0]) == set(files.LABELS)
    assert "top-1 100.00 %" in said["kerazoo evaluate mine.keras pictures"]
