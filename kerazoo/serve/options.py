"""A server's options from the flags of `tensorflow_model_server`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kerazoo.serve import config
from kerazoo.serve.flags import Flags
from kerazoo.serve.http.app import METRICS, RestOptions
from kerazoo.serve.limits import Limits
from kerazoo.serve.models import batching
from kerazoo.serve.models.catalogue import Watch
from kerazoo.serve.models.inference import Rules
from kerazoo.serve.models.loading import Batching, Loading
from kerazoo.serve.models.session import SessionOptions
from kerazoo.serve.models.versions import Retries
from kerazoo.serve.server import Options, one_model
from kerazoo.serve.wire.status import invalid


def of_flags(given: Flags) -> Options:
    """The options that the flags mean.

    Raises:
        Status: They contradict each other, or name files that cannot be read.
    """
    if given.batching_parameters_file and not given.enable_batching:
        raise invalid(
            "server_options.batching_parameters_file is set without setting server_options.enable_batching to true."
        )
    if given.use_alts_credentials and given.ssl_config_file:
        raise invalid("ALTS and SSL cannot be used together")
    parallelism = ("tensorflow_session_parallelism", "tensorflow_intra_op_parallelism",
                   "tensorflow_inter_op_parallelism")  # fmt: skip
    if all(getattr(given, name) for name in parallelism):
        raise invalid(
            "Either server_options.tensorflow_session_parallelism or (server_options.tensorflow_intra_op_parallelism "
            "and server_options.tensorflow_inter_op_parallelism) can be set, not all of them"
        )
    models = []
    if given.model_base_path and not given.model_config_file:
        models.append(one_model(given.model_name, Path(given.model_base_path)))
    return Options(
        models=models,
        config_file=Path(given.model_config_file) if given.model_config_file else None,
        config_seconds=given.model_config_file_poll_wait_seconds,
        grpc=given.port or None,
        rest=given.rest_api_port or None,
        socket=given.grpc_socket_path,
        watch=Watch(
            given.file_system_poll_wait_seconds,
            Retries(given.max_num_load_retries, given.load_retry_interval_micros / 1e6),
            given.allow_version_labels_for_unavailable_models,
        ),
        loading=Loading(
            session=SessionOptions(
                tuple(given.saved_model_tags.split(",")),
                given.tensorflow_intra_op_parallelism or given.tensorflow_session_parallelism,
                given.tensorflow_inter_op_parallelism or given.tensorflow_session_parallelism,
            ),
            batching=_batching(given),
            warmup=given.enable_model_warmup,
            warmup_times=given.num_request_iterations_for_warmup,
        ),
        rules=Rules(given.enable_signature_method_name_check),
        as_content=given.enable_serialization_as_tensor_content,
        grpc_threads=given.grpc_max_threads,
        grpc_options=_arguments(given.grpc_channel_arguments),
        tls=_tls(given.ssl_config_file),
        health=given.enable_grpc_healthcheck_service,
        metrics=_metrics(given.monitoring_config_file),
        http=RestOptions(
            threads=given.rest_api_num_threads,
            cors=given.rest_api_enable_cors_support,
        ),
        limits=Limits(seconds=given.rest_api_timeout_in_ms / 1e3),
    )


def _batching(given: Flags) -> Batching | None:
    if not given.enable_batching:
        return None
    path = given.batching_parameters_file
    parameters = batching.of_message(config.read(path, "BatchingParameters")) if path else batching.Parameters()
    return Batching(parameters, given.enable_per_model_batching_parameters)


def _arguments(text: str) -> list[tuple[str, Any]]:
    """gRPC's channel arguments: whole numbers as such, everything else as text."""
    made: list[tuple[str, Any]] = []
    for pair in filter(None, text.split(",")):
        key, _, value = pair.partition("=")
        made.append((key, int(value) if value.lstrip("-").isdigit() else value))
    return made


def _tls(path: str) -> Any:
    if not path:
        return None
    import grpc

    found = config.read(path, "SSLConfig")
    return grpc.ssl_server_credentials(
        [(found.server_key.encode(), found.server_cert.encode())],
        found.custom_ca.encode() or None,
        found.client_verify,
    )


def _metrics(path: str) -> str | None:
    if not path:
        return None
    found = config.read(path, "MonitoringConfig").prometheus_config
    return (found.path or METRICS) if found.enable else None
