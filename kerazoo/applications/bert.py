"""BERT: a Transformer encoder that reads texts in both directions, and MiniLM, which is one without a pooler.

Paper: Devlin, Chang, Lee, Toutanova, "BERT: Pre-training of Deep Bidirectional Transformers for Language
    Understanding", NAACL 2019, arXiv:1810.04805; the small ones Turc et al., "Well-Read Students Learn Better",
    arXiv:1908.08962; MiniLM Wang et al., arXiv:2002.10957, taught to tell sentences apart by Reimers and Gurevych's
    sentence-transformers, arXiv:1908.10084.
Reference weights: google-research/bert's checkpoints, Apache-2.0; sentence-transformers' all-MiniLM-L6-v2, Apache-2.0.
Variants: `bert_tiny`, `bert_mini`, `bert_small`, `bert_medium`, `bert_base_uncased`, `bert_large_uncased`,
    `bert_base_cased`, `bert_large_cased`, `bert_base_multilingual_cased` with the heads that they were trained by;
    `minilm_l6`, of 6 layers of 384 units, without these and without a pooler.
Differs: which of two texts a piece belongs to is no input but follows from `[SEP]`, as padding follows from `[PAD]`;
    for texts laid out as the paper has them that is the same. Texts of more pieces than positions are refused.

A vector of a text is the mean of its last layer, or the pooler's where the config says so. `build` gives a model of
tokens int32 [batch, n] to a dictionary: `sequence` [batch, n, units] and `embedding` [batch, units]; with a pooler
`pooled` [batch, units]; with the heads `words` [batch, n, vocabulary], logits of what stands at each place, and
`following` [batch, 2], logits of the second text being the first one's next and being any.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerazoo.applications import _bert
from kerazoo.applications._bert import activation, codec, dense, encoder, norm
from kerazoo.applications._builder import Weights, assembled
from kerazoo.assets import Assets, vocabulary_of
from kerazoo.codecs._wordpiece import END, MASK
from kerazoo.contract import Task, Variant
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.tasks.embed import Embed
from kerazoo.tasks.fill import Fill
from kerazoo.tasks.follow import Follow
from kerazoo.weights.recipes import Recipe, convert

__all__ = [
    "BertBase",
    "BertBaseCased",
    "BertBaseMultilingualCased",
    "BertLarge",
    "BertLargeCased",
    "BertMedium",
    "BertMini",
    "BertSmall",
    "BertTiny",
    "MiniLML6",
]


@dataclass(frozen=True)
class Config:
    """Sizes of a BERT.

    Attributes:
        name: Name of the Keras model.
        layers, units, heads: Of the encoder; its inner layers have four times as many units.
        vocabulary: Pieces.
        positions: Pieces of the longest text.
        activation: `gelu_tanh`, Google's own, or `gelu_erf`, of others.
        pooler: Whether a dense layer reads the first piece.
        pretraining: Whether the heads of pre-training are there, which guess words and whether a text follows; they
            want a pooler.
        embedding: What a text's vector is: the `mean` of the last layer, or `pooled`.
        lower: Whether texts are read in small letters without accents.
        length: Pieces that a text may have, `[CLS]` and `[SEP]` among them.
        cut: Whether longer ones are cut off there.
        longest: Letters of the longest word that is cut into pieces.
        unit: Whether a text's vector is scaled to length 1.
        separator: The number of `[SEP]`.
        dropout: In training.
    """

    name: str
    layers: int = 12
    units: int = 768
    heads: int = 12
    vocabulary: int = 30_522
    positions: int = 512
    activation: str = "gelu_tanh"
    pooler: bool = True
    pretraining: bool = True
    embedding: str = "mean"
    lower: bool = True
    length: int = 512
    cut: bool = False
    longest: int = 200
    unit: bool = False
    separator: int = 102
    dropout: float = 0.1


def _variant(name: str, params: int, **sizes: Any) -> Variant:
    config = Config(name, **sizes)
    small = replace(config, layers=2, units=16, heads=2, vocabulary=70, positions=32, length=32, separator=3)
    return Variant(config, params, (None,), "fill" if config.pretraining else "embed", small)


_CASED: Mapping[str, Any] = {"vocabulary": 28_996, "lower": False}
_LARGE: Mapping[str, Any] = {"layers": 24, "units": 1024, "heads": 16}

VARIANTS = {
    variant.config.name: variant
    for variant in (
        _variant("bert_tiny", 4_433_468, layers=2, units=128, heads=2),
        _variant("bert_mini", 11_267_900, layers=4, units=256, heads=4),
        _variant("bert_small", 29_058_876, layers=4, units=512, heads=8),
        _variant("bert_medium", 41_668_412, layers=8, units=512, heads=8),
        _variant("bert_base_uncased", 110_106_428),
        _variant("bert_large_uncased", 336_226_108, **_LARGE),
        _variant("bert_base_cased", 108_932_934, **_CASED),
        _variant("bert_large_cased", 334_661_958, **_LARGE, **_CASED),
        _variant("bert_base_multilingual_cased", 178_566_653, vocabulary=119_547, lower=False),
        _variant(
            "minilm_l6", 22_565_376, layers=6, units=384, activation="gelu_erf", pooler=False, pretraining=False,
            length=256, cut=True, longest=100, unit=True,
        ),
    )
}  # fmt: skip


def build(config: Config) -> keras.Model:
    """Tokens int32 [batch, n] to the dictionary that the module's text describes."""
    from kerazoo.layers import Bias, TextMean

    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x, words = encoder(config, tokens)
    outputs = {"sequence": x}
    mean = TextMean(name="mean")([x, tokens])
    if config.pooler:
        outputs["pooled"] = dense(config.units, "pooler", "tanh")(x[:, 0])
    outputs["embedding"] = outputs["pooled"] if config.embedding == "pooled" else mean
    if config.pretraining:
        y = norm("words")(dense(config.units, "words_transform", activation(config))(x))
        outputs["words"] = Bias(name="words_bias")(words(y, reverse=True))
        outputs["following"] = dense(2, "following")(outputs["pooled"])
    return keras.Model(tokens, outputs, name=config.name)


