"""`kerazoo card`: a file of anybody's becomes a model, by a copy that says what it does and was asked about it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kerazoo import __version__, engines, formats, seal, store
from kerazoo.contract import Network
from kerazoo.engines import card as card_
from kerazoo.engines import safety
from kerazoo.engines.adapter import adapted
from kerazoo.engines.card import FOLDER, KEY, Card
from kerazoo.errors import UsageError
from kerazoo.export import golden as golden_
from kerazoo.own import ports, stating
from kerazoo.own.files import plain_stem
from kerazoo.own.ports import Opened
from kerazoo.own.stating import Described, Statement, statement
from kerazoo.registry import Built, file_sha256
from kerazoo.store.paths import writing


def _silent(line: str) -> None:
    pass


def card(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    trust: bool = False,
    say: Callable[[str], Any] = _silent,
    **stated: Any,
) -> Path:
    """Copies a file of a classifier of pictures together with a card, so that everything that takes a MODEL takes it.

    The file is opened on its engine and asked about pictures before anything is written; the copy holds what it
    answered, and the hash of its own bytes.

    Args:
        path: A `.keras`, `.onnx` or `.tflite` file, or a SavedModel folder.
        out: The copy; it must not exist yet.
        trust: Whether a SavedModel's graph may reach files, the network and other code.
        say: Is told, a line each, the ports that were found, and what was assumed.
        stated: `labels`, `size` and the others of `kerazoo.own.stating.Statement`; `labels` may be the path of a text
            file, `size` one number.

    Returns:
        `out`.

    Raises:
        UsageError: The file is no model, or is not what was stated; `out` exists.
        GateError: Its answer is the same whatever the picture.
    """
    source, target = Path(path).expanduser(), Path(out).expanduser()
    words = statement(**stated)
    _refuse(source, target)
    opened, described = _described(source, words, trust, say)
    _write(source, target, opened, described)
    return target


def stated(
    path: str | os.PathLike[str], *, trust: bool = False, say: Callable[[str], Any] = _silent, **statement_: Any
) -> Path:
    """A copy with a card in the cache, made once for a file and a statement.

    Args:
        path, trust, say, statement_: As `card` takes them.

    Raises:
        UsageError, GateError: As `card` does.
    """
    source = Path(path).expanduser()
    words = statement(**statement_)
    ports.engine_of(source)
    _refuse_own(source)
    made_from = json.dumps([__version__, _sha256(source), asdict(words)], sort_keys=True)
    key = hashlib.sha256(made_from.encode()).hexdigest()[:16]
    folder = store.artefacts(f"{_stem(source)}:stated")
    target = folder / key / f"{_stem(source)}{'' if source.is_dir() else source.suffix}"
    if not target.exists():
        opened, described = _described(source, words, trust, say)
        with store.making(folder) as temporary:
            made = temporary / "made" / target.name
            made.parent.mkdir()
            _write(source, made, opened, described)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():  # Else another process was faster.
                os.rename(made, target)
    return target


def _stem(path: Path) -> str:
    path = path.absolute()
    # Versions are numbers; the model's name is what holds them.
    return plain_stem(path.parent if path.is_dir() and path.name.isdigit() else path)


def _sha256(path: Path) -> list[str]:
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    if path.suffix == formats.ONNX.suffix:
        files += safety.check_onnx(path)
    return [text for each in files for text in (each.relative_to(path.parent).as_posix(), file_sha256(each))]


def _refuse(source: Path, target: Path) -> None:
    ports.engine_of(source)
    if os.path.lexists(target):
        raise UsageError(f"{target} exists already and was not overwritten. Remove it, or choose another name.")
    wanted = "" if source.is_dir() else source.suffix
    if wanted and target.suffix != wanted:
        raise UsageError(f"{target} must end in {wanted}: it will be a copy of {source}, with a card.")
    if source.is_dir() and target.absolute().is_relative_to(source.absolute()):
        raise UsageError(f"{target} lies within {source}; choose a folder beside it.")
    _refuse_own(source)


def _refuse_own(source: Path) -> None:
    """Refuses what Kerazoo exported: it has a card, and normalises within."""
    engine = ports.engine_of(source)
    if engine == engines.KERAS:
        return  # What `kerazoo.save` wrote can be stated anew.
    try:
        found = _CARDS[engine](source)
    except UsageError:
        return
    if found.adapter is None:
        raise UsageError(
            f"{source} is an export of Kerazoo and has its card already: {found.model}.\n"
            f"It is asked as it is: kerazoo predict INPUT -m {source}"
        )


_CARDS: dict[str, Callable[[Path], Card]] = {
    formats.SAVED_MODEL.engine: card_.of_folder,
    formats.LITERT.engine: card_.of_archive,
    formats.ONNX.engine: lambda path: engines.open_network(formats.ONNX.engine, path)[1],
}


def _described(source: Path, words: Statement, trust: bool, say: Callable[[str], Any]) -> tuple[Opened, Described]:
    opened = ports.opened(source, words.signature, trust)
    for line in opened.lines():
        say(line)
    described = stating.describe(opened, words)
    if described.assumed:
        say(f"Assumed: {'; '.join(described.assumed)}.")
    return opened, described


def _write(source: Path, target: Path, opened: Opened, described: Described) -> None:
    """Writes the copy: nothing is there until all of it is."""
    name, several = _stem(target), {described.task.kind: described.task}
    if opened.model is not None:
        goldens = golden_.goldens_of(Built(name, opened.model, several, described.normalise))
    else:
        signatures = described.task.parts
        network: Network = adapted(opened.network, described.adapter, signatures, described.normalise)
        goldens = {kind: golden_.answer(task, network) for kind, task in several.items()}
        for golden in goldens.values():
            golden_.refuse_flat(golden, name)
    made = Card(
        name,
        several,
        normalise=described.normalise,
        adapter=None if opened.model is not None else described.adapter,
        weights_sha256=None if source.is_dir() else file_sha256(source),
        versions={"kerazoo": importlib.metadata.version("kerazoo")},
        goldens={kind: golden_.to_card(golden) for kind, golden in goldens.items()},
    )
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".kerazoo-") as folder:
            new = Path(folder) / target.name
            _WRITERS[opened.engine](source, new, made)
            if os.path.lexists(target):
                raise UsageError(f"{target} exists already and was not overwritten.")
            os.rename(new, target)


def _into_archive(source: Path, new: Path, made: Card) -> None:
    _copy_without_card(source, new)
    card_.into_archive(new, made)
    seal.seal_zip(new)


def _copy_without_card(source: Path, new: Path) -> None:
    """Copies a zip archive, or a file that may end with one, without the card that it may have."""
    try:
        with zipfile.ZipFile(source) as archive:
            kept = [each for each in archive.infolist() if not _is_ours(each.filename)]
            if len(kept) == len(archive.infolist()):
                shutil.copyfile(source, new)
                return
            start = min(each.header_offset for each in archive.infolist())
            with source.open("rb") as file, new.open("wb") as copy:
                copy.write(file.read(start))
            with zipfile.ZipFile(new, "a") as again:
                for each in kept:
                    with archive.open(each) as member, again.open(each, "w", force_zip64=True) as written:
                        shutil.copyfileobj(member, written)
    except zipfile.BadZipFile:  # A .tflite file without associated files.
        shutil.copyfile(source, new)


def _is_ours(name: str) -> bool:
    return name == card_.FILE or name.startswith(f"{KEY}/")


def _into_onnx(source: Path, new: Path, made: Card) -> None:
    import onnx

    try:
        proto = onnx.load(str(source))  # With the tensors that it keeps in other files.
        others = [each for each in proto.metadata_props if not each.key.startswith(KEY)]
        del proto.metadata_props[:]
        proto.metadata_props.extend(others)
        for key, value in {KEY: made.dumps(), **{f"{KEY}/{n}": d.decode() for n, d in made.files().items()}}.items():
            entry = proto.metadata_props.add()
            entry.key, entry.value = key, value
        data = proto.SerializeToString()
    except Exception as error:  # protobuf refuses messages of more than 2 GB in several ways.
        raise UsageError(f"{source} cannot be written with a card: {next(iter(str(error).splitlines()), '')}") from None
    new.write_bytes(data)
    seal.seal_onnx(new)


def _into_folder(source: Path, new: Path, made: Card) -> None:
    shutil.copytree(source, new, ignore=lambda folder, names: [KEY] if Path(folder).name == FOLDER.parts[0] else [])
    card_.into_folder(new, made)
    seal.seal_folder(new, FOLDER)


_WRITERS: dict[str, Callable[[Path, Path, Card], None]] = {
    engines.KERAS: _into_archive,
    formats.LITERT.engine: _into_archive,
    formats.ONNX.engine: _into_onnx,
    formats.SAVED_MODEL.engine: _into_folder,
}
