"""`kerazoo evaluate`: accuracy on labelled pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kerazoo.cli._statement import resolved, statement
from kerazoo.cli._statement import trust as trust_


@click.command()
@click.argument("model")
@click.argument("data", type=click.Path(path_type=Path, exists=True))
@click.option("--engine", default="auto", show_default=True, metavar="NAME", help="As for predict.")
@click.option("--precision", default="auto", show_default=True, metavar="WORD", help="As for predict.")
@click.option("--batch", default=1, show_default=True, type=click.IntRange(1), help="Pictures a run of the network.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@statement()
@trust_
def evaluate(
    model: str, data: Path, engine: str, precision: str, batch: int, as_json: bool, stated: dict[str, Any], trust: bool
) -> int:
    """Measures accuracy on labelled pictures.

    Prints top-1 and top-5 of the classifier MODEL on DATA.

    DATA is an .npz with x_test and y_test; a folder with a folder of pictures
    for each class, called as the model's labels are; or a folder or .tar of
    pictures whose names begin with the class index (0088_macaw.jpg).

    \b
    kerazoo evaluate lenet5:mnist mnist.npz
    kerazoo evaluate resnet50 imagenet-validation.tar --batch 32 --json
    kerazoo evaluate mine.keras flowers/
    """
    from kerazoo import loading
    from kerazoo.cli import _output, _progress, say
    from kerazoo.evaluation import evaluate as evaluate_
    from kerazoo.printable import printable

    predictor = loading.load(resolved(model, stated, trust), engine, say=say, precision=precision)
    with _progress.counting("measured") as progress:
        accuracy = evaluate_(predictor, data, batch=batch, progress=progress)
    if as_json:
        head = {"model": predictor.name, "engine": predictor.engine, "data": str(data)}
        click.echo(_output.dumps({**head, **accuracy.to_json()}))
    else:
        failed = f", {accuracy.failed} could not be read" if accuracy.failed else ""
        click.echo(
            f"{printable(predictor.name)} ({predictor.engine}): "
            f"top-1 {accuracy.top1:.2f} %, top-5 {accuracy.top5:.2f} % "
            f"of {accuracy.count} pictures in {accuracy.seconds:.1f} s{failed}"
        )
    return 0
