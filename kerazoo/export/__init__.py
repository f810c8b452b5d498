"""Artefacts out: each is opened on its own engine, asked the golden and compared with Keras before it exists."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerazoo.errors import GateError, KerazooError, UsageError, near

FORMATS = ("savedmodel", "onnx", "litert")


@dataclass(frozen=True)
class Artefact:
    """One checked export.

    Attributes:
        format: `savedmodel`, `onnx` or `litert`.
        path: Where it lies.
        differences: Measured against Keras: relative errors of network outputs and of the answer's ports.
    """

    format: str
    path: Path
    differences: Mapping[str, float] = field(default_factory=dict)


def export(model: str, to: Iterable[str] = ("savedmodel",), path: str | Path = ".") -> list[Artefact]:
    """Exports a model to one or more formats, each verified before it is put into place.

    Args:
        model: A model's name.
        to: Of `savedmodel`, `onnx`, `litert`.
        path: A folder; it gets `<variant>/1/` (a bundle that TF Serving loads, with the other formats inside),
            `<variant>.onnx`, `<variant>.tflite`.

    Raises:
        UsageError: Unknown format, or the model has no weights.
        GateError: An artefact does not answer as Keras does; nothing is left of it.
    """
    from kerazoo import registry
    from kerazoo.export import golden as golden_
    from kerazoo.export import prepare

    formats = list(dict.fromkeys(to))
    for name in formats:
        if name not in FORMATS:
            raise UsageError(f"Unknown format {name!r}; known are {', '.join(FORMATS)}.{near(name, FORMATS)}")
    found = registry.find(model)
    folder = Path(path)
    targets = {
        "savedmodel": folder / found.variant / "1",
        "onnx": folder / f"{found.variant}.onnx",
        "litert": folder / f"{found.variant}.tflite",
    }
    for name in formats:
        _refuse_taken(targets[name])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".kerazoo-") as temporary:
        placed = []
        for artefact in checked(found.name, formats, Path(temporary)):
            if isinstance(artefact, GateError):
                raise artefact
            target = targets[artefact.format]
            target.parent.mkdir(parents=True, exist_ok=True)
            _refuse_taken(target)
            artefact.path.rename(target)
            placed.append(Artefact(artefact.format, target, artefact.differences))
        engines = {artefact.format: artefact.path for artefact in placed if artefact.format != "savedmodel"}
        if "savedmodel" in formats and engines:
            # A server that opens the bundle then need not run TensorFlow.
            golden = golden_.load(Path(temporary) / "golden.npz")
            prepare.add_engines(targets["savedmodel"], engines, prepare.timed(engines, golden))
    return placed


def _refuse_taken(target: Path) -> None:
    if target.exists():
        raise UsageError(f"{target} exists already and was not overwritten. Remove it, or choose another folder.")


def checked(model: str, formats: Iterable[str], folder: Path) -> Iterator[Artefact | GateError]:
    """Converts in a process of its own, then verifies one artefact after the other in the folder.

    Yields:
        For each format the artefact, which the caller moves into place, or why there is none.
    """
    from kerazoo.export import golden as golden_
    from kerazoo.export.convert import FILES

    failures = json.loads(run("kerazoo.export.convert", model, str(folder), *formats))
    golden = golden_.load(folder / "golden.npz")
    for name, failure in failures.items():
        path = folder / FILES[name]
        try:
            if failure is not None:
                raise GateError(f"{model} cannot be converted to {name}: {failure}")
            yield Artefact(name, path, _verified(name, path, golden))
        except GateError as error:
            yield error


def _verified(name: str, path: Path, golden: Any) -> dict[str, float]:
    from kerazoo.engines import open_network
    from kerazoo.export import verify

    if name == "savedmodel":
        # A fresh process, as a server's is, and TensorFlow stays out of this one.
        return json.loads(run("kerazoo.export.verify", str(path), str(path.parent / "golden.npz")))
    network, card = open_network(name, path)
    return verify.check(card.task, golden, network, name, path.name)


def run(module: str, *arguments: str) -> str:
    """Runs a module of ours in a fresh interpreter; its standard output.

    Raises:
        KerazooError: It failed; an error of ours comes back as the same class with the same words.
    """
    done = subprocess.run(
        [sys.executable, "-m", "kerazoo.export.worker", module, *arguments],
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode == 0:
        return done.stdout
    from kerazoo import errors

    kind, _, message = done.stdout.strip().rpartition("\x1e")[2].partition("\x1f")
    known = getattr(errors, kind, None) if kind.isidentifier() else None
    if known is not None:
        raise known(message)
    tail = "\n".join(done.stderr.strip().splitlines()[-3:])
    raise KerazooError(f"{module} ended with status {done.returncode}: {tail}")


class _Module(types.ModuleType):
    # `kerazoo.export` is both this package and the public function `kerazoo.export(...)`.
    def __call__(self, *args: Any, **kwargs: Any) -> list[Artefact]:
        return export(*args, **kwargs)


sys.modules[__name__].__class__ = _Module

__all__ = ["FORMATS", "Artefact", "checked", "export", "run"]
