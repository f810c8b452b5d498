"""BERT for translation: a frozen BERT reads the sentence, a Transformer writes its translation.

Paper: Zhu, Xia, Wu, He, Qin, Zhou, Li, Liu, "Incorporating BERT into Neural Machine Translation", ICLR 2020,
    arXiv:2002.06823: the BERT-fused model with its drop-net trick, and BERT as a frozen encoder beside it.
Reference weights: none by the authors that are read here; the frozen ones are those of `minilm_l6`.
Variants: `bert_nmt_frozen`: MiniLM in place of the encoder, a projection, and the decoder of `transformer_small`;
    25,804,288 parameters, 3,238,912 of which learn. `bert_nmt_fused`: each layer of the encoder and of the decoder of
    `transformer_small` attends to what MiniLM says, too; 37,072,896, and 14,507,520.
Differs: MiniLM in place of BERT base. The paper's encoder and BERT read two lists of pieces of one sentence; here both
    read BERT's, so that there is one input, and what the encoder reads has an embedding of its own, which the decoder
    does not share. The paper begins with a trained translator; here nothing is assumed of the weights. BERT is frozen:
    nothing of it is dropped in training.

In every layer of the fused form's encoder what attention to itself and to BERT gives is averaged, in every layer of its
decoder what attention to the encoder and to BERT gives. In training that is BERT's alone where U < p/2, the other's
alone where U > 1 - p/2, else the mean: U is drawn from [0, 1) for each layer and batch, p is `drop_net`.

`build` gives the training model of `transformer.build`, its parts and its decoder; its layer `bert` is the frozen
network, from tokens to vectors of its own width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kerazoo import assets as assets_
from kerazoo import manifest
from kerazoo.applications import _bert, _transformer
from kerazoo.applications._builder import Weights, assembled, share, whole_numbers
from kerazoo.applications.bert import VARIANTS as BERTS
from kerazoo.applications.bert import Config as Bert
from kerazoo.applications.bert import MiniLML6
from kerazoo.applications.transformer import VARIANTS as TRANSFORMERS
from kerazoo.applications.transformer import Config as Transformer
from kerazoo.assets import Assets
from kerazoo.codecs._subwords import codec
from kerazoo.codecs.text import Vocabulary
from kerazoo.contract import Task, Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras, own_layers

__all__ = ["BertNMT"]

READER = "minilm_l6"
"""The variant that is frozen."""

FROZEN = replace(BERTS[READER].config, dropout=0.0)


@dataclass(frozen=True)
class Config(Transformer):
    """Sizes of a Transformer that a BERT reads for.

    Attributes:
        bert: Of the frozen network, of which nothing is dropped; `length` is both's, the rest the Transformer's.
        fused: Whether the Transformer has its encoder beside it, and attends to both.
        drop_net: How often training takes one of two attentions alone, where there are two.
    """

    bert: Bert = FROZEN
    fused: bool = False
    drop_net: float = 1.0


def _variant(name: str, params: int, fused: bool) -> Variant:
    sizes = vars(TRANSFORMERS["transformer_small"].config) | {"name": name, "fused": fused}
    reader = replace(BERTS[READER].small, units=12, heads=2, dropout=0.0)
    tiny = vars(TRANSFORMERS["transformer_small"].small) | {"name": name, "fused": fused, "bert": reader}
    return Variant(Config(**sizes), params, (sizes["length"],), "translate", Config(**tiny))


VARIANTS = {
    "bert_nmt_frozen": _variant("bert_nmt_frozen", 25_804_288, fused=False),
    "bert_nmt_fused": _variant("bert_nmt_fused", 37_072_896, fused=True),
}


def build(config: Config) -> keras.Model:
    """BERT's pieces [batch, length] and previous target tokens [batch, n], int32, to logits [batch, n, words]."""
    tokens = keras.Input((config.length,), dtype="int32", name="tokens")
    there = keras.ops.not_equal(tokens, 0)
    return behind(config, tokens, there, _reader(config)(tokens))


def behind(config: Config, tokens: Any, there: Any, read: Any) -> keras.Model:
    """The model but for BERT.

    Args:
        config: Sizes.
        tokens: The input; the fused form reads it as pieces, int32 [batch, length].
        there: Where there are pieces, bool [batch, length].
        read: What BERT says of them, [batch, length, width of BERT].
    """
    words = _transformer.embedding(config, config.words, "words")
    if not config.fused:
        projected = keras.layers.Dense(config.units, name="projection")(read)
        return _transformer.translator(config, words, tokens, {"source": projected}, there)

    def mixing(answers: list[Any], name: str) -> Any:
        return own_layers.DropNet(config.drop_net, name=f"{name}_drop_net")(answers)

    source = _transformer.embedding(config, config.bert.vocabulary, "source_words")
    own = _transformer.encoder(config, source(tokens), there, {"bert": read}, mixing)
    return _transformer.translator(config, words, tokens, {"source": own, "bert": read}, there, mixing)


def _reader(config: Config) -> keras.Model:
    """Pieces to the vectors of BERT's last layer, which do not learn."""
    pieces = keras.Input((None,), dtype="int32", name="pieces")
    said, _ = _bert.encoder(replace(config.bert, dropout=0.0), pieces)
    reader = keras.Model(pieces, said, name="bert")
    reader.trainable = False
    return reader


