"""The networks that made the field, counted from the zoo, and what each weight buys on ImageNet.

python docs/learn/networks.py [--draw docs/images/learn/networks.png]
"""

from __future__ import annotations

import sys
from typing import Any

from kerazoo import registry

PATH = {
    "lenet5_1998": 1998,
    "alexnet": 2012,
    "vgg16": 2014,
    "googlenet": 2014,
    "inception_v3": 2015,
    "resnet50": 2015,
    "inception_resnet_v2": 2016,
    "squeezenet_v1_0": 2016,
    "xception": 2016,
    "resnext50_32x4d": 2016,
    "mobilenet_v1": 2017,
    "mobilenet_v2": 2018,
}
"""Variant -> the year of its paper."""


def figures() -> dict[str, tuple[int, float | None]]:
    """Parameters, and the published top-1 accuracy on ImageNet in % of the variant's first weights that have one."""
    found: dict[str, tuple[int, float | None]] = {}
    for row in registry.rows():
        variant = row["name"].partition(":")[0]
        if variant in PATH and found.get(variant, (0, None))[1] is None:
            found[variant] = (row["params"], top1(row["metrics"]))
    return {name: found[name] for name in PATH}


def top1(metrics: list[dict[str, Any]]) -> float | None:
    known = (each["value"] for each in metrics if each["metric"] == "top-1" and "ImageNet" in each["dataset"])
    return next(known, None)


def drawn(path: str, found: dict[str, tuple[int, float | None]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, (count, accuracy) in found.items():
        if accuracy is not None:
            axes.scatter(count / 1e6, accuracy, color="#00796b")
            aside = (4, -9) if name in ("resnext50_32x4d", "googlenet") else (4, 4)
            told, place = f"{name}, {PATH[name]}", (count / 1e6, accuracy)
            axes.annotate(told, place, aside, textcoords="offset points", fontsize=7)
    axes.set_xscale("log")
    axes.set_xlim(1, 400)
    axes.set_xlabel("millions of parameters")
    axes.set_ylabel("top-1 on ImageNet, %")
    figure.savefig(path, dpi=110)


def main(arguments: list[str]) -> None:
    found = figures()
    for name, (count, accuracy) in found.items():
        print(f"{PATH[name]}  {name:20} {count:11,}  {'' if accuracy is None else f'{accuracy:.1f} %'}".rstrip())
    if arguments[:1] == ["--draw"]:
        drawn(arguments[1], found)


if __name__ == "__main__":
    main(sys.argv[1:])
