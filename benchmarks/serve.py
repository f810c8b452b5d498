"""What `kerazoo serve` costs beside a bare loop without any server, and beside other servers, in one run.

    python -m benchmarks.serve --out benchmarks/results/serve.json
    python -m benchmarks.serve --only trivial

A closed loop: every client sends its next request when it has its answer. Client and server share the machine's cores.
All pictures are one JPEG of 1280x720 through MobileNet v1 at 224 pixels, random weights (the time is the same).

1. pictures: pictures/s over REST and gRPC with one and with eight clients, against a bare loop of the same recipe
   (decode, short side to 256, centre crop, onnxruntime, five best; one process with all cores for one client, a process
   a core for eight), and FastAPI and LitServe around that loop (each with the better setting for that load). Kerazoo
   has one setting for both: none. `auto` is the engine that the bundle found fastest, `int8` is LiteRT in 8 bits. All
   take turns, round by round.
2. process: proportional set size of the process tree after eight clients, and seconds from the start until it is ready.
3. trivial: requests/s of half_plus_two over gRPC, against a gRPC server of two threads that returns what it gets; and
   against one that does the same on `grpc.aio`, where a message is only read once it is known who sends it.

`cpu_ms` is the server's processor time for a request. On a machine that others use too, it says more than the rates.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import importlib.util
import io
import json
import multiprocessing
import os
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

from benchmarks import record

CORES = len(os.sched_getaffinity(0))


def photograph() -> bytes:
    """A JPEG of 1280x720 with slopes, edges and grain, 149 kB.

    Ten photographs of that size and quality have 75 to 198 kB, 145 in the median.
    """
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 255, (9, 16, 3), np.uint8)).resize((1280, 720), Image.Resampling.BICUBIC)
    grain = rng.normal(0, 3, (720, 1280, 1))
    out = io.BytesIO()
    Image.fromarray(np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=88)
    return out.getvalue()


def prepared(folder: Path) -> Path:
    """The base path of a bundle of MobileNet v1."""
    from kerazoo import export, registry
    from kerazoo.export import prepare

    weights = folder / "mobilenet.npz"
    make = (
        "import keras, numpy as np; from kerazoo.applications import MobileNet; keras.utils.set_random_seed(0); "
        "model = MobileNet(weights=None, classifier_activation=None); rng = np.random.default_rng(0); "
        f"np.savez({str(weights)!r}, **{{v.path: v.numpy() + 0.05 * rng.standard_normal(v.shape) * "
        "('variance' not in v.path) for v in model.weights})"
    )
    subprocess.run([sys.executable, "-c", make], check=True, capture_output=True)
    export(f"mobilenet_v1:{weights}", "litert", folder, precision="int8", calibrate="random", min_agreement=0.0)
    return prepare.bundle(registry.find(f"mobilenet_v1:{weights}"), lambda line: print(line, file=sys.stderr))


# --- the closed loop ----------------------------------------------------------------------------------------------


def load(clients: int, seconds: float, connect: Callable[[], Callable[[], None]], pid: int) -> dict[str, float]:
    """Requests/s and latencies of so many clients at once, and the processor time that a request costs the server."""
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
    before = processor(pid)
    begin.wait()
    start = time.perf_counter()
    end = start + seconds
    for thread in threads:
        thread.join()
    took = time.perf_counter() - start
    return _summed([value for values in spent for value in values], took, processor(pid) - before)


def _summed(spent: list[float], took: float, cpu: float) -> dict[str, float]:
    """Of answers that took so many seconds each, and all together, and so many milliseconds of processor time."""
    every = sorted(spent)
    p50, p99 = (every[min(int(len(every) * share), len(every) - 1)] * 1e3 for share in (0.5, 0.99))
    return {"per_s": len(every) / took, "p50_ms": p50, "p99_ms": p99, "cpu_ms": cpu / len(every)}


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


def tree(pid: int) -> list[int]:
    """A process and what it started."""
    pids = [pid]
    for one in pids:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                pids += map(int, (task / "children").read_text().split())
    return pids


def pss(pid: int) -> float:
    """Proportional set size of a process and its children, in MiB."""
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


def processor(*pids: int) -> float:
    """Milliseconds of processor time that processes and their children have taken."""
    ticks = 0
    for one in (each for pid in pids for each in tree(pid)):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks * 1e3 / os.sysconf("SC_CLK_TCK")


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
        image = Image.open(io.BytesIO(data)).convert("RGB")
        scale = 256 / min(image.size)
        image = image.resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.BILINEAR)
        left, top = (image.width - 224) // 2, (image.height - 224) // 2
        image = image.crop((left, top, left + 224, top + 224))
        logits = session.run(None, {"image": np.asarray(image, np.float32)[None]})[0][0]
        shifted = np.exp(logits - logits.max())
        scores = shifted / shifted.sum()
        top = np.argsort(-scores)[:5]
        return [[int(i), float(scores[i])] for i in top]
    return run
"""


