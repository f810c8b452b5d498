"""What pruning came to, in the words of "What is the State of Neural Network Pruning?", arXiv:2003.03033.

Compression ratio is parameters before by parameters after that are not zero, all parameters counted; theoretical
speed-up is multiply-adds before by those of the weights that are left (section 3 and appendix A).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo import formats
from kerazoo.errors import KerazooError
from kerazoo.prune.graph import kernels
from kerazoo.train.state import replacing

REPORT = "report.json"


def counts(before: Any, after: Any, keep: Iterable[str] = ()) -> dict[str, Any]:
    """Parameters and multiply-adds of two Keras models, and their ratios."""
    whole, left = kernels(before), kernels(after)
    prunable = kernels(after, keep)
    multiply_adds = sum(kernel.multiply_adds for kernel in whole)
    effective = sum(kernel.multiply_adds * _nonzero(kernel.variable) / kernel.size for kernel in left)
    params, nonzero = before.count_params(), sum(_nonzero(variable) for variable in after.weights)
    return {
        "parameters": {"before": params, "after": after.count_params(), "not zero": nonzero},
        "multiply-adds": {
            "before": multiply_adds,
            "after": sum(kernel.multiply_adds for kernel in left),
            "of weights that are not zero": round(effective),
        },
        "sparsity": round(
            1 - sum(_nonzero(each.variable) for each in prunable) / sum(each.size for each in prunable), 6
        ),
        "compression ratio": round(params / nonzero, 4),
        "theoretical speed-up": round(multiply_adds / effective, 4),
    }


def _nonzero(variable: Any) -> int:
    return int(np.count_nonzero(variable.numpy()))


def measured(model: str, found: Mapping[str, Any], say: Callable[[str], Any]) -> dict[str, Any]:
    """A report with sizes and times of both models' files, side by side on this machine.

    Args:
        model: What was pruned.
        found: What `kerazoo.prune.prune` reported.
        say: Is told what is under way.
    """
    from kerazoo.bench.run import bench
    from kerazoo.export import run

    words = (model, found["model"])
    rows = bench(words, [form.name for form in formats.NETWORKS], rounds=8, runs=25, say=say)
    sides = {word: side for word, side in zip(words, ("before", "after"), strict=True)}
    files: dict[str, Any] = {}
    for row in rows.rows:
        told = {"bytes": row.size, "gzip": row.gzip, "p50 ms": row.p50, "p95 ms": row.p95, "status": row.status}
        files.setdefault(row.format, {})[sides[row.model]] = told
    for each in files.values():
        times = [each[side]["p50 ms"] for side in ("before", "after")]
        each["faster"] = round(times[0] / times[1], 3) if all(times) else None
    try:
        files[formats.LITERT.name]["sparse bytes"] = json.loads(run("kerazoo.prune.sparse", found["model"]))
    except KerazooError as error:  # An experimental encoding; the report goes without it.
        say(f"No sparse encoding: {str(error).splitlines()[0]}")
    return {**found, "files": files, "machine": rows.machine}


def write(found: Mapping[str, Any], folder: Path) -> None:
    """Puts a report in its place."""
    with replacing(folder / REPORT) as file:
        file.write((json.dumps(found, indent=2) + "\n").encode())


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """A report for people."""
    params, work = found["parameters"], found["multiply-adds"]
    yield f"{found['model']}"
    yield f"parameters          {params['before']:,} -> {params['after']:,}, {params['not zero']:,} not zero"
    yield f"multiply-adds       {work['before']:,} -> {work['of weights that are not zero']:,}"
    yield f"compression ratio   {found['compression ratio']:.2f}"
    yield f"theoretical speedup {found['theoretical speed-up']:.2f}"
    before, after = found.get("before") or {}, found.get("after") or {}
    for name in before.keys() & after.keys():
        yield f"{name:<19} {before[name]:.4f} -> {after[name]:.4f}"
    for name, each in found.get("files", {}).items():
        one, other = each["before"], each["after"]
        if each["faster"] is None:
            yield f"{name:<19} {other['status']}"
            continue
        sparse = f", sparse {each['sparse bytes']:,}" if "sparse bytes" in each else ""
        yield (
            f"{name:<19} {one['bytes']:,} -> {other['bytes']:,} bytes, "
            f"gzip {one['gzip']:,} -> {other['gzip']:,}{sparse}; "
            f"{one['p50 ms']:.3f} -> {other['p50 ms']:.3f} ms, {each['faster']:.2f} times as fast"
        )
