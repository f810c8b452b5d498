"""Pictures drawn from noise: from one seed to another, many in one file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kerazoo import cli, drawing, loading
from kerazoo.errors import UsageError
from kerazoo.ops import numpy as ops
from kerazoo.predictor import Predictor
from kerazoo.tasks.sample import FromNoise, Sample
from tests.tasks.stubs import Stub, pixels

SEEN = np.array([[1.0, 0, 0, 0], [0, 2.0, 0, 0]], np.float32)


def test_a_walk_begins_and_ends_at_its_seeds_and_stays_on_the_sphere():
    steps = np.stack(drawing.walk(400, 3, 8, 9))
    ends = ops.normal(np.array([3, 8], np.int64), 400)
    np.testing.assert_allclose(steps[[0, -1]], ends, atol=1e-6)
    lengths = np.linalg.norm(steps, axis=1)
    assert lengths.min() > 0.99 * lengths[[0, -1]].min()
    assert np.linalg.norm(ends.mean(0)) < 0.8 * lengths.min()  # The straight line would leave it.
    apart = np.linalg.norm(np.diff(steps, axis=0), axis=1)
    assert apart.max() < 1.1 * apart.min()
    np.testing.assert_array_equal(steps[::-1].shape, np.stack(drawing.walk(400, 8, 3, 9)).shape)
    np.testing.assert_allclose(steps[::-1], np.stack(drawing.walk(400, 8, 3, 9)), atol=1e-5)


def test_halfway_between_right_angles():
    np.testing.assert_allclose(drawing.between(SEEN[0], SEEN[1], 0.5), [0.5**0.5, 2 * 0.5**0.5, 0, 0], rtol=1e-6)
    # One direction, opposite ones and none at all have no arc: the line stands for it.
    for end in (SEEN[0], 3 * SEEN[0], -SEEN[0], 0 * SEEN[0]):
        np.testing.assert_allclose(drawing.between(SEEN[0], end, 0.25), 0.75 * SEEN[0] + 0.25 * end, atol=1e-6)
    steps = drawing.walk(20, 5, 5, 4)
    np.testing.assert_allclose(steps, np.stack([steps[0]] * 4), atol=1e-6)


def test_temperature_is_what_noise_is_multiplied_with():
    whole = drawing.noise(20, 7)
    np.testing.assert_array_equal(whole, ops.normal(np.array([7], np.int64), 20)[0])
    np.testing.assert_allclose(drawing.noise(20, 7, 0.5), whole / 2)
    assert not drawing.noise(20, 7, 0.0).any()


@pytest.mark.parametrize(("count", "width"), [(1, 1), (2, 2), (6, 3), (7, 3), (10, 5), (11, 4), (16, 4), (60, 10)])
def test_a_grid_is_as_square_as_it_can_be(count: int, width: int):
    assert drawing.across(count) == width


def coloured(count: int, channels: int) -> list[bytes]:
    made = np.random.default_rng(0).integers(0, 256, (count, 4, 6, channels)).astype(np.uint8)
    return [ops.encode_png(each) for each in made]


@pytest.mark.parametrize("channels", [1, 3])
def test_every_picture_lies_in_the_grid(channels: int):
    parts = coloured(7, channels)
    made = pixels(drawing.grid(parts))
    assert made.shape[:2] == (3 * 4, 3 * 6)
    made = made.reshape(12, 18, channels)
    for number, part in enumerate(parts):
        row, column = divmod(number, 3)
        tile = made[4 * row :, 6 * column :][:4, :6]
        np.testing.assert_array_equal(tile, pixels(part).reshape(4, 6, channels))
    assert not made[8:, 6:].any()


@pytest.mark.parametrize(("suffix", "channels"), [(".png", 3), (".apng", 1), (".webp", 3), (".gif", 1)])
def test_a_film_keeps_every_frame(suffix: str, channels: int):
    parts = coloured(5, channels)
    film: Any = Image.open(io.BytesIO(drawing.film(parts, suffix)))
    assert (film.n_frames, film.info["loop"]) == (5, 0)
    for number, part in enumerate(parts):
        film.seek(number)
        np.testing.assert_array_equal(
            np.asarray(film.convert("RGB")), np.asarray(Image.open(io.BytesIO(part)).convert("RGB"))
        )


def test_too_many_pictures_for_one_file_are_told_before_they_are_drawn():
    drawing.room(Sample(3, 1000, 1000), 64)
    with pytest.raises(
        UsageError, match="65 pictures of 1000 x 1000 pixels are more than 64 million pixels.*\n.*folder"
    ):
        drawing.room(Sample(3, 1000, 1000), 65)


def test_noise_draws_what_its_seed_does():
    stub = Stub(ops, {"decoder": lambda ops, noise: {"logits": noise.reshape(-1, 2, 3, 1)}})
    task = Sample(6, 2, 3)
    asked = drawing.from_noise(
        Predictor("stub", task, "keras", lambda request: task.answer(stub, request), network=stub)
    )
    assert isinstance(asked.task, FromNoise)
    drawn: Any = asked({"noise": drawing.noise(6, 9)})
    assert drawn.picture == task.answer(stub, {"seed": np.array([9])})["image_bytes"][0]
    with pytest.raises(UsageError, match="engine of stub, savedmodel, makes noise from seeds itself"):
        drawing.from_noise(Predictor("stub", task, "savedmodel", lambda request: {}))


# --- at the command line --------------------------------------------------------------------------------------------

MODEL = "vae:mnist"


@pytest.fixture
def kerazoo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """`kerazoo predict -m vae:mnist ...` over one dense layer in its place: its status, and what it printed."""
    layer = np.random.default_rng(0).standard_normal((20, 28 * 28)).astype(np.float32)
    stub = Stub(ops, {"decoder": lambda ops, noise: {"logits": (noise @ layer).reshape(-1, 28, 28, 1)}})
    task = Sample(20, 28, 28)
    loaded = Predictor(MODEL, task, "keras", lambda request: task.answer(stub, request), network=stub)
    monkeypatch.setattr(loading, "load", lambda *arguments, **options: loaded)

    def run(*arguments: Any) -> tuple[int, str]:
        status = cli.run(["predict", "-m", MODEL, *map(str, arguments)])
        printed = capsys.readouterr()
        return status, printed.out if status == 0 else printed.err

    return run


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_many_seeds_are_drawn_into_a_grid_or_a_folder(kerazoo: Any, tmp_path: Path):
    grid = tmp_path / "new" / "grid.png"
    assert kerazoo("--seed=3", "--count=6", "-o", grid) == (0, f"{grid}\t6 pictures\n")
    assert kerazoo("--seed=3", "--count=6", "-o", tmp_path / "drawn")[0] == 0
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == [f"{seed}.png" for seed in range(3, 9)]
    whole = opened(grid)
    assert whole.shape == (2 * 28, 3 * 28)
    np.testing.assert_array_equal(whole[28:, 28:56], opened(tmp_path / "drawn" / "7.png"))
    assert kerazoo("--seed=8", "--seed=5", "-o", grid)[0] == 0
    np.testing.assert_array_equal(opened(grid)[:, 28:], opened(tmp_path / "drawn" / "5.png"))
    status, rows = kerazoo("--count=2", "-o", grid, "--json")
    assert status == 0 and rows.count(f'"file": "{grid}"') == 2 and '"input": "0"' in rows


def test_a_walk_from_seed_to_seed_is_a_film_or_a_folder(kerazoo: Any, tmp_path: Path):
    walk = ("--seed=1", "--to-seed=2", "--frames=4", "-o")
    assert kerazoo(*walk, tmp_path / "walk.png") == (0, f"{tmp_path / 'walk.png'}\t4 pictures\n")
    assert kerazoo(*walk, tmp_path / "frames")[0] == 0
    frames = sorted((tmp_path / "frames").iterdir())
    assert [path.name for path in frames] == [f"1 to 2, {number} of 4.png" for number in (1, 2, 3, 4)]
    film: Any = Image.open(io.BytesIO((tmp_path / "walk.png").read_bytes()))
    for number, path in enumerate(frames):
        film.seek(number)
        np.testing.assert_array_equal(np.asarray(film), opened(path))
    for seed, path in ((1, frames[0]), (2, frames[-1])):
        assert kerazoo(f"--seed={seed}", "-o", tmp_path / "end.png")[0] == 0
        assert np.abs(opened(tmp_path / "end.png").astype(int) - opened(path)).max() <= 1


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """`kerazoo predict -m digits ...` where a picture is as bright as the number of its class."""

    def decoder(ops: Any, noise: Any, label: Any) -> Any:
        grey = np.float32(np.clip(label / 2 + 0.1 * np.tanh(noise[:, 0]), 0, 1))
        return {"unit": np.broadcast_to(grey[:, None, None, None], (len(label), 4, 4, 1))}

    stub = Stub(ops, {"decoder": decoder})
    task = Sample(20, 4, 4, output="unit", labels=("cat", "dog", "horse"))
    loaded = Predictor("animals", task, "keras", lambda request: task.answer(stub, request), network=stub)
    monkeypatch.setattr(loading, "load", lambda *arguments, **options: loaded)

    def run(*arguments: Any) -> tuple[int, str]:
        status = cli.run(["predict", "-m", "animals", *map(str, arguments)])
        printed = capsys.readouterr()
        return status, printed.out if status == 0 else printed.err

    return run


def numbers(grid: np.ndarray) -> list[list[int]]:
    """The classes that a grid shows."""
    return np.rint(grid[::4, ::4] / 255 * 2).astype(int).tolist()


def test_what_is_asked_for_is_drawn(told: Any, tmp_path: Path):
    grid = tmp_path / "grid.png"
    assert told("--count=4", "--label=dog", "-o", grid)[0] == 0
    assert numbers(opened(grid)) == [[1, 1], [1, 1]]
    # A row a class, and each column of one noise.
    labels = ("--label=horse", "--label=cat")
    assert told("--count=8", *labels, "-o", grid) == (0, f"{grid}\t16 pictures\n")
    assert numbers(opened(grid)) == [[2] * 8, [0] * 8]
    assert told("--count=2", *labels, "-o", tmp_path / "drawn")[0] == 0
    names = [f"label={label}, seed {seed}.png" for label in ("cat", "horse") for seed in (0, 1)]
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == names
    # By number; of a seed alone; and where nothing is said, classes take turns.
    assert told("--label=1", "-o", grid)[0] == 0 and numbers(opened(grid)) == [[1]]
    assert told("--count=3", "-o", grid)[0] == 0 and numbers(opened(grid)) == [[0, 1, 2]]
    assert told("--port=label=dog", "--seed=3", "-o", grid)[0] == 0 and numbers(opened(grid)) == [[1]]


def test_temperatures_and_walks_are_of_a_class_too(told: Any, tmp_path: Path):
    grid, warm = tmp_path / "grid.png", "--temperature=0.5"
    for turns in ((), (warm,)):
        assert told("--count=3", *turns, "-o", grid)[0] == 0
        assert numbers(opened(grid)) == [[0, 1, 2]]
    assert told("--count=2", warm, "--label=2", "--label=dog", "-o", grid)[0] == 0
    assert numbers(opened(grid)) == [[2, 2], [1, 1]]
    walk = ("--seed=1", "--to-seed=2", "--frames=3", "-o", tmp_path / "walk")
    assert told(*walk)[0] == 0 and told("--label=horse", *walk)[0] == 0
    found = {path.name: numbers(opened(path)) for path in (tmp_path / "walk").iterdir()}
    assert found["1 to 2, 3 of 3.png"] == [[1]]  # That of the first seed.
    assert found["label=horse, 1 to 2, 1 of 3.png"] == [[2]]


def test_a_class_that_cannot_be_drawn_is_told(told: Any, kerazoo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert kerazoo("--label=7", "--seed=1", "-o", "a.png")[0] == 2
    assert "--label 7: that is for models that draw what is asked for" in kerazoo("--label=7")[1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--label=hors",), "--label hors: no such label; there are cat, dog, horse. Did you mean horse?"),
        (("--label=3",), "there are cat, dog, horse"),
        (("--label=cat", "--port=label=dog"), "--label and --port label say the same thing"),
        (("--label=cat", "-o", "drawn.png", "seven.png"), "give --seed NUMBER instead of INPUT"),
    ],
)
def test_what_is_wrong_with_a_class_is_told(told: Any, arguments: tuple[str, ...], why: str):
    status, said = told(*arguments)
    assert status == 2 and why in said


@pytest.mark.parametrize(("name", "form"), [("a.png", "PNG"), ("a.JPG", "JPEG"), ("a.webp", "WEBP"), ("a.any", "PNG")])
def test_a_file_is_what_its_name_says(kerazoo: Any, tmp_path: Path, name: str, form: str):
    assert kerazoo("--seed=1", "-o", tmp_path / name)[0] == 0
    assert kerazoo("--seed=1", "-o", tmp_path / "exact.png")[0] == 0
    with Image.open(tmp_path / name) as image:
        assert image.format == form
        near = np.asarray(image.convert("L")).astype(int) - opened(tmp_path / "exact.png")
    assert np.abs(near).mean() < 10


def test_without_temperature_all_seeds_draw_the_mean(kerazoo: Any, tmp_path: Path):
    assert kerazoo("--count=2", "--temperature=0", "-o", tmp_path / "same.png")[0] == 0
    assert kerazoo("--count=2", "-o", tmp_path / "other.png")[0] == 0
    same, other = opened(tmp_path / "same.png"), opened(tmp_path / "other.png")
    np.testing.assert_array_equal(same[:, :28], same[:, 28:])
    assert not np.array_equal(other[:, :28], other[:, 28:])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--frames=4", "--seed=1"), "both are needed"),
        (("--to-seed=4",), "give one --seed"),
        (("--seed=1", "--seed=2", "--to-seed=4"), "give one --seed"),
        (("--seed=1", "--count=3", "--to-seed=4"), "no --count"),
        (("--seed=1", "--seed=2", "--count=3"), "--count goes on from one seed"),
        (("--seed=1", "--to-seed=2", "-o", "walk.mp4"), "moving pictures can be .gif, .png, .apng, .webp; a folder"),
        (("--count=2", "-o", "grid.jpg"), "a grid can be .png; a folder"),
        (("--count=1000000", "-o", "grid.png"), "64 million pixels"),
        (("--count=0",), "--count"),
        (("--temperature=-1", "--seed=1"), "--temperature"),
        (("seven.png", "--count=2"), "give --seed NUMBER instead of INPUT"),
    ],
)
def test_what_does_not_go_together_is_told(
    kerazoo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], why: str
):
    monkeypatch.chdir(tmp_path)
    status, told = kerazoo(*arguments)
    assert status == 2 and why in told and not list(tmp_path.iterdir())