LOOP = """
import sys, time
from bare import opened
run, data = opened({onnx!r}, {threads}), open({photo!r}, "rb").read()
for _ in range(10): run(data)
print("ready", flush=True)
for line in sys.stdin:
    start = time.perf_counter(); count = 0
    while time.perf_counter() - start < float(line): run(data); count += 1
    print(count, time.perf_counter() - start, flush=True)
"""


@contextlib.contextmanager
def bare(folder: Path, onnx: Path, processes: int, threads: int) -> Iterator[Callable[[float], dict[str, float]]]:
    """Pictures/s without a server: so many processes, each in a loop of its own."""
    code = LOOP.format(onnx=str(onnx), threads=threads, photo=str(folder / "photo.jpg"))
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                         env={**os.environ, "PYTHONPATH": str(folder)})
        for _ in range(processes)
    ]  # fmt: skip
    pipes: list[tuple[Any, Any]] = [(process.stdin, process.stdout) for process in started]
    pids = [process.pid for process in started]
    for _, out in pipes:
        out.readline()

    def ask(seconds: float) -> dict[str, float]:
        for told, _ in pipes:
            told.write(f"{seconds}\n")
            told.flush()
        before = processor(*pids)
        found = [list(map(float, out.readline().split())) for _, out in pipes]
        return {
            "per_s": sum(count / took for count, took in found),
            "cpu_ms": (processor(*pids) - before) / sum(count for count, _ in found),
        }

    try:
        yield ask
    finally:
        for process in started:
            process.kill()


def pictures(folder: Path, base: Path, photo: bytes, seconds: float, rounds: int) -> dict[str, Any]:
    """Rates, latencies and ratios of every server at one and eight clients: medians of rounds."""
    onnx = base / "1" / "assets.extra" / "kerazoo" / "model.onnx"
    (folder / "bare.py").write_text(BARE)
    (folder / "fast.py").write_text(FASTAPI)
    (folder / "lit.py").write_text(LITSERVE)
    (folder / "photo.jpg").write_bytes(photo)
    as_json = json.dumps({"image": base64.b64encode(photo).decode()}).encode()
    turns: dict[int, dict[str, Callable[[float], dict[str, float]]]] = {1: {}, 8: {}}
    with contextlib.ExitStack() as stack:

        def turn(clients: int, name: str, connect: Callable[[], Callable[[], None]], pid: int) -> None:
            turns[clients][name] = lambda seconds: load(clients, seconds, connect, pid)

        for clients, processes, threads in ((1, 1, CORES), (8, CORES, 1)):
            turns[clients]["bare"] = stack.enter_context(bare(folder, onnx, processes, threads))
            for name, (ready, port, path), (command, env) in others(folder, onnx, processes, threads):
                started, _ = stack.enter_context(running(command, ready, env))
                body, kind = (photo, "image/jpeg") if name == "FastAPI" else (as_json, "application/json")
                turn(clients, name, over_http(port, path, body, kind), started.pid)
        for engine in SERVED:
            started, ports, _ = stack.enter_context(kerazoo(base, engine))
            for clients in turns:
                turn(clients, f"kerazoo {engine} REST", over_http(ports[1], PATH, photo, "image/jpeg"), started.pid)
                turn(clients, f"kerazoo {engine} gRPC", over_grpc(ports[0], request(photo)), started.pid)
        rows: dict[int, dict[str, list[dict[str, float]]]] = {1: {}, 8: {}}
        for _ in range(rounds):
            for clients, taking in turns.items():
                for name, ask in taking.items():
                    found = ask(seconds)
                    rows[clients].setdefault(name, []).append(found)
                    print(f"{name:24} {clients} clients  {found['per_s']:7.1f}/s", file=sys.stderr, flush=True)
    return {f"{clients} client{'s' * (clients > 1)}": _compared(found) for clients, found in rows.items()}


