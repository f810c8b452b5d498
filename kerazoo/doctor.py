"""What an installation is made of, and what is wrong with it: for `kerazoo doctor`."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerazoo import __version__, manifest, packages, store
from kerazoo.errors import KerazooError
from kerazoo.printable import human_size, printable

OK, NOTE, WRONG = "ok", "note", "wrong"

HERE = Path(__file__).parent

LEAST_MEMORY = 1 << 30
LEAST_DISK = 2 << 30
"""Bytes that must be free: TensorFlow and a network of a hundred million weights; such weights and their exports."""

SECONDS = 180
"""Longest that a runtime may take to begin: the first import of TensorFlow reads a gigabyte."""

RUNTIMES = {
    "onnxruntime": "import onnxruntime as it; print(it.__version__, *it.get_available_providers())",
    "ai_edge_litert": "import importlib.metadata as it; from ai_edge_litert.interpreter import Interpreter; "
    "print(it.version('ai-edge-litert'))",
    "tensorflow": "import tensorflow as it; it.linalg.matmul([[1.0]], [[1.0]]); print(it.__version__, "
    "*(each.device_type for each in it.config.list_physical_devices()))",
    "keras": "import keras as it; it.ops.matmul([[1.0]], [[1.0]]); print(it.__version__, 'on', it.backend.backend())",
}
"""What engines compute with -> what a process of its own does to begin it: an instruction that the processor lacks ends
that process."""

FAST_INTEGERS = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp")
"""Flags of processors on which 8-bit networks are faster than float ones."""

ELSEWHERE = ("tensorflow-cpu", "tensorflow-intel", "tensorflow-macos", "tf-nightly", "tflite-runtime")
"""Packages that bring modules which another package brings, too."""

BACKENDS = ("tensorflow", "jax", "torch")

PROXIES = ("http", "https", "all", "no")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: Its name.
        state: `ok`, `note` (worth knowing) or `wrong`.
        found: What there is.
        remedy: What to do, where something is wrong.
    """

    what: str
    state: str
    found: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        return {"what": self.what, "state": self.state, "found": self.found, "remedy": self.remedy}


def findings() -> Iterator[Finding]:
    """Everything, one after the other; runtimes are begun in processes of their own, which takes seconds."""
    for look in (_kerazoo, _processor, _memory, _clock, _requirements, _variables, _cache, _network):
        yield from look()
    for runtime in RUNTIMES:
        yield _runtime(runtime)


def _kerazoo() -> Iterator[Finding]:
    system = f"Python {platform.python_version()}, {platform.platform(terse=True)}"
    yield Finding("kerazoo", OK, f"{__version__} in {HERE}, {system}")


def _processor() -> Iterator[Finding]:
    flags = _flags()
    integers = [flag for flag in FAST_INTEGERS if flag in flags]
    told = f"{platform.machine()}, {os.cpu_count()} cores"
    if not flags:
        yield Finding("processor", OK, told)
    elif integers:
        yield Finding("processor", OK, f"{told}; 8-bit networks run fast ({', '.join(integers)})")
    else:
        yield Finding("processor", NOTE, f"{told}; it has no instructions for 8-bit networks, which gain little here")


def _flags() -> frozenset[str]:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith(("flags", "features")):
                return frozenset(line.partition(":")[2].split())
    return frozenset()


def _memory() -> Iterator[Finding]:
    free = _free_memory()
    if free is None:
        return
    low = free < LEAST_MEMORY
    yield Finding(
        "memory", WRONG if low else OK, f"{human_size(free)} free",
        f"Building and converting wants {human_size(LEAST_MEMORY)}; serving prepared models wants a quarter of that."
        if low else "",
    )  # fmt: skip


def _free_memory() -> int | None:
    """Bytes that this process could take; of a container those that are left to it."""
    found = []
    with contextlib.suppress(OSError, ValueError):
        rows = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found += [int(row.split()[1]) * 1024 for row in rows if row.startswith("MemAvailable:")]
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        most = int((group / "memory.max").read_text())
        found.append(most - int((group / "memory.current").read_text()))
    return min(found, default=None)


def _clock() -> Iterator[Finding]:
    made = (HERE / "__init__.py").stat().st_mtime
    now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    if time.time() < made - 86_400:
        yield Finding(
            "clock", WRONG, f"{now}, which is before Kerazoo was installed", "Set it: no certificate is valid."
        )
    else:
        yield Finding("clock", OK, now)


def _requirements() -> Iterator[Finding]:
    """The installed packages, held to what Kerazoo asks for."""
    from packaging.requirements import Requirement

    told, missing = [], []
    for row in packages.requirements():
        wanted = Requirement(row)
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        try:
            version = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            if wanted.name in packages.BUILDING:
                missing.append(wanted.name)
            else:
                yield Finding(wanted.name, WRONG, "is not installed", f"pip install '{wanted.name}{wanted.specifier}'")
            continue
        told.append(f"{wanted.name} {version}")
        if not wanted.specifier.contains(version, prereleases=True):
            yield Finding(
                wanted.name, WRONG, f"{version}; Kerazoo wants {wanted.specifier}",
                f"pip install '{wanted.name}{wanted.specifier}'",
            )  # fmt: skip
    yield Finding("packages", OK, ", ".join(told))
    if missing:
        yield Finding(
            "building", NOTE, f"{', '.join(missing)} not installed: prepared models are served, none is built",
            f"pip install {' '.join(missing)}",
        )  # fmt: skip
    for name in ELSEWHERE:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            version = importlib.metadata.version(name)
            yield Finding(name, WRONG, f"{version} writes over another package's files", f"pip uninstall {name}")


