"""`kerazoo train`, as a user meets it: from a folder of pictures to a model that answers."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import kerazoo.train
from kerazoo import cli, loading, own
from kerazoo.engines import card as card_
from kerazoo.errors import InputError, UsageError
from kerazoo.train import run as run_
from kerazoo.train import settings as settings_
from kerazoo.train.data import labelled

KINDS = ("disc", "rows", "columns")


def drawn(kind: str, rng: np.random.Generator, side: int) -> np.ndarray:
    y, x = np.mgrid[0:side, 0:side] + rng.integers(0, 6, (2, 1, 1))
    shape = {"rows": y // 4 % 2, "columns": x // 4 % 2, "disc": np.hypot(y - side / 2, x - side / 2) < side / 3}[kind]
    return np.clip(shape * 180 + 30 + rng.normal(0, 12, (side, side)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of class folders: pictures of mixed sizes, modes and formats."""
    root, rng = tmp_path_factory.mktemp("pictures") / "shapes", np.random.default_rng(0)
    for kind in KINDS:
        (root / kind / "more").mkdir(parents=True)
        for number in range(16):
            picture = Image.fromarray(drawn(kind, rng, 30 + number))
            picture = picture.convert(("L", "RGB", "RGBA", "P")[number % 4])
            picture.save(
                root / kind / ("more" if number > 12 else ".") / f"ü {number}.{'png' if number % 3 else 'webp'}"
            )
    return root


@pytest.fixture(scope="module")
def trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "out"
    assert train("lenet5", pictures, out, "--epochs=20", "--set", "batch=8", "--seed=1") == 0
    return out


def train(model: Any, data: Any, out: Any, *more: str) -> int:
    return cli.run(["train", str(model), "--data", str(data), "-o", str(out), *more])


