"""Artefacts out: each is opened on its own engine, asked the golden and compared with Keras before it exists."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerazoo import formats
from kerazoo.errors import GateError, KerazooError, UsageError

if TYPE_CHECKING:
    from kerazoo.own import Subject


@dataclass(frozen=True)
class Artefact:
    """One checked export.

    Attributes:
        format: The word of its format.
        path: Where it lies.
        differences: Measured against Keras: relative errors of network outputs and of the answer's ports.
    """

    format: str
    path: Path
    differences: Mapping[str, float] = field(default_factory=dict)


def export(
    model: Any,
    to: str | Iterable[str] = (formats.SAVED_MODEL.name,),
    path: str | Path = ".",
    *,
    labels: Iterable[str] | None = None,
    task: Any = None,
    normalise: Any = None,
) -> list[Artefact]:
    """Exports a model to one or more formats, each verified before it is put into place.

    Args:
        model: A model's name, the path of a file of one's own, or a `keras.Model`.
        to: Words of `kerazoo.formats.FORMATS`: `savedmodel`, `onnx`, `litert`; one, or several.
        path: A folder; it gets `<name>/1/` (a bundle that TF Serving loads, with the other formats inside),
            `<name>.onnx`, `<name>.tflite`.
        labels, task, normalise: Of a `keras.Model`, as `kerazoo.save` takes them.

    Raises:
        UsageError: Unknown format, or the model has no weights.
        GateError: An artefact does not answer as Keras does; nothing is left of it.
    """
    from kerazoo import own

    words = [to] if isinstance(to, str) else list(dict.fromkeys(to))
    chosen = [formats.find(word) for word in words]
    if not chosen:
        raise UsageError(f"Name the formats to export to: {', '.join(formats.FORMATS)}.")
    with own.subject(model, labels=labels, task=task, normalise=normalise) as found:
        return _exported(found, chosen, Path(path).expanduser())


def _exported(found: Subject, chosen: list[formats.Format], folder: Path) -> list[Artefact]:
    from kerazoo.export import golden as golden_
    from kerazoo.export import prepare

    def target(form: formats.Format) -> Path:
        return folder / found.stem / "1" if form.whole else folder / f"{found.stem}{form.suffix}"

    for form in chosen:
        _refuse_taken(target(form))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".kerazoo-") as temporary:
        made = []
        for artefact in checked(found, chosen, Path(temporary)):
            if isinstance(artefact, GateError):
                raise artefact
            made.append(artefact)
        networks = {each.format: each.path for each in made if not formats.find(each.format).whole}
        for artefact in made:
            if formats.find(artefact.format).whole and networks:
                # A server that opens the bundle then need not run TensorFlow.
                goldens = golden_.load(Path(temporary) / "golden.npz")
                prepare.add_engines(artefact.path, networks, prepare.timed(networks, goldens))
        placed = []
        for artefact in made:
            place = target(formats.find(artefact.format))
            place.parent.mkdir(parents=True, exist_ok=True)
            _refuse_taken(place)
            artefact.path.rename(place)
            placed.append(Artefact(artefact.format, place, artefact.differences))
    return placed


def _refuse_taken(target: Path) -> None:
    if target.exists():
        raise UsageError(f"{target} exists already and was not overwritten. Remove it, or choose another folder.")


def checked(found: Subject, chosen: Iterable[formats.Format], folder: Path) -> Iterator[Artefact | GateError]:
    """Converts in a process of its own, then verifies one artefact after the other in the folder.

    Yields:
        For each format the artefact, which the caller moves into place, or why there is none.
    """
    failures = json.loads(run("kerazoo.export.convert", found.name, str(folder), *(form.name for form in chosen)))
    for name, failure in failures.items():
        form = formats.find(name)
        path = folder / form.file
        try:
            if failure is not None:
                raise GateError(f"{found.name} cannot be converted to {name}: {failure}")
            yield Artefact(name, path, _verified(form, path))
        except GateError as error:
            yield error


def _verified(form: formats.Format, path: Path) -> dict[str, float]:
    from kerazoo.export import verify

    arguments = str(path), str(path.parent / "golden.npz"), form.name
    # What is whole needs TensorFlow: a fresh process, as a server's is, and TensorFlow stays out of this one.
    return json.loads(run("kerazoo.export.verify", *arguments)) if form.whole else verify.main(*arguments)


def run(module: str, *arguments: str) -> str:
    """Runs a module of ours in a fresh interpreter, which ends with this process; its standard output.

    Raises:
        KerazooError: It failed; an error of ours comes back as the same class with the same words.
    """
    # The worker's input ends when this process does, however that comes.
    ours, theirs = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "kerazoo.export.worker", module, *arguments],
            capture_output=True, text=True, stdin=ours,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
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

__all__ = ["Artefact", "checked", "export", "run"]
