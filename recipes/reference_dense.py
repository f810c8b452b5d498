"""Writes what public implementations of networks that segment or find joints answer, as `reference_goldens.py` does.

    python recipes/reference_dense.py deeplab_v3_resnet50                # needs torch and torchvision
    python recipes/reference_dense.py deeplab_v1_largefov                # needs torch
    python recipes/reference_dense.py deeplab_v2_resnet101 --code DIR    # and a checkout of the repository named below
    python recipes/reference_dense.py deeplab_v3plus_xception --code DIR # needs keras, and a checkout

The answers go into `tests/goldens/reference/dense/<variant>.json`, at every so many pixels. bonlime's program resizes
without aligned corners, unlike the network whose weights it holds: here its resizing is replaced by TensorFlow 1's.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from reference_goldens import SEED, Reference, _versions, answer_keras, answer_torch, text
from seeded import pictures

FOLDER = Path(__file__).parents[1] / "tests" / "goldens" / "reference" / "dense"
PLACES = 5
"""About so many places each way are kept of an answer."""


@dataclass(frozen=True)
class Dense:
    """A reference whose answer is a map.

    Attributes:
        reader: Format of the files with its weights.
        repository: Where its program is, `owner/name`; `None` for a library or a transcription.
        inside: The folder of it that its modules are imported from.
        size: Height and width of the pictures.
        output: Name of the map, where there are several.
        aligned: Whether the map is resized to the picture with aligned corners, which the network leaves to its caller.
    """

    reference: Reference
    reader: str
    size: tuple[int, int]
    repository: str | None = None
    inside: str = ""
    output: str = "logits"
    aligned: bool = False


class Settings(dict[str, Any]):
    """A tree of settings by name, as attributes and as items."""

    __getattr__ = dict.__getitem__


def _stages(width: int, joints: int = 0, classes: int = 0) -> Settings:
    """The settings of the authors' HRNets, which are all alike but for the width."""
    extra = Settings(FINAL_CONV_KERNEL=1, PRETRAINED_LAYERS=["*"])
    extra["STAGE1"] = Settings(NUM_MODULES=1, BLOCK="BOTTLENECK", NUM_BLOCKS=[4], NUM_CHANNELS=[64], FUSE_METHOD="SUM")
    for stage, modules in ((2, 1), (3, 4), (4, 3)):
        extra[f"STAGE{stage}"] = Settings(
            NUM_MODULES=modules,
            NUM_BRANCHES=stage,
            BLOCK="BASIC",
            NUM_BLOCKS=[4] * stage,
            NUM_CHANNELS=[width << branch for branch in range(stage)],
            FUSE_METHOD="SUM",
        )
    model = Settings(ALIGN_CORNERS=False, PRETRAINED="", NUM_JOINTS=joints, INIT_WEIGHTS=False, EXTRA=extra)
    return Settings(MODEL=model, DATASET=Settings(NUM_CLASSES=classes))


def _torchvision(depth: int) -> Dense:
    arguments = {"weights": None, "weights_backbone": None, "aux_loss": True}
    function = f"torchvision.models.segmentation.deeplabv3_resnet{depth}"
    return Dense(Reference("torchvision", function, arguments=arguments), "torch", (80, 96), output="out")


def _bonlime(backbone: str) -> Dense:
    arguments = {"weights": None, "input_shape": (97, 113, 3), "backbone": backbone}
    reference = Reference("keras", "bonlime.Deeplabv3", arguments=arguments)
    return Dense(reference, "keras_h5", (97, 113), "bonlime/keras-deeplab-v3-plus")


def _segments(width: int) -> Dense:
    arguments = {"cfg": _stages(width, classes=19)}
    reference = Reference("hrnet", "models.seg_hrnet.get_seg_model", arguments=arguments)
    return Dense(reference, "torch", (96, 128), "HRNet/HRNet-Semantic-Segmentation", "lib")


def _joints(width: int) -> Dense:
    arguments = {"cfg": _stages(width, joints=17), "is_train": False}
    reference = Reference("hrnet", "models.pose_hrnet.get_pose_net", arguments=arguments)
    return Dense(reference, "torch", (128, 96), "leoxiaobin/deep-high-resolution-net.pytorch", "lib")


_KAZUTO = Reference(
    "kazuto1011",
    "libs.models.deeplabv2.DeepLabV2",
    arguments={"n_classes": 21, "n_blocks": [3, 4, 23, 3], "atrous_rates": [6, 12, 18, 24]},
)

