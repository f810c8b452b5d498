"""Connections to the REST port: heads without end, and crowds that only stay."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from kerazoo.serve import limits as limits_
from kerazoo.serve.limits import Limits
from tests.serve.stub import serving

GOOD = b"GET /v1/models/m HTTP/1.1\r\nHost: x\r\n"


def run(signature, inputs, outputs):
    return {"y": np.zeros(1, np.float32)}


@pytest.fixture(scope="module")
def stub(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("stub"), run) as made:
        yield made


def send(port, *pieces, seconds=20):
    """What comes back to some bytes, until the server closes."""
    with socket.create_connection(("127.0.0.1", port), seconds) as connection:
        got = b""
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
            while piece := connection.recv(65536):
                got += piece
        return got


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /" + b"a" * 10_000_000, 414),
        (GOOD + b"X: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (GOOD + b"X: " + b"a" * 10_000_000, 431),
        (GOOD + b"X: a\r\n" * 100 + b"\r\n", 431),
        (GOOD + b"X: a\r\n" * 1_000_000, 431),
    ],
    ids=["address", "address without end", "header", "header without end", "headers", "headers without end"],
)
def test_heads_that_are_too_long(stub, head, status):
    got = send(stub.rest, head)
    # Who goes on sending may be cut off before he reads.
    assert got.startswith(b"HTTP/1.1 %d " % status) or (not got and len(head) > 1_000_000)
    assert b'{"error": ' in got or not got


def test_heads_as_long_as_they_may_be(stub):
    head = GOOD + b"X: " + b"a" * 8000 + b"\r\n" + b"X: a\r\n" * 90 + b"Connection: close\r\n\r\n"
    assert send(stub.rest, head).startswith(b"HTTP/1.1 200 ")
    slow = [head[at : at + 1000] for at in range(0, len(head), 1000)]
    assert send(stub.rest, *slow).startswith(b"HTTP/1.1 200 ")
    several = (GOOD + b"X: " + b"a" * 15_000 + b"\r\n\r\n") * 9 + GOOD + b"Connection: close\r\n\r\n"
    assert send(stub.rest, several).count(b"HTTP/1.1 200 ") == 10


def test_the_longest_silent_connection_makes_room(tmp_path):
    with serving(tmp_path, run, connections=20) as stub:
        silent = [socket.create_connection(("127.0.0.1", stub.rest), 10) for _ in range(40)]
        time.sleep(0.2)
        for _ in range(5):
            assert send(stub.rest, GOOD + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        silent[0].settimeout(10)
        with contextlib.suppress(ConnectionError):
            assert silent[0].recv(1) == b""
        for connection in silent:
            connection.close()


def test_descriptors_are_kept_in_reserve(monkeypatch):
    monkeypatch.setattr(limits_, "descriptors", lambda: 1024)
    assert limits_.connections(Limits()) == (1024 - limits_.RESERVE) // 2
    assert limits_.connections(Limits(connections=7)) == 7


LOGS = """
import logging, sys, time
from kerazoo.serve.logs import log_to_stderr
log_to_stderr(True)
log = logging.getLogger("kerazoo.serve")
for n in range(30_000):
    log.warning("%d %s", n, "x" * 100)
print("done", flush=True)
"""


def test_a_log_that_nobody_reads_stops_nobody():
    read, write = os.pipe()
    process = subprocess.Popen([sys.executable, "-c", LOGS], stdout=subprocess.PIPE, stderr=write)
    os.close(write)
    try:
        ended = threading.Timer(60, process.kill)
        ended.start()
        assert process.stdout.read() == b"done\n"
        assert process.wait(30) == 0
        ended.cancel()
    finally:
        process.stdout.close()
        os.close(read)


def test_a_log_that_is_read_is_whole():
    text = LOGS.replace("30_000", "2_000")
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)
    assert len(done.stderr.splitlines()) == 2000
