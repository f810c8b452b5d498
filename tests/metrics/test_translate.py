"""BLEU and chrF with their signatures, perplexity step by step, and parallel text of every kind."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerazoo.codecs.text import SPECIAL, Text, Vocabulary
from kerazoo.contract import Port
from kerazoo.errors import InputError, UsageError
from kerazoo.evaluation import evaluate
from kerazoo.metrics import translate
from kerazoo.tasks.translate import Translate
from tests.metrics.stubs import folder, predictor, tar

pytest.importorskip("sacrebleu")

GERMAN = Vocabulary((*SPECIAL, "ein", "hund", "mann", "singt", "und", "tanzt"))
ENGLISH = Vocabulary((*SPECIAL, "a", "dog", "man", "sings", "and", "dances"))
SURE = 0.7


def word_by_word() -> Any:
    """Translates each word by its number, and is `SURE` of it; the rest is shared by all words."""
    state, context = Port("place", "float32", (None, 1)), Port("words", "float32", (None, 8))
    task = Translate(Text(GERMAN, 8), ENGLISH, (context,), (state,), limit=8)

    def encoder(inputs: Any) -> Any:
        tokens = inputs["tokens"].astype(np.float32)
        return {"place": np.zeros((len(tokens), 1), np.float32), "words": tokens}

    def decoder(inputs: Any) -> Any:
        place = inputs["place"][:, 0].astype(int)
        right = inputs["words"][np.arange(len(place)), np.minimum(place, 7)].astype(int)
        logits = np.full((len(place), len(ENGLISH)), np.log((1 - SURE) / (len(ENGLISH) - 1)))
        logits[np.arange(len(place)), right] = np.log(SURE)
        return {"logits": logits.astype(np.float32), "next_place": inputs["place"] + 1}

    return predictor(task, encoder=encoder, decoder=decoder)


LINES = {"de": "ein Hund singt\nein Mann singt und tanzt\n", "en": "A dog sings\na man sings and dances\n"}


def test_a_translation_without_a_fault(tmp_path: Path) -> None:
    folder(tmp_path, {f"val.{language}": text for language, text in LINES.items()})
    report = evaluate(word_by_word(), [tmp_path / "val.de", tmp_path / "val.en"])
    assert report.figures["BLEU"] == pytest.approx(100) and report.figures["chrF"] == pytest.approx(100)
    # Seven words, and the end of each sentence, each expected with SURE.
    assert report.figures["perplexity"] == pytest.approx(1 / SURE, rel=1e-5)
    assert (report.details["words"], report.details["unknown words"], report.count) == (10, 0, 2)
    assert report.figures["exact"] == report.figures["accuracy"] == 100
    # Small letters alone are written, so capitals do not count; and the signature says so.
    assert "case:lc" in report.details["signatures"]["BLEU"] and "version:" in report.details["signatures"]["chrF"]


def test_perplexity_of_other_words() -> None:
    model = word_by_word()
    nats, known, hits = translate.surprise(model.task, model.network, ["ein hund"], ["a cat"])
    assert nats == pytest.approx([-np.log(SURE), -np.log((1 - SURE) / 9), -np.log(SURE)], rel=1e-5)
    assert known.tolist() == hits.tolist() == [True, False, True]


def test_a_batch_of_sentences_is_as_each_alone() -> None:
    model = word_by_word()
    pairs = [("ein hund", "a dog"), ("ein mann singt und tanzt", "dances and a"), ("mann", "man")]
    alone = [translate.surprise(model.task, model.network, [one], [other])[0] for one, other in pairs]
    together = translate.surprise(model.task, model.network, *map(list, zip(*pairs, strict=True)))[0]
    assert sorted(together) == pytest.approx(sorted(np.concatenate(alone)), rel=1e-6)


def test_bleu_is_sacrebleus() -> None:
    import sacrebleu

    guesses, references = ["the cat sat on the mat", "a dog"], [["the cat is on the mat", "a cat sat"], ["the dog"]]
    found, signatures = translate.bleu_chrf(guesses, references)
    theirs = sacrebleu.corpus_bleu(guesses, [["the cat is on the mat", "the dog"], ["a cat sat", None]])  # type: ignore[list-item]
    assert found["BLEU"] == theirs.score and 0 < found["BLEU"] < 100
    assert "nrefs:var" in signatures["BLEU"]


def test_every_kind_of_source(tmp_path: Path) -> None:
    packed = {f"raw/{part}.{language}.gz": gzip.compress(text.encode()) for language, text in LINES.items()
              for part in ("train", "val")}  # fmt: skip
    rows = "".join(f"{a}\t{b}\n" for a, b in zip(*(LINES[each].splitlines() for each in LINES), strict=True))
    sources: list[tuple[Any, Any]] = [
        (folder(tmp_path / "x", packed), ("de", "en")),
        (tar(tmp_path / "x.tar", packed), ("de", "en")),
        (folder(tmp_path, {"x.tsv": rows}) / "x.tsv", None),
        (folder(tmp_path, {"x.txt": rows}) / "x.txt", None),
        (folder(tmp_path / "parts", {"train/x.tsv": "ein\tand\n", "val/x.tsv": rows}), None),
    ]
    for source, languages in sources:
        report = evaluate(word_by_word(), source, languages=languages)
        assert report.count == 2 and report.figures["BLEU"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("names", "languages", "match"),
    [
        (["val.de", "short.en"], None, "2 lines, .*1; line by line"),
        (["empty", "empty"], None, "is empty"),
        (["val.de", "val.de", "val.de"], None, "one source or two files; 3"),
        (["."], None, "holds 0 .tsv files"),
        (["."], ("de", "fr"), r"one file that ends in \.fr; there is none"),
        (["."], ("en", "de"), r"one file that ends in \.en; there is short\.en, val\.en"),
        (["val.de"], None, "line 1: must hold source and target"),
        (["gone", "val.en"], None, "is no such file"),
    ],
)
def test_text_that_is_not_parallel(tmp_path: Path, names: Any, languages: Any, match: str) -> None:
    folder(tmp_path, {"val.de": LINES["de"], "val.en": LINES["en"], "short.en": "A dog\n", "empty": ""})
    with pytest.raises(UsageError, match=match):
        evaluate(word_by_word(), [tmp_path / name for name in names], languages=languages)


def test_a_sentence_that_is_too_long_is_left_out(tmp_path: Path) -> None:
    data = folder(tmp_path, {"x.tsv": f"ein hund\ta dog\n{'und ' * 9}\tand\n"}) / "x.tsv"
    said: list[str] = []
    assert evaluate(word_by_word(), data, say=said.append).count == 1
    assert "line 2: The text has more than 7 words" in said[0]
    with pytest.raises(InputError, match="line 2"):
        evaluate(word_by_word(), data, strict=True)


def test_where_parts_cannot_be_called(tmp_path: Path) -> None:
    said: list[str] = []
    served = replace(word_by_word(), network=None, engine="remote")
    report = evaluate(served, folder(tmp_path, {"x.tsv": "ein hund\ta dog\n"}) / "x.tsv", say=said.append)
    assert "perplexity" not in report.figures and "cannot be called on remote" in said[0]
