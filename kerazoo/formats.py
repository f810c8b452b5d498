"""How an artefact is written: one row a format. A new precision is a row more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kerazoo.contract import Port
from kerazoo.errors import UsageError, near


@dataclass(frozen=True)
class Format:
    """One way to write a model down.

    Attributes:
        name: The word on the command line.
        engine: What runs it: a module of `kerazoo.engines`.
        file: What it is called in a folder of artefacts.
        suffix: Of such a file; empty for a folder.
        whole: Whether the whole answer is baked in, from request to response; else the network alone.
        precision: Of its weights and sums.
        row_by_row: Whether a batched model runs one row at a time.
        network: Largest relative error of a network's output, against Keras.
        answer: Largest distance of an answer from Keras', by media, in the media's own unit; `number` is relative.
    """

    name: str
    engine: str
    file: str
    suffix: str
    network: float
    answer: Mapping[str, float]
    whole: bool = False
    precision: str = "fp32"
    row_by_row: bool = False

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

FORMATS: Mapping[str, Format] = MappingProxyType({each.name: each for each in (SAVED_MODEL, ONNX, LITERT)})

NETWORKS = tuple(each for each in FORMATS.values() if not each.whole)
"""Formats of the network alone, which run without TensorFlow."""


def find(name: str) -> Format:
    """The format of a word.

    Raises:
        UsageError: There is none; near names are suggested.
    """
    if name not in FORMATS:
        raise UsageError(f"Unknown format {name!r}; known are {', '.join(FORMATS)}.{near(name, FORMATS)}")
    return FORMATS[name]
