"""Integer files of a network that learned for them: its ranges are those of the file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo import formats, own
from kerazoo.engines import open_network
from kerazoo.errors import GateError
from kerazoo.export import convert, finish, verify
from kerazoo.export import golden as golden_
from kerazoo.formats import Format
from kerazoo.lazy import own_layers

PRECISION = "int8"

STEPS = 3
"""So many steps of its range an output may be off: integers round to the next one, layer after layer."""

LEVELS = 127
"""Of weights on either side of zero."""


def main(word: str) -> list[dict[str, Any]]:
    """Writes `NAME.int8.tflite` and `NAME.int8.onnx` beside a `.keras` file; what there is to say, and where each lies.

    A file of the same name is replaced, as the model itself is when a training goes on.
    """
    source = Path(word)
    built = own.find(word).build()
    goldens = golden_.goldens_of(built)
    card = replace(convert.card_of(built, goldens), precision=PRECISION)
    rows: list[dict[str, Any]] = []
    for form in formats.NETWORKS:
        target = source.with_name(f"{source.stem}{formats.find(form.name, PRECISION).suffix}")
        with tempfile.TemporaryDirectory(dir=source.parent, prefix=".kerazoo-") as folder:
            new = Path(folder) / form.file
            try:
                if form is formats.LITERT:
                    convert.litert(built, card, new, optimise=["DEFAULT"])
                else:
                    convert.onnx(built, card, new)
                    integers(new)
                    finish.onnx(new, card)
                worst = max(_verified(form, new, goldens, step(built.keras)).values(), default=0.0)
                os.replace(new, target)
                rows.append(
                    {"path": str(target), "said": f"{target}: {PRECISION}, differs from training by {worst:.2g}"}
                )
            except Exception as error:  # Each converter raises what it likes; the other must go on.
                reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                rows.append({"path": None, "said": f"{target.name} was not written: {reason}"})
    return rows


def step(model: Any) -> float:
    """How far apart the numbers are that a network can answer: the 255th part of its last range."""
    last = [layer for layer in model.layers if isinstance(layer, own_layers.FakeQuant)][-1]
    return (float(last.high) - float(last.low)) / 255


def _verified(form: Format, path: Path, goldens: Mapping[str, golden_.Golden], apart: float) -> dict[str, float]:
    """The network's gate, with the tolerance of integers.

    Raises:
        GateError: The file is not what was trained.
    """
    network, card = open_network(form.engine, path)
    found: dict[str, float] = {}
    for name in card.tasks:
        most = max(float(np.abs(array).max()) for call in goldens[name].calls for array in call.outputs.values())
        loose = replace(form, network=STEPS * apart / most)
        found |= verify.check_network(goldens[name], network, loose, path.name)
    return found


def integers(path: Path) -> None:
    """Stores the weights of an ONNX file's products as 8-bit integers; activations have their ranges already.

    Raises:
        GateError: A product's weights are no numbers that are known.
    """
    import onnx
    from onnx import helper, numpy_helper

    proto = onnx.load(str(path))
    graph = proto.graph
    held = {each.name: each for each in graph.initializer}
    made = []
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in held:
            continue
        name = node.input[1]
        weights = numpy_helper.to_array(held[name])
        # Dense layers have one scale for all their outputs.
        whole, scale = _stored(weights, axis=0 if node.op_type == "Conv" else None)
        for suffix, array in (("int8", whole), ("scale", scale), ("zero", np.zeros(scale.shape, np.int8))):
            graph.initializer.append(numpy_helper.from_array(array, f"{name}/{suffix}"))
        parts = [f"{name}/{suffix}" for suffix in ("int8", "scale", "zero")]
        made.append(helper.make_node("DequantizeLinear", parts, [f"{name}/float"], f"{name}/dequantize", axis=0))
        node.input[1] = f"{name}/float"
        if sum(name in other.input for other in graph.node) == 0:
            graph.initializer.remove(held[name])
    if not made:
        raise GateError(f"{path.name} has no weights that could be stored as integers.")
    for node in reversed(made):
        graph.node.insert(0, node)
    path.write_bytes(proto.SerializeToString())


def _stored(weights: np.ndarray, axis: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Integers, and the scale of each output or of all: the very weights, where these lie on that grid."""
    others = None if axis is None else tuple(each for each in range(weights.ndim) if each != axis)
    scale = np.maximum(np.abs(weights).max(others, keepdims=axis is not None) / LEVELS, 1e-12).astype(np.float32)
    return np.rint(weights / scale).astype(np.int8), scale.reshape(-1) if axis is not None else np.asarray(scale)
