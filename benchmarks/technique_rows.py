"""The rows of `benchmarks.techniques`: what is compared with what."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kerazoo.train.settings import Settings


@dataclass(frozen=True)
class Group:
    """What rows are compared with.

    Attributes:
        about: For people.
        variant: The network.
        sizes: What is changed of the variant's.
        data: A key of `DATA`.
        settings: The baseline's.
        seeds: How many.
        figure: What rows are judged by.
        baseline: What the baseline is called.
    """

    about: str
    variant: str
    data: str
    settings: Settings
    seeds: int = 3
    sizes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    figure: str = "accuracy"
    baseline: str = "baseline"


@dataclass(frozen=True)
class Row:
    """A technique.

    Attributes:
        name: What it is found by.
        group: A key of `GROUPS`.
        technique: For people.
        paper: Where it is from.
        changes: Of the baseline's settings.
    """

    name: str
    group: str
    technique: str
    paper: str
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)


_ADAM = Settings("adam", rate=2e-3, schedule="constant", decay=0, batch=64, augment="none", epochs=10)
_SGD = Settings("sgd", rate=0.02, schedule="constant", decay=0, batch=64, augment="none", epochs=10)
_NARROW = {"filters": (8, 16, 32), "blocks": 1}
GROUPS = {
    "digits": Group("LeNet-5, 1,000 digits, 10 epochs of Adam", "lenet5", "digits", _ADAM),
    "rates": Group("LeNet-5, 1,000 digits, 10 epochs of SGD with momentum", "lenet5", "digits", _SGD),
    "skewed": Group(
        "LeNet-5, 1,050 digits (classes 0 to 4: 200 each, 5 to 9: 10 each), 10 epochs of Adam",
        "lenet5", "skewed", _ADAM, figure="auc",
    ),
    "deep": Group(
        "8 dense layers of 256 without dropout, 1,000 digits, 10 epochs of Adam", "snn", "plain",
        replace(_ADAM, rate=5e-4, activation="relu"), sizes={"dropout": 0.0},
    ),
    "pictures": Group(
        "ResNet-8 of 8 to 32 filters, 1,000 CIFAR-10 pictures of 16 pixels, 10 epochs of SGD, one cosine",
        "resnet20", "pictures",
        Settings("sgd", rate=0.1, warm_up=1, decay=5e-3, batch=32, augment="none", epochs=10, size=16), 3, _NARROW,
    ),
    "tricks": Group(
        "ResNet-8 of 8 to 32 filters, 1,000 CIFAR-10 pictures of 16 pixels, 10 epochs of SGD in steps, crops",
        "resnet20", "pictures",
        Settings(
            "sgd", rate=0.1, schedule="steps", decay=5e-3, decay_all=True, batch=32, augment="crops", epochs=10,
            size=16,
        ), 3, _NARROW,
    ),
}  # fmt: skip

_PLAIN = Settings(
    "sgd", rate=0.1, schedule="constant", decay=0, momentum=0.0, nesterov=False, batch=64, augment="none", epochs=8
)
GROUPS |= {
    "optimisers": Group("LeNet-5, 1,000 digits, 8 epochs, constant rates", "lenet5", "digits", _PLAIN,
                        baseline="baseline: mini-batch SGD"),
    "enlarged": Group(
        "Digits of 8 pixels made 32 by three convolutions, 1,000 to learn from, 8 epochs of Adam; what `mlp:mnist` "
        "reads in 2,000 others", "", "digits", replace(_ADAM, epochs=8),
    ),
}  # fmt: skip

_TRICKS = "He et al. 2019, arXiv:1812.01187"
_BUDA = "Buda et al. 2018, arXiv:1710.05381"
_STEPS = (
    ("warm up, then one cosine", {"schedule": "cosine", "warm_up": 2.0}),
    ("no decay of biases and norms", {"decay_all": False}),
    ("zero gamma", {"zero_gamma": True}),
    ("label smoothing", {"smoothing": 0.1}),
    ("mixup", {"mixup": 0.2}),
)


def _added() -> list[Row]:
    """The Bag of Tricks, one after the other, each on top of those before."""
    rows, changes = [], {}
    for number, (what, more) in enumerate(_STEPS, start=1):
        changes = {**changes, **more}
        rows.append(Row(f"tricks_{number}", "tricks", f"+ {what}", _TRICKS, changes))
    return rows


ROWS = (
    *(Row(f"{name}_baseline", name, group.baseline, "") for name, group in GROUPS.items()),
    Row("loss_mse", "digits", "mean squared error", "", {"loss": "mse"}),
    Row("loss_msle", "digits", "mean squared logarithmic error", "", {"loss": "msle"}),
    Row("loss_mae", "digits", "mean absolute error", "", {"loss": "mae"}),
    Row("loss_binary", "digits", "binary cross-entropy, a class each", "", {"loss": "binary_cross_entropy"}),
    Row("loss_hinge", "digits", "hinge, a class each", "", {"loss": "hinge"}),
    Row("loss_kl", "digits", "Kullback-Leibler divergence", "", {"loss": "kl"}),
    Row("loss_focal", "digits", "focal loss", "Lin et al. 2017, arXiv:1708.02002", {"loss": "focal"}),
    Row("smoothing", "digits", "label smoothing", "Szegedy et al. 2016, arXiv:1512.00567", {"smoothing": 0.1}),
    Row("cosine", "rates", "cosine with warm-up", "Loshchilov, Hutter 2017, arXiv:1608.03983", {"schedule": "cosine"}),
    Row("steps", "rates", "step decay", "He et al. 2016, arXiv:1512.03385", {"schedule": "steps"}),
    Row("triangular", "rates", "triangular cyclical rates", "Smith 2017, arXiv:1506.01186",
        {"schedule": "triangular", "rate": 0.06, "cycle": 2.5}),
    Row("one_cycle", "rates", "one cycle, inverse momentum", "Smith, Topin 2017, arXiv:1708.07120",
        {"schedule": "one_cycle", "rate": 0.1}),
    Row("disciplined", "rates", "one cycle as a range test says", "Smith 2018, arXiv:1803.09820",
        {"schedule": "disciplined"}),
    Row("dropout", "digits", "dropout", "Srivastava et al. 2014, JMLR 15", {"dropout": 0.5}),
    Row("batch_norm", "digits", "batch normalisation", "Ioffe, Szegedy 2015, arXiv:1502.03167", {"batch_norm": True}),
    Row("decay", "digits", "weight decay without biases and norms", "Loshchilov, Hutter 2019, arXiv:1711.05101",
        {"optimizer": "adamw", "decay": 0.1}),
    Row("decay_all", "digits", "weight decay of everything", "", {"optimizer": "adamw", "decay": 0.1,
                                                                  "decay_all": True}),
    Row("mixup", "digits", "mixup", "Zhang et al. 2018, arXiv:1710.09412", {"mixup": 0.2}),
    Row("teacher", "digits", "distillation (teacher: lenet5:mnist, which saw 60,000 digits)",
        "Hinton et al. 2015, arXiv:1503.02531", {"teacher": "lenet5:mnist"}),
    Row("affine", "digits", "turned, stretched, sheared, moved", "Simard et al. 2003", {"augment": "affine"}),
    Row("swish", "digits", "Swish", "Ramachandran et al. 2017, arXiv:1710.05941", {"activation": "swish"}),
    Row("selu", "digits", "SELU", "Klambauer et al. 2017, arXiv:1706.02515", {"activation": "selu"}),
    Row("tanh", "digits", "tanh", "", {"activation": "tanh"}),
    Row("scaled_tanh", "digits", "1.7159 tanh(2 x / 3)", "LeCun et al. 1998", {"activation": "scaled_tanh"}),
    Row("deep_selu", "deep", "SELU, eight layers deep", "Klambauer et al. 2017, arXiv:1706.02515",
        {"activation": "selu"}),
    Row("deep_alpha", "deep", "SELU and alpha dropout", "Klambauer et al. 2017, arXiv:1706.02515",
        {"activation": "selu", "alpha_dropout": 0.05}),
    Row("crops", "pictures", "moved by up to 2 pixels and mirrored", "He et al. 2016, arXiv:1512.03385",
        {"augment": "crops"}),
    Row("colour", "pictures", "brightness, contrast, colour", "Krizhevsky et al. 2012; " + _TRICKS,
        {"augment": "colour"}),
    Row("cutout", "pictures", "cutout", "DeVries, Taylor 2017, arXiv:1708.04552", {"augment": "cutout"}),
    *_added(),
    Row("gradient_descent", "optimisers", "gradient descent, all samples a step", "Cauchy 1847",
        {"batch": 1000, "rate": 0.1}),
    Row("one_by_one", "optimisers", "stochastic, one sample a step", "Robbins, Monro 1951", {"batch": 1, "rate": 0.01}),
    Row("momentum", "optimisers", "momentum", "Polyak 1964", {"momentum": 0.9, "rate": 0.02}),
    Row("nesterov", "optimisers", "Nesterov", "Nesterov 1983; Sutskever et al. 2013",
        {"momentum": 0.9, "nesterov": True, "rate": 0.02}),
    Row("adagrad", "optimisers", "AdaGrad", "Duchi et al. 2011", {"optimizer": "adagrad", "rate": 0.03}),
    Row("adadelta", "optimisers", "AdaDelta", "Zeiler 2012, arXiv:1212.5701", {"optimizer": "adadelta", "rate": 1.0}),
    Row("rmsprop", "optimisers", "RMSprop", "Tieleman, Hinton 2012", {"optimizer": "rmsprop", "rate": 1e-3}),
    Row("adam", "optimisers", "Adam", "Kingma, Ba 2015, arXiv:1412.6980", {"optimizer": "adam", "rate": 2e-3}),
    Row("perceptual", "enlarged", "perceptual loss", "Johnson et al. 2016, arXiv:1603.08155",
        {"features": "lenet5:mnist/conv1+conv2"}),
    *(Row(f"balance_{kind}", "skewed", what, _BUDA, {"balance": kind}) for kind, what in (
        ("over", "over-sampling"), ("under", "under-sampling"), ("two_phase", "two-phase training"),
        ("thresholds", "thresholds moved by priors"), ("weights", "class weights"), ("focal", "focal loss"),
    )),
)  # fmt: skip
