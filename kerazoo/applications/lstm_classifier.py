"""LSTM classifiers: a text read word by word, from one end or from both, and its class told by what is remembered.

Paper: Hochreiter, Schmidhuber, "Long Short-Term Memory", Neural Computation 9, 1997; Graves, Schmidhuber, "Framewise
    Phoneme Classification with Bidirectional LSTM", Neural Networks 18, 2005 (read from both ends); of sentences as in
    Tai, Socher, Manning, "Improved Semantic Representations From Tree-Structured Long Short-Term Memory Networks",
    arXiv:1503.00075, section 5.1.
Reference weights: none.
Variants: `lstm_classifier`, 64 units over 10,000 words of 64 numbers, and `bilstm_classifier`, as many again from the
    end of the text; 673,154 and 706,306 parameters. Texts have 63 words and signs at most.
Differs: words have vectors of their own where the paper begins with GloVe's; much of them is dropped in training, since
    a few thousand texts are soon learnt by heart. Only a recurrence that is unrolled to a fixed length converts to
    LiteRT's built-in operations; behind a text's end nothing changes the state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kerazoo.applications._builder import Weights, assembled, share, whole_numbers
from kerazoo.assets import Assets, vocabulary_of
from kerazoo.codecs.text import Text, Vocabulary
from kerazoo.contract import Task, Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.tasks.classify import Classify

__all__ = ["BiLSTMClassifier", "LSTMClassifier"]


@dataclass(frozen=True)
class Config:
    """Sizes of an LSTM classifier.

    Attributes:
        name: Name of the Keras model.
        words: Size of the vocabulary, its four special words included.
        length: Words of the longest text, its end included.
        embedding: Numbers of a word's vector.
        units: Of the LSTM, in each direction.
        classes: Number of classes.
        both: Whether a second LSTM reads from the end.
        dropout: Share of the embeddings and of what the classes are told by that training leaves out.
        activation: Of the top; `None` gives logits, which is what a task wants.
    """

    name: str = "lstm_classifier"
    words: int = 10_000
    length: int = 64
    embedding: int = 64
    units: int = 64
    classes: int = 2
    both: bool = False
    dropout: float = 0.5
    activation: str | None = None


def _variant(name: str, both: bool, params: int) -> Variant:
    small = Config(name, words=30, length=8, embedding=8, units=6, classes=3, both=both)
    return Variant(Config(name, both=both), params, input=(64,), task="classify", small=small)


VARIANTS = {
    "lstm_classifier": _variant("lstm_classifier", False, 673_154),
    "bilstm_classifier": _variant("bilstm_classifier", True, 706_306),
}


def build(config: Config) -> keras.Model:
    """Words int32 [batch, length] to logits [batch, classes]."""
    layers = keras.layers
    tokens = keras.Input((config.length,), dtype="int32", name="tokens")
    # Number 0 is padding: behind the last word the state stays as it is.
    x = layers.Embedding(config.words, config.embedding, mask_zero=True, name="words")(tokens)
    if config.dropout:
        # A word is forgotten whole, or not at all.
        x = layers.SpatialDropout1D(config.dropout, name="words_dropout")(x)
    forward = layers.LSTM(config.units, unroll=True, name="forward")(x)
    if config.both:
        backward = layers.LSTM(config.units, unroll=True, go_backwards=True, name="backward")(x)
        forward = layers.Concatenate(name="both")([forward, backward])
    if config.dropout:
        forward = layers.Dropout(config.dropout, name="remembered_dropout")(forward)
    logits = layers.Dense(config.classes, activation=config.activation, name="predictions")(forward)
    return keras.Model(tokens, logits, name=config.name)


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    names, words = [layer.name for layer in model.layers], model.get_layer("words")
    return {
        "words": words.input_dim,
        "length": model.inputs[0].shape[1],
        "embedding": words.output_dim,
        "units": model.get_layer("forward").units,
        "classes": model.get_layer("predictions").units,
        "both": "backward" in names,
        "dropout": model.get_layer("words_dropout").rate if "words_dropout" in names else 0.0,
    }


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Classification with the assets' vocabulary and labels; `class_0`, `class_1`, ... where there are no labels.

    Raises:
        UsageError: There is no vocabulary, or it has not as many words as the network.
    """
    vocabulary = vocabulary_of(assets, f"{config.name} has no vocabulary, so it can read no word", "words")
    if len(vocabulary) != config.words:
        raise UsageError(f"The vocabulary has {len(vocabulary)} words; {config.name} has {config.words}.")
    labels = assets.labels or tuple(f"class_{index}" for index in range(config.classes))
    return {"classify": Classify(Text(Vocabulary(vocabulary), config.length), labels)}


def LSTMClassifier(
    weights: Weights = None,
    words: int = 10_000,
    length: int = 64,
    embedding: int = 64,
    units: int = 64,
    classes: int = 2,
    dropout: float = 0.5,
    classifier_activation: str | None = "softmax",
    name: str = "lstm_classifier",
) -> keras.Model:
    """Classifier of texts with an LSTM that reads them from the beginning; 673,154 parameters with these arguments.

    Args:
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        words: Size of the vocabulary, its four special words included.
        length: Words of the longest text, its end included; the network is unrolled to it.
        embedding: Numbers of a word's vector.
        units: Of the LSTM.
        classes: Number of classes.
        dropout: Share of the embeddings and of what the classes are told by that training leaves out.
        classifier_activation: Of the top; `None` gives logits.
        name: Name of the model.

    Returns:
        A `keras.Model`: words int32 [batch, length], 0 behind the last, to [batch, classes].

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    config = Config(name, words, length, embedding, units, classes, False, dropout, classifier_activation)
    return _made("lstm_classifier", config, weights)


def BiLSTMClassifier(
    weights: Weights = None,
    words: int = 10_000,
    length: int = 64,
    embedding: int = 64,
    units: int = 64,
    classes: int = 2,
    dropout: float = 0.5,
    classifier_activation: str | None = "softmax",
    name: str = "bilstm_classifier",
) -> keras.Model:
    """Classifier of texts with two LSTMs, one from either end; 706,306 parameters with these arguments.

    Args:
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        words: Size of the vocabulary, its four special words included.
        length: Words of the longest text, its end included; the network is unrolled to it.
        embedding: Numbers of a word's vector.
        units: Of each LSTM.
        classes: Number of classes.
        dropout: Share of the embeddings and of what the classes are told by that training leaves out.
        classifier_activation: Of the top; `None` gives logits.
        name: Name of the model.

    Returns:
        A `keras.Model`: words int32 [batch, length], 0 behind the last, to [batch, classes].

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    config = Config(name, words, length, embedding, units, classes, True, dropout, classifier_activation)
    return _made("bilstm_classifier", config, weights)


def _made(variant: str, config: Config, weights: Weights) -> keras.Model:
    sizes = ("words", "length", "embedding", "units", "classes")
    whole_numbers(**{size: getattr(config, size) for size in sizes})
    share(dropout=config.dropout)
    return assembled(__name__, variant, config, weights)
