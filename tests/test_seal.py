"""A sealed file or folder is opened as it was written, or not at all."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo import seal
from kerazoo.errors import WeightsDamaged

MANY = settings(max_examples=300)
WHERE = Path("assets.extra", "kerazoo")


def write_zip(path: Path) -> None:
    path.write_bytes(b"a flatbuffer, say" * 20)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("kerazoo.json", "{}")
    seal.seal_zip(path)


def write_onnx(path: Path) -> None:
    import onnx
    from onnx import helper

    node = helper.make_node("Relu", ["x"], ["y"])
    ports = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4]) for name in "xy"]
    onnx.save(helper.make_model(helper.make_graph([node], "g", ports[:1], ports[1:])), path)
    seal.seal_onnx(path)


@pytest.fixture(params=[write_zip, write_onnx], ids=["zip", "onnx"])
def sealed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "sealed"
    request.param(path)
    return path


def test_a_whole_file_passes_and_can_be_read(sealed: Path) -> None:
    seal.check_file(sealed)
    if zipfile.is_zipfile(sealed):
        with zipfile.ZipFile(sealed) as archive:
            assert archive.testzip() is None and archive.namelist() == ["kerazoo.json"]
            assert archive.comment == b"", "Android's MetadataExtractor takes none"
    else:
        import onnx
        import onnxruntime

        onnx.checker.check_model(onnx.load(sealed), full_check=True)
        session = onnxruntime.InferenceSession(str(sealed), providers=["CPUExecutionProvider"])
        (y,) = session.run(None, {"x": np.float32([[-1, 0, 1, 2]])})
        assert y.tolist() == [[0, 0, 1, 2]]


@MANY
@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_every_bit_counts(sealed: Path, at: float, bit: int) -> None:
    whole = sealed.read_bytes()
    damaged = bytearray(whole)
    damaged[int(at * len(whole))] ^= 1 << bit
    try:
        sealed.write_bytes(damaged)
        with pytest.raises(WeightsDamaged):
            seal.check_file(sealed)
    finally:
        sealed.write_bytes(whole)


@pytest.mark.parametrize("change", [
    lambda data: b"", lambda data: data[:-1], lambda data: data[:40], lambda data: data + b"\0", lambda data: data * 2,
    lambda data: data[1:], lambda data: b"no seal at all" * 99, lambda data: data[:-64] + data[-64:].upper(),
], ids=["empty", "cut", "short", "longer", "twice", "begun late", "unsealed", "other digits"])  # fmt: skip
def test_other_damage(sealed: Path, change) -> None:
    sealed.write_bytes(change(sealed.read_bytes()))
    with pytest.raises(WeightsDamaged, match="is damaged"):
        seal.check_file(sealed)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsDamaged, match="cannot be read"):
        seal.check_file(tmp_path / "gone")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "1"
    (made / WHERE).mkdir(parents=True)
    (made / "variables").mkdir()
    for name in ("saved_model.pb", "variables/variables.index", "assets.extra/kerazoo/card.json"):
        (made / name).write_bytes(name.encode() * 9)
    seal.seal_folder(made, WHERE)
    return made


def test_a_whole_folder_passes_wherever_it_is_copied(folder: Path, tmp_path: Path) -> None:
    seal.check_folder(folder, WHERE)
    copy = Path(shutil.copytree(folder, tmp_path / "2"))
    (copy / "note.txt").write_text("What was added is nobody's concern.")
    seal.check_folder(copy, WHERE)


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index", "assets.extra/kerazoo/card.json"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_damaged_folder(folder: Path, name: str, damage: str) -> None:
    path, data = folder / name, (folder / name).read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:-1] if damage == "cut" else bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(WeightsDamaged, match=name):
        seal.check_folder(folder, WHERE)
    seal.check_folder(folder, WHERE, used=lambda other: other != name)


@MANY
@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_damaged_manifest(folder: Path, at: float, bit: int) -> None:
    manifest = folder / WHERE / seal.MANIFEST
    whole = manifest.read_bytes()
    damaged = bytearray(whole)
    damaged[int(at * len(whole))] ^= 1 << bit
    if bytes(damaged).split() == whole.split():
        return  # One kind of blank for another.
    try:
        manifest.write_bytes(damaged)
        with pytest.raises(WeightsDamaged):
            seal.check_folder(folder, WHERE)
    finally:
        manifest.write_bytes(whole)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": 1, "sha256": 2}', '{"files": {"a": 1}, "sha256": "x"}'])
def test_a_manifest_that_makes_no_sense(folder: Path, text: str) -> None:
    (folder / WHERE / seal.MANIFEST).write_text(text)
    with pytest.raises(WeightsDamaged):
        seal.check_folder(folder, WHERE)
    (folder / WHERE / seal.MANIFEST).unlink()
    with pytest.raises(WeightsDamaged, match="has no"):
        seal.check_folder(folder, WHERE)
