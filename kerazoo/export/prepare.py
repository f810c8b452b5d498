"""The cache of verified artefacts: made once a machine, timed there, and opened ever after."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from kerazoo import __version__, store
from kerazoo.contract import Network, Tensors
from kerazoo.engines import open_network
from kerazoo.errors import GateError
from kerazoo.export import checked
from kerazoo.export.convert import FILES
from kerazoo.registry import Model

RUNS = 15
"""Timed runs an engine; the median counts."""


def folder_of(model: Model) -> Path:
    """Where a model's artefacts lie: other weights, another recipe or another version lie elsewhere."""
    entry = model.entry
    if entry is not None:
        made_from = [__version__, entry.file().hash_value, dict(entry.preprocessing), entry.labels]
    elif model.path is not None:
        made_from = [__version__, hashlib.sha256(model.path.read_bytes()).hexdigest()]
    else:
        raise ValueError(f"{model.name} has no weights.")
    digest = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
    return store.artefacts(model.name if entry is not None else f"{model.variant}:own") / digest[:16]


def fastest(model: Model, say: Callable[[str], Any]) -> tuple[str, Path]:
    """The fastest verified engine of a model and its artefact; both are prepared if they are not there yet.

    Raises:
        GateError: No format of the model could be verified.
    """
    record = _record(model)
    if "fastest" not in record:
        record = _prepare(model, ("onnx", "litert"), say)
    if record["fastest"] is None:
        raise GateError(f"No artefact of {model.name} could be verified:\n" + "\n".join(record["failures"].values()))
    return record["fastest"], folder_of(model) / FILES[record["fastest"]]


def artefact(model: Model, engine: str, say: Callable[[str], Any]) -> Path:
    """The verified artefact of one engine, prepared if it is not there yet.

    Raises:
        GateError: It could not be verified.
    """
    record = _record(model)
    if engine not in record.get("artefacts", {}):
        formats = ("savedmodel",) if engine == "savedmodel" else ("onnx", "litert")
        record = _prepare(model, formats, say)
    if engine in record["failures"]:
        raise GateError(record["failures"][engine])
    return folder_of(model) / FILES[engine]


def bundle(model: Model, say: Callable[[str], Any]) -> Path:
    """A base folder with one version, `1`: the bundle, with every engine that was verified and how fast each is.

    Raises:
        GateError: The SavedModel could not be verified.
    """
    base = folder_of(model) / "bundle"
    if (base / "1").is_dir():
        return base
    with contextlib.suppress(GateError):
        fastest(model, say)
    saved = artefact(model, "savedmodel", say)
    from filelock import FileLock

    with FileLock(folder_of(model) / ".lock"):
        if not (base / "1").is_dir():
            with tempfile.TemporaryDirectory(dir=folder_of(model), prefix=".making-") as temporary:
                made = Path(temporary) / "1"
                with_engines(saved, folder_of(model), _record(model), made)
                base.mkdir(exist_ok=True)
                os.rename(made, base / "1")
    return base


def with_engines(saved: Path, folder: Path, record: dict[str, Any], target: Path) -> None:
    """Copies a SavedModel and puts the engines' files beside its card, with what they take."""
    shutil.copytree(saved, target, copy_function=_linked)
    extra = target / "assets.extra" / "kerazoo"
    times = {}
    for name in ("onnx", "litert"):
        if name in record.get("artefacts", {}):
            source = folder / FILES[name]
            (shutil.copytree if source.is_dir() else _linked)(str(source), str(extra / FILES[name]))
            times[name] = record["artefacts"][name]["ms"]
    (extra / "engines.json").write_text(json.dumps(times), encoding="utf-8")


def _linked(source: str, target: str) -> None:
    """The same file under another name where the disk can do that, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _record(model: Model) -> dict[str, Any]:
    try:
        return json.loads((folder_of(model) / "prepared.json").read_bytes())
    except (OSError, ValueError):
        return {}


def _prepare(model: Model, formats: Iterable[str], say: Callable[[str], Any]) -> dict[str, Any]:
    from filelock import FileLock

    if model.entry is not None:
        store.fetch(model.entry)  # Before the long part, and with its own words where it fails.
    folder = folder_of(model)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        record = _record(model)
        if all(name in record.get("artefacts", {}) or name in record.get("failures", {}) for name in formats):
            return record  # Another process was faster.
        say(f"Preparing {model.name} for {' and '.join(formats)}, once on this machine (export, verify, time) ...")
        record = {"artefacts": {}, "failures": {}, **record}
        with tempfile.TemporaryDirectory(dir=folder, prefix=".making-") as temporary:
            for name, made in zip(formats, checked(model.name, formats, Path(temporary)), strict=True):
                if isinstance(made, GateError):
                    record["failures"][name] = str(made)
                    continue
                target = folder / FILES[name]
                if target.is_dir():  # One that lost its record; a folder cannot be renamed over it.
                    shutil.rmtree(target)
                made.path.rename(target)
                record["artefacts"][name] = {"differences": dict(made.differences)}
            if "onnx" in formats:
                _time_all(record, folder, Path(temporary) / "golden.npz")
        new = folder / "prepared.json.new"
        new.write_text(json.dumps(record, indent=2), encoding="utf-8")
        os.replace(new, folder / "prepared.json")
    for name, failure in record["failures"].items():
        say(f"{name} is left out: {failure}")
    if "onnx" in formats and record["fastest"]:
        times = ", ".join(f"{n} {a['ms']:.1f} ms" for n, a in record["artefacts"].items() if "ms" in a)
        say(f"Prepared {model.name}: {times}; taking {record['fastest']}.")
    return record


def _time_all(record: dict[str, Any], folder: Path, golden: Path) -> None:
    from kerazoo.export import golden as golden_

    calls = golden_.load(golden).calls
    times: dict[str, float] = {}
    for name in ("onnx", "litert"):
        if name in record["artefacts"]:
            network, _ = open_network(name, folder / FILES[name])
            times[name] = median_ms(network, [(call.part, call.inputs) for call in calls])
            record["artefacts"][name]["ms"] = round(times[name], 3)
    record["fastest"] = min(times, key=lambda name: times[name]) if times else None


def median_ms(network: Network, calls: list[tuple[str, Tensors]]) -> float:
    """Median milliseconds of all calls of one answer, after two runs to warm up."""
    spent = []
    for run in range(RUNS + 2):
        start = time.perf_counter()
        for part, inputs in calls:
            network.part(part)(inputs)
        if run >= 2:
            spent.append((time.perf_counter() - start) * 1e3)
    return statistics.median(spent)
