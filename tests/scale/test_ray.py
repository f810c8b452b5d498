"""A cluster of two nodes on this machine: the answers are those of one machine, also when a node dies."""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image

from kerazoo import registry, scale
from kerazoo.export import prepare
from kerazoo.serve import server
from kerazoo.serve.models.catalogue import Watch
from kerazoo.serve.models.versions import Retries
from kerazoo.serve.server import Options, one_model
from kerazoo.serve.wire import protos, tensors

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs pip install 'kerazoo[ray]'"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own.
]
ROOT = Path(__file__).parents[2]
SEVEN = ROOT / "examples" / "seven.png"
MEMORY = 100 << 20


@pytest.fixture(scope="module")
def nodes():
    """The cluster's address, and a function that kills its second node."""
    temporary = tempfile.TemporaryDirectory(prefix="kerazoo-nodes-", dir="/tmp", ignore_cleanup_errors=True)
    with pytest.MonkeyPatch.context() as patch, temporary as folder:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_TMPDIR", folder)  # Here Ray notes the address, if there is a folder for it.
        Path(folder, "ray").mkdir()
        patch.setenv("SERVE_SOCKET_REUSE_PORT_ENABLED", "1")  # The nodes share the machine's ports.
        ray = scale.load_ray()
        from ray.cluster_utils import Cluster

        quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
        common = {"num_cpus": 1, "object_store_memory": MEMORY, "include_dashboard": False}
        made = Cluster(True, head_node_args={**common, "temp_dir": folder, "_system_config": quick})
        try:
            second = made.add_node(**common)
            yield made.address, lambda: made.remove_node(second, allow_graceful=False)
        finally:
            ray.shutdown()
            made.shutdown()


@pytest.fixture(scope="module")
def base():
    return prepare.bundle(registry.find("lenet5:mnist"), lambda line: None)


def _free():
    with socket.socket() as taken:
        taken.bind(("", 0))
        return taken.getsockname()[1]


def _command(*arguments):
    return [sys.executable, "-m", "kerazoo", *map(str, arguments)]


def _asked(port, path, body=None, **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def _called(port, method, request, service="PredictionService"):
    read = protos.api(f"{method}Response").FromString if service == "PredictionService" else bytes
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            call = channel.unary_unary(f"/tensorflow.serving.{service}/{method}", response_deserializer=read)
            return call(request, timeout=20)
        except grpc.RpcError as error:
            return error.code(), error.details()


@contextlib.contextmanager
def _serving(address, *arguments):
    rest, rpc = _free(), _free()
    ports = [f"--port={rpc}", f"--rest_api_port={rest}"]
    command = _command("serve", "--scale", "ray", "--address", address, *ports, *arguments)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 60
        while process.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{rest}/readyz", timeout=5):
                break
            assert time.monotonic() < end, "it did not become ready"
            time.sleep(0.2)
        assert process.poll() is None, process.communicate()
        yield rest, rpc
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=40)
        assert process.returncode == 0
        assert "Traceback" not in out + err
    finally:
        process.kill()
        process.communicate()


def _predict(name="lenet5", data=None):
    request = protos.api("PredictRequest")()
    request.model_spec.name = name
    value = np.empty(1, object)
    value[0] = SEVEN.read_bytes() if data is None else data
    request.inputs["image_bytes"].CopyFrom(tensors.to_proto(value))
    return request.SerializeToString()


def test_replicas_answer_as_one_server_does(nodes, base):
    address, _ = nodes
    alone = server.start(Options(models=[one_model("lenet5", base)], grpc=0, rest=0, watch=Watch(0, Retries(0))))
    asked = [
        ("/v1/models/lenet5:predict", SEVEN.read_bytes(), {"Content-Type": "image/png"}),
        ("/v1/models/lenet5:predict", b'{"instances": [{"b64": "!"}]}', {}),
        ("/v1/models/lenet5:predict", b"{", {}),
        ("/v1/models/other:predict", b'{"instances": [1]}', {}),
        ("/v1/models/lenet5%3Apredict", b"{}", {}),
        ("/v1/models/lenet5/versions/1", None, {}),
        ("/v1/models/lenet5/metadata", None, {}),
        ("/kerazoo/models", None, {}),
    ]
    of_status = protos.api("GetModelStatusRequest")(model_spec={"name": "lenet5"}).SerializeToString()
    called = [
        ("Predict", _predict()),
        ("Predict", _predict("other")),
        ("Predict", _predict(data=b"no picture")),
        ("Predict", b"\xff"),
        ("GetModelStatus", of_status, "ModelService"),
    ]
    try:
        more = ["--replicas", 2, "--max-replicas", 3, "--target-requests", 4]
        with _serving(address, "lenet5:mnist", *more) as (rest, rpc):
            for path, body, headers in asked * 2:  # Now one replica answers, now the other.
                assert _asked(rest, path, body, **headers) == _asked(alone.rest.port, path, body, **headers), path
            for call in called * 2:
                assert _called(rpc, *call) == _called(alone.rpc.ports[0], *call), call[0]
            code, _ = _called(rpc, "HandleReloadConfigRequest", b"", "ModelService")
            assert code == grpc.StatusCode.UNIMPLEMENTED
            with scale.cluster(address):
                from ray.serve.api import _get_global_client

                details = _get_global_client().get_serve_details()
            found = details["applications"]["kerazoo"]["deployments"]["models"]
            scaled = found["deployment_config"]["autoscaling_config"]
            assert (scaled["min_replicas"], scaled["max_replicas"], scaled["target_ongoing_requests"]) == (2, 3, 4)
            assert len({replica["node_id"] for replica in found["replicas"]}) == 2
            # One that is killed costs at most the request that it was answering.
            os.kill(found["replicas"][0]["pid"], signal.SIGKILL)
            answers = [_asked(rest, *asked[0][:2], **asked[0][2])[0] for _ in range(200)]
            assert answers.count(200) >= 199
    finally:
        alone.close(1)


