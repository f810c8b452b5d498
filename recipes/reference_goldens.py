"""Writes what public implementations answer, for Kerazoo's networks to be held against.

    python recipes/reference_goldens.py --library torchvision    # needs torch and torchvision
    python recipes/reference_goldens.py --library timm           # needs torch and timm
    python recipes/reference_goldens.py --library transcription  # needs torch; the networks of reference_networks.py
    python recipes/reference_goldens.py --library keras          # needs keras

`--only resnet18` writes one of them. The reference's tensors are filled with seeded numbers, two seeded pictures go
through it, and its logits go into `tests/goldens/reference/<variant>.json`, with what is needed to make the same
tensors again: name, shape, centre and spread of each. Kerazoo is not imported, nor are its dependencies needed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from seeded import pictures, tensor

SEED = 20
FOLDER = Path(__file__).parents[1] / "tests" / "goldens" / "reference"
READERS = {"torchvision": "torch", "timm": "torch", "transcription": "caffe", "keras": "keras_h5"}
"""Library -> format of the files with its weights, as `kerazoo.weights.READERS` calls it."""

Range = tuple[float, float]
"""Centre and spread of a tensor's numbers."""


@dataclass(frozen=True)
class Reference:
    """A public implementation of a variant.

    Attributes:
        size: Height and width of the pictures.
        scale: Their deviation. Caffe's networks take pixels less a mean, and what normalisation across channels does
            shows at that size only.
        arguments: What the function is called with.
        gentle: End of the name of a layer whose numbers are a tenth, where more would be cut off behind it.
    """

    library: str
    function: str
    size: int = 224
    scale: float = 1.0
    arguments: dict[str, Any] = field(default_factory=dict)
    gentle: str | None = None


def _torchvision(function: str, **arguments: Any) -> Reference:
    return Reference("torchvision", f"torchvision.models.{function}", arguments=arguments)


def _timm(name: str, size: int = 224) -> Reference:
    return Reference("timm", "timm.create_model", size, arguments={"model_name": name})


def _keras(function: str, size: int = 224, **arguments: Any) -> Reference:
    given = {"weights": None, "classifier_activation": None, **arguments}
    return Reference("keras", f"keras.applications.{function}", size, arguments=given)


REFERENCES = {
    "alexnet": Reference("transcription", "reference_networks.AlexNet", 227, 60.0),
    "alexnet_one_tower": _torchvision("alexnet"),
    "vgg11": _torchvision("vgg11"),
    "vgg13": _torchvision("vgg13"),
    "vgg16": _keras("VGG16"),
    "vgg19": _keras("VGG19"),
    "googlenet": Reference("transcription", "reference_networks.GoogLeNet", 224, 60.0),
    "inception_v1_torchvision": _torchvision("googlenet", transform_input=False, init_weights=False),
    "inception_v3": _keras("InceptionV3", 299),
    "inception_v4": _timm("inception_v4", 299),
    "inception_resnet_v2": _keras("InceptionResNetV2", 299),
    "xception": _keras("Xception", 299),
    "resnet18": _torchvision("resnet18"),
    "resnet34": _torchvision("resnet34"),
    "resnet50": _keras("ResNet50"),
    "resnet101": _keras("ResNet101"),
    "resnet152": _keras("ResNet152"),
    **{f"resnet{depth}d": _timm(f"resnet{depth}d", 224 if depth < 100 else 256) for depth in (18, 34, 50, 101, 152)},
    "resnext50_32x4d": _torchvision("resnext50_32x4d"),
    "resnext101_32x4d": _timm("resnext101_32x4d"),
    **{f"hrnet_w{width}": _timm(f"hrnet_w{width}") for width in (18, 32, 48)},
    "squeezenet_v1_0": Reference("transcription", "reference_networks.SqueezeNet", 227, 60.0),
    "squeezenet_v1_1": _torchvision("squeezenet1_1"),
    "mobilenet_v1": _keras("MobileNet"),
    "mobilenet_v1_075": _keras("MobileNet", alpha=0.75),
    "mobilenet_v1_050": _keras("MobileNet", alpha=0.5),
    "mobilenet_v1_025": _keras("MobileNet", alpha=0.25),
    "mobilenet_v2": _keras("MobileNetV2"),
    **{
        f"mobilenet_v2_{round(100 * alpha):03}": _keras("MobileNetV2", alpha=alpha)
        for alpha in (0.35, 0.5, 0.75, 1.3, 1.4)
    },
}


