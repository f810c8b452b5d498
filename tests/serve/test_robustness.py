"""What a server must survive; the same at full length is `benchmarks/robustness.py` and its results."""

import json
import os
import socket
import threading
import time

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import robustness
from kerazoo.serve import http, protos, rpc
from kerazoo.serve.models import Models, Watch
from kerazoo.serve.servable import Servable
from kerazoo.serve.server import one_model
from kerazoo.serve.service import Service
from kerazoo.serve.versions import Retries

COUNT = int(os.environ.get("KERAZOO_MALFORMED", "150"))
"""Requests of each kind."""


@pytest.mark.slow
def test_versions_come_and_go_under_load():
    found = robustness.swap(requests=600, count=4)
    assert (found["failed"], found["wrong"]) == (0, 0), found
    assert found["versions"] == [1, 2, 3, 4]


@pytest.mark.slow
def test_a_crowd_a_long_body_and_a_picture_that_lies():
    found = robustness.crowd(connections=200, megabytes=200)
    assert found["statuses"] == {"30,000 x 30,000 pixels": 400, "200 MB": 413}
    assert found["mib"]["after"] < found["mib"]["before"] + 60


class Gate:
    """A model that answers when it is let."""

    def __init__(self):
        self.entered, self.open = threading.Event(), threading.Event()

    def run(self, signature, inputs, outputs):
        self.entered.set()
        self.open.wait(20)
        return {"y": inputs["x"]}


def signature():
    made = protos.core("SignatureDef")()
    for side in (made.inputs, made.outputs):
        side["x" if side is made.inputs else "y"].dtype = 1
    return made


@pytest.fixture
def gated(tmp_path):
    gate = Gate()
    (tmp_path / "m" / "1").mkdir(parents=True)
    servable = Servable({"serving_default": signature()}, gate.run, lambda: None, "fake")
    models = Models(lambda *_: servable, Watch(0, Retries(0)))
    models.configure([one_model("m", tmp_path / "m")])
    yield gate, Service(models)
    gate.open.set()
    models.close()


def ask_rest(port, results):
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        body = b'{"instances": [1]}'
        connection.sendall(b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\n\r\n" + body)
        results.append(connection.recv(65536))


def test_a_server_that_ends_answers_what_it_has_begun(gated):
    gate, service = gated
    rest = http.start(http.App(service, http.Options(threads=2)), http.listen(0))
    running = rpc.start(service, ["127.0.0.1:0"], 2)
    results = []
    request = robustness.predict_request(1.0).SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{running.ports[0]}") as channel:
        pending = channel.unary_unary("/tensorflow.serving.PredictionService/Predict").future(request, timeout=30)
        asker = threading.Thread(target=ask_rest, args=(rest.port, results))
        asker.start()
        assert gate.entered.wait(10)
        time.sleep(0.2)
        stopping = [threading.Thread(target=one.stop, args=(10,)) for one in (rest, running)]
        for thread in stopping:
            thread.start()
        time.sleep(0.2)
        gate.open.set()
        asker.join()
        assert protos.api("PredictResponse").FromString(pending.result()).outputs["y"].float_val == [1.0]
        for thread in stopping:
            thread.join()
    assert results[0].startswith(b"HTTP/1.1 200 OK")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", rest.port), 1)


def test_a_quick_model_is_asked_where_its_request_comes_in_until_it_is_slow(tmp_path):
    took, threads = [0.0], []

    def run(key, inputs, outputs):
        threads.append(threading.current_thread().name)
        time.sleep(took[0])
        return {"y": inputs["x"]}

    (tmp_path / "m" / "1").mkdir(parents=True)
    servable = Servable({"serving_default": signature()}, run, lambda: None, "fake", light=True)
    models = Models(lambda *_: servable, Watch(0, Retries(0)))
    models.configure([one_model("m", tmp_path / "m")])
    running = rpc.start(Service(models), ["127.0.0.1:0"], 2)
    request = robustness.predict_request(1.0).SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{running.ports[0]}") as channel:
        ask = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")

        def where(count):
            del threads[:]
            for _ in range(count):
                ask(request, timeout=30)
            return threads[-1]

        took[0] = 0.05
        assert where(3) != "grpc"  # The event loop's thread.
        took[0] = 0.0
        assert where(300) == "grpc"
        took[0] = 0.05
        assert where(3) != "grpc"
    running.stop(1)
    models.close()


def test_7_18_a_slow_model_is_not_waited_for(gated):
    gate, service = gated
    limits = http.Limits(seconds=0.3)
    rest = http.start(http.App(service, http.Options(threads=2, limits=limits)), http.listen(0))
    results = []
    try:
        ask_rest(rest.port, results)
        assert results[0].startswith(b"HTTP/1.1 504 ")
        gate.open.set()
        ask_rest(rest.port, results)
        assert results[1].startswith(b"HTTP/1.1 200 ")
    finally:
        rest.stop(1)


def test_more_than_may_wait_are_told_to_come_back(gated):
    gate, service = gated
    options = http.Options(threads=1, limits=http.Limits(waiting=2))
    rest = http.start(http.App(service, options), http.listen(0))
    results = []
    try:
        askers = [threading.Thread(target=ask_rest, args=(rest.port, results)) for _ in range(5)]
        for asker in askers:
            asker.start()
        while len(results) < 3:
            time.sleep(0.01)
        assert all(result.startswith(b"HTTP/1.1 429 ") for result in results)
        gate.open.set()
        for asker in askers:
            asker.join()
        assert sum(result.startswith(b"HTTP/1.1 200 ") for result in results) == 2
    finally:
        rest.stop(1)


# --- malformed requests -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ports(service):
    rest = http.start(http.App(service, http.Options(threads=4, limits=http.Limits(seconds=2))), http.listen(0))
    running = rpc.start(service, ["127.0.0.1:0"], 4)
    with grpc.insecure_channel(f"127.0.0.1:{running.ports[0]}") as channel:
        yield rest.port, channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    rest.stop(1)
    running.stop(1)


def exchange(port, data, whole=True, wait=5.0):
    """Sends bytes, and hangs up where they are not the whole; what came back until the connection was closed."""
    got = b""
    with socket.create_connection(("127.0.0.1", port), wait) as connection:
        try:
            connection.sendall(data)
            if not whole:
                connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                got += chunk
        except OSError:
            pass  # Closing the connection is an answer too.
    return got


def good(port):
    body = b'{"instances": [2.0]}'
    head = (
        b"POST /v1/models/half_plus_two:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    )
    return exchange(port, head % len(body) + body)


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just(10**400),
    st.fixed_dictionaries({"b64": st.text(max_size=12)}),
)  # fmt: skip
trees = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner))
bodies = st.one_of(
    st.builds(
        lambda key, value, extra: json.dumps({key: value, **extra}),
        st.sampled_from(["instances", "inputs", "examples", "signature_name", "context", "else"]),
        trees,
        st.dictionaries(st.sampled_from(["signature_name", "inputs", "x"]), trees, max_size=2),
    ).map(str.encode),
    st.integers(1, 4000).map(lambda depth: b'{"instances": ' + b"[" * depth),
    st.binary(max_size=200),
    st.just(b'{"instances": [1.0, 2.0'),
)


