"""Measured against what is said: of the zoo's models and of one's own; and the command, with its exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import kerazoo
from kerazoo import evaluation, manifest
from kerazoo.cli import cli
from kerazoo.errors import PackageMissing, UsageError
from kerazoo.evaluation import against_card, evaluate
from kerazoo.metrics.report import Report
from kerazoo.predictor import Predictor
from tests.metrics.stubs import folder, png
from tests.test_evaluation import PREDICTOR
from tests.test_predictor import COLOURS, picture


def report(**figures: float) -> Report:
    return Report({name.replace("_", "-"): value for name, value in figures.items()}, 10, "pictures")


def test_these_weights_own_figure_is_judged_and_the_papers_is_shown() -> None:
    published, own = against_card("lenet5:mnist", report(top_1=99.2), "classify")
    assert (published.by, published.said, published.tolerance, published.worse) == ("published", 99.05, None, False)
    assert (own.by, own.said, own.tolerance, own.worse) == ("card", 99.5, 0.5, False)
    assert own.difference == pytest.approx(-0.3)
    assert [row.worse for row in against_card("lenet5:mnist", report(top_1=98.9), "classify")] == [False, True]
    # Better is never worse, and what is no number is never tolerated.
    assert not any(row.worse for row in against_card("lenet5:mnist", report(top_1=100.0), "classify"))
    assert against_card("lenet5:mnist", report(top_1=float("nan")), "classify")[1].worse


def test_without_a_figure_of_its_own_the_published_is_judged() -> None:
    rows = against_card("resnet50:imagenet", report(top_1=60.0, top_5=99.0), "classify")
    assert [(row.metric, row.worse) for row in rows] == [("top-1", True), ("top-5", False)]


def test_less_is_better_where_it_is() -> None:
    (row,) = against_card("vae:mnist", Report({"negative lower bound": 101.5}, 1, "pictures"), "sample")
    assert (row.worse, row.tolerance) == (False, 1.0)
    (row,) = against_card("vae:mnist", Report({"negative lower bound": 101.7}, 1, "pictures"), "sample")
    assert row.worse


def test_the_manifest_says_what_is_tolerated(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = manifest.load()["mlp:mnist"]
    row = {**entry.measured[0], "tolerance": 0.05}
    changed = evaluation.manifest.Entry(**{**vars(entry), "measured": (row,)})
    monkeypatch.setattr(manifest, "load", lambda: {"mlp:mnist": changed})
    assert against_card("mlp:mnist", report(top_1=99.0), "classify")[0].worse
    faults = manifest._metric_faults("measured", [{**row, "tolerance": -1}], "command")
    assert list(faults) == ["measured[0].tolerance: must be a number that is not negative"]
    assert not list(manifest._metric_faults("measured", [dict(row)], "command"))


def test_nothing_is_said_that_is_measured() -> None:
    with pytest.raises(UsageError, match="The card of espcn_x3:t91 says PSNR; measured are top-1, top-5, ECE"):
        evaluation.said("espcn_x3:t91", "classify")


def test_a_trained_models_own_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = {"name": "mine", "file": "mine.keras", "measured": {"loss": 0.1, "accuracy": 0.97}}
    monkeypatch.setattr(evaluation, "info", lambda model: about)
    (row,) = against_card("mine.keras", report(top_1=96.6), "classify")
    assert (row.metric, row.said, row.by, row.worse) == ("top-1", 97.0, "card", False)
    assert against_card("mine.keras", report(top_1=96.4), "classify")[0].worse


def data(tmp_path: Path) -> Path:
    return folder(tmp_path / "data", {f"{name}/a.png": png(np.asarray(picture(name))) for name in COLOURS})


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The command on a model whose answers are known, called `lenet5:mnist`."""
    model = Predictor("lenet5:mnist", PREDICTOR.task, "keras", PREDICTOR.answer)
    monkeypatch.setattr(evaluation, "opened", lambda *arguments, **more: model)
    from kerazoo.cli import run

    def call(capsys: Any, *arguments: Any) -> tuple[int, str, str]:
        status = run(["evaluate", "lenet5:mnist", *map(str, arguments)])
        return status, *capsys.readouterr()

    return call


