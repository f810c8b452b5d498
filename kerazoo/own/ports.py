"""What a file that was made elsewhere takes and gives: its tensors by name, and the network that runs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo import engines, formats
from kerazoo.contract import Network, Tensors
from kerazoo.errors import UsageError, near
from kerazoo.own.files import SUFFIXES, load_keras


@dataclass(frozen=True)
class Held:
    """One tensor of a file.

    Attributes:
        name: What the file calls it.
        dtype: A NumPy name, or `string`.
        shape: The whole shape; `None` where any length fits, and altogether where not even the rank is known.
        scale, zero_point: Of a quantised tensor: the number is `scale * (held - zero_point)`; scale 0 where it is not.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None
    scale: float = 0.0
    zero_point: int = 0

    def __str__(self) -> str:
        sides = (
            ", ".join("?" if side is None else str(side) for side in self.shape) if self.shape is not None else "..."
        )
        quantised = f", quantised: {self.scale:.6g} * (x - {self.zero_point})" if self.scale else ""
        return f"{self.name!r} {self.dtype} [{sides}]{quantised}"

    @property
    def span(self) -> tuple[float, float] | None:
        """Least and largest number that it can hold; `None` for floats."""
        if np.dtype(self.dtype).kind not in "iu":
            return None
        limits, scale = np.iinfo(self.dtype), self.scale or 1.0
        return (limits.min - self.zero_point) * scale, (limits.max - self.zero_point) * scale


@dataclass(frozen=True)
class Opened:
    """A file on its engine.

    Attributes:
        engine: Of `kerazoo.engines.NAMES`.
        inputs, outputs: Its tensors.
        network: By the names of its tensors.
        part: What the file calls its network.
        model: The Keras model, where it is one.
    """

    engine: str
    inputs: tuple[Held, ...]
    outputs: tuple[Held, ...]
    network: Network
    part: str = "network"
    model: Any = None

    def lines(self) -> list[str]:
        """Its ports, for people."""
        return [*(f"input  {each}" for each in self.inputs), *(f"output {each}" for each in self.outputs)]


def engine_of(path: Path) -> str:
    """The engine that opens a file.

    Raises:
        UsageError: There is no such file, or it is of no known kind.
    """
    if not path.exists():
        raise UsageError(f"No such file: {path}")
    if path.suffix == SUFFIXES[0] and path.is_file():
        return engines.KERAS
    for form in formats.NETWORKS:
        if path.suffix == form.suffix and path.is_file():
            return form.engine
    if (path / "saved_model.pb").is_file():
        return formats.SAVED_MODEL.engine
    raise UsageError(
        f"{path} is no file of a model: cards are for .keras, .onnx and .tflite files and for SavedModel folders,\n"
        "which hold a saved_model.pb."
    )


def opened(path: Path, signature: str | None = None, trust: bool = False) -> Opened:
    """Opens a file on its engine.

    Args:
        signature: Of a SavedModel or a LiteRT file; `serving_default`, or the only one, if not given.
        trust: Whether a SavedModel's graph may reach files, the network and other code.

    Raises:
        UsageError: It cannot be opened, or has no such signature.
    """
    engine = engine_of(path)
    if signature is not None and engine != formats.SAVED_MODEL.engine:
        raise UsageError(f"{path} has no signatures to choose from; those of SavedModel folders are named.")
    if engine == formats.SAVED_MODEL.engine:
        return _saved_model(path, signature, trust)
    return _READERS[engine](path)


@dataclass(frozen=True)
class _KerasTensors:
    model: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ops: Any

    def __call__(self, inputs: Tensors) -> Tensors:
        given = [inputs[name] for name in self.inputs]
        answered = self.model(given if len(given) > 1 else given[0], training=False)
        values = list(answered.values()) if isinstance(answered, Mapping) else answered
        values = list(values) if isinstance(values, (list, tuple)) else [values]
        return {name: np.asarray(value) for name, value in zip(self.outputs, values, strict=True)}

    def part(self, name: str) -> _KerasTensors:
        return self


