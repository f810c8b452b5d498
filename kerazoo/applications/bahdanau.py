"""Additive attention: a translation that looks, before each word that it writes, at the words that it has read.

Paper: Bahdanau, Cho, Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate", ICLR 2015,
    arXiv:1409.0473, section 3 and appendix A.
Reference weights: none by the authors.
Variants: `attention_bahdanau`: RNNsearch of the paper, 30,001 words on either side (30,000 and the end), embeddings of
    620, 1,000 gated units in each direction and in the decoder, 1,000 alignment units and 500 maxout units of two
    pieces; 80,408,740 parameters. `attention_bahdanau_small`: 4,500 and 4,000 words, embeddings of 96, 256 units, 64
    alignment and 96 maxout units, with dropout, for small data; 2,686,400.
Differs: an update gate keeps the old state where it is open and not, as in the paper, takes the new one: the same
    networks, with the gate's numbers negated. Recurrent weights begin orthogonal, the others as Keras has them.
    Sentences have a fixed longest length, because only an unrolled recurrence converts to LiteRT's built-in operations.

Biases are where the paper has them: one for each gate of the encoder, and nowhere else. Before a word is written, the
decoder looks by the state before it, and reads the word from that state, the word before and what it looked at.

`build` gives the training model: source words [batch, length] and the target words before each step
[batch, length] (`<start>`, then the sentence) to logits [batch, length, words]. Its layers `encoder` (sentence to
annotations, what each says to the alignment, which of them are words, and first state) and `decoder` (one step, which
also says where it looked) are what translation calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kerazoo.applications._builder import Weights, assembled, share, whole_numbers
from kerazoo.applications._translator import both, dropped, mixed, there
from kerazoo.assets import Assets
from kerazoo.contract import Port, Task, Variant
from kerazoo.lazy import keras, own_layers
from kerazoo.tasks.translate import Translate

__all__ = ["AttentionBahdanau"]


@dataclass(frozen=True)
class Config:
    """Sizes of a translator with additive attention.

    Attributes:
        name: Name of the Keras model.
        source_words, target_words: Sizes of the vocabularies.
        length: Words of the longest sentence on either side, its end included.
        embedding: Size of a word's vector.
        units: Gated units of the encoder, in either direction, and of the decoder.
        alignment: Hidden units of the network that scores annotations.
        maxout: Maxout units, each the larger of two linear pieces.
        dropout: Share of the embeddings, the annotations and what the output is read from that training leaves out;
            the paper has none.
    """

    name: str = "attention_bahdanau"
    source_words: int = 30_001
    target_words: int = 30_001
    length: int = 50
    embedding: int = 620
    units: int = 1_000
    alignment: int = 1_000
    maxout: int = 500
    dropout: float = 0.0


SMALL = Config("attention_bahdanau_small", 4_500, 4_000, 36, 96, 256, 64, 96, 0.3)

VARIANTS = {
    "attention_bahdanau": Variant(
        Config(),
        params=80_408_740,
        input=(50,),
        task="translate",
        small=Config("attention_bahdanau", 40, 50, 8, 8, 16, 12, 10),
    ),
    "attention_bahdanau_small": Variant(
        SMALL,
        params=2_686_400,
        input=(36,),
        task="translate",
        small=Config("attention_bahdanau_small", 40, 50, 8, 8, 16, 12, 10, 0.3),
    ),
}


def build(config: Config) -> keras.Model:
    """Source words and previous target words, both int32 [batch, length], to logits [batch, length, target_words]."""
    source = keras.Input((config.length,), dtype="int32", name="source")
    target = keras.Input((config.length,), dtype="int32", name="target")
    *context, state = _encoder(config)(source)
    decoder, steps = _decoder(config), []
    for step in range(config.length):
        logits, state, _ = decoder([target[:, step], state, *context])
        steps.append(logits)
    return keras.Model([source, target], keras.ops.stack(steps, axis=1), name=config.name)


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    encoder, decoder = model.get_layer("encoder"), model.get_layer("decoder")
    return {
        "source_words": encoder.get_layer("source_embedding").input_dim,
        "target_words": decoder.get_layer("target_embedding").input_dim,
        "length": encoder.inputs[0].shape[1],
        "embedding": encoder.get_layer("source_embedding").output_dim,
        "units": decoder.get_layer("decoder_gru").units,
        "alignment": encoder.get_layer("annotation_alignment").units,
        "maxout": decoder.get_layer("maxout").output.shape[-1],
        "dropout": next((layer.rate for layer in encoder.layers if isinstance(layer, keras.layers.Dropout)), 0.0),
    }


def _encoder(config: Config) -> Any:
    """Source words int32 [batch, length] to what the decoder is told.

    That is annotations [batch, length, 2 * units], what the alignment makes of them [batch, length, alignment], where
    there are words [batch, length], and the first state [batch, units].
    """
    layers, ops = keras.layers, keras.ops
    source = keras.Input((config.length,), dtype="int32", name="encoder_source")
    x = layers.Embedding(config.source_words, config.embedding, name="source_embedding")(source)
    x = dropped(config.dropout, x, "source")
    # Number 0 is padding: there the states stay as they are, which on the way back is at zero. Keras' Bidirectional,
    # where it is unrolled, takes the words' places for those of the padding.
    words = ops.not_equal(source, 0)
    options: dict[str, Any] = {"return_sequences": True, "unroll": True, "reset_after": False}
    forward = layers.GRU(config.units, **options, name="forward_gru")(x, mask=words)
    backward = layers.GRU(config.units, **options, name="backward_gru")(ops.flip(x, 1), mask=ops.flip(words, 1))
    memory = ops.concatenate([forward, ops.flip(backward, 1)], axis=-1)
    memory = dropped(config.dropout, memory, "annotation")
    keys = layers.Dense(config.alignment, use_bias=False, name="annotation_alignment")(memory)
    state = layers.Dense(config.units, activation="tanh", use_bias=False, name="first_state")(backward[:, -1])
    return keras.Model(source, [memory, keys, there(source), state], name="encoder")


def _decoder(config: Config) -> Any:
    """One step: previous word int32 [batch], state and the context to logits [batch, words], state and shares.

    The shares are of the annotations in what was looked at, [batch, length].
    """
    layers = keras.layers
    token = keras.Input((), dtype="int32", name="token")
    state = keras.Input((config.units,), name="state")
    memory = keras.Input((config.length, 2 * config.units), name="memory")
    keys = keras.Input((config.length, config.alignment), name="keys")
    seen = keras.Input((config.length,), name="seen")
    word = layers.Embedding(config.target_words, config.embedding, name="target_embedding")(token)
    word = dropped(config.dropout, word, "target")
    asked = layers.Dense(config.alignment, use_bias=False, name="state_alignment")(state)
    hidden = keras.ops.tanh(keras.ops.expand_dims(asked, 1) + keys)
    scores = layers.Dense(1, use_bias=False, name="alignment")(hidden)
    attention = own_layers.shared(keras.ops.squeeze(scores, -1), seen)
    context = mixed(attention, memory)
    told = layers.Concatenate(name="word_context")([word, context])
    cell = layers.GRUCell(config.units, reset_after=False, use_bias=False, name="decoder_gru")
    following, _ = cell(told, state)
    readout = layers.Concatenate(name="readout")([state, word, context])
    readout = dropped(config.dropout, readout, "readout")
    pieces = [layers.Dense(config.maxout, use_bias=False, name=f"maxout_piece{index}")(readout) for index in (1, 2)]
    x = layers.Maximum(name="maxout")(pieces)
    logits = layers.Dense(config.target_words, use_bias=False, name="words")(x)
    return keras.Model([token, state, memory, keys, seen], [logits, following, attention], name="decoder")


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Translation with the assets' vocabulary.

    Raises:
        UsageError: There is no vocabulary, or it has not as many words as the network.
    """
    source, target = both(config, assets)
    context = (
        Port("memory", "float32", (None, config.length, 2 * config.units)),
        Port("keys", "float32", (None, config.length, config.alignment)),
        Port("seen", "float32", (None, config.length)),
    )
    state = Port("state", "float32", (None, config.units))
    return {"translate": Translate(source, target, context, (state,), limit=config.length, looks=True)}


