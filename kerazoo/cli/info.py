"""`kerazoo info`: everything about one model."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

import click

from kerazoo.manifest import PACKAGE, File
from kerazoo.printable import human_size, printable


@click.command()
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def info(model: str, as_json: bool) -> int:
    """Tells all about MODEL.

    What it is, where its weights come from, how good they are, and what holds
    each file to its bytes: a published hash, or the one of the first fetch.

    \b
    kerazoo info resnet50
    kerazoo info vgg16:imagenet --json | jq .measured
    """
    from kerazoo import registry, store

    found = registry.find(model)
    row: dict[str, Any] = next(row for row in registry.rows(found.name) if row["name"] == found.name)
    paper = (found.family.__doc__ or "").strip()
    row["paper"] = paper
    if found.entry is not None:
        entry = found.entry
        row |= {
            "source": entry.source,
            "preprocessing": dict(entry.preprocessing) if entry.preprocessing else None,
            "files": [
                {
                    "name": f.name,
                    "role": f.role,
                    "size": f.size,
                    "urls": list(f.urls),
                    f.hash_kind or "hash": f.hash_value,
                    "trusted": dataclasses.asdict(known) if (known := store.trusted(entry, f.role)) else None,
                }
                for f in entry.files
            ],
            "cached": store.present(entry),
        }
    if as_json:
        click.echo(json.dumps(row, ensure_ascii=False))
        return 0
    click.echo(f"{printable(row['name'])}\n\n{paper}\n")
    for key in ("task", "params", "input", "licence", "source", "cached"):
        if key in row:
            value = f"{row[key]:,}" if key == "params" else row[key]
            click.echo(f"{key + ':':<12}{value}")
    for key, title in (("metrics", "published"), ("measured", "measured")):
        for metric in row[key]:
            by = metric.get("command") or metric.get("source")
            click.echo(f"{title + ':':<12}{metric['metric']} {metric['value']:g} on {metric['dataset']}  [{by}]")
    for file, shown in zip(found.entry.files if found.entry else (), row.get("files", ()), strict=True):
        click.echo(f"{'file:':<12}{file.name} ({file.role}, {_size(file.size)})\n{'':<12}{file.urls[0]}")
        for line in _held_by(file, shown["trusted"]):
            click.echo(f"{'':<12}{line}")
    click.echo(f"\nNext: kerazoo predict photo.jpg -m {row['name']}" if found.entry else "\nNo pretrained weights yet.")
    return 0


def _size(size: int | None) -> str:
    if size is None:
        return "size not published"
    return human_size(size) if sys.stdout.isatty() else f"{size:,} bytes"


def _held_by(file: File, trusted: dict[str, str] | None) -> list[str]:
    """What says which bytes a file has, a line each."""
    kind = {None: "no hash", "sha256_prefix": "sha256 prefix"}.get(file.hash_kind, file.hash_kind)
    lines = [f"{kind} published" + (f": {file.hash_value}" if file.hash_value else "")]
    if trusted is not None:
        lines.append(f"trusted at first fetch on {trusted['date']}: sha256 {trusted['sha256']}")
    elif not file.pinned and not file.urls[0].startswith(PACKAGE):
        lines.append("the sha256 of the first fetch will be trusted")
    return lines
