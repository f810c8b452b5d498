"""docs/gallery.md shows what its commands make, and they are commands that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from kerazoo import cli, registry
from kerazoo.errors import KerazooError
from tests import printed

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "images" / "gallery"
PAGE = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
LINES = [line for body in printed.bodies("docs/gallery.md", "sh") for line in body.splitlines()]
COMMANDS = [shlex.split(line)[1:] for line in LINES if line.startswith("kerazoo ")]
SHOWN = re.findall(r"[(\"]images/gallery/([^)\"]+)", PAGE)


def test_every_picture_is_there_small_and_made_by_a_command() -> None:
    made = {each[each.index("-o") + 1] for each in COMMANDS} | set(re.findall(r"save\('([^']+)'", "\n".join(LINES)))
    assert len(SHOWN) > 5 and set(SHOWN) <= made
    assert {path.name for path in FOLDER.iterdir()} == {*SHOWN, "hopper.jpg"}
    assert all(path.stat().st_size < 150_000 for path in FOLDER.iterdir())


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_is_one(command: list[str]) -> None:
    name, *arguments = command
    found = cli.cli.get_command(click.Context(cli.cli), name)
    assert found is not None
    given = found.make_context(name, arguments).params
    model = str(given.get("model", given.get("file")))
    if not model.endswith((".keras", ".npz")):
        assert registry.find(model)
    with pytest.raises((KerazooError, click.ClickException)):
        found.make_context(name, [*arguments, "--no-such-option"])
