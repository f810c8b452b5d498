"""What a network sees of the user's own items: through the model's own preprocessing, by the very path of `predict`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo import codecs, inputs
from kerazoo.contract import Network, Task, Tensors
from kerazoo.errors import InputError, KerazooError, UsageError
from kerazoo.export import golden as golden_
from kerazoo.export.golden import Call, Recorder
from kerazoo.export.quantize.graph import Graph, Range
from kerazoo.predictor import request_row, stack

RANDOM = "random"
"""The word for made-up items."""

LEAST = 16
"""Fewer items tell too little: half of them calibrate, the other half judge."""

MOST = 512
BYTES = 1 << 30
"""So many items are taken at most, evenly over all; and so many bytes of what the network sees of them."""


@dataclass(frozen=True)
class Sample:
    """One item: what was asked, what the float network answered, and what it saw."""

    request: Tensors
    response: Tensors
    calls: tuple[Call, ...]


def samples(
    task: Task,
    network: Network,
    source: str | Path,
    say: Callable[[str], Any],
    also: Sequence[Task],
    made_up: int,
) -> list[Sample]:
    """Items as the float network sees them.

    Args:
        task: Whose first port they fill.
        network: In floats, and right.
        source: A folder or a pattern, a text file with an item a line for what is typed; or `RANDOM`.
        say: Is told, in a line, what was left out.
        also: Other tasks on the same request: what it asks of parts that `task` does not use is seen, too.
        made_up: Items of `RANDOM`.

    Raises:
        UsageError: There are none, or too few that can be read.
    """
    apart: set[str] = set()
    if str(source) == RANDOM:
        try:
            return [_asked(task, network, row, also, apart) for row in drawn(task, made_up)]
        except InputError:
            # What is drawn lacks what the task asks of an item, such as a gap in a text; its own example has it.
            own = getattr(task, "golden", None)
            if own is None:
                raise
            return [_asked(task, network, own(), also, apart)]
    found: list[Sample] = []
    failed: list[str] = []
    size = 0
    chosen = _evenly(list(_items(task, Path(source).expanduser())))
    for item in chosen:
        try:
            row = request_row(task, item() if callable(item) else item)
            found.append(_asked(task, network, row, also, apart))
        except KerazooError as error:
            failed.append(str(error).splitlines()[0])
            continue
        size += sum(value.nbytes for call in found[-1].calls for value in call.inputs.values())
        if size > BYTES:
            break
    if len(found) < LEAST:
        why = f" {len(failed)} could not be read: {failed[0]}" if failed else ""
        raise UsageError(
            f"--calibrate {source}: {len(found)} items for {task.request[0].name} were found there, and {LEAST} are "
            f"needed: half of them calibrate, the others judge.{why}\n"
            "Give a folder of a hundred or more that look like those the model will be asked about."
        )
    if failed:
        say(f"{len(failed)} of {len(chosen)} calibration items could not be read and were left out: {failed[0]}")
    return found


def _items(task: Task, place: Path) -> Iterable[Any]:
    port = task.request[0]
    if codecs.of(port).SUFFIXES:
        if not place.exists() and not inputs.stands_for_many(str(place), port):
            raise UsageError(f"--calibrate {place}: there is no such folder.")
        return inputs.expand(str(place), port, recursive=True)
    try:
        return [line for line in place.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--calibrate {place}: a text file with an item a line is wanted: {error}") from None


def _evenly(items: list[Any]) -> list[Any]:
    return items if len(items) <= MOST else [items[i] for i in np.linspace(0, len(items) - 1, MOST).astype(int)]


def drawn(task: Task, count: int) -> list[dict[str, Any]]:
    """Examples of the ports' media; the golden alone where those would ask nothing of the network."""
    rng = np.random.default_rng(11)
    own = getattr(task, "golden", None)
    if own is not None and not any(hasattr(codecs.of(port), "drawn") for port in task.request):
        return [own()]
    rows = []
    for _ in range(count):
        row = dict(own()) if own is not None else {}
        for port in task.request:
            codec = codecs.of(port)
            draw = getattr(codec, "drawn", None)
            if draw is not None or port.name not in row:
                row[port.name] = (draw or codec.example)(port, rng)
        rows.append(row)
    return rows


def _asked(task: Task, network: Network, row: Mapping[str, Any], also: Sequence[Task], apart: set[str]) -> Sample:
    """An item as the network sees it; `apart` are the tasks that have been asked their own example instead."""
    request = stack(task, [row])
    recorder = Recorder(network)
    response = dict(task.answer(recorder, request))
    calls = recorder.calls
    for other in also:
        recorder = Recorder(network)
        try:
            other.answer(recorder, request)
        except InputError:
            # What one task is asked may lack what another wants of it, as two texts with a mark between them.
            if other.kind in apart:
                continue
            apart.add(other.kind)
            recorder = Recorder(network)
            other.answer(recorder, golden_.golden_request(other))
        known = {call.part for call in calls}
        calls += tuple(call for call in recorder.calls if call.part not in known)
    return Sample(request, response, calls)


def halves(found: list[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Every other item calibrates, the others judge; a single one does both."""
    return (found[::2], found[1::2]) if len(found) > 1 else (found, found)


@dataclass(frozen=True)
class Statistics:
    """Of activations, by name.

    Attributes:
        spans: Least and greatest value of each call, [calls, 2].
        highest: Of layers' inputs, the greatest absolute value of each channel.
        means: Of layers' inputs, the average of each channel.
    """

    spans: Mapping[str, np.ndarray]
    highest: Mapping[str, np.ndarray]
    means: Mapping[str, np.ndarray]

    def ranges(self, share: float = 1.0) -> dict[str, Range]:
        """What holds all values of a share of the calls: rare peaks else make the steps of all other values coarse."""
        return {
            name: (float(np.quantile(span[:, 0], 1 - share)), float(np.quantile(span[:, 1], share)))
            for name, span in self.spans.items()
        }


def statistics(graph: Graph, seen: Iterable[Mapping[str, np.ndarray]]) -> Statistics:
    """Gathers them from `Tool.observe`."""
    wanted = {layer.input for layer in graph.layers}
    spans: dict[str, list[Range]] = {}
    highest: dict[str, np.ndarray] = {}
    sums: dict[str, np.ndarray] = {}
    counts: dict[str, int] = {}
    for tensors in seen:
        for name, value in tensors.items():
            spans.setdefault(name, []).append((float(value.min()), float(value.max())))
            if name in wanted and value.ndim:
                flat = value.reshape(-1, value.shape[-1])
                largest = np.abs(flat).max(0)
                highest[name] = np.maximum(highest[name], largest) if name in highest else largest
                sums[name] = sums.get(name, 0.0) + flat.sum(0, dtype=np.float64)
                counts[name] = counts.get(name, 0) + len(flat)
    means = {name: total / counts[name] for name, total in sums.items()}
    return Statistics({name: np.array(each) for name, each in spans.items()}, highest, means)


def golden_calls(goldens: Mapping[str, golden_.Golden]) -> list[Call]:
    """The network calls of all tasks' goldens."""
    return [call for golden in goldens.values() for call in golden.calls]
