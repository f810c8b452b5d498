"""Promises 1, 9, 11 and 12: a whole server, started as users start it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

from kerazoo import cli
from kerazoo.serve import config, flags, logs, options, server
from kerazoo.serve.access import Access
from kerazoo.serve.http.app import METRICS as METRICS_PATH
from kerazoo.serve.models import batching, warmup
from kerazoo.serve.models.catalogue import Watch
from kerazoo.serve.models.loading import Batching, Loading
from kerazoo.serve.models.versions import Retries
from kerazoo.serve.server import Options, one_model
from kerazoo.serve.wire.status import Status

QUICK = Watch(0.05, Retries(0))


@pytest.fixture
def start():
    running = []

    def start(*models, **more):
        made = server.start(Options(models=models, **{"grpc": 0, "rest": 0, "watch": QUICK, **more}))
        running.append(made)
        return made

    yield start
    for made in running:
        made.close(1)


def get(running, path, body=None, **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{running.rest.port}{path}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def predict(running, name="half_plus_two", value=2.0):
    body = json.dumps({"instances": [value]}).encode()
    return json.loads(get(running, f"/v1/models/{name}:predict", body)[1])


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def two(classics, tmp_path):
    """A base folder of one's own with version 123 of half_plus_two."""
    shutil.copytree(classics / "half_plus_two", tmp_path / "two")
    return tmp_path / "two"


def test_1_8_both_ports_answer_and_ready_says_so(start, classics):
    running = start(one_model("half_plus_two", classics / "half_plus_two"))
    assert predict(running) == {"predictions": [3.0]}
    assert get(running, "/healthz")[0] == get(running, "/readyz")[0] == 200
    with grpc.insecure_channel(f"127.0.0.1:{running.rpc.ports[0]}") as channel:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "half_plus_two"
        request.inputs["x"].CopyFrom(tf.make_tensor_proto([2.0]))
        response = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request)
        assert response.outputs["y"].float_val == [3.0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"grpc": None, "rest": None}, "At least one of server_options.grpc_port or server_options.grpc_socket_path"),
        ({"models": []}, "Both server_options.model_base_path and server_options.model_config_file are empty!"),
    ],
)
def test_1_6_refused_at_the_start(classics, wrong, message):
    given = Options(models=[one_model("m", classics / "counter")], grpc=0, rest=0)
    with pytest.raises(Status) as caught:
        server.start(replace(given, **wrong))
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batching_parameters_file=x"], "server_options.batching_parameters_file is set without setting"),
        (["--use_alts_credentials", "--ssl_config_file=x"], "ALTS and SSL"),
        (
            [f"--tensorflow_{w}_parallelism=1" for w in ("session", "intra_op", "inter_op")],
            "Either server_options.tensorflow_session_parallelism",
        ),
    ],
)
def test_1_6_flags_that_contradict_each_other(arguments, message):
    with pytest.raises(Status) as caught:
        options.of_flags(flags.parse(arguments))
    assert caught.value.message.startswith(message)


def test_1_1_1_2_flags():
    given = flags.parse(
        ["--port=1", "--enable_batching", "--model_name", "m", "a", "--unheard_of=1", "-rest_api_port=2"]
    )
    assert (given.port, given.enable_batching, given.model_name, given.rest_api_port) == (1, True, "m", 2)
    assert (given.models, given.unknown) == (("a",), ("--unheard_of=1",))
    assert given.grpc_max_threads == 4 * (os.cpu_count() or 1)
    for wrong in ("--port=x", "--enable_batching=maybe"):
        with pytest.raises(flags.Malformed):
            flags.parse([wrong])
    assert flags.parse(["--mixed_precision=x", "--enable_profiler"]).without_effect() == ["mixed_precision"]


def test_1_9_one_port_for_both(start, classics, caplog):
    with socket.socket() as found:
        found.bind(("", 0))
        port = found.getsockname()[1]
    running = start(one_model("half_plus_two", classics / "half_plus_two"), grpc=port, rest=port)
    assert running.rest is None
    assert "REST is not exported" in caplog.text


