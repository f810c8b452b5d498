"""`kerazoo predict`: one command for every task."""

from __future__ import annotations

import contextlib
import functools
import glob
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kerazoo.errors import InputError, UsageError

if TYPE_CHECKING:
    from kerazoo.contract import Task
    from kerazoo.predictor import Prediction, Predictor
    from kerazoo.scale import Spread


@dataclass(frozen=True)
class Source:
    """One input: what it is called in the output, and how it is read when its turn comes."""

    label: str
    get: Callable[[], Any]

    def __call__(self) -> Any:
        return self.get()


@click.command()
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@click.option("-m", "--model", help="variant[:weights], or a .keras, .onnx or .tflite file or SavedModel folder.")
@click.option(
    "--engine", default="auto", show_default=True, metavar="NAME", help="auto, keras, savedmodel, onnx or litert."
)
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="How many labels.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write pictures: a file, or a folder for many.")
@click.option("--seed", type=int, multiple=True, help="For models that sample; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--recursive", is_flag=True, help="Folders within folders too.")
@click.option("--server", metavar="URL", help="Ask a server: http://host:8501 or grpc://host:8500.")
@click.option("--token-file", type=click.Path(path_type=Path), help="Its bearer token.")
@click.option("--scale", type=click.Choice(["ray"]), help="Spread the items over a cluster.")
@click.option("--address", metavar="HOST:PORT", help="Of its head, or auto; by default this machine alone.")
@click.option("--batch", default=1, show_default=True, type=click.IntRange(1), help="Items a run of the network.")
def predict(
    inputs: tuple[str, ...],
    model: str | None,
    engine: str,
    top: int,
    output: Path | None,
    seed: tuple[int, ...],
    as_json: bool,
    recursive: bool,
    server: str | None,
    token_file: Path | None,
    scale: str | None,
    address: str | None,
    batch: int,
) -> int:
    """Answers each INPUT with a model.

    INPUT is a file, a folder, a glob, an http(s) URL, - (bytes on stdin) or
    @list.txt (an input a line). Models on text take the text itself; models
    that sample take --seed.

    Exit status 3 says that some inputs failed; each has its row.
    """
    from kerazoo import loading
    from kerazoo.cli import say

    if not inputs and not seed:
        raise click.UsageError("Nothing to predict: give files, folders, globs, URLs, - or @list.txt.")
    if address is not None and scale is None:
        raise click.UsageError("--address is the cluster's; it needs --scale ray.")
    if server is not None and scale is not None:
        raise click.UsageError("Either --server or --scale: a server scales by itself.")
    predictor: Predictor | Spread
    if server is not None:
        from kerazoo.serve.client import Client

        token = token_file.read_text(encoding="utf-8").strip() if token_file is not None else None
        predictor = Client(server, model, token=token)
    elif scale is not None:
        from kerazoo.scale import spread

        predictor = spread(model or loading.default_model(say), engine, address, say)
    else:
        predictor = loading.load(model or loading.default_model(say), engine, say=say)
    sources: Iterable[Source] = _sources(inputs, predictor.task, recursive)
    if seed:
        sources = list(_seeds(predictor.task, seed))
    many = len(inputs) + len(seed) > 1 or any(_is_many(text) for text in inputs)
    writer = _Writer(output, many) if output else None
    failed = False
    out = sys.stdout  # While a cluster answers, what else is printed goes to stderr.
    if scale is not None:
        sources = [_carried(source) for source in sources]
        predictions = _counted(predictor.stream(sources, batch=batch), len(sources))
    else:
        predictions = predictor.stream(sources, batch=batch)
    for prediction in predictions:
        result, label = prediction.result, prediction.item.label
        plain = result.to_json(top)
        bad = "error" in plain
        failed |= bad
        if not bad and writer:
            # The file holds what the line would repeat in base64.
            plain = {**{k: v for k, v in plain.items() if k not in ("picture", "mask")}, "file": writer(label, result)}
        if as_json:
            head = {"input": label, "model": predictor.name}
            tail = {} if bad else {"ms": round(prediction.ms, 3)}
            task = {} if bad else {"task": predictor.task.kind}
            click.echo(json.dumps({**head, **task, **plain, **tail}, ensure_ascii=False), file=out)
        elif bad:
            say(f"{label}: error: {plain['error']}")
        else:
            with contextlib.redirect_stdout(out):
                _print(label if many else None, result, plain, top, hint=not output)
    return InputError.exit_code if failed else 0


def _carried(source: Source) -> Source:
    """The same where another machine can ask for it, too: what comes on stdin is read here."""
    return Source("-", functools.partial(bytes, source())) if source.label == "-" else source


def _counted(predictions: Iterator[Prediction], total: int) -> Iterator[Prediction]:
    """The same, with a count on stderr where a person sees it and sees no lines of answers between."""
    shown = sys.stderr.isatty() and not sys.stdout.isatty()
    for done, prediction in enumerate(predictions, 1):
        if shown:
            click.echo(f"\r{done} of {total}", nl=done == total, err=True)
        yield prediction