def _compared(rows: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Medians, with every rate as a share of the bare loop's in the same round and of the best other server's."""
    found = {}
    for name, measured in rows.items():
        row = {key: statistics.median(one[key] for one in measured) for key in measured[0]}
        shares = [one["per_s"] / bare["per_s"] for one, bare in zip(measured, rows["bare"], strict=True)]
        row["of_bare"] = statistics.median(shares)
        if "p99_ms" in row:
            row["p99_of_p50"] = row["p99_ms"] / row["p50_ms"]
        others = [rows[other] for other in OTHERS if other in rows]
        if name.startswith("kerazoo") and others:
            best = [max(one["per_s"] for one in turn) for turn in zip(*others, strict=True)]
            shares = [one["per_s"] / other for one, other in zip(measured, best, strict=True)]
            row["of_best_other_server"] = statistics.median(shares)
            least = [min(one["cpu_ms"] for one in turn) for turn in zip(*others, strict=True)]
            shares = [other / one["cpu_ms"] for one, other in zip(measured, least, strict=True)]
            row["cpu_of_best_other_server"] = statistics.median(shares)
        found[name] = {key: round(value, 3) for key, value in row.items()}
    return found


OTHERS = ("FastAPI", "LitServe")
SERVED = {"onnx": ("--engine", "onnx"), "auto": (), "int8": ("--precision", "int8")}
PATH = "/v1/models/mobilenet:predict"


@contextlib.contextmanager
def kerazoo(base: Path, engine: str) -> Iterator[tuple[Any, tuple[int, int], float]]:
    """Our server's process, its ports, and the seconds until it was ready."""
    ports = free_port(), free_port()
    command = [sys.executable, "-m", "kerazoo", "serve", f"mobilenet={base}", f"--port={ports[0]}",
               f"--rest_api_port={ports[1]}", *SERVED[engine]]  # fmt: skip
    with running(command, f"http://127.0.0.1:{ports[1]}/readyz") as (process, seconds):
        yield process, ports, seconds


def process(base: Path, photo: bytes) -> dict[str, Any]:
    """Memory and start of a server that is alone on the machine."""
    found = {}
    for engine in SERVED:
        with kerazoo(base, engine) as (started, ports, seconds):
            load(8, 3.0, over_http(ports[1], PATH, photo, "image/jpeg"), started.pid)
            load(8, 3.0, over_grpc(ports[0], request(photo)), started.pid)
            found[f"kerazoo {engine}"] = {"pss_mib": round(pss(started.pid), 1), "start_s": round(seconds, 3)}
    return found


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
    from kerazoo.serve.wire import protos, tensors

    message = protos.api("PredictRequest")()
    message.model_spec.name = "mobilenet"
    value = np.empty(1, object)
    value[0] = photo
    message.inputs["image_bytes"].CopyFrom(tensors.to_proto(value))
    return message.SerializeToString()


ECHO = """
import sys, grpc
from concurrent.futures import ThreadPoolExecutor
echo = grpc.unary_unary_rpc_method_handler(lambda request, context: request)
server = grpc.server(ThreadPoolExecutor(2))
server.add_generic_rpc_handlers((
    grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", {"Predict": echo}),
))
server.add_insecure_port("127.0.0.1:" + sys.argv[1])
server.start()
"""

AIO_ECHO = """
import asyncio, sys, threading, grpc, grpc.aio
from kerazoo.serve.threads import new_event_loop
async def echo(messages, context): return await context.read()
async def serve():
    handler = grpc.stream_unary_rpc_method_handler(echo)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((
        grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", {"Predict": handler}),
    ))
    server.add_insecure_port("127.0.0.1:" + sys.argv[1])
    await server.start()
    await server.wait_for_termination()
def run():
    with asyncio.Runner(loop_factory=new_event_loop) as runner: runner.run(serve())
threading.Thread(target=run, daemon=True).start()
"""

READY = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Ready(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
HTTPServer(("127.0.0.1", int(sys.argv[2])), Ready).serve_forever()
"""


def trivial(folder: Path, seconds: float, rounds: int) -> dict[str, Any]:
    """Requests/s of half_plus_two over gRPC, and of a server that only returns the request."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    make = (
        f"from pathlib import Path; from tests.serve import half_plus; half_plus.half_plus_two(Path({str(folder)!r}))"
    )
    subprocess.run([sys.executable, "-c", make], check=True, capture_output=True, cwd=Path(__file__).parent.parent)
    from kerazoo.serve.wire import protos, tensors

    message = protos.api("PredictRequest")()
    message.model_spec.name = "half_plus_two"
    message.inputs["x"].CopyFrom(tensors.to_proto(np.float32([1.0])))
    data = message.SerializeToString()
    ports = {name: (free_port(), free_port()) for name in ("echo", "aio echo", "kerazoo")}
    commands = {
        "echo": [sys.executable, "-c", ECHO + READY, *map(str, ports["echo"])],
        "aio echo": [sys.executable, "-c", AIO_ECHO + READY, *map(str, ports["aio echo"])],
        "kerazoo": [sys.executable, "-m", "kerazoo", "serve", f"--port={ports['kerazoo'][0]}",
                    f"--rest_api_port={ports['kerazoo'][1]}", "--model_name=half_plus_two",
                    f"--model_base_path={folder}"],
    }  # fmt: skip
    rows: dict[str, list[dict[str, float]]] = {}
    pids: dict[str, int] = {}
    with contextlib.ExitStack() as stack:
        for name, command in commands.items():
            started, _ = stack.enter_context(running(command, f"http://127.0.0.1:{ports[name][1]}/readyz"))
            pids[name] = started.pid
        pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(1))
        for _ in range(rounds):
            for clients in (1, 16):
                for name in commands:
                    found = pool.apply(asked, (clients, seconds, ports[name][0], data, pids[name]))
                    rows.setdefault(f"{name}, {clients} clients", []).append(found)
                    print(f"{name:8} {clients:2} clients {found['per_s']:.0f}/s", file=sys.stderr, flush=True)
    medians = {
        name: {key: round(statistics.median(row[key] for row in found), 3) for key in found[0]}
        for name, found in rows.items()
    }
    for clients in (1, 16):
        for name, other in (("kerazoo", "echo"), ("kerazoo", "aio echo"), ("aio echo", "echo")):
            pairs = zip(rows[f"{name}, {clients} clients"], rows[f"{other}, {clients} clients"], strict=True)
            share = statistics.median(one["per_s"] / echo["per_s"] for one, echo in pairs)
            medians[f"{name}, {clients} clients"][f"of_{other.replace(' ', '_')}"] = round(share, 3)
    return medians