@settings(max_examples=COUNT, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=bodies,
    method=st.sampled_from(["POST", "POST", "POST", "GET", "PUT", "BREW", "OPTIONS"]),
    path=st.sampled_from(
        [
            "/v1/models/half_plus_two:predict", "/v1/models/half_plus_two:classify", "/v1/models/half_plus_two:regress",
            "/v1/models/counter:predict", "/v1/models/half_plus_two/versions/99999999999999999999", "/v1/models/%ff%00",
            "/", "/v1/", "/kerazoo/models",
        ]
    ),
    declared=st.sampled_from([0, 0, 0, 0, -3, 5]),
    headers=st.sampled_from(
        [b"", b"Content-Encoding: gzip\r\n", b"Content-Type: image/jpeg\r\n", b"Content-Length: x\r\n",
         b"\xff: \xfe\r\n"]
    ),
    cut=st.sampled_from([None, None, None, 10, 60]),
)  # fmt: skip
def test_malformed_rest(ports, body, method, path, declared, headers, cut):
    """The right status, or the connection is closed; and a good request is answered as before."""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode() + headers
    head += f"Content-Length: {max(len(body) + declared, 0)}\r\n\r\n".encode()
    got = exchange(ports[0], (head + body)[:cut], whole=cut is None and declared <= 0)
    if got:
        status = int(got.split(b" ", 2)[1])
        assert 200 <= status < 505 and status != 500, got
        if status >= 400 and got.partition(b"\r\n\r\n")[2].startswith(b"{"):
            assert "error" in json.loads(got.partition(b"\r\n\r\n")[2])
    assert b'{"predictions": [3.0]}' in good(ports[0])


@settings(max_examples=COUNT, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=100),
    number=st.integers(0, 130),
    shape=st.lists(st.integers(-2, 1 << 40), max_size=4),
    content=st.binary(max_size=20),
    names=st.lists(st.sampled_from(["x", "y", "é", ""]), max_size=3),
    raw=st.booleans(),
)
def test_malformed_grpc(ports, data, number, shape, content, names, raw):
    request = protos.api("PredictRequest")()
    request.model_spec.name = "half_plus_two"
    for name in names:
        proto = request.inputs[name]
        proto.dtype, proto.tensor_content = number, content
        for size in shape:
            proto.tensor_shape.dim.add(size=size)
    call = ports[1]
    try:
        call(data if raw else request.SerializeToString(), timeout=20)
    except grpc.RpcError as error:
        assert error.code().name in (
            "INVALID_ARGUMENT", "INTERNAL", "NOT_FOUND", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "UNIMPLEMENTED",
        )  # fmt: skip
        assert error.code().name != "INTERNAL" or raw, error
    answer = protos.api("PredictResponse").FromString(call(robustness.predict_request(2.0, "half_plus_two")
                                                           .SerializeToString(), timeout=20))  # fmt: skip
    assert np.allclose(answer.outputs["y"].float_val, [3.0])
