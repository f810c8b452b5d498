"""`kerazoo doctor`: what an installation is made of, and what is wrong with it."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from kerazoo.doctor import Finding

WIDTH, INDENT = 80, 24


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def doctor(as_json: bool) -> int:
    """Looks at this installation: versions, runtimes, memory, cache, network.

    What is wrong is said with what to do about it. Nothing is fetched, nothing
    is changed; runtimes are begun in processes of their own.

    \b
    kerazoo doctor
    kerazoo doctor --json | jq -r 'select(.state == "wrong").what'

    Exit status 1 says that something is wrong.
    """
    from kerazoo.cli._output import dumps
    from kerazoo.doctor import WRONG, findings

    wrong = 0
    for found in findings():
        wrong += found.state == WRONG
        click.echo(dumps(found.to_json()) if as_json else told(found))
    return int(wrong > 0)


def told(found: Finding) -> str:
    """A finding in lines of at most 80 columns, what to do about it below it."""
    from kerazoo.doctor import OK
    from kerazoo.printable import printable

    mark = "" if found.state == OK else f"{found.state}: "
    lines = [f"{mark}{found.found}", *([f"-> {found.remedy}"] if found.remedy else [])]
    made = []
    for number, line in enumerate(lines):
        start = f"{found.what}  ".ljust(INDENT) if number == 0 else " " * INDENT
        made += textwrap.wrap(
            printable(line), WIDTH, initial_indent=start, subsequent_indent=" " * INDENT, break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip
    return "\n".join(made)
