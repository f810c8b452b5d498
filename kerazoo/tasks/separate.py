"""`separate`: a sound in, each of the sounds that it is made of out."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kerazoo.codecs.audio import PORT, encoded, measured, tones
from kerazoo.contract import Network, Port, Signature, Tensor, Tensors
from kerazoo.errors import UsageError

OUTPUTS = ("masks", "magnitudes")
"""What a network can say of a stem: its share of each magnitude, or its magnitude."""

ABOVE = ("silent", "mean")
"""What becomes of frequencies that the network does not see: no stem has them, or each by its mean share below."""

PIECE = 10.0
"""Seconds of a sound that are separated at once, about."""

LEAST = np.float32(1e-10)
"""Spleeter's own: what is added to the sum of squares, so that silence can be shared out."""


@dataclass(frozen=True)
class Stems:
    """What one sound is made of.

    Attributes:
        names: One a stem.
        sounds: 16-bit WAV files of equal length, one a stem: bytes, or for long ones `mmap` objects of their files.
    """

    names: tuple[str, ...]
    sounds: tuple[Any, ...]

    @property
    def rate(self) -> int:
        """Frames a second."""
        return self._measured[0][1]

    @property
    def seconds(self) -> float:
        return self._measured[0][0] / self.rate

    @property
    def levels(self) -> tuple[float, ...]:
        """Root mean square of each stem in dB below full scale; minus infinity for silence."""
        with np.errstate(divide="ignore"):
            return tuple(float(20 * np.log10(loud)) for _, _, loud in self._measured)

    @functools.cached_property
    def _measured(self) -> list[tuple[int, int, float]]:
        """Frames, frames a second and level of each stem."""
        return [measured(sound) for sound in self.sounds]

    def to_json(self, limit: int = 5) -> dict[str, Any]:
        """`rate`, `seconds`, and `stems`, the WAV files in base64 by name."""
        stems = {name: base64.b64encode(sound).decode() for name, sound in zip(self.names, self.sounds, strict=True)}
        return {"rate": self.rate, "seconds": round(self.seconds, 3), "stems": stems}

    def rows(self, limit: int = 5) -> list[str]:
        width = max(map(len, self.names))
        said = ["silent" if loud == -np.inf else f"{loud:.1f} dBFS" for loud in self.levels]
        return [f"{name:{width}}  {self.seconds:.1f} s  {loud}" for name, loud in zip(self.names, said, strict=True)]

    def files(self) -> dict[str, bytes]:
        return {f"{name}.wav": sound for name, sound in zip(self.names, self.sounds, strict=True)}

    def _repr_html_(self) -> str:
        return "".join(
            f'<p>{name}<br><audio controls src="data:audio/wav;base64,{base64.b64encode(sound).decode()}"></audio></p>'
            for name, sound in zip(self.names, self.sounds, strict=True)
        )


