"""Parallel text becomes a translator with one command; what the paper of the Transformer says of training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerazoo import cli, own, registry
from kerazoo.codecs._wordpiece import placeholder as pieces
from kerazoo.errors import UsageError
from kerazoo.ops import numpy as ops
from kerazoo.train import fit, losses
from kerazoo.train.run import EPOCH, run
from kerazoo.train.schedules import InverseRoot
from tests.tasks.stubs import text

GERMAN, ENGLISH = ["eins", "zwei", "drei", "vier"], ["One", "two", "three", "four"]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A `transformer_small` whose layers are smaller yet."""
    family, described = registry.variants()["transformer_small"]
    config = replace(described.config, words=60, length=12, layers=1, units=16, inner=24, heads=2)
    monkeypatch.setitem(registry.variants(), "transformer_small", (family, replace(described, config=config)))


def written(folder: Path, count: int = 120) -> list[str]:
    """Two files of numbers in words, all of a length."""
    rows = [np.random.default_rng(row).integers(0, 4, 3) for row in range(count)]
    for language, words in (("de", GERMAN), ("en", ENGLISH)):
        (folder / language).write_text("".join(" ".join(words[number] for number in row) + "\n" for row in rows))
    return [str(folder / language) for language in ("de", "en")]


@pytest.mark.slow
def test_parallel_text_becomes_a_model_of_subwords(
    tmp_path: Path, small: None, capsys: pytest.CaptureFixture[str]
) -> None:
    german, english = written(tmp_path)
    out = tmp_path / "out"
    changes = ["batch=16", "rate=0.02", "warm_up=1", "words=40", "buckets=1", "average=2", "smoothing=0.05"]
    word = ["train", "transformer_small", "--recipe=attention", f"--data={german}", f"--data={english}", "-o", str(out)]
    assert cli.run([*word, "--epochs=8", *(f"--set={each}" for each in changes)]) == 0
    capsys.readouterr()
    assert cli.run(["predict", "-m", str(out / "model.keras"), "--engine=keras", "--json", "DREI vier eins"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert set(row["text"]) <= set(" ".join(ENGLISH)), "no letters of the language"
    log = (out / "log.csv").read_text().splitlines()
    losses_ = [float(line.split(",")[log[0].split(",").index("val_loss")]) for line in log[1:]]
    assert losses_[-1] < 0.7 * losses_[0], "it did not learn"
    built = own.find(out / "model.keras").build()
    assert built.task.source.words == built.task.target and not built.task.small  # type: ignore[attr-defined]
    # The weights that are kept are the mean of those after the last two epochs; others are not.
    paths = [out / EPOCH.format(epoch) for epoch in (7, 8)]
    assert sorted(out.glob(EPOCH.format("*"))) == sorted(paths)
    kept = [np.load(path) for path in paths]
    for number, variable in enumerate(built.keras.trainable_variables):
        mean = sum(each[f"arr_{number}"].astype(np.float64) for each in kept) / 2
        np.testing.assert_allclose(variable.numpy(), mean, rtol=0, atol=1e-6, err_msg=variable.path)


@pytest.mark.slow
def test_parallel_text_becomes_a_model_that_bert_reads_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    family, described = registry.variants()["bert_nmt_frozen"]
    small = {"words": 60, "length": 16, "layers": 1, "units": 16, "inner": 24, "heads": 2}
    reader = replace(described.small.bert, vocabulary=60, layers=1)
    changed = replace(described, config=replace(described.config, **small, bert=reader))
    monkeypatch.setitem(registry.variants(), "bert_nmt_frozen", (family, changed))
    monkeypatch.setattr(family, "pieces", lambda: pieces(60))
    began = []
    monkeypatch.setattr(family, "first_weights", began.append)
    settings = {"words": 40, "buckets": 1, "batch": 16}
    job = fit.job("bert_nmt_frozen", written(tmp_path), recipe="attention", epochs=1, settings=settings)
    task: Any = job.tasks["translate"]
    assert task.source.words == pieces(60) and len(task.written().pieces) <= 40
    lines = text(*(tmp_path / "de").read_text().splitlines())
    read, _, _ = job.recipe.data.batch(np.arange(4), np.random.default_rng(0))
    assert {*map(bytes, read)} <= {*map(bytes, task.source.prepare(ops, lines))}
    out = run(job.recipe, tmp_path / "out", say=lambda line: None)
    assert began and np.isfinite(out.figures["val_loss"])


def test_a_vocabulary_larger_than_the_letters_is_needed(tmp_path: Path, small: None) -> None:
    with pytest.raises(UsageError, match="words=10: the letters of these sentences alone are"):
        fit.job("transformer_small", written(tmp_path), settings={"words": 10}, say=lambda line: None)


def test_the_schedule_is_that_of_the_paper() -> None:
    rate = InverseRoot((512 * 4000) ** -0.5, 4).rate(1000, 100)
    for step in (1, 100, 4000, 9000):
        expected = 512**-0.5 * min(step**-0.5, step * 4000**-1.5)
        assert float(rate(step - 1)) == pytest.approx(expected, rel=1e-5)


def test_smoothing_without_making_the_shares_is_smoothing() -> None:
    random = np.random.default_rng(0)
    labels, logits = random.integers(0, 9, (2, 3)), random.normal(0, 2, (2, 3, 9)).astype(np.float32)
    expected = losses.Classes(smoothing=0.1)(labels, logits)
    np.testing.assert_allclose(losses.Smoothed(0.1)(labels, logits), expected, rtol=1e-5)