def _round(value: float) -> float:
    return float(f"{value:.3g}")


def kernel(inputs: int) -> Range:
    """Numbers that keep a signal's size through a sum over `inputs` numbers and a rectifier."""
    return 0.0, _round(math.sqrt(6 / inputs))


def bias(scale: float) -> Range:
    return 0.0, _round(0.1 * scale)


GAMMA, BETA = (1.0, 0.2), (0.0, 0.1)


def statistics(power: float) -> tuple[Range, Range]:
    """Mean and variance for batch normalisation of a signal whose squares have the mean `power`.

    Made for what comes in, so that a residual trunk, which grows with every block, is brought back to size.
    """
    return (0.0, _round(0.1 * math.sqrt(power))), (_round(power), _round(0.2 * power))


# --- torch -------------------------------------------------------------------------------------------------------


def _import(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    # Operators of object detection, which a torchvision built for another torch cannot load. No network here uses
    # them, but importing it asks that they be known.
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(library)
    return importlib.import_module(module)


_kept: list[Any] = []
"""A library of operators is forgotten with the object that defined it."""


def answer_torch(reference: Reference, images: np.ndarray) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Ranges and shapes of the state dict's tensors, and the answers by the name of the output."""
    import torch

    module, _, function = reference.function.rpartition(".")
    network = getattr(_import(module), function)(**reference.arguments).eval()
    found: dict[str, tuple[tuple[int, ...], Range]] = {}

    def fill(owner: str, module: Any, ranges: dict[str, Range]) -> None:
        state = module.state_dict()
        for leaf, (centre, spread) in ranges.items():
            if leaf in state:
                name, shape = f"{owner}.{leaf}", tuple(state[leaf].shape)
                found[name] = (shape, (centre, spread))
                state[leaf].copy_(torch.from_numpy(tensor(SEED, name, shape, centre, spread)))

    def before(owner: str) -> Any:
        def measure(module: Any, inputs: Any) -> None:
            mean, variance = statistics(inputs[0].square().mean().item())
            fill(owner, module, {"running_mean": mean, "running_var": variance})

        return measure

    for owner, module in network.named_modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            rest = {"running_mean": (0.0, 0.1), "running_var": (1.0, 0.2), "num_batches_tracked": (0.0, 0.0)}
            fill(owner, module, {"weight": GAMMA, "bias": BETA, **rest})
            module.register_forward_pre_hook(before(owner))
        elif isinstance(module, torch.nn.GroupNorm):
            fill(owner, module, {"weight": GAMMA, "bias": BETA})
        elif isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            gentle = reference.gentle is not None and owner.endswith(reference.gentle)
            inputs = math.prod(module.weight.shape[1:]) * (100 if gentle else 1)
            fill(owner, module, {"weight": kernel(inputs), "bias": bias(reference.scale)})
    with torch.no_grad():
        said = network(torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))))
    outputs = said if isinstance(said, dict) else {"logits": said}
    order = list(network.state_dict())
    if set(order) != set(found):
        raise SystemExit(f"{reference.function} has tensors of no known kind: {sorted(set(order) - set(found))}")
    return {name: found[name] for name in order}, {name: value.numpy() for name, value in outputs.items()}


# --- keras -------------------------------------------------------------------------------------------------------


