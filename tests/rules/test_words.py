"""Meaning is said, not spelled: ports by their media, formats by their row of the table."""

from __future__ import annotations

import ast
from pathlib import Path

import kerazoo
from kerazoo import formats

ROOT = Path(kerazoo.__file__).parent

FORMATS = set(formats.FORMATS) | {form.file for form in formats.FORMATS.values()}
HERE_FORMATS_ARE_SPELLED = ("formats.py", "engines/", "weights/", "applications/", "manifest.py")
"""Weight files have formats of their own, two of which are called alike."""

PORTS = {"image_bytes", "mask_bytes", "audio_bytes", "label", "score", "share", "translation", "_bytes"}
HERE_PORTS_ARE_SPELLED = ("codecs/", "tasks/", "applications/", "serve/wire/")
"""TF Serving's REST base64-encodes what ends in `_bytes`: that is the wire's own rule."""


def _literals(allowed: tuple[str, ...], words: set[str]) -> list[str]:
    """Where one of the words stands as a whole literal, in a file that is not allowed to spell it."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(allowed):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        packages = {id(leaf) for node in ast.walk(tree) if _names_packages(node) for leaf in ast.walk(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and node.value in words and id(node) not in packages:
                found.append(f"{name}:{node.lineno}: {node.value!r}")
    return found


def _names_packages(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("PACKAGES", "BUILDING")


def _compared(allowed: tuple[str, ...], words: set[str]) -> list[str]:
    """Where a word is compared with something, or something is looked up by it."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(allowed):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            sides: list[ast.AST] = []
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                sides = list(node.args) if node.func.attr in ("endswith", "startswith") else []
            leaves = [leaf for side in sides for leaf in ast.walk(side)]
            found += [
                f"{name}:{node.lineno}: {leaf.value!r}"
                for leaf in leaves
                if isinstance(leaf, ast.Constant) and leaf.value in words
            ]
    return found


def test_formats_are_spelled_in_their_table_alone() -> None:
    assert _literals(HERE_FORMATS_ARE_SPELLED, FORMATS) == []


def test_ports_are_told_by_their_media() -> None:
    assert _compared(HERE_PORTS_ARE_SPELLED, PORTS) == []


def test_the_words_are_those_of_the_tasks() -> None:
    """The list above would prove nothing if ports were renamed."""
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tasks").glob("*.py"))
    text += "".join(path.read_text(encoding="utf-8") for path in (ROOT / "codecs").glob("*.py"))
    assert all(name in text for name in PORTS)