def first_weights(model: keras.Model) -> None:
    """What a training begins with: the frozen network is never taught, and must know something already.

    Raises:
        WeightsUnavailable: The weights are not in the cache and cannot be fetched.
    """
    model.get_layer("bert").set_weights(MiniLML6("all").get_weights())


def pieces() -> Vocabulary:
    """The vocabulary that these weights read with.

    Raises:
        WeightsUnavailable: It is not in the cache and cannot be fetched.
    """
    found: Any = assets_.of(manifest.load()[f"{READER}:all"]).vocabulary
    return found


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    layers = {layer.name: layer for layer in model.layers}
    reader, mixed = layers["bert"], layers.get("encoder_1_drop_net")
    return {
        "words": layers["words"].input_dim,
        "length": model.inputs[0].shape[1],
        "layers": sum(name.endswith("_inner") for name in layers) // (2 if mixed else 1),
        "units": layers["words"].output_dim,
        "inner": layers["decoder_1_inner"].units,
        "heads": layers["decoder_1_attention"].heads,
        "dropout": layers["decoder_dropout"].rate,
        "bert": replace(FROZEN, **_bert.sizes(reader)),
        "fused": mixed is not None,
        "drop_net": mixed.rate if mixed else Config.drop_net,
    }


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Translation with two vocabularies: BERT's pieces for what is read, words or subwords for what is written.

    Raises:
        UsageError: There are not both, or they are not those of the network.
    """
    both = assets.vocabulary
    if not isinstance(both, Mapping):
        files = (assets.missing or "").rpartition(", or ")[2].removesuffix(" there") or "a file for each"
        raise UsageError(
            f"{config.name} lacks a vocabulary to read with or one to write with.\n"
            f"Put BERT's pieces and the subwords of these weights, one a line, beside them: {files}."
        )
    words = Vocabulary(both["target"])
    count = len(codec(words, config.length).pieces)
    if count != config.words:
        raise UsageError(f"The target vocabulary has {count} words; {config.name} has {config.words}.")
    source = replace(_bert.codec(config.bert, both["source"]), length=config.length, cut=False, padded=True)
    kinds = ("source", "bert") if config.fused else ("source",)
    return {"translate": _transformer.task(config, source, words, kinds)}


def BertNMT(
    weights: Weights = None,
    bert_weights: Weights = None,
    fused: bool = False,
    words: int = 3_000,
    length: int = 64,
    layers: int = 3,
    units: int = 256,
    inner: int = 512,
    heads: int = 8,
    dropout: float = 0.2,
    drop_net: float = 1.0,
    name: str | None = None,
) -> keras.Model:
    """A Transformer for which a frozen MiniLM reads, after Zhu et al. 2020 (arXiv:2002.06823).

    Args:
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        bert_weights: Of the frozen network alone, as `MiniLML6` takes them: `"all"`, or the path of a file.
        fused: Whether the Transformer keeps its encoder, and all of its layers attend to MiniLM beside it; 37,072,896
            parameters then, else 25,804,288, with the other arguments as they are by default.
        words: Size of the vocabulary that is written, its four special words included.
        length: Tokens of the longest sentence, its end included, at most 512; no weight depends on it.
        layers: Of the decoder, and of the encoder where there is one.
        units: Width of the Transformer.
        inner: Width within the feed-forward blocks.
        heads: Of each attention, a divisor of `units`.
        dropout: Share that training leaves out of the embeddings and of what each block adds.
        drop_net: How often, from 0 to 1, training takes one of two attentions alone instead of their mean.
        name: Name of the model; by default that of the variant.

    Returns:
        The training model, a `keras.Model`: `[tokens, before]`, int32 [batch, length] and [batch, n], to a dict whose
        `logits` [batch, n, words] are of the token behind each of the second; the others, `next_...`, are what its
        decoder is told with the next token.

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
        WeightsUnavailable: The weights are not in the cache and cannot be fetched.
    """
    whole_numbers(words=words, length=length, layers=layers, units=units, inner=inner, heads=heads)
    share(dropout=dropout)
    if isinstance(drop_net, bool) or not isinstance(drop_net, (int, float)) or not 0 <= drop_net <= 1:
        raise UsageError(f"drop_net={drop_net!r} is not a share from 0 to 1.")
    if units % heads:
        raise UsageError(f"heads={heads} do not share units={units} evenly.")
    if length > FROZEN.positions:
        raise UsageError(f"length={length} is more than the {FROZEN.positions} pieces that {READER} reads.")
    if weights is not None and bert_weights is not None:
        raise UsageError("weights hold those of the frozen network; give them or bert_weights.")
    variant = "bert_nmt_fused" if fused else "bert_nmt_frozen"
    own = (words, length, layers, units, inner, heads, dropout)
    config = Config(name or variant, *own, bert=FROZEN, fused=fused, drop_net=drop_net)
    model = assembled(__name__, variant, config, weights)
    if bert_weights is not None:
        model.get_layer("bert").set_weights(MiniLML6(bert_weights).get_weights())
    return model
