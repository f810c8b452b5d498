"""`kerazoo prune`: a smaller model, and an honest account of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("model")
@click.option("--sparsity", type=float, help="Share of weights that go; with channel, of multiply-adds.")
@click.option("--structure", default="none", show_default=True, metavar="none|2:4|channel", help="What goes together.")
@click.option("--data", required=True, metavar="SOURCE|none", help="What to learn from afterwards.")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), metavar="OUT", help="A folder.")
@click.option("--method", default="magnitude", show_default=True, help="magnitude, gradient (times weight) or random.")
@click.option("--scope", metavar="global|layer", help="Compare all layers, or prune each alike.")
@click.option("--schedule", metavar="one-shot|gradual", help="At once, or along a cubic curve.")
@click.option("--keep", multiple=True, metavar="LAYER", help="A layer, or a pattern of them, that stays as it is.")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the data.")
@click.option("--recipe", metavar="NAME", help="As for train.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Changes a setting (rate=0.01).")
@click.option("--validation", metavar="SHARE|SOURCE", help="What is only measured on; 0.1 by default.")
@click.option("--multiple", default=16, show_default=True, type=click.IntRange(1), help="Channels go in such blocks.")
@click.option("--seed", default=0, show_default=True, help="Of everything that is drawn.")
@click.option("--resume", is_flag=True, help="Go on from the state in OUT.")
@click.option("--size/--no-size", default=True, show_default=True, help="Export both, and measure size and time.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def prune(
    model: str, data: str, out: Path, changes: tuple[str, ...], size: bool, as_json: bool, **asked: Any
) -> int:  # fmt: skip
    """Prunes MODEL into the folder OUT.

    MODEL is variant:weights or a .keras file of your own; SOURCE is what
    `kerazoo train` takes, or none to prune without training.

    \b
    kerazoo prune resnet20:cifar10 --sparsity 0.8 --data cifar10.npz -o out/
    kerazoo prune my.keras --sparsity 0.5 --structure channel --data none -o out/
    kerazoo predict -m out/model.keras picture.jpg

    OUT gets model.keras, a plain model that every command takes, and report.json:
    parameters, multiply-adds, compression ratio and theoretical speed-up by the
    definitions of arXiv:2003.03033, accuracy before and after, sizes and times.
    """
    import json

    from kerazoo.cli import say
    from kerazoo.errors import UsageError
    from kerazoo.prune import report
    from kerazoo.prune.job import prune as prune_

    settings = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise UsageError(f"--set {change}: write key=value, as in --set rate=0.01.")
        settings[key.strip()] = value.strip()
    source = None if data == "none" else data
    done = prune_(model, out, data=source, settings=settings, **asked)
    if size:
        say("Exporting both, to measure size and time ...")
        found = report.measured(model, done.report, say)
        report.write(found, done.folder)
    else:
        found = dict(done.report)
    if as_json:
        click.echo(json.dumps(found))
    else:
        for line in report.lines(found):
            click.echo(line)
    return 0
