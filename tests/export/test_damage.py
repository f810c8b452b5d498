"""Artefacts that are damaged, foreign or cut short: an error of ours, whatever is wrong with them."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kerazoo.engines import card as card_
from kerazoo.engines import open_network
from kerazoo.errors import KerazooError, UsageError
from kerazoo.export import golden as golden_
from kerazoo.export import verify
from kerazoo.formats import FORMATS

ONCE = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


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
