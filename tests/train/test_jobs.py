"""`kerazoo train` for what is no classifier: from a source of its own kind to a model that answers."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kerazoo import cli, own, registry
from kerazoo.engines import card as card_
from kerazoo.errors import InputError, UsageError
from kerazoo.train import fit
from kerazoo.train.augment import mirrored
from kerazoo.train.data import masks, parallel, pictures
from kerazoo.train.jobs import alike, redraw

KINDS = ("segment", "redraw", "sample", "nodes", "translate")
GERMAN, ENGLISH = ["eins", "zwei", "drei", "vier"], ["one", "two", "three", "four"]


def disc(rng: np.random.Generator, side: int) -> tuple[np.ndarray, np.ndarray]:
    """A light disc on dark ground, and where it is."""
    y, x = np.mgrid[0:side, 0:side]
    inside = np.hypot(*(axis - rng.integers(side // 4, side * 3 // 4) for axis in (y, x))) < side / 5
    return np.clip(inside * 150 + 50 + rng.normal(0, 10, (side, side)), 0, 255).astype(np.uint8), inside


def waves(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    light = 128 + 90 * np.sin(x / rng.uniform(3, 6)) * np.cos(y / rng.uniform(3, 6))
    return np.clip(light[..., None] + np.array([0, 10, 20]), 0, 255).astype(np.uint8)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def source(kind: str, folder: Path, count: int = 12, seed: int = 0) -> tuple[str, ...]:
    """What `--data` gets, once or twice."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "segment":
        for number in range(count):
            picture, inside = disc(rng, 60 + 3 * number)
            save(folder / "images" / f"{number}.{'png' if number % 2 else 'webp'}", picture)
            save(folder / "masks" / f"{number}.png", inside.astype(np.uint8) * 255)
        (folder / "classes.txt").write_text("ground\ndisc\n")
    elif kind == "redraw":
        for number in range(count):
            save(folder / f"{number}.png", waves(rng, 80 + number, 90))
    elif kind == "sample":
        digits = np.stack([disc(rng, 28)[0] for _ in range(count * 8)])
        np.savez(folder / "discs.npz", x_train=digits)
        return (str(folder / "discs.npz"),)
    elif kind == "nodes":
        labels = np.arange(60) % 3
        features = np.eye(3, 12)[labels] + rng.random((60, 12)) * 0.2
        edges = np.stack([np.arange(60), (np.arange(60) + 3) % 60], 1)
        np.savez(folder / "graph.npz", features=features, edges=edges, labels=labels)
        return (str(folder / "graph.npz"),)
    else:
        # All of a length: for each the network would be traced anew.
        rows = [rng.integers(0, 4, 3) for _ in range(count * 10)]
        for language, words in (("de", GERMAN), ("en", ENGLISH)):
            text = "".join(" ".join(words[number] for number in row) + "\n" for row in rows)
            (folder / f"numbers.{language}").write_text(text)
        return tuple(str(folder / f"numbers.{language}") for language in ("de", "en"))
    return (str(folder),)


MODELS = {
    "segment": ("unet_slim", "size=32", "rate=0.01", "batch=4"),
    "redraw": ("espcn_x2", "batch=8"),
    "sample": ("vae", "batch=8"),
    "nodes": ("gcn_cora",),
    "translate": ("rnn_encdec", "rate=0.02", "batch=16", "length=4"),
}
EPOCHS = {"segment": 8, "redraw": 12, "sample": 10, "nodes": 60, "translate": 15}


@pytest.fixture(scope="module")
def small() -> Any:
    """A translator whose layers are small."""
    family, described = registry.variants()["rnn_encdec"]
    with pytest.MonkeyPatch.context() as patched:
        changed = replace(described, config=replace(described.small, length=30))
        patched.setitem(registry.variants(), "rnn_encdec", (family, changed))
        yield


