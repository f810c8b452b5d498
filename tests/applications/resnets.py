"""PyTorch files of ResNets: their tensors' names and shapes written down anew, and numbers to fill them with."""

import numpy as np


def shapes(blocks, bottleneck=True, inner=64, groups=1, tweaks=False, classes=1000):
    """Name -> shape of every tensor, in the order of torchvision's and timm's state dicts."""
    found = {}

    def conv(name, norm, outputs, inputs, size):
        found[f"{name}.weight"] = (outputs, inputs, size, size)
        found.update({f"{norm}.{part}": (outputs,) for part in ("weight", "bias", "running_mean", "running_var")})
        found[f"{norm}.num_batches_tracked"] = (1,)

    if tweaks:
        conv("conv1.0", "conv1.1", 32, 3, 3)
        conv("conv1.3", "conv1.4", 32, 32, 3)
        conv("conv1.6", "bn1", 64, 32, 3)
    else:
        conv("conv1", "bn1", 64, 3, 7)
    inputs = 64
    for stage, count in enumerate(blocks):
        middle, outputs = inner << stage, (256 if bottleneck else 64) << stage
        for block in range(count):
            at = f"layer{stage + 1}.{block}."
            if bottleneck:
                conv(f"{at}conv1", f"{at}bn1", middle, inputs, 1)
                conv(f"{at}conv2", f"{at}bn2", middle, middle // groups, 3)
                conv(f"{at}conv3", f"{at}bn3", outputs, middle, 1)
            else:
                conv(f"{at}conv1", f"{at}bn1", outputs, inputs, 3)
                conv(f"{at}conv2", f"{at}bn2", outputs, outputs, 3)
            if inputs != outputs:
                first = 1 if tweaks else 0
                conv(f"{at}downsample.{first}", f"{at}downsample.{first + 1}", outputs, inputs, 1)
            inputs = outputs
    found |= {"fc.weight": (classes, inputs), "fc.bias": (classes,)}
    return found


def count(found):
    """What Keras' `count_params` says: all but the counters."""
    return sum(int(np.prod(shape)) for name, shape in found.items() if not name.endswith("tracked"))


def filled(found):
    """The same numbers on every machine; signals keep their size."""
    random, tensors = np.random.RandomState(0), {}
    for name, shape in found.items():
        if len(shape) > 1:
            values = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        elif name.endswith(("running_var", "weight")):
            values = random.uniform(0.5, 1.5, shape)
        else:
            values = random.uniform(-0.3, 0.3, shape)
        tensors[name] = values.astype(np.float32)
    return tensors


def picture(height, width):
    return np.random.RandomState(1).uniform(-2, 2, (1, height, width, 3)).astype(np.float32)


def sample(logits):
    """Eight of a thousand logits."""
    return np.asarray(logits)[0, ::125]
