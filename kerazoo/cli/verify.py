"""`kerazoo verify`: whether artefacts are whole, and still answer as they did."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("artefacts", nargs=-1, required=True, metavar="ARTEFACT...", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def verify(artefacts: tuple[Path, ...], as_json: bool) -> int:
    """Asks each ARTEFACT its golden again.

    An .onnx or .tflite file, a bundle, or a .keras file with a card. First its
    bytes are held against its own hash: any damage shows. Then it is run and
    asked what it was asked when it was made.

    \b
    kerazoo verify out/*.tflite out/resnet50/1

    Exit status 4 says that one answers otherwise, 5 that one is damaged.
    """
    from kerazoo.cli import _output, say
    from kerazoo.errors import KerazooError
    from kerazoo.export.again import verified
    from kerazoo.printable import printable

    worst = 0
    for path in artefacts:
        try:
            found = verified(path)
        except KerazooError as error:
            worst = max(worst, error.exit_code)
            if as_json:
                click.echo(_output.dumps({"artefact": str(path), "error": str(error)}))
            say(f"{path}: {error}")
            continue
        if as_json:
            click.echo(_output.dumps({"artefact": str(path), **found.to_json()}))
        else:
            differs = max(found.differences.values(), default=0.0)
            what = f"{found.model} in {found.precision}, {', '.join(found.tasks)}"
            click.echo(f"{printable(str(path))}\t{printable(what)}\twhole, golden answer within {differs:.2g}")
    return worst