def asked(clients: int, seconds: float, port: int, request: bytes, pid: int) -> dict[str, float]:
    """The closed loop for quick answers: all clients in one thread, since threads would take more than the server."""
    import asyncio

    import grpc
    import grpc.aio

    from kerazoo.serve.threads import new_event_loop

    async def loop() -> dict[str, float]:
        spent: list[float] = []

        async def client(end: float) -> None:
            options = [("grpc.use_local_subchannel_pool", 1)]
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
                call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
                await call(request)
                while (start := time.perf_counter()) < end:
                    await call(request)
                    spent.append(time.perf_counter() - start)

        await asyncio.gather(*(client(time.perf_counter() + 1) for _ in range(clients)))
        spent.clear()
        before = processor(pid)
        start = time.perf_counter()
        await asyncio.gather(*(client(start + seconds) for _ in range(clients)))
        return _summed(spent, time.perf_counter() - start, processor(pid) - before)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(loop())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("pictures", "trivial"))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if arguments.only != "trivial":
            base, photo = prepared(folder), photograph()
            found["pictures"] = pictures(folder, base, photo, arguments.seconds, arguments.rounds)
            found["process"] = process(base, photo)
        if arguments.only != "pictures":
            (folder / "half").mkdir()
            found["trivial"] = trivial(folder / "half", arguments.seconds, arguments.rounds)
    found |= record.origin("serve")
    print(json.dumps(found, indent=2))
    if arguments.out is not None:
        record.keep(arguments.out, found)


if __name__ == "__main__":
    main()
