"""One predictor, eight threads: every answer is the one that a single thread got."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import kerazoo
from kerazoo import formats, own
from kerazoo.export import prepare
from kerazoo.predictor import Failure, Predictor

THREADS = 8
SEVEN = Path(__file__).parents[1] / "examples" / "seven.png"


@pytest.fixture(scope="module")
def pictures() -> list[Any]:
    """Thirty that differ, one of them broken."""
    with Image.open(SEVEN) as image:
        seven = image.convert("L")
    turned: list[Any] = [seven.rotate(12 * index, fillcolor=255) for index in range(30)]
    turned[11] = b"broken"
    return turned


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in parts, with random weights."""
    from kerazoo import registry

    model = registry.find("vae")
    built = model.family.build(model.described.config)
    path = tmp_path_factory.mktemp("vae") / "vae.npz"
    np.savez(path, **{variable.path: variable.numpy() for variable in built.weights})
    return path


@pytest.fixture(scope="module")
def loaded() -> Iterator[Callable[[str, str], Predictor]]:
    """A predictor over an engine, its artefact made without timing the others."""
    made: dict[tuple[str, str], Predictor] = {}

    def load(model: str, engine: str) -> Predictor:
        if (model, engine) not in made:
            if engine == "keras":
                made[model, engine] = kerazoo.load(model, engine)
            else:
                form = next(form for form in formats.FORMATS.values() if form.engine == engine)
                artefact = prepare.artefact(own.find(model), form, lambda line: None)
                made[model, engine] = kerazoo.load(artefact)
        return made[model, engine]

    yield load


def asked_from_threads(ask: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(ask, range(THREADS)))


def alike(one: Any, other: Any) -> bool:
    """The same classes in the same order; scores to what a sum in another order costs."""
    if isinstance(one, Failure):
        return isinstance(other, Failure) and str(one.error) == str(other.error)
    return one.labels[:1] == other.labels[:1] and np.allclose(sorted(one.scores), sorted(other.scores), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["keras", "onnx", "litert", "savedmodel"])
def test_every_engine_answers_eight_threads_as_it_answers_one(loaded: Any, pictures: list[Any], engine: str) -> None:
    predictor = loaded("lenet5:mnist", engine)
    expected = list(predictor(pictures))
    assert isinstance(expected[11], Failure)
    assert len({result.labels[0] for result in expected if not isinstance(result, Failure)}) > 2

    def one_by_one(thread: int) -> list[Any]:
        # Each begins elsewhere, so that different pictures meet.
        order = [(index + 4 * thread) % len(pictures) for index in range(len(pictures))]
        answers = {index: predictor(pictures[index]) for index in order if index != 11}
        return [answers.get(index, expected[11]) for index in range(len(pictures))]

    def streamed(thread: int) -> list[Any]:
        return [prediction.result for prediction in predictor.stream(pictures, batch=thread + 1)]

    for ask in (one_by_one, streamed):
        for answers in asked_from_threads(ask):
            assert len(answers) == len(expected)
            assert all(alike(one, other) for one, other in zip(expected, answers, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["keras", "onnx", "litert", "savedmodel"])
def test_a_model_in_parts_draws_the_same_from_eight_threads(loaded: Any, vae: Path, engine: str) -> None:
    predictor = loaded(f"vae:{vae}", engine)
    expected = list(predictor(list(range(6))))
    for answers in asked_from_threads(lambda thread: list(predictor(list(range(6)), batch=1 + thread % 3))):
        for one, other in zip(expected, answers, strict=True):
            pixels = [np.asarray(Image.open(io.BytesIO(each.picture)), int) for each in (one, other)]
            # A sum in another order may round a brightness the other way.
            assert np.abs(pixels[0] - pixels[1]).max() <= 1