def test_the_exit_status_says_it(command: Any, tmp_path: Path, capsys: Any) -> None:
    pictures = data(tmp_path)
    status, out, err = command(capsys, pictures, "--against-card")
    assert status == 0 and "top-1: card 99.50, measured 100.00, difference +0.50 (ok, within 0.5)" in out, err
    assert "top-1 100.00 %" in out.splitlines()[0] and "MNIST test" in out
    (pictures / "red" / "broken.png").write_bytes(b"no")
    status, out, err = command(capsys, pictures)
    assert status == 3 and "1 could not be read" in out and "left out red/broken.png" in err
    (pictures / "red" / "wrong.png").write_bytes(png(np.asarray(picture("blue"))))
    status, out, err = command(capsys, pictures, "--against-card", "--json")
    row = json.loads(out)
    assert status == 4 and "top-1 is 24.50 worse than its card says; 0.5 is tolerated" in err
    assert (row["top-1"], row["count"], row["failed"], row["task"]) == (75.0, 4, 1, "classify")
    assert [each["worse"] for each in row["against_card"]] == [False, True]
    assert row["confusion"] == [[1, 0, 1], [0, 1, 0], [0, 0, 1]]
    assert row["classes"][0] == {"label": "red", "precision": 100.0, "recall": 50.0, "F1": 66.6667, "count": 2}
    assert command(capsys, pictures, "--strict")[0] == 3


def test_bad_usage(command: Any, tmp_path: Path, capsys: Any) -> None:
    pictures = data(tmp_path)
    for arguments, told in (
        ([tmp_path / "gone"], "no such file or folder"),
        ([pictures, pictures], "are measured on one source; 2 were given"),
        ([pictures, "--languages", "de"], "as de-en"),
        ([folder(tmp_path / "other", {"rde/a.png": png(np.zeros((8, 8)))})], "Did you mean red"),
        ([folder(tmp_path / "empty", {"readme.txt": "nothing"})], "holds no pictures"),
    ):
        status, out, err = command(capsys, *arguments)
        assert (status, out) == (2, "") and told in err


def test_help_names_every_kind() -> None:
    from kerazoo import metrics

    said = CliRunner().invoke(cli, ["evaluate", "--help"]).output
    for kind in metrics.kinds():
        assert f"  {kind} " in said


def test_a_kind_that_is_not_measured() -> None:
    class Task:
        kind = "dream"

    with pytest.raises(UsageError, match="do dream are not measured.*classify, detect, embed, fill, nodes"):
        evaluate(Predictor("x", Task(), "keras", PREDICTOR.answer), ".")  # type: ignore[arg-type]


def test_it_is_one_of_the_public_names() -> None:
    assert kerazoo.evaluate is evaluate


# --- plots ------------------------------------------------------------------------------------------------------------


def test_plots_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from PIL import Image

    pictures = data(tmp_path)
    (pictures / "red" / "wrong.png").write_bytes(png(np.asarray(picture("blue"))))
    made = evaluate(PREDICTOR, pictures, plots=tmp_path / "plots")
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == sorted(made.plots)
    assert set(made.plots) == {"confusion.png", "reliability.png", "precision_recall.png", "mistakes.png"}
    for path in (tmp_path / "plots").iterdir():
        with Image.open(path) as drawn:
            pixels = np.asarray(drawn.convert("RGB"))
        assert min(pixels.shape[:2]) > 200 and pixels.std() > 5
    # The mistake itself is on its sheet.
    sheet = np.asarray(Image.open(tmp_path / "plots" / "mistakes.png").convert("RGB"))
    assert np.mean((sheet == (0, 0, 255)).all(-1)) > 0.05
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made a folder"):
        evaluate(PREDICTOR, pictures, plots=tmp_path / "file")


def test_without_matplotlib_it_is_said_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(PackageMissing, match="pip install matplotlib"):
        evaluate(Predictor("x", PREDICTOR.task, "keras", lambda request: 1 / 0), data(tmp_path), plots=tmp_path / "p")  # type: ignore[arg-type,return-value]
    assert not (tmp_path / "p").exists()
