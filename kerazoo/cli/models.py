"""`kerazoo models`: what there is."""

from __future__ import annotations

import json

import click


@click.command()
@click.argument("pattern", default="*")
@click.option("--task", help="Only models of this task: classify, segment, ...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def models(pattern: str, task: str | None, as_json: bool) -> int:
    """Lists the models.

    PATTERN is a part of the name, or a glob.
    """
    from kerazoo import registry, tasks
    from kerazoo.errors import UnknownModel, UsageError, near

    if task is not None and task not in tasks.kinds():
        raise UsageError(f"Unknown task {task!r}; known are {', '.join(tasks.kinds())}.{near(task, tasks.kinds())}")
    rows = registry.rows(pattern, task)
    if not rows:
        raise UnknownModel(f"No model matches {pattern!r}.{near(pattern, registry.variants())}")
    for row in rows:
        if as_json:
            click.echo(json.dumps(row, ensure_ascii=False))
    if not as_json:
        table = [("NAME", "TASK", "PARAMS", "INPUT", "METRIC")]
        table += [(r["name"], r["task"], f"{r['params']:,}", shape(r["input"]), metric(r)) for r in rows]
        widths = [max(len(line[column]) for line in table) for column in range(5)]
        for line in table:
            cells = [f"{c:>{w}}" if i == 2 else f"{c:<{w}}" for i, (c, w) in enumerate(zip(line, widths, strict=True))]
            click.echo("  ".join(cells).rstrip())
    return 0


def shape(sizes: list[int | None]) -> str:
    return "x".join("?" if size is None else str(size) for size in sizes)


def metric(row: dict) -> str:
    """The first measured metric, else the first published one, in brackets."""
    for key, form in (("measured", "{}"), ("metrics", "({})")):
        for found in row[key][:1]:
            return form.format(f"{found['metric']} {found['value']:g}")
    return "-"
