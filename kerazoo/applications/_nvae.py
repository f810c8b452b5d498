"""The authors' checkpoints of NVAE: which of their modules is which of our layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kerazoo.weights import recipes


def from_torch(config: Any, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
    """Their state dict under our variables' paths, strictly."""
    return recipes.convert(tensors, torch_recipe(config), recipes.counters(tensors))


def torch_recipe(config: Any) -> recipes.Recipe:
    """Which tensor is which variable, and what is done to it."""
    recipe: recipes.Recipe = {"start/maps": ("prior_ftr0", lambda maps: maps.transpose(1, 2, 0))}
    for ours, theirs in torch_names(config).items():
        layer, _, kind = ours.partition(":")
        recipe |= _torch_layer(layer, kind, theirs)
    return recipe


def _torch_layer(layer: str, kind: str, source: str) -> recipes.Recipe:
    """Variables of one layer: `norm`, `dense`, `depthwise`, `plain` (a kernel alone), or of normalised weight, with a
    bias or `bare`."""
    if kind == "norm":
        return recipes.torch_norm(layer, source)
    if kind == "dense":
        return recipes.layer(layer, source, recipes.dense)
    if kind == "depthwise":
        return {f"{layer}/kernel": (f"{source}.weight", lambda kernel: kernel.transpose(2, 3, 0, 1))}
    found: recipes.Recipe = {f"{layer}/kernel": (f"{source}.weight", recipes.hwio)}
    if kind != "plain":
        found[f"{layer}/log_norm"] = (f"{source}.log_weight_norm", lambda norm: norm.reshape(-1))
    return found if kind in ("plain", "bare") else {**found, f"{layer}/bias": (f"{source}.bias", lambda bias: bias)}


def torch_names(config: Any) -> dict[str, str]:
    """`layer:kind`, as of `_torch_layer`, -> their module."""
    names = {"stem": "stem", "top_conv": "enc0.1", "pixels": "image_conditional.1"}
    total, place = sum(config.groups), 0

    def encoding(name: str, module: str, halve: bool) -> None:
        for index in (1, 2):
            names[f"{name}_bn{index}:norm"] = f"{module}._ops.{index - 1}.bn_act"
            names[f"{name}_conv{index}"] = f"{module}._ops.{index - 1}.conv_0"
        excited(name, module)
        for index in range(1, 5 if halve else 1):
            names[f"{name}_skip_conv{index}"] = f"{module}.skip.conv_{index}"

    def decoding(name: str, module: str, double: bool) -> None:
        first = int(double)  # Pixels are doubled by a module of their own.
        inner = [f"{module}._ops.0.conv.{first + index}" for index in range(5)]
        names[f"{name}_bn1:norm"], names[f"{name}_bn4:norm"] = f"{inner[0]}.bn", f"{inner[4]}.bn"
        names[f"{name}_expand:plain"], names[f"{name}_bn2:norm"] = f"{inner[1]}.conv.0", f"{inner[1]}.conv.1"
        names[f"{name}_depthwise:depthwise"], names[f"{name}_bn3:norm"] = f"{inner[2]}.conv.0", f"{inner[2]}.conv.1"
        names[f"{name}_project:plain"] = inner[3]
        excited(name, module)
        if double:
            names[f"{name}_skip:bare"] = f"{module}.skip.1"

    def excited(name: str, module: str) -> None:
        names[f"{name}_se1:dense"], names[f"{name}_se2:dense"] = f"{module}.se.se.0", f"{module}.se.se.2"

    for number in range(config.blocks * config.around):
        block, cell = number // config.around + 1, number % config.around + 1
        encoding(f"before{block}_cell{cell}", f"pre_process.{number}", cell == config.around)
        decoding(f"after{block}_cell{cell}", f"post_process.{number}", cell == 1)
    left = total
    for scale, count in enumerate(reversed(config.groups)):
        if scale:
            encoding(f"down{scale}", f"enc_tower.{place}", True)
            place += 1
        for _ in range(count):
            left -= 1
            for cell in range(1, config.encoding + 1):
                encoding(f"encoder{left}_cell{cell}", f"enc_tower.{place}", False)
                place += 1
            if left:
                names[f"posterior{left}_combine"] = f"enc_tower.{place}.conv"
                place += 1
    place, scales = 0, [scale for scale, count in enumerate(config.groups) for _ in range(count)]
    for index, scale in enumerate(scales):
        names[f"posterior{index}_conv"] = f"enc_sampler.{index}"
        if index:
            names[f"prior{index}_conv"] = f"dec_sampler.{index - 1}.1"
        names[f"group{index}_combine"] = f"dec_tower.{place}.conv"
        place += 1
        if index + 1 < total:
            if scales[index + 1] != scale:
                decoding(f"group{index}_up", f"dec_tower.{place}", True)
                place += 1
            for cell in range(1, config.decoding + 1):
                decoding(f"group{index}_cell{cell}", f"dec_tower.{place}", False)
                place += 1
        for flow in range(1, config.flows + 1):
            for cell, way in ((1, ""), (2, "_mirrored")):
                name = f"posterior{index}_flow{flow}{way}"
                module = f"nf_cells.{index * config.flows + flow - 1}.cell{cell}"
                names[f"{name}_conv1:bare"] = f"{module}.conv.convz.0"
                names[f"{name}_conv2:bare"] = f"{module}.conv.convz.2"
                names[f"{name}_mean"] = f"{module}.mu.conv_0"
    return names
