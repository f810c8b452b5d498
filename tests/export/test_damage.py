"""Artefacts that are damaged, foreign or cut short: an error of ours, whatever is wrong with them."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo.engines import card as card_
from kerazoo.engines import open_network
from kerazoo.errors import KerazooError, UsageError
from kerazoo.export import golden as golden_
from kerazoo.export import verify
from kerazoo.formats import FORMATS

ONCE = settings(max_examples=30)


def _plain_onnx(path):
    proto = onnx.load(path)
    del proto.metadata_props[:]
    onnx.save(proto, path)


def _plain_litert(path):
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"PK\x03\x04")])


@pytest.mark.parametrize(("engine", "strip"), [("onnx", _plain_onnx), ("litert", _plain_litert)])
def test_an_artefact_without_a_card_is_refused(copies, engine, strip):
    strip(copies / FORMATS[engine].file)
    with pytest.raises(UsageError, match="no Kerazoo card"):
        open_network(engine, copies / FORMATS[engine].file)


def test_a_bundle_without_a_card_is_refused(copies):
    from kerazoo.engines import savedmodel

    (copies / "savedmodel" / "assets.extra" / "kerazoo" / "card.json").unlink()
    with pytest.raises(UsageError, match="no Kerazoo card"):
        savedmodel.open_network(copies / "savedmodel")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"tasks": {}}', '{"tasks": {"fly": {"kind": "fly"}}, "model": "x"}', "\ud800"]
)
def test_a_card_that_makes_no_sense_is_refused(text, tmp_path):
    with pytest.raises(UsageError):
        card_.loads(text, tmp_path / "model.onnx", lambda name: b"")


@pytest.mark.parametrize("engine", ["onnx", "litert"])
@pytest.mark.parametrize("content", [b"", b"PK", b"not a model at all" * 9], ids=["empty", "zip", "text"])
def test_what_is_no_model_is_refused(tmp_path, engine, content):
    path = tmp_path / FORMATS[engine].file
    path.write_bytes(content)
    with pytest.raises(UsageError):
        open_network(engine, path)


@pytest.mark.parametrize("engine", ["onnx", "litert"])
def test_what_is_not_there_is_refused(tmp_path, engine):
    with pytest.raises(UsageError):
        open_network(engine, tmp_path / FORMATS[engine].file)


@ONCE
@given(share=st.floats(0, 1, exclude_max=True))
@pytest.mark.parametrize("engine", ["onnx", "litert"])
def test_a_truncated_artefact_is_refused(made, tmp_path, engine, share):
    data = (made / FORMATS[engine].file).read_bytes()
    path = tmp_path / FORMATS[engine].file
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(KerazooError):
        network, card = open_network(engine, path)
        verify.check(card.tasks, golden_.load(made / "golden.npz"), network, FORMATS[engine], "artefact")


CUT = """
import pathlib, sys
from kerazoo.engines import litert
from kerazoo.errors import KerazooError
for path in sys.argv[1:]:
    try:
        litert.open_network(pathlib.Path(path))
        print("opened", flush=True)
    except KerazooError as error:
        print("refused", flush=True)