def test_a_model_that_does_not_load_ends_the_start(nodes, tmp_path):
    address, _ = nodes
    (tmp_path / "broken" / "1").mkdir(parents=True)
    (tmp_path / "broken" / "1" / "saved_model.pb").write_bytes(b"\xff\xff\xff")
    command = _command("serve", "--scale", "ray", "--address", address, f"broken={tmp_path / 'broken'}")
    ports = [f"--port={_free()}", f"--rest_api_port={_free()}", "--max_num_load_retries=0"]
    done = subprocess.run([*command, *ports], capture_output=True, text=True, timeout=60)
    assert done.returncode == 255
    assert done.stdout.startswith("Failed to start server. Error: ")
    assert "broken" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def _rows(text):
    return [{key: value for key, value in json.loads(line).items() if key != "ms"} for line in text.splitlines()]


def test_a_node_dies_and_no_row_is_lost(nodes, base, tmp_path):
    """200 pictures, slow enough to decode that both nodes are busy when one of them is killed."""
    address, kill = nodes
    random = np.random.default_rng(0)
    for index in range(4):
        picture = Image.fromarray(random.integers(0, 255, (12, 12, 3), np.uint8))
        picture.resize((1600, 1600)).save(tmp_path / f"source{index}.jpg")
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(200):
        os.link(tmp_path / f"source{index % 4}.jpg", folder / f"{index:03}.jpg")
    (folder / "100.jpg").unlink()
    (folder / "100.jpg").write_text("no picture")
    command = _command("predict", folder, "-m", "lenet5:mnist", "--json")
    here = subprocess.run(command, capture_output=True, text=True)
    with (tmp_path / "err").open("wb") as errors:
        process = subprocess.Popen(
            [*command, "--scale", "ray", "--address", address], stdout=subprocess.PIPE, stderr=errors, text=True
        )
    with process:
        lines = [process.stdout.readline() for _ in range(20)]
        kill()
        lines += process.stdout
    err = (tmp_path / "err").read_text()
    assert _rows("".join(lines)) == _rows(here.stdout)
    assert len(_rows(here.stdout)) == 200
    assert process.returncode == here.returncode == 3
    assert set(err.splitlines()) == {"A machine of the cluster is lost; what it had not answered is asked again."}


def test_a_machine_alone(base, tmp_path):
    """Without an address: a cluster is started, and nothing is left of it."""
    shutil.copy(SEVEN, tmp_path / "b.png")
    (tmp_path / "a.png").write_text("no picture")
    before = set(Path("/tmp").glob("kerazoo-ray-*"))
    command = _command("predict", tmp_path, "-", "-m", "lenet5:mnist", "--json")
    here, there = (
        subprocess.run([*command, *more], capture_output=True, input=SEVEN.read_bytes())
        for more in ([], ["--scale", "ray"])
    )
    assert _rows(there.stdout.decode()) == _rows(here.stdout.decode())
    files = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert [row["input"] for row in _rows(here.stdout.decode())] == [*files, "-"]
    assert there.returncode == 3
    assert there.stderr == here.stderr == b""
    assert set(Path("/tmp").glob("kerazoo-ray-*")) == before


def test_an_address_without_a_cluster():
    command = _command("predict", SEVEN, "-m", "lenet5:mnist", "--scale", "ray", "--address", f"127.0.0.1:{_free()}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "No Ray cluster to be had at 127.0.0.1" in done.stderr
    assert "Traceback" not in done.stderr
