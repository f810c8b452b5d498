"""The cache of verified artefacts: made once a machine, timed there, and opened ever after."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kerazoo import __version__, formats, seal, store
from kerazoo.contract import Network, Tensors
from kerazoo.engines import open_network
from kerazoo.engines.card import FOLDER
from kerazoo.errors import GateError, UsageError
from kerazoo.export import checked
from kerazoo.export import golden as golden_
from kerazoo.export.golden import Golden
from kerazoo.formats import Format
from kerazoo.own import Subject

RUNS = 15
"""Timed runs an engine; the median counts."""

TIMES = "engines.json"
"""In a bundle, beside the engines' files: format -> milliseconds, as measured when it was prepared."""

PACKAGES = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert")
"""Whose versions a conversion that failed depends on: another version may succeed."""


def folder_of(model: Subject) -> Path:
    """Where a model's artefacts lie: other weights, another recipe or another version lie elsewhere."""
    made_from = json.dumps([__version__, *model.identity()], sort_keys=True)
    return store.artefacts(model.cached) / hashlib.sha256(made_from.encode()).hexdigest()[:16]


def fastest(model: Subject, say: Callable[[str], Any]) -> tuple[Format, Path]:
    """The fastest verified format of a model and its artefact, prepared if it is not there yet.

    Where neither of the formats without TensorFlow can be had, it is the SavedModel.

    Raises:
        GateError: No format of the model could be verified.
    """
    record = _prepared(model, formats.NETWORKS, say)
    times = _times(record, formats.FLOAT)
    if times and (faster := _faster(record, min(times.values()))) is not None:
        say(faster)
    form = formats.find(min(times, key=lambda name: times[name])) if times else formats.SAVED_MODEL
    if times:
        return form, folder_of(model) / form.file
    try:
        return form, artefact(model, form, say)
    except GateError as error:
        why = [row["why"] for name, row in record["failures"].items() if name != form.name]
        raise GateError("\n".join([f"No artefact of {model.name} could be verified:", *why, str(error)])) from None


def _times(record: Mapping[str, Any], *precisions: str) -> dict[str, float]:
    """Milliseconds of what was timed, of some precisions or of all."""
    return {
        name: row["ms"]
        for name, row in record["artefacts"].items()
        if "ms" in row and (not precisions or formats.ROWS[name].precision in precisions)
    }


def artefact(model: Subject, form: Format, say: Callable[[str], Any]) -> Path:
    """The verified artefact of one format, prepared if it is not there yet.

    Raises:
        GateError: It could not be verified.
    """
    record = _prepared(model, (form,) if form.whole else formats.NETWORKS, say)
    if form.name in record["failures"]:
        raise GateError(record["failures"][form.name]["why"])
    return folder_of(model) / form.file


def discard(model: Subject) -> None:
    """Removes what was prepared of a model; it is made again when it is asked for."""
    shutil.rmtree(folder_of(model), ignore_errors=True)


def bundle(model: Subject, say: Callable[[str], Any]) -> Path:
    """A base folder whose newest version is the bundle, with every engine that was verified and how fast each is.

    What was exported in another precision since makes another version, which running servers go over to.

    Raises:
        GateError: The SavedModel could not be verified.
    """
    base = folder_of(model) / "bundle"
    newest = _newest(base)
    if newest and not set(_times(_record(model))) - set(_held(base / str(newest))):
        return base
    times = _times(_prepared(model, formats.NETWORKS, say))
    saved = artefact(model, formats.SAVED_MODEL, say)
    from filelock import FileLock

    with FileLock(folder_of(model) / ".lock"):
        if _newest(base) == newest:  # Nobody was faster.
            with store.making(folder_of(model)) as temporary:
                made = temporary / str(newest + 1)
                shutil.copytree(saved, made, copy_function=_linked)
                add_engines(made, {name: folder_of(model) / formats.ROWS[name].file for name in times}, times)
                base.mkdir(exist_ok=True)
                os.rename(made, base / made.name)
    return base


def _newest(base: Path) -> int:
    """The newest version of a bundle; 0 where there is none."""
    return max((int(each.name) for each in base.glob("*") if each.name.isdigit()), default=0)


def _held(version: Path) -> list[str]:
    """Formats of the engines that a version of a bundle holds."""
    return [name for name, form in formats.ROWS.items() if (version / FOLDER / form.file).exists()]


def add_engines(bundle: Path, files: Mapping[str, Path], times: Mapping[str, float]) -> None:
    """Puts engines' files beside a bundle's card, and how many milliseconds each takes, and seals it anew.

    Args:
        bundle: A version folder.
        files: Format -> its verified artefact.
        times: Format -> what it took on this machine.
    """
    extra = bundle / FOLDER
    extra.mkdir(parents=True, exist_ok=True)
    for name, source in files.items():
        (shutil.copytree if source.is_dir() else _linked)(str(source), str(extra / formats.ROWS[name].file))
    (extra / TIMES).write_text(json.dumps(dict(times)), encoding="utf-8")
    seal.seal_folder(bundle, FOLDER)