def train(kind: str, data: tuple[str, ...], out: Path, *more: str, model: Any = None) -> int:
    word, *settings = MODELS[kind]
    sources = [part for each in data for part in ("--data", each)]
    changes = [f"--set={each}" for each in settings]
    return cli.run(["train", str(model or word), *sources, "-o", str(out), *changes, *more])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, small: Any) -> Any:
    """Kind -> folder of a training, and its source; each is made once."""
    made: dict[str, tuple[Path, tuple[str, ...]]] = {}

    def of(kind: str) -> tuple[Path, tuple[str, ...]]:
        if kind not in made:
            root = tmp_path_factory.mktemp(kind)
            data = source(kind, root / "data")
            assert train(kind, data, root / "out", f"--epochs={EPOCHS[kind]}", "--seed=1") == 0
            made[kind] = root / "out", data
        return made[kind]

    return of


def asked(kind: str, data: tuple[str, ...], folder: Path) -> list[str]:
    """What `kerazoo predict` is asked."""
    rng = np.random.default_rng(9)
    return {
        "segment": lambda: [str(save(folder / "new.png", disc(rng, 70)[0]))],
        "redraw": lambda: [str(save(folder / "new.png", waves(rng, 40, 50)))],
        "sample": lambda: ["--seed=3"],
        "nodes": lambda: [data[0]],
        "translate": lambda: ["drei vier eins"],
    }[kind]()


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow if kind in ("segment", "translate") else ()) for kind in KINDS]
)
def test_a_source_becomes_a_model_that_answers(
    kind: str, trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, data = trained(kind)
    rows = (out / "log.csv").read_text().splitlines()
    losses = [float(row.split(",")[rows[0].split(",").index("loss")]) for row in rows[1:]]
    assert losses[-1] < 0.9 * losses[0], "it did not learn"
    assert any(name.startswith("val_") for name in rows[0].split(","))
    card = card_.of_archive(out / "model.keras")
    assert card.task.kind == kind
    assert card.training["held out"] > 0 and card.training["seed"] == 1
    assert all(np.isfinite(value) for value in card.metrics.values())
    capsys.readouterr()
    answer = tmp_path / "answer"
    more = ["-o", str(answer)] if kind in ("segment", "redraw", "sample") else []
    model = ["-m", str(out / "model.keras"), "--engine=keras", "--json"]
    assert cli.run(["predict", *model, *asked(kind, data, tmp_path), *more]) == 0
    row = json.loads(capsys.readouterr().out)
    if kind == "segment":
        assert row["share"].keys() == {"ground", "disc"}
        guess = opened(answer / "mask.png")
        assert guess.shape == (70, 70) and card.metrics["val_iou"] > 0.6
        _, inside = disc(np.random.default_rng(9), 70)
        assert np.mean((guess == 1) == inside) > 0.85
    elif kind == "redraw":
        assert row["size"] == [80, 100] and card.metrics["val_psnr"] > 20
    elif kind == "sample":
        assert opened(answer).shape == (28, 28)
    elif kind == "nodes":
        assert len(row["nodes"]) == 60 and card.metrics["val_accuracy"] > 0.8
    else:
        assert set(row["text"].split()) <= set(ENGLISH) and card.metrics["val_perplexity"] < 4


def test_an_autoencoder_learns_to_take_noise_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data,) = source("sample", tmp_path / "data")
    made = fit.train("autoencoder_denoising", data, tmp_path / "out", epochs=6, settings={"batch": 8}, seed=1)
    card = card_.of_archive(made.path)
    assert card.task.kind == "redraw" and card.task.noise == 0.4 and list(card.tasks) == ["redraw", "embed"]
    assert card.training["held out"] > 0 and card.metrics["val_loss"] < made.history[0]["val_loss"]
    picture = str(save(tmp_path / "new.png", disc(np.random.default_rng(9), 50)[0]))
    capsys.readouterr()
    asked = ["predict", picture, "-m", str(made.path), "--engine=keras", "--json"]
    assert cli.run([*asked, "--task=embed"]) == 0
    assert len(json.loads(capsys.readouterr().out)["vector"]) == 7 * 7 * 32
    assert cli.run([*asked, "-o", str(tmp_path / "drawn.png")]) == 0
    assert opened(tmp_path / "drawn.png").shape == (28, 28)
    assert cli.run([*asked, "--task=embed", "-o", str(tmp_path / "vector.npy")]) == 0
    assert np.load(tmp_path / "vector.npy").shape == (7 * 7 * 32,)


