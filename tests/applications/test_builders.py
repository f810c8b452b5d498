"""The public builders: Keras' signatures, and errors that say what is allowed."""

import inspect

import keras
import pytest

from kerazoo import applications, registry, weights
from kerazoo.errors import UsageError
from tests.applications.common import keras_warns, pictures

OFFICIAL = [name for name in applications.__all__ if hasattr(keras.applications, name)]
"""Builders whose names Keras has too."""


def _variant(name):
    """The variant of a public builder, by its model's name."""
    build = getattr(applications, name)
    default = inspect.signature(build).parameters["name"].default
    found = inspect.getmodule(build).VARIANTS
    named = [variant for variant, described in found.items() if described.config.name == default]
    return next(iter(named or found))  # MobileNet's name depends on its alpha.


def _first(name):
    return next(iter(inspect.getmodule(getattr(applications, name)).VARIANTS.values()))


CLASSIFIERS = [
    name
    for name in applications.__all__
    if _first(name).task == "classify" and hasattr(_first(name).config, "input_shape")
]
"""Builders of what tells pictures apart."""

MORE = {"MLP", "SNN", "MobileNet", "MobileNetV2", "GoogLeNet"}
"""Builders with arguments of their own beside the common ones."""


@pytest.mark.parametrize("name", OFFICIAL)
def test_signature_is_keras_own(name):
    official = inspect.signature(getattr(keras.applications, name)).parameters
    mine = inspect.signature(getattr(applications, name)).parameters
    assert [(p.name, p.default) for p in mine.values()] == [(p.name, p.default) for p in official.values()]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_one_signature_and_help_for_all(name):
    build = getattr(applications, name)
    common = list(inspect.signature(applications.ResNet50).parameters)
    mine = list(inspect.signature(build).parameters)
    assert set(common) <= set(mine)
    assert (mine != common) == (name in MORE)
    assert build.__name__ == name
    assert name in build.__doc__
    assert "Args:" in build.__doc__


@pytest.mark.parametrize("name", sorted(set(CLASSIFIERS) - {"MobileNet"}))
def test_default_weights_are_the_first_of_the_manifest(name):
    words = weights.words(_variant(name))
    build = getattr(applications, name)
    assert inspect.signature(build).parameters["weights"].default == (words[0] if words else None)


def test_words():
    assert weights.words("resnet50") == ("imagenet",)
    assert weights.words("mobilenet_v1")[:2] == ("imagenet", "imagenet-192")
    assert weights.words("unet") == ()


@pytest.mark.parametrize(
    ("name", "shape"), [("mobilenet_v1:imagenet", (224, 224, 3)), ("mobilenet_v1_050:imagenet-192", (192, 192, 3))]
)
def test_a_model_is_built_at_the_size_of_its_weights(name, shape):
    assert registry.config_of(registry.find(name)).input_shape == shape


WRONG = [
    ("ResNet50", {"classes": 10}, ["1000 classes; 10 were asked for", "include_top=False", "weights=None"]),
    ("ResNet50", {"input_shape": (224, 224, 1)}, ["3 channels; 1 were asked for"]),
    ("ResNet50", {"input_shape": (31, 64, 3)}, ["(31, 64, 3)", "at least 32"]),
    ("ResNet50", {"input_shape": (64, 64)}, ["(64, 64)", "(height, width, channels)"]),
    ("ResNet50", {"input_shape": ("a", 64, 3)}, ["('a', 64, 3)"]),
    ("ResNet50", {"weights": "imagnet"}, ["'imagnet'", "it has imagenet", "Did you mean imagenet?"]),
    ("ResNet50", {"weights": "cifar10-akamaster"}, ["it has imagenet", "resnet20 has weights of that name"]),
    ("ResNet50", {"weights": "no/such/file.h5"}, ["'no/such/file.h5'", "existing file"]),
    ("ResNet50", {"pooling": "mean"}, ["'mean'", "None, 'avg' and 'max'"]),
    ("ResNet50", {"classes": 0, "weights": None}, ["classes=0"]),
    ("ResNet50", {"classes": 2.5, "weights": None}, ["classes=2.5"]),
    ("ResNet20", {"weights": "imagenet"}, ["'imagenet' is not known for resnet20", "cifar10-akamaster"]),
    ("ResNet32", {"weights": "imagenet"}, ["no pretrained ones"]),
    ("SqueezeNetV1_0", {"weights": None, "input_shape": (20, 20, 3)}, ["at least 21"]),
    ("LeNet5", {"weights": None, "input_shape": (8, 8, 1)}, ["at least 14"]),
]