def _linked(source: str, target: str) -> None:
    """The same file under another name where the disk can do that, else a copy."""
    if os.path.basename(source) == seal.MANIFEST:
        return  # It is written anew, and must not change under its other name.
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _record(model: Subject) -> dict[str, Any]:
    """`artefacts` and `failures` by format; a failure counts for the converters that it happened with."""
    record: dict[str, Any] = {"artefacts": {}, "failures": {}}
    try:
        stored = json.loads((folder_of(model) / "prepared.json").read_bytes())
        for name, row in stored["artefacts"].items():
            if name in formats.ROWS and (folder_of(model) / formats.ROWS[name].file).exists():
                record["artefacts"][name] = {"ms": float(row["ms"])} if "ms" in row else {}
        for name, row in stored["failures"].items():
            if row["versions"] == _versions():
                record["failures"][name] = {"why": str(row["why"]), "versions": row["versions"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass  # None yet, or damaged: it is made again.
    return record


@functools.cache
def _versions() -> dict[str, str | None]:
    import importlib.metadata  # It is slow to import, and rarely asked.

    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def _complete(record: Mapping[str, Any], chosen: Iterable[Format]) -> bool:
    return all(form.name in record["artefacts"] or form.name in record["failures"] for form in chosen)


def _prepared(model: Subject, chosen: Sequence[Format], say: Callable[[str], Any]) -> dict[str, Any]:
    """The record, in which each of the formats is an artefact or a failure."""
    record = _record(model)
    if _complete(record, chosen):
        return record
    from filelock import FileLock

    model.fetch()  # Before the long part, and with its own words where it fails.
    folder = folder_of(model)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        record = _record(model)
        if _complete(record, chosen):
            return record  # Another process was faster.
        words = " and ".join(form.name for form in chosen)
        say(f"Preparing {model.name} for {words}, once on this machine (export, verify, time) ...")
        store.sweep(folder)
        with store.making(folder) as temporary:
            for form, made in zip(chosen, checked(model, chosen, temporary), strict=True):
                if isinstance(made, GateError):
                    record["failures"][form.name] = {"why": str(made), "versions": _versions()}
                    continue
                target = folder / form.file
                if target.is_dir():  # One that lost its record; a folder cannot be renamed over it.
                    shutil.rmtree(target)
                made.path.rename(target)
                record["artefacts"][form.name] = {}
                record["failures"].pop(form.name, None)
            files = {name: folder / formats.ROWS[name].file for name in record["artefacts"]}
            networks = {name: path for name, path in files.items() if not formats.ROWS[name].whole}
            times = timed(networks, golden_.load(temporary / "golden.npz"))
            for name, spent in times.items():
                record["artefacts"][name]["ms"] = spent
        _write(model, record)
    if times:
        shown = ", ".join(f"{name} {_duration(spent)}" for name, spent in times.items())
        say(f"Prepared {model.name}: {shown}; taking {min(times, key=lambda name: times[name])}.")
    return record


def _write(model: Subject, record: Mapping[str, Any]) -> None:
    new = folder_of(model) / ".prepared.json.new"
    new.write_text(json.dumps(record), encoding="utf-8")
    os.replace(new, folder_of(model) / "prepared.json")


def keep(model: Subject, form: Format, path: Path, ms: float | None) -> None:
    """Puts a verified artefact of less precision than floats into the cache, in the place of an older one.

    Args:
        path: Of the artefact, which stays where it is.
        ms: What one run of it takes here.
    """
    from filelock import FileLock

    folder = folder_of(model)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"), store.making(folder) as temporary:
        copy = temporary / form.file
        (shutil.copytree if path.is_dir() else shutil.copyfile)(path, copy)
        if (folder / form.file).is_dir():
            shutil.rmtree(folder / form.file)
        os.replace(copy, folder / form.file)
        record = _record(model)
        record["artefacts"][form.name] = {} if ms is None else {"ms": ms}
        _write(model, record)


def precise(model: Subject, precision: str, engine: str | None = None) -> tuple[Format, Path]:
    """The fastest artefact of a precision that was exported on this machine, and is in the cache.

    Raises:
        UsageError: There is none.
    """
    rows = _record(model)["artefacts"]
    there = [formats.ROWS[name] for name in rows if formats.ROWS[name].precision == precision]
    there = [form for form in there if engine in (None, form.engine)]
    if not there:
        made = [form for form in formats.ROWS.values() if form.precision == precision]
        how = f"--to {made[-1].word} --precision {precision}{' --calibrate DIR' * made[-1].calibrated}"
        raise UsageError(
            f"There is no {precision} artefact of {model.name} on this machine. Make one; it is kept for this, too:\n"
            f"kerazoo export {model.name} {how} -o DIR"
        )
    form = min(there, key=lambda each: rows[each.name].get("ms", float("inf")))
    return form, folder_of(model) / form.file


def _faster(record: Mapping[str, Any], ms: float) -> str | None:
    """What to say where a verified artefact of less precision is quicker."""
    for name, row in record["artefacts"].items():
        form = formats.ROWS[name]
        if form.precision != formats.FLOAT and row.get("ms", ms) < ms:
            quicker = f"{name} is verified and takes {_duration(row['ms'])}, not {_duration(ms)}"
            return f"{quicker}: --precision {form.precision} uses it."
    return None


def _duration(ms: float) -> str:
    return f"{ms:.1f} ms" if ms >= 0.1 else f"{ms * 1e3:.0f} us"


def timed(files: Mapping[str, Path], goldens: Mapping[str, Golden]) -> dict[str, float]:
    """Milliseconds that each format's network takes for the default task's golden, here and now."""
    calls = [(call.part, call.inputs) for call in next(iter(goldens.values())).calls]
    engines = {name: formats.ROWS[name].engine for name in files}
    return {name: round(median_ms(open_network(engines[name], path)[0], calls), 3) for name, path in files.items()}


def median_ms(network: Network, calls: Sequence[tuple[str, Tensors]]) -> float:
    """Median milliseconds of all calls of one answer, after two runs to warm up."""
    spent = []
    for run in range(RUNS + 2):
        start = time.perf_counter()
        for part, inputs in calls:
            network.part(part)(inputs)
        if run >= 2:
            spent.append((time.perf_counter() - start) * 1e3)
    return statistics.median(spent)
