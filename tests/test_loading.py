"""Which model answers when none is named, and what `load` refuses."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from kerazoo import loading, manifest, store
from kerazoo.errors import UnknownModel, UsageError, WeightsUnavailable
from kerazoo.manifest import Entry


def _pretend(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    here = {manifest.load()[name].name for name in names}
    monkeypatch.setattr(store, "present", lambda entry, role="full": entry.name in here)


def test_the_default_is_taken_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch, loading.DEFAULT, "squeezenet_v1_0:imagenet")
    said: list[str] = []
    assert loading.default_model(said.append) == loading.DEFAULT
    assert loading.DEFAULT in said[0]


def test_the_default_is_fetched_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch)
    fetched: list[str] = []

    def fetch(entry: Entry, **_: Any) -> Path:
        fetched.append(entry.name)
        return Path("there")

    monkeypatch.setattr(store, "fetch", fetch)
    assert loading.default_model(lambda line: None) == loading.DEFAULT
    assert fetched == [loading.DEFAULT]


@pytest.mark.parametrize(
    ("present", "best"),
    [
        (("resnet20:cifar10",), "resnet20:cifar10"),
        (("resnet20:cifar10", "mobilenet_v1_025:imagenet"), "mobilenet_v1_025:imagenet"),
        (("resnet50:imagenet", "squeezenet_v1_0:imagenet", "resnet20:cifar10"), "resnet50:imagenet"),
    ],
)
def test_else_the_best_that_is_present(monkeypatch: pytest.MonkeyPatch, present: tuple[str, ...], best: str) -> None:
    _pretend(monkeypatch, *present)
    said: list[str] = []
    assert loading.default_model(said.append) == best
    assert best in said[0] and loading.DEFAULT in said[0] and "KERAZOO_OFFLINE" in said[0]


def test_digits_are_no_guess_for_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch, "lenet5:mnist")
    with pytest.raises(WeightsUnavailable, match="no other classifier"):
        loading.default_model(lambda line: None)


def test_without_a_network_the_bundled_model_is_chosen_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path))
    start = time.monotonic()
    assert loading.default_model(lambda line: None) == "resnet20:cifar10"
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("model", "engine", "error", "words"),
    [
        ("resnet5", "auto", UnknownModel, "resnet50"),
        ("resnet50:cifar", "auto", UnknownModel, "imagenet"),
        ("lenet5", "tensorrt", UsageError, "onnx"),
        ("unet", "auto", UsageError, "no pretrained weights"),
        ("weights.npz", "auto", UsageError, "say whose"),
        ("bvlc_alexnet.caffemodel", "auto", UsageError, "say whose"),
        ("inception_v1_2016_08_28.tar.gz", "auto", UsageError, "say whose"),
        ("gone.tflite", "auto", UsageError, "No such file"),
        ("lenet5:gone.onnx", "auto", UnknownModel, "no such file exists"),
    ],
)
def test_what_cannot_be_loaded(model: str, engine: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        loading.load(model, engine)


def test_an_onnx_file_behind_a_variant_holds_weights(tmp_path: Path) -> None:
    (tmp_path / "weights.onnx").write_bytes(b"no onnx at all")
    with pytest.raises(UsageError, match="not a weight file"):
        loading.load(f"lenet5:{tmp_path / 'weights.onnx'}", "keras")
