"""Counters and histograms under TF Serving's names, in Prometheus' text."""

from __future__ import annotations

import bisect
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from kerazoo.printable import printable

Labels = tuple[str, ...]

MICROSECONDS = tuple(10 * 1.8**power for power in range(33))
"""Bounds of TF Serving's latency buckets."""


@dataclass
class Counter:
    """A number that grows, one for each combination of labels."""

    name: str
    labels: Labels
    kind: str = "counter"
    values: dict[Labels, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, *values: str, by: float = 1) -> None:
        with self.lock:
            self.values[values] = self.values.get(values, 0) + by

    def get(self, *values: str) -> float:
        return self.values.get(values, 0)

    def lines(self) -> Iterator[str]:
        with self.lock:
            rows = list(self.values.items())
        for labels, value in rows:
            yield f"{_name(self.name)}{_labels(self.labels, labels)} {_number(value)}"


@dataclass
class Histogram:
    """How many observations fell below each bound, one set for each combination of labels."""

    name: str
    labels: Labels
    bounds: Sequence[float] = MICROSECONDS
    kind: str = "histogram"
    counts: dict[Labels, list[int]] = field(default_factory=dict)
    sums: dict[Labels, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def observe(self, *values: str, value: float) -> None:
        place = bisect.bisect_left(self.bounds, value)
        with self.lock:
            counts = self.counts.get(values)
            if counts is None:
                counts, self.sums[values] = self.counts.setdefault(values, [0] * (len(self.bounds) + 1)), 0.0
            counts[place] += 1
            self.sums[values] += value

    def lines(self) -> Iterator[str]:
        with self.lock:
            rows = [(labels, list(counts), self.sums[labels]) for labels, counts in self.counts.items()]
        name = _name(self.name)
        for labels, counts, total in rows:
            below = 0
            for bound, count in zip((*map(_number, self.bounds), "+Inf"), counts, strict=True):
                below += count
                yield f"{name}_bucket{_labels((*self.labels, 'le'), (*labels, bound))} {below}"
            yield f"{name}_sum{_labels(self.labels, labels)} {_number(total)}"
            yield f"{name}_count{_labels(self.labels, labels)} {below}"


class Metrics:
    """What a server counts."""

    def __init__(self) -> None:
        serving = "/tensorflow/serving/"
        self.requests = Counter(f"{serving}request_count", ("model_name", "status"))
        self.latency = Histogram(f"{serving}request_latency", ("model_name", "API", "entrypoint"))
        self.runtime = Histogram(f"{serving}runtime_latency", ("model_name", "API", "runtime"))
        self.warmup = Histogram(f"{serving}model_warmup_latency", ("model_path", "status"))
        self.examples = Counter(f"{serving}request_example_count_total", ("model",))
        self.example_counts = Histogram(
            f"{serving}request_example_counts", ("model",), tuple(2.0**power for power in range(20))
        )
        self.batch_size = Histogram("/kerazoo/batch_size", ("model_name",), tuple(2.0**power for power in range(11)))

    def text(self) -> str:
        """Everything that was ever observed, in Prometheus' text format."""
        lines = []
        for metric in vars(self).values():
            if rows := list(metric.lines()):
                lines += [f"# TYPE {_name(metric.name)} {metric.kind}", *rows]
        return "\n".join(lines) + "\n" if lines else ""


def _name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", ":", name)


def _labels(names: Labels, values: Labels) -> str:
    if not names:
        return ""
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for value in values)
    return "{" + ",".join(f'{name}="{printable(value)}"' for name, value in zip(names, escaped, strict=True)) + "}"


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
