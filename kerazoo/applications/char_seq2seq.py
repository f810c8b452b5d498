"""Sequence to sequence by characters: an LSTM reads a sentence letter by letter, another goes on from its states.

Paper: none of its own. It is Keras' example "A ten-minute introduction to sequence-to-sequence learning" (Chollet 2017,
    keras.io/examples/nlp/lstm_seq2seq), which follows Sutskever, Vinyals, Le, arXiv:1409.3215, and Cho et al.,
    arXiv:1406.1078.
Reference weights: none by the author.
Variants: `char_seq2seq`: 71 characters read and 93 written, tab and line break among them, as the first 10,000 lines of
    the English-French file of 2017-09-29 have them, and one layer of 256 units on either side; 718,173 parameters. The
    count depends on the file: `4 units (characters + units + 1)` of each side, and `units + 1` for each character that
    is written.
Differs: it ends in logits. Sentences have a fixed longest length on either side, those of that file, because only an
    unrolled recurrence converts to LiteRT's built-in operations.

Characters come as one-hot vectors, so that there are no embeddings. Rows are filled up with spaces, which the encoder
reads and the loss counts, as the example has it since 2019; in 2017 they were vectors of zeros, which nothing could be
learnt of behind the end. The count is the same.

`build` gives the training model: source characters [batch, source_length] and the target characters before each step
[batch, target_length] (a tab, then the sentence) to logits [batch, target_length, characters]. Its layers `encoder`
(sentence to states) and `decoder` (one step) are what translation calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kerazoo.applications._builder import Weights, assembled, whole_numbers
from kerazoo.applications._translator import sides
from kerazoo.assets import Assets
from kerazoo.codecs._spelling import Spelling
from kerazoo.contract import Port, Task, Variant
from kerazoo.lazy import keras
from kerazoo.tasks.translate import Translate

__all__ = ["CharSeq2Seq"]


@dataclass(frozen=True)
class Config:
    """Sizes of a translator of characters.

    Attributes:
        name: Name of the Keras model.
        source_characters, target_characters: Sizes of the vocabularies.
        source_length: Characters of the longest sentence that is read.
        target_length: Of the longest that is written, tab and line break included.
        units: Of the encoder, and of the decoder.
    """

    name: str = "char_seq2seq"
    source_characters: int = 71
    target_characters: int = 93
    source_length: int = 16
    target_length: int = 59
    units: int = 256


VARIANTS = {
    "char_seq2seq": Variant(
        Config(),
        params=718_173,
        input=(16,),
        task="translate",
        small=Config("char_seq2seq", 20, 24, 6, 8, 16),
    )
}


def build(config: Config) -> keras.Model:
    """Source characters and previous target characters, int32 [batch, ..._length], to logits of each step."""
    source = keras.Input((config.source_length,), dtype="int32", name="source")
    target = keras.Input((config.target_length,), dtype="int32", name="target")
    states = _encoder(config)(source)
    decoder, steps = _decoder(config), []
    for step in range(config.target_length):
        logits, *states = decoder([target[:, step], *states])
        steps.append(logits)
    return keras.Model([source, target], keras.ops.stack(steps, axis=1), name=config.name)


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    encoder = model.get_layer("encoder").get_layer("encoder_lstm")
    characters = {layer.name: layer for layer in model.get_layer("decoder").layers}["characters"]
    return {
        "source_characters": encoder.input.shape[-1],
        "target_characters": characters.units,
        "source_length": model.inputs[0].shape[1],
        "target_length": model.inputs[1].shape[1],
        "units": encoder.units,
    }


def _encoder(config: Config) -> Any:
    """Source characters int32 [batch, source_length] to hidden state and cell [batch, units] behind the last."""
    source = keras.Input((config.source_length,), dtype="int32", name="encoder_source")
    x = keras.ops.one_hot(source, config.source_characters)
    _, hidden, cell = keras.layers.LSTM(config.units, return_state=True, unroll=True, name="encoder_lstm")(x)
    return keras.Model(source, [hidden, cell], name="encoder")


def _decoder(config: Config) -> Any:
    """One step: previous character int32 [batch], hidden state and cell to logits [batch, characters] and both anew."""
    token = keras.Input((), dtype="int32", name="token")
    states = [keras.Input((config.units,), name=name) for name in ("hidden", "cell")]
    x = keras.ops.one_hot(token, config.target_characters)
    x, following = keras.layers.LSTMCell(config.units, name="decoder_lstm")(x, states)
    logits = keras.layers.Dense(config.target_characters, name="characters")(x)
    return keras.Model([token, *states], [logits, *following], name="decoder")


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Translation with the assets' vocabularies, `source` and `target`.

    Raises:
        UsageError: There are none, or they have not as many characters as the network.
    """
    known = sides(config, assets, "characters")
    states = tuple(Port(name, "float32", (None, config.units)) for name in ("hidden", "cell"))
    source = Spelling(known["source"], config.source_length)
    return {"translate": Translate(source, known["target"], context=(), states=states, limit=config.target_length)}


def CharSeq2Seq(
    weights: Weights = None,
    source_characters: int = 71,
    target_characters: int = 93,
    source_length: int = 16,
    target_length: int = 59,
    units: int = 256,
    name: str = "char_seq2seq",
) -> keras.Model:
    """Translator of characters of Keras' example (2017); 718,173 parameters with the default arguments.

    Args:
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        source_characters: Size of the vocabulary that is read, the space included.
        target_characters: Size of the vocabulary that is written, space, tab and line break included.
        source_length: Characters of the longest sentence that is read; the network is unrolled to it.
        target_length: Of the longest that is written, tab and line break included.
        units: Of the encoder, and of the decoder.
        name: Name of the model.

    Returns:
        The training model, a `keras.Model`: `[source, target]`, int32 [batch, source_length] and
        [batch, target_length], to logits [batch, target_length, target_characters]; `target` holds the character before
        each step. `model.get_layer("encoder")` and `get_layer("decoder")`, which is one step, are its parts.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    config = Config(name, source_characters, target_characters, source_length, target_length, units)
    whole_numbers(**{what: value for what, value in vars(config).items() if what != "name"})
    return assembled(__name__, "char_seq2seq", config, weights)
