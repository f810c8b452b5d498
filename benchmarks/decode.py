"""What it gains, and what it changes, that pictures are decoded only as far as their recipe needs.

    KERAZOO_TEST_DATA=DIR python -m benchmarks.decode --out benchmarks/results/decode.json

1. agreement: how often two weak classifiers, which doubt much, name the same class as on the exact way, and how far
   the pixels are off, for several margins (`kerazoo.codecs.image.MARGIN`). The pictures are `imagenet_dev200.tar` and
   ten photographs, enlarged to JPEGs whose sides are four times the margin times the recipe's, and so lose the most
   that the margin lets them lose. The row `not rounded` says what it changes to leave out nothing but the rounding of
   the exact way's pixels to whole grey levels: a difference of that size lies in every pipeline.
2. folder: pictures/s of a folder of 12-megapixel JPEGs through `Predictor.stream`, against the exact way (at least 3).
3. kinds: milliseconds of processor time from bytes to pixels.

Both ways take turns; only the ratios mean something.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import os
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

import kerazoo
from benchmarks import record
from kerazoo import engines, own
from kerazoo.codecs import image
from kerazoo.export import prepare
from kerazoo.ops import numpy as ops
from kerazoo.ops.pictures import Picture

MODELS = ("mobilenet_v1_025:imagenet", "squeezenet_v1_0:imagenet")
MARGINS = (1.0, 1.2, image.MARGIN, 2.0, 3.0)
TIMES = 4
QUALITY = 90


def enlarged(picture: Pillow.Image, width: int, height: int, grain: float = 0.0) -> bytes:
    """A JPEG of that size, with a camera's noise where it is asked for."""
    large = picture.resize((width, height), Pillow.Resampling.BICUBIC)
    if grain:
        noise = np.random.default_rng(0).normal(0, grain, (height, width, 1)).astype(np.float32)
        large = Pillow.fromarray(np.clip(np.asarray(large, np.float32) + noise, 0, 255).astype(np.uint8))
    out = io.BytesIO()
    large.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def pictures(data: Path) -> Iterator[tuple[str, Pillow.Image]]:
    with tarfile.open(data / "imagenet_dev200.tar") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                yield "imagenet_dev200", Pillow.open(io.BytesIO(file.read())).convert("RGB")
    for path in sorted((data / "photos").glob("*.jpg")):
        yield "photos", Pillow.open(path).convert("RGB")


def not_rounded(fit: image.Image, data: bytes) -> np.ndarray:
    """The exact way's pixels before they are rounded."""
    whole = Pillow.open(io.BytesIO(data))
    bands = [Picture(band.convert("F"), whole.height, whole.width) for band in whole.split()]
    return np.concatenate([fit.fit(ops, band)[0] for band in bands], -1)


def prepared(fit: image.Image, data: bytes) -> np.ndarray:
    return fit.prepare(ops, [data])[0]


def agreement(data: Path) -> dict[str, Any]:
    """Margin -> model and pictures -> share of the same first class, and mean difference in grey levels."""
    nets = {}
    for model in MODELS:
        form, path = prepare.fastest(own.find(model, print), print)
        nets[model] = engines.open_network(form.engine, path, 1)
    rows: dict[str, dict[str, list[tuple[bool, float]]]] = {}
    for kind, picture in pictures(data):
        for model, (network, card) in nets.items():
            fit = card.task.input  # type: ignore[attr-defined]
            whole = dataclasses.replace(fit, exact=True)
            for margin in MARGINS:
                image.MARGIN = 1.0
                sides = fit.enough(picture.height, picture.width)
                ratio = max(side / own for side, own in zip(sides, (picture.height, picture.width), strict=True))
                height, width = (int(side * ratio * margin * TIMES) + 1 for side in (picture.height, picture.width))
                jpeg = enlarged(picture, width, height)
                image.MARGIN = margin
                ways = {"exact": prepared(whole, jpeg), f"{margin:g}": prepared(fit, jpeg)}
                if margin == MARGINS[0]:
                    ways["not rounded"] = not_rounded(whole, jpeg)
                said = {name: network({"image": pixels[None]})["logits"][0] for name, pixels in ways.items()}
                for name in set(ways) - {"exact"}:
                    same = bool(said[name].argmax() == said["exact"].argmax())
                    off = float(np.abs(ways[name] - ways["exact"]).mean())
                    rows.setdefault(name, {}).setdefault(f"{model}, {kind}", []).append((same, off))
                    rows[name].setdefault("all", []).append((same, off))
        print(f"{kind} {len(rows['not rounded']['all'])}", end="\r", file=sys.stderr)
    image.MARGIN = MARGINS[2]
    return {name: {which: _shares(found) for which, found in kinds.items()} for name, kinds in rows.items()}


