"""The `litert` engine: LiteRT (TFLite) over one file with one signature a part."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.contract import Tensors
from kerazoo.engines.card import Card, of_litert
from kerazoo.engines.quiet import quiet
from kerazoo.errors import UsageError
from kerazoo.ops import numpy as ops


@dataclass(frozen=True)
class LiteRTNetwork:
    """Signature runners by part name.

    A batched model's file takes one row: bigger batches run row by row, which costs a CPU nothing.
    """

    runners: dict[str, Any]
    rowwise: bool
    here: str = "network"
    ops: Any = ops

    def __call__(self, inputs: Tensors) -> Tensors:
        runner = self.runners[self.here]
        rows = len(next(iter(inputs.values())))
        if not self.rowwise or rows == 1:
            return runner(**inputs)
        if rows == 0:
            raise UsageError("LiteRT runs one row at a time and was given none.")
        answers = [runner(**{name: array[i : i + 1] for name, array in inputs.items()}) for i in range(rows)]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    def part(self, name: str) -> LiteRTNetwork:
        return LiteRTNetwork(self.runners, self.rowwise, name)


def open_network(path: Path, threads: int | None = None) -> tuple[LiteRTNetwork, Card]:
    """Opens an exported model.

    Args:
        path: A .tflite file.
        threads: The machine's cores by default.

    Raises:
        UsageError: It is not a LiteRT model, or not one that Kerazoo exported.
    """
    card = of_litert(path)
    with quiet():
        from ai_edge_litert.interpreter import Interpreter

        try:
            interpreter = Interpreter(str(path), num_threads=threads or os.cpu_count())
            interpreter.allocate_tensors()
            runners = {name: interpreter.get_signature_runner(name) for name in interpreter.get_signature_list()}
        except (ValueError, RuntimeError) as error:
            raise UsageError(f"{path} cannot be opened as a LiteRT model: {str(error).splitlines()[0]}") from None
    return LiteRTNetwork(runners, card.task.batched), card
