"""`kerazoo predict` as its users meet it: answers first, then everything that inputs can be."""

from __future__ import annotations

import http.server
import io
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.cli.conftest import INTERRUPTIBLE, MODEL, SEVEN


def encode(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def seven() -> Image.Image:
    with Image.open(SEVEN) as image:
        return image.convert("L")


def bomb(width: int, height: int) -> bytes:
    """A PNG of some hundred bytes that declares a huge picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


# --- it answers -------------------------------------------------------------------------------------------------


def test_the_example_is_a_seven(kerazoo: Any) -> None:
    done = kerazoo("predict", SEVEN, "-m", MODEL)
    assert done.status == 0
    assert done.out.splitlines()[0].split()[-1] == "7"
    assert len(done.out.splitlines()) == 5
    assert done.err == ""


def test_json_has_the_promised_keys(kerazoo: Any) -> None:
    done = kerazoo("predict", SEVEN, "-m", MODEL, "--json", "--top", "2")
    (row,) = done.rows
    assert list(row) == ["input", "model", "task", "top", "ms"]
    assert row["model"] == MODEL
    assert row["task"] == "classify"
    assert [list(label) for label in row["top"]] == [["label", "index", "score"]] * 2
    assert row["top"][0]["label"] == "7"
    assert row["ms"] > 0


@pytest.mark.parametrize("engine", ["onnx", "litert"])
def test_every_light_engine_says_the_same(kerazoo: Any, engine: str) -> None:
    assert kerazoo("predict", SEVEN, "-m", MODEL, "--engine", engine, "--json").rows[0]["top"][0]["label"] == "7"


def test_pixels_are_exact_where_asked_for(kerazoo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kerazoo.ops import pictures

    steps: list[int] = []

    def noted(*arguments: Any) -> pictures.Picture:
        steps.append((picture := pictures.open_picture(*arguments)).step)
        return picture

    monkeypatch.setattr("kerazoo.ops.numpy.pictures.open_picture", noted)
    large = tmp_path / "07_seven.png"
    seven().resize((600, 600)).save(large)
    scores = [
        kerazoo("predict", large, "-m", MODEL, "--json", *flags).rows[0]["top"][0]["score"]
        for flags in ((), ("--exact-pixels",))
    ]
    assert scores[0] == pytest.approx(scores[1], abs=0.01)
    assert kerazoo("evaluate", MODEL, tmp_path, "--json").rows[0]["top-1"] == 100
    assert kerazoo("evaluate", MODEL, tmp_path, "--no-exact-pixels", "--json").rows[0]["top-1"] == 100
    assert [step > 1 for step in steps] == [True, False, False, True]
    assert kerazoo("predict", large, "--server", "http://localhost:1", "--exact-pixels").status == 2


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["keras", "savedmodel"])
def test_the_tensorflow_engines_say_the_same(prepared: Path, engine: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kerazoo", "predict", str(SEVEN), "-m", MODEL, "--engine", engine, "--top", "1"],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAZOO_HOME": str(prepared), "KERAZOO_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "7"
    assert "oneDNN" not in done.stderr


# --- where inputs come from ---------------------------------------------------------------------------------------


def test_folders_are_sorted_and_read_by_suffix(kerazoo: Any, tmp_path: Path) -> None:
    for name in ("b.png", "a.PNG", "c.jpg"):
        (tmp_path / name).write_bytes(encode(seven(), "JPEG" if name.endswith("jpg") else "PNG"))
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "d.png").write_bytes(encode(seven()))
    flat = kerazoo("predict", tmp_path, "-m", MODEL, "--json")
    assert [Path(row["input"]).name for row in flat.rows] == ["a.PNG", "b.png", "c.jpg"]
    deep = kerazoo("predict", tmp_path, "-m", MODEL, "--json", "--recursive")
    assert [Path(row["input"]).name for row in deep.rows] == ["a.PNG", "b.png", "c.jpg", "d.png"]
    assert all(row["top"][0]["label"] == "7" for row in deep.rows)


def test_globs_lists_and_unicode_names(kerazoo: Any, tmp_path: Path) -> None:
    names = ["sieben 7.png", "семь.png", "七.png"]
    for name in names:
        (tmp_path / name).write_bytes(SEVEN.read_bytes())
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(str(tmp_path / name) for name in names) + "\n", encoding="utf-8")
    for inputs in (tmp_path / "*.png", f"@{listed}"):
        done = kerazoo("predict", inputs, "-m", MODEL, "--json")
        assert done.status == 0
        assert sorted(Path(row["input"]).name for row in done.rows) == sorted(names)


def test_standard_input(prepared: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kerazoo", "predict", "-", "-m", MODEL, "--json"],
        input=SEVEN.read_bytes(),
        capture_output=True,
        env={**os.environ, "KERAZOO_HOME": str(prepared)},
    )
    assert done.returncode == 0, done.stderr
    assert b'"input": "-"' in done.stdout
    assert b'"label": "7"' in done.stdout


def test_urls(kerazoo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "seven.png").write_bytes(SEVEN.read_bytes())

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *args: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        offline = kerazoo("predict", f"{url}/seven.png", "-m", MODEL)
        assert offline.status == 3
        assert "KERAZOO_OFFLINE" in offline.err
        monkeypatch.delenv("KERAZOO_OFFLINE")
        done = kerazoo("predict", f"{url}/seven.png", f"{url}/gone.png", "-m", MODEL, "--json")
        assert done.status == 3
        assert done.rows[0]["top"][0]["label"] == "7"
        assert "404" in done.rows[1]["error"]
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_batches_give_the_same_answers_in_order(kerazoo: Any, tmp_path: Path, batch: int) -> None:
    for index in range(5):
        (tmp_path / f"{index}.png").write_bytes(SEVEN.read_bytes() if index != 2 else b"broken")
    done = kerazoo("predict", tmp_path, "-m", MODEL, "--json", "--batch", batch)
    assert done.status == 3
    assert [Path(row["input"]).stem for row in done.rows] == list("01234")
    assert ["error" in row for row in done.rows] == [False, False, True, False, False]


# --- what pictures can be -----------------------------------------------------------------------------------------


def _sideways() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # Shown turned by 90 degrees clockwise.
    return encode(seven().rotate(90, expand=True), "JPEG", exif=exif, quality=95)


def _animated() -> bytes:
    frames = [seven(), Image.new("L", seven().size, 0)]
    return encode(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)


def _palette() -> bytes:
    # Transparent where the picture is white: laid on white, the stroke is there all the same.
    picture = seven().quantize(16)
    brightest = max(range(16), key=lambda index: picture.getpalette()[index * 3])  # type: ignore[index]
    return encode(picture, "PNG", transparency=brightest)


ODD = {
    "cmyk.jpg": lambda: encode(seven().convert("RGB").convert("CMYK"), "JPEG", quality=95),
    "deep.png": lambda: encode(Image.fromarray(np.asarray(seven(), np.uint16) * 257)),
    "palette.png": _palette,
    "animated.gif": _animated,
    "sideways.jpg": _sideways,
    "grey-alpha.png": lambda: encode(Image.merge("LA", (seven(), Image.new("L", seven().size, 255)))),
    "one-bit.png": lambda: encode(seven().convert("1")),
    "wide.webp": lambda: encode(seven().convert("RGB"), "WEBP", lossless=True),
    "bitmap.bmp": lambda: encode(seven(), "BMP"),
    "tiff.tif": lambda: encode(seven(), "TIFF"),
    "tiny-but-right.png": lambda: encode(seven().resize((28, 28))),
    "odd-size.png": lambda: encode(seven().resize((131, 97))),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_pictures_are_read_rightly(kerazoo: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(ODD[name]())
    done = kerazoo("predict", tmp_path / name, "-m", MODEL, "--json")
    assert done.status == 0, done
    assert done.rows[0]["top"][0]["label"] == "7"


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (3, 2)])
def test_any_size_has_an_answer(kerazoo: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "x.png").write_bytes(encode(Image.new("RGB", size, "red")))
    assert kerazoo("predict", tmp_path / "x.png", "-m", MODEL).status == 0


BAD = {
    "empty.png": (b"", "empty"),
    "text.png": (b"this is not a picture", "Not a picture"),
    "truncated.jpg": (encode(seven(), "JPEG")[:900], "truncated"),
    "truncated.png": (encode(seven())[:900], "truncated"),
    "bomb.png": (bomb(20000, 20000), "400000000 pixels"),
    "smaller-bomb.png": (bomb(12000, 9000), "108000000 pixels"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_pictures_are_one_row_each(kerazoo: Any, tmp_path: Path, name: str) -> None:
    data, words = BAD[name]
    (tmp_path / name).write_bytes(data)
    (tmp_path / "zzz.png").write_bytes(SEVEN.read_bytes())
    done = kerazoo("predict", tmp_path, "-m", MODEL, "--json")
    assert done.status == 3
    bad, good = done.rows
    assert list(bad) == ["input", "model", "error"]
    assert words in bad["error"]
    assert len(bad["error"].splitlines()) <= 3
    assert good["top"][0]["label"] == "7"
    plain = kerazoo("predict", tmp_path / name, "-m", MODEL)
    assert plain.status == 3
    assert plain.out == ""
    assert words in plain.err


@settings(max_examples=60)
@given(st.binary(max_size=300), st.integers(0, 1200))
def test_no_bytes_end_the_program(kerazoo: Any, tmp_path: Path, noise: bytes, cut: int) -> None:
    path = tmp_path / "x"
    for data in (noise, SEVEN.read_bytes()[:cut] + noise, encode(seven(), "JPEG")[:cut] + noise):
        path.write_bytes(data)
        assert kerazoo("predict", path, "-m", MODEL, "--json").status in (0, 3)


def test_files_that_are_not_there(kerazoo: Any, tmp_path: Path) -> None:
    (tmp_path / "hollow").mkdir()
    for given_, words in (
        ("", "empty name"),
        ("gone.png", "No such file"),
        (tmp_path / "hollow", "No files to read in this folder"),
        (tmp_path / "*.jpeg", "No file matches"),
    ):
        done = kerazoo("predict", given_, SEVEN, "-m", MODEL, "--json")
        assert done.status == 3
        assert words in done.rows[0]["error"]
        assert done.rows[1]["top"][0]["label"] == "7"


# --- wrong questions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ((), 2, "Nothing to predict"),
        ((SEVEN, "-m", "lenet6"), 2, "Did you mean lenet5"),
        ((SEVEN, "-m", "lenet5:minst"), 2, "mnist"),
        ((SEVEN, "-m", "resnet32"), 2, "no pretrained weights"),
        ((SEVEN, "-m", MODEL, "--engine", "onyx"), 2, "Did you mean onnx"),
        ((SEVEN, "-m", "gone.onnx"), 2, "No such file"),
        ((SEVEN, "-m", "mine.weights.h5"), 2, "say whose"),
        ((SEVEN, "-m", MODEL, "--seed", "3"), 2, "--seed is for models that sample"),
        (
            (SEVEN, "-m", MODEL, "--count", "3"),
            2,
            "--count is for models that draw from a seed; this one does classify",
        ),
        ((SEVEN, "-m", MODEL, "--temperature", "0.5"), 2, "--temperature is for models that draw from a seed"),
        ((SEVEN, "-m", MODEL, "-o", "x.png"), 2, "-o writes pictures"),
        ((SEVEN, "-m", MODEL, "--top", "0"), 2, "--top"),
        (("@gone.txt", "-m", MODEL), 2, "gone.txt"),
        ((SEVEN, "-m", "mobilenet_v1:imagenet"), 5, "KERAZOO_OFFLINE"),
    ],
)
def test_wrong_questions_say_what_to_do(kerazoo: Any, arguments: tuple[Any, ...], status: int, words: str) -> None:
    done = kerazoo("predict", *arguments)
    assert (done.status, done.out) == (status, "")
    assert words in done.err


def test_an_unknown_command_is_a_usage_error(kerazoo: Any) -> None:
    done = kerazoo("predcit", SEVEN)
    assert done.status == 2
    assert "Did you mean predict" in done.err


# --- artefacts as models ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.onnx", "model.tflite"])
def test_an_artefact_needs_no_other_file(kerazoo: Any, prepared: Path, tmp_path: Path, name: str) -> None:
    (found,) = (prepared / "artefacts").rglob(name)
    alone = tmp_path / name
    alone.write_bytes(found.read_bytes())
    done = kerazoo("predict", SEVEN, "-m", alone, "--json")
    assert done.status == 0
    assert done.rows[0]["top"][0]["label"] == "7"
    alone.write_bytes(found.read_bytes()[: found.stat().st_size // 2])
    broken = kerazoo("predict", SEVEN, "-m", alone)
    assert broken.status == 2
    assert str(alone) in broken.err


def test_a_damaged_cache_is_prepared_again(kerazoo: Any, prepared: Path) -> None:
    (record,) = (prepared / "artefacts").rglob("prepared.json")
    before = record.read_bytes()
    try:
        record.write_text("{half")
        done = kerazoo("predict", SEVEN, "-m", MODEL, "--top", "1")
        assert done.status == 0
        assert "Preparing" in done.err
    finally:
        record.write_bytes(before)


@pytest.mark.slow
def test_interrupting_the_preparation_leaves_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*INTERRUPTIBLE, "predict", str(SEVEN), "-m", MODEL],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "KERAZOO_HOME": str(tmp_path), "KERAZOO_OFFLINE": "1"},
        start_new_session=True,
    )
    assert process.stderr is not None
    assert "Preparing" in process.stderr.readline()
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and not path.name.endswith(".lock")] == []


def test_the_reader_may_go_away(prepared: Path, tmp_path: Path) -> None:
    for index in range(30):
        (tmp_path / f"{index}.png").write_bytes(SEVEN.read_bytes())
    done = subprocess.run(
        f"{sys.executable} -m kerazoo predict {tmp_path} -m {MODEL} --json | head -1",
        shell=True,
        capture_output=True,
        text=True,
        env={**os.environ, "KERAZOO_HOME": str(prepared)},
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_a_full_disk_is_said_in_one_line(kerazoo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from kerazoo.export import prepare

    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device", "/there")

    monkeypatch.setattr(prepare, "fastest", full)
    done = kerazoo("predict", SEVEN, "-m", MODEL)
    assert (done.status, done.out) == (1, "")
    assert done.err == "error: No space left on device: /there\n"