"""


@pytest.mark.slow
def test_a_damaged_network_with_a_whole_card_does_not_end_the_process(made, tmp_path):
    data = (made / FORMATS["litert"].file).read_bytes()
    at = data.index(b"PK\x03\x04")
    random = np.random.RandomState(0)
    paths = []
    for index, share in enumerate(np.linspace(0, 0.99, 12)):
        paths.append(tmp_path / f"cut{index}.tflite")
        paths[-1].write_bytes(data[: int(at * share)] + data[at:])
    for index in range(12):
        noisy = np.frombuffer(data[:at], np.uint8).copy()
        noisy[random.randint(0, at, 8)] ^= 255
        paths.append(tmp_path / f"noise{index}.tflite")
        paths[-1].write_bytes(noisy.tobytes() + data[at:])
    done = subprocess.run([sys.executable, "-c", CUT, *paths], capture_output=True, text=True, check=False)
    said = done.stdout.split()
    assert done.returncode == 0, f"ended with {done.returncode} at {paths[len(said)].name}: {done.stderr[-500:]}"
    assert set(said[:12]) == {"refused"}


def test_the_card_is_json_that_others_can_read(made):
    text = onnx.load(made / FORMATS["onnx"].file).metadata_props[0].value
    plain = json.loads(text)
    assert plain["model"] == "tiny:test"
    assert plain["tasks"]["classify"]["class"] == "Classify"
    assert plain["weights_sha256"] == "ab" * 32


def _damaged(data, rng):
    """One random damage of a file: a bit, a byte, a run of zeros, an end cut off, something put in or taken out."""
    at, data = int(rng.integers(len(data))), bytearray(data)
    kind = rng.integers(6)
    if kind == 0:
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        data[at] = (data[at] + int(rng.integers(1, 256))) % 256
    elif kind == 2:
        run = slice(at, at + int(rng.integers(1, 200)))
        data[run] = bytes(255 - each for each in data[run])
    elif kind == 3:
        del data[at:]
    elif kind == 4:
        data[at:at] = rng.bytes(int(rng.integers(1, 9)))
    else:
        del data[at : at + int(rng.integers(1, 9))]
    return bytes(data)


@pytest.mark.parametrize("engine", ["onnx", "litert", "savedmodel"])
def test_verify_notices_every_damage(copies, engine):
    """A thousand of them: weights, card, labels, hash, wherever they strike."""
    from kerazoo.export.again import verified

    place = copies / FORMATS[engine].file
    files = [place] if place.is_file() else sorted(file for file in place.rglob("*") if file.is_file())
    sizes = np.array([file.stat().st_size for file in files], np.float64)
    rng = np.random.default_rng(5)
    for turn in range(334):
        # Every other time any file of a folder, however small.
        index = rng.choice(len(files), p=sizes / sizes.sum() if turn % 2 else None)
        whole = files[index].read_bytes()
        broken = _damaged(whole, rng)
        if broken == whole:
            continue
        files[index].write_bytes(broken)
        with pytest.raises(KerazooError):
            verified(place)
        files[index].write_bytes(whole)


@pytest.mark.parametrize("engine", ["onnx", "litert"])
def test_verify_asks_the_golden(copies, engine):
    from kerazoo.export.again import verified

    found = verified(copies / FORMATS[engine].file)
    assert found.model == "tiny:test" and found.precision == "fp32" and found.tasks == ("classify",)
    assert 0 <= max(found.differences.values()) < 1e-3


@pytest.mark.parametrize(("engine", "strip"), [("onnx", _plain_onnx), ("litert", _plain_litert)])
def test_verify_knows_files_of_other_tools(copies, engine, strip):
    from kerazoo.export.again import verified

    strip(copies / FORMATS[engine].file)
    with pytest.raises(UsageError, match="no Kerazoo card"):
        verified(copies / FORMATS[engine].file)


def test_verify_refuses_an_answer_that_changed(copies, monkeypatch):
    from kerazoo import seal
    from kerazoo.errors import GateError
    from kerazoo.export.again import verified

    path = copies / FORMATS["onnx"].file
    proto = onnx.load(path)
    bias = next(each for each in proto.graph.initializer if list(each.dims) == [5])
    bias.CopyFrom(
        onnx.numpy_helper.from_array(
            onnx.numpy_helper.to_array(bias)[::-1] + 3 * np.arange(5, dtype=np.float32), bias.name
        )
    )
    kept = [each for each in proto.metadata_props if each.key != "kerazoo.sha256"]
    del proto.metadata_props[:]
    proto.metadata_props.extend(kept)
    onnx.save(proto, path)
    seal.seal_onnx(path)  # Whole, and of somebody who changed it.
    with pytest.raises(GateError, match="differs from Keras"):
        verified(path)


@pytest.mark.parametrize("name", ["none.onnx", "text.txt"])
def test_verify_refuses_what_is_no_artefact(tmp_path, name):
    from kerazoo.export.again import verified

    if name.startswith("text"):
        (tmp_path / name).write_text("hello")
    with pytest.raises(UsageError, match="No such file|no artefact"):
        verified(tmp_path / name)
