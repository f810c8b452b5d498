"""Artefacts out: each is opened on its own engine, asked the golden and compared with Keras before it exists."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerazoo import formats, packages
from kerazoo.errors import GateError, KerazooError, UsageError
from kerazoo.export import lower

if TYPE_CHECKING:
    from kerazoo.own import Subject


@dataclass(frozen=True)
class Artefact:
    """One checked export.

    Attributes:
        format: Its name in `kerazoo.formats.ROWS`.
        path: Where it lies.
        differences: Measured against Keras: relative errors of network outputs and of the answer's ports.
        agreement: With the answers in floats, in the measure of the task; `None` where it was not asked.
        ms: What one run of the network took here.
        report: How it was quantised.
    """

    format: str
    path: Path
    differences: Mapping[str, float] = field(default_factory=dict)
    agreement: float | None = None
    ms: float | None = None
    report: Mapping[str, Any] = field(default_factory=dict)


def export(
    model: Any,
    to: str | Iterable[str] = (formats.SAVED_MODEL.name,),
    path: str | Path = ".",
    *,
    labels: Iterable[str] | None = None,
    task: Any = None,
    normalise: Any = None,
    precision: str = formats.FLOAT,
    calibrate: str | Path | None = None,
    min_agreement: float | None = None,
    batch: str | None = None,
    part: str | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    say: Callable[[str], Any] = lambda line: None,
) -> list[Artefact]:
    """Exports a model to one or more formats, each verified before it is put into place.

    Args:
        model: A model's name, the path of a file of one's own, or a `keras.Model`.
        to: Words of `kerazoo.formats.FORMATS`: `savedmodel`, `onnx`, `litert`; one, or several.
        path: A folder; it gets `<name>/1/` (a bundle that TF Serving loads, with the other formats inside),
            `<name>.onnx`, `<name>.tflite`; in another precision `<name>.int8.tflite` and so on.
        labels, task, normalise: Of a `keras.Model`, as `kerazoo.save` takes them.
        precision: Of `kerazoo.formats.PRECISIONS`.
        calibrate: Where the precision is calibrated: a folder of items such as the model will be asked about (a text
            file with an item a line where they are typed), or `random` for made-up ones.
        min_agreement: How often, or how far, answers must agree with those in floats, in the task's own measure
            (`kerazoo.export.agreement`), on items that calibration did not see; the measure's own figure by default.
        batch: `1` or `dynamic`, where the format's own way is not wanted.
        part: Of a network in several, which is written alone.
        ranges: Those that training learned, by the name of the layer whose output they hold for; a file of one's own
            may carry them in its card.
        say: Is told, a line each, what was checked and what came out.

    Raises:
        UsageError: Unknown format, a precision that it does not have, no calibration items, no weights, or a place
            that cannot be written.
        GateError: An artefact does not answer as Keras does; nothing is left of it.
    """
    from kerazoo import own

    words = [to] if isinstance(to, str) else list(dict.fromkeys(to))
    chosen = [formats.find(word, precision) for word in words]
    if not chosen:
        raise UsageError(f"Name the formats to export to: {', '.join(formats.FORMATS)}.")
    with own.subject(model, labels=labels, task=task, normalise=normalise) as found:
        learned = _learned(found, ranges)
        _check_options(found, chosen, calibrate, batch, part, learned)
        how = lower.How(str(calibrate or lower.RANDOM), min_agreement, learned, calibrate is not None)
        options = _options(found, batch, part)
        made = _exported(found, chosen, Path(path).expanduser(), how, options, say)
        if not options and isinstance(model, (str, os.PathLike)):
            _keep(found, made)
        return made


def _check_options(
    found: Subject, chosen: list[formats.Format], calibrate: Any, batch: str | None, part: str | None, learned: Any
) -> None:
    form = chosen[0]
    if form.calibrated and calibrate is None and not learned:
        raise UsageError(
            f"{form.precision} is calibrated: --calibrate DIR names a folder of a hundred or more pictures (or what\n"
            f"the model takes) such as it will be asked about. `--calibrate {lower.RANDOM}` makes some up, at a cost."
        )
    if form.precision != formats.FLOAT:
        from kerazoo.export import quantize

        for each in chosen:
            packages.needed(quantize.tool(each).PACKAGE)  # Said now, and not after the conversion.
    if calibrate is not None and not form.rounded:
        raise UsageError(f"--calibrate is for dynamic, int8 and int16x8; {form.precision} needs nothing of the kind.")
    if batch not in (None, "1", "dynamic"):
        raise UsageError(f"--batch {batch} is neither 1 nor dynamic.")
    whole = next((each for each in chosen if each.whole), None)
    if part is not None and whole is not None:
        raise UsageError(f"--part writes a network's part alone; {whole.name} holds the whole answer.")
    if part is not None:
        has = _parts(found)
        if has and part not in has:
            raise UsageError(f"{found.name} has the parts {', '.join(has)}; {part!r} was asked for.")
    if batch == "1" and whole is not None:
        raise UsageError(f"{whole.name} takes any number of rows; --batch 1 is for {_words(formats.NETWORKS)}.")


def _parts(found: Subject) -> list[str]:
    """Names of the network's parts, without building it; none where only building it would tell."""
    from kerazoo import registry, tasks

    if isinstance(found, registry.Model):
        return list(tasks.parts(registry.tasks_of(found)[0]))
    card = getattr(found, "card", lambda: None)()
    return list(card.parts) if card is not None else []


