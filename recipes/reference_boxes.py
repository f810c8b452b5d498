"""Writes what public implementations of networks that find boxes answer, as `reference_goldens.py` does.

    python recipes/reference_boxes.py retinanet_resnet50_fpn         # needs torch and torchvision
    python recipes/reference_boxes.py retinanet_resnet50 --code DIR  # needs tensorflow, tf_keras and keras-resnet

DIR holds fizyr's program, `keras_retinanet`, which runs on the Keras of its day alone.

What is kept, of some anchors, is what the network says of them and the boxes that its own code makes of that, in
`tests/goldens/reference/boxes/<variant>.json`.
"""

from __future__ import annotations

import argparse
import importlib
import math
import os
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
from reference_goldens import (
    BETA,
    GAMMA,
    SEED,
    Range,
    Reference,
    _import,
    _measured,
    _versions,
    answer_torch,
    bias,
    kernel,
    text,
)
from seeded import pictures, tensor

FOLDER = Path(__file__).parents[1] / "tests" / "goldens" / "reference" / "boxes"
SIZE = (96, 160)
"""Of the pictures: the coarsest maps do not divide it."""

STEP, LAST = 211, 45
"""Of every so many anchors one is kept, and of the last, the coarsest maps', every fourth."""

REFERENCES = {
    "retinanet_resnet50_fpn": Reference("torchvision", "reference_boxes.first", gentle="bbox_reg"),
    "retinanet_resnet50_fpn_v2": Reference("torchvision", "reference_boxes.second"),
}

FIZYR = "retinanet_resnet50"
CLASSES = 80


def first() -> Any:
    return _dense("retinanet_resnet50_fpn", epsilon=0.0)


def second() -> Any:
    return _dense("retinanet_resnet50_fpn_v2")


def _dense(function: str, epsilon: float | None = None) -> Any:
    """torchvision's network of pictures that are normalised and resized already, before any box is thrown away.

    Args:
        epsilon: Of the batch normalisation: torchvision asks the network of its first file with another.
    """
    import torch

    whole = getattr(_import("torchvision.models.detection"), function)(weights=None, weights_backbone=None)
    image_list = _import("torchvision.models.detection.image_list").ImageList

    class Dense(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.head = whole.backbone, whole.head

        def forward(self, images: Any) -> dict[str, Any]:
            maps = list(self.backbone(images).values())
            said = self.head(maps)
            size = tuple(images.shape[-2:])
            anchors = whole.anchor_generator(image_list(images, [size] * len(images)), maps)
            pairs = zip(said["bbox_regression"], anchors, strict=True)
            boxes = [whole.box_coder.decode_single(*pair) for pair in pairs]
            return {"logits": said["cls_logits"], "moves": said["bbox_regression"], "boxes": torch.stack(boxes)}

    network = Dense()
    for module in network.modules():
        if epsilon is not None and isinstance(module, torch.nn.BatchNorm2d):
            module.eps = epsilon
    return network


def answer_fizyr(images: np.ndarray, code: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Ranges and shapes of the arrays by `layer/array`, and the answers by the name of the output."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    keras = sys.modules["keras"] = importlib.import_module("tf_keras")
    sys.path.insert(0, str(code))
    for name in ("cv2", "keras_retinanet.utils.compute_overlap"):  # Wanted when it learns.
        module = sys.modules[name] = types.ModuleType(name)
        module.compute_overlap = None  # type: ignore[attr-defined]
    models, backend, anchors = map(
        importlib.import_module,
        ("keras_retinanet.models", "keras_retinanet.backend", "keras_retinanet.utils.anchors"),
    )
    shape = images.shape[1:]
    network = models.backbone("resnet50").retinanet(CLASSES, inputs=keras.Input(shape))
    found: dict[str, tuple[tuple[int, ...], Range]] = {}

    def fill(variable: Any, given: Range) -> None:
        name, sides = variable.name.removesuffix(":0"), tuple(variable.shape)
        found[name] = (sides, given)
        variable.assign(tensor(SEED, name, sides, *given))

    kinds = {"gamma": GAMMA, "beta": BETA, "bias": bias(1.0), "moving_mean": (0.0, 0.1), "moving_variance": (1.0, 0.2)}
    for variable in network.weights:
        sides, leaf = variable.shape, variable.name.removesuffix(":0").rpartition("/")[2]
        fill(variable, kernel(math.prod(sides[:-1])) if leaf == "kernel" else kinds[leaf])
    # What is kept are logits: of a sigmoid the digits that tell two implementations apart are gone.
    network.get_layer("classification_submodel").layers[-1].activation = keras.activations.linear
    with _measured(keras.layers.BatchNormalization, fill):
        moves, logits = network(images, training=False)
    where = anchors.anchors_for_shape(shape[:2]).astype(np.float32)
    boxes = backend.bbox_transform_inv(np.stack([where] * len(images)), moves)
    said = {"logits": logits, "moves": moves, "boxes": boxes}
    return found, {port: np.asarray(values) for port, values in said.items()}


def kept(count: int) -> list[int]:
    """Which anchors."""
    return sorted({*range(0, count, STEP), *range(max(0, count - LAST), count, 4)})


def made(name: str, code: Path | None) -> str:
    """The file of one variant."""
    shape = (*SIZE, 3)
    images = pictures(SEED, shape, 1.0)
    if name == FIZYR:
        if code is None:
            raise SystemExit("--code DIR: a folder with fizyr's keras_retinanet in it.")
        tensors, outputs = answer_fizyr(images, code)
        said = {"reference": "fizyr/keras-retinanet", "versions": _versions("keras"), "reader": "keras_h5"}
    else:
        tensors, outputs = answer_torch(REFERENCES[name], images)
        said = {
            "reference": f"torchvision.models.detection.{name}",
            "versions": _versions("torchvision"),
            "reader": "torch",
        }
    count = outputs["logits"].shape[1]
    rows = {port: values[:, kept(count)].reshape(len(values), -1) for port, values in outputs.items()}
    for port, found in rows.items():
        size = np.abs(found).max()
        apart = np.abs(found[0] - found[1]).max() / size
        print(f"  {port} {outputs[port].shape}: largest {size:.3g}, pictures differ by {apart:.2g} of it", flush=True)
        if not np.isfinite(found).all() or found.std(axis=1).min() <= 0.02 * size or apart < 0.05:
            raise SystemExit(f"{name}: {port} is not finite, flat, or hardly depends on the picture.")
    return text(
        {
            **said,
            "seed": SEED,
            "input": {"shape": shape, "scale": 1.0},
            "anchors": count,
            "kept": kept(count),
            "tensors": {key: [list(sides), *given] for key, (sides, given) in tensors.items()},
            "outputs": rows,
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variant", choices=sorted([*REFERENCES, FIZYR]))
    parser.add_argument("--code", type=Path, help=f"{FIZYR}: the folder with the program")
    given = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{given.variant}.json").write_text(made(given.variant, given.code), encoding="utf-8")
    print(given.variant)


if __name__ == "__main__":
    main()