@dataclass(frozen=True)
class Separate:
    """Masks over the short-time spectrum: each stem has the mixture's phase and a share of its magnitude.

    As Spleeter does it (Hennequin, Khlif, Voituret, Moussallam, "Spleeter: a fast and efficient music source
    separation tool with pre-trained models", Journal of Open Source Software 5(50), 2020). The network sees magnitudes
    of `frames` frames at a time, of the spectrum that `ops.stft` describes; the last chunk is filled up with silence.

    Attributes:
        stems: Names, each a word of letters, digits and underscores.
        rate: Frames a second that the network was trained at. `answer` refuses a sound of another rate, `whole`
            resamples it.
        channels: Of the sounds.
        frame, hop: Samples of a frame of the spectrum, and from one to the next.
        frames: That the network sees at a time.
        bins: Frequencies that the network sees, from the lowest on; all `frame // 2 + 1` by default.
        output: What the network gives, one of `OUTPUTS`. Masks are taken as they are. Of magnitudes, a stem's share is
            its square's share of the sum of their squares, equal ones where all are nothing.
        above: What becomes of the frequencies above `bins`, one of `ABOVE`.
        scale: What the network has magnitudes multiplied by; a tone of amplitude 1 has the magnitude 1/2.
    """

    kind: ClassVar[str] = "separate"
    batched: ClassVar[bool] = False

    stems: tuple[str, ...]
    rate: int
    channels: int
    frame: int
    hop: int
    frames: int
    bins: int | None = None
    output: str = "masks"
    above: str = "silent"
    scale: float = 1.0

    def __post_init__(self) -> None:
        words = all(stem.isascii() and stem.isidentifier() for stem in self.stems)
        if not self.stems or not words or len(set(self.stems)) < len(self.stems):
            raise UsageError(f"stems={self.stems!r} must be different words of letters, digits and underscores.")
        if self.frame < 4 or self.frame % 2 or not 1 <= self.hop <= self.frame * 3 // 4:
            raise UsageError(
                f"frame={self.frame} must be even, and hop={self.hop} at most 3/4 of it: frames must overlap."
            )
        for name in ("rate", "channels", "frames"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is not positive.")
        if not 0 < self.scale < float("inf"):
            raise UsageError(f"scale={self.scale} is not positive.")
        if not 1 <= self.seen <= self.frame // 2 + 1:
            raise UsageError(f"bins={self.bins}: a frame of {self.frame} samples has {self.frame // 2 + 1}.")
        for name, known in (("output", OUTPUTS), ("above", ABOVE)):
            if getattr(self, name) not in known:
                raise UsageError(f"{name}={getattr(self, name)!r} is not known; allowed are {', '.join(known)}.")

    @property
    def seen(self) -> int:
        """Frequencies that the network sees."""
        return self.frame // 2 + 1 if self.bins is None else self.bins

    @property
    def request(self) -> tuple[Port, ...]:
        return (PORT,)

    @property
    def response(self) -> tuple[Port, ...]:
        return tuple(Port(f"{stem}_bytes", "string", (1,), "audio") for stem in self.stems)

    @property
    def parts(self) -> Mapping[str, Signature]:
        """From magnitudes to the stems one behind the other in the last axis, each with all its channels."""
        shape = (None, self.frames, self.seen)
        magnitude = Port("magnitude", "float32", (*shape, self.channels))
        return {
            "network": Signature((magnitude,), (Port("stems", "float32", (*shape, self.channels * len(self.stems))),))
        }

    def golden(self) -> dict[str, Any]:
        # More than one chunk would be a large file in every card.
        return {"audio_bytes": tones(self.rate, max(0.1, 4 * self.frame / self.rate), self.channels)}

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        samples, rate = ops.decode_audio(request["audio_bytes"][0], self.channels)
        count = ops.length(samples)
        ops.check(
            rate == self.rate,
            f"The sound must have {self.rate} frames a second; resample it: ffmpeg -i IN -ar {self.rate} OUT.wav",
        )
        ops.check(count > 0, "The sound holds no samples.")
        spectrum = ops.stft(ops.transpose(samples, (1, 0)), self.frame, self.hop)
        # [frames, bins, channels]
        spectrum = ops.transpose(spectrum, (1, 2, 0))
        shares = self._shares(ops, network, ops.abs(spectrum) * np.float32(self.scale))

        answered = {}
        for index, stem in enumerate(self.stems):
            own = shares[..., index * self.channels : (index + 1) * self.channels]
            masked = ops.transpose(spectrum * ops.cast(own, "complex64"), (2, 0, 1))
            sound = ops.transpose(ops.istft(masked, self.frame, self.hop), (1, 0))[:count]
            answered[f"{stem}_bytes"] = ops.strings([ops.encode_wav(sound, self.rate)])
        return answered

    def _shares(self, ops: Any, network: Network, magnitude: Tensor) -> Tensor:
        """Magnitudes [frames, bins, channels] to each stem's share of them, [frames, bins, stems * channels]."""
        length = ops.length(magnitude)
        chunks = (length + self.frames - 1) // self.frames
        seen = ops.pad(magnitude[:, : self.seen], ((0, chunks * self.frames - length), (0, 0), (0, 0)))
        units = self.channels * len(self.stems)

        # One chunk at a time: with it the memory is bounded.
        def chunk(index: Tensor) -> Tensor:
            here = seen[index * self.frames : (index + 1) * self.frames]
            here = ops.reshape(here, (1, self.frames, self.seen, self.channels))
            return network({"magnitude": here})["stems"][0]

        shares = ops.map_range(chunk, chunks, (self.frames, self.seen, units), "float32")
        shares = ops.reshape(shares, (chunks * self.frames, self.seen, units))[:length]
        if self.output == "magnitudes":
            stems = ops.reshape(shares**2, (length, self.seen, len(self.stems), self.channels))
            total = ops.sum(stems, 2, keepdims=True) + LEAST
            shares = ops.reshape((stems + LEAST / len(self.stems)) / total, (length, self.seen, units))
        above = self.frame // 2 + 1 - self.seen
        if self.above == "silent" or not above:
            return ops.pad(shares, ((0, 0), (0, above), (0, 0)))
        mean = ops.sum(shares, 1, keepdims=True) / self.seen
        return ops.concat([shares, mean + ops.full((1, above, 1), 0.0, "float32")], 1)

    def whole(self, item: Any, ask: Callable[[Mapping[str, Any]], Tensors]) -> Stems:
        """The stems of a sound of any length and rate, as long as it and at its rate.

        The network's sound is cut into pieces of about `PIECE` seconds, whole chunks, which overlap by up to a second.

        Args:
            item: As `codecs.audio.opened` takes it.
            ask: From a request's row to the response.

        Raises:
            InputError: The sound cannot be read, is empty or too long, or has channels that do not fit.
            PackageMissing: It has another rate, and soxr is not installed.
        """
        from kerazoo.ops.numpy import open_sound
        from kerazoo.tasks import _song

        chunks = max(1, round(PIECE * self.rate / (self.frames * self.hop)))
        length = (chunks * self.frames - 1) * self.hop

        def stems(samples: np.ndarray) -> list[np.ndarray]:
            response = ask({PORT.name: encoded(samples, self.rate)})
            return [open_sound(bytes(response[port.name][0]))[0] for port in self.response]

        overlap = min(self.rate, length // 4)
        sounds = _song.separated(item, self.rate, self.channels, len(self.stems), length, overlap, stems)
        return Stems(self.stems, tuple(sounds))

    def read(self, response: Tensors, row: int) -> Stems:
        return Stems(self.stems, tuple(response[f"{stem}_bytes"][row] for stem in self.stems))
