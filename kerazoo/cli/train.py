"""`kerazoo train`: a model learns from data of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("model")
@click.option("--data", required=True, multiple=True, metavar="SOURCE", help="What to learn from.")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), metavar="OUT", help="A folder.")
@click.option("--recipe", metavar="NAME", help="Named settings; by default those that suit the task.")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the data.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Stop after the epoch that ends later.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Changes a setting (rate=0.01).")
@click.option("--resume", is_flag=True, help="Go on from the state in OUT.")
@click.option("--seed", default=0, show_default=True, help="Of everything that is drawn.")
@click.option("--freeze", default="none", show_default=True, metavar="N|body|none", help="Layers that do not learn.")
@click.option("--validation", multiple=True, metavar="SHARE|SOURCE", help="What is only measured on; 0.1 by default.")
@click.option("--quantize", type=click.Choice(["int8"]), help="Learn with rounded weights; also writes int8 files.")
@click.option("--federated", metavar="PLAN", help="On clients (clients=100,fraction=0.1,epochs=5); epochs are rounds.")
@click.option("--strict", is_flag=True, help="Refuse what cannot be read, instead of leaving it out.")
@click.option("--find-lr", is_flag=True, help="Only look for a learning rate: rates.csv, rates.png and a line.")
@click.option("--tensorboard", is_flag=True, help="Write event files for TensorBoard into OUT, too.")
@click.option("--devices", default=1, show_default=True, type=click.IntRange(1), help="That share each batch.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def train(
    model: str,
    data: tuple[str, ...],
    out: Path,
    recipe: str | None,
    epochs: int | None,
    minutes: float | None,
    changes: tuple[str, ...],
    resume: bool,
    seed: int,
    freeze: str,
    validation: tuple[str, ...],
    quantize: str | None,
    federated: str | None,
    strict: bool,
    find_lr: bool,
    tensorboard: bool,
    devices: int,
    as_json: bool,
) -> int:
    """Trains MODEL on SOURCE into the folder OUT.

    MODEL is a variant (lenet5: fresh weights), variant:weights, or a .keras file
    of your own. SOURCE suits what it does; a .tar of a folder is one, too:

    \b
    classify   a folder with a folder of pictures for each class, a .csv of path
               and label, or an .npz of x_train and y_train; of texts a .tsv of
               label and text, or a .csv of text and label
    detect     a folder or .tar of VOC's XML files or COCO's JSON, and pictures
    segment    a folder with the folders images and masks
    redraw, sample
               a folder of pictures, or an .npz of x_train
    nodes      an .npz of features, edges and labels
    translate  --data a.de --data b.en, or a .tsv
    fill       a text, also .gz, a line a sentence
    write      a text, also .gz, or a folder of .txt

    \b
    kerazoo train lenet5 --data pictures/ -o out/
    kerazoo train resnet20:cifar10 --data pictures/ --freeze body -o out/
    kerazoo predict -m out/model.keras picture.jpg

    OUT gets model.keras, which every command takes, log.csv, curves.png, and the
    states that --resume goes on from.
    """
    import json

    from kerazoo.errors import UsageError
    from kerazoo.train import fit

    settings = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise UsageError(f"--set {change}: write key=value, as in --set rate=0.01.")
        settings[key.strip()] = value.strip()
    asked: dict[str, Any] = {
        "recipe": recipe,
        "epochs": epochs,
        "settings": settings,
        "seed": seed,
        "freeze": freeze,
        "validation": validation[0] if len(validation) == 1 else validation or None,
        "strict": strict,
    }
    if find_lr and federated is not None:
        raise UsageError("--find-lr looks at steps in one place, not at rounds of clients; leave out one of the two.")
    if find_lr:
        found = fit.find_rate(model, data, out, **asked)
        told = {"suggested": float(f"{found.suggested:.3g}"), "least loss": float(f"{found.highest:.3g}")}
        if as_json:
            click.echo(json.dumps({"model": model, "rate": told["suggested"], "highest": told["least loss"]}))
        else:
            click.echo("\t".join(f"{name} {value:g}" for name, value in told.items()))
        return 0
    done = fit.train(
        model,
        data,
        out,
        **asked,
        minutes=minutes,
        resume=resume,
        tensorboard=tensorboard,
        devices=devices,
        quantize=quantize,
        federated=federated,
    )
    if as_json:
        figures = {name: round(value, 6) for name, value in done.figures.items()}
        click.echo(json.dumps({"model": str(done.path), "epochs": len(done.history), **figures}))
    else:
        told_ = ", ".join(f"{name} {value:.4f}" for name, value in done.figures.items())
        click.echo(f"{done.path}\t{told_}")
    return 0
