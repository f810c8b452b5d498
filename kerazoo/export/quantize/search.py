"""Which layers stay in floats, so that the answers agree as often as they should: measured, one after another."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.contract import Network, Task
from kerazoo.errors import GateError, KerazooError
from kerazoo.export import agreement
from kerazoo.export.quantize import calibrate, correct, equalise
from kerazoo.export.quantize.calibrate import Sample, Statistics
from kerazoo.export.quantize.graph import Graph, Layer, Range, Tool
from kerazoo.formats import Format
from kerazoo.progress import counting

JUDGED = 48
"""So many calibration items tell how much a layer hurts."""

SHARES = (0.95, 0.8)
"""Of the items whose activations ranges hold, tried beside all of them."""

TRIED = 3
"""Beside the neighbours of those that were taken, so many layers are tried at each step."""

PATIENCE = 6
"""After so many steps without a better agreement, nothing more is to be gained."""

RUN = 4
"""So many layers, one behind the other, are tried together: alone none of them may tell, since what lies between two
layers in floats need not be rounded, and what lies before one must."""


@dataclass(frozen=True)
class Try:
    """What was tried, with the error of the network's outputs on calibration items and the agreement on the others."""

    what: str
    error: float
    agreement: float


@dataclass(frozen=True)
class Report:
    """How an artefact was quantised.

    Attributes:
        precision: Of `kerazoo.formats`.
        measure: What agreement is, for people.
        agreement, wanted: On items that calibration did not see.
        calibrated, judged: How many items.
        floats: Layers that stay in floats, the worst first, with what each had cost: the share of the outputs' error
            that went with it.
        tried: In order.
    """

    precision: str
    measure: str
    agreement: float
    wanted: float
    calibrated: int
    judged: int
    floats: tuple[tuple[str, float], ...] = ()
    tried: tuple[Try, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Search:
    """The state of one: what is fixed, and what was measured so far."""

    tool: Tool
    form: Format
    task: Task
    parts: Sequence[str]
    folder: Path
    calibration: list[Sample]
    judging: list[Sample]
    wanted: float
    say: Callable[[str], Any]
    tried: list[Try] = field(default_factory=list)
    observed: list[tuple[Any, Statistics]] = field(default_factory=list)

    def run(self, model: Any, ranges: Mapping[str, Range] | None = None) -> tuple[Path, Report]:
        """The best file that could be made, and how.

        Args:
            model: What the tool read.
            ranges: Learned ones in the place of those that are seen.

        Raises:
            GateError: It cannot be written, or its answers agree too seldom.
        """
        first, *others = self._plans(model, ranges)
        made = first[1]
        best = self._measured(*first)
        for what, plan in others:
            path, tried = self._measured(what, plan)
            if tried.error < best[1].error:
                best, made = (path, tried), plan
        if self.form.calibrated and ranges is None:
            seen = self._seen(self.tool.graph(made.model), made.model)
            for share in SHARES:
                plan = dataclasses.replace(made, ranges=seen.ranges(share))
                path, tried = self._measured(f"ranges of {share:.0%} of the items", plan)
                if tried.error < best[1].error:
                    best, made = (path, tried), plan
        graph = self.tool.graph(made.model)
        path, tried = best
        floats: list[tuple[str, float]] = []
        if tried.agreement < self.wanted and graph.layers:
            path, tried, floats = self._searched(made, graph, path, tried)
        report = Report(
            self.form.precision, agreement.measure(self.task).name, tried.agreement, self.wanted,
            len(self.calibration), len(self.judging), tuple(floats), tuple(self.tried),
        )  # fmt: skip
        if tried.agreement < self.wanted:
            curve = "; ".join(f"{each.what} {each.agreement:.3f}" for each in self.tried)
            raise GateError(
                f"{self.form.name} agrees with floats by {tried.agreement:.3f} ({report.measure}) on\n"
                f"{report.judged} items that calibration did not see; {self.wanted:g} is wanted. Tried: {curve}.\n"
                "More and better calibration items, a lower --min-agreement or another precision may do."
            )
        return path, report

    def _plans(self, model: Any, learned: Mapping[str, Range] | None) -> list[tuple[str, Candidate]]:
        graph = self.tool.graph(model)
        before = frozenset(step.name for step in graph.before_layers())
        if not self.form.calibrated:
            return [("as it is", Candidate(before, {}, {}, model))]
        seen = self._seen(graph, model)
        if learned is not None:
            return [("learned ranges", Candidate(before, {**seen.ranges(), **learned}, {}, model))]
        plans = [("as it is", Candidate(before, seen.ranges(), {}, model))]
        plans.append(("biases corrected", Candidate(before, seen.ranges(), corrections(graph, seen), model)))
        changed = equalise.equalised(graph, seen.highest)
        if changed:
            even = self.tool.with_constants(model, changed)
            graph = self.tool.graph(even)
            seen = self._seen(graph, even)
            corrected = Candidate(before, seen.ranges(), corrections(graph, seen), even)
            plans.append(("ranges equalised, biases corrected", corrected))
        return plans

    def _seen(self, graph: Graph, model: Any) -> Statistics:
        """What the calibration items do within a model; of each model asked once, since that takes long."""
        for one, seen in self.observed:
            if one is model:
                return seen
        calls = [call for sample in self.calibration for call in sample.calls]
        self.observed.append((model, calibrate.statistics(graph, self.tool.observe(model, calls, self.task.batched))))
        return self.observed[-1][1]

    def _measured(self, what: str, plan: Candidate) -> tuple[Path, Try]:
        path, network = self._made(plan)
        with self._refusing():
            error = self._error(network)
            tried = Try(what, error, self._agreement(network))
        self.tried.append(tried)
        self.say(f"{what}: {agreement.measure(self.task).shown(tried.agreement)}, error of the outputs {error:.2g}")
        return path, tried

    def _made(self, plan: Candidate) -> tuple[Path, Network]:
        path = self.folder / f"{len(os.listdir(self.folder))}-{self.form.file}"
        kept = {name: value for layer, (name, value) in plan.corrections.items() if layer not in plan.floats}
        model = self.tool.with_constants(plan.model, kept) if kept else plan.model
        with self._refusing():
            self.tool.write(model, plan.ranges, plan.floats, self.form.precision, path)
            return path, self.tool.network(path, self.parts, self.task.batched)

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        """What a tool or a runtime says against a file is why there is none; they raise what they like."""
        try:
            yield
        except KerazooError:
            raise
        except Exception as error:
            why = str(error).strip().splitlines()
            raise GateError(
                f"{self.form.name} cannot be made: {why[-1][:300] if why else type(error).__name__}"
            ) from error

    def _error(self, network: Network) -> float:
        """Squares of the differences of the network's outputs from those in floats, over those from their mean."""
        apart = whole = 0.0
        step = max(len(self.calibration) // JUDGED, 1)
        for sample in self.calibration[::step]:
            for call in sample.calls:
                found = network.part(call.part)(call.inputs)
                for name, expected in call.outputs.items():
                    if expected.dtype.kind == "f":
                        apart += float(np.square(found[name] - expected, dtype=np.float64).mean())
                        whole += float(np.var(expected, dtype=np.float64))
        return apart / max(whole, 1e-30)

    def _agreement(self, network: Network) -> float:
        return agreement.between(self.task, network, [(each.request, each.response) for each in self.judging])

    def _searched(
        self, plan: Candidate, graph: Graph, path: Path, first: Try
    ) -> tuple[Path, Try, list[tuple[str, float]]]:
        """Layer after layer goes back to floats: each time the one whose going takes most of the error away.

        The first are those of the run that hurts most.
        """
        self.say(f"{self.wanted:g} is wanted: looking for the layers that hurt most ...")
        names = [layer.name for layer in graph.layers]
        runs = _runs(names)
        without: dict[tuple[str, ...], float] = {}
        with counting("layers left in floats, to see what each costs", len(names) + len(runs)) as done:
            for some in (*((name,) for name in names), *runs):
                without[some] = self._without(plan, *some)
                done(len(without))
        alone = {name: without[name,] for name in names}
        waiting = sorted(alone, key=lambda name: alone[name])
        run = [*min(runs, key=lambda some: without[some])] if runs else []
        taken: list[tuple[str, float]] = []
        taken_names: list[str] = []
        best = path, first, list(taken)
        error, since = first.error, 0
        while waiting and since < PATIENCE:
            floats = set(taken_names)
            near = {name for name in neighbours(graph, floats) if name in waiting}
            candidates = run or list(dict.fromkeys([*waiting[:TRIED], *sorted(near, key=waiting.index)]))
            errors = {name: self._without(plan, name) if taken else alone[name] for name in candidates}
            name = min(errors, key=lambda each: errors[each])
            waiting.remove(name)
            run = [each for each in run if each != name]
            shown = _named(graph, name).output
            taken_names.append(name)
            taken.append((shown, max(error - errors[name], 0.0) / max(first.error, 1e-30)))
            error = errors[name]
            plan = plan.sparing(name)
            path, tried = self._measured(f"{short(shown)} in floats", plan)
            since = 0 if tried.agreement > best[1].agreement else since + 1
            if tried.agreement > best[1].agreement:
                best = path, tried, list(taken)
            if tried.agreement >= self.wanted:
                break
        return best

    def _without(self, plan: Candidate, *names: str) -> float:
        path, network = self._made(plan.sparing(*names))
        return self._error(network)


@dataclass(frozen=True)
class Candidate:
    """One way to quantise.

    Attributes:
        floats: Names of layers and steps that stay in floats.
        ranges: Of activations.
        corrections: Layer -> its bias' name and what it becomes, where the layer's weights are rounded.
        model: What the tool read, its weights perhaps equalised.
    """

    floats: frozenset[str]
    ranges: Mapping[str, Range]
    corrections: Mapping[str, tuple[str, np.ndarray]]
    model: Any

    def sparing(self, *names: str) -> Candidate:
        return dataclasses.replace(self, floats=self.floats.union(names))


def corrections(graph: Graph, seen: Statistics) -> dict[str, tuple[str, np.ndarray]]:
    """Of every layer that has a bias."""
    found = {layer.name: (layer.bias, correct.bias(graph, layer, seen.means)) for layer in graph.layers}
    return {name: (bias, value) for name, (bias, value) in found.items() if bias is not None and value is not None}


def _runs(names: list[str]) -> list[tuple[str, ...]]:
    """Those of `RUN` layers, one behind the other; none where there are hardly more."""
    starts = range(0, len(names) - RUN + 1, RUN // 2) if len(names) > RUN else ()
    return [tuple(names[start : start + RUN]) for start in starts]


def neighbours(graph: Graph, names: set[str]) -> set[str]:
    """Layers right before or after some: a tensor between two of them need not be rounded at all."""
    found = set()
    for layer in graph.layers:
        after = {each.name for each in _readers(graph, layer.output)}
        if layer.name in names:
            found |= after
        elif after & names:
            found.add(layer.name)
    return found - names


def _readers(graph: Graph, tensor: str) -> list[Layer]:
    found: list[Layer] = []
    for reader in graph.readers(tensor):
        if isinstance(reader, Layer):
            found.append(reader)
        else:
            found += [each for output in reader.outputs for each in _readers(graph, output)]
    return found


def _named(graph: Graph, name: str) -> Layer:
    return next(layer for layer in graph.layers if layer.name == name)


def short(name: str) -> str:
    """A layer's name for people: converters join the names of all that they fused."""
    first = name.split(";")[0].split("/")
    return first[-2] if len(first) > 1 else first[0]
