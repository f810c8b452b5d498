"""The `onnx` engine: onnxruntime over one file, or over a folder with one file a part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerazoo.contract import Tensors
from kerazoo.engines.card import KEY, Card, loads, missing
from kerazoo.errors import UsageError
from kerazoo.ops import numpy as ops


@dataclass(frozen=True)
class OnnxNetwork:
    """ONNX sessions by part name; a single net has the one part `network`."""

    sessions: dict[str, Any]
    here: str = "network"
    ops: Any = ops

    def __call__(self, inputs: Tensors) -> Tensors:
        session = self.sessions[self.here]
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    def part(self, name: str) -> OnnxNetwork:
        return OnnxNetwork(self.sessions, name)


def open_network(path: Path, threads: int | None = None) -> tuple[OnnxNetwork, Card]:
    """Opens an exported model.

    Args:
        path: An .onnx file, or a folder with `<part>.onnx` files.
        threads: Within one run; the machine's cores by default.

    Raises:
        UsageError: It is not an ONNX model, or not one that Kerazoo exported.
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
    try:
        sessions = {
            name: onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
            for name, file in files.items()
        }
    except Exception as error:  # onnxruntime's exceptions share no base class but Exception.
        raise UsageError(f"{path} cannot be opened as an ONNX model: {str(error).splitlines()[0]}") from None
    first = next(iter(sessions.values()))
    text = first.get_modelmeta().custom_metadata_map.get(KEY)
    if text is None:
        raise missing(path)
    card = loads(text, path)
    if not path.is_dir():
        sessions = {next(iter(card.task.parts)): first}  # A single file is the only part, whatever its name.
    return OnnxNetwork(sessions), card
