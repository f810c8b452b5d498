"""Requests that no client should send, on both wires, made by hypothesis; each is followed by a good one."""

from __future__ import annotations

import collections
import json
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kerazoo.serve.wire import protos, tensors

MODEL = "half_plus_two"

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just(10**400),
    st.fixed_dictionaries({"b64": st.text(max_size=12)}),
)  # fmt: skip
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner))
BODIES = st.one_of(
    st.builds(
        lambda key, value, extra: json.dumps({key: value, **extra}),
        st.sampled_from(["instances", "inputs", "examples", "signature_name", "context", "else"]),
        TREES,
        st.dictionaries(st.sampled_from(["signature_name", "inputs", "x"]), TREES, max_size=2),
    ).map(str.encode),
    st.integers(1, 4000).map(lambda depth: b'{"instances": ' + b"[" * depth),
    st.binary(max_size=200),
    st.just(b'{"instances": [1.0, 2.0'),
)
PATHS = (
    f"/v1/models/{MODEL}:predict", f"/v1/models/{MODEL}:classify", f"/v1/models/{MODEL}:regress",
    "/v1/models/counter:predict", f"/v1/models/{MODEL}/versions/99999999999999999999", "/v1/models/%ff%00",
    "/", "/v1/", "/kerazoo/models",
)  # fmt: skip
HEADERS = (
    b"", b"Content-Encoding: gzip\r\n", b"Content-Type: image/jpeg\r\n", b"Content-Length: x\r\n", b"\xff: \xfe\r\n",
)  # fmt: skip


class Wrong(Exception):
    """An answer that a client should not get."""


def _must(right: bool, found: object) -> None:
    if not right:
        raise Wrong(found)


@dataclass(frozen=True)
class Sent:
    """What is sent over one connection.

    Attributes:
        pieces: In how many parts, a moment apart.
        end: Then the client waits for the answer, says that nothing more comes, or cuts the connection.
    """

    data: bytes
    pieces: int
    end: str


@st.composite
def over_http(draw: st.DrawFn) -> Sent:
    """An HTTP request with something wrong about it, mostly."""
    body, method = draw(BODIES), draw(st.sampled_from(["POST", "POST", "POST", "GET", "PUT", "BREW", "OPTIONS"]))
    declared, cut = draw(st.sampled_from([0, 0, 0, 0, -3, 5])), draw(st.sampled_from([None, None, None, 10, 60]))
    head = f"{method} {draw(st.sampled_from(PATHS))} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode()
    head += draw(st.sampled_from(HEADERS)) + f"Content-Length: {max(len(body) + declared, 0)}\r\n\r\n".encode()
    whole = cut is None and declared <= 0
    end = draw(st.sampled_from(["wait", "wait", "wait", "cut"] if whole else ["say", "say", "cut"]))
    return Sent((head + body)[:cut], draw(st.sampled_from([1, 1, 1, 4])), end)


@st.composite
def over_grpc(draw: st.DrawFn) -> bytes:
    """A serialized request with something wrong about it, mostly."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=100))
    request = protos.api("PredictRequest")()
    request.model_spec.name = MODEL
    for name in draw(st.lists(st.sampled_from(["x", "y", "é", ""]), max_size=3)):
        proto = request.inputs[name]
        proto.dtype, proto.tensor_content = draw(st.integers(0, 130)), draw(st.binary(max_size=20))
        for size in draw(st.lists(st.integers(-2, 1 << 40), max_size=4)):
            proto.tensor_shape.dim.add(size=size)
    return request.SerializeToString()


def exchange(port: int, sent: Sent, wait: float = 5.0) -> bytes:
    """What comes back until the connection is closed."""
    got = b""
    with socket.create_connection(("127.0.0.1", port), wait) as connection:
        try:
            size = -(-len(sent.data) // sent.pieces) or 1
            for start in range(0, len(sent.data), size):
                connection.sendall(sent.data[start : start + size])
                if sent.pieces > 1:
                    time.sleep(0.002)
            if sent.end == "cut":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return b""
            if sent.end == "say":
                connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                got += chunk
        except OSError:
            pass  # Closing the connection is an answer too.
    return got


def rest_outcome(port: int, sent: Sent) -> str:
    """The status, or that the connection was closed.

    Raises:
        Wrong: The answer is none that a client could make sense of.
    """
    got = exchange(port, sent)
    if not got:
        return "cut" if sent.end == "cut" else "closed"
    status, body = int(got.split(b" ", 2)[1]), got.partition(b"\r\n\r\n")[2]
    _must(200 <= status < 505 and status != 500, got)
    if status >= 400 and body.startswith(b"{"):
        _must("error" in json.loads(body), got)
    return str(status)


REFUSALS = ("INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "UNIMPLEMENTED",
            "UNAVAILABLE")  # fmt: skip


def grpc_outcome(call: Callable[..., bytes], data: bytes) -> str:
    """The status.

    Raises:
        Wrong: It is one that blames the server for what can be read.
    """
    try:
        call(data, timeout=20)
    except grpc.RpcError as error:
        code = error.code().name
        unreadable = code == "INTERNAL" and not _readable(data)
        _must(code in REFUSALS or unreadable, error)
        return "unreadable" if unreadable else code
    return "OK"


def _readable(data: bytes) -> bool:
    try:
        protos.api("PredictRequest").FromString(data)
    except DecodeError:
        return False
    return True


GOOD = b'{"instances": [2.0]}'
GOOD_REST = Sent(
    f"POST /v1/models/{MODEL}:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(GOOD)}\r\nConnection: close\r\n\r\n"
    .encode() + GOOD,
    1, "wait",
)  # fmt: skip


def good_grpc() -> bytes:
    request = protos.api("PredictRequest")()
    request.model_spec.name = MODEL
    request.inputs["x"].CopyFrom(tensors.to_proto(np.float32([2.0])))
    return request.SerializeToString()


def run(rest: int, grpc_call: Callable[..., bytes], count: int) -> dict[str, dict[str, Any]]:
    """So many malformed requests on each wire, and after each a good one.

    Args:
        rest: The REST port.
        grpc_call: Predict, from bytes to bytes.

    Returns:
        For each wire the number of each outcome, and milliseconds of the good requests: the median of the first and of
        the last hundred.

    Raises:
        Wrong: With the smallest request that hypothesis found to be answered wrongly.
    """
    fine = good_grpc()

    def good_rest() -> None:
        got = exchange(rest, GOOD_REST)
        _must(b'{"predictions": [3.0]}' in got, got)

    def good_over_grpc() -> None:
        answer = protos.api("PredictResponse").FromString(grpc_call(fine, timeout=20))
        _must(list(answer.outputs["y"].float_val) == [3.0], answer)

    return {
        "rest": _run(over_http(), lambda sent: rest_outcome(rest, sent), good_rest, count),
        "grpc": _run(over_grpc(), lambda data: grpc_outcome(grpc_call, data), good_over_grpc, count),
    }


def _run(requests: Any, ask: Callable[[Any], str], good: Callable[[], None], count: int) -> dict[str, Any]:
    outcomes: collections.Counter[str] = collections.Counter()
    took: list[float] = []

    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(requests)
    def each(request: Any) -> None:
        outcomes[ask(request)] += 1
        start = time.perf_counter()
        good()
        took.append((time.perf_counter() - start) * 1e3)

    each()
    first, last = (sorted(part)[len(part) // 2] for part in (took[:100], took[-100:]))
    return {
        "requests": sum(outcomes.values()),
        "outcomes": dict(sorted(outcomes.items())),
        "good_ms": {"first hundred": round(first, 2), "last hundred": round(last, 2)},
    }
