"""`kerazoo similar`: the words that lie closest to one."""

from __future__ import annotations

import click

WORDS = "glove_50:6b"
"""The model that is asked where none is named."""


@click.command()
@click.argument("word")
@click.option("-m", "--model", default=WORDS, show_default=True, metavar="NAME", help="A model of word vectors.")
@click.option("--top", default=10, show_default=True, type=click.IntRange(1), help="How many.")
@click.option("--engine", default="auto", show_default=True, metavar="NAME", help="As for predict.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def similar(word: str, model: str, top: int, engine: str, as_json: bool) -> int:
    """Tells the words whose vectors lie closest to WORD's, with the cosine.

    \b
    kerazoo similar paris
    kerazoo similar paris --top 3 --json
    """
    from kerazoo import words
    from kerazoo.cli import say
    from kerazoo.loading import load

    told({"word": word}, words.table(load(model, engine, say)).similar(word, top), as_json)
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
