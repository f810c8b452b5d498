"""`kerazoo analogy`: what is to one word as another is to a third."""

from __future__ import annotations

import click

from kerazoo.cli.similar import WORDS, told


@click.command()
@click.argument("a")
@click.argument("b")
@click.argument("c")
@click.option("-m", "--model", default=WORDS, show_default=True, metavar="NAME", help="A model of word vectors.")
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="How many.")
@click.option("--engine", default="auto", show_default=True, metavar="NAME", help="As for predict.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def analogy(a: str, b: str, c: str, model: str, top: int, engine: str, as_json: bool) -> int:
    """Tells what is to C as B is to A: the words closest to B - A + C.

    \b
    kerazoo analogy man king woman
    kerazoo analogy france paris italy --top 1 --json
    """
    from kerazoo import words
    from kerazoo.cli import say
    from kerazoo.loading import load

    table = words.table(load(model, engine, say))
    told({"a": a, "b": b, "c": c}, table.analogy(a, b, c, top), as_json)
    return 0
