"""An image has what the wheel asks for and nothing else: whatever the package imports must be among that."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib import metadata

from packaging.requirements import Requirement

from tests.deploy.files import ROOT


def imported() -> dict[str, str]:
    """Top-level module that is not Python's nor ours -> a file that imports it."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "kerazoo").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                found.setdefault(name.split(".")[0], str(path.relative_to(ROOT)))
    return {name: file for name, file in found.items() if name not in {*sys.stdlib_module_names, "kerazoo"}}


def installed() -> set[str]:
    """Names of the distributions that come with the wheel, and with its extras but that for tests."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: rows for name, rows in project["optional-dependencies"].items() if name != "test"}
    waiting = [Requirement(text) for rows in (project["dependencies"], *extras.values()) for text in rows]
    done: set[str] = set()
    while waiting:
        name = canonical(waiting.pop().name)
        if name in done:
            continue
        done.add(name)
        try:
            rows = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        needed = [Requirement(row) for row in rows]
        waiting += [need for need in needed if need.marker is None or need.marker.evaluate({"extra": ""})]
    return done


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_wheel_asks_for_what_it_imports():
    owners = metadata.packages_distributions()
    there = installed()
    missing = {
        name: file
        for name, file in imported().items()
        if not there & {canonical(owner) for owner in owners.get(name, [name])}
    }
    assert not missing, missing
