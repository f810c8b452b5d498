"""Every public array function of one op set says what its twin says, eagerly and in a graph."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from kerazoo.codecs._wordpiece import WordPiece, placeholder
from kerazoo.errors import InputError
from kerazoo.ops import numpy as host
from kerazoo.ops import tensorflow as graph

HOST_ONLY = {"open_sound"}
"""What opens files of the rarest kinds before a graph sees them."""


@dataclass(frozen=True)
class Case:
    """Arguments to draw, the call to make with them, and how far its answers may lie apart."""

    draw: st.SearchStrategy[tuple[Any, ...]]
    call: Callable[..., Any]
    relative: float = 0.0
    absolute: float = 0.0
    examples: int = 12


def _array(*shape: int, dtype: str = "float32", low: float = -50, high: float = 50) -> st.SearchStrategy[Any]:
    if dtype.startswith("float"):
        elements: Any = st.floats(low, high, width=32, allow_subnormal=False)
    elif dtype == "bool":
        elements = st.booleans()
    else:
        elements = st.integers(int(low), int(high))
    return hnp.arrays(dtype, shape, elements=elements)


def _sized(rank: int, dtype: str = "float32", low: float = -50, high: float = 50, least: int = 1) -> Any:
    sides = st.tuples(*[st.integers(least, 5)] * rank)
    return sides.flatmap(lambda shape: _array(*shape, dtype=dtype, low=low, high=high))


def _scene(height: int = 37, width: int = 53) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(y / 7 + x / 11), np.cos(x / 5), np.sin(y / 3) * np.cos(x / 9)]
    return np.rint(np.stack(waves, -1) * 110 + 128).astype(np.uint8)


def _encoded() -> list[bytes]:
    scene = Image.fromarray(_scene())
    grey, palette = scene.convert("L"), scene.convert("P", palette=Image.Palette.ADAPTIVE, colors=40)
    found = []
    for image, kind, options in [
        (scene, "JPEG", {"quality": 95, "subsampling": 0}),
        (scene, "JPEG", {"quality": 80, "subsampling": 2}),
        (scene, "JPEG", {"quality": 60, "progressive": True}),
        (grey, "JPEG", {}),
        (scene, "PNG", {}),
        (grey, "PNG", {}),
        (palette, "PNG", {}),
        (scene.convert("1"), "PNG", {}),
        (scene.resize((1, 1)), "PNG", {}),
        (palette, "GIF", {}),
        (palette, "GIF", {"save_all": True, "append_images": [palette.rotate(180)]}),
        (scene, "BMP", {}),
    ]:
        out = io.BytesIO()
        image.save(out, kind, **options)
        found.append(out.getvalue())
    return found


def _unresized(ops: Any, picture: Any) -> Any:
    return ops.resize(picture, *ops.size(picture), "bilinear")


def _pixels_of(png: Any) -> np.ndarray:
    data = png if isinstance(png, bytes) else png.numpy()
    return np.asarray(Image.open(io.BytesIO(data)))


ONE = _sized(1)
TWO = _sized(2)
TEXTS = st.one_of(
    st.text(max_size=30).map(lambda text: text.encode("utf-8", "replace")),
    st.binary(max_size=12),
    st.sampled_from(["Ünï-cödé’s", "l'homme", "日本語 text", "a\x00b", "", "😀 fine"]).map(str.encode),
)
PLANE = st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])).flatmap(
    lambda shape: _array(*shape, dtype="uint8", low=0, high=255)
)
RATES = st.sampled_from([8000, 44100])
SIGNALS = st.tuples(
    st.integers(1, 90).flatmap(lambda n: _array(2, n, low=-1, high=1)),
    st.sampled_from([8, 32]),
    st.sampled_from([3, 4]),
)

CASES: dict[str, Case] = {
    "decode_image": Case(
        st.tuples(st.sampled_from(_encoded()), st.sampled_from([1, 3])),
        lambda ops, data, channels: ops.decode_image(data, channels),
        examples=60,
    ),
    "decode_picture": Case(
        st.tuples(st.sampled_from(_encoded()), st.sampled_from([1, 3])),
        # What it gives is not an array on both sides; resized to its own size it is.
        lambda ops, data, channels: _unresized(ops, ops.decode_picture(data, channels)),
        examples=60,
    ),
    "crop": Case(
        st.tuples(PLANE, st.integers(0, 8), st.integers(0, 8)),
        lambda ops, pixels, top, left: ops.crop(
            pixels, min(top, pixels.shape[0] - 1), min(left, pixels.shape[1] - 1), 1, 1
        ),
    ),
    "encode_png": Case(
        st.tuples(PLANE),
        # Compression may differ; in a graph the file is a tensor, which decode_image reads back.
        lambda ops, pixels: ops.decode_image(ops.encode_png(pixels), pixels.shape[-1]),
    ),
    "resize": Case(
        st.tuples(st.just(_scene()), st.integers(1, 80), st.integers(1, 80), st.sampled_from(["bilinear", "bicubic"])),
        lambda ops, pixels, height, width, how: (
            ops.resize(pixels, height, width, how),
            ops.resize(pixels, height, width, how, (height // 3, 0, height - height // 3, 1)),
        ),
        absolute=1.0,
    ),
    "map_items": Case(
        st.tuples(_sized(2, least=0)),
        lambda ops, x: (
            ops.map_items(lambda row: row * 2.0, x, (x.shape[1],)),
            ops.map_items(lambda row: ops.cast(row, "int64"), x, (x.shape[1],), "int64"),
            ops.map_items(
                lambda row: (ops.cast(row, "int32"), ops.length(row)), x, ((x.shape[1],), ()), ("int32", "int32")
            ),
        ),
    ),
    "strings": Case(st.tuples(st.lists(st.binary(max_size=5), min_size=1, max_size=4)), lambda ops, v: ops.strings(v)),
    "size": Case(st.tuples(PLANE), lambda ops, pixels: ops.size(pixels)),
    "length": Case(st.tuples(TWO), lambda ops, x: ops.length(x)),
    "minimum": Case(st.tuples(ONE), lambda ops, x: (ops.minimum(x, 3.0), ops.minimum(2, 5))),
    "maximum": Case(st.tuples(ONE), lambda ops, x: (ops.maximum(x, 3.0), ops.maximum(2, 5))),
    "cast": Case(
        st.tuples(TWO, st.sampled_from(["int32", "int64", "float32", "bool"])), lambda ops, x, to: ops.cast(x, to)
    ),
    "softmax": Case(st.tuples(TWO), lambda ops, x: ops.softmax(x), relative=1e-5, absolute=1e-7),
    "argmax": Case(st.tuples(TWO, st.sampled_from([0, -1])), lambda ops, x, axis: ops.argmax(x, axis)),
    "top_k": Case(st.tuples(TWO), lambda ops, x: ops.top_k(x, (x.shape[1] + 1) // 2)),
    "gather_batched": Case(
        st.tuples(_array(3, 4, 2), _array(3, 5, dtype="int32", low=0, high=3)),
        lambda ops, x, at: (ops.gather_batched(x, at), ops.gather_batched(x[..., 0], at)),
    ),
    # Four products of up to 2,500 may cancel out, and each is known to a ten-millionth.
    "matmul": Case(
        st.tuples(_array(2, 3, 4), _array(2, 4, 5)), lambda ops, a, b: ops.matmul(a, b), relative=1e-5, absolute=1e-3
    ),
    # A graph knows no more than the limit.
    "most": Case(st.tuples(st.integers(0, 9)), lambda ops, number: ops.cast(ops.most(number, number), "int32")),
    "abs": Case(st.tuples(TWO), lambda ops, x: (ops.abs(x), ops.abs(ops.cast(x, "complex64") * 1j)), relative=1e-6),
    "exp": Case(st.tuples(TWO), lambda ops, x: ops.exp(x), relative=1e-5),
    "pad": Case(
        st.tuples(TWO, st.integers(0, 3), st.integers(0, 3)),
        lambda ops, x, before, behind: ops.pad(x, ((before, 0), (1, behind)), 7.0),
    ),
    "decode_audio": Case(
        st.tuples(_array(6, 2, low=-1.5, high=1.5), st.sampled_from([1, 2]), st.sampled_from([1, 2]), RATES),
        lambda ops, x, there, wanted, rate: ops.decode_audio(host.encode_wav(x[:, :there], rate), wanted),
        absolute=1e-7,
    ),
    "encode_wav": Case(
        st.tuples(st.integers(1, 9).flatmap(lambda n: _array(n, 2, low=-1.5, high=1.5)), RATES),
        lambda ops, x, rate: ops.encode_wav(x, rate),
    ),
    "stft": Case(SIGNALS, lambda ops, x, frame, hop: ops.stft(x, frame, hop), absolute=1e-6),
    "istft": Case(SIGNALS, lambda ops, x, frame, hop: ops.istft(ops.stft(x, frame, hop), frame, hop), absolute=1e-5),
    "gather": Case(
        st.tuples(_array(4, 3), _sized(2, "int32", 0, 2)),
        lambda ops, x, at: (ops.gather(x, at), ops.gather(("a", "bé", ""), at)),
    ),
    # Below: text, randomness, loops, tiles.
    "check": Case(st.tuples(_array(3, low=0, high=1)), lambda ops, x: (ops.check(x >= 0.0, "no"), x)[1]),
    "while_loop": Case(
        st.tuples(st.integers(0, 6), _array(2)),
        lambda ops, stop, x: ops.while_loop(
            lambda i, y: i < stop, lambda i, y: (i + 1, y * 0.5 + 1.0), (ops.cast(0, "int32"), x)
        ),
        relative=1e-6,
    ),
    "map_range": Case(
        st.tuples(st.integers(1, 5), TWO),
        lambda ops, n, x: ops.map_range(lambda i: x * ops.cast(i, "float32"), n, (None, x.shape[1]), "float32"),
    ),
    "arange": Case(st.tuples(st.integers(0, 9)), lambda ops, n: ops.arange(n)),
    "full": Case(
        st.tuples(st.integers(0, 4)),
        lambda ops, n: (ops.full((n, 2), 3, "int64"), ops.full((n,), 0.5, "float32"), ops.full((n,), True, "bool")),
    ),
    "reshape": Case(st.tuples(_array(4, 3)), lambda ops, x: ops.reshape(x, (2, 6))),
    "transpose": Case(st.tuples(_sized(3)), lambda ops, x: ops.transpose(x, (2, 0, 1))),
    "concat": Case(st.tuples(TWO, st.sampled_from([0, 1, -1])), lambda ops, x, axis: ops.concat([x, x + 1.0], axis)),
    "stack": Case(st.tuples(TWO, st.sampled_from([0, 1, -1])), lambda ops, x, axis: ops.stack([x, x + 1.0], axis)),
    "where": Case(st.tuples(_array(4, dtype="bool"), _array(4)), lambda ops, c, x: ops.where(c, x, x * 2.0)),
    "sum": Case(
        st.tuples(_sized(2, "int32"), TWO, st.booleans()),
        lambda ops, i, x, keep: (ops.sum(i, 0, keep), ops.sum(x, 1, keepdims=keep)),
        relative=1e-5,
        absolute=1e-4,
    ),
    "round": Case(st.tuples(_sized(2)), lambda ops, x: ops.round(x)),
    "any": Case(st.tuples(_sized(2, "bool")), lambda ops, x: ops.any(x, 1)),
    "cumsum": Case(st.tuples(_sized(2, "int32")), lambda ops, x: ops.cumsum(x)),
    "sqrt": Case(st.tuples(_sized(1, low=0)), lambda ops, x: ops.sqrt(x), relative=1e-6),
    "sigmoid": Case(st.tuples(_sized(1, low=-1000, high=1000)), lambda ops, x: ops.sigmoid(x), absolute=1e-6),
    "log_softmax": Case(st.tuples(TWO), lambda ops, x: ops.log_softmax(x), relative=1e-5, absolute=1e-5),
    "unique": Case(st.tuples(_sized(1, "int64", least=0)), lambda ops, x: ops.unique(x)),
    "bincount": Case(
        st.tuples(_sized(1, "int32", 0, 6, least=0), st.integers(1, 7)), lambda ops, x, n: ops.bincount(x, n)
    ),
    "segment_sum": Case(
        st.tuples(_array(5, dtype="int64", low=-(2**63), high=2**63 - 1), _array(5, dtype="int32", low=0, high=3)),
        lambda ops, x, at: ops.segment_sum(x, at, 4),
    ),
    "segment_min": Case(
        st.tuples(_array(5, dtype="int32", low=-90, high=90), _array(5, dtype="int32", low=0, high=3)),
        lambda ops, x, at: ops.segment_min(x, at, 4),
    ),
    "searchsorted": Case(
        st.tuples(_array(6, dtype="int64")), lambda ops, x: ops.searchsorted(np.array([-30, -2, 0, 7, 40], np.int64), x)
    ),
    "whole": Case(st.tuples(_sized(2, low=-400, high=400)), lambda ops, x: ops.whole(x)),
    "code_points": Case(st.tuples(TEXTS), lambda ops, text: ops.code_points(text)),
    "word_pieces": Case(
        st.tuples(TEXTS),
        lambda ops, text: ops.word_pieces(text, WordPiece(placeholder(60), longest=10)),
        examples=3,  # A graph of many operations; tests of the codec hold one for many texts.
    ),
    "join": Case(
        st.tuples(st.lists(TEXTS, min_size=4, max_size=4)),
        lambda ops, words: ops.join(ops.reshape(ops.strings(words), (2, 2))),
    ),
    "uniform": Case(
        st.tuples(_sized(1, "int64", -(2**63), 2**63 - 1), st.integers(1, 5)),
        lambda ops, seeds, n: ops.uniform(seeds, n),
    ),
    "normal": Case(
        st.tuples(_sized(1, "int64", -(2**63), 2**63 - 1), st.integers(1, 5)),
        lambda ops, seeds, n: ops.normal(seeds, n),
        absolute=1e-6,
    ),
}


def _public(module: Any) -> dict[str, Any]:
    functions = inspect.getmembers(module, inspect.isfunction)
    return {
        name: fn for name, fn in functions if fn.__module__.startswith(module.__name__) and not name.startswith("_")
    }


NAMES = sorted((set(_public(host)) | set(_public(graph)) | set(CASES)) - HOST_ONLY)


def _leaves(value: Any) -> list[np.ndarray]:
    if isinstance(value, tuple):
        return [leaf for item in value for leaf in _leaves(item)]
    return [np.asarray(value.numpy() if hasattr(value, "numpy") else value)]


@pytest.mark.parametrize("name", NAMES)
def test_twins(name: str) -> None:
    one, other = _public(host).get(name), _public(graph).get(name)
    assert one is not None, f"{name} is missing in kerazoo/ops/numpy"
    assert other is not None, f"{name} is missing in kerazoo/ops/tensorflow"
    assert name in CASES, f"{name} has no case in this test"
    assert list(inspect.signature(one).parameters) == list(inspect.signature(other).parameters)
    case = CASES[name]

    @settings(max_examples=case.examples, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case.draw)
    def agree(arguments: tuple[Any, ...]) -> None:
        expected = _leaves(case.call(host, *arguments))
        eager = case.call(graph, *arguments)
        traced = tf.function(lambda: case.call(graph, *arguments), autograph=False)()
        for got in (_leaves(eager), _leaves(traced)):
            assert len(got) == len(expected)
            for a, b in zip(expected, got, strict=True):
                assert a.shape == b.shape
                # A size is a Python number in one and a tensor in the other.
                assert a.dtype == b.dtype or name in ("size", "length", "minimum", "maximum")
                if a.dtype.kind in "OS" or (a.dtype.kind in "iu" and not case.absolute):
                    assert a.tolist() == b.tolist()
                else:
                    wide = np.complex128 if a.dtype.kind == "c" else np.float64
                    np.testing.assert_allclose(b.astype(wide), a.astype(wide), rtol=case.relative, atol=case.absolute)

    agree()


def test_check_refuses() -> None:
    with pytest.raises(InputError, match="too many"):
        host.check(np.array([True, False]), "too many")
    with pytest.raises(tf.errors.InvalidArgumentError, match="too many"):
        tf.function(lambda x: (graph.check(x < 1, "too many"), x)[1], autograph=False)(tf.constant([0, 1]))


@pytest.mark.parametrize("kinds", [1, 5, 10**6])
def test_the_largest_of_many_are_those_of_a_whole_sort(kinds: int) -> None:
    scores = np.random.default_rng(kinds).integers(0, kinds, (3, 2000)).astype(np.float32)
    for k in (1, 7, 31):
        (values, order), (theirs, places) = host.top_k(scores, k), graph.top_k(scores, k)
        np.testing.assert_array_equal(order, np.argsort(-scores, axis=-1, kind="stable")[:, :k])
        np.testing.assert_array_equal(values, theirs)
        np.testing.assert_array_equal(order, places)
    scores[0] = np.nan
    assert host.top_k(scores, 3)[1][0].tolist() == [0, 1, 2]
    assert host.top_k(scores[:0], 3)[1].shape == (0, 3)


def test_uniform_numbers_are_uniform_and_a_longer_row_begins_with_the_shorter() -> None:
    numbers = host.uniform(np.arange(-500, 500), 40)
    assert numbers.min() > 0 and numbers.max() < 1
    share = np.histogram(numbers, 10, (0, 1))[0] / numbers.size
    np.testing.assert_allclose(share, 0.1, atol=0.01)
    assert np.array_equal(host.uniform(np.array([7]), 3), host.uniform(np.array([7, 8]), 40)[:1, :3])


def test_noise_is_normal_and_a_longer_row_begins_with_the_shorter() -> None:
    noise = host.normal(np.arange(-500, 500), 40)
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02
    assert np.abs(np.corrcoef(noise[:, 0], noise[:, 1])[0, 1]) < 0.1
    assert np.abs(np.corrcoef(noise[:-1, 0], noise[1:, 0])[0, 1]) < 0.1
    assert np.array_equal(host.normal(np.array([7]), 3), host.normal(np.array([7, 8]), 40)[:1, :3])


def test_noise_stays_what_it_was() -> None:
    # Computed by hand from the published definition; a change would redraw every picture of every seed.
    def mix(bits: int) -> int:
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
            bits = (bits ^ (bits >> shift)) * factor % 2**64
        return bits

    gamma = 0x9E3779B97F4A7C15
    key = mix((7 + gamma) % 2**64)
    first, second = (((mix((key + i * gamma) % 2**64) >> 11) + 0.5) * 2.0**-53 for i in (1, 2))
    expected = np.sqrt(-2 * np.log(first)) * np.cos(2 * np.pi * second)
    assert host.normal(np.array([7]), 1)[0, 0] == np.float32(expected)