def test_an_adversarial_pair_learns_and_shows_what_it_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data,) = source("sample", tmp_path / "data")
    out = tmp_path / "out"
    options: dict[str, Any] = {"settings": {"batch": 16}, "seed": 1, "say": lambda line: None}
    made = fit.train("gan_mlp", data, out, epochs=2, **options)
    assert [path.name for path in sorted((out / "samples").iterdir())] == ["0001.png", "0002.png"]
    grids = [opened(path) for path in sorted((out / "samples").iterdir())]
    assert grids[0].shape == (8 * 28, 8 * 28) and not np.array_equal(*grids)
    assert {"loss", "apart", "generator"} <= made.figures.keys()
    assert cli.run(["predict", "--seed=0", "-m", str(made.path), "--engine=keras", "-o", str(tmp_path / "0.png")]) == 0
    # The grid's first is what the kept model draws of the same seed.
    assert np.abs(opened(tmp_path / "0.png").astype(int) - grids[1][:28, :28]).max() <= 1
    again = fit.train(
        "gan_mlp", data, out, epochs=3, settings={"batch": 16}, seed=1, resume=True, say=lambda line: None
    )
    assert len(again.history) == 3 and again.history[:2] == made.history
    with pytest.raises(UsageError, match="learn against each other"):
        fit.train("gan_mlp", data, tmp_path / "no", freeze="body", **options)
    for held in (0.1, data):
        with pytest.raises(UsageError, match="--validation: gan_mlp learns to draw.*\n.*kerazoo evaluate"):
            fit.train("gan_mlp", data, tmp_path / "no", validation=held, **options)
    assert not (tmp_path / "no").exists()


def test_a_conditional_pair_learns_the_names_of_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng, out = np.random.default_rng(0), tmp_path / "out"
    for name, grey in (("dark", 20), ("light", 230)):
        for number in range(8):
            save(tmp_path / "data" / name / f"{number}.png", rng.integers(grey - 20, grey + 20, (30, 34), np.uint8))
    options: dict[str, Any] = {"settings": {"batch": 8}, "seed": 1, "say": lambda line: None}
    made = fit.train("cgan_mlp", tmp_path / "data", out, epochs=1, **options)
    card = card_.of_archive(made.path)
    assert card.task.labels == ("dark", "light") and card.training["pictures"] == 16
    asked = ["predict", "-m", str(made.path), "--engine=keras", "-o", str(tmp_path / "drawn.png")]
    assert cli.run([*asked, "--label=light"]) == 0
    capsys.readouterr()
    assert cli.run([*asked, "--label=grey"]) == 2
    assert "there are dark, light" in capsys.readouterr().err
    (data,) = source("sample", tmp_path / "alone")
    with pytest.raises(UsageError, match="y_train"):
        fit.train("cgan_mlp", data, tmp_path / "no", epochs=1, **options)


