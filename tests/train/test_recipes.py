"""Each recipe runs from its command to weights that load; on a handful of samples, for an epoch or two."""

from __future__ import annotations

import importlib.util
import io
import os
import sys
import tarfile
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kerazoo import manifest, registry
from kerazoo.codecs.image import from_preprocessing
from kerazoo.train import product, script
from kerazoo.weights import npz
from tests.applications.common import DATA_ENV, needs_data

RECIPES = Path(__file__).parents[2] / "recipes"

CLASSIFIERS = ("lenet5_mnist", "lenet5_1998_mnist", "mlp_mnist", "snn_mnist", "neural_fabric_mnist", "resnet20_cifar10")
OTHERS = (
    "autoencoder_mnist", "stn_mnist_rts", "vae_mnist", "unet_membrane", "espcn_t91", "gcn_planetoid", "gan_mnist",
    "rnn_encdec_multi30k", "attention_bahdanau_multi30k", "transformer_multi30k", "char_lstm_tinyshakespeare",
    "captioner_scenes", "words_5m", "nvae_mnist", "visual_semantic_scenes", "char_seq2seq_fra_eng",
)  # fmt: skip
COMMANDS = ("yolov3_bccd",)
"""Those that are `kerazoo train` with settings, which takes the model's own preprocessing."""