def _words(forms: Iterable[formats.Format]) -> str:
    return " and ".join(form.word for form in forms)


def _options(found: Subject, batch: str | None, part: str | None) -> dict[str, str]:
    return {name: value for name, value in (("batch", batch), ("part", part)) if value is not None}


def _learned(found: Subject, ranges: Mapping[str, Any] | None) -> dict[str, tuple[float, float]] | None:
    card = getattr(found, "card", None)
    stated = ranges if ranges is not None else getattr(card() if card is not None else None, "ranges", None)
    return {name: (float(low), float(high)) for name, (low, high) in stated.items()} if stated else None


def _keep(found: Subject, made: Iterable[Artefact]) -> None:
    """What is less precise than floats is kept in the cache, too, where `--precision` finds it."""
    from kerazoo.export import prepare

    for artefact in made:
        form = formats.ROWS[artefact.format]
        if form.precision != formats.FLOAT:
            prepare.keep(found, form, artefact.path, artefact.ms)


def _exported(
    found: Subject, chosen: list[formats.Format], folder: Path, how: lower.How, options: Mapping[str, str],
    say: Callable[[str], Any],
) -> list[Artefact]:  # fmt: skip
    from kerazoo.export import golden as golden_
    from kerazoo.export import prepare

    def target(form: formats.Format) -> Path:
        named = f"{found.stem}.{options['part']}" if "part" in options else found.stem
        return folder / found.stem / "1" if form.whole else folder / f"{named}{form.suffix}"

    for form in chosen:
        _refuse_taken(target(form))
    _writable(folder)
    base = [formats.find(form.word) for form in chosen]
    with tempfile.TemporaryDirectory(dir=folder, prefix=".kerazoo-") as temporary:
        place = Path(temporary)
        if how.learned is not None:
            (place / lower.LEARNED).write_text(json.dumps(how.learned), encoding="utf-8")
        made = []
        for form, artefact in zip(chosen, checked(found, base, place, **options), strict=True):
            if isinstance(artefact, GateError):
                raise artefact
            if form.precision != formats.FLOAT:
                artefact = lower.lowered(artefact, form, place, how, say)
            made.append(artefact)
        networks = {each.format: each.path for each in made if not formats.ROWS[each.format].whole}
        goldens = golden_.load(place / "golden.npz") if made else {}
        times = {} if "part" in options else prepare.timed(networks, goldens)
        for artefact in made:
            if formats.ROWS[artefact.format].whole and networks:
                # A server that opens the bundle then need not run TensorFlow.
                prepare.add_engines(artefact.path, networks, times)
        placed = []
        for artefact in made:
            spot = target(formats.ROWS[artefact.format])
            spot.parent.mkdir(parents=True, exist_ok=True)
            _refuse_taken(spot)
            artefact.path.rename(spot)
            placed.append(dataclasses.replace(artefact, path=spot, ms=times.get(artefact.format, artefact.ms)))
            lower.tell(placed[-1], say)
    return placed


def _writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror or error}. Choose another folder.") from None


def _refuse_taken(target: Path) -> None:
    if target.exists():
        raise UsageError(f"{target} exists already and was not overwritten. Remove it, or choose another folder.")


def checked(
    found: Subject, chosen: Iterable[formats.Format], folder: Path, **options: str
) -> Iterator[Artefact | GateError]:
    """Converts in a process of its own, then verifies one artefact after the other in the folder.

    Args:
        options: `batch` and `part`, as `convert` takes them.

    Yields:
        For each format the artefact, which the caller moves into place, or why there is none.
    """
    words = (*(form.name for form in chosen), *(f"{name}={value}" for name, value in options.items()))
    failures = json.loads(run("kerazoo.export.convert", found.name, str(folder), *words))
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
