"""What makes a BERT: its encoder, and how it reads texts.

A config is that of `bert`.
"""

from __future__ import annotations

from typing import Any

from kerazoo.codecs._wordpiece import END, WordPiece
from kerazoo.codecs.text import Vocabulary
from kerazoo.errors import UsageError
from kerazoo.lazy import keras

NORM = 1e-12
"""Epsilon of every normalisation."""


def encoder(config: Any, tokens: Any) -> tuple[Any, Any]:
    """Tokens int32 [batch, n] to what the last layer says of them, [batch, n, units]; and the embedding of words."""
    from kerazoo.layers import Positions, Segments

    layers = keras.layers
    words = layers.ReversibleEmbedding(
        config.vocabulary, config.units, embeddings_initializer=_small(), name="word_embedding"
    )
    segment = layers.Embedding(2, config.units, embeddings_initializer=_small(), name="segment_embedding")
    x = layers.Add(name="word_and_segment")(
        [words(tokens), segment(Segments(config.separator, name="segments")(tokens))]
    )
    x = norm("embedding")(Positions(config.positions, name="position_embedding")(x))
    x = layers.Dropout(config.dropout, name="embedding_dropout")(x)
    for index in range(config.layers):
        x = _layer(config, f"layer{index}", x, tokens)
    return x, words


def _layer(config: Any, name: str, x: Any, tokens: Any) -> Any:
    from kerazoo.layers import SelfAttention

    layers = keras.layers
    projected = [dense(config.units, f"{name}_{each}")(x) for each in ("query", "key", "value")]
    y = SelfAttention(config.heads, config.dropout, name=f"{name}_attention")([*projected, tokens])
    y = layers.Dropout(config.dropout, name=f"{name}_attention_dropout")(dense(config.units, f"{name}_attended")(y))
    x = norm(f"{name}_attended")(layers.Add(name=f"{name}_attention_add")([x, y]))
    y = dense(4 * config.units, f"{name}_inner", activation(config))(x)
    y = layers.Dropout(config.dropout, name=f"{name}_dropout")(dense(config.units, f"{name}_outer")(y))
    return norm(f"{name}_outer")(layers.Add(name=f"{name}_add")([x, y]))


def _small() -> Any:
    return keras.initializers.TruncatedNormal(stddev=0.02)


def dense(units: int, name: str, activation: Any = None) -> Any:
    return keras.layers.Dense(units, activation=activation, kernel_initializer=_small(), name=name)


def norm(name: str) -> Any:
    return keras.layers.LayerNormalization(epsilon=NORM, name=f"{name}_norm")


def activation(config: Any) -> Any:
    from kerazoo.layers import gelu_erf, gelu_tanh

    return {"gelu_tanh": gelu_tanh, "gelu_erf": gelu_erf}[config.activation]


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    layers = {layer.name: layer for layer in model.layers}
    words, attention = layers["word_embedding"], layers["layer0_attention"]
    return {
        "layers": sum(name.endswith("_attention") for name in layers),
        "units": words.output_dim,
        "heads": attention.heads,
        "vocabulary": words.input_dim,
        "positions": layers["position_embedding"].length,
        "activation": layers["layer0_inner"].activation.__name__,
        "pooler": "pooler" in layers,
        "pretraining": "words_bias" in layers,
        "separator": layers["segments"].separator,
        "dropout": attention.rate,
    }


def codec(config: Any, words: Vocabulary) -> WordPiece:
    """How texts become pieces.

    Raises:
        UsageError: The vocabulary is not that of the network.
    """
    place = words.index(END) if END in words else None
    if (len(words), place) != (config.vocabulary, config.separator):
        raise UsageError(
            f"The vocabulary has {len(words)} pieces, {'no ' if place is None else ''}{END}"
            f"{'' if place is None else f' as number {place}'}; {config.name} has {config.vocabulary}, "
            f"{END} as number {config.separator}."
        )
    return WordPiece(Vocabulary(words), config.length, config.lower, config.cut, config.longest)
