"""`kerazoo cache`: what lies on this machine's disk, and how it gets to one without a network."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable

import click

from kerazoo import manifest, store
from kerazoo.errors import WeightsDamaged
from kerazoo.printable import human_size, printable


@click.group()
def cache() -> None:
    """Weights and prepared artefacts on this machine.

    \b
    kerazoo cache list
    kerazoo cache prune --keep-artefacts
    kerazoo cache export weights.tar resnet50   where there is a network
    kerazoo cache import weights.tar            where there is none
    KERAZOO_HOME=/mnt/cache kerazoo cache verify
    """


@cache.command()
def path() -> None:
    """Print the cache's folder."""
    click.echo(store.home())


@cache.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(as_json: bool) -> None:
    """List the weights in the cache: model, file, bytes.

    \b
    kerazoo cache list
    kerazoo cache list --json | jq -s 'map(.bytes) | add'
    """
    _print(store.cached(), as_json, with_state=False)


@cache.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def verify(as_json: bool) -> None:
    """Hash every file again: model, file, and ok or damaged.

    \b
    kerazoo cache verify | grep damaged
    """
    damaged = _print(store.verify(), as_json, with_state=True)
    if damaged:
        files = ", ".join(f"{row.file} of {row.name}" for row in damaged)
        raise WeightsDamaged(f"Damaged: {files}.\n`kerazoo fetch` (with --no-top for those) replaces them.")


@cache.command()
@click.option("--keep-artefacts", is_flag=True, help="Leave the prepared exports.")
def prune(keep_artefacts: bool) -> None:
    """Remove interrupted downloads, prepared exports, and weights that are no
    longer known. What another process is fetching or making stays.

    \b
    kerazoo cache prune
    kerazoo cache prune --keep-artefacts
    """
    freed = store.prune(artefacts=not keep_artefacts)
    size = human_size(freed) if sys.stderr.isatty() else f"{freed:,} bytes"
    click.echo(f"{size} freed in {printable(str(store.home()))}.", err=True)


@cache.command("export")
@click.argument("bundle", type=click.Path(dir_okay=False))
@click.argument("models", metavar="[MODEL]...", nargs=-1)
def export(bundle: str, models: tuple[str, ...]) -> None:
    """Write MODELs (all that are cached, if none is named) to one file, BUNDLE, for
    a machine without a network.

    \b
    kerazoo cache export all.tar
    kerazoo cache export two.tar resnet50 vgg16:imagenet
    """
    names = models or tuple(dict.fromkeys(row.name for row in store.cached()))
    store.export_bundle([manifest.find(name) for name in names], bundle)
    click.echo(bundle)
    click.echo(f"Next: kerazoo cache import {printable(bundle)}, on the other machine.", err=True)


@cache.command("import")
@click.argument("bundle", type=click.Path(dir_okay=False))
@click.option("--trust-new", is_flag=True, help="Trust what comes, where no sha256 was published.")
def import_(bundle: str, trust_new: bool) -> None:
    """Take the weights in BUNDLE into the cache, each checked against the manifest
    first.

    \b
    kerazoo cache import all.tar
    """
    for name in store.import_bundle(bundle, trust_new=trust_new):
        click.echo(name)


def _print(rows: Iterable[store.Row], as_json: bool, with_state: bool) -> list[store.Row]:
    """Prints rows as they come; returns the damaged ones."""
    damaged = []
    for row in rows:
        if row.state == "damaged":
            damaged.append(row)
        if as_json:
            keys = {"model": row.name, "file": row.file, "role": row.role, "bytes": row.size, "path": str(row.path)}
            click.echo(json.dumps(keys | {"state": row.state}))
        else:
            size = human_size(row.size) if sys.stdout.isatty() else row.size
            click.echo(f"{row.name}\t{row.file}\t{row.state if with_state else size}")
    return damaged