def test_a_folder_of_pictures_becomes_a_model_that_answers(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {"model.keras", "log.csv", "last.npz", "best.npz"} <= {path.name for path in trained.iterdir()}
    assert len((trained / "log.csv").read_text().splitlines()) == 21
    rng = np.random.default_rng(5)
    paths = []
    for kind in KINDS:
        paths.append(tmp_path / f"{kind}.png")
        Image.fromarray(drawn(kind, rng, 40)).save(paths[-1])
    capsys.readouterr()
    model = trained / "model.keras"
    assert cli.run(["predict", "-m", str(model), "--engine=keras", "--json", *map(str, paths)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["top"][0]["label"] for row in rows] == list(KINDS)
    card = card_.of_archive(model)
    assert card.metrics["val_accuracy"] > 0.9
    assert card.training["seed"] == 1
    assert card.training["classes"] == {kind: 14 for kind in sorted(KINDS)}
    assert (card.training["held out"], card.training["left out"]) == (6, 0)
    assert len(card.training["data"]["fingerprint"]) == 64
    assert {"kerazoo", "keras", "tensorflow"} <= card.versions.keys()
    # What `lenet5:mnist` wants done to pixels, since the variant's weights say it.
    assert card.normalise is not None and card.normalise.mean == (0.1307,)


def test_an_interrupted_command_goes_on_with_resume(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--epochs=3", "--set=batch=8")
    assert train("mlp", pictures, tmp_path / "straight", *options) == 0
    step = run_.Progress.step

    def cut(self: Any, state: Any) -> None:
        step(self, state)
        if (state.epoch, state.index) == (1, 2):
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(run_.Progress, "step", cut)
        assert train("mlp", pictures, tmp_path / "cut", *options) == 130
    assert not (tmp_path / "cut" / "model.keras").exists()
    assert train("mlp", pictures, tmp_path / "cut", *options) == 2
    assert "--resume" in capsys.readouterr().err
    assert train("mlp", pictures, tmp_path / "cut", *options, "--seed=9", "--resume") == 2
    assert "another recipe" in capsys.readouterr().err
    assert train("mlp", pictures, tmp_path / "cut", *options, "--resume") == 0
    weights = [own.find(tmp_path / name / "model.keras").build().keras.get_weights() for name in ("straight", "cut")]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_file_of_ones_own_learns_other_classes_on_a_frozen_body(
    trained: Path, pictures: Path, tmp_path: Path
) -> None:
    two = tmp_path / "two.csv"
    with two.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["label", "path"])
        for kind in ("rows", "columns"):
            table.writerows([f"made of {kind}", path] for path in sorted((pictures / kind).glob("*.*")))
    done = kerazoo.train(  # type: ignore[operator]
        trained / "model.keras", two, tmp_path / "out", epochs=8, freeze="body", settings={"batch": 8, "rate": 5e-3}
    )
    assert done.figures["val_accuracy"] == 1.0
    before, after = (own.find(path).build() for path in (trained / "model.keras", done.path))
    assert after.task.labels == ("made of columns", "made of rows")  # type: ignore[attr-defined]
    assert after.normalise == before.normalise
    old = {variable.path: variable.numpy() for variable in before.keras.weights}
    changed = {v.path for v in after.keras.weights if v.path not in old or not np.array_equal(v, old[v.path])}
    assert changed == {"predictions/kernel", "predictions/bias"}
    answer: Any = loading.load(done.path, "keras")(pictures / "rows" / "more" / "ü 13.png")
    assert answer.top(1)[0][0] == "made of rows"


def test_published_weights_keep_their_top_where_the_classes_are_theirs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    digits = tmp_path / "digits.npz"
    np.savez(digits, x_train=rng.integers(0, 256, (20, 28, 28), np.uint8), y_train=np.arange(20) % 4)
    done = kerazoo.train("lenet5:mnist", digits, tmp_path / "out", epochs=1, freeze=4, validation=0)  # type: ignore[operator]
    made, published = own.find(done.path).build(), own.find("lenet5:mnist").build()
    assert made.task.labels == published.task.labels  # type: ignore[attr-defined]
    same = [np.array_equal(a, b) for a, b in zip(made.keras.get_weights(), published.keras.get_weights(), strict=True)]
    assert same == [True] * 8 + [False] * 2
    assert "val_accuracy" not in done.figures


@pytest.mark.parametrize("count", [2, 12])
def test_numbers_of_other_classes_get_a_top_of_their_own(count: int, trained: Path, tmp_path: Path) -> None:
    """Two classes of one's own are not the first two of those that the model knows by name."""
    pictures, lines = np.random.default_rng(0).integers(0, 256, (count, 28, 28), np.uint8), []
    np.savez(tmp_path / "numbers.npz", x_train=pictures, y_train=np.arange(count))
    done = kerazoo.train(  # type: ignore[operator]
        trained / "model.keras", tmp_path / "numbers.npz", tmp_path / "out", epochs=1, validation=0, say=lines.append
    )
    assert own.find(done.path).build().task.labels == tuple(map(str, range(count)))  # type: ignore[attr-defined]
    assert any(f"0 to {count - 1}" in line and "of their own" in line for line in lines), lines


def test_pictures_that_cannot_be_read_are_named_left_out_and_counted(pictures: Path, tmp_path: Path) -> None:
    import shutil

    root = tmp_path / "shapes"
    shutil.copytree(pictures, root)
    (root / "disc" / "empty.png").write_bytes(b"")
    whole = (root / "rows" / "ü 1.png").read_bytes()
    (root / "rows" / "cut.png").write_bytes(whole[: len(whole) // 2])
    lines: list[str] = []
    done = kerazoo.train("mlp", root, tmp_path / "out", epochs=1, say=lines.append)  # type: ignore[operator]
    assert [line for line in lines if "empty.png" in line] and [line for line in lines if "cut.png" in line]
    assert "2 of 50 pictures cannot be read and are left out." in lines
    assert card_.of_archive(done.path).training["left out"] == 2
    with pytest.raises(InputError, match="2 of 50 pictures cannot be read.\n.*(empty|cut).png"):
        kerazoo.train("mlp", root, tmp_path / "strict", epochs=1, strict=True)  # type: ignore[operator]
    assert not (tmp_path / "strict").exists()


def test_a_second_source_is_measured_on(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    shutil.copytree(pictures, tmp_path / "both" / "train")
    shutil.copytree(pictures, tmp_path / "both" / "val")
    shutil.copytree(pictures / "disc", tmp_path / "other" / "rows")
    shutil.copytree(pictures / "disc", tmp_path / "other" / "sunset")
    options = ("--epochs=1", "--json", "--validation")
    assert train("mlp", tmp_path / "both", tmp_path / "out", *options, str(tmp_path / "both")) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["epochs"] == 1 and 0 <= row["val_accuracy"] <= 1
    assert card_.of_archive(tmp_path / "out" / "model.keras").training["held out"] == 48
    assert train("mlp", tmp_path / "both", tmp_path / "no", *options, str(tmp_path / "other")) == 2
    assert "sunset" in capsys.readouterr().err
    assert train("mlp", tmp_path / "both", tmp_path / "no", *options, str(tmp_path / "nothing")) == 2
    assert not (tmp_path / "no").exists()


def _npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def _bad_sources(folder: Path) -> list[tuple[Path, str]]:
    for name in ("empty", "loose", "one/cat", "none/cat", "none/dog"):
        (folder / name).mkdir(parents=True)
    for name in ("one/cat", "loose", "."):
        Image.new("RGB", (8, 8)).save(folder / name / "a.png")
    (folder / "short.csv").write_text("path,label\na.png\n")
    (folder / "one.csv").write_text("a.png,cat\na.png,cat\n")
    (folder / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    (folder / "damaged.npz").write_bytes(b"PK\x03\x04 nothing")
    (folder / "notes.txt").write_text("a")
    x = np.zeros((4, 8, 8), np.uint8)
    return [
        (folder / "missing", "no such file"),
        (folder / "notes.txt", "not a kind"),
        (folder / "empty", "0 pictures of 0 classes"),
        (folder / "one", r"1 pictures of 1 class \(cat\)"),
        (folder / "none", "0 pictures"),
        (folder / "loose", "1 pictures lie in it, in no folder"),
        (folder / "short.csv", "line 2: must hold path and label"),
        (folder / "one.csv", r"1 class \(cat\)"),
        (folder / "binary.csv", "is no text in UTF-8"),
        (folder / "damaged.npz", "damaged"),
        (_npz(folder / "names.npz", pictures=x), "it must hold x_train and y_train or x and y"),
        (_npz(folder / "float.npz", x=x / 2.0, y=[0, 1, 0, 1]), "float64"),
        (_npz(folder / "short.npz", x=x, y=[0, 1]), "for each of 4 rows"),
        (_npz(folder / "below.npz", x=x, y=[0, 1, -1, 0]), "0 or more"),
        (_npz(folder / "same.npz", x=x, y=[1, 1, 1, 1]), "1 class"),
        (_npz(folder / "object.npz", x=x, y=np.array([{}] * 4, object)), "damaged"),
    ]


def test_the_command_s_stderr_is_the_error_alone(tmp_path: Path) -> None:
    """TensorFlow announces itself on file descriptor 2 wherever it is imported first."""
    command = [sys.executable, "-m", "kerazoo", "train", "lenet5", "--data", "nothing", "-o", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: nothing is no such file or folder.")


def test_sources_that_cannot_be_learnt_from_say_why(tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    for source, why in _bad_sources(tmp_path / "sources"):
        with pytest.raises(UsageError, match=why) as caught:
            kerazoo.train("mlp", source, tmp_path / "out")  # type: ignore[operator]
        assert len(str(caught.value).splitlines()) <= 3
        assert not (tmp_path / "out").exists()


def test_what_is_0_in_a_recipe_takes_any_number() -> None:
    assert settings_.chosen("graph", {"decay": "0.01"}).decay == 0.01


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"recipe": "digit"}, "Did you mean digits"),
        ({"settings": {"rates": 1}}, "Did you mean rate"),
        ({"settings": {"rate": "fast"}}, "is not a number"),
        ({"settings": {"batch": "1.5"}}, "not a whole number"),
        ({"settings": {"batch": 0}}, "out of range"),
        ({"settings": {"rate": "nan"}}, "out of range"),
        ({"settings": {"augment": "turn"}}, "turns"),
        ({"settings": {"optimizer": "adma"}}, "adam"),
        ({"settings": {"schedule": "wave"}}, "cosine"),
        ({"freeze": "top"}, "body"),
        ({"freeze": 99}, "leaves nothing to learn"),
        ({"validation": 1.5}, "no share"),
        ({"epochs": 0}, "positive"),
    ],
    ids=str,
)
def test_options_that_do_not_fit_say_what_does(
    options: dict[str, Any], why: str, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=why):
        kerazoo.train("mlp", pictures, tmp_path / "out", **({"epochs": 1} | options))  # type: ignore[operator]


def test_models_that_cannot_be_trained_say_why(pictures: Path, tmp_path: Path) -> None:
    for word, why in (
        ("lenet", "lenet5"),
        (str(tmp_path / "no.keras"), "No such file"),
    ):
        with pytest.raises(UsageError, match=why):
            kerazoo.train(word, pictures, tmp_path / "out")  # type: ignore[operator]


def test_the_held_out_share_is_of_every_class_and_the_seeds() -> None:
    labels = np.array([0] * 50 + [1] * 10 + [2])
    kept, held = labelled.split(labels, 0.2, seed=4)
    assert np.bincount(labels[held], minlength=3).tolist() == [10, 2, 0]
    assert sorted([*kept, *held]) == list(range(61))
    assert held.tolist() == labelled.split(labels, 0.2, seed=4)[1].tolist()
    assert held.tolist() != labelled.split(labels, 0.2, seed=5)[1].tolist()


def test_a_disk_that_is_full_at_the_end_loses_nothing(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kerazoo.own import saving

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    options = ("--epochs=1", "--set=batch=8")
    with monkeypatch.context() as patched:
        patched.setattr(saving.seal, "seal_zip", full)
        assert train("mlp", pictures, tmp_path / "out", *options) == 1
    said = capsys.readouterr().err
    assert "model.keras cannot be written: No space left on device" in said and "--resume" in said
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {
        ".lock",
        "log.csv",
        "curves.png",
        "last.npz",
        "best.npz",
    }
    assert train("mlp", pictures, tmp_path / "out", *options, "--resume") == 0
    assert (tmp_path / "out" / "model.keras").exists()
    assert "epoch 1/1" not in capsys.readouterr().err, "what was learnt is not learnt again"


def test_what_a_folder_holds_out_is_measured_on(pictures: Path, tmp_path: Path) -> None:
    import shutil

    for part in ("train", "val"):
        shutil.copytree(pictures, tmp_path / "both" / part)
    done = kerazoo.train("mlp", tmp_path / "both", tmp_path / "out", epochs=1, say=lambda line: None)  # type: ignore[operator]
    assert card_.of_archive(done.path).training["held out"] == 48


def test_the_package_is_called() -> None:
    """`kerazoo.train(...)`, with nothing more imported than `kerazoo`, and its modules can still be imported."""
    import subprocess
    import sys

    code = (
        "import sys, kerazoo\n"
        "assert callable(kerazoo.train) and 'keras' not in sys.modules\n"
        "from kerazoo.train.recipe import Recipe\n"
        "try:\n    kerazoo.train('lenet', 'x', 'y')\n"
        "except kerazoo.errors.UsageError as error:\n    assert 'lenet5' in str(error), error\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
