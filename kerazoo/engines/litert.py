"""The `litert` engine: LiteRT (TFLite) over one file with one signature a part."""

from __future__ import annotations

import contextlib
import os
import queue
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerazoo import seal
from kerazoo.contract import Network, Tensors
from kerazoo.engines.adapter import adapted
from kerazoo.engines.card import Card, of_archive
from kerazoo.engines.quiet import quiet
from kerazoo.engines.rows import rows
from kerazoo.errors import UsageError
from kerazoo.ops import numpy as ops

AT_ONCE = os.cpu_count() or 1
"""Most interpreters of one network: more could not run side by side."""


@dataclass(frozen=True)
class Opened:
    """One interpreter and its signature runners, which only one thread may use at a time."""

    interpreter: Any
    runners: Mapping[str, Any]


@dataclass(frozen=True)
class Interpreters:
    """Interpreters of one file, each handed to one thread at a time: an interpreter is not safe from two.

    They are made as threads come; the first shows that the file can be opened.
    """

    path: Path
    threads: int
    signatures: bool = True
    """Whether runs go by signature: a signature's runner bars the interpreter from running by its tensors."""
    free: queue.LifoQueue[Opened | None] = field(default_factory=queue.LifoQueue)

    def __post_init__(self) -> None:
        for _ in range(AT_ONCE - 1):
            self.free.put(None)  # One that is not made yet.
        self.free.put(_opened(self.path, self.threads, self.signatures))

    @contextlib.contextmanager
    def taken(self) -> Iterator[Opened]:
        """An interpreter of one's own for a while; waits where all are taken."""
        opened = self.free.get()
        try:
            if opened is None:
                opened = _opened(self.path, self.threads, self.signatures)
            yield opened
        finally:
            self.free.put(opened)


def _opened(path: Path, threads: int, signatures: bool) -> Opened:
    with quiet():
        from ai_edge_litert.interpreter import Interpreter

        try:
            interpreter = Interpreter(str(path), num_threads=threads)
            interpreter.allocate_tensors()
            names = interpreter.get_signature_list() if signatures else ()
            runners = {name: interpreter.get_signature_runner(name) for name in names}
        except (ValueError, RuntimeError) as error:
            raise UsageError(f"{path} cannot be opened as a LiteRT model: {str(error).splitlines()[0]}") from None
    return Opened(interpreter, runners)


@dataclass(frozen=True)
class LiteRTNetwork:
    """The signatures of a file by part name.

    A batched model's file takes one row: bigger batches run row by row, which costs a CPU nothing.
    """

    interpreters: Interpreters
    row_by_row: bool
    here: str = "network"
    ops: Any = ops

    def __call__(self, inputs: Tensors) -> Tensors:
        with self.interpreters.taken() as opened:
            run = opened.runners[self.here]
            return rows(run, inputs) if self.row_by_row else run(**inputs)

    def part(self, name: str) -> LiteRTNetwork:
        return LiteRTNetwork(self.interpreters, self.row_by_row, name)


@dataclass(frozen=True)
class TensorNetwork:
    """A file that need not have signatures, by the names of its tensors."""

    interpreters: Interpreters
    ops: Any = ops

    def __call__(self, inputs: Tensors) -> Tensors:
        with self.interpreters.taken() as opened:
            interpreter = opened.interpreter
            takes = {each["name"]: each for each in interpreter.get_input_details()}
            gives = {each["name"]: each["index"] for each in interpreter.get_output_details()}

            def run(**row: Any) -> Mapping[str, Any]:
                for name, value in row.items():
                    if tuple(takes[name]["shape"]) != value.shape:  # Its size is free; it stays as it is set.
                        interpreter.resize_tensor_input(takes[name]["index"], value.shape)
                        interpreter.allocate_tensors()
                    interpreter.set_tensor(takes[name]["index"], value)
                interpreter.invoke()
                return {name: interpreter.get_tensor(index) for name, index in gives.items()}

            return rows(run, inputs)

    def part(self, name: str) -> TensorNetwork:
        return self


def open_network(path: Path, threads: int | None = None) -> tuple[Network, Card]:
    """Opens a model that carries a card.

    Args:
        path: A .tflite file.
        threads: Within one run; the machine's cores by default.

    Raises:
        UsageError: It is not a LiteRT model, or has no card.
    """
    card = of_archive(path)
    seal.check_file(path)
    interpreters = Interpreters(path, threads or AT_ONCE, signatures=card.adapter is None)
    if card.adapter is not None:
        return adapted(TensorNetwork(interpreters), card.adapter, card.parts, card.normalise), card
    return LiteRTNetwork(interpreters, card.task.batched), card
