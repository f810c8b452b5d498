"""docs/android.md relies on what lies in a .tflite file; its steps, taken in Python, give the answers of Kerazoo."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kerazoo
from tests import printed

ROOT = Path(__file__).parents[2]
KOTLIN = max(printed.bodies("docs/android.md", "kotlin"), key=len)
pytestmark = pytest.mark.slow


@pytest.fixture
def file(exported: dict[str, Path]) -> Path:
    return exported["litert"]


def test_it_answers_what_predict_answers(file: Path) -> None:
    """By the steps of the page, with the same calls of LiteRT's compiled model."""
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator

    names, card = re.search(r'listOf\("(.*)", "(.*)"\)', KOTLIN).groups()
    with zipfile.ZipFile(file) as archive:
        labels = archive.read(names).decode().rstrip().split("\n")
        told = json.loads(archive.read(card))
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
    for step in re.findall(r'getJSONObject\("(\w+)"\)', KOTLIN):
        told = told[step]
    width, height, channels = (told[name] for name in re.findall(r'getInt\("(\w+)"\)', KOTLIN))
    assert told["resize"] is None and told["fill"] == "crop"

    picture = Image.open(ROOT / "examples" / "seven.png")
    while picture.width >= 2 * width and picture.height >= 2 * height:
        picture = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BILINEAR)
    small = picture.resize((width, height), Image.Resampling.BILINEAR)
    assert (channels, small.mode) == (1, "L")
    model = CompiledModel.from_file(str(file), HardwareAccelerator.CPU)
    inputs, outputs = model.create_input_buffers(0), model.create_output_buffers(0)
    assert (len(inputs), len(outputs)) == (1, 1)
    inputs[0].write(np.asarray(small, np.float32).reshape(1, height, width, channels))
    model.run_by_index(0, inputs, outputs)
    logits = outputs[0].read(len(labels), np.float32)
    powers = np.exp(logits - logits.max())

    expected = kerazoo.load(str(file))(ROOT / "examples" / "seven.png")
    scores = dict(zip(expected.labels, expected.scores, strict=True))
    assert labels[int(powers.argmax())] == expected.labels[0]
    assert powers / powers.sum() == pytest.approx([scores[label] for label in labels], abs=0.02)


def test_the_file_takes_and_gives_floats(file: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    network = Interpreter(str(file)).get_signature_runner()
    (taken,), (given,) = network.get_input_details().values(), network.get_output_details().values()
    assert taken["dtype"] == given["dtype"] == np.float32
    assert list(taken["shape"]) == [1, 32, 32, 1] and list(given["shape"]) == [1, 10]
