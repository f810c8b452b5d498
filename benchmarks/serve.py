"""What `kerazoo serve` costs beside a bare loop without any server, and beside other servers, in one run.

    python benchmarks/serve.py --out benchmarks/results/serve.json
    python benchmarks/serve.py --only trivial

A closed loop: every client sends its next request when it has its answer. Client and server share the machine's cores.
All pictures are one JPEG of 1280x720 through MobileNet v1 at 224 pixels, random weights (the time is the same).

1. pictures: pictures/s over REST and gRPC with one and with eight clients, against a bare loop of decode, resize and
   onnxruntime (one process with all cores for one client, a process a core for eight), FastAPI and LitServe on the same
   ONNX file (each with the better of its settings for that load). Kerazoo has one setting for both: none.
2. engines: the same with the engine that the bundle found fastest.
3. trivial: requests/s of half_plus_two over gRPC.
4. memory: proportional set size of the process tree at its peak, and seconds from the start to the first answer.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import importlib.metadata
import importlib.util
import io
import json
import multiprocessing
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CORES = len(os.sched_getaffinity(0))


def photograph() -> bytes:
    """A JPEG of 1280x720 with slopes, edges and grain."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 255, (9, 16, 3), np.uint8)).resize((1280, 720), Image.Resampling.BICUBIC)
    grain = rng.normal(0, 8, (720, 1280, 1))
    out = io.BytesIO()
    Image.fromarray(np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=88)
    return out.getvalue()


def prepared(folder: Path) -> Path:
    """The base path of a bundle of MobileNet v1."""
    from kerazoo import registry
    from kerazoo.export import prepare

    weights = folder / "mobilenet.npz"
    make = (
        "import keras, numpy as np; from kerazoo.applications import MobileNet; keras.utils.set_random_seed(0); "
        "model = MobileNet(weights=None, classifier_activation=None); rng = np.random.default_rng(0); "
        f"np.savez({str(weights)!r}, **{{v.path: v.numpy() + 0.05 * rng.standard_normal(v.shape) * "
        "('variance' not in v.path) for v in model.weights})"
    )
    subprocess.run([sys.executable, "-c", make], check=True, capture_output=True)
    return prepare.bundle(registry.find(f"mobilenet_v1:{weights}"), lambda line: print(line, file=sys.stderr))


# --- the closed loop ----------------------------------------------------------------------------------------------


def load(clients: int, seconds: float, connect: Callable[[], Callable[[], None]]) -> dict[str, float]:
    """Requests/s and latencies of so many clients at once."""
    spent: list[list[float]] = [[] for _ in range(clients)]
    begin, end = threading.Barrier(clients + 1), time.perf_counter() + 1e9

    def work(index: int) -> None:
        try:
            ask = connect()
            for _ in range(3):
                ask()
        except BaseException:
            begin.abort()  # Or the others would wait for ever.
            raise
        begin.wait()
        while (start := time.perf_counter()) < end:
            ask()
            spent[index].append(time.perf_counter() - start)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(clients)]
    for thread in threads:
        thread.start()
    begin.wait()
    start = time.perf_counter()
    end = start + seconds
    for thread in threads:
        thread.join()
    took = time.perf_counter() - start
    every = sorted(value for values in spent for value in values)
    p50, p99 = (every[min(int(len(every) * share), len(every) - 1)] * 1e3 for share in (0.5, 0.99))
    return {"per_s": len(every) / took, "p50_ms": p50, "p99_ms": p99}


def over_http(port: int, path: str, body: bytes, kind: str) -> Callable[[], Callable[[], None]]:
    import http.client

    def connect() -> Callable[[], None]:
        connection = http.client.HTTPConnection("127.0.0.1", port)

        def ask() -> None:
            connection.request("POST", path, body, {"Content-Type": kind})
            response = connection.getresponse()
            answered = response.read()
            if response.status != 200:
                raise RuntimeError(answered[:300])

        return ask

    return connect


def over_grpc(port: int, request: bytes) -> Callable[[], Callable[[], None]]:
    import grpc

    def connect() -> Callable[[], None]:
        options = [("grpc.use_local_subchannel_pool", 1)]
        call = grpc.insecure_channel(f"127.0.0.1:{port}", options).unary_unary(
            "/tensorflow.serving.PredictionService/Predict"
        )

        def ask() -> None:
            call(request)

        return ask

    return connect


