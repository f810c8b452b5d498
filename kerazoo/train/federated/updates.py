"""How what a client changed travels to the server: as bytes, which are counted as they are.

Source: Konecny et al., "Federated Learning: Strategies for Improving Communication Efficiency", arXiv:1610.05492.
Structured updates (`LowRank`, `Mask`) are learnt in the form in which they travel; a sketched one (`Sketch`) is made of
a change after it was learnt, so that its mean over draws is that change. What is drawn at random in common comes from a
seed that the server gave, and does not travel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from kerazoo.errors import InputError, UsageError, near


class Update(Protocol):
    """A way for the change of one weight."""

    def basis(self, shape: tuple[int, ...], seed: tuple[int, ...]) -> np.ndarray | None:
        """What a gradient is confined by while a client learns; `None` for nothing."""
        ...

    def confined(self, gradient: Any, basis: Any) -> Any:
        """The gradient, a tensor, as far as it can be followed."""
        ...

    def encode(self, change: np.ndarray, seed: tuple[int, ...]) -> bytes: ...

    def decode(self, message: bytes, shape: tuple[int, ...], seed: tuple[int, ...]) -> np.ndarray:
        """The change, float32 of this shape.

        Raises:
            InputError: The message has another length than such a change has.
        """
        ...


@dataclass(frozen=True)
class Sketch:
    """Some entries, of few bits each; by default all of them as they are.

    Attributes:
        share: Of the entries, drawn at random and scaled so that their mean is right (section 3, subsampling).
        bits: Each entry is one of 2 to the power of it values between the least and the largest, the one below or the
            one above, so that the mean is right; 32 for float32 as it is.
        rotated: Whether entries are first turned by signs drawn at random and Hadamard's matrix: a few large ones make
            all intervals wide otherwise.
    """

    share: float = 1.0
    bits: int = 32
    rotated: bool = False

    def basis(self, shape: tuple[int, ...], seed: tuple[int, ...]) -> np.ndarray | None:
        return None

    def confined(self, gradient: Any, basis: Any) -> Any:
        return gradient

    def encode(self, change: np.ndarray, seed: tuple[int, ...]) -> bytes:
        values = change.astype(np.float32).ravel()
        places = self._places(values.size, seed)
        if places is not None:
            values = values[places] * np.float32(values.size / len(places))
        if self.bits == 32:
            return values.tobytes()
        if self.rotated:
            padded = np.zeros(_power(values.size), np.float32)
            padded[: values.size] = values
            values = _hadamard(padded * self._signs(padded.size, seed))
        least, most = values.min(initial=np.inf), values.max(initial=-np.inf)
        step = (most - least) / (2**self.bits - 1)
        steps = (values - least) / step if step > 0 else np.zeros_like(values)
        # The client's own draw: what it rounds up is its secret.
        up = np.random.default_rng((*seed, 2)).random(values.size) < steps - np.floor(steps)
        numbers = np.clip(np.floor(steps) + up, 0, 2**self.bits - 1).astype(np.uint8)
        packed = np.packbits(np.unpackbits(numbers[:, None], axis=1)[:, 8 - self.bits :])
        return np.array([least, most], np.float32).tobytes() + packed.tobytes()

    def decode(self, message: bytes, shape: tuple[int, ...], seed: tuple[int, ...]) -> np.ndarray:
        size = int(np.prod(shape))
        places = self._places(size, seed)
        count = size if places is None else len(places)
        held = _power(count) if self.rotated else count
        if self.bits == 32:
            values = _floats(message, count)
        else:
            _sized(message, 8 + -(-held * self.bits // 8))
            least, most = np.frombuffer(message, np.float32, 2)
            packed = np.unpackbits(np.frombuffer(message, np.uint8, offset=8))[: held * self.bits]
            wide = np.zeros((held, 8), np.uint8)
            wide[:, 8 - self.bits :] = packed.reshape(held, self.bits)
            numbers = np.packbits(wide, axis=1)[:, 0].astype(np.float32)
            values = least + numbers * ((most - least) / np.float32(2**self.bits - 1))
            if self.rotated:
                values = (_hadamard(values) * self._signs(held, seed))[:count]
        if places is None:
            return values.reshape(shape)
        whole = np.zeros(size, np.float32)
        whole[places] = values
        return whole.reshape(shape)

    def _places(self, size: int, seed: tuple[int, ...]) -> np.ndarray | None:
        if self.share >= 1:
            return None
        return np.random.default_rng((*seed, 0)).permutation(size)[: max(1, round(self.share * size))]

    def _signs(self, size: int, seed: tuple[int, ...]) -> np.ndarray:
        return np.random.default_rng((*seed, 1)).integers(0, 2, size).astype(np.float32) * 2 - 1


@dataclass(frozen=True)
class Mask:
    """Entries drawn at random learn, the others stay (section 2, random mask).

    Attributes:
        share: Of the entries.
    """

    share: float

    def basis(self, shape: tuple[int, ...], seed: tuple[int, ...]) -> np.ndarray:
        mask = np.zeros(int(np.prod(shape)), np.float32)
        mask[self._places(mask.size, seed)] = 1
        return mask.reshape(shape)

    def confined(self, gradient: Any, basis: Any) -> Any:
        return gradient * basis

    def encode(self, change: np.ndarray, seed: tuple[int, ...]) -> bytes:
        return change.astype(np.float32).ravel()[self._places(change.size, seed)].tobytes()

    def decode(self, message: bytes, shape: tuple[int, ...], seed: tuple[int, ...]) -> np.ndarray:
        whole = np.zeros(int(np.prod(shape)), np.float32)
        places = self._places(whole.size, seed)
        whole[places] = _floats(message, len(places))
        return whole.reshape(shape)

    def _places(self, size: int, seed: tuple[int, ...]) -> np.ndarray:
        return np.random.default_rng((*seed, 0)).permutation(size)[: max(1, round(self.share * size))]


@dataclass(frozen=True)
class LowRank:
    """A change is the product of a matrix drawn at random and a smaller one that is learnt (section 2, low rank).

    A weight of several axes is the matrix of its last one; one of a single axis travels as it is.

    Attributes:
        rank: Columns of the first.
    """

    rank: int

    def basis(self, shape: tuple[int, ...], seed: tuple[int, ...]) -> np.ndarray | None:
        rows = int(np.prod(shape[:-1]))
        if len(shape) < 2 or rows <= self.rank:
            return None
        # So scaled, the product with its own transpose is the identity in the mean.
        drawn = np.random.default_rng((*seed, 0)).standard_normal((rows, self.rank)) / np.sqrt(self.rank)
        return drawn.astype(np.float32)

    def confined(self, gradient: Any, basis: Any) -> Any:
        """Descent on the smaller matrix, seen on the whole one."""
        if basis is None:
            return gradient
        import tensorflow as tf

        flat = tf.reshape(gradient, (-1, gradient.shape[-1]))
        return tf.reshape(basis @ tf.matmul(basis, flat, transpose_a=True), gradient.shape)

    def encode(self, change: np.ndarray, seed: tuple[int, ...]) -> bytes:
        basis = self.basis(change.shape, seed)
        if basis is None:
            return change.astype(np.float32).tobytes()
        learnt, *_ = np.linalg.lstsq(basis, change.reshape(len(basis), -1), rcond=None)
        return learnt.astype(np.float32).tobytes()

    def decode(self, message: bytes, shape: tuple[int, ...], seed: tuple[int, ...]) -> np.ndarray:
        basis = self.basis(shape, seed)
        if basis is None:
            return _floats(message, int(np.prod(shape))).reshape(shape)
        return (basis @ _floats(message, self.rank * shape[-1]).reshape(self.rank, -1)).reshape(shape)


PLAIN = Sketch()

KINDS: dict[str, Callable[[str], Update]] = {
    "plain": lambda _: PLAIN,
    "low_rank": lambda value: LowRank(int(value)),
    "mask": lambda value: Mask(float(value)),
    "sample": lambda value: Sketch(share=float(value)),
    "bits": lambda value: Sketch(bits=int(value)),
    "rotated": lambda value: Sketch(bits=int(value), rotated=True),
}


def read(text: str) -> Update:
    """An update by its words: `plain`, `low_rank:8`, `mask:0.1`, `sample:0.1`, `bits:2`, `rotated:2`; sketches are
    joined by `+`: `sample:0.25+rotated:2`.

    Raises:
        UsageError: A word is not known, or its number does not fit.
    """
    made: list[Update] = []
    for word in text.split("+"):
        name, _, value = word.partition(":")
        if name not in KINDS:
            raise UsageError(f"update={text}: {name!r} is not known; known are {', '.join(KINDS)}.{near(name, KINDS)}")
        try:
            made.append(KINDS[name](value))
        except ValueError:
            raise UsageError(f"update={text}: {name} wants a number, as in {name}:{_EXAMPLES[name]}.") from None
    if len(made) > 1:
        sketches = [each for each in made if isinstance(each, Sketch)]
        if len(sketches) < len(made):
            raise UsageError(f"update={text}: only sample, bits and rotated are joined.")
        made = [
            Sketch(
                min(each.share for each in sketches),
                min(each.bits for each in sketches),
                any(each.rotated for each in sketches),
            )
        ]
    (update,) = made
    fits = {
        Sketch: lambda each: 0 < each.share <= 1 and (1 <= each.bits <= 8 or each.bits == 32),
        Mask: lambda each: 0 < each.share <= 1,
        LowRank: lambda each: each.rank >= 1,
    }
    if not fits[type(update)](update):
        raise UsageError(f"update={text}: shares are above 0 and at most 1, bits 1 to 8, ranks 1 and more.")
    return update


_EXAMPLES = {"low_rank": "8", "mask": "0.1", "sample": "0.1", "bits": "2", "rotated": "2"}


def _power(size: int) -> int:
    """The least power of two that is not below."""
    return 1 << max(size - 1, 0).bit_length()


def _hadamard(values: np.ndarray) -> np.ndarray:
    """The product with Hadamard's matrix over the root of the size, a power of two; it is its own inverse."""
    done, half = values.astype(np.float32), 1
    while half < done.size:
        pairs = done.reshape(-1, 2, half)
        done = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], 1).reshape(-1)
        half *= 2
    return done / np.float32(np.sqrt(done.size))


def _sized(message: bytes, length: int) -> None:
    if len(message) != length:
        raise InputError(f"A change of {length} bytes was awaited; {len(message)} came.")


def _floats(message: bytes, count: int) -> np.ndarray:
    _sized(message, 4 * count)
    return np.frombuffer(message, np.float32)
