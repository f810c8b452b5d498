"""The same server as replicas on the machines of a Ray cluster, behind Ray Serve's proxies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc

from kerazoo.scale import cluster, reason
from kerazoo.serve import server
from kerazoo.serve.http.app import App
from kerazoo.serve.rpc import methods
from kerazoo.serve.server import Options
from kerazoo.serve.wire import protos
from kerazoo.serve.wire.status import Status, invalid

log = logging.getLogger("kerazoo.serve")

APP = "kerazoo"
REST = 8501
SERVICER = f"{__name__}.add_to_server"


@dataclass(frozen=True)
class Scaling:
    """How many replicas there are.

    Attributes:
        replicas: So many, or at least so many where `most` is given.
        most: Up to so many, as requests come.
        target: Requests that one replica is meant to have at a time; more of them call for another replica.
        cores: Of each replica.
        address: Of the cluster, as `kerazoo.scale.cluster` takes it.
    """

    replicas: int = 1
    most: int | None = None
    target: float = 2.0
    cores: int = 1
    address: str | None = None

    def settings(self) -> dict[str, Any]:
        """The options of Ray Serve's deployment that say so."""
        many: dict[str, Any] = {"num_replicas": self.replicas}
        if self.most is not None:
            many = {
                "autoscaling_config": {
                    "min_replicas": self.replicas,
                    "max_replicas": self.most,
                    "target_ongoing_requests": self.target,
                }
            }
        return {**many, "ray_actor_options": {"num_cpus": self.cores}}


@dataclass(frozen=True)
class Plan:
    """What a replica is to serve, in a form that travels.

    Attributes:
        options: Of the server, without models.
        models: `ModelConfig` messages, serialized.
        zoo: Base path -> model, for those that a machine can prepare by itself where it lacks the folder.
    """

    options: Options
    models: tuple[bytes, ...]
    zoo: Mapping[str, str] = field(default_factory=dict)

    def here(self) -> Options:
        """The options with the models as they lie on this machine."""
        configs = [protos.api("ModelConfig").FromString(data) for data in self.models]
        for config in configs:
            model = self.zoo.get(config.base_path)
            if model is not None and not Path(config.base_path).is_dir():
                from kerazoo import registry
                from kerazoo.export import prepare

                config.base_path = str(prepare.bundle(registry.find(model), log.info))
        return replace(self.options, models=configs)


class Replica:
    """One server without ports; Ray Serve hands it what came to the ports of any machine."""

    def __init__(self, plan: Plan) -> None:
        options = plan.here()
        self.server = server.loaded(options)
        self.rest = server.asgi(self.server, options)
        self.answering = methods.answering(self.server.service)
        self.pool = ThreadPoolExecutor(options.grpc_threads, "grpc")

    def __serve_build_asgi_app__(self) -> App:
        return self.rest

    async def answer(self, service: str, method: str, request: bytes, context: Any) -> _Message:
        """Answers one gRPC request; how it failed is noted in Ray's context."""
        loop = asyncio.get_running_loop()
        try:
            self.server.service.access.check(dict(context.invocation_metadata() or ()).get("authorization", ""))
            return _Message(await loop.run_in_executor(self.pool, self.answering[service][method], request))
        except Status as failed:
            context.set_code(getattr(grpc.StatusCode, failed.code))
            context.set_details(methods.cut(failed.message))
            return _Message(b"")


def _method(service: str, name: str) -> Callable[..., Any]:
    async def method(self: Replica, request: bytes, grpc_context: Any) -> _Message:
        return await self.answer(f"tensorflow.serving.{service}", name, request, grpc_context)

    return method


async def _reload(self: Replica, request: bytes, grpc_context: Any) -> _Message:
    grpc_context.set_code(grpc.StatusCode.UNIMPLEMENTED)
    grpc_context.set_details("One replica of several cannot be configured alone; use --model_config_file and polling.")
    return _Message(b"")


# Ray Serve looks for a method that is called as the one of the service.
for _service, _methods in methods.SERVICES.items():
    for _name in _methods:
        setattr(Replica, _name, _method(_service, _name))
Replica.HandleReloadConfigRequest = _reload  # type: ignore[attr-defined]


def add_to_server(servicer: Any, proxy: Any) -> None:
    """Makes a proxy of Ray Serve's take the methods of both services; messages pass through it as bytes."""
    for service, names in methods.SERVICES.items():
        handlers = {name: grpc.unary_unary_rpc_method_handler(getattr(servicer, name)) for name in names}
        made = grpc.method_handlers_generic_handler(f"tensorflow.serving.{service}", handlers)
        proxy.add_generic_rpc_handlers((made,))


