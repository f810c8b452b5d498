"""How an artefact is written: one row a format and precision. A new precision is a row more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from kerazoo.contract import Port
from kerazoo.errors import UsageError, near

FLOAT = "fp32"
"""The precision that models are trained and, without another word, exported in."""

PRECISIONS = (FLOAT, "fp16", "dynamic", "int8", "int16x8")
"""Words of the command line: 32-bit floats; 16-bit weights; 8-bit weights, whose inputs are rounded as they come; 8-bit
weights and activations; 8-bit weights and 16-bit activations. The last two are calibrated."""


@dataclass(frozen=True)
class Format:
    """One way to write a model down.

    Attributes:
        name: What it is called: the word on the command line, with the precision behind it where that is no float.
        engine: What runs it: a module of `kerazoo.engines`.
        file: What it is called in a folder of artefacts.
        suffix: Of such a file; empty for a folder.
        whole: Whether the whole answer is baked in, from request to response; else the network alone.
        precision: Of its weights and sums, one of `PRECISIONS`.
        row_by_row: Whether a batched model runs one row at a time.
        network: Largest relative error of a network's output, against Keras.
        answer: Largest distance of an answer from Keras', by media, in the media's own unit; `number` is relative.
            Where the precision is `rounded`, from the artefact's own answer when it was made.
    """

    name: str
    engine: str
    file: str
    suffix: str
    network: float
    answer: Mapping[str, float]
    whole: bool = False
    precision: str = FLOAT
    row_by_row: bool = False

    @property
    def word(self) -> str:
        """Of the command line, whatever the precision."""
        return self.name.removesuffix(f"-{self.precision}")

    @property
    def calibrated(self) -> bool:
        """Whether it can only be made with data."""
        return self.precision in ("int8", "int16x8")

    @property
    def rounded(self) -> bool:
        """Whether it is held to Keras by how often their answers agree, since its numbers lie too far apart."""
        return self.calibrated or self.precision == "dynamic"

    def allowed(self, port: Port) -> float:
        """Largest distance of an answer at a response port; media that are not named must be equal."""
        return self.answer.get(port.media or "number", 0.0)


def _answer(number: float, image: float, mask: float, audio: float) -> Mapping[str, float]:
    return MappingProxyType({"number": number, "image": image, "mask": mask, "audio": audio})


SAVED_MODEL = Format(
    "savedmodel",
    "savedmodel",
    "savedmodel",
    "",
    network=1e-4,
    # The bundle resizes in its graph, whose rounding differs from Pillow's.
    answer=_answer(number=0.02, image=2.0, mask=0.02, audio=0.02),
    whole=True,
)
ONNX = Format(
    "onnx", "onnx", "model.onnx", ".onnx", network=1e-4, answer=_answer(number=1e-3, image=0.5, mask=5e-3, audio=1e-3)
)
LITERT = Format(
    "litert",
    "litert",
    "model.tflite",
    ".tflite",
    network=1e-3,
    answer=_answer(number=1e-2, image=0.5, mask=5e-3, audio=1e-2),
    row_by_row=True,
)

_HALF = _answer(number=0.05, image=2.0, mask=0.02, audio=0.05)
_ROUNDED = _answer(number=0.1, image=4.0, mask=0.05, audio=0.1)
"""Kernels of other processors round other sums."""


def _at(form: Format, precision: str) -> Format:
    network, answer = (3e-2, _HALF) if precision == "fp16" else (float("inf"), _ROUNDED)
    stem = form.file.removesuffix(form.suffix)
    return replace(
        form,
        name=f"{form.name}-{precision}",
        file=f"{stem}.{precision}{form.suffix}",
        suffix=f".{precision}{form.suffix}",
        network=network,
        answer=answer,
        precision=precision,
    )


FORMATS: Mapping[str, Format] = MappingProxyType({each.name: each for each in (SAVED_MODEL, ONNX, LITERT)})
"""In floats, by the word of the command line."""

ROWS: Mapping[str, Format] = MappingProxyType(
    {
        each.name: each
        for each in (
            *FORMATS.values(),
            # onnxruntime has no kernels of 16-bit activations and 8-bit weights: it would sum in floats, slowly.
            *(_at(ONNX, precision) for precision in ("fp16", "dynamic", "int8")),
            *(_at(LITERT, precision) for precision in ("fp16", "dynamic", "int8", "int16x8")),
        )
    }
)
"""Every format in every precision that it has, by name."""

NETWORKS = tuple(each for each in FORMATS.values() if not each.whole)
"""Formats of the network alone, in floats, which run without TensorFlow."""


def find(name: str, precision: str = FLOAT) -> Format:
    """The format of a word, in a precision.

    Raises:
        UsageError: There is no such format, or it does not have the precision; near names are suggested.
    """
    if name not in FORMATS:
        raise UsageError(f"Unknown format {name!r}; known are {', '.join(FORMATS)}.{near(name, FORMATS)}")
    if precision not in PRECISIONS:
        raise UsageError(
            f"Unknown precision {precision!r}; known are {', '.join(PRECISIONS)}.{near(precision, PRECISIONS)}"
        )
    has = {each.precision: each for each in ROWS.values() if each.word == name}
    if precision not in has:
        others = [each.word for each in ROWS.values() if each.precision == precision]
        raise UsageError(
            f"{name} has no {precision}; it has {', '.join(has)}. {precision} goes to {', '.join(others)}."
        )
    return has[precision]
