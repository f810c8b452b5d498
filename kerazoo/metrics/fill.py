"""Models that fill gaps: how little they expect the pieces that stood there."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from kerazoo.codecs._gaps import Lines
from kerazoo.errors import UsageError
from kerazoo.metrics.report import Asked, Figure, Report
from kerazoo.ops import numpy as ops
from kerazoo.predictor import Predictor
from kerazoo.sources import texts
from kerazoo.tasks.fill import Fill

FIGURES = {
    "nats a piece": Figure("", False, 0.02),
    "perplexity": Figure("", False, 0.5),
    "accuracy": Figure("%", True, 0.5),
}

CALLED = {"masked": ("nats a piece", 1.0), "perplexity": ("perplexity", 1.0), "accuracy": ("accuracy", 100.0)}
"""What cards of trained models call a figure, and what it is multiplied with."""

LENGTH = 128
"""Pieces of a row, or as many as the model reads."""

SEED = 0
TOGETHER = 8


def measure(predictor: Predictor, asked: Asked) -> Report:
    """Of a model that fills gaps, on plain text; see `kerazoo.sources.texts.plain` and `kerazoo.codecs._gaps`.

    Rows and gaps are those of training, drawn with a seed that is always the same.

    Raises:
        UsageError: There is no text, or the engine hides the network.
    """
    task: Any = predictor.task
    if predictor.network is None or not isinstance(task, Fill):
        raise UsageError(
            f"{predictor.name} runs on {predictor.engine}, which hides its network.\n"
            "Measure it on another: --engine onnx or keras."
        )
    part, begun = predictor.network.part(task.part), time.perf_counter()
    lines = Lines.of(task.input, texts.plain(asked.source, asked.only), min(LENGTH, task.input.length))
    nats, hits = [], []
    for start in range(0, len(lines), TOGETHER):
        numbers = np.arange(start, min(start + TOGETHER, len(lines)))
        batch = lines.batch(numbers, np.random.default_rng((SEED, start)))
        logits = np.asarray(part({task.input.tensor.name: batch.tokens})["words"])
        there = np.take_along_axis(logits, batch.places[:, :, None], 1)[batch.counted > 0]
        told, right = ops.log_softmax(there.astype(np.float64)), batch.pieces[batch.counted > 0]
        nats.append(-told[np.arange(len(right)), right])
        hits.append(told.argmax(1) == right)
        asked.progress(start, len(lines))
    surprise = float(np.mean(np.concatenate(nats)))
    figures = {
        "nats a piece": surprise,
        "perplexity": float(np.exp(surprise)),
        "accuracy": 100 * float(np.mean(np.concatenate(hits))),
    }
    return Report(
        figures, sum(map(len, nats)), "gaps", details={"rows": len(lines)}, seconds=time.perf_counter() - begun
    )
