"""The site: built without a warning, of nothing that lies elsewhere, and found by its own search."""

from __future__ import annotations

import html.parser
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILDS = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("mkdocs", "material", "mkdocstrings")),
    reason="the site is built by pip install -e '.[docs]'",
)
pytestmark = [pytest.mark.slow, BUILDS]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Loaded(html.parser.HTMLParser):
    """What a page makes a browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and given.get("rel") not in ("canonical", "prev", "next"):
            self.found.append(given.get("href") or "")
        elif tag != "a":
            self.found += [given[name] or "" for name in ("src", "srcset", "data", "poster") if name in given]


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 50
    for page in pages:
        reader = Loaded()
        reader.feed(page.read_text(encoding="utf-8"))
        for target in filter(None, reader.found):
            assert not re.match(r"(https?:)?//", target), (page.name, target)
            if page.name != "404.html" and not target.startswith("data:"):
                assert (page.parent / target.partition("?")[0]).exists(), (page.name, target)
    for style in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", style.read_text(encoding="utf-8")), style.name


def test_search_finds_what_the_pages_say(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    found = {each["location"].partition("#")[0] for each in index["docs"]}
    assert {"index.html", "commands.html", "python.html", "tasks/detect.html", "security.html"} <= found
    assert not [location for location in found if location.startswith("sources/")]


def test_public_functions_are_shown_with_their_arguments(site: Path) -> None:
    page = (site / "python.html").read_text(encoding="utf-8")
    for name in ("load", "save", "card", "evaluate", "info", "models", "export.export", "train.train"):
        assert f'id="kerazoo.{name}"' in page, name
    assert "exact_pixels" in page and "WeightsDamaged" in page
