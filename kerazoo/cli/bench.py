"""`kerazoo bench`: size, speed, memory and accuracy of a model on every engine, side by side."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--to",
    "formats",
    multiple=True,
    metavar="FORMAT",
    help="keras, savedmodel, onnx, onnx-int8, ..., or all; floats by default.",
)
@click.option("--data", type=click.Path(path_type=Path), metavar="DATA", help="As for evaluate; made up by default.")
@click.option("--calibrate", type=click.Path(path_type=Path), metavar="DIR", help="For int8; made up by default.")
@click.option("--items", default=1000, show_default=True, type=click.IntRange(0), help="Of the data; 0 for all.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1), help="Turns of each engine.")
@click.option("--runs", default=20, show_default=True, type=click.IntRange(1), help="Requests a turn.")
@click.option("--threads", type=click.IntRange(1), help="Within one run; the machine's cores by default.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated, with a head.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draws it: accuracy against latency.")
def bench(
    models: tuple[str, ...],
    formats: tuple[str, ...],
    data: Path | None,
    calibrate: Path | None,
    items: int,
    rounds: int,
    runs: int,
    threads: int | None,
    as_json: bool,
    as_csv: bool,
    plot: Path | None,
) -> int:
    """Measures MODEL on every engine, each in its own process.

    MODEL is a name, a .keras file, or an artefact; more of them are compared with
    the first. What cannot be exported or run is a row that says why.

    \b
    kerazoo bench lenet5:mnist
    kerazoo bench lenet5:mnist --to all --calibrate digits/
    kerazoo bench resnet20:cifar10 mine.keras --data cifar10.npz --plot out.png

    Times are of the network for one request, its median and 95th percentile; "per
    s" is with as many threads as cores. The last line tells machine and versions.
    """
    from kerazoo.bench import run, table
    from kerazoo.cli import _output, say
    from kerazoo.errors import UsageError
    from kerazoo.printable import printable

    if as_json and as_csv:
        raise UsageError("--json and --csv are two ways to print one table; choose one.")
    found = run.bench(
        models,
        formats or None,
        data,
        calibrate=calibrate,
        rounds=rounds,
        runs=runs,
        most=items,
        threads=threads,
        say=say,
    )
    if as_json:
        click.echo(_output.dumps(found.to_json()))
    elif as_csv:
        click.echo(found.to_csv(), nl=False)
    else:
        for line in found.lines():
            click.echo(printable(line))
    if plot is not None:
        from kerazoo.bench.plot import plot as plot_

        plot_(found, plot)
    return 3 if any(row.status == table.FAILED for row in found.rows) else 0
