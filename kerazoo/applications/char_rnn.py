"""Recurrent language models of characters: each character's probability behind all those before it.

Paper: Elman, "Finding Structure in Time", Cognitive Science 14, 1990 (`char_rnn`); Hochreiter, Schmidhuber, "Long
    Short-Term Memory", Neural Computation 9, 1997 (`char_lstm`); Cho et al., arXiv:1406.1078 (`char_gru`). As models
    of characters: Graves, "Generating Sequences With Recurrent Neural Networks", arXiv:1308.0850.
Reference weights: none.
Variants: `char_rnn`, `char_lstm` and `char_gru`, two layers of 256 units over embeddings of 32 numbers, for the 65
    characters of Shakespeare's plays and one for any other; 224,386, 840,322 and 636,546 parameters.
Differs: the LSTM has a forget gate, and the GRU resets behind the product, as Keras' do; `cell="peephole_lstm"` is the
    LSTM whose gates see the cell. Characters have learnt vectors. How many layers there are, one to three as a rule, is
    the builder's argument.

`build` gives a model of characters int32 [batch, n] to a dict: `logits` [batch, n, characters] of what stands behind
each, and the states after the last, `next_h_1`, and of LSTMs `next_c_1`. Its part `step` lies between layers that are
called like its ports, and takes the states as well: text of any length is read and written piece by piece.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kerazoo.applications._builder import Weights, assembled, share, whole_numbers
from kerazoo.assets import Assets, vocabulary_of
from kerazoo.codecs._characters import Characters
from kerazoo.contract import Port, Task, Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras, own_layers
from kerazoo.tasks.write import Write

__all__ = ["CharGRU", "CharLSTM", "CharRNN"]

CELLS = {"rnn": ("h",), "lstm": ("h", "c"), "peephole_lstm": ("h", "c"), "gru": ("h",)}
"""Kind of `kerazoo.layers.Recurrent` -> letters of its states."""


@dataclass(frozen=True)
class Config:
    """Sizes of a model of characters.

    Attributes:
        name: Name of the Keras model.
        cell: A key of `CELLS`.
        characters: Size of the vocabulary.
        embedding: Numbers of a character's vector.
        units: Of each layer.
        layers: One above the other.
        dropout: Share of each layer's output that training leaves out.
        length: Characters that are written where nothing else is said.
    """

    name: str = "char_lstm"
    cell: str = "lstm"
    characters: int = 66
    embedding: int = 32
    units: int = 256
    layers: int = 2
    dropout: float = 0.2
    length: int = 200

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the states, layer by layer."""
        return tuple(f"{letter}_{layer}" for layer in range(1, self.layers + 1) for letter in CELLS[self.cell])


def _variant(name: str, cell: str, params: int) -> Variant:
    small = Config(name, cell, characters=24, embedding=4, units=8, length=12)
    return Variant(Config(name, cell), params, input=(None,), task="write", small=small)


VARIANTS = {
    "char_rnn": _variant("char_rnn", "rnn", 224_386),
    "char_lstm": _variant("char_lstm", "lstm", 840_322),
    "char_gru": _variant("char_gru", "gru", 636_546),
}