def words(model: keras.Model, vectors: Any) -> Any:
    """What a model's own head says of some of its last layer's vectors [batch, n, units]: [batch, n, vocabulary]."""
    y = model.get_layer("words_norm")(model.get_layer("words_transform")(vectors))
    return model.get_layer("words_bias")(model.get_layer("word_embedding")(y, reverse=True))


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    return _bert.sizes(model)


def kinds(config: Config) -> tuple[str, ...]:
    """The words of the tasks."""
    return (Fill.kind, Embed.kind, Follow.kind) if config.pretraining else (Embed.kind,)


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Vectors of texts, and where the heads are, words for a gap, and whether a text follows another.

    Raises:
        UsageError: There is no vocabulary, or it is not that of the network.
    """
    read = codec(config, vocabulary_of(assets, f"{config.name} has no vocabulary, so it can read no text", "pieces"))
    if not config.pretraining:
        return {"embed": Embed(read, config.units, unit=config.unit)}
    fill = Fill(replace(read, cut=False, marks=(MASK,)), part="masked")
    follow = Follow(replace(read, cut=False, marks=(END,)), part="pair")
    return {"fill": fill, "embed": Embed(read, config.units, part="sentence", unit=config.unit), "follow": follow}


# Google's names, of which all others are made.


def _recipe(config: Config) -> Recipe:
    names = {
        "embedding_norm": "bert/embeddings/LayerNorm",
        "pooler": "bert/pooler/dense",
        "words_transform": "cls/predictions/transform/dense",
        "words_norm": "cls/predictions/transform/LayerNorm",
    }
    inner = {
        "query": "attention/self/query",
        "key": "attention/self/key",
        "value": "attention/self/value",
        "attended": "attention/output/dense",
        "attended_norm": "attention/output/LayerNorm",
        "inner": "intermediate/dense",
        "outer": "output/dense",
        "outer_norm": "output/LayerNorm",
    }
    for index in range(config.layers):
        names |= {f"layer{index}_{mine}": f"bert/encoder/layer_{index}/{theirs}" for mine, theirs in inner.items()}
    if not config.pooler:
        del names["pooler"]
    recipe: Recipe = {
        f"{mine}_embedding/embeddings": (f"bert/embeddings/{theirs}_embeddings", np.asarray)
        for mine, theirs in (("word", "word"), ("segment", "token_type"), ("position", "position"))
    }
    if config.pretraining:
        recipe["words_bias/bias"] = ("cls/predictions/output_bias", np.asarray)
        recipe["following/kernel"] = ("cls/seq_relationship/output_weights", np.transpose)
        recipe["following/bias"] = ("cls/seq_relationship/output_bias", np.asarray)
    else:
        del names["words_transform"], names["words_norm"]
    for mine, theirs in names.items():
        for variable in ("gamma", "beta") if theirs.endswith("LayerNorm") else ("kernel", "bias"):
            recipe[f"{mine}/{variable}"] = (f"{theirs}/{variable}", np.asarray)
    return recipe


def _from_google(config: Config, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    recipe = _recipe(config)
    optimizer = {name for name in tensors if name.endswith(("/adam_m", "/adam_v")) or name == "global_step"}
    # A network without heads may come from a file that has them.
    heads = () if config.pretraining else ("cls/",)
    unread = (*heads, *(() if config.pooler else ("bert/pooler/",)))
    return convert(tensors, recipe, {*optimizer, *(name for name in tensors if unread and name.startswith(unread))})


def _from_torch(config: Config, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Hugging Face's names: `bert.encoder.layer.0.attention.self.query.weight`, with or without the first word."""
    kept = {
        "cls.predictions.bias": "cls/predictions/output_bias",
        "cls.seq_relationship.weight": "cls/seq_relationship/output_weights",
        "cls.seq_relationship.bias": "cls/seq_relationship/output_bias",
    }
    # The buffer of positions, and what is tied to other tensors.
    tied = ("position_ids", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias")
    found = {}
    for name, tensor in tensors.items():
        if name.endswith(tied):
            continue
        if name in kept:
            found[kept[name]] = tensor
            continue
        scope = name if name.startswith("cls.") else f"bert.{name.removeprefix('bert.')}"
        scope, _, variable = scope.replace("encoder.layer.", "encoder.layer_").rpartition(".")
        path = scope.replace(".", "/")
        if path.endswith("_embeddings"):
            found[path] = tensor
        elif path.endswith("LayerNorm"):
            found[f"{path}/{ {'weight': 'gamma', 'bias': 'beta'}.get(variable, variable) }"] = tensor
        else:
            found[f"{path}/{'kernel' if variable == 'weight' else variable}"] = (
                tensor.T if variable == "weight" else tensor
            )
    return _from_google(config, found)


def _from_onnx(config: Config, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A file whose embeddings and matrices are whole numbers of 8 bits with scales, the matrices without names."""
    whole = {
        name.removesuffix("_q"): tensor * tensors[f"{name.removesuffix('_q')}_scale"]
        for name, tensor in tensors.items()
        if name.endswith("_q") and f"{name.removesuffix('_q')}_scale" in tensors
    }
    inner = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
             "intermediate.dense", "output.dense")  # fmt: skip
    places = [f"encoder.layer.{index}.{name}.weight" for index in range(config.layers) for name in inner]
    # In the order of the operations: attention's, then those behind it, layer by layer.
    matrices = sorted((name for name in whole if name.startswith("val_")), key=lambda name: int(name[len("val_") :]))
    if len(matrices) != len(places):
        raise UsageError(f"The file has {len(matrices)} matrices with scales; {config.name} has {len(places)}.")
    found = {place: whole[name].T for place, name in zip(places, matrices, strict=True)}
    named = {**whole, **{name: tensor for name, tensor in tensors.items() if not name.endswith(("_q", "_scale"))}}
    found |= {name.removeprefix("inner."): tensor for name, tensor in named.items() if name.startswith("inner.")}
    return _from_torch(config, found)


SOURCES = {"slim": _from_google, "torch": _from_torch, "onnx": _from_onnx}


def _built(variant: str, weights: Weights, name: str | None, **sizes: Any) -> keras.Model:
    config = replace(VARIANTS[variant].config, name=name or variant, **sizes)
    return assembled(__name__, variant, config, weights)


def BertTiny(weights: Weights = None, pretraining: bool = True, name: str | None = None) -> keras.Model:
    """BERT of 2 layers of 128 units: 4,385,920 parameters, 4,433,468 with its heads.

    Args:
        weights: `None` for random ones, `"google"` for Google's, or the path of a file in any format that
            `kerazoo.weights` reads: Google's checkpoints and zips, Hugging Face's `.safetensors` and `.bin`.
        pretraining: Whether the heads of pre-training are there, which guess words and whether a text follows.
        name: Name of the model.

    Returns:
        A `keras.Model`: tokens int32 [batch, n], 0 where there is none, to a dictionary of `sequence` [batch, n, 128],
        `pooled` and `embedding` [batch, 128], and the heads' `words` [batch, n, vocabulary] and `following` [batch, 2].

    Raises:
        UsageError: The weights are not known, or do not fit.
        WeightsUnavailable: They are not in the cache and cannot be fetched.
    """
    return _built("bert_tiny", weights, name, pretraining=pretraining)


def BertMini(weights: Weights = None, pretraining: bool = True, name: str | None = None) -> keras.Model:
    """BERT of 4 layers of 256 units: 11,170,560 parameters, 11,267,900 with its heads.

    Args:
        weights: As `BertTiny` takes them.
        pretraining: Whether the heads of pre-training are there.
        name: Name of the model.

    Returns:
        A `keras.Model` as `BertTiny` gives it, of 256 units.

    Raises:
        UsageError: The weights are not known, or do not fit.
        WeightsUnavailable: They are not in the cache and cannot be fetched.
    """
    return _built("bert_mini", weights, name, pretraining=pretraining)


def BertSmall(weights: Weights = None, pretraining: bool = True, name: str | None = None) -> keras.Model:
    """BERT of 4 layers of 512 units: 28,763,648 parameters, 29,058,876 with its heads.

    Args:
        weights: As `BertTiny` takes them.
        pretraining: Whether the heads of pre-training are there.
        name: Name of the model.

    Returns:
        A `keras.Model` as `BertTiny` gives it, of 512 units.

    Raises:
        UsageError: The weights are not known, or do not fit.
        WeightsUnavailable: They are not in the cache and cannot be fetched.
    """
    return _built("bert_small", weights, name, pretraining=pretraining)


def BertMedium(weights: Weights = None, pretraining: bool = True, name: str | None = None) -> keras.Model:
    """BERT of 8 layers of 512 units: 41,373,184 parameters, 41,668,412 with its heads.

    Args:
        weights: As `BertTiny` takes them.
        pretraining: Whether the heads of pre-training are there.
        name: Name of the model.

    Returns:
        A `keras.Model` as `BertTiny` gives it, of 512 units.

    Raises:
        UsageError: The weights are not known, or do not fit.
        WeightsUnavailable: They are not in the cache and cannot be fetched.
    """
    return _built("bert_medium", weights, name, pretraining=pretraining)


def BertBase(weights: Weights = None, pretraining: bool = True, name: str | None = None) -> keras.Model:
    """BERT of 12 layers of 768 units: 109,482,240 parameters, 110,106,428 with its heads.

    Args:
        weights: As `BertTiny` takes them.
        pretraining: Whether the heads of pre-training are there.
        name: Name of the model.

    Returns:
        A `keras.Model` as `BertTiny` gives it, of 768 units.

    Raises:
        UsageError: The weights are not known, or do not fit.
        WeightsUnavailable: They are not in the cache and cannot be fetched.
    """
    return _built("bert_base_uncased", weights, name, pretraining=pretraining)


def BertLarge(weights: Weights = None, pretraining: bool = True, name: str | None = None) -> keras.Model:
    """BERT of 24 layers of 1024 units: 335,141,888 parameters, 336,226,108 with its heads.

    Args:
        weights: As `BertTiny` takes them.
        pretraining: Whether the heads of pre-training are there.
        name: Name of the model.

    Returns:
        A `keras.Model` as `BertTiny` gives it, of 1024 units.

    Raises:
        UsageError: The weights are not known, or do not fit.
        WeightsUnavailable: They are not in the cache and cannot be fetched.
    """
    return _built("bert_large_uncased", weights, name, pretraining=pretraining)


def BertBaseCased(weights: Weights = None, pretraining: bool = True, name: str | None = None) -> keras.Model:
    """BERT of 12 layers of 768 units with capitals and accents: 108,310,272 parameters, 108,932,934 with its heads.

    Args:
        weights: As `BertTiny` takes them.
        pretraining: Whether the heads of pre-training are there.
        name: Name of the model.

    Returns:
        A `keras.Model` as `BertTiny` gives it, of 768 units.

    Raises:
        UsageError: The weights are not known, or do not fit.
        WeightsUnavailable: They are not in the cache and cannot be fetched.
    """
    return _built("bert_base_cased", weights, name, pretraining=pretraining)


def BertLargeCased(weights: Weights = None, pretraining: bool = True, name: str | None = None) -> keras.Model:
    """BERT of 24 layers of 1024 units with capitals and accents: 333,579,264 parameters, 334,661,958 with its heads.

    Args:
        weights: As `BertTiny` takes them.
        pretraining: Whether the heads of pre-training are there.
        name: Name of the model.

    Returns:
        A `keras.Model` as `BertTiny` gives it, of 1024 units.

    Raises:
        UsageError: The weights are not known, or do not fit.
        WeightsUnavailable: They are not in the cache and cannot be fetched.
    """
    return _built("bert_large_cased", weights, name, pretraining=pretraining)


def BertBaseMultilingualCased(
    weights: Weights = None, pretraining: bool = True, name: str | None = None
) -> keras.Model:
    """BERT of 12 layers of 768 units for 104 languages: 177,853,440 parameters, 178,566,653 with its heads.

    Args:
        weights: As `BertTiny` takes them.
        pretraining: Whether the heads of pre-training are there.
        name: Name of the model.

    Returns:
        A `keras.Model` as `BertTiny` gives it, of 768 units.

    Raises:
        UsageError: The weights are not known, or do not fit.
        WeightsUnavailable: They are not in the cache and cannot be fetched.
    """
    return _built("bert_base_multilingual_cased", weights, name, pretraining=pretraining)


def MiniLML6(weights: Weights = None, name: str | None = None) -> keras.Model:
    """MiniLM of 6 layers of 384 units, without a pooler: 22,565,376 parameters.

    Args:
        weights: `None` for random ones, `"all"` for sentence-transformers' all-MiniLM-L6-v2, or the path of a file as
            `BertTiny` takes it; a pooler in it is left out.
        name: Name of the model.

    Returns:
        A `keras.Model`: tokens int32 [batch, n], 0 where there is none, to a dictionary of `sequence` [batch, n, 384]
        and `embedding` [batch, 384], its mean over the text.

    Raises:
        UsageError: The weights are not known, or do not fit.
        WeightsUnavailable: They are not in the cache and cannot be fetched.
    """
    return _built("minilm_l6", weights, name)