# --- the servers --------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.contextmanager
def running(command: list[str], ready: str, env: dict[str, str] | None = None) -> Iterator[tuple[Any, float]]:
    """A server's process and the seconds until it answered."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env={**os.environ, **(env or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        while True:
            if process.poll() is not None or time.perf_counter() - start > 120:
                raise RuntimeError(f"{command} did not start")
            with contextlib.suppress(OSError), urllib.request.urlopen(ready, timeout=1):
                break
            time.sleep(0.01)
        yield process, time.perf_counter() - start
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def pss(pid: int) -> float:
    """Proportional set size of a process and its children, in MiB."""
    total = 0
    pids = [pid]
    for one in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
            for task in Path(f"/proc/{one}/task").iterdir():
                pids += map(int, (task / "children").read_text().split())
    return total / 1024


FASTAPI = """
import os, numpy as np, onnxruntime
from fastapi import FastAPI, Request
from bare import opened
run = opened(os.environ["ONNX"], int(os.environ["THREADS"]))
app = FastAPI()
@app.get("/ready")
def ready(): return {}
@app.post("/predict")
async def predict(request: Request):
    body = await request.body()
    from starlette.concurrency import run_in_threadpool
    return {"top": await run_in_threadpool(run, body)}
"""

LITSERVE = """
import base64, os, litserve
from bare import opened
class API(litserve.LitAPI):
    def setup(self, device): self.run = opened(os.environ["ONNX"], int(os.environ["THREADS"]))
    def decode_request(self, request): return base64.b64decode(request["image"])
    def predict(self, body): return self.run(body)
    def encode_response(self, output): return {"top": output}
if __name__ == "__main__":
    workers = int(os.environ["WORKERS"])
    server = litserve.LitServer(API(), accelerator="cpu", workers_per_device=workers, timeout=60)
    server.run(port=int(os.environ["PORT"]), log_level="critical", generate_client_file=False)
