"""A model says which builder made it, whatever its name and arguments, and no other model does."""

import dataclasses

import keras
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from kerazoo import applications
from kerazoo.applications import _recognise, recognise

SIDES = st.integers(32, 40)
NAMES = st.sampled_from(["mine", "resnet50", "lenet5", "größe"])
TOP = {
    "classes": st.integers(1, 5),
    "classifier_activation": st.sampled_from(["softmax", "sigmoid", None]),
    "name": NAMES,
}
PICTURES = TOP | {
    "include_top": st.booleans(),
    "pooling": st.sampled_from(["avg", "max", None]),
    "input_shape": st.tuples(SIDES, SIDES, st.integers(1, 3)),
}
DENSE = PICTURES | {
    "widths": st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple),
    "activation": st.sampled_from(["relu", "selu", "tanh"]),
    "dropout": st.sampled_from([0.0, 0.25]),
}
SMALL = st.integers(1, 4)
BUILDERS = {
    "LeNet5": PICTURES,
    "LeNet5_1998": TOP,
    "MLP": DENSE,
    "SNN": DENSE,
    "ResNet20": PICTURES,
    "SqueezeNetV1_0": PICTURES,
    "SqueezeNetV1_1": PICTURES,
    "MobileNet": PICTURES | {"alpha": st.sampled_from([0.25, 0.1, 0.3, 0.5]), "depth_multiplier": st.integers(1, 2)},
    "MobileNetV2": PICTURES | {"alpha": st.sampled_from([0.35, 0.1, 0.4])},
    "VAE": {"hidden": SMALL, "latents": SMALL, "input_shape": st.tuples(SMALL, SMALL, SMALL), "name": NAMES},
    "Autoencoder2006": {"widths": st.lists(SMALL, min_size=1, max_size=3).map(tuple), "latents": SMALL, "name": NAMES},
    "AutoencoderConv": {"latents": SMALL, "input_shape": st.sampled_from([(8, 12, 1), (4, 4, 3)]), "name": NAMES},
    "ESPCN": {"scale": st.sampled_from([2, 3, 4]), "input_shape": st.sampled_from([(None, None, 1), (8, 9, 2)])},
    "GCN": {"features": SMALL, "classes": SMALL, "hidden": SMALL, "dropout": st.just(0.25), "name": NAMES},
    "RNNEncoderDecoder": dict.fromkeys(
        ("source_words", "target_words", "length", "embedding", "units", "maxout", "rank"), SMALL
    ),
}
"""Quick builders, and arguments for them."""


def variant_of(builder, arguments):
    """The variant that a builder's weights would be of."""
    if builder == "ESPCN":
        return f"espcn_x{arguments.get('scale', 3)}"
    if builder == "MobileNet":
        widths = {0.25: "mobilenet_v1_025", 0.5: "mobilenet_v1_050", 0.75: "mobilenet_v1_075"}
        return widths.get(arguments.get("alpha", 1.0), "mobilenet_v1")
    if builder == "MobileNetV2":
        return "mobilenet_v2_035" if arguments.get("alpha") == 0.35 else "mobilenet_v2"
    return {
        "Autoencoder2006": "autoencoder_2006",
        "AutoencoderConv": "autoencoder_conv",
        "LeNet5": "lenet5",
        "LeNet5_1998": "lenet5_1998",
        "MLP": "mlp",
        "SNN": "snn",
        "SqueezeNetV1_0": "squeezenet_v1_0",
        "SqueezeNetV1_1": "squeezenet_v1_1",
        "RNNEncoderDecoder": "rnn_encdec",
        "GCN": "gcn_cora",
    }.get(builder, builder.lower())


def holds(builder, arguments, model):
    found = recognise(model)
    assert found is not None, f"{builder}({arguments}) is not recognised"
    variant, config = found
    # Graphs of a data set's sizes are that data set's; all others are alike.
    assert variant == variant_of(builder, arguments) or (builder == "GCN" and variant.startswith("gcn_"))
    assert config.name == model.name
    assert _recognise._plain(_recognise._module(family_of(variant)).build(config)) == _recognise._plain(model)
    known = {field.name for field in dataclasses.fields(config)}
    top = arguments.get("include_top", True)
    for name in known & arguments.keys():
        # What only the top has, or only a network without it, cannot be seen in the other.
        if (name != "classes" or top) and name not in ("pooling", "activation", "alpha"):
            assert getattr(config, name) == arguments[name], name
    if "classifier_activation" in arguments and top:
        assert config.activation == arguments["classifier_activation"]


def family_of(variant):
    from kerazoo import registry

    return registry.variants()[variant][0].__name__.rpartition(".")[2]