def _keras(path: Path) -> Opened:
    from kerazoo.ops import numpy as ops

    model = load_keras(path)
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        raise UsageError(
            f"{path} holds a {type(model).__name__} whose inputs are not known.\n"
            "Save a functional or sequential model: keras.Model(inputs, model(inputs))."
        )
    inputs = tuple(Held(each.name, str(each.dtype), tuple(each.shape)) for each in model.inputs)
    names = [str(name) for name in getattr(model, "output_names", ())]
    if len(set(names)) != len(model.outputs):
        names = [f"output_{index}" for index in range(len(model.outputs))]
    outputs = tuple(
        Held(name, str(each.dtype), tuple(each.shape)) for name, each in zip(names, model.outputs, strict=True)
    )
    network = _KerasTensors(model, tuple(each.name for each in inputs), tuple(names), ops)
    return Opened(engines.KERAS, inputs, outputs, network, model=model)


_ONNX_TYPES = {"float": "float32", "double": "float64"}


def _onnx(path: Path) -> Opened:
    from kerazoo.engines.onnx import OnnxNetwork, open_sessions

    sessions = open_sessions(path)
    (session,) = sessions.values()

    def held(each: Any) -> Held:
        kind = each.type.removeprefix("tensor(").removesuffix(")")
        shape = tuple(side if isinstance(side, int) and side > 0 else None for side in each.shape)
        return Held(each.name, _ONNX_TYPES.get(kind, kind), shape)

    inputs, outputs = (tuple(map(held, each)) for each in (session.get_inputs(), session.get_outputs()))
    return Opened(formats.ONNX.engine, inputs, outputs, OnnxNetwork(sessions))


def _litert(path: Path) -> Opened:
    from kerazoo.engines.litert import AT_ONCE, Interpreters, TensorNetwork

    interpreters = Interpreters(path, AT_ONCE, signatures=False)

    def held(each: Any) -> Held:
        free = [int(side) for side in each["shape_signature"]] or [int(side) for side in each["shape"]]
        scale, zero_point = each["quantization"]
        shape = tuple(None if side < 0 else side for side in free)
        return Held(each["name"], np.dtype(each["dtype"]).name, shape, float(scale), int(zero_point))

    with interpreters.taken() as one:
        details = one.interpreter.get_input_details(), one.interpreter.get_output_details()
    inputs, outputs = (tuple(map(held, each)) for each in details)
    return Opened(formats.LITERT.engine, inputs, outputs, TensorNetwork(interpreters))


_READERS: Mapping[str, Callable[[Path], Opened]] = {
    engines.KERAS: _keras,
    formats.ONNX.engine: _onnx,
    formats.LITERT.engine: _litert,
}


def _saved_model(path: Path, signature: str | None, trust: bool) -> Opened:
    from kerazoo.engines.savedmodel import SavedModelNetwork, open_saved_model

    loaded: Any = open_saved_model(path, trust)
    names = sorted(loaded.signatures)
    if not names:
        raise UsageError(
            f"{path} has no signature that could be asked.\n"
            "Save it with one: tf.saved_model.save(module, folder, signatures=module.__call__)."
        )
    if signature is None:
        signature = "serving_default" if "serving_default" in names else names[0]
        if len(names) > 1 and signature != "serving_default":
            raise UsageError(f"{path} has the signatures {', '.join(names)}: say which with --signature NAME.")
    if signature not in names:
        raise UsageError(f"{path} has no signature {signature!r}; it has {', '.join(names)}.{near(signature, names)}")
    function = loaded.signatures[signature]

    def held(name: str, spec: Any) -> Held:
        shape = None if spec.shape.rank is None else tuple(spec.shape.as_list())
        return Held(name, spec.dtype.name, shape)

    inputs = tuple(held(name, spec) for name, spec in function.structured_input_signature[1].items())
    outputs = tuple(held(name, spec) for name, spec in function.structured_outputs.items())
    return Opened(formats.SAVED_MODEL.engine, inputs, outputs, SavedModelNetwork(loaded).part(signature), signature)
