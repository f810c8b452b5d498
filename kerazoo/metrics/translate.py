"""Translations: BLEU and chrF as sacrebleu computes them, those without a fault, perplexity and accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kerazoo.contract import Network
from kerazoo.errors import InputError, UsageError
from kerazoo.metrics import plots
from kerazoo.metrics.report import Asked, Figure, Report, ask
from kerazoo.ops import numpy as ops
from kerazoo.packages import needed
from kerazoo.predictor import Predictor
from kerazoo.sources import texts
from kerazoo.tasks.translate import Translate

FIGURES = {
    "BLEU": Figure("", True, 0.5),
    "chrF": Figure("", True, 0.5),
    "exact": Figure("%", True, 0.5),
    "perplexity": Figure("", False, 0.2),
    "accuracy": Figure("%", True, 0.5),
}

CALLED = {"accuracy": ("accuracy", 100.0)}
"""What cards of trained models call a figure, and what it is multiplied with."""

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


def surprise(
    task: Translate, network: Network, sources: Sequence[str], references: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How little a model expects references: nats of each word, its own words before it given.

    Args:
        task: What the model does.
        network: Whose parts encoder and decoder it calls.
        sources, references: Texts, one of each a pair.

    Returns:
        Nats float64 [words], of the end of each sentence too; whether each word is in the vocabulary, bool [words]; and
        whether the model would have said it.

    Raises:
        InputError: A text is empty, or longer than the network reads.
    """
    written = _reading(task)
    nats, known, hits = [], [], []
    for start in range(0, len(sources), TOGETHER):
        asked, right = (_texts(each[start : start + TOGETHER]) for each in (sources, references))
        step, state = task.begun(network, task.source.prepare(ops, asked))
        words = written.prepare(ops, right)
        token, theirs = np.full(len(words), written.start, np.int32), until_end(words, written.end)
        for word, own in zip(words.T[: int(theirs.sum(1).max())], theirs.T, strict=False):
            logits, state = step(token, state)
            told = ops.log_softmax(np.asarray(logits, np.float64))
            nats.append(-told[np.arange(len(word)), word][own])
            hits.append((told.argmax(1) == word)[own])
            known.append(word[own] != written.unknown)
            token = word
    return np.concatenate(nats), np.concatenate(known), np.concatenate(hits)


def _reading(task: Translate) -> Any:
    """How references are read."""
    # A cache of what was written is as long as a translation may be.
    return task.written(task.limit if task.block else LONGEST)


def _readable(task: Translate, reference: str) -> bool:
    try:
        _reading(task).prepare(ops, _texts([reference]))
    except InputError:
        return False
    return True


def until_end(words: np.ndarray, end: int) -> np.ndarray:
    """Which numbers [..., n] of rows are no padding: those up to the first `end`, bool [..., n]."""
    ends = words == end
    return np.cumsum(ends, axis=-1) - ends == 0


def perplexity(nats: np.ndarray) -> float:
    """The exponential of the mean surprise a word."""
    return float(np.exp(np.mean(nats)))


def _texts(lines: Sequence[str]) -> np.ndarray:
    array = np.empty(len(lines), object)
    array[:] = [line.encode() for line in lines]
    return array


def measure(predictor: Predictor, asked: Asked) -> Report:
    """Of a model that translates, on parallel text; see `kerazoo.sources.texts.parallel`.

    Perplexity and accuracy are of the references' words, each told those before it. They need the network's parts,
    which a served SavedModel hides; there they are left out, and that is said. They count words of the model's own
    vocabulary, `<unk>` among them, or characters, and compare models of one vocabulary only.

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
    wanted = [line.lower() for line in references] if lower else references
    figures["exact"] = 100 * float(np.mean([guess == line for guess, line in zip(guesses, wanted, strict=True)]))
    if isinstance(task, Translate) and predictor.network is not None:
        pairs = [(sample.item, sample.truth) for sample, _ in found if _readable(task, sample.truth)]
        if len(pairs) < len(found):
            others = f"{len(found) - len(pairs)} translations have words or a length that {predictor.name} cannot write"
            asked.say(f"{others}; perplexity and accuracy are of the rest.")
        if pairs:
            nats, known, hits = surprise(task, predictor.network, *zip(*pairs, strict=True))
            figures |= {"perplexity": perplexity(nats), "accuracy": 100 * float(np.mean(hits))}
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
