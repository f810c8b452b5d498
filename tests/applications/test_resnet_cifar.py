import numpy as np
import pytest

from kerazoo.applications import resnet_cifar
from kerazoo.errors import UsageError
from tests.applications.common import close, mirror, needs_data, pictures, scatter
from tests.weights import files


@pytest.mark.parametrize(("variant", "depth"), [("resnet20", 20), ("resnet32", 32), ("resnet44", 44), ("resnet56", 56)])
def test_count_by_arithmetic(variant, depth):
    """Paper, section 4.2: 6n convolutions of 3x3 in three widths behind a first one, and a dense layer."""
    n = (depth - 2) // 6
    widths = [3, *[16] * (2 * n + 1), *[32] * (2 * n), *[64] * (2 * n)]
    kernels = sum(9 * a * b for a, b in zip(widths, widths[1:], strict=False))
    trainable = kernels + 2 * sum(widths[1:]) + 64 * 10 + 10
    described = resnet_cifar.VARIANTS[variant]
    model = resnet_cifar.build(described.config)
    assert model.count_params() == described.params == trainable + 2 * sum(widths[1:])
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == trainable
    # An independent source's figures.
    known = {"resnet32": (466_426, 464_154), "resnet56": (857_082, 853_018)}
    assert known.get(variant, (described.params, trainable)) == (described.params, trainable)
    # Convolutions and the dense layer are what the paper's depth counts.
    assert sum(len(weight.shape) > 1 for weight in model.weights) == depth


def state_dict(model, half):
    """The PyTorch file of a model, by its own naming, made from the Keras weights."""
    values = {weight.path: weight.numpy() for weight in model.weights}
    out = {}
    pairs = [("conv1", "conv1", "bn1")]
    for stage in (1, 2, 3):
        for block in (1, 2, 3):
            source = f"layer{stage}.{block - 1}."
            pairs += [(f"stage{stage}_block{block}_{i}", f"{source}conv{i}", f"{source}bn{i}") for i in (1, 2)]
    for layer, conv, bn in pairs:
        out[f"{conv}.weight"] = np.ascontiguousarray(values[f"{layer}_conv/kernel"].transpose(3, 2, 0, 1))
        for theirs, mine in zip(
            ("weight", "bias", "running_mean", "running_var"),
            ("gamma", "beta", "moving_mean", "moving_variance"),
            strict=True,
        ):
            out[f"{bn}.{theirs}"] = values[f"{layer}_bn/{mine}"]
        if half:
            out[f"{bn}.num_batches_tracked"] = np.zeros(1, "f")
    out["linear.weight"] = np.ascontiguousarray(values["predictions/kernel"].T)
    out["linear.bias"] = values["predictions/bias"]
    return {f"module.{name}" if half else name: array for name, array in out.items()}


@pytest.mark.parametrize("wrapped", [False, True])
def test_torch_file(wrapped, tmp_path):
    source = scatter(resnet_cifar.build(resnet_cifar.VARIANTS["resnet20"].config))
    tensors = state_dict(source, wrapped)
    (files.torch_legacy if wrapped else files.torch_zip)(tmp_path / "mine.pth", tensors)
    model = resnet_cifar.ResNet20(weights=str(tmp_path / "mine.pth"), classifier_activation=None)
    close(model(pictures(2, 32, 32, 3)), source(pictures(2, 32, 32, 3)), relative=0)
    bare = resnet_cifar.ResNet20(weights=str(tmp_path / "mine.pth"), include_top=False, pooling="avg")
    assert bare.output_shape == (None, 64)


def test_torch_file_that_does_not_fit(tmp_path):
    source = resnet_cifar.build(resnet_cifar.VARIANTS["resnet20"].config)
    tensors = state_dict(source, False)
    for change, told in {
        "missing": ("conv1.weight", "Missing: conv1.weight"),
        "unexpected": ("layer1.7.conv1.weight", "Unexpected: layer1.7.conv1.weight"),
    }.values():
        broken = dict(tensors)
        if broken.pop(change, None) is None:
            broken[change] = np.zeros((2, 2), "f")
        files.torch_zip(tmp_path / "broken.pth", broken)
        with pytest.raises(UsageError, match=told):
            resnet_cifar.ResNet20(weights=str(tmp_path / "broken.pth"))
    files.torch_zip(tmp_path / "flat.pth", tensors | {"conv1.weight": np.zeros(432, "f")})
    with pytest.raises(UsageError, match=r"conv1.weight of shape \(432,\) does not become conv1_conv/kernel"):
        resnet_cifar.ResNet20(weights=str(tmp_path / "flat.pth"))
    with pytest.raises(UsageError, match="Missing: layer1.3.conv1.weight"):
        files.torch_zip(tmp_path / "mine.pth", tensors)
        resnet_cifar.ResNet32(weights=str(tmp_path / "mine.pth"))


def test_shortcut_is_the_paper_s_option_a():
    """Every other pixel, and zero channels on both sides."""
    import keras

    model = resnet_cifar.build(resnet_cifar.VARIANTS["resnet20"].config)
    before = model.get_layer("stage1_block3_out").output
    x = pictures(1, 32, 32, 3)
    maps, widened = keras.Model(model.input, [before, model.get_layer("stage2_block1_widen").output])(x)
    expected = np.pad(np.asarray(maps)[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (8, 8)))
    np.testing.assert_array_equal(widened, expected)


@pytest.mark.parametrize("shape", [(None, None, 3), (33, 47, 3), (8, 8, 3)])
def test_other_sizes(shape):
    model = resnet_cifar.ResNet20(weights=None, input_shape=shape, classes=3)
    assert model(pictures(1, shape[0] or 21, shape[1] or 40, 3)).shape == (1, 3)


@needs_data
def test_real_file(monkeypatch, tmp_path):
    mirror(monkeypatch, tmp_path)
    model = resnet_cifar.ResNet20(weights="cifar10-akamaster")
    scores = np.asarray(model(pictures(4, 32, 32, 3)))
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
