"""`kerazoo rank`: pictures and sentences, what belongs together first."""

from __future__ import annotations

import click

from kerazoo.errors import InputError

ALIGNED = "visual_semantic_small:scenes"
"""The model that is asked where none is named."""


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--sentence", "sentences", multiple=True, required=True, metavar="TEXT", help="May be repeated.")
@click.option("-m", "--model", default=ALIGNED, show_default=True, metavar="NAME", help="A model that does rank.")
@click.option("--top", default=10, show_default=True, type=click.IntRange(1), help="How many pairs.")
@click.option("--engine", default="auto", show_default=True, metavar="NAME", help="As for predict.")
@click.option("--recursive", is_flag=True, help="Folders within folders too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def rank(
    inputs: tuple[str, ...],
    sentences: tuple[str, ...],
    model: str,
    top: int,
    engine: str,
    recursive: bool,
    as_json: bool,
) -> int:
    """Ranks every INPUT with every sentence, what fits best first.

    Of one picture that tells which sentence says what is in it; of one
    sentence and a folder, where it is to be seen. INPUT is as for predict,
    which also tells where in a picture each word is.

    \b
    kerazoo rank scene.png --sentence 'a red circle' --sentence 'a blue square'
    kerazoo rank scenes/ --sentence 'a large red circle at the top left' --top 3
    kerazoo predict scene.png -m visual_semantic_small:scenes \\
        --port text='a red circle' -o regions.png
    """
    from kerazoo import ranking
    from kerazoo.cli import _inputs, _output, say
    from kerazoo.loading import load
    from kerazoo.predictor import Failure
    from kerazoo.printable import printable

    predictor = load(model, engine, say)
    sources = _inputs.sources_of(_inputs.without_lists(inputs), predictor.task.request[0], recursive)
    scored = ranking.scored(predictor, sources, sentences)
    if unknown := ranking.unknown(predictor, sentences):
        say(f"Not in the model's vocabulary, and not counted: {', '.join(unknown)}")
    pairs, failed = [], False
    for source, scores in scored:
        if isinstance(scores, Failure):
            failed = True
            say(f"{source.label}: error: {scores.error}", as_one_line=True)
        else:
            pairs += [(score, source.label, text) for score, text in zip(scores.tolist(), sentences, strict=True)]
    best = sorted(pairs, key=lambda pair: -pair[0])[:top]
    if as_json:
        found = [{"input": label, "text": text, "score": round(score, 6)} for score, label, text in best]
        click.echo(_output.dumps({"model": predictor.name, "top": found}))
    else:
        for score, label, text in best:
            click.echo(f"{score:9.3f}  {printable(label)}  {printable(text)}")
    return InputError.exit_code if failed else 0
