"""One command for every task: each answers from weights of the user's own, on the engine keras."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kerazoo import registry
from kerazoo.codecs.text import placeholder


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A file of random weights for a variant, so that nothing has to be fetched."""
    folder = tmp_path_factory.mktemp("own")

    def save(variant: str, form: str = "npz") -> Path:
        path = folder / f"{variant}.{form}"
        if not path.exists():
            model = registry.find(variant)
            built = model.family.build(model.described.config)
            if form == "npz":
                np.savez(path, **{variable.path: variable.numpy() for variable in built.weights})
            elif form == "keras":
                built.save(path)
            else:
                built.save_weights(path)
        return path

    return save


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def picture(path: Path, size: tuple[int, int]) -> Path:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), np.uint8)).save(path)
    return path


@pytest.mark.slow
def test_redraw_writes_a_picture_only_where_it_is_told(kerazoo: Any, own: Any, tmp_path: Path) -> None:
    source = picture(tmp_path / "small.png", (21, 13))
    model = f"espcn_x3:{own('espcn_x3')}"
    unasked = kerazoo("predict", source, "-m", model)
    assert unasked.status == 0
    assert "-o PATH" in unasked.err
    done = kerazoo("predict", source, "-m", model, "-o", tmp_path / "large.png", "--json")
    assert done.status == 0, done.err
    assert done.rows[0]["file"] == str(tmp_path / "large.png")
    assert read(tmp_path / "large.png").shape == (39, 63, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["large.png", "small.png"]


@pytest.mark.slow
def test_sample_takes_seeds(kerazoo: Any, own: Any, tmp_path: Path) -> None:
    model = f"vae:{own('vae')}"
    done = kerazoo("predict", "--seed", "3", "--seed", "4", "-m", model, "-o", tmp_path / "out", "--json")
    assert done.status == 0, done.err
    assert [row["input"] for row in done.rows] == ["3", "4"]
    three, four = (read(tmp_path / "out" / f"{seed}.png") for seed in (3, 4))
    assert three.shape == (28, 28)
    assert not np.array_equal(three, four)
    again = kerazoo("predict", "--seed", "3", "-m", model, "-o", tmp_path / "again.png")
    assert again.status == 0
    assert np.array_equal(read(tmp_path / "again.png"), three)
    wrong = kerazoo("predict", "x.png", "-m", model)
    assert wrong.status == 2
    assert "--seed" in wrong.err


@pytest.mark.slow
def test_nodes_reads_a_graph(kerazoo: Any, own: Any, tmp_path: Path) -> None:
    features = np.random.default_rng(0).random((5, 500), np.float32)
    np.savez(tmp_path / "graph.npz", features=features, edges=np.array([[0, 1], [1, 2], [3, 4]]))
    bad = {"features": features[:, :3].tolist(), "edges": [[0, 9]]}
    (tmp_path / "other.json").write_text(json.dumps(bad))
    done = kerazoo(
        "predict", tmp_path / "graph.npz", tmp_path / "other.json", "-m", f"gcn_pubmed:{own('gcn_pubmed')}", "--json"
    )
    assert done.status == 3, done
    good, failed = done.rows
    assert good["task"] == "nodes"
    assert len(good["nodes"]) == 5
    assert "error" in failed


@pytest.mark.slow
@pytest.mark.parametrize("form", ["npz", "weights.h5"])
def test_weights_of_ones_own_with_their_variant(kerazoo: Any, own: Any, tmp_path: Path, form: str) -> None:
    source = picture(tmp_path / "x.png", (40, 30))
    done = kerazoo("predict", source, "-m", f"resnet20:{own('resnet20', form)}", "--json")
    assert done.status == 0, done.err
    assert len(done.rows[0]["top"]) == 5


@pytest.mark.slow
def test_a_keras_file(kerazoo: Any, own: Any, tmp_path: Path) -> None:
    source = picture(tmp_path / "x.png", (40, 30))
    asked = [
        kerazoo("predict", source, "-m", own("lenet5", "keras"), "--json", *more)
        for more in ((), ("--engine", "keras"))
    ]
    assert [done.status for done in asked] == [0, 0], [done.err for done in asked]
    fast, keras = (done.rows[0]["top"] for done in asked)
    assert [row["label"] for row in fast] == [row["label"] for row in keras]
    np.testing.assert_allclose([row["score"] for row in fast], [row["score"] for row in keras], rtol=1e-3)
    (tmp_path / "no.keras").write_bytes(b"PK\x03\x04 but no more")
    broken = kerazoo("predict", source, "-m", tmp_path / "no.keras")
    assert broken.status == 2
    assert "no.keras" in broken.err


def test_weights_of_another_variant_are_refused(kerazoo: Any, own: Any, tmp_path: Path) -> None:
    source = picture(tmp_path / "x.png", (40, 30))
    done = kerazoo("predict", source, "-m", f"resnet32:{own('resnet20')}")
    assert done.status in (2, 5)
    assert done.out == ""
    assert "stage" in done.err


@pytest.mark.slow
def test_translation_draws_where_it_looked(kerazoo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    family, described = registry.variants()["attention_bahdanau"]
    small = replace(described, config=described.small)
    monkeypatch.setitem(family.VARIANTS, "attention_bahdanau", small)
    monkeypatch.setitem(registry.variants(), "attention_bahdanau", (family, small))
    built = family.build(small.config)
    np.savez(tmp_path / "mine.npz", **{variable.path: variable.numpy() for variable in built.weights})
    for side, size in (("source", 40), ("target", 50)):
        (tmp_path / f"mine.{side}.txt").write_bytes(placeholder(size).dumps())
    model = f"attention_bahdanau:{tmp_path / 'mine.npz'}"
    asked = ("predict", "word5 word7", "-m", model, "--engine", "keras", "--json")
    plain, told = kerazoo(*asked).rows[0], kerazoo(*asked, "--attention").rows[0]
    assert "attention" not in plain and told["text"] == plain["text"]
    assert told["source"] == ["word5", "word7", "<end>"] and np.shape(told["attention"]) == (len(told["target"]), 3)
    drawn = kerazoo(*asked, "-o", tmp_path / "attention.png")
    assert drawn.status == 0 and drawn.rows[0]["file"] == str(tmp_path / "attention.png")
    assert read(tmp_path / "attention.png").ndim == 3
    kerazoo(*asked, "-o", tmp_path / "said.txt")
    assert (tmp_path / "said.txt").read_text() == f"{plain['text']}\n"
    other = kerazoo("predict", "7", "-m", "lenet5:mnist", "--attention")
    assert other.status == 2 and "has no attention" in other.err
