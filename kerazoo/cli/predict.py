"""`kerazoo predict`: one command for every task."""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from kerazoo.cli._statement import resolved, statement
from kerazoo.cli._statement import trust as trust_
from kerazoo.errors import InputError

if TYPE_CHECKING:
    from kerazoo.inputs import Source
    from kerazoo.predictor import Predictor
    from kerazoo.scale import Spread


@click.command()
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@click.option("-m", "--model", help="variant[:weights], or a .keras, .onnx or .tflite file or SavedModel folder.")
@click.option(
    "--engine", default="auto", show_default=True, metavar="NAME", help="auto, keras, savedmodel, onnx or litert."
)
@click.option("--precision", default="auto", show_default=True, metavar="WORD", help="auto (floats), int8, fp16, ...")
@click.option("--task", metavar="KIND", help="Of a model that does several, which.")
@click.option("--port", "ports", multiple=True, metavar="NAME=VALUE", help="Fills another port; may be repeated.")
@click.option("--seed", type=int, multiple=True, help="For models that sample; may be repeated.")
@click.option("--count", type=click.IntRange(1), help="So many seeds from --seed on, which is then 0 by default.")
@click.option("--label", multiple=True, help="For models that draw what is asked for: a class; may be repeated.")
@click.option("--to-seed", type=int, help="From one --seed to this one, in --frames.")
@click.option("--frames", type=click.IntRange(2), help="Of these, both ends counted; 16 by default.")
@click.option("--temperature", type=click.FloatRange(0), help="Of noise, and of what is written: below 1 is likelier.")
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="How many labels.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write files: to a file, or a folder for many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--recursive", is_flag=True, help="Folders within folders too.")
@click.option("--server", metavar="URL", help="Ask a server: http://host:8501 or grpc://host:8500.")
@click.option("--token-file", type=click.Path(path_type=Path), help="Its bearer token.")
@click.option("--scale", type=click.Choice(["ray"]), help="Spread the items over a cluster.")
@click.option("--address", metavar="HOST:PORT", help="Of its head, or auto; by default this machine alone.")
@click.option("--crf", is_flag=True, help="Sharpens outlines of segments: a fully connected field.")
@click.option("--length", type=int, help="Characters to write.")
@click.option("--top-k", type=int, help="Only so many of the most probable are drawn from.")
@click.option("--attention", is_flag=True, help="Of a translation: at which words it looked; drawn by -o FILE.png.")
@click.option("--exact-pixels", is_flag=True, help="Decode large pictures whole, not only as far as needed.")
@click.option("--batch", default=1, show_default=True, type=click.IntRange(1), help="Items a run of the network.")
@statement()
@trust_
def predict(
    inputs: tuple[str, ...],
    model: str | None,
    engine: str,
    precision: str,
    task: str | None,
    ports: tuple[str, ...],
    seed: tuple[int, ...],
    count: int | None,
    label: tuple[str, ...],
    to_seed: int | None,
    frames: int | None,
    temperature: float | None,
    top: int,
    output: Path | None,
    as_json: bool,
    recursive: bool,
    server: str | None,
    token_file: Path | None,
    scale: str | None,
    address: str | None,
    crf: bool,
    length: int | None,
    top_k: int | None,
    attention: bool,
    exact_pixels: bool,
    batch: int,
    stated: dict[str, Any],
    trust: bool,
) -> int:
    """Answers each INPUT with a model.

    INPUT is a file, a folder, a glob, an http(s) URL, - (bytes on stdin) or
    @list.txt (an input a line). Models on text take the text itself; models
    that sample take --seed.

    \b
    kerazoo predict photo.jpg
    kerazoo predict photos/ 'more/*.png' -m resnet50 --json > answers.jsonl
    kerazoo predict small.png -m espcn_x3:mine.npz -o large.png
    kerazoo predict --seed 1 --seed 2 -m vae:mnist -o drawn/
    kerazoo predict --count 64 -m vae:mnist -o grid.png
    kerazoo predict --count 10 --label 7 -m out/model.keras -o sevens.png
    kerazoo predict --seed 1 --to-seed 2 -m vae:mnist -o walk.gif
    kerazoo predict 'ROMEO:' -m char_lstm --seed 7 --temperature 0.7
    kerazoo predict photo.jpg --port question='What is it?' -m mine.keras

    --labels, --size and what follows state what a file does that has no card;
    `kerazoo card` writes them into a copy.

    With several ports INPUT fills the first. -o names the files in the JSON.
    Exit status 3 says that some inputs failed; each has its row.
    """
    from kerazoo.cli import _drawing, _inputs, _output, say
    from kerazoo.codecs import of
    from kerazoo.drawing import from_noise
    from kerazoo.predictor import Failure
    from kerazoo.progress import counting

    if not (inputs or seed or ports or count or label or to_seed is not None):
        raise click.UsageError("Nothing to predict: give files, folders, globs, URLs, - or @list.txt.")
    texts = _inputs.without_lists(inputs)
    predictor = _predictor(
        resolved(model, stated, trust), engine, precision, task, server, token_file, scale, address, exact_pixels
    )
    if crf:
        if scale is not None:
            raise click.UsageError("--crf is for a model on this machine, without --scale.")
        predictor = cast("Predictor", predictor).refined()
    writing: dict[str, Any] = {"length": length, "top_k": top_k}
    if hasattr(predictor.task, "temperature"):
        writing["temperature"], temperature = temperature, None
    pictured = output is not None and output.suffix.lower() in (".png", *_output.PICTURES)
    if attention or (pictured and getattr(predictor.task, "looks", False)):
        writing["attention"] = True
    writing = {name: value for name, value in writing.items() if value is not None}
    if writing:
        if scale is not None or server is not None:
            raise click.UsageError(f"--{next(iter(writing)).replace('_', '-')} is for a model on this machine.")
        predictor = cast("Predictor", predictor).changed(**writing)
    given = _given(ports)
    warm = 1.0 if temperature is None else temperature
    drawn = _drawing.asked(predictor.task, seed, count, to_seed, frames, warm, label)
    fillings = [_together(given, told) for told in drawn.given(predictor.task)]
    _inputs.check(predictor.task, bool(inputs), fillings[0], bool(drawn.seeds))
    port = predictor.task.request[0]
    many = _inputs.are_many(inputs, port) or drawn.count > 1
    writer: _drawing.OneFile | _output.Writer | None = None
    if output is not None:
        writer = _drawing.one_file(drawn, predictor.task, output)
    if output is not None and writer is None:
        typed = [text for text in texts if isinstance(text, str)]
        writer = _output.Writer(output, many, bool(of(port).SUFFIXES), typed, recursive)
    sources: Iterable[Source] = itertools.chain.from_iterable(
        _inputs.requests(texts, predictor.task, filling, drawn.seeds, recursive) for filling in fillings
    )
    if not drawn.plain:
        if scale is not None:
            raise click.UsageError("--temperature and --to-seed are for a model on this machine, without --scale.")
        predictor = from_noise(cast("Predictor", predictor))
        sources = drawn.sources(predictor.task)
    total = None
    if scale is not None:
        sources = [_carried(source) for source in sources]
        total = len(sources)
    failed = False
    out = sys.stdout  # While a cluster answers, what else is printed goes to stderr.
    with counting("answered", total, many and not out.isatty()) as progress:
        for done, prediction in enumerate(predictor.stream(sources, batch=batch), 1):
            result, named = prediction.result, prediction.item.label
            bad = isinstance(result, Failure)
            failed |= bad
            written = writer(named, result) if writer and not bad else {}
            if as_json:
                plain = result.to_json(top)
                row: dict[str, Any] = {"input": named, "model": predictor.name}
                if not bad:
                    plain = _output.named(plain, result, written) if written else plain
                    row["task"] = predictor.task.kind
                    plain = {**plain, "ms": round(prediction.ms, 3)}
                click.echo(_output.dumps({**row, **plain}), file=out)
            elif isinstance(result, Failure):
                say(f"{named}: error: {result.error}", as_one_line=True)
            elif not isinstance(writer, _drawing.OneFile):
                for line in _output.rows(result, top, named if many else None, written.values()):
                    click.echo(line, file=out)
                if not writer and (names := _output.unseen(result)):
                    say(f"({', '.join(names)}: -o PATH writes it)")
            progress(done)
    if isinstance(writer, _drawing.OneFile) and (line := writer.close()) and not as_json:
        click.echo(line)
    return InputError.exit_code if failed else 0


