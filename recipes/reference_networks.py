"""AlexNet, GoogLeNet, SqueezeNet v1.0 and DeepLab-LargeFOV in plain PyTorch, since no library has them.

As their Caffe files define them: written after `train_val.prototxt` of `bvlc_alexnet`, of `bvlc_googlenet` and of the
authors' SqueezeNet v1.0, and `test.prototxt` of DeepLab-LargeFOV. Layers have the names that they have there, so that a
state dict holds the tensors of the `.caffemodel` under its own names.
Dropout is left out, which is what it comes to when nothing is dropped. Caffe rounds the size of pooled maps up, and its
normalisation across channels divides alpha by the number of channels, as PyTorch's does. torchvision's SqueezeNet 1.0
is another network: its last convolution pads nothing, the authors' one pixel.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate, local_response_norm, max_pool2d, relu


class Caffe(nn.Module):
    """Layers under names that hold slashes, which attributes cannot."""

    def conv(self, name: str, inputs: int, outputs: int, size: int, **options: int) -> None:
        self.add_module(name, nn.Conv2d(inputs, outputs, size, **options))

    def dense(self, name: str, inputs: int, outputs: int) -> None:
        self.add_module(name, nn.Linear(inputs, outputs))

    def apply_to(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """The layer and the rectifier behind it."""
        return relu(self.get_submodule(name)(x))


def _norm(x: torch.Tensor) -> torch.Tensor:
    return local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=1.0)


def _pool(x: torch.Tensor) -> torch.Tensor:
    return max_pool2d(x, 3, 2, ceil_mode=True)


class AlexNet(Caffe):
    """Pictures [batch, 3, 227, 227] to logits [batch, 1000]; normalisation comes before pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv("conv1", 3, 96, 11, stride=4)
        self.conv("conv2", 96, 256, 5, padding=2, groups=2)
        self.conv("conv3", 256, 384, 3, padding=1)
        self.conv("conv4", 384, 384, 3, padding=1, groups=2)
        self.conv("conv5", 384, 256, 3, padding=1, groups=2)
        self.dense("fc6", 256 * 6 * 6, 4096)
        self.dense("fc7", 4096, 4096)
        self.dense("fc8", 4096, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = _pool(_norm(self.apply_to("conv1", x)))
        x = _pool(_norm(self.apply_to("conv2", x)))
        for name in ("conv3", "conv4", "conv5"):
            x = self.apply_to(name, x)
        x = _pool(x).flatten(1)
        return self.get_submodule("fc8")(self.apply_to("fc7", self.apply_to("fc6", x)))


INCEPTIONS = {
    "3a": (192, 64, (96, 128), (16, 32), 32),
    "3b": (256, 128, (128, 192), (32, 96), 64),
    "4a": (480, 192, (96, 208), (16, 48), 64),
    "4b": (512, 160, (112, 224), (24, 64), 64),
    "4c": (512, 128, (128, 256), (24, 64), 64),
    "4d": (512, 112, (144, 288), (32, 64), 64),
    "4e": (528, 256, (160, 320), (32, 128), 128),
    "5a": (832, 256, (160, 320), (32, 128), 128),
    "5b": (832, 384, (192, 384), (48, 128), 128),
}
"""Module -> channels that come in, of the 1x1, of reduction and 3x3, of reduction and 5x5, and behind the pooling."""

AUXILIARY = {"loss1": ("4a", 512), "loss2": ("4d", 528)}
"""Classifier of the training -> the module that it stands on, and its channels."""


class GoogLeNet(Caffe):
    """Pictures [batch, 3, 224, 224] to the logits, and to those that `loss1` and `loss2` train; each [batch, 1000]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv("conv1/7x7_s2", 3, 64, 7, stride=2, padding=3)
        self.conv("conv2/3x3_reduce", 64, 64, 1)
        self.conv("conv2/3x3", 64, 192, 3, padding=1)
        for module, (inputs, one, three, five, pooled) in INCEPTIONS.items():
            name = f"inception_{module}"
            self.conv(f"{name}/1x1", inputs, one, 1)
            self.conv(f"{name}/3x3_reduce", inputs, three[0], 1)
            self.conv(f"{name}/3x3", *three, 3, padding=1)
            self.conv(f"{name}/5x5_reduce", inputs, five[0], 1)
            self.conv(f"{name}/5x5", *five, 5, padding=2)
            self.conv(f"{name}/pool_proj", inputs, pooled, 1)
        for name, (_, channels) in AUXILIARY.items():
            self.conv(f"{name}/conv", channels, 128, 1)
            self.dense(f"{name}/fc", 128 * 4 * 4, 1024)
            self.dense(f"{name}/classifier", 1024, 1000)
        self.dense("loss3/classifier", 1024, 1000)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        x = _norm(_pool(self.apply_to("conv1/7x7_s2", x)))
        x = self.apply_to("conv2/3x3", self.apply_to("conv2/3x3_reduce", x))
        x = _pool(_norm(x))
        features = {}
        for module in INCEPTIONS:
            x = features[module] = self.inception(f"inception_{module}", x)
            if module in ("3b", "4e"):
                x = _pool(x)
        logits = {"logits": self.get_submodule("loss3/classifier")(x.mean((2, 3)))}
        return logits | {name: self.auxiliary(name, features[at]) for name, (at, _) in AUXILIARY.items()}

    def inception(self, name: str, x: torch.Tensor) -> torch.Tensor:
        branches = [
            self.apply_to(f"{name}/1x1", x),
            self.apply_to(f"{name}/3x3", self.apply_to(f"{name}/3x3_reduce", x)),
            self.apply_to(f"{name}/5x5", self.apply_to(f"{name}/5x5_reduce", x)),
            self.apply_to(f"{name}/pool_proj", max_pool2d(x, 3, 1, padding=1)),
        ]
        return torch.cat(branches, 1)

    def auxiliary(self, name: str, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.avg_pool2d(x, 5, 3, ceil_mode=True)
        x = self.apply_to(f"{name}/conv", x).flatten(1)
        return self.get_submodule(f"{name}/classifier")(self.apply_to(f"{name}/fc", x))


FIRES = {2: (96, 16, 64), 3: (128, 16, 64), 4: (128, 32, 128), 5: (256, 32, 128)}
FIRES |= {6: (256, 48, 192), 7: (384, 48, 192), 8: (384, 64, 256), 9: (512, 64, 256)}
"""Module -> channels that come in, of its first convolution, and of either of the two that follow."""


class SqueezeNet(Caffe):
    """Version 1.0: pictures [batch, 3, 227, 227] to logits [batch, 1000], averages of what a rectifier let through."""

    def __init__(self) -> None:
        super().__init__()
        self.conv("conv1", 3, 96, 7, stride=2)
        for number, (inputs, few, many) in FIRES.items():
            self.conv(f"fire{number}/squeeze1x1", inputs, few, 1)
            self.conv(f"fire{number}/expand1x1", few, many, 1)
            self.conv(f"fire{number}/expand3x3", few, many, 3, padding=1)
        self.conv("conv10", 512, 1000, 1, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = _pool(self.apply_to("conv1", x))
        for number in FIRES:
            few = self.apply_to(f"fire{number}/squeeze1x1", x)
            x = torch.cat([self.apply_to(f"fire{number}/expand{size}", few) for size in ("1x1", "3x3")], 1)
            if number in (4, 8):
                x = _pool(x)
        return self.apply_to("conv10", x).mean((2, 3))


class DeepLabLargeFOV(Caffe):
    """Pictures [batch, 3, h, w] to logits [batch, 21, h, w], as the authors' released `test.prototxt` has it."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = ((64, 2, 2, 1), (128, 2, 2, 1), (256, 3, 2, 1), (512, 3, 1, 1), (512, 3, 1, 2))
        before = 3
        for stage, (filters, count, _, rate) in enumerate(self.stages, start=1):
            for number in range(1, count + 1):
                self.conv(f"conv{stage}_{number}", before, filters, 3, padding=rate, dilation=rate)
                before = filters
        self.conv("fc6", 512, 1024, 3, padding=12, dilation=12)
        self.conv("fc7", 1024, 1024, 1)
        self.conv("fc8_voc12", 1024, 21, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size = x.shape[2:]
        for stage, (_, count, strides, _) in enumerate(self.stages, start=1):
            for number in range(1, count + 1):
                x = self.apply_to(f"conv{stage}_{number}", x)
            x = max_pool2d(x, 3, strides, padding=1, ceil_mode=True)
        x = avg_pool2d(x, 3, 1, padding=1)
        x = self.get_submodule("fc8_voc12")(self.apply_to("fc7", self.apply_to("fc6", x)))
        return interpolate(x, size, mode="bilinear", align_corners=True)