def _recipe(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # Where a dataclass looks for its own annotations.
    spec.loader.exec_module(module)
    return module


def _pictures(path: Path, shape: tuple[int, ...]) -> Path:
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 32), ("test", 8)):
        arrays[f"x_{split}"] = rng.integers(0, 256, (count, *shape), np.uint8)
        arrays[f"y_{split}"] = rng.integers(0, 10, count, np.uint8)
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def _archive(path: Path, files: dict[str, np.ndarray]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, pixels in files.items():
            data = io.BytesIO()
            Image.fromarray(pixels).save(data, "PNG")
            member = tarfile.TarInfo(name)
            member.size = data.tell()
            archive.addfile(member, io.BytesIO(data.getvalue()))
    return path


def _source(name: str, folder: Path) -> Path:
    rng = np.random.default_rng(1)
    if name == "unet_membrane":
        kinds = {kind: rng.integers(0, 2, (30, 256, 256)).astype(np.uint8) * 255 for kind in ("image", "label")}
        names = {f"data/membrane/train/{kind}/{n}.png": kinds[kind][n] for kind in kinds for n in range(30)}
        return _archive(folder / "membrane.tar", names)
    if name == "espcn_t91":
        names = {f"{kind}/{n}.png": (80, 90, 3) for kind in ("T91", "Set5") for n in range(2)}
        return _archive(
            folder / "sr.tar", {n: rng.integers(0, 256, shape).astype(np.uint8) for n, shape in names.items()}
        )
    if name == "gcn_planetoid":
        config = registry.variants()["gcn_cora"][1].config
        arrays = {
            "features": np.eye(20, config.features, dtype=np.float32),
            "edges": np.stack([np.arange(19), np.arange(1, 20)], 1),
            "labels": np.append(np.arange(19) % config.classes, -1),
            "train_idx": np.arange(10),
            "val_idx": np.arange(10, 14),
            "test_idx": np.arange(14, 19),
        }
        np.savez(folder / "cora.npz", **arrays)  # type: ignore[arg-type]
        return folder / "cora.npz"
    return _pictures(folder / "data.npz", (32, 32, 3) if "cifar" in name else (28, 28))


def _run(monkeypatch: pytest.MonkeyPatch, recipe: Any, name: str, *arguments: str) -> None:
    """As `python recipes/NAME.py ARGUMENTS` does: what stands under `__main__`, with these arguments."""
    with monkeypatch.context() as patched:
        patched.setattr(sys, "argv", [f"{name}.py", *arguments])
        text = (RECIPES / f"{name}.py").read_text(encoding="utf-8")
        last = text.partition('if __name__ == "__main__":\n')[2]
        exec(textwrap.dedent(last), vars(recipe))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small batches, and few of them."""
    from dataclasses import replace

    run = script.run

    def quick(recipe: Any, *arguments: Any, **options: Any) -> Any:
        changes: dict[str, Any] = {"batch": min(recipe.batch, 16)}
        if hasattr(recipe.data, "times"):
            changes["data"] = replace(recipe.data, times=4)
        return run(replace(recipe, **changes), *arguments, **options)

    monkeypatch.setattr(script, "run", quick)
    return


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CLASSIFIERS, "stn_mnist_rts", "vae_mnist", "espcn_t91", "gcn_planetoid"])
def test_a_recipe_runs_from_its_command_to_weights_that_load(
    name: str,
    tmp_path: Path,
    short: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe, source, out = _recipe(name), _source(name, tmp_path), tmp_path / "out"
    _run(monkeypatch, recipe, name, str(source), str(out), "--epochs", "1")
    said = capsys.readouterr().out
    assert "epoch 1/1 " in said
    opened = getattr(recipe, "opened", lambda path: np.load(path, allow_pickle=False))
    word = recipe.recipe(opened(source)).name
    file = out / f"{word.replace(':', '_')}.npz"
    variant = word.partition(":")[0]
    assert registry.build(f"{variant}:{file}").keras.count_params() == registry.variants()[variant][1].params
    assert (out / "model.keras").exists()
    # The same command goes on: there is a second epoch, and no first again.
    _run(monkeypatch, recipe, name, str(source), str(out), "--epochs", "2")
    second = capsys.readouterr().out
    assert "epoch 2/2 " in second and "epoch 1/2 " not in second
    figure = second.splitlines()[-1]
    _run(monkeypatch, recipe, name, str(source), str(file), "--measure")
    assert capsys.readouterr().out.splitlines()[-1] == figure


def test_every_shipped_weight_file_has_its_recipe() -> None:
    """The manifest names the file, and the recipe names the entry and learns from what `predict` will show."""
    own = [entry for entry in manifest.load().values() if entry.recipe]
    assert {Path(str(entry.recipe)).stem for entry in own} <= {*CLASSIFIERS, *OTHERS, *COMMANDS}
    for entry in own:
        text = (RECIPES / Path(str(entry.recipe)).name).read_text()
        assert f"Trains `{entry.name.partition(':')[0][:4]}" in text
        if entry.preprocessing and Path(str(entry.recipe)).stem not in COMMANDS:
            recipe = _recipe(Path(str(entry.recipe)).stem)
            image, normalise = from_preprocessing(entry.preprocessing)
            assert normalise == recipe.NORMALISE
            if hasattr(recipe, "FIT"):
                assert image == recipe.FIT


def test_the_recipe_of_word_vectors_leaves_out_what_is_shared_alike(tmp_path: Path) -> None:
    recipe = _recipe("words_5m")
    (tmp_path / "text.txt").write_text(
        ("The cat's mat, 1990 .\n" * 5).rstrip() + "\n\nwiki pages\n\n" + "dog\ncat\n" * 5
    )
    data = recipe.opened(tmp_path / "text.txt")
    assert sorted(data["words"]) == ["1990", "cat", "cat'", "dog", "mat", "s", "the"]
    assert len(data["sentences"]) == 5 and recipe.recipe(data).model().count_params() == 7 * 50


def test_the_recipe_of_characters_holds_out_the_last_and_longest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = _recipe("char_seq2seq_fra_eng")
    monkeypatch.setattr(recipe, "LINES", 5)
    monkeypatch.setattr(recipe, "LEARNT", 4)
    with zipfile.ZipFile(tmp_path / "pairs.zip", "w") as archive:
        archive.writestr("fra.txt", "Go.\tVa !\n" * 4 + "Go on.\tContinue !\nbehind all\td'accord\n")
    made = recipe.recipe(recipe.opened(tmp_path / "pairs.zip"))
    assert (len(made.data), len(made.measure.pairs)) == (4, 1)
    # Characters and lengths are of all five: "Go n." and "Va !Continue", tab and line break.
    assert made.model().output_shape == (None, 12, 13) and made.model().input_shape[0] == (None, 6)


def test_the_recipe_of_a_singing_voice_mixes_what_it_takes_apart(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    rng, recipe = np.random.default_rng(0), _recipe("singing_voice_mir1k")
    with tarfile.open(tmp_path / "songs.tar", "w") as archive:
        for name in ("train/a.flac", "train/b.flac", "test/c.flac"):
            file = io.BytesIO()
            soundfile.write(file, rng.uniform(-0.5, 0.5, (16_000, 2)) * [1.0, 0.1], 16_000, format="FLAC")
            member = tarfile.TarInfo(name)
            member.size = len(file.getvalue())
            archive.addfile(member, io.BytesIO(file.getvalue()))
    data = recipe.opened(tmp_path / "songs.tar")
    assert [len(data[part]) for part in ("train", "test")] == [2, 1] and len(data["test"][0][0]) == 8192
    assert np.mean(data["test"][0][0] ** 2) == pytest.approx(np.mean(data["test"][0][1] ** 2), rel=1e-3)
    mixture, known = recipe.recipe(data).augment((np.arange(3),), rng, 0)
    assert mixture.shape == (3, 128, 513, 1) and known.shape == (3, 128, 513, 2)
    np.testing.assert_allclose(known[..., 1].max((1, 2)), 1, rtol=1e-6)
    np.testing.assert_allclose(known[..., 1:], mixture / mixture.max((1, 2), keepdims=True), rtol=1e-5)
    right = known[..., :1] / known[..., 1:]
    assert float(recipe.apart(known, right)) < 1e-6 < float(recipe.apart(known, np.ones_like(right)))


@pytest.mark.slow
def test_the_recipe_behind_bert_learns_what_the_whole_network_will_say() -> None:
    recipe, config = _recipe("bert_nmt_multi30k"), registry.variants()["bert_nmt_frozen"][1].small
    whole, behind = recipe.bert_nmt.build(config), recipe.build(config)
    known = {variable.path: variable for variable in whole.weights}
    for variable in behind.weights:
        variable.assign(known[variable.path])
    source = np.array([[2, 9, 7, 3, 0, 0, 0, 0], [2, 8, 3, 0, 0, 0, 0, 0]], np.int32)
    said = np.asarray(whole.get_layer("bert")(source))
    vectors = recipe.Vectors(source, np.concatenate([said[0, :4], said[1, :3]]))
    before = np.array([[2, 5, 6], [2, 4, 4]], np.int32)
    # In another order, and padded to another length.
    turned, *_ = vectors.batch((source[::-1, :5], before[::-1], before), np.random.default_rng(0), 0)
    assert turned.shape == (2, 5, config.bert.units) and not turned[0, 3:].any()
    logits = behind([vectors(source), before])["logits"]
    np.testing.assert_allclose(logits, whole([source, before])["logits"], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(turned[1, :4], said[0, :4])


@pytest.mark.slow
def test_the_recipe_of_an_adversarial_pair_draws_shows_and_measures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, rng = _recipe("gan_mnist"), np.random.default_rng(0)
    np.savez(
        tmp_path / "x.npz", **{f"x_{part}": rng.integers(0, 256, (n, 28, 28), np.uint8) for part, n in
                               (("train", 128), ("test", 200))},
    )  # fmt: skip
    recipe.main([str(tmp_path / "x.npz"), str(tmp_path / "out"), "--epochs=1"])
    assert "Frechet distance" in capsys.readouterr().out
    kept = npz.read(tmp_path / "out" / "dcgan_28_mnist.npz")
    assert all(not name.startswith(("down", "real")) for name in kept) and "up1/kernel" in kept
    assert (tmp_path / "out" / "samples" / "0001.png").exists()


@needs_data
@pytest.mark.slow
def test_the_recipe_of_a_style_paints(tmp_path: Path) -> None:
    data = Path(os.environ[DATA_ENV])
    for number in range(2):
        rng = np.random.default_rng(number)
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (140, 150, 3), np.uint8)).save(tmp_path / "photos" / f"{number}.png")
    _recipe("style").main(
        [str(tmp_path / "photos"), str(tmp_path / "out"), "--style", str(tmp_path / "photos" / "0.png"), "--steps=20",
         "--features", str(data / "weights" / "vgg19_normalised_to_relu3_1.pth")]
    )  # fmt: skip
    losses = [float(row.split(",")[1]) for row in (tmp_path / "out" / "log.csv").read_text().splitlines()[1:]]
    assert np.isfinite(losses).all() and (tmp_path / "out" / "model.keras").exists()


def test_the_membrane_recipe_learns_and_measures(tmp_path: Path) -> None:
    recipe = _recipe("unet_membrane")
    data = recipe.opened(_source("unet_membrane", tmp_path))
    made = recipe.recipe(data)
    assert len(made.data) == 24 * 4
    rng = np.random.default_rng(0)
    pictures, masks = made.augment(made.data.batch(np.arange(2), rng), rng, 0)
    assert pictures.shape == (2, 256, 256, 1) and masks.shape == (2, 256, 256)
    # Picture and mask are cut and turned alike.
    data["label"] = (data["image"] > 127).astype(np.uint8)
    made = recipe.recipe(data)
    pictures, masks = made.augment(made.data.batch(np.arange(2), rng), rng, 0)
    assert np.array_equal(pictures[..., 0] > 127, masks == 1)


def test_pieces_of_two_sizes_show_the_same(tmp_path: Path) -> None:
    recipe = _recipe("espcn_t91")
    data = recipe.opened(_source("espcn_t91", tmp_path))
    for scale in (2, 3, 4):
        made = recipe.recipe(data, scale)
        side = 48 // scale
        # Pieces of one picture whose large pixels hold the number of the small pixel that they belong to.
        small = np.arange(40 * 50).reshape(40, 50, 1)
        from dataclasses import replace

        large = small.repeat(scale, 0).repeat(scale, 1)
        pieces = replace(made.data, small=(small,), large=(large,))
        few, many = pieces.batch(np.arange(3), np.random.default_rng(0))
        assert few.shape == (3, side + 8, side + 8, 1) and many.shape == (3, 48, 48, 1)
        assert np.array_equal(few[:, 4:-4, 4:-4].repeat(scale, 1).repeat(scale, 2), many)


def test_first_weights_of_super_resolution_interpolate(tmp_path: Path) -> None:
    """What carries the picture gives a slope back as a slope."""
    recipe = _recipe("espcn_t91")
    for scale in (2, 3, 4):
        model = recipe.network(scale)
        third = model.layers[3].kernel.numpy()
        third[:, :, 1:] = 0
        model.layers[3].kernel.assign(third)
        slope = np.tile(np.linspace(0.2, 0.8, 20, dtype=np.float32), (20, 1))[None, ..., None]
        drawn = np.asarray(model(slope))[0, 10 * scale, 5 * scale : -5 * scale, 0]
        np.testing.assert_allclose(np.diff(drawn), 0.6 / 19 / scale, rtol=0.1)


def test_half_precision_is_read_back_as_numbers_of_full_width(tmp_path: Path) -> None:
    model = registry.build("lenet5:mnist").keras
    before = model.get_weights()
    path = product.half(model, tmp_path / "half.npz")
    assert {array.dtype for array in npz.read(path).values()} == {np.dtype(np.float16)}
    after = registry.build(f"lenet5:{path}").keras
    for one, other in zip(before, after.get_weights(), strict=True):
        assert other.dtype == np.float32
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-6)
    # What float16 cannot hold stays as it is.
    model.layers[1].bias.assign(np.full(6, 1e6, np.float32))
    kept = npz.read(product.half(model, tmp_path / "large.npz"))
    assert kept["conv1/bias"].dtype == np.float32 and kept["conv1/bias"][0] == 1e6


@pytest.mark.slow
def test_stn_writes_its_test_digits_and_draws_them(tmp_path: Path) -> None:
    from kerazoo.sources import labelled

    recipe = _recipe("stn_mnist_rts")
    data, digits = _pictures(tmp_path / "mnist.npz", (28, 28)), tmp_path / "rts.npz"
    recipe.main([str(data), "--test-set", str(digits)])
    samples = labelled.pictures(digits, tuple("0123456789"))
    picture = samples[0].item
    assert (len(samples), picture.shape, picture.dtype) == (8, (42, 42), np.uint8)
    assert picture.any()
    assert samples[0].truth == np.load(data)["y_test"][0]
    # Whoever writes them has the same ones.
    first = digits.read_bytes()
    recipe.main([str(data), "--test-set", str(digits)])
    assert digits.read_bytes() == first
    recipe.main([str(data), "--picture", str(tmp_path / "seen.png")])
    with Image.open(tmp_path / "seen.png") as drawn:
        assert drawn.size == (8 * 42, 2 * 42)