REFERENCES = {
    "deeplab_v1_largefov": Dense(
        Reference("transcription", "reference_networks.DeepLabLargeFOV", scale=60.0), "caffe", (97, 113)
    ),
    "deeplab_v2_resnet101": Dense(_KAZUTO, "torch", (97, 113), "kazuto1011/deeplab-pytorch", aligned=True),
    "deeplab_v3_resnet50": _torchvision(50),
    "deeplab_v3_resnet101": _torchvision(101),
    "deeplab_v3plus_mobilenetv2": _bonlime("mobilenetv2"),
    "deeplab_v3plus_xception": _bonlime("xception"),
    "hrnet_w18_seg": _segments(18),
    "hrnet_w48_seg": _segments(48),
    "hrnet_w32_pose": _joints(32),
    "hrnet_w48_pose": _joints(48),
}

MODERN = {
    "tensorflow.python.keras.utils.layer_utils": "keras.utils",
    "tensorflow.python.keras.utils.data_utils": "keras.utils",
    "tensorflow.python.keras": "keras",
    "inputs.shape[-1].value": "inputs.shape[-1]",
    "shape_before = tf.shape(x)": "",
    "tf.keras.backend.int_shape(": "_shape(",
    "tf.keras.layers.experimental.preprocessing.Resizing(": "Aligned(",
}
"""Lines of bonlime's program that Keras 3 does not take, and what they have become."""


def modernised(path: Path) -> types.ModuleType:
    """bonlime's `model.py` as a module that Keras 3 runs, resizing with aligned corners."""
    import keras
    import tensorflow as tf

    class Aligned(keras.layers.Layer):
        def __init__(self, height: int, width: int, interpolation: str) -> None:
            super().__init__()
            self.wanted = (height, width)

        def call(self, maps: Any) -> Any:
            return tf.compat.v1.image.resize_bilinear(maps, self.wanted, align_corners=True)

    source = path.read_text(encoding="utf-8")
    for old, new in MODERN.items():
        source = source.replace(old, new)
    module = types.ModuleType("bonlime")
    module.__dict__.update(Aligned=Aligned, _shape=lambda tensor: tuple(tensor.shape))
    exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102
    return module


def steps(shape: tuple[int, int]) -> tuple[int, int]:
    """Pixels from one place that is kept to the next, down and across."""
    return max(1, shape[0] // PLACES), max(1, shape[1] // PLACES)


def sampled(maps: np.ndarray) -> np.ndarray:
    """Maps [batch, h, w, classes] at the places that are kept, one row a picture."""
    down, across = steps(maps.shape[1:3])
    return maps[:, ::down, ::across].reshape(len(maps), -1)


def made(name: str, code: Path | None) -> str:
    """The file of one variant."""
    dense = REFERENCES[name]
    reference = dense.reference
    if dense.repository is not None:
        if code is None:
            raise SystemExit(f"{name} needs --code, a checkout of {dense.repository}.")
        sys.path.insert(0, str(code / dense.inside))
        np.int = int  # type: ignore[attr-defined]  # The authors' name for it, which NumPy gave up.
        if reference.function.startswith("bonlime."):
            sys.modules["bonlime"] = modernised(code / "model.py")
    shape = (*dense.size, 3)
    images = pictures(SEED, shape, reference.scale)
    answer = answer_keras if reference.library == "keras" else answer_torch
    tensors, outputs = answer(reference, images)
    maps = outputs[dense.output]
    if answer is answer_torch:
        if dense.aligned:
            import torch

            torch_maps = torch.from_numpy(maps)
            maps = torch.nn.functional.interpolate(torch_maps, dense.size, mode="bilinear", align_corners=True).numpy()
        maps = maps.transpose(0, 2, 3, 1)
    rows = sampled(maps)
    size = np.abs(rows).max()
    apart = np.abs(rows[0] - rows[1]).max() / size
    print(f"  {maps.shape}: largest {size:.3g}, pictures differ by {apart:.2g} of it", flush=True)
    if not np.isfinite(maps).all() or rows.std(axis=1).min() <= 0.02 * size or apart < 0.05:
        raise SystemExit(f"{name}: the answer is not finite, flat, or hardly depends on the picture.")
    known = reference.library in ("transcription", "keras", "torchvision")
    return text(
        {
            "reference": dense.repository or reference.function,
            "versions": _versions(reference.library if known else "transcription"),
            "reader": dense.reader,
            "seed": SEED,
            "input": {"shape": shape, "scale": reference.scale},
            "map": list(maps.shape[1:]),
            "tensors": {key: [list(sides), *given] for key, (sides, given) in tensors.items()},
            "outputs": {"logits": rows},
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variant", choices=sorted(REFERENCES))
    parser.add_argument("--code", type=Path, help="a checkout of the reference's repository")
    given = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    importlib.invalidate_caches()
    (FOLDER / f"{given.variant}.json").write_text(made(given.variant, given.code), encoding="utf-8")
    print(given.variant)


if __name__ == "__main__":
    main()
