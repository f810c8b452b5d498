from __future__ import annotations

import keras
import numpy as np
import pytest

from kerazoo.applications import BiLSTMClassifier, LSTMClassifier, lstm_classifier
from kerazoo.assets import Assets
from kerazoo.codecs.text import placeholder
from kerazoo.errors import UsageError


@pytest.mark.parametrize("name", lstm_classifier.VARIANTS)
def test_counts_by_arithmetic(name: str) -> None:
    ways = 1 + (name == "bilstm_classifier")
    cells = ways * 4 * 64 * (64 + 64 + 1)
    assert 10_000 * 64 + cells + (ways * 64 + 1) * 2 == lstm_classifier.VARIANTS[name].params


def test_what_stands_behind_the_end_changes_nothing() -> None:
    """One that reads from the end, too: padding comes first there, and leaves no trace."""
    keras.utils.set_random_seed(0)
    long = BiLSTMClassifier(words=20, length=9, embedding=5, units=4, classes=3)
    short = BiLSTMClassifier(words=20, length=4, embedding=5, units=4, classes=3)
    short.set_weights(long.get_weights())
    text = np.array([[7, 5, 9, 3]], np.int32)
    padded = np.pad(text, ((0, 0), (0, 5)))
    np.testing.assert_allclose(long(padded), short(text), rtol=0, atol=1e-6)
    assert not np.allclose(long(padded), long(padded[:, [1, 0, 2, 3, 4, 5, 6, 7, 8]]), atol=1e-6)


def test_vocabulary_and_labels() -> None:
    config = lstm_classifier.VARIANTS["lstm_classifier"].small
    with pytest.raises(UsageError, match="no vocabulary, so it can read no word"):
        lstm_classifier.tasks(config, Assets())
    with pytest.raises(UsageError, match="vocabulary has 29 words; lstm_classifier has 30"):
        lstm_classifier.tasks(config, Assets(vocabulary=placeholder(29)))
    (task,) = lstm_classifier.tasks(config, Assets(vocabulary=placeholder(30))).values()
    assert task.labels == ("class_0", "class_1", "class_2")  # type: ignore[attr-defined]


def test_builder() -> None:
    model = LSTMClassifier(words=20, length=5, embedding=3, units=2, classes=4)
    np.testing.assert_allclose(np.sum(model(np.ones((2, 5), np.int32)), -1), 1, atol=1e-6)
    assert lstm_classifier.sizes(model) == {
        "words": 20, "length": 5, "embedding": 3, "units": 2, "classes": 4, "both": False, "dropout": 0.5,
    }  # fmt: skip
    for wrong in ({"units": 0}, {"dropout": 1}, {"weights": "imagenet"}):
        with pytest.raises(UsageError):
            LSTMClassifier(**wrong)