def answer_keras(reference: Reference, images: np.ndarray) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Ranges and shapes of the arrays by `layer/array`, and the answers by the name of the output."""
    import keras

    # Layers that have no name of their own are numbered from the beginning, as in a fresh process.
    keras.backend.clear_session()
    module, _, function = reference.function.rpartition(".")
    network = getattr(importlib.import_module(module), function)(**reference.arguments)
    found: dict[str, tuple[tuple[int, ...], Range]] = {}

    def fill(variable: Any, given: Range) -> None:
        shape = tuple(variable.shape)
        found[variable.path] = (shape, given)
        variable.assign(tensor(SEED, variable.path, shape, *given))

    kinds = {"gamma": GAMMA, "beta": BETA, "bias": bias(reference.scale)}
    # These get their own when their layer's input comes; here they get their places in the file.
    kinds |= {"moving_mean": (0.0, 0.1), "moving_variance": (1.0, 0.2)}
    for layer in network.layers:
        for variable in layer.weights:
            leaf, shape = variable.path.rpartition("/")[2], variable.shape
            if len(shape) > 1:
                depthwise = leaf == "depthwise_kernel" or isinstance(layer, keras.layers.DepthwiseConv2D)
                fill(variable, kernel(math.prod(shape[: 2 if depthwise else -1])))
            else:
                fill(variable, kinds[leaf])
    with _measured(keras.layers.BatchNormalization, fill):
        said = network(images, training=False)
    return found, {"logits": keras.ops.convert_to_numpy(said)}


@contextlib.contextmanager
def _measured(layer: Any, fill: Any) -> Iterator[None]:
    """Fills the statistics of every batch normalisation when its input comes."""
    own = layer.call

    def call(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        mean, variance = statistics(float(np.square(np.asarray(inputs)).mean()))
        fill(self.moving_mean, mean)
        fill(self.moving_variance, variance)
        return own(self, inputs, *args, **kwargs)

    layer.call = call
    try:
        yield
    finally:
        layer.call = own


# --- files -------------------------------------------------------------------------------------------------------


def _versions(library: str) -> dict[str, str]:
    names = ("tensorflow", "keras") if library == "keras" else ("torch", library)
    modules = {name: importlib.import_module(name) for name in names if name != "transcription"}
    return {name: module.__version__ for name, module in modules.items()}


def check(name: str, outputs: dict[str, np.ndarray]) -> None:
    """Refuses answers that would agree with anything."""
    for port, rows in outputs.items():
        size = np.abs(rows).max()
        if not np.isfinite(rows).all() or rows.std(axis=1).min() <= 0.02 * size:
            raise SystemExit(f"{name}: {port} is not finite, or flat.")
        apart = np.abs(rows[0] - rows[1]).max() / size
        first, second = np.sort(rows)[:, :-3:-1].T
        print(f"  {port}: largest {size:.3g}, pictures differ by {apart:.2g} of it", flush=True)
        if apart < 0.05:
            raise SystemExit(f"{name}: {port} hardly depends on the picture.")
        if (first - second).min() < 1e-3 * size:
            raise SystemExit(f"{name}: {port} has two classes as good as each other; rounding would choose.")


def text(golden: dict[str, Any]) -> str:
    """JSON with a line a tensor and a line a picture."""
    lines = []
    for key, value in golden.items():
        if key == "tensors":
            rows = [f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in value.items()]
            lines.append(f' "{key}": {{\n' + ",\n".join(rows) + "\n }")
        elif key == "outputs":
            ports = [
                f'  "{port}": [\n' + ",\n".join(f"   [{', '.join(f'{number:.7g}' for number in row)}]" for row in rows)
                for port, rows in value.items()
            ]
            lines.append(f' "{key}": {{\n' + "\n  ],\n".join(ports) + "\n  ]\n }")
        else:
            lines.append(f' "{key}": {json.dumps(value)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def made(name: str) -> str:
    """The file of one variant."""
    reference = REFERENCES[name]
    shape = (reference.size, reference.size, 3)
    images = pictures(SEED, shape, reference.scale)
    answer = answer_keras if reference.library == "keras" else answer_torch
    tensors, outputs = answer(reference, images)
    check(name, outputs)
    arguments = ", ".join(f"{key}={value!r}" for key, value in reference.arguments.items())
    golden = {
        "reference": f"{reference.function}({arguments})",
        "versions": _versions(reference.library),
        "reader": READERS[reference.library],
        "seed": SEED,
        "input": {"shape": shape, "scale": reference.scale},
        "tensors": {name: [list(shape), *given] for name, (shape, given) in tensors.items()},
        "outputs": outputs,
    }
    return text(golden)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", choices=sorted(READERS), required=True, help="whose variants are written")
    parser.add_argument("--only", choices=sorted(REFERENCES), help="one variant")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the files")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, reference in REFERENCES.items():
        if reference.library == arguments.library and arguments.only in (None, name):
            start = time.time()
            (arguments.out / f"{name}.json").write_text(made(name), encoding="utf-8")
            print(f"{name} {time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