def _shares(found: list[tuple[bool, float]]) -> dict[str, float]:
    same, off = zip(*found, strict=True)
    return {
        "count": len(found),
        "same_top1_percent": round(100 * sum(same) / len(found), 2),
        "grey_levels": round(statistics.mean(off), 3),
    }


def folder(data: Path, count: int, rounds: int) -> dict[str, Any]:
    """Pictures/s of both ways, in turns."""
    photos = [picture for kind, picture in pictures(data) if kind == "photos"]
    ways = {name: kerazoo.load(MODELS[0], exact_pixels=name == "exact") for name in ("exact", "reduced")}
    with tempfile.TemporaryDirectory() as temporary:
        size = 0
        for index in range(count):
            large = enlarged(photos[index % len(photos)], 4000, 3000, grain=4)
            size += Path(temporary, f"{index:02}.jpg").write_bytes(large)
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, predictor in ways.items():
                start = time.perf_counter()
                for result in predictor(Path(temporary)):
                    if "error" in result.to_json():
                        raise SystemExit(str(result))
                rates[name].append(count / (time.perf_counter() - start))
    ratios = [reduced / exact for reduced, exact in zip(rates["reduced"], rates["exact"], strict=True)]
    medians = {name: round(statistics.median(found), 2) for name, found in rates.items()}
    return {"mean_bytes": size // count, **medians, "ratio": round(statistics.median(ratios), 2)}


def kinds(data: Path, rounds: int) -> dict[str, Mapping[str, float]]:
    """Processor time of both ways for formats and sizes."""
    photo = Pillow.open(data / "photos" / "cat_720p.jpg").convert("RGB")
    fit = image.Image(224, 224, resize=256)
    found = {}
    for name, (width, height) in {"1280x720": (1280, 720), "4000x3000": (4000, 3000)}.items():
        grainy = Pillow.open(io.BytesIO(enlarged(photo, width, height, grain=4)))
        for form, options in {"JPEG": {"quality": QUALITY}, "PNG": {"compress_level": 3}, "WEBP": {}}.items():
            out = io.BytesIO()
            grainy.save(out, form, **options)
            spent: dict[str, list[float]] = {"exact": [], "reduced": []}
            for _ in range(rounds):
                for way, times in spent.items():
                    start = time.thread_time()
                    prepared(dataclasses.replace(fit, exact=way == "exact"), out.getvalue())
                    times.append((time.thread_time() - start) * 1e3)
            found[f"{form} {name}"] = {way: round(min(times), 2) for way, times in spent.items()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("agreement", "folder", "kinds"))
    parser.add_argument("--pictures", type=int, default=10, help="in the folder (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    data = Path(os.environ["KERAZOO_TEST_DATA"])
    parts = {
        "agreement": lambda: {"margin": image.MARGIN, **agreement(data)},
        "folder": lambda: folder(data, arguments.pictures, arguments.rounds),
        "kinds": lambda: kinds(data, arguments.rounds),
    }
    for name, measure in parts.items():
        if arguments.only not in (None, name):
            continue
        figures = {name: measure()}
        print(figures)
        if arguments.out:
            record.keep(arguments.out, {**figures, **record.origin("decode")})


if __name__ == "__main__":
    main()
