"""A learning rate is found before anything is trained."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerazoo import cli
from kerazoo.errors import GateError, UsageError
from kerazoo.train.find_rate import range_test
from kerazoo.train.run import run
from kerazoo.train.schedules import Constant
from tests.train.common import classifier


@pytest.mark.slow
def test_the_suggested_rate_learns_and_ten_times_the_highest_does_not(tmp_path: Path) -> None:
    recipe = classifier(epochs=2, schedule=Constant(1e9))  # The recipe's own rate has no part in it.
    found = range_test(recipe, 1e-5, 30.0, steps=60)
    assert len(found.rates) == len(found.losses) == len(found.smoothed) <= 60
    assert np.allclose(np.diff(np.log(found.rates)), np.log(30.0 / 1e-5) / 59)
    assert found.rates[0] < found.suggested < found.highest < 30.0
    assert found.highest == found.rates[int(np.argmin(found.smoothed))]

    def loss(rate: float, name: str) -> float:
        return run(classifier(epochs=2, schedule=Constant(rate)), tmp_path / name, say=lambda line: None).history[-1][
            "loss"
        ]

    good = loss(found.suggested, "good")
    assert good < loss(found.suggested / 1000, "slow")
    assert good < loss(min(10 * found.highest, 100.0), "wild")


def test_it_is_the_same_each_time_and_keeps_nothing() -> None:
    first, second = (range_test(classifier(), 1e-4, 1.0, steps=20) for _ in range(2))
    assert first == second


def test_what_cannot_be_tested_says_why() -> None:
    for low, high, steps in ((1.0, 0.1, 50), (0.0, 1.0, 50), (1e-3, 1.0, 3)):
        with pytest.raises(UsageError, match="must rise, in at least 10 steps"):
            range_test(classifier(), low, high, steps)
    with pytest.raises(GateError, match="No rate from 1e-12 to .* made the loss fall"):
        range_test(classifier(), 1e-12, 1e-11, 10)


def test_the_command_says_a_rate_and_draws_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 256, (3, 28, 28))
    labels = np.arange(60) % 3
    noise = rng.integers(-20, 20, (60, 28, 28))
    np.savez(tmp_path / "kinds.npz", x_train=np.clip(kinds[labels] + noise, 0, 255).astype(np.uint8), y_train=labels)
    out = tmp_path / "rates"
    command: list[Any] = ["train", "mlp", "--data", tmp_path / "kinds.npz", "-o", out, "--set=batch=16", "--find-lr"]
    assert cli.run([*map(str, command), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert 1e-6 < row["rate"] <= row["highest"] <= 1
    with (out / "rates.csv").open() as file:
        table = list(csv.DictReader(file))
    assert float(table[0]["rate"]) == 1e-6 and len(table) > 20
    assert {path.name for path in out.iterdir()} <= {"rates.csv", "rates.png"}
    # The folder is free for the training.
    assert cli.run([*map(str, command[:-1]), f"--set=rate={row['rate']}", "--epochs=1"]) == 0
    assert (out / "model.keras").exists()