@pytest.mark.slow
@pytest.mark.parametrize("builder", BUILDERS)
def test_whatever_the_arguments(builder, tmp_path):
    strategies = {"weights": st.none()} | BUILDERS[builder]
    examples = 3 if builder in ("MobileNet", "ResNet20", "SqueezeNetV1_0", "SqueezeNetV1_1") else 6

    @settings(max_examples=examples, phases=[Phase.generate])
    @given(arguments=st.fixed_dictionaries(strategies))
    def check(arguments):
        keras.backend.clear_session()
        holds(builder, arguments, getattr(applications, builder)(**arguments))

    check()


@pytest.mark.parametrize("builder", ["LeNet5", "LeNet5_1998", "VAE", "MLP", "SpatialTransformer"])
def test_saved_and_renamed(builder, tmp_path):
    model = getattr(applications, builder)(weights=None, name="model_7")
    model.save(tmp_path / "mine.keras")
    again = keras.models.load_model(tmp_path / "mine.keras", compile=False)
    assert recognise(again) == recognise(model)
    again.name = "entirely_mine"
    variant, config = recognise(again)
    assert (variant, config.name) == (recognise(model)[0], "entirely_mine")


def test_sizes_that_would_fail_another_family_are_its_own():
    """Of one pixel, other networks with an encoder and a decoder cannot be built."""
    model = applications.VAE(weights=None, input_shape=(1, 1, 1), hidden=1, latents=1)
    variant, config = recognise(model)
    assert (variant, config.input_shape) == ("vae", (1, 1, 1))


def test_inputs_that_another_family_cannot_read_are_its_own():
    """Texts that an LSTM sorts have a layer of this name too, and a length besides."""
    assert recognise(applications.Word2Vec(weights=None, words=9, units=3))[0] == "word2vec_100"


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_paddings_are_told_apart(padding, monkeypatch):
    """Two variants with the same weights: only their settings differ."""
    from kerazoo.applications import unet

    variant = "unet" if padding == "valid" else "unet_same"
    small = {name: dataclasses.replace(each, config=each.small) for name, each in unet.VARIANTS.items()}
    built = {name: unet.build(each.config) for name, each in small.items()}
    monkeypatch.setattr(unet, "VARIANTS", small)
    monkeypatch.setattr(_recognise, "table", lambda: {name: _recognise.layers_of(m) for name, m in built.items()})
    assert recognise(unet.build(dataclasses.replace(small[variant].config, classes=3)))[0] == variant


def test_auxiliary_classifiers():
    model = applications.GoogLeNet(weights=None, aux=True, input_shape=(79, 79, 3), classes=4)
    variant, config = recognise(model)
    assert (variant, config.aux, config.classes) == ("googlenet", True, 4)


def test_models_of_others():
    inputs = keras.Input((32, 32, 3))
    outputs = keras.layers.Dense(3, name="predictions")(keras.layers.Flatten()(inputs))
    assert recognise(keras.Model(inputs, outputs, name="lenet5")) is None
    assert recognise(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="mlp")) is None
    assert recognise(keras.Sequential([keras.layers.Dense(2)])) is None
    assert recognise(keras.layers.Dense(2)) is None
    mine = applications.LeNet5(weights=None)
    longer = keras.Model(mine.input, keras.layers.Dense(2, name="more")(mine.output))
    assert recognise(longer) is None
    shorter = keras.Model(mine.input, mine.layers[2].output)
    assert recognise(shorter) is None


def test_a_changed_setting_is_no_builder_s(tmp_path):
    """The same layers with other strides, as somebody might change them in a saved file."""
    config = applications.LeNet5(weights=None).get_config()
    for layer in config["layers"]:
        if layer["class_name"] == "Conv2D":
            layer["config"]["padding"] = "same" if layer["config"]["padding"] == "valid" else "valid"
    try:
        changed = keras.Model.from_config(config)
    except ValueError:
        return
    assert recognise(changed) is None


@pytest.mark.slow
def test_keras_applications():
    """MobileNets have the same layers there as here; DenseNet is not among ours."""
    theirs = keras.applications.MobileNet(weights=None, alpha=0.25, input_shape=(64, 64, 3), classes=5)
    variant, config = recognise(theirs)
    assert (variant, config.classes, config.alpha, config.input_shape) == ("mobilenet_v1_025", 5, 0.25, (64, 64, 3))
    theirs = keras.applications.MobileNetV2(weights=None, alpha=0.35, input_shape=(64, 64, 3))
    assert recognise(theirs)[0] == "mobilenet_v2_035"
    assert recognise(keras.applications.DenseNet121(weights=None, input_shape=(64, 64, 3))) is None


def test_every_variant_has_its_layers():
    from kerazoo import registry

    assert sorted(_recognise.table()) == sorted(registry.variants())
