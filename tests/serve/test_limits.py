"""What small requests cannot do: take all memory, run on without their client, keep others out."""

import gzip
import json
import resource
import socket
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerazoo.serve import budget as budget_
from kerazoo.serve.budget import Budget
from kerazoo.serve.limits import Limits
from kerazoo.serve.wire import json_text, measure, tensors
from kerazoo.serve.wire.status import Status
from tests.serve.stub import request, serving, signature, tensor

MIB = 1 << 20


def echo(signature, inputs, outputs):
    return {"y": np.zeros(1, np.float32)}


@pytest.fixture(scope="module")
def stub(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("stub"), echo) as made:
        yield made


@pytest.fixture
def peak():
    """How many MiB the process has grown at most since the test began, in steps of what it ever had."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return lambda: (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def post(port, body, path="/v1/models/m:predict", **headers):
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
        connection.sendall(head.encode() + body)
        got = b""
        while piece := connection.recv(65536):
            got += piece
    return int(got.split(b" ", 2)[1]), got.partition(b"\r\n\r\n")[2]


# --- messages that declare ----------------------------------------------------------------------------------------


def test_names_are_looked_at_before_anything_is_built(stub, peak):
    asked = request(**{f"unknown{n}": tensor([1 << 28], float_val=[1.0]) for n in range(4)})
    code, text = stub.refused("Predict", asked)
    assert code == "INVALID_ARGUMENT" and text.startswith("input size does not match signature: 4!=1")
    assert peak() < 200


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (tensor([1 << 28], float_val=[1.0]), "RESOURCE_EXHAUSTED"),
        (tensor([1 << 28]), "RESOURCE_EXHAUSTED"),
        (tensor([1 << 40, 1 << 40], float_val=[1.0]), "RESOURCE_EXHAUSTED"),
        (tensor([300_000], 7, string_val=[b"picture"]), "RESOURCE_EXHAUSTED"),
        (tensor([60_000], 7, string_val=[b"p" * 50_000]), "RESOURCE_EXHAUSTED"),
        (tensor([1] * 255, float_val=[1.0]), "INVALID_ARGUMENT"),
        (tensor([1 << 62] * 300_000, float_val=[1.0]), "INVALID_ARGUMENT"),
    ],
    ids=["repeated", "none", "beyond all", "texts", "long texts", "rank", "rank of 300,000"],
)
def test_what_a_tensor_declares_and_does_not_send_is_bounded(stub, peak, sent, code):
    started = time.monotonic()
    assert stub.refused("Predict", request(x=sent))[0] == code
    assert time.monotonic() - started < 20
    assert peak() < 300


def test_what_is_filled_in_within_the_bounds_is_what_it_was():
    assert tensors.to_array(tensor([70_000], float_val=[1.0, 2.0]), "x").tolist() == [1.0] + [2.0] * 69_999
    assert tensors.to_array(tensor([1] * 20, float_val=[3.0]), "x").shape == (1,) * 20


def test_contexts_are_not_multiplied_without_bounds():
    from kerazoo.serve.models import inference
    from kerazoo.serve.wire import protos

    made = protos.api("Input")()
    made.example_list_with_context.context.features.feature["x"].bytes_list.value.append(b"x" * 1_000_000)
    for _ in range(2000):
        made.example_list_with_context.examples.add()
    with Budget().admit("here").working(), pytest.raises(Status, match="RESOURCE_EXHAUSTED"):
        inference.serialized(made)


def test_long_messages_share_what_there_is(tmp_path, peak):
    with serving(tmp_path, echo, body=8 * MIB, memory=64 * MIB) as stub:
        long = request(x=tensor([MIB], tensor_content=b"\0" * 4 * MIB))
        asked = [stub.call("Predict", long) for _ in range(30)]
        codes = {one.code().name for one in asked}
        assert codes <= {"OK", "UNAVAILABLE", "RESOURCE_EXHAUSTED"} and "OK" in codes
        assert stub.refused("Predict", request(x=tensor([4 * MIB], tensor_content=b"\0" * 16 * MIB)))[0] == (
            "RESOURCE_EXHAUSTED"
        )
        assert stub.call("Predict", request(x=tensor([1], float_val=[1.0]))).result()
        assert not stub.service.budget.clients


@pytest.mark.parametrize("piece", [b"\x12\x00", b"\x12\x02\x08\x01", b"\x42\x00"], ids=["dims", "sizes", "texts"])
def test_messages_that_grow_when_they_are_parsed(tmp_path, peak, piece):
    inner = piece * (60_000_000 // len(piece))
    if piece[0] == 0x12:
        inner = b"\x12" + varint(len(inner)) + inner  # The tensor's shape.
    entry = b"\x0a\x01x\x12" + varint(len(inner)) + inner
    data = b"\x0a\x03\x0a\x01m\x12" + varint(len(entry)) + entry
    with serving(tmp_path, echo, fields=100_000) as stub:
        code, text = stub.refused("Predict", data)
    assert code == "RESOURCE_EXHAUSTED" and "too many fields" in text
    assert peak() < 500


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


@given(
    st.lists(st.tuples(st.sampled_from("abcxyz"), st.lists(st.integers(0, 5), max_size=5), st.binary(max_size=9))),
    st.integers(0, 20_000), st.binary(max_size=8),
)  # fmt: skip
def test_what_a_message_needs_is_about_its_length_and_never_fails(inputs, content, noise):
    made = request(**{name: tensor(shape, 7, string_val=[text] * 3) for name, shape, text in inputs})
    made.inputs["content"].tensor_content = b"x" * content
    data = made.SerializeToString()
    found = measure.needed(data, type(made), 1 << 40)
    if len(data) >= measure.SHORT:
        assert content <= found <= len(data) + 64 * 40 * (len(inputs) + 1)
    for wrong in (data[: len(data) // 2], data + noise, noise + data, noise * 1000):
        assert measure.needed(wrong, type(made), 1 << 40) >= 0


# --- texts that inflate -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [b'{"instances": [' + b"{}," * 20_000_000, b'{"instances": ' + b"[" * 60_000_000, b"[1" + b",1" * 30_000_000],
    ids=["objects", "nested", "numbers"],
)
def test_json_that_is_all_brackets_is_refused_before_it_is_read(stub, peak, text):
    bomb = gzip.compress(text)
    started = time.monotonic()
    status, answer = post(stub.rest, bomb, **{"Content-Encoding": "gzip"})
    assert status in (429, 503) and b"MiB" in answer
    assert time.monotonic() - started < 30
    assert peak() < 700


def test_inflating_ends_with_the_request():
    budget = Budget(Limits(memory=100 * MIB))
    ticket = budget.admit("here", time.monotonic() - 1)
    with pytest.raises(Status, match="DEADLINE_EXCEEDED"), ticket.working():
        raise AssertionError("never comes here")
    ticket = budget.admit("here")
    with ticket.working():
        ticket.end(Status("CANCELLED", "gone"))
        with pytest.raises(Status, match="CANCELLED"):
            json_text.parse(b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")


# --- work without a client ----------------------------------------------------------------------------------------


class Slow:
    """A model that answers rows one after the other, and looks whether anybody waits for them."""

    def __init__(self):
        self.ended, self.begun = threading.Event(), threading.Event()

    def run(self, signature, inputs, outputs):
        if inputs["x"][0] == 0:
            return {"y": np.zeros(1, np.float32)}
        try:
            for _ in range(2000):
                self.begun.set()
                budget_.check()
                time.sleep(0.01)
        finally:
            self.ended.set()
        return {"y": np.zeros(1, np.float32)}


@pytest.mark.parametrize("how", ["deadline", "cancelled", "hung up", "timeout"])
def test_work_ends_with_its_client(tmp_path, how):
    slow = Slow()
    limits = {"seconds": 0.5} if how == "timeout" else {}
    with serving(tmp_path, slow.run, threads=1, **limits) as stub:
        long = request(x=tensor([1], float_val=[1.0]))
        if how == "deadline":
            assert stub.refused("Predict", long, timeout=0.3)[0] == "DEADLINE_EXCEEDED"
        elif how == "cancelled":
            asked = stub.call("Predict", long)
            assert slow.begun.wait(10)
            asked.cancel()
        elif how == "timeout":
            assert post(stub.rest, b'{"instances": [1]}')[0] == 504
        else:
            with socket.create_connection(("127.0.0.1", stub.rest), 10) as connection:
                head = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\n\r\n"
                connection.sendall(head + b'{"instances": [1]}')
                assert slow.begun.wait(10)
        assert slow.ended.wait(10)
        assert stub.call("Predict", request(x=tensor([1], float_val=[0.0])), timeout=10).result()
        until(lambda: not stub.service.budget.clients)


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_who_waits_in_a_queue_leaves_it_with_the_client():
    from kerazoo.serve.models.adaptive import Joiner

    begun, free, answered = threading.Event(), threading.Event(), []

    def answer(inputs):
        begun.set()
        free.wait(20)
        answered.append(inputs["x"][0])
        return inputs

    join = Joiner(answer, 1)
    first = threading.Thread(target=join, args=({"x": np.array([1])},))
    first.start()
    assert begun.wait(10)
    with pytest.raises(Status, match="DEADLINE_EXCEEDED"), Budget().admit("here", time.monotonic() + 0.2).working():
        join({"x": np.array([2])})
    free.set()
    first.join()
    join.close()
    assert answered == [1]


def test_10_8_a_batch_leaves_out_those_whose_time_is_over(tmp_path):
    from kerazoo.serve.models.batching import Parameters, batched
    from kerazoo.serve.models.servable import Servable

    ran = []

    def run(key, inputs, outputs):
        ran.append(inputs["x"].tolist())
        return {"y": inputs["x"]}

    made = Servable({"s": signature()}, run, lambda: None, "fake")
    servable = batched(made, Parameters(most=8, micros=600_000, threads=1))
    failed, found = [], []

    def hasty():
        try:
            with Budget().admit("here", time.monotonic() + 0.1).working():
                servable.run("s", {"x": np.array([1.0])}, ["y"])
        except Status as error:
            failed.append(error.code)

    def patient():
        found.append(servable.run("s", {"x": np.array([2.0])}, ["y"])["y"].tolist())

    threads = [threading.Thread(target=one) for one in (hasty, patient)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    servable.close()
    assert (failed, found, ran) == (["DEADLINE_EXCEEDED"], [[2.0]], [[2.0]])


def test_a_bundles_rows_go_a_piece_at_a_time():
    from kerazoo.serve.models import engines

    made = engines._OnEngine.__new__(engines._OnEngine)
    sizes = []

    def join(inputs):
        sizes.append(len(inputs["x"]))
        return {"y": inputs["x"] * 2}

    made.joins = {"serving_default": join}
    assert made._request("serving_default", {"x": np.arange(150)})["y"].tolist() == list(range(0, 300, 2))
    assert sizes == [64, 64, 22]
    assert made._request("serving_default", {"x": np.arange(0)})["y"].tolist() == []
    with Budget(Limits(rows=100)).admit("here").working(), pytest.raises(Status, match="at most 100 go"):
        made._request("serving_default", {"x": np.arange(150)})


# --- fairness -----------------------------------------------------------------------------------------------------


def test_one_client_leaves_something_to_others():
    budget = Budget(Limits(waiting=4, memory=1000))
    mine = [budget.admit("one") for _ in range(3)]
    with pytest.raises(Status, match="3 requests are waiting"):
        budget.admit("one")
    mine[0].spend(700)
    with pytest.raises(Status, match="UNAVAILABLE"):
        mine[1].spend(100)
    other = budget.admit("other")
    other.spend(250)
    for ticket in (*mine, other):
        ticket.close()
        ticket.close()
    assert (budget.clients, budget.total.requests, budget.total.memory) == ({}, 0, 0)
    with pytest.raises(Status, match="RESOURCE_EXHAUSTED: The request needs"):
        budget.admit("one").spend(800)


def test_a_request_that_never_fits_is_told_so():
    ticket = Budget(Limits(memory=1000)).admit("one")
    ticket.spend(700)
    with pytest.raises(Status, match="RESOURCE_EXHAUSTED: The request needs"):
        ticket.spend(100)


def test_bodies_that_are_on_their_way_keep_nobody_out(tmp_path):
    with serving(tmp_path, echo, waiting=4) as stub:
        head = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1"
        arriving = [socket.create_connection(("127.0.0.1", stub.rest), 10) for _ in range(50)]
        for connection in arriving:
            connection.sendall(head)
        assert post(stub.rest, b'{"instances": [1]}')[0] == 200
        for connection in arriving:
            connection.close()
        until(lambda: not stub.service.budget.clients)


def test_answers_in_json_are_bounded_too():
    from kerazoo.serve.wire import json_tensors

    array = np.zeros(1 << 20, np.float32)
    with Budget(Limits(memory=64 * MIB)).admit("here").working(), pytest.raises(Status, match="RESOURCE_EXHAUSTED"):
        json_tensors.response({"y": array}, True)
    assert len(json.loads(json_tensors.response({"y": array[:100]}, True))["predictions"]) == 100
