"""Recipes from foreign files to our variables: the pieces that the families' converters are put together from.

A recipe says for each variable path (`layer/variable`) which tensor of the file it comes from and what is done to it;
`convert` follows one, strictly. PyTorch, Caffe and ONNX put output channels first, TF-Slim has Keras' own layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from kerazoo.errors import UsageError
from kerazoo.weights._fit import unlike

Change = Callable[[np.ndarray], np.ndarray]
Recipe = dict[str, tuple[str, Change]]


def convert(tensors: Mapping[str, np.ndarray], recipe: Recipe, dropped: Iterable[str] = ()) -> dict[str, np.ndarray]:
    """Source tensors under the names of variables, with no source tensor left over and none missing.

    Args:
        recipe: Variable path -> name of its source tensor and what makes it the variable's value. A source name of
            one path can be another's too.
        dropped: Source tensors that are known and not wanted.

    Raises:
        UsageError: Tensors are missing or left over, or have shapes that cannot be changed so.
    """
    wanted = {source for source, _ in recipe.values()}
    missing = [source for source in dict.fromkeys(source for source, _ in recipe.values()) if source not in tensors]
    unexpected = sorted(tensors.keys() - wanted - set(dropped))
    if missing or unexpected:
        raise unlike("The file", "this architecture", missing, unexpected)
    made = {}
    for path, (source, change) in recipe.items():
        try:
            made[path] = change(tensors[source])
        except (ValueError, IndexError) as error:
            shape = tensors[source].shape
            raise UsageError(f"The file's {source} of shape {shape} does not become {path}: {error}.") from error
    return made


def renamed(tensors: Mapping[str, np.ndarray], layers: Mapping[str, str]) -> Mapping[str, np.ndarray]:
    """A Keras file's arrays under variable paths, their layers' names changed; one without any of these as it is.

    Args:
        layers: Names of the file's layers -> ours.
    """
    found = {}
    for name, tensor in tensors.items():
        layer, variable = name.replace(".", "/").split("/")[-2:]
        if layer not in layers:
            return tensors
        found[f"{layers[layer]}/{variable}"] = tensor
    return found


def hwio(kernel: np.ndarray) -> np.ndarray:
    """A convolution's kernel, OIHW to HWIO."""
    return kernel.transpose(2, 3, 1, 0)


def dense(kernel: np.ndarray) -> np.ndarray:
    """[outputs, inputs] to [inputs, outputs]."""
    return kernel.T


def after_flatten(channels: int, height: int, width: int) -> Change:
    """What a dense kernel needs that stands on flattened maps: there one channel after the other, here together."""

    def change(kernel: np.ndarray) -> np.ndarray:
        outputs = len(kernel)
        return kernel.reshape(outputs, channels, height, width).transpose(2, 3, 1, 0).reshape(-1, outputs)

    return change


def layer(name: str, source: str, kernel: Change = hwio) -> Recipe:
    """A layer with kernel and bias, in the file `source.weight` and `source.bias`."""
    return {f"{name}/kernel": (f"{source}.weight", kernel), f"{name}/bias": (f"{source}.bias", np.asarray)}


def layers(names: Mapping[str, str], kernels: Mapping[str, Change] | None = None) -> Recipe:
    """Several such layers.

    Args:
        names: Our layers -> those of the file.
        kernels: What makes ours of a layer's kernel; `hwio` where it is not named.
    """
    recipe: Recipe = {}
    for name, source in names.items():
        recipe |= layer(name, source, (kernels or {}).get(name, hwio))
    return recipe


TORCH_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
"""A batch normalisation's variables, here and in PyTorch."""

COUNTER = ".num_batches_tracked"
"""What PyTorch counts in each batch normalisation; nothing here needs it."""


def torch_norm(name: str, source: str) -> Recipe:
    """A batch normalisation as PyTorch has it."""
    return {f"{name}/{mine}": (f"{source}.{theirs}", np.asarray) for mine, theirs in TORCH_NORM.items()}


def torch_conv_norm(names: Mapping[str, tuple[str, str]]) -> Recipe:
    """Convolutions without bias, each with its batch normalisation: our name, with `_conv` and `_bn`, and theirs."""
    recipe: Recipe = {}
    for name, (conv, norm) in names.items():
        recipe[f"{name}_conv/kernel"] = (f"{conv}.weight", hwio)
        recipe |= torch_norm(f"{name}_bn", norm)
    return recipe


def counters(tensors: Iterable[str]) -> list[str]:
    """The names of PyTorch's counters, to be dropped."""
    return [name for name in tensors if name.endswith(COUNTER)]


def slim_conv_norm(conv: str, norm: str, scope: str) -> Recipe:
    """A convolution without bias and its batch normalisation, which has no `gamma`, in a scope of TF-Slim's."""
    recipe: Recipe = {f"{conv}/kernel": (f"{scope}/weights", np.asarray)}
    for name in ("beta", "moving_mean", "moving_variance"):
        recipe[f"{norm}/{name}"] = (f"{scope}/BatchNorm/{name}", np.asarray)
    return recipe


def slim_classifier(scope: str) -> Recipe:
    """The layer `predictions`; of TF-Slim's 1001 classes the first is the background, which is left out.

    In a scope that is called `Conv2d...` it is a 1x1 convolution, whose kernel has two axes of length 1 more.
    """
    ones = (0, 1) if "/Conv2d" in scope else ()
    return {
        "predictions/kernel": (f"{scope}/weights", lambda value: value.squeeze(ones)[:, 1:]),
        "predictions/bias": (f"{scope}/biases", lambda value: value[1:]),
    }


def in_order(tensors: Mapping[str, np.ndarray], layers: Iterable[str]) -> dict[str, np.ndarray]:
    """An ONNX file's tensors, in the order in which its nodes use them, as kernels and biases of these layers."""
    # The shape that a Reshape wants is a constant of integers beside them.
    found = [tensor for tensor in tensors.values() if tensor.dtype.kind == "f"]
    names = [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    if len(found) != len(names):
        raise UsageError(f"The file does not fit this architecture: it has {len(found)} weights, not {len(names)}.")
    return dict(zip(names, found, strict=True))
