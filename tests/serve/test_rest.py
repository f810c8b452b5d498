"""Promises 2 to 6 over REST, on the classic models; the first tests without a socket, the last ones with."""

import contextlib
import functools
import gzip
import json
import socket
import threading
import time
import urllib.request
from dataclasses import replace
from http.client import HTTPConnection

import pytest

from kerazoo.serve.access import Access
from kerazoo.serve.http import rest
from kerazoo.serve.http.app import App, RestOptions
from kerazoo.serve.http.listening import listen
from kerazoo.serve.http.listening import start as start_rest
from kerazoo.serve.http.rest import Request
from kerazoo.serve.limits import Limits
from tests.serve.within import within


@pytest.fixture(scope="module")
def app(service):
    return App(within(service, body=10_000, seconds=20), RestOptions(threads=4))


@pytest.fixture(scope="module")
def ask(app):
    def ask(method, path, body=None, **headers):
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        response = app.answer(Request(method, path, headers, data))
        plain = json.loads(response.body) if response.kind == rest.JSON and response.body else response.body
        return response.status, plain

    return ask


def predict(ask, body, name="half_plus_two", which="", **headers):
    return ask("POST", f"/v1/models/{name}{which}:predict", body, **headers)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"instances": [2.0, 3.0, 4.0]}, {"predictions": [3.0, 3.5, 4.0]}),
        ({"instances": [1.0, 2.0, 5.0]}, {"predictions": [2.5, 3.0, 4.5]}),
        ({"inputs": [2.0, 3.0, 4.0]}, {"outputs": [3.0, 3.5, 4.0]}),
        ({"instances": [{"x": 2.0}]}, {"predictions": [3.0]}),
        ({"inputs": 2.0}, {"outputs": 3.0}),
        ({"inputs": {"x": [2.0], "zz": [1]}}, {"outputs": [3.0]}),
        ({"instances": [[1.0, 2.0], [3.0, 4.0]]}, {"predictions": [[2.5, 3.0], [3.5, 4.0]]}),
        ({"inputs": []}, {"outputs": []}),
        ({"signature_name": "", "instances": [2]}, {"predictions": [3.0]}),
    ],
)
@pytest.mark.parametrize("name", ["half_plus_two", "half_plus_two_tf2"])
def test_4_exact_answers(ask, name, body, expected):
    assert predict(ask, body, name) == (200, expected)


def test_4_half_plus_three(ask):
    assert predict(ask, {"instances": [1.0, 2.0, 5.0]}, "half_plus_three") == (200, {"predictions": [3.5, 4.0, 5.5]})


def test_2_1_2_13_2_14_versions_and_unknown_models(ask):
    two = "half_plus_two_2_versions"
    for version in (123, 124):
        assert predict(ask, {"instances": [2]}, two, f"/versions/{version}") == (200, {"predictions": [3.0]})
    for name, which, status, told in (
        ("nobody", "", 404, "Servable not found for request: Latest(nobody)"),
        (two, "/versions/7", 404, f"Servable not found for request: Specific({two}, 7)"),
        (two, "/labels/gone", 400, "Unrecognized servable version label: gone"),
        ("a%2Fb%3Ac", "", 404, "Servable not found for request: Latest(a/b:c)"),
    ):
        assert predict(ask, {"instances": [2]}, name, which) == (status, {"error": told})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/foo"),
        ("POST", "/v1/foo"),
        ("POST", "/v1/models"),
        ("GET", "/v1/models/debug/model_name"),
        ("GET", "/v1/models/foo:predict"),
        ("GET", "/v1/models/foo/version/50:predict"),
        ("POST", "/v1/models/foo/version/50:regress"),
        ("POST", "/v1/models/foo/versions/HELLO:regress"),
        ("POST", "/v1/models/foo/label/x:regress"),
        ("POST", "/v1/models/foo/versions/50/labels/x:regress"),
        ("POST", "/v1/models/foo/metadata"),
        ("POST", "/v1/models/half_plus_two:Predict"),
        ("POST", "/v1/models/half_plus_two:predict/"),
        ("PUT", "/v1/models/half_plus_two:predict"),
        ("DELETE", "/v1/models/half_plus_two"),
        ("HEAD", "/v1/models/half_plus_two"),
    ],
)
def test_2_2_2_5_2_6_2_7_malformed(ask, method, path):
    assert ask(method, path) == (400, {"error": f"Malformed request: {method} {path}"})


@pytest.mark.parametrize("method", ["classify", "regress"])
def test_5_6_without_examples(ask, method):
    told = "When method is classify, key 'examples' is expected and was not found"
    assert ask("POST", f"/v1/models/half_plus_two:{method}", {}) == (400, {"error": told})


