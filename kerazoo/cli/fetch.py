"""`kerazoo fetch`: weights into the cache."""

from __future__ import annotations

import click

from kerazoo import manifest, store
from kerazoo.errors import KerazooError, UsageError
from kerazoo.printable import printable


@click.command()
@click.argument("models", metavar="MODEL...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every model of the manifest.")
@click.option("--no-top", is_flag=True, help="The weights without the classifier.")
@click.option("--trust-new", is_flag=True, help="Fetch anew and trust what comes, where no sha256 was published.")
@click.option("--allow-http", is_flag=True, help="Take files over plain http that no published hash protects.")
def fetch(models: tuple[str, ...], everything: bool, no_top: bool, trust_new: bool, allow_http: bool) -> None:
    """Fetches weights into the cache.

    MODEL is variant or variant:weights.

    Prints one line a file: model, tab, path. What is in the cache already is not
    fetched again. Where no sha256 was published, that of the first fetch is
    remembered, and a later file with another is refused.

    \b
    kerazoo fetch resnet50
    kerazoo fetch vgg16:imagenet --no-top
    kerazoo fetch --trust-new vgg19:imagenet     its publisher changed the file
    KERAZOO_MIRROR=/mnt/weights kerazoo fetch --all

    \b
    KERAZOO_HOME           the cache's folder
    KERAZOO_MIRROR         a folder or address that is tried first
    KERAZOO_OFFLINE        1: never touch the network
    KERAZOO_ALLOW_HTTP     1: as --allow-http
    KERAZOO_FETCH_SECONDS  longest time for a file (21600)
    KERAZOO_FETCH_RATE     fewest bytes a second, over 30 s (1000)
    KERAZOO_FETCH_BYTES    most bytes where no size was published (4294967296)
    """
    if bool(models) == everything:
        raise UsageError("Name the models to fetch, or give --all, and not both.")
    if trust_new and everything:
        raise UsageError("--trust-new is for models that are named, not for --all.")
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
                path = store.fetch(entry, role, trust_new=trust_new, allow_http=allow_http)
                click.echo(f"{entry.name}\t{path}")
        except KerazooError as error:
            failures.append(error)
    if failures:
        worst = max(failures, key=lambda failure: failure.exit_code)
        for failure in failures:
            if failure is not worst:
                click.echo("\n".join(printable(line) for line in f"error: {failure}".splitlines()), err=True)
        raise worst