def _variables() -> Iterator[Finding]:
    """Variables of the environment by which others change what runs here."""
    backend = os.environ.get("KERAS_BACKEND", "")
    if backend and (backend not in BACKENDS or importlib.util.find_spec(backend) is None):
        yield Finding(
            "KERAS_BACKEND", WRONG, f"{printable(backend, 60)}, which is not there",
            "Unset it, or install that: tensorflow, jax or torch.",
        )  # fmt: skip
    if os.environ.get("TF_USE_LEGACY_KERAS", "0") not in ("", "0"):
        yield Finding(
            "TF_USE_LEGACY_KERAS", WRONG, "is set: tf.keras is Keras 2, which reads none of our files", "Unset it."
        )
    if os.environ.get("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION") == "python":
        yield Finding(
            "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", NOTE, "python: gRPC messages are read many times slower",
            "Unset it.",
        )  # fmt: skip


def _cache() -> Iterator[Finding]:
    try:
        home = store.home()
    except KerazooError as error:
        yield Finding("cache", WRONG, str(error), "Set KERAZOO_HOME to a folder.")
        return
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    room = shutil.disk_usage(there).free
    told = f"{printable(str(home))}, {human_size(room)} free"
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        yield Finding("cache", WRONG, f"{told}: {error.strerror}", "Set KERAZOO_HOME to a folder of your own.")
        return
    if room < LEAST_DISK:
        yield Finding("cache", WRONG, told, "kerazoo cache prune, or KERAZOO_HOME on another disk.")
    else:
        yield Finding("cache", OK, told)
    rows = list(store.cached())
    came = sum(all(file.packaged for file in entry.files) for entry in manifest.load().values())
    size, names = human_size(sum(row.size for row in rows)), {row.name for row in rows}
    yield Finding("weights", OK, f"{came} models came with Kerazoo, {len(names)} more are in the cache ({size})")
    for row in rows:
        if row.state == "damaged":
            yield Finding("cache", WRONG, f"{printable(str(row.path))} is damaged", f"kerazoo fetch {row.name}")
    begun = len(list((home / "weights").rglob("*.part"))) if home.is_dir() else 0
    if begun:
        yield Finding(
            "cache", NOTE, f"{begun} downloads were interrupted", "kerazoo fetch goes on, kerazoo cache prune ends."
        )


def _network() -> Iterator[Finding]:
    if store.offline():
        yield Finding("network", NOTE, "KERAZOO_OFFLINE is set: nothing is fetched")
    if mirror := os.environ.get("KERAZOO_MIRROR"):
        yield Finding("network", OK, f"weights come from {printable(_without_secrets(mirror), 200)}")
    for scheme, address in sorted(urllib.request.getproxies().items()):
        if scheme not in PROXIES:
            continue
        shown = printable(_without_secrets(address), 200)
        if scheme == "no" or _is_address(address):
            yield Finding("network", OK, f"{scheme}_proxy {shown}")
        else:
            yield Finding(
                "network", WRONG, f"{scheme}_proxy {shown} is no address", f"Write {scheme}_proxy=http://host:port."
            )


def _is_address(text: str) -> bool:
    import urllib3

    try:
        return bool(urllib3.util.parse_url(text).host)
    except urllib3.exceptions.LocationParseError:
        return False


def _without_secrets(address: str) -> str:
    """An address without the name and the password in it."""
    start, at, rest = address.rpartition("@")
    scheme, slashes, _ = start.partition("://")
    return f"{scheme if slashes else ''}{slashes}{rest}" if at else address


def _runtime(name: str, run: Callable[..., Any] = subprocess.run) -> Finding:
    what = f"runtime {name.replace('_', '-')}"
    if importlib.util.find_spec(name) is None:
        return Finding(what, NOTE, "is not installed")
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = run([sys.executable, "-c", RUNTIMES[name]], capture_output=True, text=True, timeout=SECONDS, env=quiet)
    except subprocess.TimeoutExpired:
        return Finding(what, WRONG, f"did not begin within {SECONDS} s", "Is the disk slow, or the memory full?")
    if done.returncode < 0:
        return Finding(
            what, WRONG, f"ended by signal {-done.returncode}",
            "The processor lacks an instruction that it uses, or the memory is full.",
        )  # fmt: skip
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        return Finding(what, WRONG, printable(last, 300), f"pip install --force-reinstall {name.replace('_', '-')}")
    return Finding(what, OK, printable(" ".join(done.stdout.split()), 200))
