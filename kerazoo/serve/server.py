"""A whole server: what is loaded, opened and closed, in which order."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kerazoo.serve import batching, bundle, config, http, pages, protos, rpc, session, warmup
from kerazoo.serve import status as status_
from kerazoo.serve.inference import Rules
from kerazoo.serve.metrics import Metrics
from kerazoo.serve.models import PLATFORM, Models, Unready, Watch
from kerazoo.serve.servable import Servable
from kerazoo.serve.service import Service
from kerazoo.serve.status import Status, invalid

log = logging.getLogger("kerazoo.serve")


@dataclass(frozen=True)
class Batching:
    """TF Serving's batching in the place of the adaptive one.

    Attributes:
        parameters: Of every model.
        own: Whether the parameters are those in each version's folder instead, and versions without are not batched.
    """

    parameters: batching.Parameters = batching.Parameters()
    own: bool = False


@dataclass(frozen=True)
class Options:
    """What a server is to do.

    Attributes:
        models: `ModelConfig` messages.
        config_file: Read instead of `models`, and again every `config_seconds` where that is not 0.
        engine: For bundles: `auto`, or the one that is forced.
        grpc, rest: Ports; `None` for none, 0 for a free one.
        socket: Path of a UNIX socket for gRPC.
        metrics: Path under which Prometheus finds the metrics; `None` for nowhere.
        batching: TF Serving's, where it was asked for; without it bundles batch as far as it helps.
        drain_seconds: How long running requests are given when the server is told to end.
    """

    models: Sequence[Any] = ()
    config_file: Path | None = None
    config_seconds: float = 0.0
    engine: str = "auto"
    grpc: int | None = 8500
    rest: int | None = 8501
    host: str | None = None
    socket: str = ""
    watch: Watch = Watch()
    session: session.Options = session.DEFAULTS
    rules: Rules = Rules()
    as_content: bool = False
    warmup: bool = True
    warmup_times: int = 0
    grpc_threads: int = 16
    grpc_options: Sequence[tuple[str, Any]] = ()
    tls: Any = None
    health: bool = False
    metrics: str | None = http.METRICS
    http: http.Options = http.Options()
    batching: Batching | None = None
    drain_seconds: float = 30.0


@dataclass
class Server:
    """A server that answers; `close` ends it."""

    service: Service
    rpc: rpc.Running | None = None
    rest: http.Running | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def close(self, seconds: float = 30.0) -> None:
        """Takes no more requests, answers those that run, unloads everything."""
        self.ended.set()
        threads = [threading.Thread(target=port.stop, args=(seconds,)) for port in (self.rpc, self.rest) if port]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.service.models.close(seconds)


def start(options: Options) -> Server:
    """Loads every model, and only then opens the ports.

    Raises:
        Status: The options are refused, a model did not become available, or a port is taken.
    """
    _check(options)
    server = loaded(options)
    try:
        _open(server, options)
    except BaseException:
        server.close(0)
        raise
    return server


def loaded(options: Options) -> Server:
    """A server without ports, every model of which is loaded; its folders and its configuration are watched.

    Raises:
        Status: The configuration is refused, or a model did not become available.
    """
    metrics = Metrics()
    models = Models(_loader(options, metrics), options.watch)
    server = Server(Service(models, options.rules, metrics, options.as_content))
    try:
        configs = config.models(options.config_file) if options.config_file else list(options.models)
        models.watch_folders()
        try:
            models.configure(configs)
        except Unready as error:
            raise Unready(error.failures, "servable") from None
    except BaseException:
        server.close(0)
        raise
    if options.config_file is not None and options.config_seconds > 0:
        threading.Thread(target=_reread, args=(server, options), name="configuration", daemon=True).start()
    return server


def _check(options: Options) -> None:
    if options.grpc is None and not options.socket and options.rest is None:
        raise invalid("At least one of server_options.grpc_port or server_options.grpc_socket_path must be set.")
    if not options.models and options.config_file is None:
        raise invalid("Both server_options.model_base_path and server_options.model_config_file are empty!")


def _loader(options: Options, metrics: Metrics) -> Callable[[str, int, Path], Servable]:
    def load(name: str, version: int, folder: Path) -> Servable:
        def seen(rows: int) -> None:
            metrics.batch_size.observe(name, value=rows)

        if bundle.is_bundle(folder):
            servable = bundle.load(folder, options.engine, options.session, seen)
        else:
            servable = session.load(folder, options.session)
        try:
            chosen = None
            if options.batching is not None:
                chosen = batching.of_version(folder) if options.batching.own else options.batching.parameters
            if chosen is not None:
                servable = batching.batched(servable, chosen, seen)
            if options.warmup:
                began = time.perf_counter()
                if warmup.replay(servable, folder, options.warmup_times):
                    metrics.warmup.observe(str(folder), "OK", value=(time.perf_counter() - began) * 1e6)
        except BaseException:
            servable.close()
            raise
        return servable

    return load


def _open(server: Server, options: Options) -> None:
    addresses = [f"unix:{options.socket}"] if options.socket else []
    if options.socket:
        Path(options.socket).unlink(missing_ok=True)
    if options.grpc is not None:
        addresses.append(f"{options.host or '[::]'}:{options.grpc}")
    if addresses:
        more = [_health()] if options.health else []
        server.rpc = rpc.start(
            server.service, addresses, options.grpc_threads, options.grpc_options, options.tls, more,
            options.http.limits.waiting,
        )  # fmt: skip
        for port in filter(None, server.rpc.ports):
            log.info("Running gRPC ModelServer at 0.0.0.0:%d ...", port)
    if options.rest is None:
        return
    if options.rest and options.rest == options.grpc:
        log.error("REST and gRPC cannot share port %d; REST is not exported.", options.rest)
        return
    listening = http.listen(options.rest, options.host)
    log.info("Exporting HTTP/REST API at:localhost:%d ...", listening.getsockname()[1])
    server.rest = http.start(app(server, options), listening)


def app(server: Server, options: Options) -> http.App:
    """What answers REST, with the pages beside it."""
    shown = {**pages.pages(server.service, options.metrics), **options.http.pages}
    return http.App(server.service, replace(options.http, pages=shown))


def _health() -> Any:
    """grpc.health.v1 for the server, the two services by their short names, and "" for all of it."""
    import grpc

    serving = b"\x08\x01"  # HealthCheckResponse{status: SERVING}, the one answer that it ever gives.

    async def check(request: bytes, context: Any) -> bytes:
        if request not in (b"", b"\x0a\x0cModelService", b"\x0a\x11PredictionService"):
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return serving

    return grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)}
    )


def _reread(server: Server, options: Options) -> None:
    path, before = options.config_file, None
    if path is None:
        return
    while not server.ended.wait(options.config_seconds):
        try:
            now = path.read_bytes()
            if now == before:
                continue
            server.service.models.configure(config.models(path), time.monotonic() + 3600)
            before = now
        except Exception as error:
            log.error("%s is not used, what was configured before stays: %s", path, status_.of(error))


def one_model(name: str, base: Path) -> Any:
    """The `ModelConfig` of a name and its base path."""
    return protos.api("ModelConfig")(name=name, base_path=str(base), model_platform=PLATFORM)


@contextlib.contextmanager
def until_told() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set, instead of ending the process."""
    told = threading.Event()
    before = {number: signal.signal(number, lambda *_: told.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def serve(options: Options) -> int:
    """Serves until the process is told to end; its exit status."""
    with until_told() as told:
        starting: list[Any] = []

        def begin() -> None:
            try:
                starting.append(start(options))
            except Exception as error:
                starting.append(status_.of(error))
                told.set()

        # A model whose folder is not there yet is waited for; the signal must be heard meanwhile.
        beginning = threading.Thread(target=begin, name="start", daemon=True)
        beginning.start()
        told.wait()
        beginning.join(1)  # It may be at the very end of it, with its ports open.
        if starting and isinstance(starting[0], Status):
            print(f"Failed to start server. Error: {starting[0]}", flush=True)
            return 255
        if starting:
            starting[0].close(options.drain_seconds)
    return 0


def log_to_stderr(access: bool) -> None:
    """The server's log, one line an event, on stderr; on request with a line for every REST request."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname).1s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    http.access.setLevel(logging.INFO if access else logging.WARNING)
