"""`kerazoo export` and `verify`: one command from a model to a checked file, and what it says on the way."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from kerazoo import loading
from kerazoo.cli import cli
from kerazoo.codecs import image as image_
from kerazoo.contract import Port

MODEL = "lenet5:mnist"


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(cli, [str(each) for each in arguments], standalone_mode=False)


def _digits(folder):
    """Pictures with something in them, of the size that LeNet looks at."""
    folder.mkdir()
    rng = np.random.default_rng(2)
    for index in range(20):
        (folder / f"{index:02}.png").write_bytes(image_.drawn(Port("image_bytes", "string", (None,), "image"), rng))
    return folder


def test_from_a_model_to_int8_to_an_answer(run, tmp_path):
    folder, out = _digits(tmp_path / "digits"), tmp_path / "out"
    done = run(
        "export",
        MODEL,
        "--to",
        "litert",
        "--precision",
        "int8",
        "--calibrate",
        folder,
        "--min-agreement",
        "0.8",
        "-o",
        out,
    )
    assert done.exception is None and done.return_value == 0, done.output
    assert [path.name for path in out.iterdir()] == ["lenet5.int8.tflite"]
    for words in (
        "as it is: equal first classes",
        "agreement",
        "10 items that calibration did not see",
        "size",
        "MB",
        "Next: kerazoo verify",
        f"kerazoo predict INPUT -m {MODEL} --precision int8",
    ):
        assert words in done.output, words
    again = run("verify", out / "lenet5.int8.tflite")
    assert again.return_value == 0 and "whole, golden answer within" in again.output
    data = (out / "lenet5.int8.tflite").read_bytes()
    (out / "lenet5.int8.tflite").write_bytes(data[: len(data) // 2] + b"\0" + data[len(data) // 2 + 1 :])
    assert run("verify", out / "lenet5.int8.tflite").return_value == 5
    # It is kept for `--precision`, too; `auto` stays in floats.
    predictor = loading.load(MODEL, precision="int8")
    assert predictor.engine == "litert" and len(predictor(folder / "00.png").top(3)) == 3
    with pytest.raises(loading.UsageError, match="no int16x8 artefact of lenet5:mnist on this machine. Make one"):
        loading.load(MODEL, precision="int16x8")


@pytest.mark.parametrize(("arguments", "told"), [
    (["--to", "litert", "--precision", "int8"], "int8 is calibrated: --calibrate DIR names a folder"),
    (["--to", "savedmodel", "--precision", "int8", "--calibrate", "random"], "savedmodel has no int8; it has fp32"),
    (["--to", "onnx", "--precision", "int16x8", "--calibrate", "random"], "onnx has no int16x8"),
    (["--to", "onnx", "--precision", "int9"], "Unknown precision 'int9'"),
    (["--to", "onnx", "--calibrate", "random"], "fp32 needs nothing of the kind"),
    (["--to", "onnx", "--batch", "7"], "--batch 7 is neither 1 nor dynamic"),
    (["--to", "savedmodel", "--part", "network"], "savedmodel holds the whole answer"),
    (["--to", "onnx", "--part", "encoder"], "lenet5:mnist has the parts network; 'encoder' was asked for"),
    (["--to", "onx"], "Did you mean onnx"),
])  # fmt: skip
def test_what_cannot_be_meant(run, tmp_path, arguments, told):
    done = run("export", MODEL, *arguments, "-o", tmp_path / "out")
    assert told in str(done.exception)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_place_that_cannot_be_written(run, tmp_path):
    (tmp_path / "file").write_text("here already")
    done = run("export", MODEL, "--to", "onnx", "-o", tmp_path / "file")
    assert "cannot be written" in str(done.exception)


def test_verify_goes_on_after_a_bad_one(run, tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"no model")
    (tmp_path / "b.tflite").write_bytes(b"")
    done = run("verify", tmp_path / "a.onnx", tmp_path / "b.tflite", "--json")
    assert done.return_value == 2
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["artefact"] for row in rows] == [str(tmp_path / "a.onnx"), str(tmp_path / "b.tflite")]
    assert all(row["error"] for row in rows)
