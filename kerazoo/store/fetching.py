"""From the manifest's addresses into the cache: source after source, each verified before its bytes get the name."""

from __future__ import annotations

import os
import time
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from kerazoo.errors import UsageError, WeightsDamaged, WeightsUnavailable
from kerazoo.manifest import Entry, File
from kerazoo.printable import printable
from kerazoo.store import limits
from kerazoo.store.paths import Progress, beside, expanded, locked, offline, packaged, path_of, say, writing
from kerazoo.store.receipts import check, record, recorded, state


def fetch(
    entry: Entry,
    role: str = "full",
    progress: Progress | None = None,
    *,
    trust_new: bool = False,
    allow_http: bool = False,
) -> Path:
    """The path of verified weights: from the cache without touching the network, or fetched into it.

    Args:
        progress: Called as bytes come; by default a bar is drawn on stderr where that is a terminal.
        trust_new: Fetch a file whose publisher named no sha256 anew, and trust what comes instead of what was trusted.
        allow_http: Take files over plain http even where no published hash would show that they were changed on the
            way; `KERAZOO_ALLOW_HTTP` says so for all fetches.

    Raises:
        WeightsUnavailable: no source could be had.
        WeightsDamaged: the bytes are not what the manifest says, or not what was trusted at the first fetch.
        KerazooError: the disk is full or cannot be written.
    """
    file = entry.file(role)
    target = path_of(entry, file)
    trust_new = trust_new and not file.pinned and not packaged(file)
    found = state(file, target)
    if found == "ok" and not trust_new:
        return target
    if packaged(file):
        kind = WeightsDamaged if found == "damaged" else WeightsUnavailable
        raise kind(f"{entry.name}: {file.name}, which comes with Kerazoo, is {found}; reinstall Kerazoo.")
    urls, refused = _sources(file, allow_http or limits.plain_http())
    if not urls:
        # Nothing will be written, so no folder and no lock need be there either.
        raise _unavailable(entry, file, target, found, refused)
    with locked(target), writing(target):
        # Another process may have fetched it while this one waited.
        found = state(file, target)
        if found == "damaged":
            say(f"{target} is damaged; fetching it again.")
        if found != "ok" or trust_new:
            held = None if trust_new else recorded(file, target)
            _obtain(entry, file, urls, target, found, held, refused, progress)
    return target


def fetch_all(
    entry: Entry,
    top: bool = True,
    progress: Progress | None = None,
    *,
    trust_new: bool = False,
    allow_http: bool = False,
) -> dict[str, Path]:
    """Role -> path of what a network needs: its weights, in one file or in parts, and its assets; as `fetch` has each.

    Args:
        top: Whether its classifier is wanted; without it, the smaller file is taken where there is one.
    """
    roles = (*entry.roles(top), *entry.assets())
    return {role: fetch(entry, role, progress, trust_new=trust_new, allow_http=allow_http) for role in roles}


def _obtain(
    entry: Entry,
    file: File,
    urls: list[str],
    target: Path,
    found: str,
    held: str | None,
    reasons: list[str],
    progress: Progress | None,
) -> None:
    from kerazoo.http import Failed
    from kerazoo.store import download

    part = beside(target, ".part")
    damage: list[str] = []
    end = time.monotonic() + limits.limit(limits.SECONDS)
    with download.reporting(file, progress) as report:
        for url in urls:
            place = _place(url)
            # Bytes that lay there may be of another version: where they prove wrong, once more from the first byte.
            for _ in range(1 + part.exists()):
                try:
                    download.download(file, url, part, report, end)
                except download.WrongSize as error:
                    damage.append(f"{entry.name}: {file.name} from {place} {error}.")
                    break
                except Failed as error:
                    reasons.append(f"{place}: {error}")
                    break
                sha256, wrong = check(file, part, held)
                if wrong is None:
                    os.replace(part, target)
                    return record(file, target, sha256)
                part.unlink()
            else:
                damage.append(f"{entry.name}: {file.name} from {place} {wrong}.")
    if not damage:
        raise _unavailable(entry, file, target, found, reasons)
    hint = "Try again, or set KERAZOO_MIRROR to another source."
    if "trusted was" in damage[0]:
        hint = f"If its publisher changed it, accept that with `kerazoo fetch --trust-new {_asked(entry, file)}`."
    raise WeightsDamaged(f"{damage[0]}\nIt was not taken. {hint}")


def _place(url: str) -> str:
    """A source as messages name it: never a password or a token that an address may hold."""
    parts = urlsplit(url)
    return printable(parts.hostname or unquote(parts.path), 200)


def _asked(entry: Entry, file: File) -> str:
    """What follows `kerazoo fetch` for this file."""
    return ("--no-top " if file.role == "no_top" else "") + entry.name


def _unavailable(entry: Entry, file: File, target: Path, found: str, reasons: list[str]) -> WeightsUnavailable:
    kind, how = (WeightsDamaged, "damaged") if found == "damaged" else (WeightsUnavailable, "not")
    cause = "KERAZOO_OFFLINE forbids the network" if offline() else "could not be fetched"
    if reasons:
        cause += f" ({'; '.join(reasons)})"
    if not file.urls:
        return kind(
            f"{entry.name}: {file.name} is {how} in the cache ({printable(str(target.parent))}) and {cause}.\n"
            f"It has no address of its own: it was made of {entry.source}.\n"
            "Carry it over with `kerazoo cache export` and `kerazoo cache import`,\n"
            f"or set KERAZOO_MIRROR to a folder or address that holds {file.name}."
        )
    return kind(
        f"{entry.name}: {file.name} is {how} in the cache ({printable(str(target.parent))}) and {cause}.\n"
        f"Run `kerazoo fetch {_asked(entry, file)}` where there is a network and carry it over with "
        "`kerazoo cache export` and `kerazoo cache import`,\n"
        f"or set KERAZOO_MIRROR to a folder or address that holds {file.name}."
    )


def _sources(file: File, allow_http: bool) -> tuple[list[str], list[str]]:
    """Addresses to try, in order, and why others are not: the mirror, then the manifest's.

    When offline, no network addresses are among them. Plain http is left out where no published hash would show that
    somebody on the way changed the file; which scheme a mirror has is the user's own choice.
    """
    urls, refused = [], []
    for url in file.urls:
        if urlsplit(url).scheme == "http" and file.hash_kind in (None, "sha256_prefix") and not allow_http:
            how = f"give --allow-http to `kerazoo fetch`, or set {limits.HTTP}=1, to take it unprotected"
            refused.append(f"{_place(url)}: plain http, and no full hash was published; {how}")
        else:
            urls.append(url)
    if mirror := os.environ.get("KERAZOO_MIRROR", "").strip():
        if "://" not in mirror:
            mirror = expanded(mirror, "KERAZOO_MIRROR").absolute().as_uri()
        if (scheme := urlsplit(mirror).scheme) not in ("http", "https", "file"):
            raise UsageError(
                f"KERAZOO_MIRROR must be a folder or a file, http or https address, not {printable(scheme, 40)}."
            )
        urls.insert(0, f"{mirror.rstrip('/')}/{quote(file.name)}")
    if offline():
        return [url for url in urls if urlsplit(url).scheme == "file"], []
    return urls, refused
