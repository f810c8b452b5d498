"""Plain text, sentences with their translations, and pairs of texts with how alike people found them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from kerazoo.errors import UsageError
from kerazoo.printable import printable
from kerazoo.sources import files
from kerazoo.sources.files import Sample
from kerazoo.sources.labelled import rows_of, table

PLAIN = (".txt", ".txt.gz")
"""How names of plain texts end, in a folder or archive."""

_SHARE = re.compile(r"(\d{1,3})%-(\d{1,3})%")


def plain(source: Path, only: str | None = None) -> str:
    """One text, its lines ended by a line feed alone.

    Args:
        source: A file in UTF-8, which may end in .gz; or a folder or .tar of files that end so (`PLAIN`), which are
            put together in the order of their names, with a line break between two.
        only: See `files.opened`; or a stretch of the whole, such as `90%-100%`.

    Raises:
        UsageError: There is none, it is empty, or no text.
    """
    stretch = _SHARE.fullmatch(only) if only is not None else None
    if source.is_file() and source.suffix != ".tar":
        if only is not None and stretch is None:
            raise UsageError(f"{source} is one file; of it {only!r} names no stretch, as 90%-100% does.")
        pieces = {str(source): files.text(source)}
    else:
        found = files.opened(source, None if stretch else only)
        pieces = {found.called(name): found.text(name) for name in found.those(PLAIN)}
    for name, text in pieces.items():
        if "\0" in text:
            raise UsageError(f"{name} is no text in UTF-8: it holds NUL, as other encodings and binary files do.")
    whole = "\n".join(pieces.values()).replace("\r\n", "\n").replace("\r", "\n")
    if stretch is not None:
        begin, end = (min(int(share), 100) * len(whole) // 100 for share in stretch.groups())
        whole = whole[begin:end]
    if not whole.strip():
        what = "is empty" if pieces else f"holds no text, which ends in {' or '.join(PLAIN)}"
        raise UsageError(f"{source} {what}{f' in the stretch {only}' if stretch and pieces else ''}.")
    return whole


def parallel(
    sources: Sequence[Path], only: str | None = None, languages: tuple[str, str] | None = None
) -> list[Sample]:
    """Sentences, the truth of each its translation.

    Args:
        sources: Two text files of as many lines, what is read first; or one file with a tab in every line between them,
            or a .csv with the columns source and target; or a folder or .tar with one such .tsv, or with files such as
            `val.de` and `val.en`.
        only: See `files.opened`.
        languages: The ends of such files, what is read first: `("de", "en")`.

    Raises:
        UsageError: There is nothing of the kind, or the files differ in their number of lines.
    """
    if len(sources) == 2:
        return _zipped([(str(path), files.text(path)) for path in sources])
    if len(sources) != 1:
        raise UsageError(f"Parallel text is one source or two files; {len(sources)} were given.")
    source, columns = sources[0], ("source", "target")
    if source.is_file() and source.suffix != ".tar":
        if languages is not None:
            raise UsageError(f"{source} is one file; languages choose among files of a folder.")
        return _pairs(table(source, columns, columns))
    found = files.opened(source, only)
    if languages is None:
        tables = files.held_out([Sample(name, name) for name in found.those((".tsv", ".tsv.gz"))], source)
        if len(tables) != 1:
            raise UsageError(
                f"{source} holds {len(tables)} .tsv files; one is expected.\n"
                "Or say which languages are read and written: de-en for val.de and val.en."
            )
        return _pairs(rows_of(found.text(tables[0].name), tables[0].name, columns, columns))
    pair = []
    for language in languages:
        ends = (f".{language}", f".{language}.gz", f".{language}.txt")
        names = [name for name in found.names if name.endswith(ends) and "train" not in PurePosixPath(name).name]
        names = names or [name for name in found.names if name.endswith(ends)]
        if len(names) != 1:
            what = ", ".join(map(printable, names[:5])) or "none"
            raise UsageError(f"{source} must hold one file that ends in .{language}; there is {what}.")
        pair.append((f"{source}: {names[0]}", found.text(names[0])))
    return _zipped(pair)


def _pairs(rows: Iterable[tuple[int, list[str]]]) -> list[Sample]:
    return [Sample(f"line {number}", asked, right) for number, (asked, right) in rows]


def _zipped(pair: Sequence[tuple[str, str]]) -> list[Sample]:
    (first, asked), (second, right) = ((name, text.rstrip("\n").split("\n")) for name, text in pair)
    if len(asked) != len(right):
        raise UsageError(
            f"{first} has {len(asked)} lines, {second} has {len(right)}; line by line they must go together."
        )
    if asked == [""]:
        raise UsageError(f"{first} is empty.")
    rows = enumerate(zip(asked, right, strict=True), 1)
    return [Sample(f"line {number}", one.strip(), other.strip()) for number, (one, other) in rows]


def alike(source: Path) -> list[Sample]:
    """Pairs of texts, the truth of each pair a number: the larger, the more alike.

    Args:
        source: A .tsv of score, first and second text, or of both texts and then the score, in which lines that begin
            with # are left out; or a .csv or .tsv whose first row names these columns.

    Raises:
        UsageError: There is nothing of the kind at `source`, or a score is no number.
    """
    samples = []
    for number, (score, one, other) in _scored(source):
        try:
            samples.append(Sample(f"line {number}", (one, other), float(score)))
        except ValueError:
            raise UsageError(f"{source}, line {number}: {printable(score)!r} is no number.") from None
    return samples


def _scored(source: Path) -> list[tuple[int, list[str]]]:
    columns, behind = ("score", "first", "second"), ("first", "second", "score")
    if not source.is_file() or source.suffix.lower() == ".csv":
        return table(source, columns, columns)
    lines = ["" if line.startswith("#") else line for line in files.text(source).split("\n")]
    cells = next((line.rstrip("\r").split("\t") for line in lines if line.strip()), [""])
    last = len(cells) > 2 and _number(cells[2]) and not _number(cells[0])
    return rows_of("\n".join(lines), str(source), columns, behind if last else columns)


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def analogies(source: Path) -> list[tuple[str, list[str]]]:
    """Questions of four words: of each the section that it stands in, and the words.

    Args:
        source: A text file of four words a line, in which a line that begins with a colon names a section.

    Raises:
        UsageError: It cannot be read, or a line has not four words.
    """
    found, section = [], ""
    for number, line in enumerate(files.text(source).splitlines(), 1):
        if line.startswith(":"):
            section = line[1:].strip()
        elif line.strip():
            words = line.split()
            if len(words) != 4:
                raise UsageError(f"{source}, line {number}: an analogy has four words; this has {len(words)}.")
            found.append((section, words))
    if not found:
        raise UsageError(f"{source} holds no analogies.")
    return found
