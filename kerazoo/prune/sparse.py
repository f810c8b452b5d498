"""How large a model is as a LiteRT file that leaves zeros out: in a process of its own, as all conversions."""

from __future__ import annotations

import tempfile
from pathlib import Path

from kerazoo import formats, own
from kerazoo.export import convert
from kerazoo.export import golden as golden_


def main(word: str) -> int:
    """Bytes of the file; a layer whose zeros are too few is stored whole."""
    built = own.find(word).build()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / formats.LITERT.file
        convert.litert(
            built, convert.card_of(built, golden_.goldens_of(built)), path, optimise=["EXPERIMENTAL_SPARSITY"]
        )
        return path.stat().st_size
