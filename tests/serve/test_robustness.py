"""What a server must survive; the same at full length is `benchmarks/robustness.py` and its results."""

import gzip
import os
import socket
import threading
import time
import urllib.request

import grpc
import pytest

from benchmarks import malformed, robustness
from kerazoo.serve.http.app import App, RestOptions
from kerazoo.serve.http.listening import listen
from kerazoo.serve.http.listening import start as start_rest
from kerazoo.serve.models.catalogue import Models, Watch
from kerazoo.serve.models.servable import Servable
from kerazoo.serve.models.versions import Retries
from kerazoo.serve.rpc.listening import start as start_grpc
from kerazoo.serve.server import one_model
from kerazoo.serve.service import Service
from kerazoo.serve.wire import protos
from tests.serve.within import within

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
    rest = start_rest(App(service, RestOptions(threads=2)), listen(0))
    running = start_grpc(service, ["127.0.0.1:0"], 2)
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


@pytest.mark.parametrize("wire", ["rest", "grpc"])
def test_a_quick_model_is_asked_where_its_request_comes_in_until_it_is_slow(tmp_path, wire):
    took, threads = [0.0], []

    def run(key, inputs, outputs):
        threads.append(threading.current_thread().name)
        time.sleep(took[0])
        return {"y": inputs["x"]}

    (tmp_path / "m" / "1").mkdir(parents=True)
    servable = Servable({"serving_default": signature()}, run, lambda: None, "fake", light=True)
    models = Models(lambda *_: servable, Watch(0, Retries(0)))
    models.configure([one_model("m", tmp_path / "m")])
    service = Service(models)
    if wire == "rest":
        running = start_rest(App(service), listen(0))
        results = []

        def ask():
            ask_rest(running.port, results)
            assert results.pop().startswith(b"HTTP/1.1 200")
    else:
        running = start_grpc(service, ["127.0.0.1:0"], 2)
        channel = grpc.insecure_channel(f"127.0.0.1:{running.ports[0]}")
        request = robustness.predict_request(1.0).SerializeToString()
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")

        def ask():
            call(request, timeout=30)

    def where(count):
        for _ in range(count):
            ask()
        return threads[-1]

    took[0] = 0.05
    assert where(3) != wire  # The event loop's thread.
    took[0] = 0.0
    assert where(300) == wire
    if wire == "rest":  # A short body may inflate to a long one, which the loop must not read.
        body = gzip.compress(b'{"instances": [1]}')
        headers = {"Content-Encoding": "gzip"}
        asking = urllib.request.Request(f"http://localhost:{running.port}/v1/models/m:predict", body, headers)
        assert b"predictions" in urllib.request.urlopen(asking, timeout=30).read()
        assert threads[-1] != wire
    took[0] = 0.05
    assert where(3) != wire
    if wire == "grpc":
        channel.close()
    running.stop(1)
    models.close()


def test_7_18_a_slow_model_is_not_waited_for(gated):
    gate, service = gated
    rest = start_rest(App(within(service, seconds=0.3), RestOptions(threads=2)), listen(0))
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
    rest = start_rest(App(within(service, waiting=2), RestOptions(threads=1)), listen(0))
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


def test_more_than_may_wait_over_grpc_are_told_to_come_back(gated):
    gate, service = gated
    running = start_grpc(within(service, waiting=2), ["127.0.0.1:0"], 1)
    request = robustness.predict_request(1.0).SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{running.ports[0]}") as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        asked = [call.future(request, timeout=30) for _ in range(5)]
        while sum(one.done() for one in asked) < 3:
            time.sleep(0.01)
        refused = [one for one in asked if one.done()]
        assert {one.code().name for one in refused} == {"RESOURCE_EXHAUSTED"}
        assert "2 requests are waiting" in refused[0].details()
        gate.open.set()
        answered = [one for one in asked if one not in refused]
        assert all(one.result() for one in answered) and len(answered) == 2
        assert call(request, timeout=30)
    running.stop(1)


# --- malformed requests -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ports(service):
    rest = start_rest(App(within(service, seconds=2), RestOptions(threads=4)), listen(0))
    running = start_grpc(service, ["127.0.0.1:0"], 4)
    with grpc.insecure_channel(f"127.0.0.1:{running.ports[0]}") as channel:
        yield rest.port, channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    rest.stop(1)
    running.stop(1)


def test_malformed_requests_are_answered_or_cut_off_and_good_ones_as_before(ports):
    found = malformed.run(*ports, COUNT)
    for wire in found.values():
        assert wire["requests"] >= COUNT / 2  # Hypothesis may run out of new ones.
        assert len(wire["outcomes"]) >= 2, wire