def _predictor(
    model: str | None,
    engine: str,
    precision: str,
    task: str | None,
    server: str | None,
    token_file: Path | None,
    scale: str | None,
    address: str | None,
    exact_pixels: bool,
) -> Predictor | Spread:
    from kerazoo import loading
    from kerazoo.cli import say

    if address is not None and scale is None:
        raise click.UsageError("--address is the cluster's; it needs --scale ray.")
    if server is not None and scale is not None:
        raise click.UsageError("Either --server or --scale: a server scales by itself.")
    if task is not None and (server is not None or scale is not None):
        raise click.UsageError("--task is for a model on this machine, without --server and --scale.")
    if precision != "auto" and (server is not None or scale is not None):
        raise click.UsageError("--precision is for a model on this machine, without --server and --scale.")
    if exact_pixels and server is not None:
        raise click.UsageError("A server decodes as it was told: start it with --exact-pixels.")
    if server is not None:
        from kerazoo.serve.client import Client

        token = token_file.read_text(encoding="utf-8").strip() if token_file is not None else None
        return Client(server, model, token=token)
    model = model or loading.default_model(say)
    if scale is not None:
        from kerazoo.scale import spread

        return spread(model, engine, address, say, exact_pixels)
    return loading.load(model, engine, say=say, task=task, exact_pixels=exact_pixels, precision=precision)


def _given(ports: Iterable[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for text in ports:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"--port takes NAME=VALUE; {text!r} has no =.")
        if name in given:
            raise click.UsageError(f"--port {name} is given twice.")
        given[name] = value
    return given


def _together(given: dict[str, str], told: dict[str, str]) -> dict[str, str]:
    twice = next((name for name in told if name in given), None)
    if twice is not None:
        raise click.UsageError(f"--label and --port {twice} say the same thing; give one of them.")
    return {**given, **told}


def _carried(source: Source) -> Source:
    """The same where another machine can ask for it, too: what comes on stdin is read here."""
    from kerazoo.codecs._files import read_bytes
    from kerazoo.inputs import Source, bad

    if source.label != "-":
        return source
    try:
        return Source("-", functools.partial(bytes, read_bytes(source(), "The input") or b""))
    except InputError as error:
        return bad("-", str(error))
