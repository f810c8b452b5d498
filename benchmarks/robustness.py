"""What a server must survive, run against `kerazoo serve` as a process of its own.

    python -m benchmarks.robustness swap --requests 10000 --versions 10
    python -m benchmarks.robustness soak --minutes 15
    python -m benchmarks.robustness crowd --connections 1000
    python -m benchmarks.robustness malformed --requests 20000

1. swap: requests at concurrency 8 while versions come and go: none may fail, none may be answered by a version that was
   not there.
2. soak: full load with a new version every minute: resident memory after the last unload against that after the first.
3. crowd: idle connections, a body of 200 MB and a picture that declares 30,000 x 30,000 pixels: memory, and what a good
   request takes meanwhile.
4. malformed: requests that no client should send, half of them over each wire: how they were answered, what the good
   request after each of them took, and whether the server's log has more than one line about any.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from benchmarks import malformed as requests
from benchmarks import record
from kerazoo.serve.wire import protos, tensors


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@dataclass(frozen=True)
class Process:
    """A running `kerazoo serve`."""

    pid: int
    grpc: int
    rest: int

    def resident(self) -> float:
        """Resident memory in MiB."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextlib.contextmanager
def served(*arguments: str, log: Any = subprocess.DEVNULL) -> Iterator[Process]:
    """A server's process, once it is ready."""
    ports = free_port(), free_port()
    command = [sys.executable, "-m", "kerazoo", "serve", f"--port={ports[0]}", f"--rest_api_port={ports[1]}"]
    process = subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL, stderr=log)
    try:
        for _ in range(6000):
            if process.poll() is not None:
                raise RuntimeError("The server did not start.")
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{ports[1]}/readyz", timeout=5):
                break
            time.sleep(0.01)
        yield Process(process.pid, *ports)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


VERSIONS = """
import sys, tensorflow as tf
from pathlib import Path
for version in map(int, sys.argv[2:]):
    module = tf.Module()
    module.w = tf.Variable(tf.zeros([{elements}]))
    call = tf.function(lambda x, v=version: {{"y": x / 2 + float(v)}},
                       input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    tf.saved_model.save(module, str(Path(sys.argv[1]) / str(version)), signatures={{"serving_default": call}})
"""


def versions(folder: Path, numbers: range, elements: int = 1) -> None:
    """SavedModels of `y = x / 2 + version`, with so many idle weights."""
    code = VERSIONS.format(elements=elements)
    subprocess.run([sys.executable, "-c", code, str(folder), *map(str, numbers)], check=True, capture_output=True)


def predict_request(value: float, name: str = "m") -> Any:
    message = protos.api("PredictRequest")()
    message.model_spec.name = name
    message.inputs["x"].CopyFrom(tensors.to_proto(np.float32([value])))
    return message


def swap(requests: int, count: int) -> dict[str, Any]:
    """Failures and wrong answers of so many requests while so many versions come and go."""
    with tempfile.TemporaryDirectory() as temporary:
        stage, base = Path(temporary, "stage"), Path(temporary, "base")
        versions(stage, range(1, count + 1))
        base.mkdir()
        shutil.move(stage / "1", base / "1")
        done, failed, wrong, seen = [0], [], [], set()
        lock, over = threading.Lock(), threading.Event()
        with served("--model_name=m", f"--model_base_path={base}") as process:

            def over_grpc(client: int) -> None:
                with grpc.insecure_channel(f"127.0.0.1:{process.grpc}") as channel:
                    call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
                    turn = client
                    while done[0] < requests or not over.is_set():
                        turn += 1
                        try:
                            data = call(predict_request(turn).SerializeToString(), timeout=60)
                            answer = protos.api("PredictResponse").FromString(data)
                            version = answer.model_spec.version.value
                            right = answer.outputs["y"].float_val[0] == turn / 2 + version
                        except grpc.RpcError as error:
                            note(error, True, 0)
                        else:
                            note(None, right, version)

            def over_rest(client: int) -> None:
                connection = http.client.HTTPConnection("127.0.0.1", process.rest, timeout=60)
                turn = client
                while done[0] < requests or not over.is_set():
                    turn += 1
                    connection.request("POST", "/v1/models/m:predict", json.dumps({"instances": [turn]}))
                    response = connection.getresponse()
                    body = json.loads(response.read())
                    if response.status != 200:
                        note(body, True, 0)
                        continue
                    version = body["predictions"][0] - turn / 2
                    note(None, version in range(1, count + 1), int(version))
                connection.close()

            def note(error: Any, right: bool, version: int) -> None:
                with lock:
                    done[0] += 1
                    if error is not None:
                        failed.append(str(error)[:300])
                    elif not right:
                        wrong.append(version)
                    else:
                        seen.add(version)

            threads = [
                threading.Thread(target=over_grpc if client % 2 else over_rest, args=(client * 1000,))
                for client in range(8)
            ]
            for thread in threads:
                thread.start()
            for version in range(2, count + 1):
                while done[0] < requests * (version - 1) / count:
                    time.sleep(0.005)
                shutil.move(stage / str(version), base / str(version))
                while version not in seen and not failed:
                    time.sleep(0.005)
                shutil.rmtree(base / str(version - 1))
            over.set()
            for thread in threads:
                thread.join()
    return {
        "requests": done[0],
        "failed": len(failed),
        "wrong": len(wrong),
        "versions": sorted(seen),
        "why": failed[:3],
    }


