"""The notebooks of examples/ run from top to bottom, and show what they gave when they were committed."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
EACH = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
MACHINE = re.compile(r"(?<![\w.])/(?:home|root|tmp|usr|opt|work|Users)\b|[A-Z]:\\")


def code(path: Path) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def text(output: dict[str, Any]) -> str:
    said = output.get("text", output.get("data", {}).get("text/plain", ""))
    return said if isinstance(said, str) else "".join(said)


def picture(output: dict[str, Any]) -> Image.Image | None:
    for kind, data in output.get("data", {}).items():
        if kind.startswith("image/"):
            return Image.open(io.BytesIO(base64.b64decode("".join(data))))
    return None


def shown(cell: dict[str, Any]) -> list[Any]:
    """The words of each output in alphabetical order, and the sizes of pictures.

    Numbers differ from one machine to another, and with them the order of what is unlikely; stderr is the machine's.
    """
    seen = [output for output in cell["outputs"] if output.get("name") != "stderr"]
    images = [picture(output) for output in seen]
    return [
        sorted(re.findall(r"[^\W\d]+", text(output))) if image is None else image.size
        for output, image in zip(seen, images, strict=True)
    ]


def test_there_are_four() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["detect_and_segment", "for_a_phone", "own_pictures", "translate"]


@EACH
def test_every_cell_was_run_in_its_order_and_shows_something(path: Path) -> None:
    cells = code(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert cell["outputs"], "".join(cell["source"])
        for output in cell["outputs"]:
            assert output["output_type"] in ("stream", "display_data", "execute_result"), text(output)
            assert output.get("name") != "stderr", text(output)
            assert not MACHINE.search(text(output)), text(output)


@EACH
def test_pictures_are_small_and_not_blank(path: Path) -> None:
    images = [image for cell in code(path) for output in cell["outputs"] if (image := picture(output)) is not None]
    assert images and path.stat().st_size < 300_000
    for image in images:
        assert np.asarray(image.convert("L"), float).std() > 10


@EACH
def test_what_is_linked_is_there(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    told = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    targets = re.findall(r"\]\(([^)#]+)\)", told)
    assert targets and all((EXAMPLES / target).is_file() for target in targets)


@pytest.mark.slow
@EACH
def test_it_runs_and_shows_what_was_committed(path: Path, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("run_notebooks", EXAMPLES / "run.py")
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)
    made = [cell for cell in run.run(path, tmp_path).cells if cell["cell_type"] == "code"]
    for before, after in zip(code(path), made, strict=True):
        assert shown(before) == shown(after), "".join(before["source"])
