"""Translations: BLEU and chrF as sacrebleu computes them, and perplexity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kerazoo.codecs.text import PAD, START, UNKNOWN
from kerazoo.contract import Network
from kerazoo.errors import UsageError
from kerazoo.metrics import plots
from kerazoo.metrics.report import Asked, Figure, Report, ask
from kerazoo.ops import numpy as ops
from kerazoo.packages import needed
from kerazoo.predictor import Predictor
from kerazoo.sources import texts
from kerazoo.tasks.translate import Translate

FIGURES = {"BLEU": Figure("", True, 0.5), "chrF": Figure("", True, 0.5), "perplexity": Figure("", False, 0.2)}

LONGEST = 512
"""Words of the longest reference whose perplexity is measured."""

TOGETHER = 64
SHOWN = 12


def bleu_chrf(
    guesses: Sequence[str], references: Sequence[Sequence[str]], lower: bool = False
) -> tuple[dict[str, float], dict[str, str]]:
    """BLEU and chrF2 of a corpus, 0 to 100, and the signature of each, which says all that they depend on.

    Papineni et al., "BLEU", ACL 2002; Popovic, "chrF", WMT 2015; Post, "A Call for Clarity in Reporting BLEU Scores",
    WMT 2018.

    Args:
        guesses: Plain text, a line each.
        references: Of each guess one or more.
        lower: Whether capitals do not count, for models that write small letters alone.

    Raises:
        PackageMissing: sacrebleu is not installed.
    """
    metrics = needed("sacrebleu.metrics")
    most = max(map(len, references))
    streams = [[row[place] if place < len(row) else None for row in references] for place in range(most)]
    figures, signatures = {}, {}
    for name, metric in (("BLEU", metrics.BLEU(lowercase=lower)), ("chrF", metrics.CHRF(lowercase=lower))):
        figures[name] = float(metric.corpus_score(list(guesses), streams).score)
        signatures[name] = str(metric.get_signature())
    return figures, signatures


def surprise(task: Translate, network: Network, sources: Sequence[str], references: Sequence[str]) -> tuple[Any, Any]:
    """How little a model expects references: nats of each word, its own words before it given.

    Args:
        task: What the model does.
        network: Whose parts encoder and decoder it calls.
        sources, references: Texts, one of each a pair.

    Returns:
        Nats float64 [words], of the end of each sentence too; and whether each word is in the vocabulary, bool [words].

    Raises:
        InputError: A text is empty, or longer than the network reads.
    """
    # A cache of what was written is as long as a translation may be.
    written = task.written(task.limit if task.block else LONGEST)
    nats, known = [], []
    for start in range(0, len(sources), TOGETHER):
        asked, right = (_texts(each[start : start + TOGETHER]) for each in (sources, references))
        step, state = task.begun(network, task.source.prepare(ops, asked))
        words = written.prepare(ops, right)
        token = np.full(len(words), START, np.int32)
        for word in words.T[: int((words != PAD).sum(1).max())]:
            logits, state = step(token, state)
            told = ops.log_softmax(np.asarray(logits, np.float64))[np.arange(len(word)), word]
            nats.append(-told[word != PAD])
            known.append(word[word != PAD] != UNKNOWN)
            token = word
    return np.concatenate(nats), np.concatenate(known)


def perplexity(nats: np.ndarray) -> float:
    """The exponential of the mean surprise a word."""
    return float(np.exp(np.mean(nats)))


def _texts(lines: Sequence[str]) -> np.ndarray:
    array = np.empty(len(lines), object)
    array[:] = [line.encode() for line in lines]
    return array


def measure(predictor: Predictor, asked: Asked) -> Report:
    """Of a model that translates, on parallel text; see `kerazoo.sources.texts.parallel`.

    Perplexity needs the network's parts, which a served SavedModel hides; there it is left out, and that is said. It
    counts words of the model's own vocabulary, `<unk>` among them, and compares models of one vocabulary only.

    Raises:
        UsageError: There is no parallel text.
        InputError: Nothing of it can be read.
        PackageMissing: sacrebleu is not installed.
    """
    needed("sacrebleu.metrics")
    task: Any = predictor.task
    lower = bool(getattr(task, "small", False))
    answers = ask(predictor, texts.parallel(asked.data, asked.only, asked.languages), asked, "sentences")
    found = [(sample, result.text) for sample, result in answers]
    references = [sample.truth for sample, _ in found]
    if not all(references):
        raise UsageError(f"{found[references.index('')][0].name} has no translation to compare with.")
    guesses = [text for _, text in found]
    figures, signatures = bleu_chrf(guesses, [[line] for line in references], lower)
    details: dict[str, Any] = {"signatures": signatures}
    if isinstance(task, Translate) and predictor.network is not None:
        nats, known = surprise(task, predictor.network, [sample.item for sample, _ in found], references)
        figures["perplexity"] = perplexity(nats)
        details |= {"words": len(nats), "unknown words": int(np.sum(~known))}
    else:
        asked.say(f"Perplexity is not measured: the parts of {predictor.name} cannot be called on {predictor.engine}.")
    drawn = {}
    if asked.plots:
        rows = worst(guesses, references, lower)[:SHOWN]
        lines = [(found[row][0], f"{guesses[row]}   (right: {references[row]})") for row in rows]
        drawn["sentences.png"] = lambda: plots.sentences(
            lines, "Sentences with the lowest chrF, their translation below"
        )
    return answers.report(figures, details=details, plots=drawn)


def worst(guesses: Sequence[str], references: Sequence[str], lower: bool = False) -> list[int]:
    """Numbers of the sentences, lowest chrF first."""
    metric = needed("sacrebleu.metrics").CHRF(lowercase=lower)
    scores = [metric.sentence_score(*pair).score for pair in zip(guesses, ([line] for line in references), strict=True)]
    return np.argsort(scores, kind="stable").tolist()
