"""8 bits that stop at a target: artefacts whose answers agree with those in floats as often as they should.

Batch norms are folded and biases joined by the converters; then ranges are equalised across layers (`equalise`) and
biases corrected for what rounding adds (`correct`), both where it helps, and weights rounded with a scale for each
output by the format's own tool (`litert`, `onnx`). Where the answers still agree too seldom on items that calibration
did not see, the layers that hurt most stay in floats, one after another (`search`).

For others: `quantise` is the one way in. `kerazoo.export.agreement` measures how far two networks say the same. Ranges
that training learned come in by the Keras layer whose output they hold for: `kerazoo.export(model, to="litert",
precision="int8", ranges={"conv1_relu": (0.0, 5.3), ...})`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.contract import Task
from kerazoo.export.golden import Call
from kerazoo.export.quantize.calibrate import Sample, halves, samples
from kerazoo.export.quantize.graph import Range, Tool
from kerazoo.export.quantize.search import Report, Search
from kerazoo.formats import Format

__all__ = ["Report", "Sample", "quantise", "samples"]


def tool(form: Format) -> Tool:
    """The quantiser of a format: the module here that is called as its engine is."""
    return importlib.import_module(f"{__name__}.{form.engine}")


def quantise(
    path: Path,
    form: Format,
    task: Task,
    parts: Sequence[str],
    found: list[Sample],
    wanted: float,
    folder: Path,
    say: Callable[[str], Any] = lambda line: None,
    learned: Mapping[str, tuple[Range, np.ndarray]] | None = None,
    calls: Sequence[Call] = (),
) -> tuple[Path, Report]:
    """The artefact in floats at `path` as one of less precision, without a card.

    Args:
        form: A row of `kerazoo.formats` that is not in floats.
        parts: Names of the network's parts.
        found: Calibration items; half of them judge.
        wanted: The least agreement, in the task's measure.
        folder: An empty one for what is tried; the result lies in it, too.
        say: Is told, a line each, what was tried.
        learned: Ranges by Keras' layers, and what each layer's output is for the first of `calls`.
        calls: Of the golden, by which the tensors of those layers are found.

    Returns:
        Where it lies, and how it was made.

    Raises:
        GateError: It cannot be made, or does not reach the target.
    """
    own = tool(form)
    model = own.read(path)
    ranges = None if learned is None else matched(own, model, learned, calls)
    calibration, judging = halves(found)
    search = Search(own, form, task, parts, folder, calibration, judging, wanted, say)
    return search.run(model, ranges)


def matched(
    own: Tool, model: Any, learned: Mapping[str, tuple[Range, np.ndarray]], calls: Sequence[Call]
) -> dict[str, Range]:
    """Ranges by the names of the file's tensors: those that hold the same numbers as a layer's output in Keras."""
    found: dict[str, Range] = {}
    for seen in own.observe(model, calls[:1]):
        for name, value in seen.items():
            for bounds, expected in learned.values():
                if value.size == expected.size and np.allclose(
                    np.sort(value, axis=None), np.sort(expected, axis=None), atol=1e-3 * np.abs(expected).max()
                ):
                    found[name] = bounds
    return found
