"""What finding boxes costs beside the bare runtime.

    python -m benchmarks.detect blood.jpg --out benchmarks/results/detect.json

1. boxes: milliseconds from a JPEG's bytes to boxes through `Predictor`, against the least that has to be done: Pillow's
   decoding, as far as the recipe needs, its resizing, and the bare onnxruntime call (at most 1.15 times). They take
   turns, picture by picture.
2. nms: milliseconds of processor time for the suppression of 10,000 candidates in 80 classes on NumPy (at most 15).

Times are for one machine; only the ratio means something elsewhere.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

import kerazoo
from benchmarks import record
from kerazoo import registry
from kerazoo.ops import numpy as ops
from kerazoo.tasks._boxes import nms

MODEL = "mobilenetv2_yolov3_nano:bccd"
CANDIDATES, CLASSES = 10_000, 80


def bare_loop(predictor: kerazoo.Predictor) -> Callable[[bytes], Any]:
    """Decoding, resizing and the network, by the shortest code."""
    network: Any = predictor.network
    fit: Any = predictor.task.input  # type: ignore[attr-defined]
    session = network.sessions["network"]
    (name,) = (each.name for each in session.get_inputs())

    def answer(data: bytes) -> Any:
        picture = Pillow.open(io.BytesIO(data))
        enough = fit.enough(picture.height, picture.width)
        picture.draft("RGB", (int(enough[1]), int(enough[0])))
        small = picture.convert("RGB").resize((fit.width, fit.height), Pillow.Resampling.BILINEAR)
        return session.run(None, {name: np.asarray(small, np.float32)[None]})

    return answer


def boxes(data: bytes, rounds: int) -> dict[str, float]:
    """Medians of both, in turns."""
    predictor = kerazoo.load(MODEL, "onnx", say=lambda line: print(line, file=sys.stderr))
    sides: dict[str, Callable[[bytes], Any]] = {"kerazoo": predictor, "bare": bare_loop(predictor)}
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 5):
        for name in sides if turn % 2 else reversed(sides):
            start = time.perf_counter()
            sides[name](data)
            if turn >= 5:
                spent[name].append((time.perf_counter() - start) * 1e3)
    found = {f"{name}_ms": round(statistics.median(times), 3) for name, times in spent.items()}
    ratios = [mine / theirs for mine, theirs in zip(*spent.values(), strict=True)]
    return {"found": len(predictor(data).labels), **found, "ratio": round(statistics.median(ratios), 3)}  # type: ignore[attr-defined]


def suppression(rounds: int) -> dict[str, float]:
    """Of boxes all over a picture: scores as a network gives them, nearly all near 0, and scores of any size."""
    rng = np.random.default_rng(0)
    near, size = rng.uniform(0, 400, (1, CANDIDATES, 2)), rng.uniform(5, 120, (1, CANDIDATES, 2))
    where = np.concatenate([near, near + size], -1).astype(np.float32)
    shape = (1, CANDIDATES, CLASSES)
    scores = {"like a network's": rng.beta(0.1, 10, shape), "of any size": rng.uniform(0, 1, shape)}
    found = {}
    for name, each in scores.items():
        given, times = each.astype(np.float32), []
        for _ in range(rounds):
            start = time.thread_time()
            nms(ops, where, given, 100, 0.45, 0.05)
            times.append((time.thread_time() - start) * 1e3)
        found[name] = round(statistics.median(times), 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path, help="a JPEG")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    registry.find(MODEL).fetch()
    figures: dict[str, Any] = {"nms_ms": suppression(max(20, arguments.rounds // 4))}
    print(f"nms    {figures['nms_ms']}  (at most 15 ms)", flush=True)
    figures["boxes"] = boxes(arguments.picture.read_bytes(), arguments.rounds)
    print(f"boxes  {figures['boxes']}  (at most 1.15)")
    if arguments.out:
        record.keep(arguments.out, {"model": MODEL, **figures, **record.origin("detect")})


if __name__ == "__main__":
    main()
