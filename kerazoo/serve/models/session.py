"""Any SavedModel, of either generation, in TensorFlow's own session.

`tf.saved_model.load` refuses some SavedModels that TF Serving serves, and the public `Session.run` refuses shapes that
the graph itself would take. So the graph is loaded as TensorFlow 1 did, and driven through callables by tensor names,
where only the graph decides.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.engines import safety
from kerazoo.engines.quiet import import_tensorflow, quiet
from kerazoo.engines.savedmodel import parsed
from kerazoo.errors import KerazooError, UsageError
from kerazoo.serve.models import savedmodel
from kerazoo.serve.models.servable import Servable
from kerazoo.serve.wire import status as status_
from kerazoo.serve.wire.status import CODES, Status, invalid

log = logging.getLogger("kerazoo.serve")


STRANGERS = ("refused", "told", "trusted")


@dataclass(frozen=True)
class SessionOptions:
    """How sessions are made.

    Attributes:
        tags: Of the graph in the SavedModel.
        intra_op, inter_op: Threads within and between operations; 0 lets TensorFlow choose.
        config: A serialized `ConfigProto` that the others are put into.
        strangers: What becomes of a graph that can reach files, the network or other code, where nobody of this machine
            trusts it: one of `STRANGERS`.
    """

    tags: Collection[str] = ("serve",)
    intra_op: int = 0
    inter_op: int = 0
    config: bytes = b""
    strangers: str = "refused"


DEFAULTS = SessionOptions()

SMALL = 300
"""A graph of fewer operations has no branches that are worth running side by side."""


def load(folder: Path, options: SessionOptions = DEFAULTS) -> Servable:
    """Opens the SavedModel in a folder.

    Raises:
        Status: It cannot be loaded, in TensorFlow's words.
    """
    signatures = savedmodel.signatures(folder, options.tags)
    try:
        import_tensorflow()
    except KerazooError as error:
        raise status_.of(error) from error
    import tensorflow as tf

    _check(folder, options)
    config = tf.compat.v1.ConfigProto.FromString(options.config)
    config.intra_op_parallelism_threads = options.intra_op or config.intra_op_parallelism_threads
    config.inter_op_parallelism_threads = options.inter_op or config.inter_op_parallelism_threads
    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph, config=config)
    try:
        with graph.as_default(), quiet():
            tf.compat.v1.saved_model.load(session, list(options.tags), str(folder))
        graph.finalize()
    except Exception as error:  # The loader raises whatever its readers do.
        session.close()
        raise _status(error) from None
    running = _Session(session, signatures, len(graph.get_operations()) < SMALL)
    return Servable(signatures, running.run, running.close, "tensorflow", light=running.small)


def _check(folder: Path, options: SessionOptions) -> None:
    """Looks for operations that reach more than tensors; as TF Serving, which runs them, a server can just tell."""
    if options.strangers == "trusted":
        return
    try:
        safety.check_saved_model(folder, parsed(folder))
    except UsageError as error:
        if options.strangers == "refused":
            raise Status("PERMISSION_DENIED", str(error)) from None
        log.warning(
            "%s",
            " ".join(str(error).replace("was not opened: it", "is not to be trusted blindly: it").splitlines()[:2]),
        )


@dataclass(frozen=True)
class _Callable:
    """How one set of inputs and outputs runs: the inputs' types, and TensorFlow's callable."""

    kinds: tuple[np.dtype[Any], ...]
    call: Any


@dataclass
class _Session:
    session: Any
    signatures: Mapping[str, Any]
    small: bool
    callables: dict[Any, _Callable] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> dict[str, np.ndarray]:
        key = (signature, tuple(inputs), tuple(outputs))
        found = self.callables.get(key) or self._callable(key)
        for index, (array, kind) in enumerate(zip(inputs.values(), found.kinds, strict=True)):
            if array.dtype != kind:
                raise invalid(f"Expects arg[{index}] to be {_named(kind)} but {_named(array.dtype)} is provided")
        try:
            values = found.call(*inputs.values())
        except Exception as error:
            raise _status(error) from None
        return dict(zip(outputs, map(_array, values), strict=True))

    def _callable(self, key: tuple[str, tuple[str, ...], tuple[str, ...]]) -> _Callable:
        described = self.signatures[key[0]]
        feeds = [described.inputs[alias].name for alias in key[1]]
        with self.lock:
            if key not in self.callables:
                from tensorflow.core.protobuf import config_pb2

                # The graph knows its types; old signatures do not always.
                kinds = tuple(self._kind(name) for name in feeds)
                options = config_pb2.CallableOptions(feed=feeds)
                if self.small:
                    # On the thread that asks: handing a small graph to TensorFlow's own costs more than running it.
                    options.run_options.inter_op_thread_pool = -1
                options.fetch.extend(described.outputs[alias].name for alias in key[2])
                self.callables[key] = _Callable(kinds, self.session._make_callable_from_options(options))
            return self.callables[key]

    def _kind(self, tensor: str) -> np.dtype[Any]:
        try:
            return np.dtype(self.session.graph.get_tensor_by_name(tensor).dtype.base_dtype.as_numpy_dtype)
        except (KeyError, ValueError):
            raise Status("NOT_FOUND", f"FeedInputs: unable to find feed output {tensor}") from None

    def close(self) -> None:
        self.callables.clear()
        self.session.close()
        self.session = None
        gc.collect()


def _array(value: Any) -> np.ndarray:
    """What TensorFlow answered; a single text comes as bytes, of which NumPy would make a type of that length."""
    return np.array(value, object) if isinstance(value, bytes) else np.asarray(value)


def _named(kind: np.dtype[Any]) -> str:
    """A type as TensorFlow's messages put it."""
    names = {"object": "string", "float32": "float", "float64": "double", "float16": "half"}
    return names.get(kind.name, kind.name)


def _status(error: Exception) -> Status:
    import tensorflow as tf

    if isinstance(error, Status):
        return error
    if isinstance(error, tf.errors.OpError):
        names = {number: name for name, (number, _) in CODES.items()}
        return Status(names.get(error.error_code, "UNKNOWN"), error.message.removeprefix("Graph execution error:\n\n"))
    if isinstance(error, (OSError, ValueError, KeyError)):
        return invalid(str(error).splitlines()[0] if str(error) else type(error).__name__)
    return Status("INTERNAL", f"{type(error).__name__}: {error}")