def _print(label: str | None, result: Any, plain: dict[str, Any], top: int, hint: bool) -> None:
    rows = result.rows(top)
    indent = ""
    if label is not None:
        click.echo(label)
        indent = "  "
    for row in [*rows, *([plain["file"]] if "file" in plain else [])]:
        click.echo(f"{indent}{row}")
    if hint and hasattr(result, "picture"):
        click.echo("(a picture; -o PATH writes it)", err=True)


class _Writer:
    """Writes result pictures: to the path itself for one input, into it as a folder for many."""

    def __init__(self, path: Path, many: bool) -> None:
        self.path = path
        self.folder = many or path.is_dir() or str(path).endswith(os.sep)
        self.taken: set[Path] = set()

    def __call__(self, label: str, result: Any) -> str:
        picture = getattr(result, "picture", None)
        if picture is None:
            raise UsageError("-o writes pictures, and this model's answer holds none; --json > FILE keeps answers.")
        target = self.path
        if self.folder:
            self.path.mkdir(parents=True, exist_ok=True)
            stem = Path(label).stem or "stdin" if label != "-" else "stdin"
            target = self.path / f"{stem}.png"
            count = 1
            while target in self.taken:
                count += 1
                target = self.path / f"{stem}-{count}.png"
            self.taken.add(target)
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(f".{target.name}.new")
        try:
            new.write_bytes(picture)
            os.replace(new, target)
        finally:
            new.unlink(missing_ok=True)
        return str(target)


def _is_many(text: str) -> bool:
    return text.startswith("@") or Path(text).is_dir() or (glob.has_magic(text) and not Path(text).exists())


def _seeds(task: Task, seeds: Iterable[int]) -> Iterator[Source]:
    if [port.media for port in task.request] != ["seed"]:
        raise UsageError(f"--seed is for models that sample; this one does {task.kind} and takes INPUT.")
    for seed in seeds:
        yield Source(str(seed), lambda seed=seed: seed)  # type: ignore[misc]


def _sources(inputs: Iterable[str], task: Task, recursive: bool) -> Iterator[Source]:
    from kerazoo import codecs

    if [port.media for port in task.request] == ["seed"]:
        raise UsageError("This model samples: give --seed NUMBER instead of INPUT.")
    suffixes = set(codecs.of(task.request[0]).SUFFIXES)
    if not suffixes:
        yield from _texts(inputs)
        return
    for text in inputs:
        yield from _files(text, suffixes, recursive)


def _texts(inputs: Iterable[str]) -> Iterator[Source]:
    for text in inputs:
        lines = [text]
        if text == "-":
            lines = sys.stdin.read().splitlines()
        elif text.startswith("@"):
            lines = _list(text[1:])
        for line in lines:
            yield Source(line, lambda line=line: line)  # type: ignore[misc]


def _files(text: str, suffixes: set[str], recursive: bool) -> Iterator[Source]:
    if text == "-":
        yield Source("-", sys.stdin.buffer.read)
    elif text.startswith(("http://", "https://")):
        yield Source(text, lambda: _download(text))
    elif text.startswith("@") and not Path(text).exists():
        for line in _list(text[1:]):
            yield from _files(line, suffixes, recursive)
    elif Path(text).is_dir():
        found = False
        for path in _walk(text, recursive):
            if Path(path).suffix.lower() in suffixes:
                found = True
                yield Source(path, lambda path=path: path)  # type: ignore[misc]
        if not found:
            more = "" if recursive else "; --recursive looks in its folders too"
            yield _bad(text, f"No pictures in this folder (by suffix: {', '.join(sorted(suffixes))}){more}.")
    elif glob.has_magic(text) and not Path(text).exists():
        paths = sorted(path for path in glob.iglob(text, recursive=True) if not Path(path).is_dir())
        for path in paths:
            yield Source(path, lambda path=path: path)  # type: ignore[misc]
        if not paths:
            yield _bad(text, "No file matches this pattern.")
    else:
        yield Source(text, lambda: text)


def _walk(folder: str, recursive: bool) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for name, is_folder in sorted((entry.name, entry.is_dir()) for entry in entries):
            path = os.path.join(folder, name)
            if not is_folder:
                yield path
            elif recursive:
                yield from _walk(path, recursive)


def _list(path: str) -> list[str]:
    try:
        return [line for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The list {path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _bad(label: str, message: str) -> Source:
    def fail() -> Any:
        raise InputError(message)

    return Source(label, fail)


def _download(url: str) -> bytes:
    import urllib.error
    import urllib.request

    from kerazoo.codecs._files import MAX_BYTES

    if os.environ.get("KERAZOO_OFFLINE", "").lower() in ("1", "true", "yes"):
        raise InputError("KERAZOO_OFFLINE is set: URLs are not fetched.")
    try:
        with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310  The scheme was checked by the caller.
            data = response.read(MAX_BYTES + 1)
    except urllib.error.HTTPError as error:
        error.close()
        raise InputError(f"Cannot be fetched: {error}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"Cannot be fetched: {error}") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"Larger than {MAX_BYTES >> 20} MiB.")
    return data
