"""`kerazoo info`: everything about one model."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from kerazoo.manifest import File
from kerazoo.printable import human_size, printable


@click.command()
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def info(model: str, as_json: bool) -> int:
    """Tells all about MODEL.

    What it is, where its weights come from, how good they are, and what holds
    each file to its bytes: a published hash, or the one of the first fetch. A
    file of your own (.keras, .onnx, .tflite, a bundle) tells what its card says.

    \b
    kerazoo info resnet50
    kerazoo info vgg16:imagenet --json | jq .measured
    kerazoo info mine.keras
    """
    from kerazoo.own.about import info as about

    row = about(model)
    if as_json:
        click.echo(json.dumps(row, ensure_ascii=False))
    elif "file" in row:
        _print_file(row)
    else:
        _print_zoo(row)
    return 0


def _print_file(row: dict[str, Any]) -> None:
    labels = row["labels"]
    shown = {
        **{key: row[key] for key in ("task", "tasks", "input", "variant", "picture", "preprocessing")},
        "labels": f"{len(labels)}: {', '.join(labels[:5])}{', ...' if len(labels) > 5 else ''}" if labels else None,
        "measured": ", ".join(f"{name} {value:g}" for name, value in row["measured"].items()),
        "size": _size(row["size"]),
        "made with": ", ".join(f"{name} {version}" for name, version in row["versions"].items()),
    }
    click.echo(f"{printable(row['name'])}\n")
    for key, value in shown.items():
        if value:
            click.echo(f"{key + ':':<15}{printable(str(value))}")
    click.echo(f"\nNext: kerazoo predict INPUT -m {printable(row['file'])}")


def _print_zoo(row: dict[str, Any]) -> None:
    from kerazoo import registry

    found = registry.find(row["name"])
    click.echo(f"{printable(row['name'])}\n\n{row['paper']}\n")
    for key in ("task", "params", "input", "licence", "source", "cached"):
        if key in row:
            value = f"{row[key]:,}" if key == "params" else row[key]
            click.echo(f"{key + ':':<12}{value}")
    for key, title in (("metrics", "published"), ("measured", "measured")):
        for metric in row[key]:
            by = metric.get("command") or metric.get("source")
            click.echo(f"{title + ':':<12}{metric['metric']} {metric['value']:g} on {metric['dataset']}  [{by}]")
    for file, shown in zip(found.entry.files if found.entry else (), row.get("files", ()), strict=True):
        click.echo(f"{'file:':<12}{file.name} ({file.role}, {_size(file.size)})")
        click.echo(f"{'':<12}{file.urls[0] if file.urls else 'no address of its own: set KERAZOO_MIRROR'}")
        for line in _held_by(file, shown["trusted"]):
            click.echo(f"{'':<12}{line}")
    click.echo(f"\nNext: kerazoo predict photo.jpg -m {row['name']}" if found.entry else "\nNo pretrained weights yet.")


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
    elif not file.pinned and not file.packaged:
        lines.append("the sha256 of the first fetch will be trusted")
    return lines