def build(config: Config) -> keras.Model:
    """Characters int32 [batch, n] to `logits` [batch, n, characters] of what stands behind each, and states."""
    ops, layers = keras.ops, keras.layers
    before = keras.Input((None,), dtype="int32", name="characters")
    # Where a part is cut out, Keras wants either inputs of the model or none of them at its beginning.
    token = layers.Identity(dtype="int32", name="token")(before)
    x = layers.Embedding(config.characters, config.embedding, name="embedding")(token)
    outputs = {}
    for layer in range(1, config.layers + 1):
        # Nothing was read before what a whole text begins with.
        nothing = ops.tile(ops.zeros_like(ops.expand_dims(before[:, 0], 1), "float32"), (1, config.units))
        names = [f"{letter}_{layer}" for letter in CELLS[config.cell]]
        states = [layers.Identity(name=name)(nothing) for name in names]
        x, *following = own_layers.Recurrent(config.units, config.cell, name=f"{config.cell}_{layer}")([x, *states])
        for name, state in zip(names, following, strict=True):
            outputs[f"next_{name}"] = layers.Identity(name=f"next_{name}")(state)
        if config.dropout:
            x = layers.Dropout(config.dropout, name=f"dropout_{layer}")(x)
    logits = layers.Dense(config.characters, name="logits")(x)
    return keras.Model(before, {"logits": logits, **outputs}, name=config.name)


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    embedding = model.get_layer("embedding")
    cells = [layer for layer in model.layers if isinstance(layer, own_layers.Recurrent)]
    return {
        "cell": cells[0].kind,
        "characters": embedding.input_dim,
        "embedding": embedding.output_dim,
        "units": cells[0].units,
        "layers": len(cells),
        "dropout": next((layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)), 0.0),
    }


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Writing with the assets' vocabulary.

    Raises:
        UsageError: There is no vocabulary, or it has not as many characters as the network.
    """
    lack = f"{config.name} has no vocabulary, so it can read and write no character"
    vocabulary = vocabulary_of(assets, lack, "characters")
    if len(vocabulary) != config.characters:
        raise UsageError(f"The vocabulary has {len(vocabulary)} lines; {config.name} has {config.characters}.")
    states = tuple(Port(name, "float32", (None, config.units)) for name in config.states)
    return {"write": Write(Characters(vocabulary), states, config.length)}


def kinds(config: Config) -> tuple[str, ...]:
    """The words of the tasks."""
    return ("write",)


def CharRNN(
    weights: Weights = None,
    characters: int = 66,
    embedding: int = 32,
    units: int = 256,
    layers: int = 2,
    dropout: float = 0.2,
    name: str = "char_rnn",
) -> keras.Model:
    """Model of characters with plain recurrent units of Elman 1990; 224,386 parameters with the default arguments.

    Args:
        weights: `None` for random ones, a word such as `tinyshakespeare`, or the path of a file in any format that
            `kerazoo.weights` reads.
        characters: Size of the vocabulary, the one for what is not known included.
        embedding: Numbers of a character's vector.
        units: Of each layer.
        layers: One above the other.
        dropout: Share of each layer's output that training leaves out.
        name: Name of the model.

    Returns:
        A `keras.Model`: characters int32 [batch, n] to a dict whose `logits` [batch, n, characters] are of the
        character behind each; `next_h_1` and so on are the states after the last.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    return _made("char_rnn", "rnn", weights, characters, embedding, units, layers, dropout, name)


def CharLSTM(
    weights: Weights = None,
    characters: int = 66,
    embedding: int = 32,
    units: int = 256,
    layers: int = 2,
    dropout: float = 0.2,
    peepholes: bool = False,
    name: str = "char_lstm",
) -> keras.Model:
    """Model of characters with LSTM units; 840,322 parameters with the default arguments.

    With 258 characters, embeddings of 8 and `peepholes`, it is the network of McMahan et al., arXiv:1602.05629, for
    Shakespeare's roles: 866,578 parameters.

    Args:
        weights: `None` for random ones, a word such as `tinyshakespeare`, or the path of a file in any format that
            `kerazoo.weights` reads.
        characters: Size of the vocabulary, the one for what is not known included.
        embedding: Numbers of a character's vector.
        units: Of each layer.
        layers: One above the other.
        dropout: Share of each layer's output that training leaves out.
        peepholes: Whether the gates see the cell (Gers, Schraudolph, Schmidhuber 2002).
        name: Name of the model.

    Returns:
        A `keras.Model`: characters int32 [batch, n] to a dict whose `logits` [batch, n, characters] are of the
        character behind each; `next_h_1`, `next_c_1` and so on are the states after the last.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    cell = "peephole_lstm" if peepholes else "lstm"
    return _made("char_lstm", cell, weights, characters, embedding, units, layers, dropout, name)


def CharGRU(
    weights: Weights = None,
    characters: int = 66,
    embedding: int = 32,
    units: int = 256,
    layers: int = 2,
    dropout: float = 0.2,
    name: str = "char_gru",
) -> keras.Model:
    """Model of characters with gated units of Cho et al. 2014; 636,546 parameters with the default arguments.

    Args:
        weights: `None` for random ones, a word such as `tinyshakespeare`, or the path of a file in any format that
            `kerazoo.weights` reads.
        characters: Size of the vocabulary, the one for what is not known included.
        embedding: Numbers of a character's vector.
        units: Of each layer.
        layers: One above the other.
        dropout: Share of each layer's output that training leaves out.
        name: Name of the model.

    Returns:
        A `keras.Model`: characters int32 [batch, n] to a dict whose `logits` [batch, n, characters] are of the
        character behind each; `next_h_1` and so on are the states after the last.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    return _made("char_gru", "gru", weights, characters, embedding, units, layers, dropout, name)


def _made(
    variant: str,
    cell: str,
    weights: Weights,
    characters: int,
    embedding: int,
    units: int,
    layers: int,
    dropout: float,
    name: str,
) -> keras.Model:
    whole_numbers(characters=characters, embedding=embedding, units=units, layers=layers)
    share(dropout=dropout)
    config = Config(name, cell, characters, embedding, units, layers, dropout)
    return assembled(__name__, variant, config, weights)
