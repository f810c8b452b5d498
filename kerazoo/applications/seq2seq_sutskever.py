"""Sequence to sequence: stacked LSTMs read a sentence from its end, others go on from their states and write.

Paper: Sutskever, Vinyals, Le, "Sequence to Sequence Learning with Neural Networks", NIPS 2014, arXiv:1409.3215,
    sections 2 and 3.
Reference weights: none by the authors.
Variants: `seq2seq_sutskever`: 4 + 4 layers of 1,000 units, embeddings of 1,000, 160,000 words read and 80,000 written.
    The paper's 384,000,000 parameters, of which 64,000,000 recurrent, are these without biases; with one for each of
    the LSTMs' gates they are 384,032,000. `seq2seq_sutskever_small`: 2 + 2 layers of 256 units, embeddings of 96, 4,500
    and 4,000 words, with dropout, for small data; 3,613,568.
Differs: recurrent weights begin orthogonal, the others as Keras has them, where the paper draws all from -0.08 to 0.08.
    Sentences have a fixed longest length, because only an unrolled recurrence converts to LiteRT's built-in operations.

All that the decoder is told of the source is the states of the encoder's layers, each handed to the layer of its
height. The source is read from its end to its beginning, the end itself first.

`build` gives the training model: source words [batch, length] and the target words before each step
[batch, length] (`<start>`, then the sentence) to logits [batch, length, words]. Its layers `encoder` (sentence to
states) and `decoder` (one step) are what translation calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kerazoo.applications._builder import Weights, assembled, share, whole_numbers
from kerazoo.applications._translator import both, dropped, read_by, step_by
from kerazoo.assets import Assets
from kerazoo.contract import Port, Task, Variant
from kerazoo.lazy import keras
from kerazoo.tasks.translate import Translate

__all__ = ["Seq2SeqSutskever"]


@dataclass(frozen=True)
class Config:
    """Sizes of a translator of stacked LSTMs.

    Attributes:
        name: Name of the Keras model.
        source_words, target_words: Sizes of the vocabularies.
        length: Words of the longest sentence on either side, its end included.
        layers: Of the encoder, and of the decoder.
        embedding: Size of a word's vector.
        units: Of each layer.
        dropout: Share that training leaves out of what each layer reads and of what words are read from; the paper has
            none.
    """

    name: str = "seq2seq_sutskever"
    source_words: int = 160_000
    target_words: int = 80_000
    length: int = 50
    layers: int = 4
    embedding: int = 1_000
    units: int = 1_000
    dropout: float = 0.0


SMALL = Config("seq2seq_sutskever_small", 4_500, 4_000, 36, 2, 96, 256, 0.3)

VARIANTS = {
    "seq2seq_sutskever": Variant(
        Config(),
        params=384_032_000,
        input=(50,),
        task="translate",
        small=Config("seq2seq_sutskever", 40, 50, 8, 2, 8, 16),
    ),
    "seq2seq_sutskever_small": Variant(
        SMALL,
        params=3_613_568,
        input=(36,),
        task="translate",
        small=Config("seq2seq_sutskever_small", 40, 50, 8, 2, 8, 16, 0.3),
    ),
}


def build(config: Config) -> keras.Model:
    """Source words and previous target words, both int32 [batch, length], to logits [batch, length, target_words]."""
    source = keras.Input((config.length,), dtype="int32", name="source")
    target = keras.Input((config.length,), dtype="int32", name="target")
    state = _encoder(config)(source)
    decoder, steps = _decoder(config), []
    for step in range(config.length):
        logits, state = decoder([target[:, step], state])
        steps.append(logits)
    return keras.Model([source, target], keras.ops.stack(steps, axis=1), name=config.name)


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    encoder, decoder = model.get_layer("encoder"), model.get_layer("decoder")
    inner = {layer.name: layer for layer in decoder.layers}
    return {
        "source_words": encoder.get_layer("source_embedding").input_dim,
        "target_words": inner["target_embedding"].input_dim,
        "length": encoder.inputs[0].shape[1],
        "layers": sum(name.startswith("decoder_lstm") for name in inner),
        "embedding": inner["target_embedding"].output_dim,
        "units": inner["decoder_lstm1"].units,
        "dropout": next((layer.rate for layer in encoder.layers if isinstance(layer, keras.layers.Dropout)), 0.0),
    }


def _encoder(config: Config) -> Any:
    """Source words int32 [batch, length] to hidden state and cell of each layer, [batch, 2 * layers, units]."""
    source = keras.Input((config.length,), dtype="int32", name="encoder_source")
    # Number 0 is padding: there the states stay as they are, which is at zero until the first word comes.
    embedding = keras.layers.Embedding(config.source_words, config.embedding, mask_zero=True, name="source_embedding")
    _, state = read_by(config, embedding(keras.ops.flip(source, axis=1)))
    return keras.Model(source, state, name="encoder")


def _decoder(config: Config) -> Any:
    """One step: previous word int32 [batch] and state [batch, 2 * layers, units] to logits [batch, words] and state."""
    layers = keras.layers
    token = keras.Input((), dtype="int32", name="token")
    state = keras.Input((2 * config.layers, config.units), name="state")
    word = layers.Embedding(config.target_words, config.embedding, name="target_embedding")(token)
    x, following = step_by(config, word, state)
    x = dropped(config.dropout, x, "readout")
    logits = layers.Dense(config.target_words, use_bias=False, name="words")(x)
    return keras.Model([token, state], [logits, following], name="decoder")


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Translation with the assets' vocabulary.

    Raises:
        UsageError: There is no vocabulary, or it has not as many words as the network.
    """
    source, target = both(config, assets)
    state = Port("state", "float32", (None, 2 * config.layers, config.units))
    return {"translate": Translate(source, target, context=(), states=(state,), limit=config.length)}


def Seq2SeqSutskever(
    weights: Weights = None,
    source_words: int = 160_000,
    target_words: int = 80_000,
    length: int = 50,
    layers: int = 4,
    embedding: int = 1_000,
    units: int = 1_000,
    dropout: float = 0.0,
    name: str = "seq2seq_sutskever",
) -> keras.Model:
    """Sequence to sequence of Sutskever et al. 2014 (arXiv:1409.3215); 384,032,000 parameters with default arguments.

    Args:
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        source_words: Size of the vocabulary that is read, its four special words included.
        target_words: Size of the vocabulary that is written, likewise.
        length: Words of the longest sentence, its end included; the network is unrolled to it.
        layers: Of the encoder, and of the decoder.
        embedding: Size of a word's vector.
        units: Of each layer.
        dropout: Share that training leaves out of what each layer reads and of what words are read from.
        name: Name of the model.

    Returns:
        The training model, a `keras.Model`: `[source, target]`, both int32 [batch, length], to logits
        [batch, length, target_words]; `target` holds the word before each step. `model.get_layer("encoder")` and
        `get_layer("decoder")`, which is one step, are its parts.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    config = Config(name, source_words, target_words, length, layers, embedding, units, dropout)
    whole_numbers(**{what: value for what, value in vars(config).items() if what not in ("name", "dropout")})
    share(dropout=dropout)
    return assembled(__name__, "seq2seq_sutskever", config, weights)