def test_1_10_a_unix_socket_and_a_stale_file(start, classics, tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    start(one_model("half_plus_two", classics / "half_plus_two"), socket=str(path), grpc=None, rest=None)
    with grpc.insecure_channel(f"unix:{path}") as channel:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "half_plus_two"
        request.inputs["x"].CopyFrom(tf.make_tensor_proto([2.0]))
        response = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=10)
        assert response.outputs["y"].float_val == [3.0]


def test_a_file_is_not_taken_for_a_stale_socket(start, classics, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(Status, match="ALREADY_EXISTS.*it is no socket"):
        start(one_model("half_plus_two", classics / "half_plus_two"), socket=str(path), grpc=None, rest=None)
    assert path.read_text() == "mine"


def test_1_13_channel_arguments(start, classics):
    text = "grpc.max_connection_age_ms=2000,grpc.lb_policy_name=grpclb,grpc.so_reuseaddr=1"
    given = options.of_flags(flags.parse([f"--grpc_channel_arguments={text}", "--model_base_path=/x"]))
    assert list(given.grpc_options) == [
        ("grpc.max_connection_age_ms", 2000), ("grpc.lb_policy_name", "grpclb"), ("grpc.so_reuseaddr", 1),
    ]  # fmt: skip
    model = one_model("half_plus_two", classics / "half_plus_two")
    assert predict(start(model, grpc_options=given.grpc_options)) == {"predictions": [3.0]}


def test_1_16_tls(start, classics, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], capture_output=True,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("openssl cannot make a certificate here")
    quoted = {name: json.dumps(path.read_text()) for name, path in (("server_key", key), ("server_cert", certificate))}
    file = tmp_path / "ssl.pbtxt"
    file.write_text("".join(f"{name}: {text}\n" for name, text in quoted.items()))
    given = options.of_flags(flags.parse([f"--ssl_config_file={file}", "--model_base_path=/x"]))
    running = start(one_model("half_plus_two", classics / "half_plus_two"), tls=given.tls)
    credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
    with grpc.secure_channel(f"localhost:{running.rpc.ports[0]}", credentials) as channel:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "half_plus_two"
        request.inputs["x"].CopyFrom(tf.make_tensor_proto([2.0]))
        response = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=10)
        assert response.outputs["y"].float_val == [3.0]
    assert predict(running) == {"predictions": [3.0]}


def test_7_19_health(start, classics):
    running = start(one_model("half_plus_two", classics / "half_plus_two"), health=True)
    with grpc.insecure_channel(f"127.0.0.1:{running.rpc.ports[0]}") as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        for name in (b"", b"ModelService", b"PredictionService"):
            assert check((b"\x0a" + bytes([len(name)]) + name) if name else b"", timeout=10) == b"\x08\x01"
        with pytest.raises(grpc.RpcError):
            check(b"\x0a\x01x", timeout=10)


# --- configuration -----------------------------------------------------------------------------------------------

SUITES_FILE = """
model_config_list: {{
  config: {{
    name: "half_plus_three",
    base_path: "{base}/half_plus_three",
    model_platform: "tensorflow"
  }},
  config: {{
    name: "half_plus_two",
    base_path: "{base}/half_plus_two_2_versions",
    model_platform: "tensorflow",
    model_version_policy: {{ all: {{}} }}
  }}
}}
"""


def test_9_1_9_2_the_file_is_read_again_and_replaces(start, classics, tmp_path):
    file = tmp_path / "models.config"
    file.write_text(SUITES_FILE.format(base=classics))
    running = start(config_file=file, config_seconds=0.05)
    assert predict(running, "half_plus_three") == {"predictions": [4.0]}
    assert get(running, "/v1/models/half_plus_two/versions/123/metadata")[0] == 200
    file.write_text(f'model_config_list {{ config {{ name: "three" base_path: "{classics}/half_plus_three" '
                    'model_platform: "tensorflow" } }')  # fmt: skip
    until(lambda: predict(running, "three") == {"predictions": [4.0]})
    until(lambda: "error" in predict(running, "half_plus_two"))
    for text in ("this is none {", "", "# nothing"):
        file.write_text(text)
        time.sleep(0.2)
        assert predict(running, "three") == {"predictions": [4.0]}
    file.write_text("model_config_list {}")
    until(lambda: "error" in predict(running, "three"))


