"""The pages of docs/notes: their files say what they claim."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

NOTES = Path(__file__).parents[1] / "docs" / "notes"


def _module(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, NOTES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def unrolling() -> Any:
    return _module("unrolling")


def test_every_note_is_reached_from_the_list() -> None:
    text = (NOTES / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\]\(([\w-]+\.md)\)", text))
    assert named == {path.name for path in NOTES.glob("*.md")} - {"README.md"}


def test_a_power_is_found_again() -> None:
    rows = [(str(work), work, 300 * work**-0.25) for work in (10.0, 200.0, 3000.0)]
    assert _module("limits").fitted(rows) == pytest.approx((-0.25, 300))


def test_iterations_never_make_it_worse_and_end_where_nothing_is_gained(unrolling: Any) -> None:
    rng = np.random.default_rng(3)
    atoms = unrolling.dictionary(rng)
    x = unrolling.signals(atoms, 20, rng)
    costs = [unrolling.cost(atoms, x, unrolling.ista(atoms, x, steps)) for steps in (0, 1, 2, 5, 20, 100, 2000)]
    assert costs == sorted(costs, reverse=True)
    # At the least point the slope is within the penalty where a code is zero, and balances it where it is not.
    codes = unrolling.ista(atoms, x, 20_000)
    slope = (x - codes @ atoms.T) @ atoms
    np.testing.assert_allclose(slope[codes != 0], unrolling.PENALTY * np.sign(codes[codes != 0]), atol=1e-3)
    assert np.abs(slope[codes == 0]).max() <= unrolling.PENALTY + 1e-3


@pytest.mark.parametrize("steps", [1, 3])
def test_before_it_learns_the_network_is_that_many_iterations(unrolling: Any, steps: int) -> None:
    rng = np.random.default_rng(4)
    atoms = unrolling.dictionary(rng)
    x = unrolling.signals(atoms, 10, rng)
    network = unrolling.lista(atoms, steps)
    np.testing.assert_allclose(network.predict(x, verbose=0), unrolling.ista(atoms, x, steps), atol=1e-5)


@pytest.mark.slow
def test_learnt_iterations_are_worth_more(unrolling: Any) -> None:
    rng = np.random.default_rng(5)
    atoms = unrolling.dictionary(rng)
    x = unrolling.signals(atoms, 500, rng)
    best = unrolling.ista(atoms, x, 1000)
    network = unrolling.trained(atoms, 3, count=2048, epochs=6)
    learnt = np.sum((network.predict(x, verbose=0) - best) ** 2)
    assert learnt < 0.7 * np.sum((unrolling.ista(atoms, x, 3) - best) ** 2)