@pytest.mark.slow
def test_a_model_of_ones_own_goes_on_with_other_classes_and_a_frozen_body(trained: Any, tmp_path: Path) -> None:
    out, _ = trained("segment")
    rng = np.random.default_rng(2)
    x, y = zip(*(disc(rng, 48) for _ in range(6)), strict=True)
    three = np.stack(y).astype(np.uint8) * 2
    three[:, :4] = 1
    three[:, -4:] = 255
    np.savez(tmp_path / "three.npz", x=np.stack(x), y=three)
    made = fit.train(
        out / "model.keras", tmp_path / "three.npz", tmp_path / "out", epochs=2, freeze="body", say=lambda line: None,
        settings={"batch": 2, "rate": 0.01},
    )  # fmt: skip
    before, after = (own.find(path).build() for path in (out / "model.keras", made.path))
    assert after.task.labels == ("class_0", "class_1", "class_2")  # type: ignore[attr-defined]
    assert after.normalise == before.normalise
    old = {(layer.name, n): w.numpy() for layer in before.keras.layers for n, w in enumerate(layer.weights)}
    new = {(layer.name, n): w.numpy() for layer in after.keras.layers for n, w in enumerate(layer.weights)}
    assert {name for name, array in new.items() if not np.array_equal(array, old[name])} == {
        ("predictions", 0), ("predictions", 1),
    }  # fmt: skip


@pytest.mark.slow
def test_a_translator_keeps_its_words_when_it_learns_more(trained: Any, tmp_path: Path) -> None:
    out, _ = trained("translate")
    (tmp_path / "more.tsv").write_text("drei neun\tthree nine\nvier\tfour\neins\tone\n\n", encoding="utf-8")
    lines: list[str] = []
    made = fit.train(
        out / "model.keras", tmp_path / "more.tsv", tmp_path / "out", epochs=1, validation=0, say=lines.append
    )
    before, after = (own.find(path).build() for path in (out / "model.keras", made.path))
    assert after.task.target == before.task.target  # type: ignore[attr-defined]
    assert "val_loss" not in made.figures


def test_what_a_source_holds_out_is_measured_on(trained: Any, tmp_path: Path, small: Any) -> None:
    """By folder, and by a second source."""
    for part, count in (("train", 6), ("val", 2)):
        source("segment", tmp_path / "masks" / part, count)
        source("redraw", tmp_path / "pictures" / part, count)
    options: dict[str, Any] = {"epochs": 1, "say": lambda line: None}
    done = fit.train("espcn_x2", tmp_path / "pictures", tmp_path / "larger", **options)
    assert card_.of_archive(done.path).training["held out"] == 2
    assert card_.of_archive(done.path).training["pictures"] == 6
    job = fit.job("unet_slim", tmp_path / "masks", settings={"size": 32}, say=lambda line: None)
    assert (job.notes["pictures"], job.notes["held out"]) == (6, 2)
    job = fit.job("unet_slim", tmp_path / "masks", settings={"size": 32}, validation=0.5, say=lambda line: None)
    assert (job.notes["pictures"], job.notes["held out"]) == (3, 3)
    data, more = source("translate", tmp_path / "a"), source("translate", tmp_path / "b", 2, seed=3)
    job = fit.job("rnn_encdec", data, validation=more, settings={"length": 4}, say=lambda line: None)
    assert (job.notes["pairs"], job.notes["held out"]) == (120, 20)
    assert job.notes["words"] == [8, 8]
    graph, other = source("nodes", tmp_path / "g"), source("nodes", tmp_path / "h", seed=4)
    job = fit.job("gcn_cora", graph, validation=other, say=lambda line: None)
    assert (job.notes["nodes"], job.notes["held out"]) == (60, 60)


# --- what strangers give ------------------------------------------------------------------------------------------


