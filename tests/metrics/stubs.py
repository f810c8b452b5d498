"""Networks whose answers are known, and data to ask them about."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kerazoo.contract import Tensors
from kerazoo.ops import numpy as ops
from kerazoo.predictor import Predictor


@dataclass(frozen=True)
class Stub:
    """A network whose parts are functions from tensors to tensors."""

    parts: Mapping[str, Any]
    here: str = "network"
    ops: Any = ops

    def __call__(self, inputs: Tensors) -> Tensors:
        return self.parts[self.here](inputs)

    def part(self, name: str) -> Stub:
        return Stub(self.parts, name)


def predictor(task: Any, name: str = "stub", **parts: Any) -> Predictor:
    network = Stub(parts)
    return Predictor(name, task, "keras", lambda request: task.answer(network, request), network=network)  # type: ignore[arg-type]


def png(pixels: Any, mode: str | None = None) -> bytes:
    out = io.BytesIO()
    picture = Image.fromarray(np.asarray(pixels, np.uint8))
    if mode == "P":
        # The numbers of a mask, under colours that do not matter.
        picture = Image.frombytes("P", picture.size, picture.tobytes())
        picture.putpalette([value for n in range(256) for value in (255 - n, n, 7)])
    picture.save(out, "PNG")
    return out.getvalue()


def folder(root: Path, files: Mapping[str, bytes | str]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return root


def tar(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path
