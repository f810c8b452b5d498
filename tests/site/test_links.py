"""Links of the pages lead somewhere: to files that there are, and to headings in them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def without_code(text: str) -> str:
    text = re.sub(r"^(```+)\w*\n.*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def links(text: str) -> list[str]:
    found = re.findall(r"\]\(([^)\s]+)\)", without_code(text)) + re.findall(
        r'(?:src|href)="([^"]+)"', without_code(text)
    )
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def anchors(text: str) -> set[str]:
    """Those of the headings, as GitHub and the site make them."""
    text = re.sub(r"^(```+)\w*\n.*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in links(page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert found.is_relative_to(ROOT), f"{target} leads out of the repository"
        if anchor:
            assert anchor in anchors(found.read_text(encoding="utf-8")), target


def test_a_link_to_nowhere_is_seen() -> None:
    text = "[a](nowhere.md) `[b](code.md)` [c](https://elsewhere) ![d](images/d.png)\n\n```sh\n[e](e.md)\n```\n"
    assert links(text) == ["nowhere.md", "images/d.png"]
    assert anchors("# One, two\n\n```sh\n# no heading\n```\n## `three` - 4\n") == {"one-two", "three---4"}


def test_every_page_is_reached_from_another() -> None:
    reached = {ROOT / "README.md", ROOT / "docs" / "index.md"}
    for page in PAGES:
        reached |= {(page.parent / target.partition("#")[0]).resolve() for target in links(page.read_text("utf-8"))}
    decisions = ROOT / "docs" / "decisions"
    assert not [page for page in PAGES if page not in reached and page.parent != decisions]