def test_masks_that_do_not_fit_are_named_left_out_and_counted(tmp_path: Path) -> None:
    source("segment", tmp_path, 8)
    images, where = tmp_path / "images", tmp_path / "masks"
    save(where / "1.png", np.zeros((5, 5), np.uint8))
    (where / "3.png").unlink()
    (where / "5.png").write_bytes(b"no picture")
    save(where / "7.png", np.dstack([np.zeros((81, 81), np.uint8)] * 2 + [np.ones((81, 81), np.uint8)]))
    save(where / "alone.png", np.zeros((5, 5), np.uint8))
    (images / "2.webp").write_bytes((images / "2.webp").read_bytes()[:100])
    lines: list[str] = []
    found = masks.read(tmp_path, 1, say=lines.append)
    said = "\n".join(lines)
    assert (len(found.pictures), found.skipped) == (3, 5)
    for why in (
        "1.png: its mask is 5 x 5 pixels, it is 63 x 63", "3.png: there is no mask 3 in", "5.png: its mask cannot be",
        "7.png: its mask is coloured", "5 of 8 pictures cannot be read", "1 masks have no picture",
    ):  # fmt: skip
        assert why in said, why
    with pytest.raises(InputError, match="5 of 8 pictures cannot be read"):
        fit.train("unet_slim", tmp_path, tmp_path / "out", strict=True, say=lines.append)
    assert not (tmp_path / "out").exists()


def test_masks_are_read_as_the_numbers_of_classes(tmp_path: Path) -> None:
    numbers = np.arange(12, dtype=np.uint8).reshape(3, 4) % 3
    for mode in ("L", "P", "I;16"):
        picture = Image.fromarray(numbers.astype(np.uint16) if mode == "I;16" else numbers)
        if mode == "P":
            picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
        out = io.BytesIO()
        picture.save(out, "PNG")
        assert np.array_equal(masks.mask_of(out.getvalue()), numbers), mode
    out = io.BytesIO()
    Image.fromarray(numbers > 0).save(out, "PNG")
    assert np.array_equal(masks.mask_of(out.getvalue()) > 0, numbers > 0)
    Image.fromarray(numbers).save(jpeg := io.BytesIO(), "JPEG")
    with pytest.raises(InputError, match="blurs"):
        masks.mask_of(jpeg.getvalue())


def _bad_masks(folder: Path) -> list[tuple[Path, str]]:
    x, y = np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8), np.uint8)
    for name in ("empty", "alone/images", "none/images", "none/masks"):
        (folder / name).mkdir(parents=True)
    for name, arrays in {
        "one": {"x": x, "y": y}, "size": {"x": x, "y": y[:, :4]}, "float": {"x": x, "y": y + 0.5}, "no": {"x": x},
    }.items():  # fmt: skip
        np.savez(folder / f"{name}.npz", **arrays)
    (folder / "many").mkdir()
    save(folder / "many" / "images" / "a.png", x[0])
    save(folder / "many" / "masks" / "a.png", np.tile(np.arange(8, dtype=np.uint8), (8, 1)))
    (folder / "many" / "classes.txt").write_text("a\nb\n")
    return [
        (folder / "missing", "no such file"),
        (folder / "empty", "no folders images and masks"),
        (folder / "alone", "no folders images and masks"),
        (folder / "none", "no folders images and masks; it has none"),
        (folder / "one.npz", "1 class; there is nothing to tell apart"),
        (folder / "size.npz", "class of each pixel"),
        (folder / "float.npz", "float64"),
        (folder / "no.npz", "must hold x_train and y_train"),
        (folder / "many", "holds the class 7; classes.txt names 2"),
    ]