def _every_family_refuses():
    """What no classifier can take, and what it says then."""
    for name in CLASSIFIERS:
        variant = _variant(name)
        config = inspect.getmodule(getattr(applications, name)).VARIANTS[variant].config
        channels, words = config.input_shape[2], weights.words(variant)
        yield name, {"weights": "imagenette"}, ["'imagenette' is not known for", "existing file"]
        yield name, {"weights": "no/such/file.npz"}, ["'no/such/file.npz'", *words[:1]]
        yield name, {"weights": "isbi2012-of-another-variant"}, ["is not known for"]
        yield name, {"weights": None, "input_shape": (0, 0, channels)}, ["input_shape=(0, 0,", "at least"]
        yield name, {"weights": None, "input_shape": (224, 224)}, ["(height, width, channels)"]
        yield name, {"weights": None, "pooling": "mean"}, ["pooling='mean'", "None, 'avg' and 'max'"]
        yield name, {"weights": None, "classes": -1}, ["classes=-1 is not a positive whole number"]
        if words:
            told = [f"{config.classes} classes; 7 were asked for", "include_top=False", "weights=None"]
            yield name, {"weights": words[0], "classes": 7}, told
            other = "cifar10-akamaster" if variant != "resnet20" else "vggface2"
            yield name, {"weights": other}, [f"it has {words[0]}", "has weights of that name"]


@pytest.mark.parametrize(("name", "arguments", "told"), [*WRONG, *_every_family_refuses()])
def test_wrong_arguments_say_what_is_allowed(name, arguments, told, monkeypatch):
    build = getattr(applications, name)
    monkeypatch.setattr(inspect.getmodule(build), "build", lambda *_, **__: pytest.fail("built before it was checked"))
    with pytest.raises(UsageError) as caught:
        build(**arguments)
    for part in told:
        assert part in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3


def test_input_tensor_and_activation():
    image = keras.Input((32, 32, 3), name="mine")
    model = applications.ResNet20(weights=None, input_tensor=image, classes=4, name="small")
    assert model.name == "small"
    assert [tensor.name for tensor in model.inputs] == ["mine"]
    scores = model(pictures(2, 32, 32, 3))
    assert scores.shape == (2, 4)
    assert float(keras.ops.max(keras.ops.abs(keras.ops.sum(scores, axis=1) - 1))) < 1e-5
    logits = applications.ResNet20(weights=None, classifier_activation=None)(pictures(2, 32, 32, 3))
    assert float(keras.ops.min(logits)) < 0


def test_a_file_of_a_format_without_a_converter(tmp_path):
    from tests.weights import files

    files.torch_zip(tmp_path / "mine.pth", {"a": pictures(2, 2)})
    with pytest.raises(UsageError, match="squeezenet_v1_0 has no converter from PyTorch"):
        applications.SqueezeNetV1_0(weights=str(tmp_path / "mine.pth"))


@keras_warns
@pytest.mark.parametrize("kind", ["h5", "weights.h5", "keras", "npz"])
def test_files_that_users_save(kind, tmp_path):
    import numpy as np

    source = applications.LeNet5(weights=None)
    path = tmp_path / f"mine.{kind}"
    if kind == "npz":
        np.savez(path, **{weight.path: weight.numpy() for weight in source.weights})
    elif kind == "weights.h5":
        source.save_weights(path)
    else:
        source.save(path)
    model = applications.LeNet5(weights=str(path))
    for mine, theirs in zip(model.weights, source.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
