"""What `kerazoo predict` costs beside the bare runtime, as three ratios measured in one run.

    python -m benchmarks.predict --model mobilenet_v1_025:imagenet --out benchmarks/results/predict.json

1. cold: wall time of a whole process, `kerazoo predict` over a prepared artefact against a six-line Keras script that
   answers the same picture with keras.applications (at most 0.12).
2. warm: one prediction through `Predictor` against a bare loop of Pillow decode, resize and the same runtime
   (at most 1.1), medians of interleaved runs.
3. folder: pictures a second of `Predictor.stream` over 2,000 files against that bare loop (at least 0.9), and how much
   the resident memory grew from the first quarter of the folder to its end.

Only the ratios mean something: each pair ran on the same machine in the same minutes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import kerazoo
from benchmarks import record
from benchmarks.cold import medians
from kerazoo import engines, registry
from kerazoo.export import prepare

KERAS_SCRIPT = """
import keras, numpy as np
model = keras.applications.MobileNet(alpha={alpha}, weights={weights!r})
image = keras.utils.load_img({picture!r}, target_size=(224, 224))
pixels = keras.applications.mobilenet.preprocess_input(keras.utils.img_to_array(image)[None])
scores = model.predict(pixels, verbose=0)[0]
print(scores.argsort()[::-1][:5], np.sort(scores)[::-1][:5])
"""


def draw(path: Path, seed: int, height: int = 480, width: int = 640) -> None:
    """A JPEG with slopes, edges and grain, about as large as a photograph of that size."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (12, 16, 3), np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    grain = rng.normal(0, 8, (height, width, 1))
    Image.fromarray(np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8)).save(path, quality=88)


def bare_loop(predictor: kerazoo.Predictor, artefact: Path) -> Callable[[Path], Any]:
    """The shortest code that answers a picture with the same runtime and the same recipe."""
    network, card = engines.open_network(predictor.engine, artefact)
    fit: Any = card.task.input  # type: ignore[attr-defined]
    run: Any
    if predictor.engine == "onnx":
        run = network.sessions["network"]
    else:
        with network.interpreters.taken() as opened:  # Nobody else has this network.
            run = opened.runners["network"]

    def answer(path: Path) -> Any:
        image = Image.open(path).convert("RGB")
        short = min(image.size)
        wide, tall = (side * fit.resize // short for side in image.size)
        image = image.resize((wide, tall), Image.Resampling.BILINEAR)
        left, top = (wide - fit.width) // 2, (tall - fit.height) // 2
        pixels = np.asarray(image.crop((left, top, left + fit.width, top + fit.height)), np.float32)[None]
        logits = (
            run.run(["logits"], {"image": pixels})[0] if predictor.engine == "onnx" else run(image=pixels)["logits"]
        )
        return np.argsort(-logits[0])[:5]

    return answer


def cold(model: str, picture: Path, folder: Path, rounds: int) -> dict[str, float]:
    """Median seconds of both processes, alternating."""
    weights = folder / "mobilenet.weights.h5"
    make = f"from kerazoo import registry; registry.build({model!r}).keras.save_weights({str(weights)!r})"
    subprocess.run([sys.executable, "-c", make], check=True, capture_output=True)
    alpha = {"mobilenet_v1": 1.0, "mobilenet_v1_075": 0.75, "mobilenet_v1_050": 0.5, "mobilenet_v1_025": 0.25}
    script = KERAS_SCRIPT.format(alpha=alpha[model.partition(":")[0]], weights=str(weights), picture=str(picture))
    commands = {
        "kerazoo": [sys.executable, "-m", "kerazoo", "predict", str(picture), "-m", model],
        "keras": [sys.executable, "-c", script],
    }
    spent = medians(commands, rounds)
    return {**spent, "ratio": spent["kerazoo"] / spent["keras"]}


def warm(predictor: kerazoo.Predictor, bare: Callable[[Path], Any], picture: Path, rounds: int) -> dict[str, float]:
    """Median milliseconds of both, interleaved."""
    ours, theirs = [], []
    for turn in range(rounds + 10):
        start = time.perf_counter()
        predictor(picture)
        middle = time.perf_counter()
        bare(picture)
        end = time.perf_counter()
        if turn >= 10:
            ours.append((middle - start) * 1e3)
            theirs.append((end - middle) * 1e3)
    mine, other = statistics.median(ours), statistics.median(theirs)
    return {"kerazoo": mine, "bare": other, "ratio": mine / other}


def resident() -> float:
    """Resident memory of this process in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def folder_rate(predictor: kerazoo.Predictor, bare: Callable[[Path], Any], pictures: list[Path]) -> dict[str, float]:
    """Pictures a second of both, in eight alternating stretches, and the growth of the memory."""
    spent = {"kerazoo": 0.0, "bare": 0.0}
    stretch, memory = len(pictures) // 4, [0.0] * 4
    for quarter in range(4):
        part = pictures[quarter * stretch : (quarter + 1) * stretch]
        start = time.perf_counter()
        for prediction in predictor.stream(part):
            if "error" in prediction.result.to_json():
                raise SystemExit(f"{prediction.item}: {prediction.result}")
        middle = time.perf_counter()
        for path in part:
            bare(path)
        spent["bare"] += time.perf_counter() - middle
        spent["kerazoo"] += middle - start
        memory[quarter] = resident()
    rates = {name: 4 * stretch / seconds for name, seconds in spent.items()}
    return {
        **rates,
        "ratio": rates["kerazoo"] / rates["bare"],
        "memory_mib": memory[3],
        "growth_mib": memory[3] - memory[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mobilenet_v1_025:imagenet", help="a MobileNet v1 (default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7, help="of the cold start")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()

    predictor = kerazoo.load(arguments.model, say=lambda line: print(line, file=sys.stderr))
    _, artefact = prepare.fastest(registry.find(arguments.model), print)
    bare = bare_loop(predictor, artefact)
    with tempfile.TemporaryDirectory() as temporary:
        pictures = [Path(temporary) / f"{index:04}.jpg" for index in range(arguments.pictures)]
        for index, path in enumerate(pictures):
            draw(path, index)
        figures = {
            "cold": cold(arguments.model, pictures[0], Path(temporary), arguments.rounds),
            "warm": warm(predictor, bare, pictures[0], 200),
            "folder": folder_rate(predictor, bare, pictures),
        }
    for name, bound in (("cold", "at most 0.12"), ("warm", "at most 1.1"), ("folder", "at least 0.9")):
        print(f"{name:<7} {figures[name]['ratio']:.3f}  ({bound})")
    print(f"memory  {figures['folder']['growth_mib']:+.1f} MiB from the first quarter of the folder to its end")
    if arguments.out:
        record.keep(
            arguments.out,
            {"model": arguments.model, "engine": predictor.engine, **figures, **record.origin("predict")},
        )


if __name__ == "__main__":
    main()
