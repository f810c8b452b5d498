"""Models of characters: how little they expect a text."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from kerazoo import engines
from kerazoo.contract import Network
from kerazoo.errors import UsageError
from kerazoo.metrics.report import Asked, Figure, Report
from kerazoo.ops import numpy as ops
from kerazoo.predictor import Predictor
from kerazoo.sources import texts
from kerazoo.tasks.write import PART, Write

FIGURES = {
    "nats a character": Figure("", False, 0.02),
    "bits a character": Figure("", False, 0.03),
    "next character": Figure("%", True, 0.5),
}

CALLED = {"loss": ("nats a character", 1.0), "accuracy": ("next character", 100.0)}
"""What cards of trained models call a figure, and what it is multiplied with."""

TOGETHER = 512
"""Characters that a Keras model reads at once; what is exported reads one."""


def surprise(
    task: Write,
    network: Network,
    text: str,
    together: int = 1,
    progress: Callable[[int, int], Any] = lambda done, of: None,
) -> tuple[np.ndarray, np.ndarray]:
    """How little a model expects a text: nats of each character, all those before it given.

    The text is read once from its beginning to its end, the state carried; the first character stands behind a line
    break.

    Args:
        task: What the model does.
        network: Whose part `step` it calls.
        text: Any length.
        together: Characters that the part reads at once.
        progress: Is told how many are done, and of how many.

    Returns:
        Nats float64 [n], and whether each was the likeliest, bool [n].
    """
    part, numbers = network.part(PART), np.append(np.int32(task.input.line), task.input.numbers(text))
    states: dict[str, Any] = {port.name: ops.full((1, *port.shape[1:]), 0, port.dtype) for port in task.states}
    nats, hits = [], []
    for start in range(0, len(text), together):
        read = numbers[start : min(start + together, len(text))]
        out = part({"token": read[None], **states})
        states = {name: out[f"next_{name}"] for name in states}
        told = ops.log_softmax(np.asarray(out["logits"][0], np.float64))
        right = numbers[start + 1 : start + 1 + len(read)]
        nats.append(-told[np.arange(len(read)), right])
        hits.append(told.argmax(-1) == right)
        if start // 1000 != (start + together) // 1000:
            progress(start, len(text))
    return np.concatenate(nats), np.concatenate(hits)


def measure(predictor: Predictor, asked: Asked) -> Report:
    """Of a model that writes, on plain text; see `kerazoo.sources.texts.plain`.

    Characters that the model does not know count as the one that stands for all of them.

    Raises:
        UsageError: There is no text, or the engine hides the network's step.
    """
    task: Any = predictor.task
    if predictor.network is None:
        raise UsageError(
            f"{predictor.name} runs on {predictor.engine}, which hides the step of its network.\n"
            "Measure it on another: --engine onnx, litert or keras."
        )
    text, begun = texts.plain(asked.source, asked.only), time.perf_counter()
    together = TOGETHER if predictor.engine == engines.KERAS else 1
    nats, hits = surprise(task, predictor.network, text, together, asked.progress)
    figures = {
        "nats a character": float(np.mean(nats)),
        "bits a character": float(np.mean(nats) / np.log(2)),
        "next character": 100 * float(np.mean(hits)),
    }
    details = {"unknown characters": int(np.sum(task.input.numbers(text) == 0))}
    return Report(figures, len(text), "characters", details=details, seconds=time.perf_counter() - begun)
