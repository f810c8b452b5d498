"""The gate: an artefact is asked the golden on the engine that will run it, and compared with Keras, stage by stage."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from kerazoo.contract import Answer, Network, Task
from kerazoo.errors import GateError
from kerazoo.export.golden import Golden

NETWORK = {"onnx": 1e-4, "litert": 1e-3, "savedmodel": 1e-4}
"""Largest relative error of a network's outputs, by engine."""

ANSWER = {"onnx": 1e-3, "litert": 1e-2, "savedmodel": 0.02}
"""Largest relative error of an answer. The bundle resizes in its graph, whose rounding differs from Pillow's."""

GREY = {"onnx": 0.5, "litert": 0.5, "savedmodel": 2.0}
"""Largest mean difference of two pictures, in grey levels."""


def refuse_flat(golden: Golden, what: str) -> None:
    """Refuses a reference that any artefact would equal.

    Raises:
        GateError: A network output is not finite, or is the same everywhere.
    """
    for call in golden.calls:
        for name, tensor in call.outputs.items():
            if tensor.dtype.kind != "f":
                continue
            if not np.isfinite(tensor).all():
                raise GateError(f"{what}: the Keras model's own output {name!r} holds NaN or infinity.")
            if tensor.size > 1 and np.ptp(tensor) <= 1e-6 * np.abs(tensor).max():
                raise GateError(
                    f"{what}: the Keras model's output {name!r} is flat (all {tensor.flat[0]:.3g}), "
                    "so nothing can be compared. Are these trained weights?"
                )


def check_network(golden: Golden, network: Network, engine: str, what: str) -> dict[str, float]:
    """Replays the recorded calls; the largest relative error of each output.

    Raises:
        GateError: An output is missing, not finite, of another shape, or too far from Keras.
    """
    worst: dict[str, float] = {}
    for call in golden.calls:
        outputs = network.part(call.part)(call.inputs)
        for name, expected in call.outputs.items():
            if name not in outputs:
                raise GateError(f"{what}: the network has the outputs {sorted(outputs)}; {name!r} is missing.")
            error = relative_error(expected, np.asarray(outputs[name]), f"{what}: network output {name!r}")
            worst[name] = max(worst.get(name, 0.0), error)
            if error > NETWORK[engine]:
                raise GateError(
                    f"{what}: network output {name!r} differs from Keras by {error:.2g} "
                    f"({NETWORK[engine]:.0e} is allowed)."
                )
    return worst


def check_answer(golden: Golden, answer: Answer, engine: str, what: str) -> dict[str, float]:
    """Asks the golden request, from bytes to labels; the difference at each response port.

    Raises:
        GateError: The answer is not Keras'.
    """
    got = answer(golden.request)
    differences = compare(golden.response, got, what)
    for name, difference in differences.items():
        limit = GREY[engine] if name.endswith("_bytes") else 0.0 if name in ("label", "text") else ANSWER[engine]
        if difference > limit:
            raise GateError(
                f"{what}: the answer's {name!r} differs from Keras by {difference:.3g} ({limit} is allowed)."
            )
    return differences


def compare(expected: Mapping[str, Any], got: Mapping[str, Any], what: str) -> dict[str, float]:
    """The difference at each response port.

    Numbers: relative error. Pictures: mean grey levels. Text: share that differs. Ranked labels and scores are
    compared class by class, since neighbours of equal score may change places.
    """
    missing = sorted(set(expected) - set(got))
    if missing:
        raise GateError(f"{what}: the answer has no {', '.join(missing)}.")
    ranked = "index" in expected and np.ndim(expected["index"]) == 2
    out: dict[str, float] = {}
    for name, value in expected.items():
        theirs = got[name]
        if name.endswith("_bytes"):
            out[name] = _picture_difference(value, theirs, f"{what}: {name}")
        elif np.asarray(value).dtype.kind not in "fiu":
            if ranked:
                pairs = _shared(expected["index"], value, got["index"], theirs)
                out[name] = float(np.mean([a != b for a, b in pairs])) if pairs else 1.0
                continue
            a, b = np.asarray(value, object), np.asarray(theirs, object)
            out[name] = float(np.mean(a != b)) if a.shape == b.shape else 1.0
        elif ranked and name == "index":
            continue
        elif ranked:
            pairs = _shared(expected["index"], value, got["index"], theirs)
            # A class that one ranking does not hold has at most the least score that this ranking holds.
            pairs += _beyond(expected["index"], value, got["index"], theirs)
            pairs += _beyond(got["index"], theirs, expected["index"], value)
            out[name] = max(abs(float(a) - float(b)) for a, b in pairs) / float(np.max(value))
        else:
            out[name] = relative_error(np.asarray(value), np.asarray(theirs), f"{what}: {name}")
    return out


def _shared(index: Any, values: Any, other_index: Any, other_values: Any) -> list[tuple[Any, Any]]:
    """Both values of every class that both rankings hold."""
    mine, other = (
        {(row, int(i)): v[row][rank] for (row, rank), i in np.ndenumerate(np.asarray(ix))}
        for ix, v in ((index, values), (other_index, other_values))
    )
    return [(value, other[key]) for key, value in mine.items() if key in other]


def _beyond(index: Any, scores: Any, other_index: Any, other_scores: Any) -> list[tuple[Any, Any]]:
    """The score of every class that only the first ranking holds, and the least score of the other's row."""
    return [
        (scores[row][rank], min(scores[row][rank], np.min(other_scores[row])))
        for (row, rank), i in np.ndenumerate(np.asarray(index))
        if i not in other_index[row]
    ]


def _picture_difference(expected: Any, got: Any, what: str) -> float:
    worst = 0.0
    for a, b in zip(np.ravel(expected), np.ravel(got), strict=True):
        first, second = (np.asarray(Image.open(io.BytesIO(data)), np.float64) for data in (a, b))
        if first.shape != second.shape:
            raise GateError(f"{what}: the picture has the shape {second.shape}; Keras' has {first.shape}.")
        worst = max(worst, float(np.abs(first - second).mean()))
    return worst


def relative_error(expected: np.ndarray, got: np.ndarray, what: str) -> float:
    """Largest absolute difference over largest absolute expected value.

    Raises:
        GateError: Another shape, or NaN or infinity.
    """
    if expected.shape != got.shape:
        raise GateError(f"{what} has the shape {list(got.shape)}; Keras' has {list(expected.shape)}.")
    if expected.size == 0:
        return 0.0
    a, b = expected.astype(np.float64), got.astype(np.float64)
    if not np.isfinite(b).all():
        raise GateError(f"{what} holds NaN or infinity.")
    return float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-12))


def check(task: Task, golden: Golden, network: Network, engine: str, what: str) -> dict[str, float]:
    """Both gates of an engine that runs the network under the host's `answer`."""
    differences = check_network(golden, network, engine, what)
    return differences | check_answer(golden, lambda request: task.answer(network, request), engine, what)


def main(bundle: str, golden: str) -> dict[str, float]:
    """Checks a SavedModel in this process, which must hold TensorFlow."""
    from pathlib import Path

    from kerazoo.engines import savedmodel
    from kerazoo.export.golden import load

    path, expected = Path(bundle), load(golden)
    network, _ = savedmodel.open_network(path)
    differences = check_network(expected, network, "savedmodel", path.name)
    return differences | check_answer(expected, network.part("serving_default"), "savedmodel", path.name)
