"""`kerazoo info`: everything about one model."""

from __future__ import annotations

import json
from typing import Any

import click


@click.command()
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def info(model: str, as_json: bool) -> int:
    """Tells all about MODEL.

    What it is, where its weights come from, and how good they are.
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
                }
                for f in entry.files
            ],
            "cached": store.present(entry),
        }
    if as_json:
        click.echo(json.dumps(row, ensure_ascii=False))
        return 0
    click.echo(f"{row['name']}\n\n{paper}\n")
    for key in ("task", "params", "input", "licence", "source", "cached"):
        if key in row:
            value = f"{row[key]:,}" if key == "params" else row[key]
            click.echo(f"{key + ':':<12}{value}")
    for key, title in (("metrics", "published"), ("measured", "measured")):
        for metric in row[key]:
            by = metric.get("command") or metric.get("source")
            click.echo(f"{title + ':':<12}{metric['metric']} {metric['value']:g} on {metric['dataset']}  [{by}]")
    for file in row.get("files", []):
        size = f"{file['size']:,} bytes" if file["size"] else "size not published"
        click.echo(f"{'file:':<12}{file['name']} ({file['role']}, {size})\n{'':<12}{file['urls'][0]}")
    click.echo(f"\nNext: kerazoo predict photo.jpg -m {row['name']}" if found.entry else "\nNo pretrained weights yet.")
    return 0
