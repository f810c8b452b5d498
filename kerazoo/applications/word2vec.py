"""Word vectors: one a word, learned from the words around it.

Paper: Mikolov, Chen, Corrado, Dean, "Efficient Estimation of Word Representations in Vector Space", arXiv:1301.3781;
    Mikolov, Sutskever, Chen, Corrado, Dean, "Distributed Representations of Words and Phrases and their
    Compositionality", NIPS 2013, arXiv:1310.4546. GloVe: Pennington, Socher, Manning, EMNLP 2014.
Reference weights: the 20,000 most frequent words of GloVe 6B, 50 numbers each, public domain (PDDL 1.0); Google's
    GoogleNews vectors are read from their file with `Word2Vec(path, words=3_000_000, units=300)`.
Variants: `word2vec_100`: 30,000 words of 100 numbers, 3,000,000 parameters; `glove_50`: 20,000 of 50, 1,000,000;
    `skip_gram`: the same sizes, learnt here from 20,000 words of English prose.
Differs: the network answers with the input vectors alone, which are what the published files hold; the output vectors,
    as many again, are needed in training only (`kerazoo.train.words` has skip-gram and continuous bag of words, with
    negative samples and with a Huffman tree).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.applications._builder import Weights, assembled, whole_numbers
from kerazoo.assets import Assets, vocabulary_of
from kerazoo.codecs._word import Word
from kerazoo.codecs.text import Vocabulary
from kerazoo.contract import Task, Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.tasks.embed import Embed
from kerazoo.weights.recipes import convert

__all__ = ["Word2Vec"]


@dataclass(frozen=True)
class Config:
    """Sizes of a table of word vectors.

    Attributes:
        name: Name of the Keras model.
        words: Of the vocabulary.
        units: Numbers of a vector.
        lower: Whether the vocabulary is in small letters.
    """

    name: str
    words: int = 30_000
    units: int = 100
    lower: bool = True


VARIANTS = {
    "word2vec_100": Variant(
        Config("word2vec_100"),
        params=3_000_000,
        input=(),
        task="embed",
        small=Config("word2vec_100", words=40, units=8),
    ),
    "glove_50": Variant(
        Config("glove_50", words=20_000, units=50),
        params=1_000_000,
        input=(),
        task="embed",
        small=Config("glove_50", words=40, units=6),
    ),
    "skip_gram": Variant(
        Config("skip_gram", words=20_000, units=50),
        params=1_000_000,
        input=(),
        task="embed",
        small=Config("skip_gram", words=40, units=6),
    ),
}


def build(config: Config) -> keras.Model:
    """Numbers of words, int32 [batch], to their vectors [batch, units]."""
    word = keras.Input((), dtype="int32", name="word")
    # As the program draws them.
    small = keras.initializers.RandomUniform(-0.5 / config.units, 0.5 / config.units)
    table = keras.layers.Embedding(config.words, config.units, embeddings_initializer=small, name="words")
    return keras.Model(word, table(word), name=config.name)


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    table = model.get_layer("words")
    return {"words": table.input_dim, "units": table.output_dim}


def kinds(config: Config) -> tuple[str, ...]:
    """The words of the tasks."""
    return (Embed.kind,)


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """The vector of a word.

    Raises:
        UsageError: There is no vocabulary, or it has not as many words as the network.
    """
    words = vocabulary_of(assets, f"{config.name} has no vocabulary, so it knows no word", "words")
    if len(words) != config.words:
        raise UsageError(f"The vocabulary has {len(words)} words; {config.name} has {config.words}.")
    return {"embed": Embed(Word(Vocabulary(words), config.lower), config.units)}


def _from_word2vec(config: Config, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return convert(tensors, {"words/embeddings": ("vectors", np.asarray)})


SOURCES = {"word2vec": _from_word2vec}


def Word2Vec(weights: Weights = None, words: int = 30_000, units: int = 100, name: str = "word2vec_100") -> keras.Model:
    """Word vectors of Mikolov et al. 2013 (arXiv:1310.4546); 3,000,000 parameters with the default arguments.

    Args:
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads: the word2vec
            program's `.bin` among them.
        words: Of the vocabulary.
        units: Numbers of a vector.
        name: Name of the model.

    Returns:
        A `keras.Model`: numbers of words, int32 [batch], to vectors [batch, units].

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    whole_numbers(words=words, units=units)
    return assembled(__name__, "word2vec_100", Config(name, words, units), weights)
