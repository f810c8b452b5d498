"""`kerazoo bench`: one table, each row of its own process, and no failure that ends it."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerazoo.bench import items, run, table
from kerazoo.bench.plot import plot
from kerazoo.errors import UsageError
from tests.cli.conftest import MODEL

QUICK = ("--rounds=2", "--runs=3", "--to=onnx", "--to=litert")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise with made-up classes: what it is taken for is no matter, but that all engines agree."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    np.savez(path, x_test=rng.integers(0, 256, (12, 28, 28)).astype(np.uint8), y_test=np.arange(12) % 10)
    return path


def test_every_engine_is_a_row_and_the_last_line_tells_the_machine(kerazoo: Any, digits: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.png"
    done = kerazoo("bench", MODEL, *QUICK, "--data", digits, "--plot", drawn)
    assert done.status == 0, done.err
    head, one, other, machine = done.out.splitlines()
    assert head.split()[:2] == ["format", "precision"]
    assert [one.split()[0], other.split()[0]] == ["onnx", "litert"]
    assert all(line.split()[-1] == "ok" and " 1.000 " in line for line in (one, other))
    assert f"{os.cpu_count()} cores" in machine
    assert "onnxruntime" in machine
    assert "12 items" in machine
    assert drawn.read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob(".*"))


def test_json_and_csv_hold_the_same_rows(kerazoo: Any) -> None:
    (told,) = kerazoo("bench", MODEL, *QUICK, "--json").rows
    assert {row["format"] for row in told["rows"]} == {"onnx", "litert"}
    for row in told["rows"]:
        assert row["p50"] <= row["p95"]
        assert min(row["p50"], row["rate"], row["memory"], row["size"], row["gzip"]) > 0
        assert row["accuracy"] is None
    rows = list(csv.DictReader(io.StringIO(kerazoo("bench", MODEL, *QUICK, "--csv").out)))
    assert [row["format"] for row in rows] == [row["format"] for row in told["rows"]]
    assert kerazoo("bench", MODEL, "--csv", "--json").status == 2


def test_a_damaged_file_is_a_row_that_says_so_and_the_others_are_measured(
    kerazoo: Any, prepared: Path, tmp_path: Path
) -> None:
    (whole,) = prepared.rglob("model.onnx")
    damaged = tmp_path / "damaged.onnx"
    data = bytearray(whole.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    done = kerazoo("bench", whole, damaged, "--rounds=1", "--runs=2", "--json")
    assert done.status == 3
    good, bad = done.rows[0]["rows"]
    assert (good["status"], bad["status"]) == ("ok", "failed")
    assert "damaged" in bad["reason"]
    assert good["p50"] > 0
    assert bad["p50"] is None


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ((MODEL, "--to=onyx"), "Did you mean onnx?"),
        (("lenet5:nothing",), "nothing"),
        ((MODEL, "--data=nowhere"), "nowhere"),
        ((MODEL, "--rounds=0"), "rounds"),
    ],
)
def test_what_cannot_be_asked_is_said_at_once(kerazoo: Any, more: tuple[str, ...], says: str) -> None:
    done = kerazoo("bench", *more)
    assert done.status == 2
    assert says in done.err


def _row(**changes: Any) -> run.Candidate:
    from kerazoo import formats

    return run.Candidate("model", formats.LITERT, found={"rate": 1.0, "mib": 1.0}, **changes)


@pytest.mark.parametrize(("ms", "status"), [(1.0, "ok"), (1.2, table.SLOWER), (9.0, table.SLOW)])
def test_a_precision_that_costs_time_is_told_so(ms: float, status: str) -> None:
    from kerazoo import formats

    floats, rounded = _row(ms=[1.0]), _row(ms=[ms])
    rounded.form = formats.find(formats.LITERT.name, "int8")
    assert run._row(rounded, [floats, rounded], None).status == status
    assert run._row(floats, [floats, rounded], None).status == "ok"


def test_answers_survive_the_way_through_a_file(tmp_path: Path) -> None:
    words = np.empty((1, 2), object)
    words[:] = [[b"one", "zwei"]]
    items.save(
        [{"score": np.array([[0.5]]), "word": words}, {"score": np.array([[1.0]]), "word": words}], tmp_path / "a.npz"
    )
    first, second = items.load(tmp_path / "a.npz")
    assert first["word"].tolist() == [[b"one", b"zwei"]]
    assert float(second["score"][0, 0]) == 1.0


def test_a_picture_of_nothing_is_refused(tmp_path: Path) -> None:
    empty = table.Table((table.Row("m", "onnx", "fp32", status="failed", reason="why"),), {}, 0, "agreement")
    with pytest.raises(UsageError, match="Nothing was measured"):
        plot(empty, tmp_path / "out.png")
    full = table.Table((table.Row("m", "onnx", "fp32", 1, 1, 1.0, 1.0, 1.0, 1.0, 1.0),), {}, 1, "agreement")
    with pytest.raises(UsageError, match="cannot be drawn as doc"):
        plot(full, tmp_path / "out.doc")


def test_rows_tell_sizes_as_people_read_them() -> None:
    row = table.Row("m", "onnx", "fp32", 1_234_567, 999, 1.0, 2.0, 3.0, 4.0)
    one, machine = list(table.Table((row,), {"cpu": "c", "cores": 2, "python": "3", "versions": {}}, 0, "x").lines())[
        1:
    ]
    assert "1.23 MB" in one
    assert "1 kB" in one
    assert json.dumps(machine)