def test_9_7_an_empty_file_starts_with_no_models(start, tmp_path):
    (tmp_path / "empty").write_text("")
    running = start(config_file=tmp_path / "empty")
    assert get(running, "/v1/models/x")[0] == 404


def test_9_3_9_4_reload_over_grpc(start, classics, tmp_path):
    running = start(one_model("half_plus_two", classics / "half_plus_two"), access=Access(reload=True))
    with grpc.insecure_channel(f"127.0.0.1:{running.rpc.ports[0]}") as channel:
        call = model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest
        request = model_management_pb2.ReloadConfigRequest()
        request.config.model_config_list.config.add(
            name="three", base_path=str(classics / "half_plus_three"), model_platform="tensorflow"
        )
        assert call(request, timeout=30).status.error_code == 0
        assert predict(running, "three") == {"predictions": [4.0]}
        request.config.model_config_list.config[0].name = "nowhere"
        request.config.model_config_list.config[0].base_path = str(tmp_path / "nowhere")
        with pytest.raises(grpc.RpcError) as caught:
            call(request, timeout=0.5)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_1_14_a_config_that_is_none(tmp_path, caplog):
    (tmp_path / "c").write_text("not a config")
    with pytest.raises(Status) as caught:
        config.models(tmp_path / "c")
    assert caught.value.message == f"Invalid protobuf file: '{tmp_path / 'c'}'"
    assert "Error parsing text-format tensorflow.serving.ModelServerConfig" in caplog.text


# --- versions on disk --------------------------------------------------------------------------------------------


def test_8_8_folders_that_are_no_models(start, two):
    running = start(one_model("m", two))
    (two / "200").mkdir()
    (two / "201").mkdir()
    (two / "201" / "export.meta").write_text("")

    def error(version):
        rows = json.loads(get(running, f"/v1/models/m/versions/{version}")[1]).get("model_version_status", [])
        return rows[0]["status"] if rows and rows[0]["state"] == "END" else None

    until(lambda: error(201) is not None)
    assert error(201) == {
        "error_code": "UNIMPLEMENTED",
        "error_message": "Session Bundle is deprecated and removed.",
    }
    assert predict(running, "m") == {"predictions": [3.0]}


def test_a_version_damaged_on_disk_is_not_loaded(start, two):
    running = start(one_model("m", two))
    for damage in (b"", b"\xff" * 50):
        folder = two / str(500 + len(damage))
        shutil.copytree(two / "00000123", two / "copy")
        (two / "copy" / "saved_model.pb").write_bytes(damage)
        (two / "copy").rename(folder)
        until(lambda folder=folder: b'"END"' in get(running, f"/v1/models/m/versions/{folder.name}")[1])
        assert predict(running, "m") == {"predictions": [3.0]}


# --- warm-up -----------------------------------------------------------------------------------------------------


def record(folder, *logs):
    path = folder / warmup.FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in logs:
            writer.write(log if isinstance(log, bytes) else log.SerializeToString())


def predict_log(value=2.0, name="any name"):
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.name = name
    log.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto([value]))
    return log


def test_12_1_recorded_requests_run_first(start, two):
    classify = prediction_log_pb2.PredictionLog()
    classify.classify_log.request.model_spec.signature_name = "classify_x_to_y"
    example = classify.classify_log.request.input.example_list.examples.add()
    example.features.feature["x"].float_list.value.append(2.0)
    record(two / "00000123", predict_log(), classify)
    running = start(one_model("m", two))
    text = running.service.metrics.text()
    assert 'model_warmup_latency_count{model_path="' in text


@pytest.mark.parametrize(
    ("logs", "message"),
    [
        ([predict_log("a text")], "INVALID_ARGUMENT: Expects arg[0] to be float but string is provided"),
        ([b"\xff\xff"], "INVALID_ARGUMENT: Failed to parse warmup record: 0"),
        ([prediction_log_pb2.PredictionLog()], "UNIMPLEMENTED: Unsupported log_type for warmup: 0"),
        ([predict_log()] * 1001, "INVALID_ARGUMENT: Number of warmup records exceeds the maximum (1000)"),
    ],
)
def test_12_2_what_cannot_be_warmed_up_is_not_loaded(start, two, logs, message):
    record(two / "00000123", *logs)
    with pytest.raises(Status) as caught:
        start(one_model("m", two))
    assert message in caught.value.message
    assert caught.value.message.startswith("1 servable(s) did not become available: {{{name: m version: 123} due to")
    assert predict(start(one_model("m", two), loading=Loading(warmup=False)), "m") == {"predictions": [3.0]}


