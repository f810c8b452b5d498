"""`kerazoo card`: a file of anybody's becomes a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kerazoo.cli._statement import statement, trust
from kerazoo.errors import UsageError, near

TASKS = ("classify", "dream")
"""Kinds that can be stated in options."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "out", required=True, type=click.Path(path_type=Path), help="The copy that gets the card.")
@click.option("--task", default="classify", show_default=True, metavar="KIND", help="What it does.")
@click.option("--layers", metavar="A+B", help="Of a dream: the layers to be active; one in the middle by default.")
@click.option("--octaves", type=click.IntRange(1), help="Of a dream: sizes that are dreamt at.")
@click.option("--steps", type=click.IntRange(1), help="Of a dream: steps at each size.")
@click.option("--exact-pixels", is_flag=True, help="Large pictures are always decoded whole.")
@statement(short=True)
@trust
def card(
    file: Path,
    out: Path,
    task: str,
    layers: str | None,
    octaves: int | None,
    steps: int | None,
    exact_pixels: bool,
    stated: dict[str, Any],
    trust: bool,
) -> int:
    """States what FILE does, in a copy.

    FILE is a .keras, .onnx or .tflite file or a SavedModel folder of a classifier
    of pictures, made by whomever. It is opened and asked about pictures; what was
    found and what was assumed is told. Everything that takes a MODEL takes the copy.

    With --task dream FILE may be any classifier of `kerazoo models`, too; the
    copy is a .keras file that draws what the network sees in a picture.

    \b
    kerazoo card net.onnx --labels l.txt --size 224 --preprocess torch -o my.onnx
    kerazoo predict photo.jpg -m my.onnx
    kerazoo card squeezenet_v1_0:imagenet --task dream -o dream.keras
    """
    from kerazoo import tasks
    from kerazoo.cli import say
    from kerazoo.own.cards import card as card_

    if task not in TASKS:
        if task not in tasks.kinds():
            raise UsageError(f"Unknown task {task!r}; known are {', '.join(tasks.kinds())}.{near(task, tasks.kinds())}")
        raise UsageError(
            f"What {task} does cannot be stated in options, only {', '.join(TASKS)} can.\n"
            "For a Keras model, kerazoo.save(model, path, task=...) takes any task of kerazoo.tasks."
        )
    settings = {"layers": layers, "octaves": octaves, "steps": steps}
    settings = {name: value for name, value in settings.items() if value is not None}
    if task == "dream":
        from kerazoo.engines.quiet import import_tensorflow
        from kerazoo.own.dreaming import dreaming

        if stated or exact_pixels:
            raise UsageError("A dream takes pixels as the model's own card says; nothing of it can be stated.")
        import_tensorflow()
        names = str(settings.pop("layers", "")).split("+") if layers else ()
        made = dreaming(str(file), out, names, say=say, **settings)
        click.echo(made)
        say(f"Next: kerazoo predict PICTURE -m {made} -o dreamt.png")
        return 0
    if settings:
        raise UsageError(f"--{next(iter(settings))} is for --task dream.")
    made = card_(file, out, trust=trust, say=say, exact_pixels=exact_pixels, **stated)
    click.echo(made)
    say(f"Next: kerazoo predict INPUT -m {made}")
    return 0