def test_sources_that_cannot_be_learnt_from_say_why(tmp_path: Path, small: Any) -> None:
    (tmp_path / "s").mkdir()
    table = [("unet_slim", each, why) for each, why in _bad_masks(tmp_path / "s")]
    (tmp_path / "nothing").mkdir()
    save(tmp_path / "tiny" / "a.png", np.zeros((20, 20, 3), np.uint8))
    np.savez(tmp_path / "graph.npz", features=np.eye(4), edges=[[0, 1]], labels=[1, 1, 1, -1])
    np.savez(tmp_path / "plain.npz", features=np.eye(4), edges=[[0, 1]])
    (tmp_path / "a.de").write_text("eins\nzwei\n")
    (tmp_path / "a.en").write_text("one\n")
    (tmp_path / "latin.en").write_bytes("grün\nblau\n".encode("latin-1"))
    (tmp_path / "no.tsv").write_text("eins one\n")
    (tmp_path / "long.tsv").write_text("eins " * 40 + "\tone\n")
    table += [
        ("espcn_x2", tmp_path / "nothing", "holds no pictures"),
        ("espcn_x2", tmp_path / "tiny", "1 of 1 pictures cannot be read.\n.*20 and 20 pixels; 64 are needed"),
        ("vae", tmp_path / "nothing", "holds no pictures"),
        ("gcn_cora", tmp_path / "graph.npz", "nodes of 1 class"),
        ("gcn_cora", tmp_path / "plain.npz", "no labels"),
        ("gcn_cora", tmp_path / "nothing", "."),
        ("rnn_encdec", (tmp_path / "a.de", tmp_path / "a.en"), "has 2 lines and .* has 1"),
        ("rnn_encdec", (tmp_path / "a.de", tmp_path / "latin.en"), "not UTF-8"),
        ("rnn_encdec", (tmp_path / "a.de",) * 3, "3 were given"),
        ("rnn_encdec", tmp_path / "no.tsv", "line 1 has no tab"),
        ("rnn_encdec", tmp_path / "long.tsv", "40 words and signs; 29 fit"),
        ("rnn_encdec", tmp_path / "nothing", "0 .tsv files"),
        ("vae", (tmp_path / "tiny", tmp_path / "tiny"), "learns from one source; 2 were given"),
    ]
    for model, each, why in table:
        with pytest.raises((UsageError, InputError), match=why) as caught:
            fit.train(model, each, tmp_path / "out", say=lambda line: None)
        assert len(str(caught.value).splitlines()) <= 3
        assert not (tmp_path / "out").exists()


def test_settings_that_do_not_suit_a_kind_say_which_do(tmp_path: Path) -> None:
    data = source("segment", tmp_path / "s", 3)
    for model, each, settings, why in (
        ("unet_slim", data, {"augment": "affine"}, "allowed are none, mirror, turns"),
        ("vae", source("sample", tmp_path / "v", 1), {"augment": "mirror"}, "allowed are none"),
    ):
        with pytest.raises(UsageError, match=why):
            fit.job(model, each, settings=settings, say=lambda line: None)


# --- what samples are made of --------------------------------------------------------------------------------------


