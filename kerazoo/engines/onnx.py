"""The `onnx` engine: onnxruntime over one file, or over a folder with one file a part."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo import codecs, protobuf, seal
from kerazoo.contract import Network, Tensors
from kerazoo.engines import card as card_
from kerazoo.engines import safety
from kerazoo.engines.adapter import adapted
from kerazoo.engines.card import KEY, Card
from kerazoo.engines.rows import rows
from kerazoo.errors import UsageError, WeightsDamaged
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


def open_sessions(path: Path, threads: int | None = None, spinning: bool = False) -> dict[str, Any]:
    """The sessions of an .onnx file, or of a folder with `<part>.onnx` files.

    Args:
        threads: Within one run; the machine's cores by default.
        spinning: Whether they wait for the next run without sleeping, which they are quicker to begin then.

    Raises:
        UsageError: It is not an ONNX model, or keeps tensors outside of its folder.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Without VNNI, two products of an unsigned and a signed byte can be too large for their sum: slower, and right.
    options.add_session_config_entry("session.x64quantprecision", "1")
    if not spinning:
        options.add_session_config_entry("session.force_spinning_stop", "1")
    if threads:
        options.intra_op_num_threads = threads
    files = _files(path)
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
        WeightsDamaged: Its bytes are not those that were sealed.
    """
    files = _files(path)
    metadata = _metadata(next(iter(files.values())))
    if KEY not in metadata:
        open_sessions(path, threads)  # What is no ONNX model is said to be none.
        raise card_.missing(path)
    with ThreadPoolExecutor(1) as pool:  # Hashing takes about as long as opening.
        whole = pool.submit(_check, files.values())
        try:
            card = card_.loads(metadata[KEY], path, lambda name: metadata[f"{KEY}/{name}"])
            sessions = open_sessions(path, threads, spinning=_at_once(card))
        finally:
            whole.result()  # Damage explains whatever else went wrong.
    if not path.is_dir():
        # A single file is the only part, whatever its name.
        sessions = {card.part or next(iter(card.parts)): next(iter(sessions.values()))}
    fixed = [each.shape for each in next(iter(sessions.values())).get_inputs() if each.shape]
    one_row = card.adapter is None and card.task.batched and bool(fixed) and all(shape[0] == 1 for shape in fixed)
    return adapted(OnnxNetwork(sessions, one_row=one_row), card.adapter, card.parts, card.normalise), card


def _files(path: Path) -> dict[str, Path]:
    files = {file.stem: file for file in sorted(path.glob("*.onnx"))} if path.is_dir() else {"network": path}
    if not files:
        raise UsageError(f"{path} holds no .onnx files.")
    return files


def _check(files: Iterable[Path]) -> None:
    for file in files:
        seal.check_file(file)


def _at_once(card: Card) -> bool:
    """Whether a request is ready for the network as soon as it is there, as texts are.

    What comes in files is decoded first, on the cores on which threads would spin meanwhile.
    """
    return not any(codecs.of(port).SUFFIXES for port in card.task.request)


_METADATA, _KEY, _VALUE = 14, 1, 2
"""Numbers of fields: of `ModelProto`, and of `StringStringEntryProto`."""


def _metadata(path: Path) -> dict[str, bytes]:
    """A model's metadata, read without opening it; nothing of what is no model."""
    found: dict[str, bytes] = {}
    try:
        for *_, entry in protobuf.fields(np.memmap(path, np.uint8, "r").data, {_METADATA: protobuf.BYTES}):
            pair = {_KEY: b"", _VALUE: b""}
            for number, _, value in protobuf.fields(entry, dict.fromkeys(pair, protobuf.BYTES)):
                pair[number] = bytes(value)
            found[pair[_KEY].decode("utf-8", "replace")] = pair[_VALUE]
    except (OSError, ValueError, WeightsDamaged):
        return {}
    return found
