"""What docs/detection.md shows is run as it is printed, over real weights; and a server says the same boxes."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

import kerazoo
from kerazoo import registry
from kerazoo.export import prepare
from kerazoo.loading import load
from kerazoo.serve import server
from kerazoo.serve.models.catalogue import Watch
from kerazoo.serve.models.loading import Loading
from kerazoo.serve.models.versions import Retries
from kerazoo.serve.server import Options, one_model
from tests import printed

DATA = Path(os.environ.get("KERAZOO_TEST_DATA", "/nowhere"))
NAME = "mobilenetv2_yolov3_nano:coco"
BLOCKS = printed.blocks("docs/detection.md", "sh", "python")

pytestmark = [
    pytest.mark.skipif(not DATA.is_dir(), reason="KERAZOO_TEST_DATA names no folder of data"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAZOO_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("KERAZOO_MIRROR", str(DATA / "weights"))
        yield


def test_the_page_runs_from_top_to_bottom(home, tmp_path):
    shutil.copy(DATA / "photos" / "pets.jpg", tmp_path)
    for suffix in ("weights", "cfg"):
        shutil.copy(DATA / "weights" / f"mobilenetv2_yolov3_nano_coco.{suffix}", tmp_path / f"mine.{suffix}")
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    said = {}
    for kind, body in BLOCKS:
        for step in [body] if kind == "python" else body.strip().splitlines():
            command = [sys.executable, "-c", step] if kind == "python" else ["bash", "-c", step]
            done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
            assert done.returncode == 0, (step, done.stderr)
            said[step] = done.stdout
    predicted = [out for step, out in said.items() if "predict" in step and "-m" in step]
    assert [row["label"] for row in json.loads(predicted[1])["boxes"]] == ["dog", "dog"]
    assert all(
        [line.split()[-1] for line in predicted[place].splitlines()[:2]] == ["dog", "dog"] for place in (0, 2, 3)
    )
    assert (tmp_path / "seen.png").is_file() and (tmp_path / "boxes.png").is_file()
    assert "[(None, 7, 10, 24), (None, 14, 20, 24)]" in " ".join(said.values())


@pytest.mark.parametrize("engine", ["auto", "savedmodel"])
def test_tensorflows_clients_are_answered_over_both_wires(home, engine):
    base = prepare.bundle(registry.find(NAME), lambda line: None)
    loading = Loading(engine=engine)
    options = Options(models=[one_model("nano", base)], grpc=0, rest=0, watch=Watch(0, Retries(0)), loading=loading)
    running = server.start(options)
    data = (DATA / "photos" / "pets.jpg").read_bytes()
    mine = load(NAME, "keras")(data)
    try:
        item = {"image_bytes": {"b64": base64.b64encode(data).decode()}}
        asked = json.dumps({"signature_name": "detection", "instances": [item]}).encode()
        address = f"http://127.0.0.1:{running.rest.port}/v1/models/nano:predict"
        with urllib.request.urlopen(address, asked) as answer:
            (row,) = json.load(answer)["predictions"]
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = "nano", "detection"
        request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([data]))
        with grpc.insecure_channel(f"127.0.0.1:{running.rpc.ports[0]}") as channel:
            found = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, 60).outputs
        told = {name: tf.make_ndarray(tensor)[0] for name, tensor in found.items()}
        assert told.keys() == row.keys()
        for one in (row, told):
            boxes = np.array(one["detection_boxes"])
            assert boxes.shape == (100, 4) and one["num_detections"] == 2
            assert np.array(one["detection_classes"])[:3].tolist() == [mine.indices[0] + 1, mine.indices[1] + 1, 0]
            np.testing.assert_allclose(np.array(one["detection_scores"])[:2], mine.scores, atol=0.02)
            pixels = boxes[:2] * np.tile(mine.size, 2)
            np.testing.assert_allclose(pixels[:, [1, 0, 3, 2]], mine.boxes, atol=3)
    finally:
        running.close(1)


def test_the_same_boxes_over_rest(home):
    base = prepare.bundle(registry.find(NAME), lambda line: None)
    variant = NAME.partition(":")[0]
    options = Options(models=[one_model(variant, base)], grpc=0, rest=0, watch=Watch(0, Retries(0)))
    running = server.start(options)
    try:
        remote, here = kerazoo.Client(f"http://127.0.0.1:{running.rest.port}", variant), load(NAME, "keras")
        for name in ("pets", "owl", "grace_hopper"):
            mine, theirs = (each(DATA / "photos" / f"{name}.jpg") for each in (here, remote))
            assert mine.labels == theirs.labels
            np.testing.assert_allclose(theirs.scores, mine.scores, atol=0.02)
            np.testing.assert_allclose(theirs.boxes, mine.boxes, atol=3)
            assert theirs.files()
    finally:
        running.close(1)
