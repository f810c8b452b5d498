"""A whole server: what is loaded, opened and closed, in which order."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kerazoo.errors import PackageMissing
from kerazoo.printable import printable
from kerazoo.serve import config
from kerazoo.serve.access import Access
from kerazoo.serve.budget import Budget
from kerazoo.serve.http import app, pages
from kerazoo.serve.http import listening as http_listening
from kerazoo.serve.http.app import App, RestOptions
from kerazoo.serve.http.listening import RestPort
from kerazoo.serve.limits import Limits
from kerazoo.serve.logs import log_to_stderr
from kerazoo.serve.metrics import Metrics
from kerazoo.serve.models.catalogue import PLATFORM, Models, Unready, Watch
from kerazoo.serve.models.inference import Rules
from kerazoo.serve.models.loading import Loading, loader
from kerazoo.serve.rpc import listening as rpc_listening
from kerazoo.serve.rpc.listening import GrpcPort
from kerazoo.serve.service import Service
from kerazoo.serve.wire import protos
from kerazoo.serve.wire import status as status_
from kerazoo.serve.wire.status import Status, invalid

__all__ = ["Options", "Server", "Status", "log_to_stderr", "one_model", "serve", "start"]

log = logging.getLogger("kerazoo.serve")


@dataclass(frozen=True)
class Options:
    """What a server is to do.

    Attributes:
        models: `ModelConfig` messages.
        config_file: Read instead of `models`, and again every `config_seconds` where that is not 0.
        grpc, rest: Ports; `None` for none, 0 for a free one.
        socket: Path of a UNIX socket for gRPC.
        metrics: Path under which Prometheus finds the metrics; `None` for nowhere.
        drain_seconds: How long running requests are given when the server is told to end.
    """

    models: Sequence[Any] = ()
    config_file: Path | None = None
    config_seconds: float = 0.0
    loading: Loading = Loading()
    grpc: int | None = 8500
    rest: int | None = 8501
    host: str | None = None
    socket: str = ""
    watch: Watch = Watch()
    rules: Rules = Rules()
    as_content: bool = False
    grpc_threads: int = 16
    grpc_options: Sequence[tuple[str, Any]] = ()
    tls: Any = None
    health: bool = False
    metrics: str | None = app.METRICS
    http: RestOptions = RestOptions()
    access: Access = Access()
    limits: Limits = Limits()
    drain_seconds: float = 30.0


@dataclass
class Server:
    """A server that answers; `close` ends it."""

    service: Service
    rpc: GrpcPort | None = None
    rest: RestPort | None = None
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
    models = Models(loader(options.loading, metrics), options.watch)
    server = Server(
        Service(
            models, options.rules, metrics, options.as_content, access=options.access, budget=Budget(options.limits)
        )
    )
    try:
        configs = (config.models(options.config_file) or []) if options.config_file else list(options.models)
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


def _open(server: Server, options: Options) -> None:
    if options.access.token is None and _public(options):
        log.warning("Everyone who reaches the ports may ask; --token-file or --host 127.0.0.1 keep others out.")
    addresses = [f"unix:{options.socket}"] if options.socket else []
    if options.socket:
        _clear(Path(options.socket))
    if options.grpc is not None:
        addresses.append(f"{options.host or '[::]'}:{options.grpc}")
    if addresses:
        server.rpc = rpc_listening.start(
            server.service, addresses, options.grpc_threads, options.grpc_options, options.tls, options.health,
        )  # fmt: skip
        for port in filter(None, server.rpc.ports):
            log.info("Running gRPC ModelServer at %s:%d ...", options.host or "0.0.0.0", port)  # noqa: S104
    if options.rest is None:
        return
    if options.rest and options.rest == options.grpc:
        log.error("REST and gRPC cannot share port %d; REST is not exported.", options.rest)
        return
    listening = http_listening.listen(options.rest, options.host)
    log.info("Exporting HTTP/REST API at:%s:%d ...", options.host or "localhost", listening.getsockname()[1])
    server.rest = http_listening.start(asgi(server, options), listening)


def _public(options: Options) -> bool:
    """Whether a port is open to other machines."""
    if options.grpc is None and options.rest is None:
        return False
    try:
        return not ipaddress.ip_address((options.host or "::").strip("[]")).is_loopback
    except ValueError:
        return options.host != "localhost"


def _clear(path: Path) -> None:
    """Removes the socket of a server that has ended.

    Raises:
        Status: Something else lies there.
    """
    if path.is_socket():
        path.unlink()
    elif path.exists():
        raise Status("ALREADY_EXISTS", f"gRPC cannot listen on unix:{path}: it is no socket, and was left as it is.")


def asgi(server: Server, options: Options) -> App:
    """What answers REST, with the pages beside it."""
    shown = {**pages.pages(server.service, options.metrics), **options.http.pages}
    return App(server.service, replace(options.http, pages=shown))


def _reread(server: Server, options: Options) -> None:
    path, before = options.config_file, None
    if path is None:
        return
    while not server.ended.wait(options.config_seconds):
        try:
            now = path.read_bytes()
            if now == before:
                continue
            configs = config.models(path)
            if configs is None:
                log.warning("%s configures nothing; what was configured before stays.", path)
            else:
                server.service.models.configure(configs, time.monotonic() + 3600)
            before = now
        except Exception as error:
            log.error("%s is not used, what was configured before stays: %s", path, status_.of(error))


def one_model(name: str, base: Path) -> Any:
    """The `ModelConfig` of a name and its base path."""
    return protos.api("ModelConfig")(name=name, base_path=str(base), model_platform=PLATFORM)


@contextlib.contextmanager
def until_signal() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set, instead of ending the process."""
    ended = threading.Event()
    before = {number: signal.signal(number, lambda *_: ended.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def serve(options: Options) -> int:
    """Serves until the process is ended to end; its exit status."""
    with until_signal() as ended:
        starting: list[Any] = []

        def begin() -> None:
            try:
                starting.append(start(options))
            except Exception as error:
                starting.append(status_.of(error))
                ended.set()

        # A model whose folder is not there yet is waited for; the signal must be heard meanwhile.
        beginning = threading.Thread(target=begin, name="start", daemon=True)
        beginning.start()
        ended.wait()
        beginning.join(1)  # It may be at the very end of it, with its ports open.
        if starting and isinstance(starting[0], Status):
            print(f"Failed to start server. Error: {printable(str(starting[0]))}", flush=True)
            return _exit_code(starting[0])
        if starting:
            starting[0].close(options.drain_seconds)
    return 0


def _exit_code(failed: Status) -> int:
    """TF Serving's; where a package is missing, that of `kerazoo.errors`."""
    failures = [failed, *(error for _, _, error in getattr(failed, "failures", ()))]
    return next((each.__cause__.exit_code for each in failures if isinstance(each.__cause__, PackageMissing)), 255)