def test_pieces_show_a_picture_and_its_classes_at_the_same_place() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (40, 50, 1)).astype(np.uint8)
    small = rng.integers(0, 255, (10, 30, 1)).astype(np.uint8)
    data = masks.Pieces((picture, small), (picture[..., 0] // 2, small[..., 0] // 2), side=24, shrink=4, times=5)
    assert len(data) == 10
    pieces, classes = data.batch(np.arange(10), rng)
    assert pieces.shape == (10, 24, 24, 1) and classes.shape == (10, 16, 16)
    seen = classes != masks.VOID
    assert np.array_equal((pieces[:, 4:-4, 4:-4, 0] // 2)[seen], classes[seen])
    # What lies beyond a small picture is mirrored, and not learnt from.
    assert seen[::2].all() and not seen[1::2, 10:].any() and seen[1::2, :10].all()


def test_a_fitted_mask_lies_where_its_picture_does() -> None:
    from kerazoo.codecs.image import Image as Fit

    mask = np.zeros((40, 80), np.uint8)
    mask[10:30, 20:60] = 1
    for fit_ in (Fit(32, 32, 1), Fit(32, 32, 1, resize=36), Fit(32, 32, 1, fill="letterbox")):
        seen, classes = masks.fitted(mask[..., None] * np.uint8(200), mask, fit_)
        known = classes != masks.VOID
        sure = known & ((seen[..., 0] < 20) | (seen[..., 0] > 180))
        assert np.array_equal(seen[sure, 0] > 100, classes[sure] == 1)
        assert sure.mean() > 0.3 and known.all() == (fit_.fill == "crop")


def test_arrays_of_a_batch_are_changed_alike() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (6, 8, 8, 1)).astype(np.uint8)
    both = alike(mirrored, (picture, picture[..., 0]), rng, 0)
    assert np.array_equal(both[0][..., 0], both[1]) and not np.array_equal(both[0], picture)
    small, large = redraw.to_unit(lambda batch, rng, epoch: batch, (picture, picture), rng, 0)
    assert small.dtype == np.uint8 and large.max() <= 1


def test_larger_pictures_are_made_of_what_they_become() -> None:
    data = pictures.enlarged([waves(np.random.default_rng(0), 61, 70)], 3, 8, 2, 2)
    small, large = data.batch(np.arange(2), np.random.default_rng(0))
    assert small.shape == (2, 12, 12, 1) and large.shape == (2, 24, 24, 1)
    means = large.reshape(2, 8, 3, 8, 3).mean((2, 4))
    assert np.abs(means - small[:, 2:-2, 2:-2, 0]).mean() < 8


def test_a_short_sentence_teaches_the_same_where_the_network_is_as_short() -> None:
    """Padding is neither learnt from nor changes a state, so that a shorter network is only faster."""
    import tensorflow as tf

    from kerazoo.train.jobs.translate import of_length, worded
    from kerazoo.train.losses import cross_entropy
    from kerazoo.train.recipe import Recipe
    from kerazoo.train.schedules import Optimizer
    from kerazoo.train.state import begin
    from kerazoo.train.steps.supervised import Supervised
    from kerazoo.train.steps.unrolled import Unrolled

    family, described = registry.variants()["rnn_encdec"]
    sizes = replace(described.small, length=5)
    source_ = np.array([[5, 6, 3], [7, 3, 0]], np.int32)
    target = np.array([[6, 7, 3], [8, 3, 0]], np.int32)
    before = np.concatenate([np.full((2, 1), 2, np.int32), target[:, :-1]], 1)
    short = source_, before, target
    long = tuple(np.pad(array, ((0, 0), (0, 2))) for array in short)
    steps = {
        "short": (Unrolled(worded(cross_entropy), lambda length: of_length(family, sizes, length)), short),
        "long": (Supervised(worded(cross_entropy), inputs=2), long),
    }
    found = []
    tf.config.run_functions_eagerly(True)
    try:
        for step, batch in steps.values():
            made = family.build(sizes)
            data = parallel.Parallel(short[0], short[2])
            state = begin(Recipe("short or long", lambda made=made: made, data, step, Optimizer("sgd")))  # type: ignore[misc]
            for variable in made.variables:
                if "seed" not in variable.path:
                    variable.assign(np.random.default_rng(len(variable.path)).normal(0, 0.3, variable.shape))
            _, figures = step(state, batch)
            found.append((figures["loss"], [variable.numpy() for variable in made.trainable_variables]))
    finally:
        tf.config.run_functions_eagerly(False)
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    for one, other in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_sentences_of_a_batch_are_about_equally_long() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 20, 203)
    rows = np.array([[9] * length + [3] + [0] * (20 - length) for length in lengths], np.int32)
    data = parallel.Parallel(rows, rows)
    order = data.order(10, np.random.default_rng(1))
    assert sorted(order) == list(range(203))
    assert not np.array_equal(order, data.order(10, np.random.default_rng(2)))
    widths = [data.batch(order[at : at + 10], rng)[0].shape[1] for at in range(0, 200, 10)]
    assert set(widths) == {6, 12, 18, 21} and widths != sorted(widths)
    wasted = np.mean([width - lengths[order[10 * n : 10 * n + 10]].mean() - 1 for n, width in enumerate(widths)])
    assert wasted < 6
    source_, before, target = data.batch(order[:10], rng)
    assert (before[:, 0] == 2).all() and np.array_equal(before[:, 1:], target[:, :-1])
