"""The cache of weight files: fetched to a `.part` beside the target, verified against the manifest, renamed into place.

    KERAZOO_HOME      where the cache is; else the user's cache folder
    KERAZOO_MIRROR    a folder or an address that is tried first, by file name
    KERAZOO_OFFLINE   1, true or yes: the network is never touched (a mirror folder is)

Beside each file lies a receipt with its size, modification time and sha256, so that large files are hashed once and not
at every start. Where no sha256 was published, the first one fetched is trusted and held, in `known-hashes.json`. What a
fetch may take, and how to change that, stands in `limits.py`. Nothing is read or written when this package is imported.
"""

from kerazoo.store.bundle import export_bundle, import_bundle
from kerazoo.store.cache import Row, cached, prune, verify
from kerazoo.store.fetching import Progress, fetch, fetch_all
from kerazoo.store.making import making, sweep
from kerazoo.store.paths import artefacts, home, offline, path_of
from kerazoo.store.receipts import present, sha256_of, trusted

__all__ = [
    "Progress",
    "Row",
    "artefacts",
    "cached",
    "export_bundle",
    "fetch",
    "fetch_all",
    "home",
    "import_bundle",
    "making",
    "offline",
    "path_of",
    "present",
    "prune",
    "sha256_of",
    "sweep",
    "trusted",
    "verify",
]