def soak(minutes: float, seconds: float = 60.0) -> dict[str, Any]:
    """Resident memory, in MiB, after each unload under full load: two clients ask a SavedModel, two a bundle."""
    with tempfile.TemporaryDirectory() as temporary:
        count = max(int(minutes * 60 / seconds), 3)
        stages = {name: (Path(temporary, "stage", name), Path(temporary, "base", name)) for name in ("m", "pictures")}
        versions(stages["m"][0], range(1, count + 1), elements=8_000_000)
        for version in range(1, count + 1):
            shutil.copytree(bundle("resnet20:cifar10") / "1", stages["pictures"][0] / str(version))
        for stage, base in stages.values():
            base.mkdir(parents=True)
            shutil.move(stage / "1", base / "1")
        ended, counts = threading.Event(), [0] * 4
        with served(*(f"{name}={base}" for name, (_, base) in stages.items())) as process:

            def ask(client: int) -> None:
                with grpc.insecure_channel(f"127.0.0.1:{process.grpc}") as channel:
                    call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
                    data = predict_request(client).SerializeToString()
                    while not ended.is_set():
                        if client % 2:
                            call(data, timeout=60)
                        else:
                            good(process, "pictures")
                        counts[client] += 1

            threads = [threading.Thread(target=ask, args=(client,)) for client in range(4)]
            for thread in threads:
                thread.start()
            after = []
            for version in range(2, count + 1):
                time.sleep(seconds)
                for stage, base in stages.values():
                    shutil.move(stage / str(version), base / str(version))
                for name in stages:
                    status = f"http://127.0.0.1:{process.rest}/v1/models/{name}/versions/{version - 1}"
                    while b'"END"' not in urllib.request.urlopen(status).read():
                        time.sleep(0.05)
                time.sleep(1)
                after.append(round(process.resident(), 1))
                print(f"version {version}: {after[-1]} MiB", file=sys.stderr, flush=True)
            ended.set()
            for thread in threads:
                thread.join()
    return {
        "mib_after_each_unload": after,
        "ratio": after[-1] / after[0],
        "requests": {"m": sum(counts[1::2]), "pictures": sum(counts[::2])},
    }


def bundle(model: str) -> Path:
    """The base path of a prepared bundle."""
    from kerazoo import registry
    from kerazoo.export import prepare

    return prepare.bundle(registry.find(model), lambda line: print(line, file=sys.stderr))


def bomb(width: int, height: int) -> bytes:
    """A PNG that declares so many pixels and holds none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def good(process: Process, model: str = "lenet5") -> float:
    """Milliseconds of a picture that must be answered."""
    start = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", process.rest, timeout=60)
    connection.request("POST", f"/v1/models/{model}:predict", small_picture(), {"Content-Type": "image/png"})
    response = connection.getresponse()
    answered = response.read()
    connection.close()
    if response.status != 200:
        raise RuntimeError(answered[:300])
    return (time.perf_counter() - start) * 1e3


def small_picture() -> bytes:
    """A small grey PNG."""
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("L", (28, 28), 128).save(out, "PNG")
    return out.getvalue()


def crowd(connections: int, megabytes: int) -> dict[str, Any]:
    """Memory and the time of a good request while others misbehave."""
    with served("lenet5:mnist") as process:
        first = statistics.median(good(process) for _ in range(20))
        before = process.resident()
        idle = [socket.create_connection(("127.0.0.1", process.rest)) for _ in range(connections)]
        crowded = statistics.median(good(process) for _ in range(20))
        found: dict[str, Any] = {
            "ms": {"first": first, f"{connections} idle connections": crowded},
            "mib": {"before": before, f"{connections} idle connections": process.resident()},
        }
        for connection in idle:
            connection.close()
        statuses = []
        for body in (bomb(30_000, 30_000), b"x" * (megabytes << 20)):
            connection = http.client.HTTPConnection("127.0.0.1", process.rest, timeout=60)
            # It may answer before it has read everything.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request("POST", "/v1/models/lenet5:predict", body, {"Content-Type": "image/png"})
            with contextlib.suppress(http.client.HTTPException, OSError):
                statuses.append(connection.getresponse().status)
            connection.close()
        found["statuses"] = {"30,000 x 30,000 pixels": statuses[0], f"{megabytes} MB": statuses[-1]}
        found["mib"]["after"] = process.resident()
        found["ms"]["after"] = statistics.median(good(process) for _ in range(20))
    return found


def malformed(count: int) -> dict[str, Any]:
    """How so many malformed requests were answered, half of them on each wire."""
    with tempfile.TemporaryDirectory() as temporary, tempfile.TemporaryFile("w+") as log:
        base = Path(temporary, requests.MODEL)
        make = (
            f"from pathlib import Path; from tests.serve import half_plus; half_plus.half_plus_two(Path({str(base)!r}))"
        )
        subprocess.run([sys.executable, "-c", make], check=True, capture_output=True, cwd=Path(__file__).parents[1])
        with served(f"{requests.MODEL}={base}", log=log) as process:
            before = process.resident()
            with grpc.insecure_channel(f"127.0.0.1:{process.grpc}") as channel:
                call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
                found: dict[str, Any] = requests.run(process.rest, call, count // 2)
            found["mib"] = {"before": round(before, 1), "after": round(process.resident(), 1)}
        log.seek(0)
        found["lines_of_tracebacks"] = sum("Traceback" in line for line in log)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("swap", "soak", "crowd", "malformed"))
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--versions", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="added to this file under the name of what was run")
    arguments = parser.parse_args()
    if arguments.what == "swap":
        found = swap(arguments.requests, arguments.versions)
    elif arguments.what == "soak":
        found = soak(arguments.minutes)
    elif arguments.what == "crowd":
        found = crowd(arguments.connections, 200)
    else:
        found = malformed(arguments.requests)
    print(json.dumps(found, indent=2))
    if arguments.out is not None:
        record.keep(arguments.out, {arguments.what: {**found, **record.origin("robustness")}})


if __name__ == "__main__":
    main()
