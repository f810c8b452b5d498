"""LiteRT files: read with the format's own schema, quantised by ai-edge-quantizer."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo import packages
from kerazoo.contract import Network
from kerazoo.engines.litert import AT_ONCE, Interpreters, LiteRTNetwork
from kerazoo.engines.quiet import quiet
from kerazoo.export.flatbuffer import packed, unpacked
from kerazoo.export.golden import Call
from kerazoo.export.quantize.graph import Constants, Graph, Layer, Range, Step

PACKAGE = "ai_edge_quantizer"
LAYERS = {"CONV_2D": (0, 1, 2, 3), "DEPTHWISE_CONV_2D": (3, 1, 2, 0), "FULLY_CONNECTED": (0, 1)}
"""Operation -> axes of its weights, as [outputs, height, width, inputs]."""

PASSES = ("PAD", "MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN", "SQUEEZE", "RESHAPE", "RELU", "RELU6")
BOUNDS = {"RELU": float("inf"), "RELU_N1_TO_1": None, "RELU6": 6.0, "NONE": float("inf")}
"""Activation -> where it ends above; `None` where it does not scale with its input, as all that are not here."""


@dataclass(frozen=True)
class Model:
    """The bytes of a file without what ends it, and their meaning."""

    data: bytes
    schema: Any


def read(path: Path) -> Model:
    data = path.read_bytes()
    with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        first = min((each.header_offset for each in archive.infolist()), default=len(data))
        data = data[:first]
    return Model(data, unpacked(data))


def _names(kinds: Any) -> dict[int, str]:
    return {value: name for name, value in vars(kinds).items() if not name.startswith("_")}


def graph(model: Model) -> Graph:
    from ai_edge_litert import schema_py_generated as schema

    codes, activations = _names(schema.BuiltinOperator), _names(schema.ActivationFunctionType)
    layers, steps, results = [], [], set()
    constants: dict[str, np.ndarray] = {}
    read_by: dict[str, int] = {}
    for net in model.schema.subgraphs:
        names = [tensor.name.decode() for tensor in net.tensors]
        results |= {names[index] for index in net.outputs}
        for op in net.operators:
            code = model.schema.operatorCodes[op.opcodeIndex]
            kind = codes.get(max(code.builtinCode, code.deprecatedBuiltinCode), "")
            takes, gives = [i for i in op.inputs if i >= 0], [names[i] for i in op.outputs]
            held = [i for i in takes if _constant(model, net.tensors[i])]
            for index in held:
                read_by[names[index]] = read_by.get(names[index], 0) + 1
            ends = activations.get(getattr(op.builtinOptions, "fusedActivationFunction", 0), "")
            name = _scope(gives)
            kernel = _held(model, net.tensors[takes[1]]) if kind in LAYERS and takes[0] not in held else None
            if kernel is not None:
                weight, bias = names[takes[1]], names[takes[2]] if len(takes) > 2 and takes[2] in held else None
                constants[weight] = kernel.transpose(LAYERS[kind])
                offsets = None if bias is None else _held(model, net.tensors[takes[2]])
                if bias is not None and offsets is not None:
                    constants[bias] = offsets
                bound = BOUNDS.get(ends)
                layers.append(
                    Layer(name, weight, bias, names[takes[0]], gives[0], kind.startswith("DEPTHWISE"),
                          float("inf") if bound is None else bound, bound is not None)
                )  # fmt: skip
            else:
                passes = kind in PASSES and len([i for i in takes if i not in held]) == 1
                moves = tuple(names[i] for i in takes if i not in held)
                joins = (
                    kind == "CONCATENATION" and getattr(op.builtinOptions, "axis", None) in (3, -1) and ends == "NONE"
                )
                bound_ = 6.0 if kind == "RELU6" else float("inf")
                steps.append(Step(name, moves, tuple(gives), passes, bound_, joins))
    shared = frozenset(name for name, count in read_by.items() if count > 1)
    return Graph(tuple(layers), tuple(steps), constants, frozenset(results), shared)


def _scope(outputs: list[str]) -> str:
    return outputs[0] if outputs else ""


def _held(model: Model, tensor: Any) -> np.ndarray | None:
    """The numbers of a constant; `None` of what is none, or no floats."""
    if tensor.type != 0 or not _constant(model, tensor):
        return None
    return np.frombuffer(bytes(model.schema.buffers[tensor.buffer].data), np.float32).reshape(tensor.shape)


def _constant(model: Model, tensor: Any) -> bool:
    data = model.schema.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def with_constants(model: Model, changed: Constants) -> Model:
    from ai_edge_litert import schema_py_generated as schema

    new = unpacked(model.data)
    codes = _names(schema.BuiltinOperator)
    axes = {}
    for net in new.subgraphs:
        for op in net.operators:
            code = new.operatorCodes[op.opcodeIndex]
            kind = codes.get(max(code.builtinCode, code.deprecatedBuiltinCode), "")
            if kind in LAYERS:
                axes[net.tensors[op.inputs[1]].name.decode()] = np.argsort(LAYERS[kind])
        for tensor in net.tensors:
            name = tensor.name.decode()
            if name in changed:
                value = changed[name]
                value = value.transpose(axes[name]) if name in axes else value
                new.buffers[tensor.buffer].data = np.frombuffer(value.astype(np.float32).tobytes(), np.uint8)
    data = packed(new)
    return Model(data, new)


def observe(model: Model, calls: Iterable[Call], batched: bool = True) -> Iterator[Mapping[str, np.ndarray]]:
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=model.data, experimental_preserve_all_tensors=True)
        interpreter.allocate_tensors()
        runners = {part: interpreter.get_signature_runner(part) for part in interpreter.get_signature_list()}
    floats = {
        part: [
            (index, tensor.name.decode())
            for index, tensor in enumerate(model.schema.subgraphs[runner._subgraph_index].tensors)
            if tensor.type == 0 and not _constant(model, tensor)
        ]
        for part, runner in runners.items()
    }
    for call in calls:
        runner = runners[call.part]
        count = len(next(iter(call.inputs.values())))
        for row in [slice(row, row + 1) for row in range(count)] if batched else [slice(None)]:
            runner(**{name: value[row] for name, value in call.inputs.items()})
            seen = {}
            for index, name in floats[call.part]:
                with contextlib.suppress(ValueError):  # Never computed: a delegate went another way.
                    seen[name] = interpreter.get_tensor(index, runner._subgraph_index)
            yield seen


def write(model: Model, ranges: Mapping[str, Range], floats: frozenset[str], precision: str, path: Path) -> None:
    packages.needed(PACKAGE)
    with warnings.catch_warnings(), quiet(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        from ai_edge_quantizer import qtyping, quantizer
        from ai_edge_quantizer.algorithm_manager import AlgorithmName

        every, no = qtyping.TFLOperationName.ALL_SUPPORTED, AlgorithmName.NO_QUANTIZE
        tool = quantizer.Quantizer(model.data)
        if precision == "fp16":
            config = qtyping.OpQuantizationConfig(
                weight_tensor_config=qtyping.TensorQuantizationConfig(16, dtype=qtyping.TensorDataType.FLOAT),
                compute_precision=qtyping.ComputePrecision.FLOAT,
            )
            tool.update_quantization_recipe(".*", every, config, AlgorithmName.FLOAT_CASTING)
        elif precision == "dynamic":
            tool.add_dynamic_config(".*", every, 8)
        else:
            tool.add_static_config(".*", every, 16 if precision == "int16x8" else 8, 8)
            for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
                tool.update_quantization_recipe(".*", end, algorithm_key=no)
        for name in sorted(floats):
            tool.update_quantization_recipe(f"^{re.escape(name)};?$", every, algorithm_key=no)
        shapes = {t.name.decode(): len(t.shape) for net in model.schema.subgraphs for t in net.tensors}
        seen = {
            name: {
                side: np.full((1,) * shapes[name], value, np.float32)
                for side, value in zip(("min", "max"), bounds, strict=True)
            }
            for name, bounds in ranges.items()
        }
        path.write_bytes(bytes(tool.quantize(seen or None, enable_progress_report=False).quantized_model))


def network(path: Path, parts: Sequence[str], batched: bool) -> Network:
    return LiteRTNetwork(Interpreters(path, AT_ONCE), batched)
