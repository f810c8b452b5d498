"""`kerazoo models`: what there is."""

from __future__ import annotations

import sys
from typing import Any

import click

WIDTH = 80
"""Columns of the table; a terminal that is narrower, or a cell that is longer, folds the cell."""

LONGEST = 40
"""Letters of a name that stand in one line."""


@click.command()
@click.argument("pattern", default="*")
@click.option("--task", metavar="KIND", help="Only models of this task: classify, segment, ...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with all that is known.")
def models(pattern: str, task: str | None, as_json: bool) -> int:
    """Lists the models.

    PATTERN is a part of the name, or a glob.

    \b
    kerazoo models
    kerazoo models resnet
    kerazoo models '*:cifar10' --task classify
    kerazoo models --json | jq -r 'select(.cached).name'
    """
    from kerazoo import registry, tasks
    from kerazoo.cli import say
    from kerazoo.cli._output import dumps
    from kerazoo.errors import UnknownModel, UsageError, near

    if task is not None and task not in tasks.kinds():
        raise UsageError(f"Unknown task {task!r}; known are {', '.join(tasks.kinds())}.{near(task, tasks.kinds())}")
    rows = [{**row, "cached": cached(row["name"])} for row in registry.rows(pattern, task)]
    if not rows:
        if task is not None and registry.rows(pattern):
            raise UnknownModel(f"No model that matches {pattern!r} does {task}.")
        raise UnknownModel(f"No model matches {pattern!r}.{near(pattern, registry.variants())}")
    for line in map(dumps, rows) if as_json else table(rows):
        click.echo(line)
    if not as_json:
        say("* is on this machine. METRIC is the top-1 accuracy in % unless it is named:")
        say("measured here, or (in brackets) as published and not measured here.")
    return 0


def cached(name: str) -> bool:
    """Whether all files of a model's weights are on this machine; they are not hashed again."""
    from kerazoo import registry, store

    entry = registry.find(name).entry
    files = [file for file in entry.files if file.role != "no_top"] if entry is not None else []
    return entry is not None and all(store.path_of(entry, file).is_file() for file in files)


def table(rows: list[dict[str, Any]]) -> list[str]:
    """The lines of the table: each fits the terminal, and no name is cut."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    drawn.add_column(
        "NAME", overflow="fold", max_width=LONGEST, no_wrap=all(len(row["name"]) <= LONGEST for row in rows)
    )
    drawn.add_column("", no_wrap=True)
    drawn.add_column("TASK", overflow="fold", min_width=9)
    drawn.add_column("PARAMS", justify="right", no_wrap=True)
    drawn.add_column("INPUT", overflow="fold", min_width=9)
    drawn.add_column("METRIC", overflow="fold", min_width=8)
    for row in rows:
        cells = (row["name"], "*" if row["cached"] else "", ", ".join(row["tasks"]), count(row["params"]),
                 shape(row["input"]), metric(row))  # fmt: skip
        drawn.add_row(*map(Text, cells))
    width = min(WIDTH, Console().width) if sys.stdout.isatty() else WIDTH
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(drawn)
    return [line.rstrip() for line in captured.get().splitlines()]


def count(params: int) -> str:
    """In three digits or more: 61.7k, 25.6M."""
    for unit, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if params >= unit:
            return f"{params / unit:.1f}{letter}"
    return str(params)


def shape(sizes: list[int | None]) -> str:
    return "x".join("?" if size is None else str(size) for size in sizes)


def metric(row: dict[str, Any]) -> str:
    """The first measured metric, else the first published one, in brackets; its name where it is not top-1.

    Under which conditions (behind the name's first comma) is told by `kerazoo info` and `--json`.
    """
    for key, form in (("measured", "{}"), ("metrics", "({})")):
        for found in row[key][:1]:
            named = "" if found["metric"] == "top-1" else f"{found['metric'].partition(',')[0]} "
            return form.format(f"{named}{found['value']:.4g}")
    return "-"
