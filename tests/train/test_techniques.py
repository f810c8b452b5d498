"""What settings change of a network, and of what it learns from: by word, and as functions alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerazoo.train
from kerazoo import layers as own_layers
from kerazoo import own
from kerazoo.applications import lenet, resnet_cifar, snn
from kerazoo.errors import UsageError
from kerazoo.train import augment, losses
from kerazoo.train.distil import Distillation
from kerazoo.train.remodel import Remodelled, zero_gamma
from kerazoo.train.settings import RECIPES, Settings, chosen
from kerazoo.train.start import Network, find
from kerazoo.train.techniques import applied, disciplined, perceived
from tests.train.common import classifier, kinds


def lenet5() -> Any:
    return lenet.build(lenet.VARIANTS["lenet5"].config)


def pixels(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 32, 32, 1)).astype(np.float32)


@pytest.mark.parametrize(
    ("word", "function"),
    [
        ("selu", keras.activations.selu),
        ("swish", keras.activations.silu),
        ("tanh", keras.activations.tanh),
        ("scaled_tanh", own_layers.scaled_tanh),
    ],
)
def test_every_hidden_activation_becomes_another(word: str, function: Any, tmp_path: Path) -> None:
    made = Remodelled(lenet5, activation=word)()
    hidden = [made.get_layer(name).activation for name in ("conv1", "conv2", "dense1", "dense2")]
    assert hidden == [function] * 4
    assert made.get_layer("predictions").activation is keras.activations.linear
    assert made.count_params() == lenet5().count_params()
    made.save(tmp_path / "made.keras")
    again: Any = keras.saving.load_model(tmp_path / "made.keras")
    np.testing.assert_allclose(again(pixels()), made(pixels()), atol=1e-5)


def test_activations_that_are_layers_are_found_too() -> None:
    config = resnet_cifar.VARIANTS["resnet20"].config
    made = Remodelled(lambda: resnet_cifar.build(config), activation="swish")()
    assert not [layer for layer in made.layers if isinstance(layer, keras.layers.ReLU)]
    assert made.get_layer("stage1_block1_out").activation is keras.activations.silu


def test_what_was_learnt_is_kept() -> None:
    learnt = own.find("lenet5:mnist").build().keras
    for changes in ({"activation": "relu"}, {"dropout": 0.5}, {"activation": "selu", "fresh": False}):
        made = Remodelled(lambda: learnt, **changes)()  # type: ignore[arg-type]
        for one, other in zip(made.get_weights(), learnt.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(Remodelled(lambda: learnt, dropout=0.5)()(pixels()), learnt(pixels()), atol=1e-4)


def test_dropout_stands_before_the_last_layer_or_where_it_stood() -> None:
    made = Remodelled(lenet5, dropout=0.4)()
    names = [layer.name for layer in made.layers]
    assert names[-2:] == ["predictions_dropout", "predictions"]
    assert made.get_layer("predictions_dropout").rate == 0.4
    deep = Remodelled(lambda: snn.build(snn.VARIANTS["snn"].config), dropout=0.2)()
    found = [layer for layer in deep.layers if isinstance(layer, keras.layers.Dropout)]
    assert [layer.rate for layer in found] == [0.2] * 8
    alpha = Remodelled(lenet5, alpha_dropout=0.1)()
    assert isinstance(alpha.get_layer("predictions_dropout"), keras.layers.AlphaDropout)


def test_batch_normalisation_stands_between_a_layer_and_its_activation() -> None:
    made = Remodelled(lenet5, batch_norm=True, activation="tanh")()
    names = [layer.name for layer in made.layers]
    at = names.index("conv1")
    assert names[at : at + 4] == ["conv1", "conv1_norm", "conv1_activation", "pool1"]
    assert made.get_layer("conv1").activation is keras.activations.linear
    assert made.get_layer("conv1_activation").activation is keras.activations.tanh
    assert names[-1] == "predictions" and "predictions_norm" not in names
    # What is normalised already stays as it is.
    config = resnet_cifar.VARIANTS["resnet20"].config
    assert Remodelled(lambda: resnet_cifar.build(config), batch_norm=True)().count_params() == 271_098


def test_zero_gamma_makes_every_residual_branch_nothing_at_first() -> None:
    made = resnet_cifar.build(resnet_cifar.VARIANTS["resnet20"].config)
    done = zero_gamma(made)
    assert done == [f"stage{stage}_block{block}_2_bn" for stage in (1, 2, 3) for block in (1, 2, 3)]
    # Each block without a stride hands on what it got.
    parts = keras.Model(made.input, [made.get_layer(f"stage1_block{block}_out").output for block in (1, 3)])
    first, last = parts(np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32))
    np.testing.assert_array_equal(first, last)


def test_zero_gamma_leaves_shortcuts_alone_and_refuses_networks_without() -> None:
    layers = keras.layers
    inputs = keras.Input((8,))
    x = layers.BatchNormalization(name="inner")(layers.Dense(8, name="a")(inputs))
    x = layers.BatchNormalization(name="last")(layers.Dense(8, name="b")(x))
    shortcut = layers.BatchNormalization(name="shortcut")(layers.Dense(8, name="c")(inputs))
    assert zero_gamma(keras.Model(inputs, layers.Add(name="sum")([shortcut, x]))) == ["last"]
    with pytest.raises(UsageError, match="no residual branch of lenet5"):
        zero_gamma(lenet5())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"activation": "rely"}, r"activation=rely is not known(.|\n)*relu"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"dropout": 0.1, "alpha_dropout": 0.1}, "one of them"),
    ],
)
def test_changes_that_cannot_be_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Remodelled(lenet5, **changes)


def test_distillation_is_the_papers_sum() -> None:
    rng = np.random.default_rng(0)
    logits, teacher = rng.normal(size=(2, 5, 4)).astype(np.float32)
    labels = np.array([0, 1, 2, 3, 0])

    def softmax(values: np.ndarray) -> np.ndarray:
        return np.exp(values) / np.exp(values).sum(1, keepdims=True)

    hard = -np.log(softmax(logits)[np.arange(5), labels])
    soft = -(softmax(teacher / 20) * np.log(softmax(logits / 20))).sum(1)
    found = Distillation(losses.cross_entropy)(tf.constant(labels), tf.constant(logits), tf.constant(teacher))
    np.testing.assert_allclose(np.asarray(found), hard + 400 * soft, rtol=1e-4)


def digits() -> Any:
    """A recipe of LeNet-5 on a few noisy digits, as `kerazoo train` makes it."""
    rng = np.random.default_rng(0)
    from kerazoo.train.data.arrays import Arrays

    pictures, labels = rng.integers(0, 256, (16, 32, 32, 1)).astype(np.uint8), rng.integers(0, 10, 16)
    start = find("lenet5")
    return classifier(model=Network(start, start.config), data=Arrays((pictures, labels)), augment=None), labels


def test_a_teacher_must_know_the_same_classes_and_pictures() -> None:
    recipe, labels = digits()
    with pytest.raises(UsageError, match=r"teacher=resnet20:cifar10(.|\n)*\(32, 32, 3\)(.|\n)*\(32, 32, 1\)"):
        applied(recipe, Settings(teacher="resnet20:cifar10"), labels, 10)
    with pytest.raises(UsageError, match="here are 4 classes"):
        applied(recipe, Settings(teacher="lenet5:mnist"), labels, 4)


def test_what_a_teacher_says_is_learnt(tmp_path: Path) -> None:
    from dataclasses import replace

    from kerazoo.train.run import run

    recipe, labels = digits()
    teacher = own.find("lenet5:mnist").build()
    made = replace(applied(recipe, Settings(teacher="lenet5:mnist"), labels, 10), epochs=12)
    inputs = teacher.normalise(tf.cast(recipe.data.arrays[0], tf.float32))  # type: ignore[misc]
    truth = np.asarray(teacher.keras(inputs)).argmax(1)
    student = run(made, tmp_path / "out", say=print).state.model
    # At this temperature the labels, which are noise, hardly count.
    got = np.asarray(student(tf.cast(recipe.data.arrays[0], tf.float32), training=False)).argmax(1)
    assert (got == truth).mean() > (got == labels).mean()
    assert made.identity != replace(recipe, epochs=12).identity


def test_nothing_set_is_the_same_recipe() -> None:
    recipe, labels = digits()
    assert applied(recipe, Settings(), labels, 10).identity == recipe.identity


def test_a_network_with_a_loss_of_its_own_keeps_it() -> None:
    from dataclasses import replace

    recipe, labels = digits()
    recipe = replace(recipe, step=losses.with_loss(recipe.step, lambda _: losses.of_probabilities))
    assert applied(recipe, Settings(dropout=0.1), labels, 10).step is recipe.step
    for settings in (Settings(loss="mse"), Settings(smoothing=0.1), Settings(balance="weights"), Settings(mixup=0.2)):
        with pytest.raises(UsageError, match="end in logits"):
            applied(recipe, settings, labels, 10)


def test_a_perceptual_loss_is_named_by_model_and_layers() -> None:
    loss = perceived("lenet5:mnist/conv1+conv2", white=1.0)
    same = tf.constant(np.random.default_rng(0).random((2, 16, 16, 1)), tf.float32)
    assert float(loss(same, same)) == 0 and float(loss(same, same * 0.5)) > 0
    assert classifier(step=losses.with_loss(classifier().step, lambda _: loss)).identity != classifier().identity
    for word, told in (("lenet5:mnist/conv9", "no layer 'conv9'"), ("lenet5:mnist", "MODEL/LAYER")):
        with pytest.raises(UsageError, match=told):
            perceived(word)


def test_what_is_for_other_tasks_is_refused_before_data_is_read(tmp_path: Path) -> None:
    for model, settings, told in (
        ("espcn_x2", {"balance": "over"}, "classifiers"),
        ("vae", {"loss": "mae"}, "classifiers"),
        ("lenet5", {"features": "lenet5:mnist/conv1"}, "larger pictures"),
    ):
        with pytest.raises(UsageError, match=told):
            kerazoo.train(model, tmp_path / "nothing", tmp_path / "out", settings=settings)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("zero_gamma", "maybe", "neither true nor false"),
        ("smoothing", "1.5", "out of range"),
        ("dropout", "-0.1", "out of range"),
        ("balance", "ower", "balance=ower"),
        ("schedule", "cosin", "cosine"),
        ("augment", "crops+colr", "colour"),
        ("loss", "mce", "loss=mce"),
    ],
)
def test_words_and_numbers_that_do_not_fit_are_refused(name: str, text: str, told: str) -> None:
    recipe, labels = digits()
    with pytest.raises(UsageError, match=told):
        settings = chosen("scratch", {name: text})
        settings.made()
        assert settings.augmented is not None
        applied(recipe, settings, labels, 10)


def test_what_is_set_arrives() -> None:
    settings = chosen(
        "tricks", {"decay_all": "yes", "nesterov": "false", "temperature": "4", "augment": "crops+colour"}
    )
    assert (settings.decay_all, settings.nesterov, settings.temperature) == (True, False, 4.0)
    assert settings.made()[0].spared == ()
    assert settings.augmented == augment.Chain((augment.shifted, augment.coloured))
    assert {"scratch", "finetune", "digits", "cifar", "tricks"} <= RECIPES.keys()


def test_everything_at_once_from_the_command_line_of_python(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), (30, 12, 12))
    shapes = rng.integers(0, 256, (3, 28, 28), np.uint8)
    np.savez(tmp_path / "shapes.npz", x_train=shapes[labels], y_train=labels)
    settings = {
        "schedule": "one_cycle", "optimizer": "sgd", "rate": 0.05, "batch": 9, "mixup": 0.2, "smoothing": 0.1,
        "balance": "over", "dropout": 0.1, "batch_norm": True, "activation": "swish", "augment": "mirror+cutout",
    }  # fmt: skip
    done = kerazoo.train("lenet5", tmp_path / "shapes.npz", tmp_path / "out", epochs=4, settings=settings)  # type: ignore[operator]
    assert {"val_accuracy", "val_auc"} <= done.figures.keys()
    made = own.find(done.path).build()
    assert "conv1_norm" in {layer.name for layer in made.keras.layers}
    assert len(made.task.labels) == 3  # type: ignore[attr-defined]


def test_augmentations_of_a_batch_leave_labels_alone_and_are_the_generators() -> None:
    pictures, labels = kinds(8).arrays
    rgb = np.repeat(pictures, 3, axis=3)
    for change in (augment.coloured, augment.holed, augment.Chain((augment.mirrored, augment.holed))):
        first, second = (change((rgb, labels), np.random.default_rng(1), 0) for _ in range(2))
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], labels)
        assert first[0].shape == rgb.shape and first[0].min() >= 0 and first[0].max() <= 255
        assert not np.array_equal(first[0], rgb)


@pytest.mark.slow
def test_a_range_test_sets_the_one_cycle_and_a_training_goes_on_with_it(tmp_path: Path) -> None:
    from kerazoo.train.run import run
    from kerazoo.train.schedules import Optimizer

    pytest.importorskip("kerazoo.train.find_rate")
    recipe = classifier(optimizer=Optimizer("sgd", settings={"momentum": 0.9}), epochs=2)
    straight = run(disciplined(recipe), tmp_path / "straight", say=print).state
    schedule = disciplined(recipe).schedule
    assert 1e-5 < schedule.peak <= 1  # type: ignore[attr-defined]
    assert type(straight.optimizers["model"]).__name__ == "CycledSGD"
    rates = [float(schedule.rate(10, 1)(step)) for step in range(10)]
    assert max(rates) == pytest.approx(schedule.peak, rel=0.3)  # type: ignore[attr-defined]

    def cut(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(disciplined(recipe), tmp_path / "cut", say=cut)
    again = run(disciplined(recipe), tmp_path / "cut", say=print).state
    assert disciplined(recipe).identity == disciplined(recipe).identity != recipe.identity
    for one, other in zip(straight.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_larger_pictures_are_learnt_by_what_another_network_sees(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for number in range(5):
        coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
        coarse.resize((72, 72), Image.Resampling.BICUBIC).save(tmp_path / "pictures" / f"{number}.png")
    settings = {"features": "lenet5:mnist/conv1", "batch": 4, "schedule": "constant"}
    done = kerazoo.train(  # type: ignore[operator]
        "espcn_x2", tmp_path / "pictures", tmp_path / "out", epochs=3, settings=settings, validation=0
    )
    assert done.history[-1]["loss"] < done.history[0]["loss"]
    # The pixels' own difference is but a part of the loss.
    assert done.figures["loss"] > 10 ** (-done.figures["psnr"] / 10)
