"""Writes what public implementations of networks that find boxes answer, as `reference_goldens.py` does.

    python recipes/reference_boxes.py retinanet_resnet50_fpn       # needs torch and torchvision

What is kept, of some anchors, is what the network says of them and the boxes that its own code makes of that, in
`tests/goldens/reference/boxes/<variant>.json`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from reference_goldens import SEED, Reference, _import, _versions, answer_torch, text
from seeded import pictures

FOLDER = Path(__file__).parents[1] / "tests" / "goldens" / "reference" / "boxes"
SIZE = (96, 160)
"""Of the pictures: the coarsest maps do not divide it."""

STEP, LAST = 211, 45
"""Of every so many anchors one is kept, and of the last, the coarsest maps', every fourth."""

REFERENCES = {
    "retinanet_resnet50_fpn": Reference("torchvision", "reference_boxes.first", gentle="bbox_reg"),
    "retinanet_resnet50_fpn_v2": Reference("torchvision", "reference_boxes.second"),
}


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


def kept(count: int) -> list[int]:
    """Which anchors."""
    return sorted({*range(0, count, STEP), *range(max(0, count - LAST), count, 4)})


def made(name: str) -> str:
    """The file of one variant."""
    reference = REFERENCES[name]
    shape = (*SIZE, 3)
    tensors, outputs = answer_torch(reference, pictures(SEED, shape, reference.scale))
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
            "reference": f"torchvision.models.detection.{name}",
            "versions": _versions(reference.library),
            "reader": "torch",
            "seed": SEED,
            "input": {"shape": shape, "scale": reference.scale},
            "anchors": count,
            "kept": kept(count),
            "tensors": {key: [list(sides), *given] for key, (sides, given) in tensors.items()},
            "outputs": rows,
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variant", choices=sorted(REFERENCES))
    given = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{given.variant}.json").write_text(made(given.variant), encoding="utf-8")
    print(given.variant)


if __name__ == "__main__":
    main()
