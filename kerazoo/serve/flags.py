"""The flags of `tensorflow_model_server`, in their own spelling."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kerazoo import errors

_CORES = os.cpu_count() or 1

FLAGS: dict[str, tuple[type, Any, str]] = {
    "port": (int, 8500, "gRPC; 0 for none"),
    "grpc_socket_path": (str, "", "gRPC on this UNIX socket"),
    "rest_api_port": (int, 0, "REST; 0 for none"),
    "rest_api_num_threads": (int, 4 * _CORES, "REST requests worked on at once"),
    "rest_api_timeout_in_ms": (int, 30_000, "longest REST request"),
    "rest_api_enable_cors_support": (bool, False, "let pages from elsewhere ask"),
    "enable_batching": (bool, False, "join requests as the parameters say"),
    "allow_version_labels_for_unavailable_models": (bool, False, "let new labels point ahead"),
    "batching_parameters_file": (str, "", "BatchingParameters as text"),
    "enable_per_model_batching_parameters": (bool, False, "batching_params.pbtxt of each version"),
    "model_config_file": (str, "", "ModelServerConfig as text"),
    "model_config_file_poll_wait_seconds": (int, 0, "read it again so often; 0 never"),
    "model_name": (str, "default", "name of the one model"),
    "model_base_path": (str, "", "its folder with version folders"),
    "num_load_threads": (int, 0, ""),
    "num_unload_threads": (int, 0, ""),
    "max_num_load_retries": (int, 5, "tries after a load that failed"),
    "load_retry_interval_micros": (int, 60_000_000, "between them"),
    "file_system_poll_wait_seconds": (int, 1, "look for versions so often; 0 once"),
    "flush_filesystem_caches": (bool, True, ""),
    "tensorflow_session_parallelism": (int, 0, "threads of TensorFlow's sessions"),
    "tensorflow_session_config_file": (str, "", ""),
    "tensorflow_intra_op_parallelism": (int, 0, "threads within an operation"),
    "tensorflow_inter_op_parallelism": (int, 0, "threads between operations"),
    "use_alts_credentials": (bool, False, ""),
    "ssl_config_file": (str, "", "SSLConfig as text; gRPC only"),
    "platform_config_file": (str, "", ""),
    "per_process_gpu_memory_fraction": (float, 0.0, ""),
    "saved_model_tags": (str, "serve", "tags of the graph, comma between"),
    "grpc_channel_arguments": (str, "", "k=v,k=v for gRPC itself"),
    "grpc_max_threads": (int, 4 * _CORES, "gRPC requests worked on at once"),
    "enable_model_warmup": (bool, True, "replay the recorded requests first"),
    "num_request_iterations_for_warmup": (int, 0, "each of them so often"),
    "version": (bool, False, "print versions and end"),
    "monitoring_config_file": (str, "", "MonitoringConfig as text"),
    "remove_unused_fields_from_bundle_metagraph": (bool, True, ""),
    "prefer_tflite_model": (bool, False, ""),
    "num_tflite_pools": (int, _CORES, ""),
    "num_tflite_interpreters_per_pool": (int, 1, ""),
    "enable_signature_method_name_check": (bool, False, "hold signatures to their methods"),
    "xla_cpu_compilation_enabled": (bool, False, ""),
    "xla_gpu_compilation_enabled": (bool, False, ""),
    "enable_profiler": (bool, True, ""),
    "thread_pool_factory_config_file": (str, "", ""),
    "mixed_precision": (str, "", ""),
    "skip_initialize_tpu": (bool, False, ""),
    "enable_grpc_healthcheck_service": (bool, False, "grpc.health.v1"),
    "enable_serialization_as_tensor_content": (bool, False, "answers as tensor_content"),
}
"""Name -> type, default, what it does; without the last it is taken and changes nothing."""

HARMLESS = {"num_load_threads", "num_unload_threads", "flush_filesystem_caches", "enable_profiler",
            "remove_unused_fields_from_bundle_metagraph", "num_tflite_pools", "num_tflite_interpreters_per_pool",
            "skip_initialize_tpu"}  # fmt: skip
"""Flags that change nothing here and that nobody misses."""

_TRUE = {"true", "t", "1", "yes", "y", ""}
_FALSE = {"false", "f", "0", "no", "n"}


class Malformed(ValueError):
    """A flag whose value does not parse."""


@dataclass(frozen=True)
class Flags:
    """What was given on the command line.

    Attributes:
        values: Every flag's value.
        given: Those that were given.
        models: Arguments that are no flags.
        unknown: Flags that nobody knows.
    """

    values: dict[str, Any]
    given: frozenset[str]
    models: tuple[str, ...]
    unknown: tuple[str, ...]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def as_tf_serving(self) -> bool:
        """Whether the server is started as `tensorflow_model_server` is, which goes on where a flag is unknown."""
        return not self.models

    def without_effect(self) -> list[str]:
        """Flags that were given and that this server does not honour."""
        return sorted(name for name in self.given if not FLAGS[name][2] and name not in HARMLESS)


def parse(arguments: Sequence[str]) -> Flags:
    """Reads `--name=value`, `--name value` and bare `--name` for booleans; one dash does as well as two.

    Raises:
        Malformed: A value is not of its flag's type.
    """
    values = {name: default for name, (_, default, _) in FLAGS.items()}
    given, models, unknown = set(), [], []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("-") or argument == "-":
            models.append(argument)
            continue
        name, equals, value = argument.lstrip("-").partition("=")
        if name not in FLAGS:
            unknown.append(argument)
            continue
        kind = FLAGS[name][0]
        if not equals and kind is not bool:
            if not rest:
                raise Malformed(f"{argument} needs a value")
            value = rest.pop(0)
        values[name] = _value(argument, kind, value)
        given.add(name)
    return Flags(values, frozenset(given), tuple(models), tuple(unknown))


def _value(argument: str, kind: type, value: str) -> Any:
    try:
        if kind is bool:
            if value.lower() not in _TRUE | _FALSE:
                raise ValueError
            return value.lower() in _TRUE
        return kind(value)
    except ValueError:
        raise Malformed(f"{argument}: {value!r} is not a {kind.__name__}") from None


def near(argument: str, others: Iterable[str]) -> str:
    """What a flag that nobody knows was probably meant to be, as a closing sentence; or nothing.

    Args:
        others: Flags that are not TF Serving's, with their dashes.
    """
    name = argument.partition("=")[0]
    return errors.near(name, [*(f"--{known}" for known in FLAGS), *others])


def usage() -> str:
    """One line a flag."""
    rows = ["usage: kerazoo serve [MODEL...] [--flag=value...]", "Flags of tensorflow_model_server:"]
    for name, (kind, default, about) in FLAGS.items():
        shown = str(default).lower() if kind is bool else repr(default) if kind is str else default
        rows.append(f"  --{name}={shown}" + (f"\n      {about}" if about else ""))
    return "\n".join(rows)
