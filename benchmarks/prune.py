"""What pruning ResNet-20 for CIFAR-10 costs and gains, from the bundled weights, for several seeds.

    python -m benchmarks.prune cifar10.npz out/ --out benchmarks/results/prune.json

1. weights: 80 % of them zero, by magnitude over all layers, gradually (bound: at most 1 point below).
2. channels: half of the multiply-adds gone (bounds: at most 2 points below; at least 1.5 times as fast on onnxruntime).

Each is `kerazoo prune`; accuracy is `kerazoo evaluate` of the exported ONNX file on the 10,000 test pictures, before
and after, and times are of `kerazoo bench`, turn and turn about. What was trained in out/ is not trained again, and
what was begun goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import record

MODEL = "resnet20:cifar10"
KINDS: dict[str, tuple[str, ...]] = {
    "weights": ("--sparsity", "0.8", "--schedule", "gradual", "--set", "rate=0.01"),
    # The residual streams of the first two stages stay whole; 16 channels are one block of AVX-512.
    "channels": (
        "--sparsity", "0.5", "--structure", "channel", "--keep", "stage2_block1_2_conv", "--keep", "predictions",
        "--set", "rate=0.02",
    ),
}  # fmt: skip
LEARNS = ("--recipe", "cifar", "--set", "warm_up=0", "--set", f"teacher={MODEL}", "--set", "temperature=4")
"""What remains learns the answers of the whole network beside the labels."""

BOUNDS = {"weights": 1.0, "channels": 2.0}
FASTER = 1.5


def kerazoo(*arguments: Any) -> str:
    """A command's standard output."""
    command = [sys.executable, "-m", "kerazoo", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def pruned(kind: str, seed: int, data: Path, folder: Path, epochs: int) -> dict[str, Any]:
    """The report of one pruning, which goes on where it was left."""
    out = folder / f"{kind}-{seed}"
    done = out / "report.json"
    if not done.exists() or "files" not in json.loads(done.read_text()):
        kerazoo(
            "prune", MODEL, *KINDS[kind], "--data", data, "--validation", data,
            *LEARNS, "--epochs", epochs, "--seed", seed, "--resume", "-o", out,
        )  # fmt: skip
    return json.loads(done.read_text())


def top1(model: Any, data: Path) -> float:
    """Percent, over onnxruntime."""
    return float(json.loads(kerazoo("evaluate", model, data, "--engine", "onnx", "--json"))["top-1"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="cifar10.npz")
    parser.add_argument("folder", type=Path, help="of the trainings")
    parser.add_argument("--kind", choices=list(KINDS), action="append", help="one of the two (default: both)")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    given = parser.parse_args()

    before = top1(MODEL, given.data)
    found: dict[str, Any] = {"model": MODEL, "top-1 before": before}
    for kind in given.kind or KINDS:
        reports = [pruned(kind, seed, given.data, given.folder, given.epochs) for seed in range(given.seeds)]
        after = [top1(report["model"], given.data) for report in reports]
        files = [report["files"] for report in reports]
        below = max(before - each for each in after)
        told = {
            "command": f"kerazoo prune {MODEL} {' '.join((*KINDS[kind], *LEARNS))} --data cifar10.npz",
            "epochs": reports[0]["epochs"],
            "seeds": given.seeds,
            "top-1 after": statistics.mean(after),
            "points below, at worst": round(below, 2),
            "compression ratio": reports[0]["compression ratio"],
            "theoretical speed-up": reports[0]["theoretical speed-up"],
            "top-1 of each seed": after,
            "files": {
                name: {**files[0][name], "faster": statistics.median(each[name]["faster"] for each in files)}
                for name in files[0]
            },
        }
        found[kind] = told
        shown = ", ".join(f"{each:.2f}" for each in after)
        print(f"{kind}: top-1 {before:.2f} -> {shown} %, {below:+.2f} points below "
              f"at worst (at most {BOUNDS[kind]})")  # fmt: skip
        for name, file in told["files"].items():
            bound = f" (at least {FASTER})" if kind == "channels" and name == "onnx" else ""
            print(f"  {name}: {file['faster']:.2f} times as fast{bound}, {file['before']['bytes']:,} -> "
                  f"{file['after']['bytes']:,} bytes, gzip {file['after']['gzip']:,}, "
                  f"sparse {file.get('sparse bytes', '-')}")  # fmt: skip
    if given.out:
        record.keep(given.out, {**found, **record.origin("prune")})


if __name__ == "__main__":
    main()
