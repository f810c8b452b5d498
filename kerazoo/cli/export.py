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
@click.option(
    "--precision", default="fp32", show_default=True, metavar="WORD", help="fp32, fp16, dynamic, int8 or int16x8."
)
@click.option("--calibrate", metavar="DIR|random", help="What the model will be asked about; for int8 and int16x8.")
@click.option("--min-agreement", type=float, metavar="X", help="With fp32, on items calibration did not see (0.98).")
@click.option("--batch", metavar="1|dynamic", help="Rows at a time, where the format's own way is not wanted.")
@click.option("--part", metavar="NAME", help="Of a network in several: this one alone.")
@click.option("-o", "--output", default=".", show_default=True, type=click.Path(path_type=Path), help="A folder.")
@statement()
@trust_
def export(
    model: str,
    formats: tuple[str, ...],
    precision: str,
    calibrate: str | None,
    min_agreement: float | None,
    batch: str | None,
    part: str | None,
    output: Path,
    stated: dict[str, Any],
    trust: bool,
) -> int:
    """Exports MODEL, verified before it exists.

    Each artefact is run on its own engine and compared with Keras, from bytes to
    answer; one of less precision with the one in floats, on items of your own
    that its calibration did not see. Layers that cost too much agreement stay in
    floats. A gate that fails leaves nothing behind and ends with status 4.

    Prints a line an artefact: format, path, and its largest relative error
    against Keras.

    \b
    kerazoo export lenet5:mnist --to onnx
    kerazoo export resnet50 --to savedmodel --to litert -o out/
    kerazoo export squeezenet_v1_0 --to onnx --precision int8 --calibrate photos/
    kerazoo export mine.keras --to onnx -o out/

    --labels, --size and what follows state what a file does that has no card;
    `kerazoo card` writes them into a copy.
    """
    from kerazoo.cli import say
    from kerazoo.export import export as export_

    say(f"Exporting {model} to {', '.join(formats)}: convert, run, compare with Keras ...")
    made = export_(
        resolved(model, stated, trust),
        formats,
        output,
        precision=precision,
        calibrate=calibrate,
        min_agreement=min_agreement,
        batch=batch,
        part=part,
        say=say,
    )
    for artefact in made:
        worst = max(artefact.differences.values(), default=0.0)
        click.echo(f"{artefact.format}\t{artefact.path}\t{worst:.2g}")
    for artefact in made:
        say(f"Next: kerazoo verify {artefact.path}")
        if part is None:
            say(f"Next: kerazoo predict INPUT -m {artefact.path}")
    if precision != "fp32" and part is None and batch is None:
        say(f"Next: kerazoo predict INPUT -m {model} --precision {precision}")
    return 0
