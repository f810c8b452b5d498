"""From the manifest's addresses into the cache: source after source, each verified before its bytes get the name."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from kerazoo.errors import UsageError, WeightsDamaged, WeightsUnavailable
from kerazoo.manifest import Entry, File
from kerazoo.store.paths import Progress, beside, locked, offline, packaged, path_of, say, writing
from kerazoo.store.receipts import RECEIPT, check, receipt, record, state


def fetch(entry: Entry, role: str = "full", progress: Progress | None = None) -> Path:
    """The path of verified weights: from the cache without touching the network, or fetched into it.

    Args:
        progress: Called as bytes come; by default a bar is drawn on stderr where that is a terminal.

    Raises:
        WeightsUnavailable: no source could be had.
        WeightsDamaged: the bytes are not what the manifest says.
        KerazooError: the disk is full or cannot be written.
    """
    file = entry.file(role)
    target = path_of(entry, file)
    found = state(file, target)
    if found == "ok":
        return target
    if packaged(file):
        kind = WeightsDamaged if found == "damaged" else WeightsUnavailable
        raise kind(f"{entry.name}: {file.name}, which comes with Kerazoo, is {found}; reinstall Kerazoo.")
    if not (urls := _sources(file)):
        # Nothing will be written, so no folder and no lock need be there either.
        raise _unavailable(entry, file, target, found, [])
    with locked(target):
        # Another process may have fetched it while this one waited.
        found = state(file, target)
        if found == "damaged":
            say(f"{target} is damaged; fetching it again.")
        if found != "ok":
            _obtain(entry, file, urls, target, found, progress)
    return target


def fetch_all(entry: Entry, top: bool = True, progress: Progress | None = None) -> dict[str, Path]:
    """Role -> path of what a network needs: its weights, in one file or in parts, and its assets; as `fetch` has each.

    Args:
        top: Whether its classifier is wanted; without it, the smaller file is taken where there is one.
    """
    return {role: fetch(entry, role, progress) for role in (*entry.roles(top), *entry.assets())}


def _obtain(entry: Entry, file: File, urls: list[str], target: Path, found: str, progress: Progress | None) -> None:
    from kerazoo.store import download

    part = beside(target, ".part")
    recorded = receipt(target).get("sha256")
    reasons: list[str] = []
    damage: list[str] = []
    with download.reporting(file, progress) as report:
        for url in urls:
            # A source as messages name it: never a password or a token that an address may hold.
            place = urlsplit(url).hostname or unquote(urlsplit(url).path)
            # Bytes that lay there may be of another version: where they prove wrong, once more from the first byte.
            for _ in range(1 + part.exists()):
                try:
                    download.download(file, url, part, report)
                except download.SourceFailed as error:
                    reasons.append(f"{place}: {error}")
                    break
                sha256, wrong = check(file, part, recorded)
                with writing(target):
                    if wrong is None:
                        os.replace(part, target)
                        return record(file, target, sha256)
                    part.unlink()
            else:
                damage.append(f"{entry.name}: {file.name} from {place} {wrong}.")
    if not damage:
        raise _unavailable(entry, file, target, found, reasons)
    hint = "Try again, or set KERAZOO_MIRROR to another source."
    if file.hash_kind is None and recorded is not None:
        hint = f"If its publisher changed it, delete the record too, {beside(target, RECEIPT)}, and fetch again."
    raise WeightsDamaged(f"{damage[0]}\nIt was deleted. {hint}")


def _unavailable(entry: Entry, file: File, target: Path, found: str, reasons: list[str]) -> WeightsUnavailable:
    kind, how = (WeightsDamaged, "damaged") if found == "damaged" else (WeightsUnavailable, "not")
    cause = "KERAZOO_OFFLINE forbids the network" if offline() else "could not be fetched"
    if reasons:
        cause += f" ({'; '.join(reasons)})"
    role = " --no-top" if file.role == "no_top" else ""
    return kind(
        f"{entry.name}: {file.name} is {how} in the cache ({target.parent}) and {cause}.\n"
        f"Run `kerazoo fetch {entry.name}{role}` where there is a network and carry it over with "
        "`kerazoo cache export` and `kerazoo cache import`,\n"
        f"or set KERAZOO_MIRROR to a folder or address that holds {file.name}."
    )


def _sources(file: File) -> list[str]:
    """Addresses to try, in order: the mirror, then the manifest's; no network addresses when offline."""
    urls = list(file.urls)
    if mirror := os.environ.get("KERAZOO_MIRROR", "").strip():
        if "://" not in mirror:
            mirror = Path(mirror).expanduser().absolute().as_uri()
        if (scheme := urlsplit(mirror).scheme) not in ("http", "https", "file"):
            raise UsageError(f"KERAZOO_MIRROR must be a folder or a file, http or https address, not {scheme}.")
        urls.insert(0, f"{mirror.rstrip('/')}/{quote(file.name)}")
    return [url for url in urls if not offline() or urlsplit(url).scheme == "file"]
