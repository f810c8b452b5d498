"""What drawing a picture costs beside the bare runtime, and what memory a style takes.

    python -m benchmarks.draw photo.jpg --style faststyle:lengstrom.npz --out benchmarks/results/draw.json

1. enlarge: a 1280x720 picture x2 through `Predictor` against the shortest code that gives the same picture: Pillow
   opens it and enlarges its chroma, onnxruntime runs over the same tiles of the luma, Pillow writes the PNG (at most
   1.1 times as long). `calls` are the runtime's alone, over the same tiles.
2. style: the same picture in a style, in a process of its own: most memory that it held (at most 600 MiB), and how far
   what was drawn tile by tile lies from what is drawn at once, in grey levels: at the borders of tiles and elsewhere.
   By the first of these alone a seam could be seen.

Both sides of a ratio ran on the same machine in the same minutes, turn and turn about.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

import kerazoo
from benchmarks import record

MODEL = "espcn_x2:t91"
SIZE = (1280, 720)


class Noted:
    """A network that notes what it is given."""

    def __init__(self, network: Any) -> None:
        self.ops, self.network = network.ops, network
        self.given: list[Any] = []

    def __call__(self, inputs: Any) -> Any:
        self.given.append(inputs)
        return self.network(inputs)

    def part(self, name: str) -> Any:
        return self.network.part(name)


def tiles_of(predictor: kerazoo.Predictor, data: bytes) -> list[Any]:
    """What the network is given for a picture."""
    noted = Noted(predictor.network)
    predictor.task.answer(noted, {"image_bytes": np.array([data], object)})
    return noted.given


def bare(predictor: kerazoo.Predictor, tiles: list[Any]) -> tuple[Callable[[], Any], Callable[[bytes], bytes]]:
    """The runtime's calls alone, and the shortest code around them that gives the same picture."""
    session: Any = predictor.network.sessions["network"]  # type: ignore[union-attr]
    task: Any = predictor.task
    output, edge = session.get_outputs()[0].name, task.context * task.scale

    def calls() -> list[Any]:
        return [session.run([output], inputs)[0] for inputs in tiles]

    def whole(data: bytes) -> bytes:
        picture = Image.open(io.BytesIO(data)).convert("RGB").convert("YCbCr")
        width, height = (side * task.scale for side in picture.size)
        large = picture.resize((width, height), Image.Resampling.BICUBIC)
        drawn = [each[0, edge:-edge, edge:-edge, 0] for each in calls()]
        across = -(-width // drawn[0].shape[1])
        rows = [np.hstack(drawn[start : start + across]) for start in range(0, len(drawn), across)]
        luma = np.clip(np.rint(np.vstack(rows)[:height, :width] * 255), 0, 255).astype(np.uint8)
        merged = Image.merge("YCbCr", (Image.fromarray(luma), *large.split()[1:])).convert("RGB")
        out = io.BytesIO()
        merged.save(out, "PNG")
        return out.getvalue()

    return calls, whole


def enlarge(data: bytes, rounds: int) -> dict[str, float]:
    """Median seconds of all three, and how far the pictures lie apart in grey levels."""
    predictor = kerazoo.load(MODEL, "onnx", say=lambda line: print(line, file=sys.stderr))
    calls, whole = bare(predictor, tiles_of(predictor, data))
    sides: dict[str, Callable[[], Any]] = {
        "kerazoo": lambda: predictor(data), "bare": lambda: whole(data), "calls": calls,
    }  # fmt: skip
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name in sides if turn % 2 else reversed(sides):
            start = time.perf_counter()
            sides[name]()
            if turn:
                spent[name].append(time.perf_counter() - start)
    made: Any = predictor(data)
    apart = np.abs(_pixels(made.picture) - _pixels(whole(data)))
    found = {name: median(values) for name, values in spent.items()}
    return {**found, "ratio": found["kerazoo"] / found["bare"], "apart": float(apart.mean())}


def style(data: bytes, model: str) -> dict[str, Any]:
    """MiB of a process that draws a style, and how far tiles lie from a picture that is drawn at once."""
    with tempfile.TemporaryDirectory() as folder:
        photo, painted = Path(folder) / "photo.png", Path(folder) / "painted.png"
        photo.write_bytes(data)
        loaded: Any = kerazoo.load(model, say=lambda line: print(line, file=sys.stderr))
        command = [sys.executable, "-m", "kerazoo", "predict", str(photo), "-m", model, "--engine", loaded.engine, "-o"]
        process = subprocess.Popen([*command, str(painted)])
        _, status, used = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{' '.join(command)} ended with {status}.")
        tiled = _pixels(painted.read_bytes())
    task = replace(loaded.task, tile=max(SIZE))
    answer = task.answer(loaded.network, {"image_bytes": np.array([data], object)})
    apart = np.abs(tiled - _pixels(answer["image_bytes"][0])).max(-1)
    width, height = SIZE
    tall, wide = (-(-side // -(-side // loaded.task.tile)) for side in (height, width))
    seams = np.zeros(apart.shape, bool)
    for border in range(tall, height, tall):
        seams[border - 2 : border + 2] = True
    for border in range(wide, width, wide):
        seams[:, border - 2 : border + 2] = True
    return {
        "engine": loaded.engine,
        "MiB": used.ru_maxrss / 1024,
        "apart at borders": float(apart[seams].mean()),
        "apart elsewhere": float(apart[~seams].mean()),
        "apart at most": float(apart.max()),
    }


def _pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photo", type=Path, help="a picture; it is made 1280 x 720")
    parser.add_argument("--style", help="a style's model, as faststyle:FILE")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()

    out = io.BytesIO()
    Image.open(arguments.photo).convert("RGB").resize(SIZE).save(out, "PNG")
    figures: dict[str, Any] = {"enlarge": enlarge(out.getvalue(), arguments.rounds)}
    print(f"enlarge  {figures['enlarge']['ratio']:.3f}  (at most 1.1)", flush=True)
    if arguments.style:
        figures["style"] = style(out.getvalue(), arguments.style)
        print("style    " + "  ".join(f"{name} {value}" for name, value in figures["style"].items()))
    if arguments.out:
        record.keep(arguments.out, {"model": MODEL, "pixels": list(SIZE), **figures, **record.origin("draw")})


if __name__ == "__main__":
    main()
