"""ONNX files: quantised by onnxruntime's own tools, as pairs of QuantizeLinear and DequantizeLinear (QDQ).

A model in several parts is a folder of files; names then begin with the part.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.contract import Network
from kerazoo.engines.onnx import OnnxNetwork, open_sessions
from kerazoo.engines.quiet import quiet
from kerazoo.export.golden import Call
from kerazoo.export.quantize.graph import Constants, Graph, Layer, Range, Step

PACKAGE = "onnxruntime"
PASSES = ("Relu", "MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "Squeeze", "Flatten", "Reshape", "Clip")
ROUNDABLE = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True)
class Model:
    """The graphs of a file, or of a folder of parts, simplified: batch norms and biases are in their convolutions."""

    protos: Mapping[str, Any]
    folder: bool


def read(path: Path) -> Model:
    files = {file.stem: file for file in sorted(path.glob("*.onnx"))} if path.is_dir() else {"": path}
    return Model({part: _simplified(file) for part, file in files.items()}, path.is_dir())


def _simplified(path: Path) -> Any:
    import onnx

    with _silent(), tempfile.TemporaryDirectory() as folder:
        from onnxruntime.quantization.shape_inference import quant_pre_process

        simple = Path(folder) / "simple.onnx"
        quant_pre_process(str(path), str(simple), skip_symbolic_shape=True)
        return onnx.load(str(simple))


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """onnxruntime's tools give advice through the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), quiet():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)


def _full(part: str, name: str) -> str:
    return f"{part}/{name}" if part else name


def graph(model: Model) -> Graph:
    layers, steps, results = [], [], set()
    constants: dict[str, np.ndarray] = {}
    read_by: dict[str, int] = {}
    for part, proto in model.protos.items():
        held = _held(proto)
        results |= {_full(part, output.name) for output in proto.graph.output}
        for node in proto.graph.node:
            for name in node.input:
                if name in held:
                    read_by[_full(part, name)] = read_by.get(_full(part, name), 0) + 1
            axes = _axes(node, held)
            if axes is None:
                moves = tuple(_full(part, name) for name in node.input if name and name not in held)
                steps.append(_step(node, part, moves, held))
                continue
            weight, bias = node.input[1], node.input[2] if len(node.input) > 2 and node.input[2] in held else None
            constants[_full(part, weight)] = held[weight].transpose(axes)
            if bias is not None:
                constants[_full(part, bias)] = held[bias]
            bias = None if bias is None else _full(part, bias)
            name, takes, gives = (_full(part, each) for each in (node.name, node.input[0], node.output[0]))
            layers.append(Layer(name, _full(part, weight), bias, takes, gives, _attribute(node, "group", 1) > 1))
    shared = frozenset(name for name, count in read_by.items() if count > 1)
    return Graph(tuple(layers), tuple(steps), constants, frozenset(results), shared)


def _step(node: Any, part: str, moves: tuple[str, ...], held: Mapping[str, np.ndarray]) -> Step:
    passes, bound = node.op_type in PASSES and len(moves) == 1, float("inf")
    if node.op_type == "Clip":
        low, high = (held.get(name) for name in (*node.input[1:], "", "")[:2])
        passes = passes and low is not None and float(low) == 0.0
        bound = bound if high is None else float(high)
    joins = node.op_type == "Concat" and _attribute(node, "axis", 0) == 1
    return Step(_full(part, node.name), moves, tuple(_full(part, name) for name in node.output), passes, bound, joins)


def _axes(node: Any, held: Mapping[str, np.ndarray]) -> tuple[int, ...] | None:
    """The axes of a layer's weights, as [outputs, height, width, inputs]; `None` where there are none to round."""
    if node.op_type not in ROUNDABLE or node.input[0] in held or len(node.input) < 2 or node.input[1] not in held:
        return None
    shape, groups = held[node.input[1]].shape, _attribute(node, "group", 1)
    if node.op_type == "Conv":
        return (0, 2, 3, 1) if len(shape) == 4 and (groups == 1 or shape[1] == 1) else None
    if len(shape) != 2 or _attribute(node, "transA", 0):
        return None
    return (0, 1) if _attribute(node, "transB", 0) else (1, 0)


def _attribute(node: Any, name: str, default: int) -> int:
    return next((each.i for each in node.attribute if each.name == name), default)


def _held(proto: Any) -> dict[str, np.ndarray]:
    from onnx import numpy_helper

    return {each.name: numpy_helper.to_array(each) for each in proto.graph.initializer}


