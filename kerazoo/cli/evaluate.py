"""`kerazoo evaluate`: the figures of a model on data with its truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kerazoo.cli._statement import resolved, statement
from kerazoo.cli._statement import trust as trust_

if TYPE_CHECKING:
    from kerazoo.evaluation import Comparison
    from kerazoo.metrics.report import Report

ROWS = 20
"""Most classes whose figures are printed; of more, the weakest few."""

WEAKEST = 5


@click.command()
@click.argument("model")
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--against-card", is_flag=True, help="Compare with what is said of MODEL; exit 4 where it is worse.")
@click.option("--plot", "plots", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Draw into DIR.")
@click.option("--only", metavar="PATTERN", help="Files whose name or path matches ('Set5/*').")
@click.option("--languages", metavar="FROM-TO", help="Of parallel text in a folder or .tar (de-en).")
@click.option("--void", type=click.IntRange(0, 255), help="In masks, pixels of no class (255).")
@click.option("--task", metavar="KIND", help="One of the model's tasks, where it has several.")
@click.option("--engine", default="auto", show_default=True, metavar="NAME", help="As for predict.")
@click.option("--precision", default="auto", show_default=True, metavar="WORD", help="As for predict.")
@click.option(
    "--exact-pixels/--no-exact-pixels",
    default=True,
    show_default=True,
    help="Decode pictures whole.",
)
@click.option("--batch", default=1, show_default=True, type=click.IntRange(1), help="Samples a run of the network.")
@click.option("--strict", is_flag=True, help="Refuse what cannot be read, instead of leaving it out.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@statement()
@trust_
def evaluate(
    model: str,
    data: tuple[Path, ...],
    against_card: bool,
    plots: Path | None,
    only: str | None,
    languages: str | None,
    void: int | None,
    task: str | None,
    engine: str,
    precision: str,
    exact_pixels: bool,
    batch: int,
    strict: bool,
    as_json: bool,
    stated: dict[str, Any],
    trust: bool,
) -> int:
    """Measures MODEL on DATA, by the metrics of its task.

    \b
    classify   a folder of class folders, or pictures whose names begin with the
               class index (0088_macaw.jpg), also as .tar; a .csv of path and
               label; an .npz of x_test, y_test; a .tsv of label and text
    detect     VOC's XML files or COCO's JSON with their pictures, also as .tar
    segment    folders images/ and masks/, also as .tar; an .npz
    redraw     pictures, made smaller first; or folders input/ and target/
    translate  two text files; a .tsv; a folder with val.de, val.en
    sample     pictures, or an .npz of x_test (the lower bound)
    nodes      a graph .npz with labels and test_idx
    embed      a .tsv of score, first and second text; analogies, a .txt
    fill       a text, a line a sentence; --only 90%-100% is its end
    write      a text; of one file --only 90%-100% is its end
    separate   a folder for each song, with a file for each stem

    \b
    kerazoo evaluate lenet5:mnist mnist.npz --against-card
    kerazoo evaluate mine.keras flowers/ --plot plots/
    kerazoo evaluate espcn_x3:t91 sr_t91_set5.tar --only 'Set5/*' --json

    What cannot be read is named, left out and counted; the exit status is then 3.
    """
    from kerazoo import evaluation
    from kerazoo.cli import _output, say
    from kerazoo.errors import UsageError
    from kerazoo.progress import counting

    pair = None
    if languages is not None:
        read, dash, written = languages.partition("-")
        if not (read and dash and written):
            raise UsageError(f"--languages {languages}: write what is read and what is written, as de-en.")
        pair = (read, written)
    named = str(resolved(model, stated, trust))
    predictor = evaluation.opened(named, engine, task, say, exact_pixels, precision=precision)
    kind = predictor.task.kind
    if against_card:  # Not after an hour.
        evaluation.said(named, kind)
    with counting("measured") as progress:
        report = evaluation.evaluate(
            predictor,
            data,
            batch=batch,
            only=only,
            languages=pair,
            void=void,
            strict=strict,
            plots=plots,
            say=say,
            progress=progress,
        )
    compared = evaluation.against_card(named, report, kind) if against_card else []
    if as_json:
        head = {"model": predictor.name, "engine": predictor.engine, "data": " ".join(map(str, data)), "task": kind}
        more = {"against_card": [row.to_json() for row in compared]} if against_card else {}
        click.echo(_output.dumps({**head, **report.to_json(), **more}))
    else:
        _print(predictor, report, kind)
        _print_compared(compared, kind)
    if plots is not None:
        say(f"drew {', '.join(report.plots)} into {plots}")
    worse = [row for row in compared if row.worse]
    for row in worse:
        loss = f"{abs(row.difference):.2f} worse than its card says"
        say(f"error: {row.metric} is {loss}; {row.tolerance:g} is tolerated.")
    return 4 if worse else 3 if report.failed else 0


def _print(predictor: Any, report: Report, kind: str) -> None:
    from kerazoo.printable import printable

    told = ", ".join(f"{name} {_with_unit(value, kind, name)}" for name, value in report.figures.items())
    failed = f", {len(report.failed)} could not be read" if report.failed else ""
    click.echo(
        f"{printable(predictor.name)} ({predictor.engine}): {told} "
        f"of {report.count} {report.what} in {report.seconds:.1f} s{failed}"
    )
    for name, signature in report.details.get("signatures", {}).items():
        click.echo(f"  {name} {signature}")
    for line in _classes(report):
        click.echo(f"  {printable(line)}")


def _with_unit(value: float, kind: str, name: str) -> str:
    from kerazoo import metrics

    unit = metrics.of(kind).FIGURES[name].unit
    return f"{value:.2f} {unit}" if unit else f"{value:.4f}" if abs(value) <= 1 else f"{value:.2f}"


def _classes(report: Report) -> list[str]:
    """A table, of many classes the weakest."""
    if not report.classes:
        return []
    first = next(iter(report.classes.values())) if "F1" not in report.classes else report.classes["F1"]
    rows = list(range(len(report.labels)))
    left = []
    if len(rows) > ROWS:
        counts = report.classes.get("count", [1] * len(rows))
        there = [row for row in rows if counts[row] and first[row] == first[row]]
        rows = sorted(there, key=lambda row: first[row])[:WEAKEST]
        left = [f"the {len(rows)} weakest of {len(report.labels)} classes; --json has all"]
    width = max([len(report.labels[row]) for row in rows], default=0)
    head = " " * width + "".join(f"{name:>11}" for name in report.classes)
    lines = [
        f"{report.labels[row]:{width}}" + "".join(f"{_cell(name, v[row]):>11}" for name, v in report.classes.items())
        for row in rows
    ]
    return [head, *lines, *left]


def _cell(name: str, value: float) -> str:
    return "-" if value != value else f"{value:.0f}" if name in ("count", "pixels") else f"{value:.2f}"


def _print_compared(compared: list[Comparison], kind: str) -> None:
    from kerazoo.printable import printable

    for row in compared:
        verdict = (
            "shown only" if row.tolerance is None else f"{'WORSE' if row.worse else 'ok'}, within {row.tolerance:g}"
        )
        verdict = verdict.replace("WORSE, within", "WORSE than the tolerated")
        whose = " ".join(filter(None, [row.dataset, f"[{row.origin}]" if row.origin else None]))
        click.echo(
            printable(
                f"{row.metric}: {row.by} {row.said:.2f}, measured {row.measured:.2f}, difference {row.difference:+.2f} "
                f"({verdict}) {whose}"
            ).rstrip()
        )