def test_2_3_2_4_2_6_2_8(ask):
    assert ask("GET", "/v1/models") == (400, {"error": "Missing model name in request."})
    assert ask("GET", "/V1/MODELS/half_plus_two") == ask("GET", "/v1/models/half_plus_two")
    assert ask("GET", "/V1/foo") == (400, {"error": "Malformed request: GET /V1/foo"})
    status, told = ask("GET", "/v1/models/m/versions/18446744073709551615")
    assert (status, told["error"]) == (400, "Failed to convert version: 18446744073709551615 to numeric.")
    assert ask("GET", "/v1/models/half_plus_two?x=1")[0] == 404
    status, page = ask("GET", "/elsewhere")
    assert (status, page[:6]) == (404, b"<html>")


def test_2_1_paths_in_capitals(ask):
    assert ask("POST", "/V1/MODELS/half_plus_two:predict", {"instances": [2]}) == (200, {"predictions": [3.0]})
    assert ask("GET", "/v1/Models/half_plus_two")[0] == 200


def test_2_10_compressed_bodies(ask):
    body = json.dumps({"instances": [2.0]}).encode()
    gzipped = {"content-encoding": "gzip"}
    assert predict(ask, gzip.compress(body), **gzipped) == (200, {"predictions": [3.0]})
    for broken in (body, gzip.compress(body)[:-9]):
        assert predict(ask, broken, **gzipped) == (400, {"error": "JSON Parse error: The document is empty"})
    bomb = gzip.compress(b"0" * (Limits().inflated + 1))
    assert predict(ask, bomb, **gzipped)[0] == 400


def test_2_11_options(ask):
    assert ask("OPTIONS", "/v1/models/x", origin="https://a.b") == (200, b"")
    assert ask("OPTIONS", "/v1/models/x") == (400, b"")


def test_3_1_3_4_3_5_3_8_order_of_checks_and_signatures(ask):
    assert predict(ask, b"{", "nobody")[0] == 400
    assert predict(ask, {"signature_name": 7}, "nobody") == (
        400,
        {"error": "'signature_name' key must be a string value."},
    )
    assert predict(ask, {}, "nobody")[0] == 404
    assert predict(ask, {"signature_name": "q"})[1]["error"] == (
        'Serving signature name: "q" not found in signature def'
    )
    assert predict(ask, [1])[1]["error"] == "JSON Value: [1] Is not object"
    assert predict(ask, {"signature_name": "get_counter", "inputs": {}}, "counter") == (
        400,
        {"error": "Failed to get input map for signature: get_counter"},
    )


def test_3_21_wrong_values(ask):
    assert predict(ask, {"instances": ["x", "y"]}) == (
        400,
        {
            "error": "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: \"x\" "
            "Type: String is not of expected type: float"
        },
    )


def test_5_1_5_12_classify_and_regress(ask):
    two = "/v1/models/half_plus_two_2_versions"
    regress = {"signature_name": "regress_x_to_y", "examples": [{"x": 80.0}]}
    assert ask("POST", f"{two}:regress", regress) == (200, {"results": [42.0]})
    classify = {"signature_name": "classify_x_to_y", "examples": [{"x": 20.0}]}
    assert ask("POST", f"{two}:classify", classify) == (200, {"results": [[["", 12.0]]]})
    three = {"signature_name": "tensorflow/serving/regress", "examples": [{"x": 1.0}, {"x": 2.0}]}
    assert ask("POST", "/v1/models/half_plus_three:regress", three) == (200, {"results": [3.5, 4.0]})


def test_5_5_5_8_refused(ask):
    path = "/v1/models/half_plus_two:regress"
    status, told = ask("POST", path, {"signature_name": "regress_x_to_y", "examples": [{"x": 2}]})
    assert status == 400
    assert "Key: x, Index: 0.  Data types don't match. Data type: int64 but expected type: float" in told["error"]
    status, told = ask("POST", path, {"signature_name": "regress_x_to_y", "examples": [{}]})
    assert "Feature: x (data type: float) is required but could not be found." in told["error"]
    told = {"error": "No signature was found with the name: q"}
    assert ask("POST", path, {"signature_name": "q", "examples": [{}]}) == (400, told)


