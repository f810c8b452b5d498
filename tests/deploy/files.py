"""The files of the deployment, read: the Dockerfile's stages, and YAML where it can be read."""

from __future__ import annotations

import fnmatch
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@dataclass
class Stage:
    """One stage of the Dockerfile.

    Attributes:
        steps: Instruction and what follows it, in order.
    """

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [text for name, text in self.steps if name == instruction]

    def one(self, instruction: str) -> str:
        (text,) = self.all(instruction)
        return text

    def env(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for text in self.all("ENV") for pair in shlex.split(text))

    def copies(self) -> list[tuple[dict[str, str], list[str], str]]:
        """Options, sources and target of every COPY."""
        found = []
        for text in self.all("COPY"):
            words = shlex.split(text)
            options = dict(word.removeprefix("--").split("=", 1) for word in words if word.startswith("--"))
            *sources, target = [word for word in words if not word.startswith("--")]
            found.append((options, sources, target))
        return found


def dockerfile() -> tuple[dict[str, str], dict[str, Stage]]:
    """The arguments before the first stage with their defaults, and the stages by name, in order."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        instruction, rest = line.split(maxsplit=1)
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            stages[name] = Stage(name, base)
        elif not stages:
            assert instruction == "ARG"
            key, value = rest.split("=", 1)
            arguments[key] = value
        else:
            list(stages.values())[-1].steps.append((instruction, rest))
    return arguments, stages


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a file out of the build: the last pattern that fits it or a folder above decides."""
    parts = path.split("/")
    prefixes = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    out = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!")
            names = parts if pattern.startswith("**/") else prefixes
            if any(fnmatch.fnmatchcase(name, pattern.removeprefix("**/")) for name in names):
                out = not line.startswith("!")
    return out


def yaml_of(path: str) -> list[dict[str, Any]]:
    """The documents of a YAML file of this repository."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed; it comes with the extra `test`")
    return list(yaml.safe_load_all((ROOT / path).read_text(encoding="utf-8")))


def unknown_to_serve(arguments: list[str]) -> list[str]:
    """Arguments that `kerazoo serve` does not know."""
    from kerazoo.cli.serve import serve
    from kerazoo.serve import flags

    given = serve.make_context("serve", list(arguments)).params["arguments"]
    return list(flags.parse(given).unknown)


def pages(metrics: str | None = None) -> set[str]:
    """Paths beside `/v1/` that the server answers."""
    from kerazoo.serve.http.app import METRICS as METRICS_PATH
    from kerazoo.serve.http.pages import pages as found
    from kerazoo.serve.models.catalogue import Models, Watch
    from kerazoo.serve.service import Service

    def load(*_: Any) -> Any:
        raise AssertionError("nothing is loaded here")

    return set(found(Service(Models(load, Watch(0))), metrics or METRICS_PATH))
