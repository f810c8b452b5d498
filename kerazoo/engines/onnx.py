"""The `onnx` engine: onnxruntime over one file, or over a folder with one file a part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerazoo import seal
from kerazoo.contract import Network, Tensors
from kerazoo.engines import card as card_
from kerazoo.engines import safety
from kerazoo.engines.adapter import adapted
from kerazoo.engines.card import KEY, Card
from kerazoo.engines.rows import rows
from kerazoo.errors import UsageError
from kerazoo.ops import numpy as ops


@dataclass(frozen=True)
class OnnxNetwork:
    """ONNX sessions by part name; a single net has the one part `network`. Sessions run for many threads at once.

    Attributes:
        one_row: Whether a batched model's file takes one row at a time.
    """

    sessions: dict[str, Any]
    here: str = "network"
    one_row: bool = False
    ops: Any = ops

    def __call__(self, inputs: Tensors) -> Tensors:
        session = self.sessions[self.here]
        names = [output.name for output in session.get_outputs()]

        def run(**given: Any) -> Tensors:
            return dict(zip(names, session.run(names, given), strict=True))

        return rows(run, inputs) if self.one_row else run(**inputs)

    def part(self, name: str) -> OnnxNetwork:
        return OnnxNetwork(self.sessions, name, self.one_row)


def open_sessions(path: Path, threads: int | None = None) -> dict[str, Any]:
    """The sessions of an .onnx file, or of a folder with `<part>.onnx` files.

    Raises:
        UsageError: It is not an ONNX model, or keeps tensors outside of its folder.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Its threads would go on spinning while the next picture is decoded, on the same cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if threads:
        options.intra_op_num_threads = threads
    files = {file.stem: file for file in sorted(path.glob("*.onnx"))} if path.is_dir() else {"network": path}
    if not files:
        raise UsageError(f"{path} holds no .onnx files.")
    for file in files.values():
        safety.check_onnx(file)
    try:
        return {
            name: onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
            for name, file in files.items()
        }
    except Exception as error:  # onnxruntime's exceptions share no base class but Exception.
        raise UsageError(f"{path} cannot be opened as an ONNX model: {str(error).splitlines()[0]}") from None


def open_network(path: Path, threads: int | None = None) -> tuple[Network, Card]:
    """Opens a model that carries a card.

    Args:
        path: An .onnx file, or a folder with `<part>.onnx` files.
        threads: Within one run; the machine's cores by default.

    Raises:
        UsageError: It is not an ONNX model, or has no card.
    """
    sessions = open_sessions(path, threads)
    first = next(iter(sessions.values()))
    metadata = first.get_modelmeta().custom_metadata_map
    if KEY not in metadata:
        raise card_.missing(path)
    for file in sorted(path.glob("*.onnx")) if path.is_dir() else (path,):
        seal.check_file(file)
    card = card_.loads(metadata[KEY], path, lambda name: metadata[f"{KEY}/{name}"].encode())
    if not path.is_dir():
        sessions = {card.part or next(iter(card.parts)): first}  # A single file is the only part, whatever its name.
    fixed = [each.shape for each in first.get_inputs() if each.shape]
    one_row = card.adapter is None and card.task.batched and bool(fixed) and all(shape[0] == 1 for shape in fixed)
    return adapted(OnnxNetwork(sessions, one_row=one_row), card.adapter, card.parts, card.normalise), card