"""

BARE = """
import io, os
import numpy as np, onnxruntime
from PIL import Image
def opened(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    def run(data):
        image = Image.open(io.BytesIO(data)).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
        logits = session.run(None, {"image": np.asarray(image, np.float32)[None]})[0][0]
        shifted = np.exp(logits - logits.max())
        scores = shifted / shifted.sum()
        top = np.argsort(-scores)[:5]
        return [[int(i), float(scores[i])] for i in top]
    return run
"""


def bare(folder: Path, onnx: Path, photo: bytes, processes: int, threads: int, seconds: float) -> float:
    """Pictures/s without a server: so many processes, each in a loop of its own."""
    code = (
        f"import sys, time; sys.path.insert(0, {str(folder)!r})\nfrom bare import opened\n"
        f"run, data = opened({str(onnx)!r}, {threads}), open({str(folder / 'photo.jpg')!r}, 'rb').read()\n"
        "for _ in range(10): run(data)\nprint('ready', flush=True); sys.stdin.readline()\n"
        "start = time.perf_counter(); count = 0\n"
        f"while time.perf_counter() - start < {seconds}: run(data); count += 1\n"
        "print(count / (time.perf_counter() - start))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    for process in started:
        process.stdout.readline()  # type: ignore[union-attr]
    rates = [process.communicate("go\n")[0] for process in started] if processes == 1 else _all(started)
    return sum(float(rate.split()[-1]) for rate in rates)


def _all(started: list[Any]) -> list[str]:
    for process in started:
        process.stdin.write("go\n")
        process.stdin.flush()
    return [process.communicate()[0] for process in started]


def pictures(folder: Path, base: Path, photo: bytes, seconds: float, rounds: int) -> dict[str, Any]:
    """Rates and ratios of every server at one and eight clients; medians of rounds in which all take their turn."""
    onnx = base / "1" / "assets.extra" / "kerazoo" / "model.onnx"
    (folder / "bare.py").write_text(BARE)
    (folder / "fast.py").write_text(FASTAPI)
    (folder / "lit.py").write_text(LITSERVE)
    (folder / "photo.jpg").write_bytes(photo)
    as_json = json.dumps({"image": base64.b64encode(photo).decode()}).encode()
    rows: dict[str, list[dict[str, float]]] = {}

    def note(name: str, clients: int, found: dict[str, float]) -> None:
        rows.setdefault(f"{name}, {clients} client{'s' * (clients > 1)}", []).append(found)
        print(f"{name:24} {clients} clients  {found['per_s']:7.1f}/s", file=sys.stderr, flush=True)

    for _ in range(rounds):
        for clients, processes, threads in ((1, 1, CORES), (8, CORES, 1)):
            note("bare", clients, {"per_s": bare(folder, onnx, photo, processes, threads, seconds)})
            for name, url, starter in others(folder, onnx, processes, threads):
                body, kind = (photo, "image/jpeg") if name == "FastAPI" else (as_json, "application/json")
                with running(starter[0], url[0], starter[1]):
                    note(name, clients, load(clients, seconds, over_http(url[1], url[2], body, kind)))
        for engine in ("onnx", "auto"):
            grpc_port, rest_port = free_port(), free_port()
            command = [sys.executable, "-m", "kerazoo", "serve", f"mobilenet={base}", f"--port={grpc_port}",
                       f"--rest_api_port={rest_port}", "--engine", engine]  # fmt: skip
            with running(command, f"http://127.0.0.1:{rest_port}/readyz") as (process, start):
                for clients in (1, 8):
                    path = "/v1/models/mobilenet:predict"
                    asking = over_http(rest_port, path, photo, "image/jpeg")
                    note(f"kerazoo {engine} REST", clients, load(clients, seconds, asking))
                    asking = over_grpc(grpc_port, request(photo))
                    note(f"kerazoo {engine} gRPC", clients, load(clients, seconds, asking))
                rows.setdefault(f"kerazoo {engine}, process", []).append(
                    {"pss_mib": pss(process.pid), "start_s": start}
                )
    medians = {
        name: {key: statistics.median(row[key] for row in found) for key in found[0]} for name, found in rows.items()
    }
    for name, row in medians.items():
        if "per_s" in row:
            row["of_bare"] = row["per_s"] / medians["bare, " + name.partition(", ")[2]]["per_s"]
    return medians


def others(folder: Path, onnx: Path, workers: int, threads: int) -> Iterator[tuple[str, Any, Any]]:
    env = {"ONNX": str(onnx), "THREADS": str(threads), "WORKERS": str(workers), "PYTHONPATH": str(folder)}
    if importlib.util.find_spec("fastapi"):
        port = free_port()
        command = [sys.executable, "-m", "uvicorn", "fast:app", "--port", str(port), "--workers", str(workers),
                   "--log-level", "critical"]  # fmt: skip
        yield "FastAPI", (f"http://127.0.0.1:{port}/ready", port, "/predict"), (command, env)
    if importlib.util.find_spec("litserve"):
        port = free_port()
        command = [sys.executable, str(folder / "lit.py")]
        yield "LitServe", (f"http://127.0.0.1:{port}/health", port, "/predict"), (command, {**env, "PORT": str(port)})


def request(photo: bytes) -> bytes:
    from kerazoo.serve import protos, tensors

    message = protos.api("PredictRequest")()
    message.model_spec.name = "mobilenet"
    value = np.empty(1, object)
    value[0] = photo
    message.inputs["image_bytes"].CopyFrom(tensors.to_proto(value))
    return message.SerializeToString()


def trivial(folder: Path, seconds: float) -> dict[str, Any]:
    """half_plus_two over gRPC, the clients in a process of their own."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    make = (
        f"from pathlib import Path; from tests.serve import half_plus; half_plus.half_plus_two(Path({str(folder)!r}))"
    )
    subprocess.run([sys.executable, "-c", make], check=True, capture_output=True, cwd=Path(__file__).parent.parent)
    from kerazoo.serve import protos, tensors

    message = protos.api("PredictRequest")()
    message.model_spec.name = "half_plus_two"
    message.inputs["x"].CopyFrom(tensors.to_proto(np.float32([1.0])))
    grpc_port, rest_port = free_port(), free_port()
    command = [sys.executable, "-m", "kerazoo", "serve", f"--port={grpc_port}", f"--rest_api_port={rest_port}",
               "--model_name=half_plus_two", f"--model_base_path={folder}"]  # fmt: skip
    found = {}
    with running(command, f"http://127.0.0.1:{rest_port}/readyz"):
        for clients in (1, 16):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found[f"{clients} clients"] = pool.apply(
                    _asked, (clients, seconds, grpc_port, message.SerializeToString())
                )
            print(f"half_plus_two {clients} clients {found[f'{clients} clients']['per_s']:.0f}/s", file=sys.stderr)
    return found


def _asked(clients: int, seconds: float, port: int, request: bytes) -> dict[str, float]:
    return load(clients, seconds, over_grpc(port, request))


def machine() -> dict[str, Any]:
    packages = ("kerazoo", "onnxruntime", "ai-edge-litert", "grpcio", "uvicorn", "httptools", "tensorflow", "fastapi",
                "litserve")  # fmt: skip
    versions = {}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    return {"cpu": model, "cores": CORES, "python": platform.python_version(), "versions": versions}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("pictures", "trivial"))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found: dict[str, Any] = {"machine": machine(), "command": " ".join(sys.argv)}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if arguments.only != "trivial":
            found["pictures"] = pictures(folder, prepared(folder), photograph(), arguments.seconds, arguments.rounds)
        if arguments.only != "pictures":
            (folder / "half").mkdir()
            found["trivial"] = trivial(folder / "half", arguments.seconds)
    text = json.dumps(found, indent=2)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