def test_12_a_damaged_record_file(tmp_path):
    record(tmp_path, predict_log())
    path = tmp_path / warmup.FILE
    whole = path.read_bytes()
    assert b"".join(map(warmup.record, warmup.records(path))) == whole
    for damaged in (whole[:-1], whole[:5], whole[:20] + b"\x00" + whole[21:], b"\xff" * 40):
        path.write_bytes(damaged)
        with pytest.raises(Status, match="DATA_LOSS"):
            list(warmup.records(path))


# --- metrics -----------------------------------------------------------------------------------------------------


def test_11_1_11_2_metrics(start, classics, tmp_path):
    model = one_model("half_plus_two", classics / "half_plus_two")
    running = start(model)
    predict(running)
    status, text = get(running, METRICS_PATH)
    assert status == 200
    assert b':tensorflow:serving:request_count{model_name="half_plus_two",status="OK"} 1\n' in text
    assert get(running, f"{METRICS_PATH}?x") == (400, f"Unexpected path: {METRICS_PATH}?x".encode())
    assert get(start(model, metrics=None), METRICS_PATH)[0] == 404
    (tmp_path / "m").write_text('prometheus_config { enable: true, path: "/mine" }')
    given = options.of_flags(flags.parse([f"--monitoring_config_file={tmp_path / 'm'}", "--model_base_path=/x"]))
    assert given.metrics == "/mine"
    assert options.of_flags(flags.parse(["--model_base_path=/x"])).metrics is None


def test_unknown_names_leave_nothing_behind(start, classics):
    running = start(one_model("half_plus_two", classics / "half_plus_two"))
    before = len(running.service.metrics.text())
    for number in range(50):
        assert get(running, f"/v1/models/{'x' * 1000}{number}")[0] == 404
    text = running.service.metrics.text()
    assert len(text) < before + 200
    assert ':tensorflow:serving:request_count{model_name="",status="NOT_FOUND"} 50\n' in text


def test_names_cannot_forge_lines_of_the_log(tmp_path, monkeypatch):
    name = "m\n2026-01-01 E forged\x1b[2J\u202e"
    monkeypatch.setattr(logs.log, "handlers", [])
    monkeypatch.setattr(logs.log, "propagate", True)
    with (tmp_path / "log").open("w+") as file:
        monkeypatch.setattr(sys, "stderr", file)
        logs.log_to_stderr(False)
        logs.log.info("Loading %s", name)
        try:
            raise ValueError(name)
        except ValueError:
            logs.log.exception("Unloading %s failed", name)
        logs.log.handlers[0].flush()
    said = (tmp_path / "log").read_text()
    assert r"Loading m\n2026-01-01 E forged\x1b[2J\u202e" in said
    assert "  | ValueError: m" in said
    assert not re.findall("(?m)^2026-01-01 E", said) and "\x1b" not in said and "\u202e" not in said


def test_the_log_says_where_it_listens(start, classics, caplog):
    caplog.set_level("INFO", "kerazoo.serve")
    running = start(one_model("half_plus_two", classics / "half_plus_two"), host="127.0.0.1")
    assert f"Running gRPC ModelServer at 127.0.0.1:{running.rpc.ports[0]} ..." in caplog.text
    assert f"Exporting HTTP/REST API at:127.0.0.1:{running.rest.port} ..." in caplog.text


@pytest.mark.parametrize(
    ("flag", "meant"),
    [("--rest_api_prot=3", "--rest_api_port"), ("--token-fiel=x", "--token-file"), ("--qqq", "No such flag: --qqq.")],
)
def test_1_3_a_flag_that_nobody_knows_beside_a_model(capsys, flag, meant):
    assert cli.run(["serve", "lenet5:mnist", flag]) == 2
    assert meant in capsys.readouterr().err


# --- as a process ------------------------------------------------------------------------------------------------