def with_constants(model: Model, changed: Constants) -> Model:
    import onnx
    from onnx import numpy_helper

    made = {}
    for part, proto in model.protos.items():
        new = onnx.ModelProto()
        new.CopyFrom(proto)
        held = _held(new)
        back = {node.input[1]: np.argsort(axes) for node in new.graph.node if (axes := _axes(node, held)) is not None}
        for tensor in new.graph.initializer:
            value = changed.get(_full(part, tensor.name))
            if value is not None:
                value = np.ascontiguousarray(value.transpose(back[tensor.name]) if tensor.name in back else value)
                tensor.CopyFrom(numpy_helper.from_array(value.astype(np.float32), tensor.name))
        made[part] = new
    return Model(made, model.folder)


def observe(model: Model, calls: Iterable[Call], batched: bool = True) -> Iterator[Mapping[str, np.ndarray]]:
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    sessions, first = {}, {}
    for part, proto in model.protos.items():
        shown = onnx.ModelProto()
        shown.CopyFrom(proto)
        known = {each.name for each in shown.graph.output}
        held = _held(proto)
        first[part] = {
            name
            for node in proto.graph.node
            if node.op_type == "Conv" and _axes(node, held) is not None
            for name in (node.input[0], node.output[0])
        }
        for value in onnx.shape_inference.infer_shapes(proto).graph.value_info:
            if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT and value.name not in known | set(held):
                shown.graph.output.add().CopyFrom(value)
        sessions[part] = onnxruntime.InferenceSession(
            shown.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    for call in calls:
        part = call.part if model.folder else ""
        session = sessions[part]
        names = [each.name for each in session.get_outputs()]
        seen = dict(zip(names, session.run(names, dict(call.inputs)), strict=True))
        seen |= {name: np.asarray(value) for name, value in call.inputs.items()}
        # Convolutions have their channels second here.
        yield {
            _full(part, name): value.transpose(0, 2, 3, 1) if name in first[part] and value.ndim == 4 else value
            for name, value in seen.items()
            if value.dtype == np.float32 and value.size
        }


def write(model: Model, ranges: Mapping[str, Range], floats: frozenset[str], precision: str, path: Path) -> None:
    if model.folder:
        path.mkdir(exist_ok=True)
    for part, proto in model.protos.items():
        own = {name: found for name in _tensors(proto) if (found := ranges.get(_full(part, name))) is not None}
        left = [node.name for node in proto.graph.node if _full(part, node.name) in floats]
        with _silent():
            made = _WRITERS[precision](proto, own, left)
        (path / f"{part}.onnx" if model.folder else path).write_bytes(made.SerializeToString())


def _tensors(proto: Any) -> list[str]:
    return [each.name for each in proto.graph.input] + [name for node in proto.graph.node for name in node.output]


def _copy(proto: Any) -> Any:
    import onnx

    new = onnx.ModelProto()
    new.CopyFrom(proto)
    return new


def _half(proto: Any, ranges: Mapping[str, Range], floats: Sequence[str]) -> Any:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    return convert_float_to_float16(_copy(proto), keep_io_types=True, node_block_list=list(floats))


def _dynamic(proto: Any, ranges: Mapping[str, Range], floats: Sequence[str]) -> Any:
    """Matrices are signed, one scale a column: processors multiply unsigned inputs by signed weights fastest.

    Convolutions on inputs that are rounded as they come have unsigned weights alone, one scale for all.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.registry import IntegerOpsRegistry

    made = _rounded(proto, QuantType.QInt8, sorted({*IntegerOpsRegistry} - {"Conv"}), floats)
    return _rounded(made, QuantType.QUInt8, ["Conv"], floats)


def _rounded(proto: Any, weights: Any, operations: Sequence[str], floats: Sequence[str]) -> Any:
    """With those operations in 8 bits, where there are any."""
    import onnx
    from onnxruntime.quantization import quantize_dynamic

    if not any(node.op_type in operations for node in proto.graph.node):
        return proto
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dynamic.onnx"
        quantize_dynamic(
            _copy(proto), path, list(operations), per_channel=True, weight_type=weights, nodes_to_exclude=list(floats)
        )
        return onnx.load(str(path))


def _static(proto: Any, ranges: Mapping[str, Range], floats: Sequence[str]) -> Any:
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorData, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    seen = {name: TensorData(lowest=np.float32(low), highest=np.float32(high)) for name, (low, high) in ranges.items()}
    quantizer = QDQQuantizer(
        _copy(proto), True, False, QuantType.QInt8, QuantType.QUInt8, TensorsData(CalibrationMethod.MinMax, seen),
        [], list(floats), list({*QLinearOpsRegistry, *QDQRegistry}), {},
    )  # fmt: skip
    quantizer.quantize_model()
    return quantizer.model.model


_WRITERS = {"fp16": _half, "dynamic": _dynamic, "int8": _static}


def network(path: Path, parts: Sequence[str], batched: bool) -> Network:
    sessions = open_sessions(path)
    return OnnxNetwork(sessions if path.is_dir() else {parts[0]: next(iter(sessions.values()))}, parts[0])
