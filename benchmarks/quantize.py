"""What 8 bits cost and give: agreement and accuracy on pictures that calibration did not see, size, and time.

    python -m benchmarks.quantize DATA --out benchmarks/results/quantize.json

Accuracy: every other picture of `imagenet_dev200.tar`, T91 and ten photographs calibrate (and half of these judge while
layers are chosen); the other hundred pictures are asked afterwards, and all two hundred for top-1, which is no
validation accuracy: they are very likely training pictures. Targets: mobilenet_v1_025 at most 1.0 point below floats
and an agreement of at least .90; squeezenet_v1_0 0.5 point and .96.

Time: `mobilenet_v1` and `resnet50` with random weights, LiteRT int8 against the signature `network` of the SavedModel
in one process, interleaved. Targets: 4 and 3 times as fast, and at most .28 of the size in floats.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import kerazoo
from benchmarks import record
from kerazoo import engines, formats
from kerazoo.errors import GateError
from kerazoo.evaluation import evaluate
from kerazoo.export import lower

ACCURACY = {"mobilenet_v1_025:imagenet": (0.90, 1.0), "squeezenet_v1_0:imagenet": (0.96, 0.5)}
"""Model -> least agreement, and points of top-1 that may be lost."""

TIME = {"mobilenet_v1": ("MobileNet", 4.0), "resnet50": ("ResNet50", 3.0)}
"""Variant -> its builder, and how much faster than the SavedModel int8 must be."""

ROUNDS = 30


def pictures(data: Path, folder: Path) -> tuple[Path, Path, Path]:
    """Folders: what calibrates, what judges in the end, and all that has a label."""
    seen, unseen, labelled = (folder / name for name in ("seen", "unseen", "labelled"))
    for each in (seen, unseen, labelled):
        each.mkdir()
    with tarfile.open(data / "imagenet_dev200.tar") as archive:
        members = sorted(
            (m for m in archive.getmembers() if m.isfile() and m.name.endswith(".JPEG")), key=lambda m: m.name
        )
        for index, member in enumerate(members):
            name = Path(member.name).name
            (labelled / name).write_bytes(archive.extractfile(member).read())  # type: ignore[union-attr]
            shutil.copy(labelled / name, (unseen if index % 2 else seen) / name)
    with tarfile.open(data / "sr_t91_set5.tar") as archive:
        for member in archive.getmembers():
            held = archive.extractfile(member) if "T91" in member.name and member.isfile() else None
            if held is not None:
                (seen / f"t91_{Path(member.name).name}").write_bytes(held.read())
    for photo in sorted((data / "photos").glob("*.jpg")):
        shutil.copy(photo, seen / f"photo_{photo.name}")
    return seen, unseen, labelled


def accuracy(model: str, word: str, wanted: float, data: tuple[Path, Path, Path], folder: Path) -> dict[str, Any]:
    """One model in one format: both precisions exported, asked and compared."""
    seen, unseen, labelled = data
    (floats,) = kerazoo.export(model, word, folder / "fp32")
    try:
        (small,) = kerazoo.export(
            model, word, folder / "int8", precision="int8", calibrate=seen, min_agreement=wanted, say=print
        )
    except GateError as error:
        return {"refused": str(error)}
    asked = sorted(map(str, unseen.iterdir()))
    both = {"fp32": kerazoo.load(floats.path), "int8": kerazoo.load(small.path)}
    first = {name: [result.indices[0] for result in predictor(asked)] for name, predictor in both.items()}
    top1 = {name: evaluate(predictor, labelled).figures["top-1"] for name, predictor in both.items()}
    report = dict(small.report)
    return {
        "agreement_unseen": round(float(np.mean(np.equal(first["fp32"], first["int8"]))), 4),
        "agreement_while_searching": round(report["agreement"], 4),
        "top1": {name: round(value, 2) for name, value in top1.items()},
        "points_lost": round(top1["fp32"] - top1["int8"], 2),
        "size": round(lower.size(small.path) / lower.size(floats.path), 3),
        "ms": {"fp32": floats.ms, "int8": small.ms},
        "in_floats": [[name.split(";")[0], round(cost, 3)] for name, cost in report["floats"]],
        "tried": [[each["what"], round(each["error"], 5), round(each["agreement"], 4)] for each in report["tried"]],
    }


def speed(variant: str, builder: str, folder: Path) -> dict[str, Any]:
    """Medians of interleaved runs, one row each, on all cores."""
    model = getattr(kerazoo.applications, builder)(weights=None, classifier_activation=None)
    labels = [f"class {index}" for index in range(1000)]
    made = kerazoo.export(model, ["savedmodel", "litert"], folder / "fp32", labels=labels)
    (small,) = kerazoo.export(
        model, "litert", folder / "int8", labels=labels, precision="int8", calibrate="random", min_agreement=0.0
    )
    paths = {each.format: each.path for each in [*made, small]}
    networks = {
        name: engines.open_network(formats.ROWS[name].engine, path)[0].part("network") for name, path in paths.items()
    }
    x = np.random.default_rng(0).uniform(0, 255, (1, 224, 224, 3)).astype(np.float32)
    spent: dict[str, list[float]] = {name: [] for name in networks}
    for turn in range(ROUNDS + 3):
        for name, network in networks.items():
            start = time.perf_counter()
            network({"image": x})
            if turn >= 3:
                spent[name].append((time.perf_counter() - start) * 1e3)
    ms = {name: round(statistics.median(values), 2) for name, values in spent.items()}
    return {
        "ms": ms,
        "fastest_ms": {name: round(min(values), 2) for name, values in spent.items()},
        "times_as_fast_as_savedmodel": round(ms["savedmodel"] / ms["litert-int8"], 2),
        "size": round(lower.size(paths["litert-int8"]) / lower.size(paths["litert"]), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", choices=["accuracy", "time"])
    parser.add_argument("--model", help="This one alone.")
    parser.add_argument("--to", action="append", help="litert, onnx; both by default.")
    parser.add_argument("--min-agreement", type=float, help="While layers are chosen; the model's target by default.")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if given.only != "time":
            data = pictures(given.data, folder)
            for model, (wanted, points) in ACCURACY.items():
                if given.model not in (None, model):
                    continue
                for word in given.to or ["litert", "onnx"]:
                    place = folder / f"{model.partition(':')[0]}-{word}"
                    found = accuracy(model, word, given.min_agreement or wanted, data, place)
                    found |= {"wanted": {"agreement": wanted, "points": points}, **record.origin("quantize")}
                    print(model, word, found, flush=True)
                    if given.out is not None:
                        record.keep(given.out, {f"{model} {word}": found})
        if given.only != "accuracy":
            for variant, (builder, times) in TIME.items():
                if given.model not in (None, variant):
                    continue
                found = {**speed(variant, builder, folder / variant), "wanted": {"times": times, "size": 0.28}}
                found |= record.origin("quantize")
                print(variant, found, flush=True)
                if given.out is not None:
                    record.keep(given.out, {f"{variant} time": found})


if __name__ == "__main__":
    main()
