"""GCN: the class of every node of a graph.

Paper: Kipf, Welling, "Semi-Supervised Classification with Graph Convolutional Networks", ICLR 2017, arXiv:1609.02907,
    sections 2, 3.1 and 5.2.
Reference weights: none by the authors.
Variants: `gcn_cora` (1,433 features, 7 classes, 23,040 parameters), `gcn_citeseer` (3,703, 6, 59,344), `gcn_pubmed`
    (500, 3, 8,048): two layers, 16 hidden units, no biases, as in the authors' code.
Differs: the first layer's dropout draws over all features, not over the stored ones of a sparse matrix, which is the
    same since a zero stays zero, and what is kept is divided by the same share. A loop of a node's own and an edge that
    is given twice count once in A + I; in the authors' code a loop in the data would count beside I.

The hidden units, 16 numbers a node behind the ReLU, are what figure 1b of the paper draws.

The graph comes as a list of the values of D^-1/2 (A + I) D^-1/2, made by `kerazoo.tasks.nodes.normalised`: memory and
time grow with the edges, not with the square of the nodes. One graph is one batch; Keras must therefore be given it
as a data set of one element, with the weights of the nodes that have labels::

    data = tf.data.Dataset.from_tensors(((features, source, target, weight), labels, known))
    model.compile(keras.optimizers.Adam(0.01), gcn.loss(), weighted_metrics=["accuracy"])
    model.fit(data, epochs=200, shuffle=False)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kerazoo.applications._builder import Weights, assembled, share, whole_numbers
from kerazoo.assets import Assets
from kerazoo.contract import Task, Variant
from kerazoo.lazy import keras
from kerazoo.tasks.embed import EmbedNodes
from kerazoo.tasks.nodes import Nodes

__all__ = ["GCN"]


@dataclass(frozen=True)
class Config:
    """Sizes of a GCN.

    Attributes:
        name: Name of the Keras model.
        features: Values a node comes with.
        classes: Number of classes.
        hidden: Units of the first layer.
        dropout: Share dropped before each layer.
        decay: Factor of the penalty on the first layer's weights, half the sum of their squares.
        activation: Of the output; `None` gives logits, which is what a task wants.
    """

    name: str
    features: int
    classes: int
    hidden: int = 16
    dropout: float = 0.5
    decay: float = 5e-4
    activation: str | None = None


VARIANTS = {
    name: Variant(Config(name, features, classes), params=params, input=(features,), task="nodes")
    for name, features, classes, params in (
        ("gcn_cora", 1_433, 7, 23_040),
        ("gcn_citeseer", 3_703, 6, 59_344),
        ("gcn_pubmed", 500, 3, 8_048),
    )
}


def build(config: Config) -> keras.Model:
    """A graph to the logits of its nodes [nodes, classes].

    Inputs, in this order: features float32 [nodes, features], rows summing to 1; `source` and `target` int32 [values]
    and `weight` float32 [values]: column, row and value of the normalised adjacency. Rows ascend, none is missing.
    """
    layers, ops = keras.layers, keras.ops
    features = keras.Input((config.features,), name="features")
    source = keras.Input((), dtype="int32", name="source")
    target = keras.Input((), dtype="int32", name="target")
    weight = keras.Input((), name="weight")

    def propagate(x: Any) -> Any:
        # Ascending rows let every engine add up without a table of what it has met.
        return ops.segment_sum(ops.take(x, source, axis=0) * ops.expand_dims(weight, -1), target, sorted=True)

    x = layers.Dropout(config.dropout, name="dropout1")(features)
    # Keras' penalty is the whole sum of squares, the paper's code takes half of it.
    penalty = keras.regularizers.L2(config.decay / 2)
    x = layers.Dense(config.hidden, use_bias=False, kernel_regularizer=penalty, name="graph_conv1")(x)
    x = layers.ReLU(name="hidden")(propagate(x))
    x = layers.Dropout(config.dropout, name="dropout2")(x)
    x = layers.Dense(config.classes, use_bias=False, name="graph_conv2")(x)
    outputs = layers.Activation(config.activation or "linear", name="predictions")(propagate(x))
    return keras.Model([features, source, target, weight], outputs, name=config.name)


def sizes(model: keras.Model) -> dict[str, Any]:
    """A config's own fields as a model's layers have them."""
    hidden, classes = model.get_layer("graph_conv1"), model.get_layer("graph_conv2")
    return {
        "features": hidden.kernel.shape[0],
        "hidden": hidden.units,
        "classes": classes.units,
        "dropout": model.get_layer("dropout1").rate,
    }


def loss() -> Any:
    """Cross-entropy of logits, the mean over the nodes whose weight is not 0."""
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """Node classification, `class_0`, `class_1`, ... where there are no labels; and the nodes' hidden units."""
    return {
        "nodes": Nodes(assets.labels or tuple(f"class_{index}" for index in range(config.classes)), config.features),
        "embed": EmbedNodes(config.features, config.hidden),
    }


def GCN(
    features: int = 1_433,
    weights: Weights = None,
    classes: int = 7,
    hidden: int = 16,
    dropout: float = 0.5,
    classifier_activation: str | None = "softmax",
    name: str = "gcn_cora",
) -> keras.Model:
    """Graph convolutional network of Kipf and Welling 2016 (arXiv:1609.02907); 23,040 parameters by default, for Cora.

    Args:
        features: Values a node comes with.
        weights: `None` for random ones, or the path of a file in any format that `kerazoo.weights` reads.
        classes: Number of classes.
        hidden: Units of the first layer.
        dropout: Share dropped before each layer while training.
        classifier_activation: Activation of the output; `None` returns the logits.
        name: Name of the model. A variant's name says whose weights a word means; otherwise those of `gcn_cora`.

    Returns:
        A `keras.Model`: `[features, source, target, weight]` to [nodes, classes], where the features are float32
        [nodes, features] and the others list the values of the normalised adjacency, int32, int32 and float32 [values]
        (`kerazoo.tasks.nodes.normalised`).

    Raises:
        UsageError: An argument does not fit; the message says what is allowed.
    """
    whole_numbers(features=features, classes=classes, hidden=hidden)
    share(dropout=dropout)
    config = Config(name, features, classes, hidden, dropout, activation=classifier_activation)
    return assembled(__name__, name if name in VARIANTS else "gcn_cora", config, weights)
