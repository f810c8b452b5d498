"""Ray, and a model on every machine of its cluster: many items are answered there, and come back in order."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pickle
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from kerazoo import loading
from kerazoo.contract import Task
from kerazoo.engines.quiet import quiet
from kerazoo.errors import KerazooError, PackageMissing
from kerazoo.predictor import Prediction, Predictor

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_SERVE_LOG_TO_STDERR": "0",
}
"""Ray reports to its makers and talks on stderr unless the environment says otherwise before it is imported."""

OBJECTS = 256 << 20
"""Bytes of shared memory of a cluster of one's own: names and answers lie there only in passing."""

BLOCK = 64
"""Most items that a worker is given at once; what dies with a machine is asked again."""


def load_ray() -> Any:
    """Ray, imported quietly.

    Raises:
        PackageMissing: It is not installed.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise PackageMissing("More than one machine needs Ray: pip install 'kerazoo[ray]'") from None
    return ray


@contextlib.contextmanager
def cluster(address: str | None = None) -> Iterator[Any]:
    """Ray, connected to a cluster while the block runs; what is printed meanwhile is taken for Ray's, and not shown.

    Args:
        address: `host:6379`, or `auto` for the one that runs on this machine. Without one `RAY_ADDRESS` is asked, and
            where it says nothing a cluster of this machine alone is started, and ended with the block.

    Raises:
        PackageMissing: Ray is not installed.
        KerazooError: No cluster answers there.
    """
    ray = load_ray()
    if ray.is_initialized():  # Whoever did that ends it, too.
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    own: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(_RayOutput()))
        if address == "local":
            # Sockets lie in the folder: their paths must be short. By itself Ray would never remove its own.
            folder = tempfile.TemporaryDirectory(prefix="kerazoo-ray-", dir="/tmp", ignore_cleanup_errors=True)
            own = {"_temp_dir": stack.enter_context(folder), "object_store_memory": OBJECTS, "include_dashboard": False}
        stack.callback(ray.shutdown)
        try:
            _reach(address)
            with quiet():
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
        except (OSError, RuntimeError, ValueError) as error:
            raise KerazooError(f"No Ray cluster to be had at {address}: {str(error).splitlines()[0]}") from None
        yield ray


class _RayOutput(io.TextIOBase):
    """Takes what Ray prints on stdout, which is for answers, traces of other processes mostly.

    Two things are worth a line on stderr: a machine that is lost, and workers that needed more memory than there is.
    """

    def write(self, text: str) -> int:
        if "marked dead" in text:
            print("A machine of the cluster is lost; what it had not answered is asked again.", file=sys.stderr)
        elif "killed due to" in text:
            print("A machine of the cluster is short of memory, and workers were ended there.", file=sys.stderr)
        return len(text)


def _reach(address: str) -> None:
    """Asks whether anything listens there: where nothing does, Ray waits long and then ends the process.

    Raises:
        OSError: Nothing does.
    """
    host, _, port = address.rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


@dataclass(frozen=True)
class Spread:
    """A model on all machines of a cluster, in the place of a `Predictor` for many items.

    Files are read where they are answered: all machines must see them under the same path.

    Attributes:
        name, task, engine: Those of the predictor of this machine.
        model: What was asked for, and is loaded by every worker.
        address: Of the cluster, as `cluster` takes it.
        exact_pixels: As `kerazoo.load` takes it.
    """

    name: str
    task: Task
    engine: str
    model: str
    address: str | None = None
    exact_pixels: bool = False

    def stream(self, items: Iterable[Any], *, batch: int = 1) -> Iterator[Prediction]:
        """Predictions in the order of the items; those that a lost machine had not answered are asked again.

        Args:
            items: As `Predictor.stream` takes them, where they can be pickled.
            batch: How many items go through the network at once, where the task allows.

        Raises:
            KerazooError: The model cannot be loaded by the workers, or the cluster is gone.
        """
        items = list(items)
        if not items:
            return
        with cluster(self.address) as ray:
            for item, row in zip(items, self._rows(ray, items, batch), strict=True):
                result, ms = pickle.loads(row["answer"])
                yield Prediction(item, result, ms)

    def _rows(self, ray: Any, items: list[Any], batch: int) -> Iterator[dict[str, Any]]:
        from ray import cloudpickle, data

        _be_quiet(data)
        cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
        # Small enough that all have something to do until the end, large enough that asking costs little.
        size = max(batch, min(BLOCK, len(items) // (8 * cores)))
        blocks = -(-len(items) // size)
        packed = [{"item": cloudpickle.dumps(item)} for item in items]
        rows = data.from_items(packed, override_num_blocks=blocks).map_batches(
            Worker,
            fn_constructor_args=(self.model, self.engine, batch, os.getcwd(), self.exact_pixels),
            batch_size=None,
            compute=data.ActorPoolStrategy(min_size=1, max_size=cores, initial_size=min(cores, blocks)),
            num_cpus=1,
        )
        try:
            yield from rows.iter_rows()
        except ray.exceptions.RayError as error:
            raise KerazooError(reason(error)) from None


class Worker:
    """The model in one process of the cluster, on one core."""

    def __init__(self, model: str, engine: str, batch: int, folder: str, exact_pixels: bool) -> None:
        with contextlib.suppress(OSError):
            os.chdir(folder)  # Paths are meant as they were given.
        self.predictor = loading.load(model, engine, threads=1, exact_pixels=exact_pixels)
        self.batch = batch

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        items = [pickle.loads(item) for item in rows["item"]]
        answers = self.predictor.stream(items, batch=self.batch)
        return {"answer": [pickle.dumps((answer.result, answer.ms)) for answer in answers]}


def spread(
    model: str,
    engine: str = "auto",
    address: str | None = None,
    say: Callable[[str], Any] = lambda line: None,
    exact_pixels: bool = False,
) -> Spread:
    """A model for all machines of a cluster; it is loaded once here, so that what is wrong with it is said at once.

    Raises:
        PackageMissing: Ray is not installed.
        UnknownModel, UsageError, WeightsUnavailable, GateError: As `kerazoo.load`.
    """
    load_ray()
    found: Predictor = loading.load(model, engine, say=say, exact_pixels=exact_pixels)
    return Spread(found.name, found.task, found.engine, model, address, exact_pixels)


def _be_quiet(data: Any) -> None:
    context = data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def reason(error: object) -> str:
    """The last line of a failure that came with the traces of all processes it went through."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
