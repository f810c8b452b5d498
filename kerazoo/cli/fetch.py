"""`kerazoo fetch`: weights into the cache."""

from __future__ import annotations

import click

from kerazoo import manifest, store
from kerazoo.errors import KerazooError, UsageError


@click.command()
@click.argument("models", metavar="MODEL...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every model of the manifest.")
@click.option("--no-top", is_flag=True, help="The weights without the classifier.")
def fetch(models: tuple[str, ...], everything: bool, no_top: bool) -> None:
    """Fetches weights into the cache.

    MODEL is variant or variant:weights.

    Prints one line a file: model, tab, path. What is in the cache already is not fetched again.
    """
    if bool(models) == everything:
        raise UsageError("Name the models to fetch, or give --all, and not both.")
    names = models
    if everything:
        # With --no-top, all means all that have such a file.
        having = [entry for entry in manifest.load().values() if not no_top or entry.roles(top=False) == ["no_top"]]
        names = tuple(entry.name for entry in having)
    failures: list[KerazooError] = []
    for name in dict.fromkeys(names):
        try:
            entry = manifest.find(name)
            for role in ["no_top"] if no_top else [*entry.roles(), *entry.assets()]:
                click.echo(f"{entry.name}\t{store.fetch(entry, role)}")
        except KerazooError as error:
            failures.append(error)
    if failures:
        worst = max(failures, key=lambda failure: failure.exit_code)
        for failure in failures:
            if failure is not worst:
                click.echo(f"error: {failure}", err=True)
        raise worst
