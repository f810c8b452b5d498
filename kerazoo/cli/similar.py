"""`kerazoo similar`: the words that lie closest to one."""

from __future__ import annotations

from pathlib import Path

import click

WORDS = "glove_50:6b"
"""The model that is asked where none is named."""


@click.command()
@click.argument("word", nargs=-1, required=True)
@click.option("-m", "--model", default=WORDS, show_default=True, metavar="NAME", help="A model of word vectors.")
@click.option("--top", default=10, show_default=True, type=click.IntRange(1), help="How many.")
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="PNG", help="A map of them.")
@click.option("--engine", default="auto", show_default=True, metavar="NAME", help="As for predict.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a WORD.")
def similar(word: tuple[str, ...], model: str, top: int, out: Path | None, engine: str, as_json: bool) -> int:
    """Tells the words whose vectors lie closest to each WORD's, with the cosine.

    \b
    kerazoo similar paris
    kerazoo similar paris --top 3 --json
    kerazoo similar france monday piano dog -o map.png
    """
    from kerazoo import words
    from kerazoo.cli import _output, say
    from kerazoo.errors import UsageError
    from kerazoo.loading import load
    from kerazoo.printable import printable

    if out and out.suffix.lower() != ".png":
        raise UsageError(f"{out}: the map is a .png.")
    table = words.table(load(model, engine, say))
    found = {each: table.similar(each, top) for each in word}
    picture = words.drawn(table, word, top) if out else b""
    for each, near in found.items():
        if len(word) > 1 and not as_json:
            click.echo(f"{printable(each)}:")
        told({"word": each}, near, as_json)
    if out:
        _output.write(out, picture)
    return 0


def told(asked: dict[str, object], found: list[tuple[str, float]], as_json: bool) -> None:
    """Words with their cosines, for people or as one JSON object."""
    from kerazoo.cli import _output
    from kerazoo.printable import printable

    if as_json:
        click.echo(_output.dumps({**asked, "top": [{"label": word, "score": round(c, 6)} for word, c in found]}))
        return
    for word, cosine in found:
        click.echo(f"{cosine:7.4f}  {printable(word)}")
