"""What docs/your-own-model.md shows is run as it is printed."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from kerazoo.codecs.image import scene
from tests import printed
from tests.own import files


@pytest.mark.slow
def test_the_page_runs_from_top_to_bottom(tmp_path: Path) -> None:
    (tmp_path / "scene.png").write_bytes(scene())
    (tmp_path / "pictures").mkdir()
    for index, colour in enumerate(files.LABELS):
        Image.fromarray(files.picture(colour)).save(tmp_path / "pictures" / f"{index}_{colour}.png")
    said = {}
    for kind, body in printed.blocks("docs/your-own-model.md"):
        for step in [body] if kind == "python" else body.strip().splitlines():
            said[step] = printed.run(kind, step, tmp_path).stdout
    answers = [[line.split()[-1] for line in out.splitlines()] for step, out in said.items() if "predict" in step]
    assert len(answers) == 3 and answers[0] == answers[1] == answers[2] and set(answers[0]) == set(files.LABELS)
    assert "top-1 100.00 %" in said["kerazoo evaluate mine.keras pictures"]
