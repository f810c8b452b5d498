"""`kerazoo export`: artefacts that were run before they are called done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kerazoo.cli._statement import resolved, statement
from kerazoo.cli._statement import trust as trust_


@click.command()
@click.argument("model")
@click.option("--to", "formats", multiple=True, required=True, metavar="FORMAT", help="savedmodel, onnx or litert.")
@click.option("-o", "--output", default=".", show_default=True, type=click.Path(path_type=Path), help="A folder.")
@statement()
@trust_
def export(model: str, formats: tuple[str, ...], output: Path, stated: dict[str, Any], trust: bool) -> int:
    """Exports MODEL, verified before it exists.

    Each artefact is run on its own engine and compared with Keras, from bytes to
    answer.

    Prints a line an artefact: format, path, and its largest relative error
    against Keras.

    \b
    kerazoo export lenet5:mnist --to onnx
    kerazoo export resnet50 --to savedmodel --to litert -o out/
    kerazoo export mine.keras --to onnx -o out/

    --labels, --size and what follows state what a file does that has no card;
    `kerazoo card` writes them into a copy.
    """
    from kerazoo.cli import say
    from kerazoo.export import export as export_

    say(f"Exporting {model} to {', '.join(formats)}: convert, run, compare with Keras ...")
    made = export_(resolved(model, stated, trust), formats, output)
    for artefact in made:
        worst = max(artefact.differences.values(), default=0.0)
        click.echo(f"{artefact.format}\t{artefact.path}\t{worst:.2g}")
    for artefact in made:
        say(f"Next: kerazoo predict INPUT -m {artefact.path}")
    return 0
