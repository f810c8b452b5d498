from __future__ import annotations

import numpy as np
import pytest

from kerazoo import weights
from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.weights import word2vec


def written(path, rows, between=b"\n", header=None):
    vectors = np.array([vector for _, vector in rows], "<f4")
    data = header or f"{len(rows)} {vectors.shape[1]}\n".encode()
    for (word, _), vector in zip(rows, vectors, strict=True):
        data += word.encode() + b" " + vector.tobytes() + between
    path.write_bytes(data)
    return path


# The first number of the second row begins with the bytes of a line end and a space.
ROWS = [("the", [1.0, -2.5]), ("é日", [float(np.frombuffer(b"\n a\n", "<f4")[0]), 0.0]), ("x", [3.0, 4.0])]


@pytest.mark.parametrize("between", [b"\n", b""])
def test_words_and_vectors_come_back(tmp_path, between):
    path = written(tmp_path / "v.bin", ROWS, between)
    kind, arrays = weights.read(path)
    assert kind == "word2vec"
    np.testing.assert_array_equal(arrays["vectors"], np.array([vector for _, vector in ROWS], np.float32))
    assert word2vec.words(path) == ["the", "é日", "x"]


def test_what_is_written_is_what_the_program_writes(tmp_path):
    path = written(tmp_path / "v.bin", ROWS)
    names, vectors = zip(*ROWS, strict=True)
    word2vec.write(tmp_path / "mine.bin", names, np.array(vectors))
    assert (tmp_path / "mine.bin").read_bytes() == path.read_bytes()
    for bad in (["a b", "c", "d"], ["a", "b"]):
        with pytest.raises(UsageError):
            word2vec.write(tmp_path / "bad.bin", bad, np.array(vectors))
    assert not (tmp_path / "bad.bin").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[:-6], "ends within word 3 of 3|too short"),
        (lambda data: data + b"more", "goes on behind"),
        (lambda data: b"9999999999 300\n" + data[4:], "too short"),
        (lambda data: data.replace("é日".encode(), b"\xff\xfe\xff\xfe\xff"), "word 2 is not UTF-8"),
        (lambda data: data.replace(b"\nthe ", b"\n the"), "has no word there"),
    ],
)
def test_damage_is_told(tmp_path, change, said):
    path = written(tmp_path / "v.bin", ROWS)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(WeightsDamaged, match=said):
        weights.read(path)
