"""Sounds with the sounds that they are made of."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from kerazoo.codecs import audio
from kerazoo.errors import UsageError
from kerazoo.sources import files
from kerazoo.sources.files import Sample, Say, silent

MIXTURE = "mixture"
"""What the file of the whole is called; without one, the stems are added up."""


def stems(source: Path, names: Sequence[str], only: str | None = None, say: Say = silent) -> list[Sample]:
    """Songs, the truth of each a function for every stem that reads its encoded sound.

    Args:
        source: A folder or .tar with a folder for each song, in which a file is called after each stem
            (`vocals.wav`), and one `mixture` if the song is more than their sum.
        names: The stems.
        only: See `files.opened`.
        say: Is told which part of the data is taken.

    Raises:
        UsageError: There are none.
    """
    found = files.opened(source, only)
    songs: dict[PurePosixPath, dict[str, str]] = {}
    for name in found.those(audio.SUFFIXES):
        path = PurePosixPath(name)
        songs.setdefault(path.parent, {})[path.stem] = name
    samples = []
    for folder, held in songs.items():
        if set(names) <= held.keys():
            truth = {stem: functools.partial(found.read, held[stem]) for stem in names}
            mixture = functools.partial(found.read, held[MIXTURE]) if MIXTURE in held else None
            samples.append(Sample(folder.as_posix(), mixture, truth))
    if not samples:
        wanted = " and ".join(f"{name}.wav" for name in names)
        raise UsageError(f"{source} holds no song: a folder for each must hold {wanted}.")
    return files.held_out(samples, source, say)
