"""The cache of artefacts: what is left by an interruption never stands in the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from kerazoo import registry
from kerazoo.export import Artefact, golden, prepare
from kerazoo.formats import SAVED_MODEL, Format


def test_a_bundle_without_its_record_is_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path))
    made = 0

    def checked(model: registry.Model, chosen: Iterable[Format], folder: Path) -> Iterator[Artefact]:
        nonlocal made
        made += 1
        golden.save({"classify": golden.Golden({}, {}, ())}, folder / "golden.npz")
        for form in chosen:
            (folder / form.file).mkdir()
            (folder / form.file / "saved_model.pb").write_text(str(made))
            yield Artefact(form.name, folder / form.file, {})

    monkeypatch.setattr(prepare, "checked", checked)
    model = registry.find("lenet5:mnist")
    bundle = prepare.artefact(model, SAVED_MODEL, lambda line: None)
    (bundle.parent / "prepared.json").unlink()
    assert prepare.artefact(model, SAVED_MODEL, lambda line: None) == bundle
    assert (bundle / "saved_model.pb").read_text() == "2"
    assert prepare.artefact(model, SAVED_MODEL, lambda line: None) == bundle
    assert made == 2