@dataclass(frozen=True)
class _Message:
    """A serialized answer, in the place of the message that Ray Serve would serialize."""

    data: bytes

    def SerializeToString(self) -> bytes:
        return self.data


def plan(options: Options, scaling: Scaling, zoo: Mapping[str, str]) -> Plan:
    """What the replicas are told.

    Raises:
        Status: Something was asked for that Ray Serve's proxies cannot do, and that must not be left out silently.
    """
    if options.tls is not None:
        raise invalid("Ray Serve's proxies speak gRPC without TLS: --ssl_config_file does not go with --scale ray.")
    if options.host is not None and options.grpc is not None:
        raise invalid("Ray Serve's gRPC listens on all addresses: with --scale ray, --host needs --port=0.")
    if scaling.most is not None and scaling.most < scaling.replicas:
        raise invalid(f"--max-replicas {scaling.most} is less than --replicas {scaling.replicas}.")
    models = tuple(config.SerializeToString() for config in options.models)
    if not models and options.config_file is None:
        raise invalid("Both server_options.model_base_path and server_options.model_config_file are empty!")
    loading = replace(options.loading, cores=scaling.cores)
    return Plan(replace(options, models=(), loading=loading), models, zoo)


@contextlib.contextmanager
def deployed(told: Plan, scaling: Scaling) -> Iterator[Any]:
    """Ray Serve's module, with the replicas on their way on a cluster that is connected; none are left afterwards."""
    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    options = told.options
    if serve.status().proxies:
        log.warning("Ray Serve runs on this cluster already, and keeps its ports.")
    quiet = {"log_level": "ERROR", "enable_access_log": False}
    ports = {"grpc_options": {"port": options.grpc, "grpc_servicer_functions": [SERVICER], "enable_reflection": False}}
    serve.start(
        http_options={"host": options.host or "0.0.0.0", "port": options.rest or REST},  # noqa: S104
        logging_config=quiet,
        **(ports if options.grpc is not None else {}),
    )
    deployment = serve.deployment(serve.ingress()(Replica)).options(
        name="models",
        max_ongoing_requests=options.http.threads,
        max_queued_requests=options.limits.waiting,
        graceful_shutdown_timeout_s=options.drain_seconds,
        max_constructor_retry_count=2,
        logging_config=quiet,
        **scaling.settings(),
    )
    try:
        target = serve.RunTarget(deployment.bind(told), name=APP, route_prefix="/")
        serve.run_many([target], wait_for_applications_running=False)
        yield serve
    finally:
        serve.delete(APP)
        if not serve.status().applications:
            serve.shutdown()


def await_ready(ray_serve: Any, ended: threading.Event) -> bool:
    """Waits until the replicas answer; whether they do, or the process was told to end before.

    Raises:
        Status: They cannot be started.
    """
    while not ended.wait(0.1):
        found = ray_serve.status().applications.get(APP)
        if found is not None and found.status == "RUNNING":
            return True
        if found is not None and found.status in ("DEPLOY_FAILED", "UNHEALTHY"):
            messages = [deployment.message for deployment in found.deployments.values()]
            raise Status("UNAVAILABLE", reason(" ".join(filter(None, messages)) or found.message))
    return False


def serve(options: Options, scaling: Scaling, zoo: Mapping[str, str]) -> int:
    """Serves until the process is told to end; its exit status.

    Args:
        zoo: As in `Plan`.

    Raises:
        PackageMissing: Ray is not installed.
        KerazooError: There is no cluster at the address.
    """
    try:
        told = plan(options, scaling, zoo)
        with cluster(scaling.address) as ray, server.until_signal() as ended:
            cores = int(ray.cluster_resources().get("CPU", 0))
            if cores < scaling.replicas * scaling.cores:
                log.warning("The cluster has %d cores: replicas that find none wait for another machine.", cores)
            with deployed(told, scaling) as ray_serve:
                if await_ready(ray_serve, ended):
                    if options.grpc is not None:
                        log.info("Running gRPC ModelServer at 0.0.0.0:%d ...", options.grpc)
                    log.info("Exporting HTTP/REST API at:localhost:%d ...", options.rest or REST)
                    ended.wait()
    except Status as error:
        print(f"Failed to start server. Error: {error}", flush=True)
        return 255
    return 0