def test_6_1_to_6_5_status(ask):
    row = {"version": "123", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert ask("GET", "/v1/models/half_plus_two") == (200, {"model_version_status": [row]})
    two = "/v1/models/half_plus_two_2_versions"
    assert [r["version"] for r in ask("GET", two)[1]["model_version_status"]] == ["124", "123"]
    assert [r["version"] for r in ask("GET", f"{two}/versions/123")[1]["model_version_status"]] == ["123"]
    assert len(ask("GET", f"{two}/labels/nobody")[1]["model_version_status"]) == 2
    assert ask("GET", f"{two}/versions/9") == (
        404,
        {"error": "Could not find version 9 of model half_plus_two_2_versions"},
    )
    assert ask("GET", "/v1/models/nobody") == (404, {"error": "Could not find any versions of model nobody"})


def test_6_6_6_7_metadata(ask):
    status, found = ask("GET", "/v1/models/half_plus_two/metadata")
    assert status == 200
    assert found["model_spec"] == {"name": "half_plus_two", "signature_name": "", "version": "123"}
    default = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert default["inputs"]["x"] == {
        "dtype": "DT_FLOAT",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}, {"size": "1", "name": ""}], "unknown_rank": False},
        "name": "x:0",
    }
    assert default["method_name"] == "tensorflow/serving/predict"
    assert default["defaults"] == {}
    tf2 = ask("GET", "/v1/models/half_plus_two_tf2/metadata")[1]["metadata"]["signature_def"]["signature_def"]
    assert tf2["__saved_model_init_op"]["outputs"]["__saved_model_init_op"]["dtype"] == "DT_INVALID"


def test_6_8_metadata_of_what_is_not_there(ask):
    path = "/v1/models/half_plus_two{}/metadata"
    for which, status, told in (
        ("/versions/9", 404, "Servable not found for request: Specific(half_plus_two, 9)"),
        ("/labels/x", 400, "Unrecognized servable version label: x"),
    ):
        assert ask("GET", path.format(which)) == (status, {"error": told})
    assert ask("GET", "/v1/models/q/metadata") == (404, {"error": "Servable not found for request: Latest(q)"})


def test_11_4_every_request_is_counted(app, ask):
    counted = app.service.metrics.requests
    before = {status: counted.get("", status) for status in ("NOT_FOUND", "INVALID_ARGUMENT")}
    ask("GET", "/v1/models/nobody")
    predict(ask, b"{", "nobody")
    assert counted.get("", "NOT_FOUND") == before["NOT_FOUND"] + 1
    assert counted.get("", "INVALID_ARGUMENT") == before["INVALID_ARGUMENT"] + 1
    predict(ask, {"instances": [1]})
    text = app.service.metrics.text()
    assert "# TYPE :tensorflow:serving:request_count counter\n" in text
    assert ':tensorflow:serving:request_count{model_name="half_plus_two",status="OK"} ' in text
    assert 'request_latency_bucket{model_name="half_plus_two",API="predict",entrypoint="REST",le="+Inf"}' in text
    assert 'runtime_latency_count{model_name="half_plus_two",API="predict",runtime="tensorflow"}' in text


# --- over a socket ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def port(app):
    running = start_rest(app, listen(0))
    yield running.port
    running.stop(1)


def send(port, raw, seconds=10):
    """Sends bytes as they are; what came back until the connection closed or the answer ended."""
    with socket.create_connection(("localhost", port), seconds) as connection:
        connection.sendall(raw)
        got = b""
        while chunk := connection.recv(65536):
            got += chunk
            head, _, body = got.partition(b"\r\n\r\n")
            length = [int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-l")]
            if length and len(body) >= length[0]:
                break
        return got


def test_2_9_as_curl_asks(port):
    request = urllib.request.Request(
        f"http://localhost:{port}/v1/models/half_plus_two:predict",
        b'{"instances": [1.0, 2.0, 5.0]}',
        {"Content-Type": "application/x-www-form-urlencoded"},
    )
    with urllib.request.urlopen(request) as response:
        assert response.headers["content-type"] == "application/json"
        assert json.load(response) == {"predictions": [2.5, 3.0, 4.5]}


def test_1_12_both_kinds_of_addresses(port):
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as connection:
            connection.connect((host, port))


def test_2_15_connections_are_kept_and_shared(port):
    body = b'{"instances": [2]}'
    head = b"POST /v1/models/half_plus_two:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.create_connection(("localhost", port), 10) as connection:
        for _ in range(3):
            connection.sendall(head + body)
            got = b""
            while b"[3.0]}" not in got:
                got += connection.recv(65536)
            assert got.startswith(b"HTTP/1.1 200 OK")
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(send(port, head.replace(b"1.1", b"1.0") + body)))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(b"200 OK" in answer for answer in answers) == 16