class Process:
    """`kerazoo serve` with free ports; what it says is read to its end."""

    def __init__(self, *arguments):
        self.ports = []
        for _ in range(2):
            with socket.socket() as found:
                found.bind(("", 0))
                self.ports.append(found.getsockname()[1])
        grpc_port, self.port = self.ports
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kerazoo", "serve", f"--port={grpc_port}", f"--rest_api_port={self.port}",
             *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ready(self, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=1):
                    return True
            except OSError:
                time.sleep(0.05)
        return False

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


def test_1_11_ready_lines_sigterm_and_sigkill(classics):
    arguments = [
        "--model_name=m",
        f"--model_base_path={classics / 'half_plus_two'}",
        "--unheard_of",
        "--mixed_precision=x",
    ]
    first = Process(*arguments)
    assert first.ready()
    status, out, err = first.end()
    assert status == 0
    assert f"Running gRPC ModelServer at 0.0.0.0:{first.ports[0]} ..." in err
    assert f"Exporting HTTP/REST API at:localhost:{first.port} ..." in err
    assert "change nothing here: --mixed_precision" in err
    assert out.startswith("unknown argument: --unheard_of")


def test_1_3_1_4_1_5_ends_that_say_why(tmp_path):
    for arguments, status, said in (
        (["--port=x"], 255, "--port=x: 'x' is not a int"),
        (["--version"], 0, "TensorFlow ModelServer: "),
        ([], 255, "Failed to start server. Error: INVALID_ARGUMENT: Both server_options.model_base_path and"),
        (["--model_base_path=relative"], 255, "Error: INVALID_ARGUMENT: Expected model default to have an absolute"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "kerazoo", "serve", *arguments], capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, said in done.stdout) == (status, True), done.stdout + done.stderr
    (tmp_path / "c").write_text("no config")
    done = subprocess.run(
        [sys.executable, "-m", "kerazoo", "serve", f"--model_config_file={tmp_path / 'c'}"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert "Error parsing text-format tensorflow.serving.ModelServerConfig" in done.stderr


def test_sigkill_frees_the_port(classics):
    first = Process("--model_name=m", f"--model_base_path={classics / 'counter'}")
    assert first.ready()
    first.end(signal.SIGKILL)
    again = subprocess.Popen(
        [sys.executable, "-m", "kerazoo", "serve", f"--port={first.ports[0]}", f"--rest_api_port={first.port}",
         "--model_name=m", f"--model_base_path={classics / 'counter'}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    first.process = again
    assert first.ready()
    assert first.end()[0] == 0


def test_a_zoo_model_from_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path))
    running = Process("lenet5:mnist")
    assert running.ready(180)
    import io

    from PIL import Image

    picture = io.BytesIO()
    Image.new("L", (28, 28)).save(picture, "PNG")
    request = urllib.request.Request(
        f"http://127.0.0.1:{running.port}/v1/models/lenet5:predict", picture.getvalue(), {"Content-Type": "image/png"}
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        row = json.load(response)["predictions"][0]
    assert sorted(row["label"]) == list("0123456789")
    modules = Path(f"/proc/{running.process.pid}/maps")
    if modules.exists():
        assert "tensorflow" not in modules.read_text()
    assert running.end()[0] == 0


def test_1_7_a_config_file_wins_over_the_one_model():
    given = options.of_flags(flags.parse(["--model_config_file=/c", "--model_name=m", "--model_base_path=/b"]))
    assert (given.models, given.config_file) == ([], Path("/c"))


def test_10_9_parameters_of_each_version(start, classics, tmp_path):
    for name in ("with", "without"):
        shutil.copytree(classics / "half_plus_two", tmp_path / name)
    (tmp_path / "with" / "00000123" / batching.FILE).write_text("max_batch_size { value: 2 }")
    models = [one_model(name, tmp_path / name) for name in ("with", "without")]
    running = start(*models, loading=Loading(batching=Batching(own=True)))
    body = json.dumps({"instances": [1.0, 2.0, 3.0]}).encode()
    assert get(running, "/v1/models/without:predict", body)[0] == 200
    assert b"Task size 3 is larger than maximum input batch size 2" in get(running, "/v1/models/with:predict", body)[1]