def AttentionBahdanau(
    weights: Weights = None,
    source_words: int = 30_001,
    target_words: int = 30_001,
    length: int = 50,
    embedding: int = 620,
    units: int = 1_000,
    alignment: int = 1_000,
    maxout: int = 500,
    dropout: float = 0.0,
    name: str = "attention_bahdanau",
) -> keras.Model:
    """RNNsearch of Bahdanau et al. 2014 (arXiv:1409.0473); 80,408,740 parameters with the default arguments.

    Args:
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        source_words: Size of the vocabulary that is read, its four special words included.
        target_words: Size of the vocabulary that is written, likewise.
        length: Words of the longest sentence, its end included; the network is unrolled to it.
        embedding: Size of a word's vector.
        units: Gated units of the encoder, in either direction, and of the decoder.
        alignment: Hidden units of the network that scores annotations.
        maxout: Maxout units of two pieces each.
        dropout: Share of embeddings, annotations and what the output is read from that training leaves out.
        name: Name of the model.

    Returns:
        The training model, a `keras.Model`: `[source, target]`, both int32 [batch, length], to logits
        [batch, length, target_words]; `target` holds the word before each step. `model.get_layer("encoder")` and
        `get_layer("decoder")`, which is one step, are its parts.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    config = Config(name, source_words, target_words, length, embedding, units, alignment, maxout, dropout)
    whole_numbers(**{what: value for what, value in vars(config).items() if what not in ("name", "dropout")})
    share(dropout=dropout)
    return assembled(__name__, "attention_bahdanau", config, weights)