@pytest.mark.parametrize("loop", ["asyncio", "auto"])
def test_answers_do_not_wait_for_the_client_to_acknowledge_their_first_part(service, monkeypatch, loop):
    import uvicorn

    monkeypatch.setattr(uvicorn, "Config", functools.partial(uvicorn.Config, loop=loop))
    running = start_rest(App(service), listen(0))
    connection = HTTPConnection("localhost", running.port, timeout=10)
    try:
        connection.request("GET", "/v1/models/half_plus_two")
        assert connection.getresponse().read()
        (served,) = running.server.server_state.connections
        taken = served.transport.get_extra_info("socket")
        assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    finally:
        connection.close()
        running.stop(1)


def test_long_bodies_are_refused_before_they_are_read(port):
    head = b"POST /v1/models/half_plus_two:predict HTTP/1.1\r\nHost: x\r\n"
    declared = send(port, head + b"Content-Length: 209715200\r\n\r\n")
    assert b"413" in declared.split(b"\r\n")[0]
    assert b"at most 10000 are taken" in declared
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n" + b"2710\r\n" + b"x" * 10_000 + b"\r\n" + b"1\r\nx\r\n"
    assert b"413" in send(port, chunked).split(b"\r\n")[0]


def test_who_sends_a_long_body_all_the_same_reads_why_it_is_refused(port):
    connection = HTTPConnection("localhost", port, timeout=20)
    connection.request("POST", "/v1/models/half_plus_two:predict", b"x" * (20 << 20))
    response = connection.getresponse()
    assert (response.status, response.getheader("connection")) == (413, "close")
    assert "at most 10000 are taken" in json.loads(response.read())["error"]
    connection.close()


def test_who_asks_before_sending_a_long_body_is_only_refused(port):
    head = b"POST /v1/models/half_plus_two:predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
    got = send(port, head + b"Content-Length: 20971520\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in got


def test_who_says_nothing_or_drips_is_let_go_and_who_asks_is_not(service):
    running = start_rest(App(within(service, idle=0.5), RestOptions(threads=1)), listen(0))
    address = ("localhost", running.port)
    asking = HTTPConnection(*address, timeout=10)
    try:
        with socket.create_connection(address, 10) as silent, socket.create_connection(address, 10) as dripping:
            asking.connect()
            first = asking.sock
            for drop in b"GET /v1/models/half_plus_two HTTP/1.1":
                with contextlib.suppress(OSError):
                    dripping.sendall(bytes([drop]))
                asking.request("GET", "/v1/models/half_plus_two")
                assert asking.getresponse().read()
                time.sleep(0.1)
            assert asking.sock is first
            assert silent.recv(1) == b""
            with contextlib.suppress(ConnectionResetError):
                assert dripping.recv(1) == b""
    finally:
        asking.close()
        running.stop(1)


@pytest.mark.parametrize(
    "raw", [b"garbage\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00" * 10 + b"\r\n\r\n"]
)
def test_what_is_not_http(port, raw):
    assert send(port, raw).split(b"\r\n")[0].split(b" ")[1:2] in ([b"400"], [])
    assert b"200 OK" in send(port, b"GET /v1/models/half_plus_two HTTP/1.1\r\nHost: x\r\n\r\n")


def test_2_12_cors(service):
    app = App(service, RestOptions(threads=1, cors=True))
    running = start_rest(app, listen(0))
    try:
        with urllib.request.urlopen(f"http://localhost:{running.port}/v1/models/half_plus_two") as response:
            assert response.headers["access-control-allow-origin"] == "*"
            assert response.headers["access-control-allow-methods"] == "POST, GET"
            assert response.headers["access-control-allow-headers"] == "Content-Type"
    finally:
        running.stop(1)


def test_a_token(service):
    running = start_rest(App(replace(service, access=Access("secret")), RestOptions(threads=1)), listen(0))
    look = b"GET /v1/models/half_plus_two HTTP/1.1\r\nHost: x\r\n%s\r\n"
    try:
        assert b" 401 " in send(running.port, look % b"")
        assert b" 401 " in send(running.port, look % b"Authorization: Bearer wrong\r\n")
        assert b" 200 " in send(running.port, look % b"Authorization: Bearer secret\r\n")
    finally:
        running.stop(1)


def test_a_slow_sender_is_told_and_let_go(service):
    running = start_rest(App(within(service, seconds=0.3), RestOptions(threads=1)), listen(0))
    head = b"POST /v1/models/half_plus_two:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    try:
        assert b" 408 " in send(running.port, head)
        assert not running.app.service.budget.clients
    finally:
        running.stop(1)


def test_a_taken_port_is_said(port):
    with pytest.raises(Exception, match=f"REST cannot listen on port {port}"):
        listen(port)
