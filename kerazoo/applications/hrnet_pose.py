"""HRNet for poses: where each joint of one person is likely to be, at a quarter of the picture's resolution.

Paper: Sun, Xiao, Liu, Wang, "Deep High-Resolution Representation Learning for Human Pose Estimation", CVPR 2019,
    arXiv:1902.09212, section 3.
Reference weights: the authors' `pose_hrnet_w{32,48}_{256x192,384x288}.pth` for COCO's 17 joints, which lie where only
    a browser fetches them; a path of one is read. RGB pixels in 0..1 less the mean (0.485, 0.456, 0.406), over
    (0.229, 0.224, 0.225).
Variants: `hrnet_w32_pose`, `hrnet_w48_pose`: the width of the branch of the highest resolution.
Differs: as in the authors' program, a smaller map is first convolved and then grows by repeating its pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerazoo.applications import _segmenter
from kerazoo.applications._hrnet import Sizes, check, names, trunk
from kerazoo.applications._segmenter import SegmenterConfig, finish
from kerazoo.assets import Assets, labels
from kerazoo.codecs.image import Image, Normalise
from kerazoo.contract import Task, Variant
from kerazoo.lazy import keras
from kerazoo.tasks.pose import Pose
from kerazoo.weights.recipes import convert, counters, layer, torch_conv_norm

__all__ = ["HRNetW32Pose", "HRNetW48Pose"]

NORMALISE = Normalise(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

JOINTS = "coco_keypoints"


@dataclass(frozen=True)
class Config(Sizes, SegmenterConfig):
    """Sizes of an HRNet for poses; its classes are joints."""


def _variant(name: str, width: int, params: int) -> Variant:
    config = Config(name, (256, 192, 3), 17, width=width)
    small = replace(config, input_shape=(64, 32, 3), width=width // 4, stem=8, blocks=1, modules=(1, 1, 1))
    return Variant(config, params, config.input_shape, "pose", small)


VARIANTS = {
    "hrnet_w32_pose": _variant("hrnet_w32_pose", 32, 28_590_449),
    "hrnet_w48_pose": _variant("hrnet_w48_pose", 48, 63_675_329),
}


def build(config: Config) -> keras.Model:
    """Normalised RGB pictures [batch, height, width, 3] to heat maps [batch, height / 4, width / 4, joints].

    Raises:
        UsageError: Height or width is known, and the four resolutions would not fit each other.
    """
    check(config.input_shape)
    inputs = keras.Input(config.input_shape, name="image")
    (x,) = trunk(config, inputs, last=1)
    return finish(config, inputs, keras.layers.Conv2D(config.classes, 1, name="heat")(x))


def tasks(config: Config, assets: Assets) -> dict[str, Task]:
    """The joints of the one person in a picture; COCO's, or `joint_0`, `joint_1`, ... where there are others."""
    known = assets.labels or labels(JOINTS)
    if len(known) != config.classes:
        known = tuple(f"joint_{index}" for index in range(config.classes))
    height, width, channels = config.input_shape
    return {"pose": Pose(Image(height or 256, width or 192, channels, fill="letterbox"), known)}


def from_torch(config: Config, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The authors' files."""
    own = {name: (kernel, norm) for name, kernel, norm in names(config, last=1)}
    return convert(tensors, torch_conv_norm(own) | layer("heat", "final_layer"), counters(tensors))


SOURCES: Mapping[str, Any] = {"torch": from_torch}

_RESULT = "heat maps [batch, height / 4, width / 4, classes], a class being a joint"
HRNetW32Pose = _segmenter.builder(
    __name__, "hrnet_w32_pose", "HRNetW32Pose", "32 to 256 filters, Sun et al. 2019.", 29, _RESULT, check
)
HRNetW48Pose = _segmenter.builder(
    __name__, "hrnet_w48_pose", "HRNetW48Pose", "48 to 384 filters, Sun et al. 2019.", 29, _RESULT, check
)
