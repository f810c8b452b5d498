"""Hooks of the site, see `mkdocs.yml`.

Sources that pages link to, and files outside of `docs/`, are part of the site as pages of their own: the same relative
link leads somewhere in the repository and in the site. Of a notebook its cells are shown, and what they gave. A folder
in the navigation stands for all its pages, in the order in which its `README.md` links to them.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")
WORDS = {".py": "python", ".html": "html", ".json": "json", ".txt": "text", ".yaml": "yaml", ".yml": "yaml"}
SHOWN = "sources"
FAMILIES = "families/"


def _outside(page: File, target: str) -> str | None:
    """The path from the repository's root of a source, or of what lies outside of `docs/`, that a link leads to."""
    if ":" in target:
        return None
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page.src_uri), target))
    here = path.startswith("docs/") and not path.endswith(".py")
    return None if here or path.startswith("..") else path


def _shown(path: str) -> str:
    """Where a source stands in the site."""
    return f"{SHOWN}/{path}.md"


def on_config(config: Any) -> Any:
    for item in config.nav:
        for title, value in item.items():
            if isinstance(value, str) and value.endswith("/"):
                item[title] = _ordered(Path(config.docs_dir) / value)
    return config


def _ordered(folder: Path) -> list[str]:
    """The pages of a folder: the one that leads to the others, those in its order, and the rest by name."""
    there = sorted(path.name for path in folder.glob("*.md"))
    first = folder / "README.md"
    linked = [target for target, _ in LINK.findall(first.read_text(encoding="utf-8"))] if first.exists() else []
    named = [first.name, *linked, *there]
    return [f"{folder.name}/{name}" for name in dict.fromkeys(named) if name in there]


def on_files(files: Files, config: Any) -> Files:
    root = Path(config.docs_dir).parent
    wanted: set[str] = set()
    for page in files.documentation_pages():
        targets = (_outside(page, target) for target, _ in LINK.findall(page.content_string))
        wanted |= {path for path in targets if path and (root / path).is_file()}
    for path in sorted(wanted):
        text = (root / path).read_text(encoding="utf-8")
        word = WORDS.get(os.path.splitext(path)[1], "text")
        page = _notebook(path, text) if path.endswith(".ipynb") else f"# {path}\n\n{_fenced(text, word)}"
        content = f"---\nsearch:\n  exclude: true\n---\n{page}"
        files.append(File.generated(config, _shown(path), content=content))
    return files


def _fenced(text: str, word: str) -> str:
    fence = "`" * 4
    return f"{fence}{word}\n{text.rstrip()}\n{fence}\n"


def _notebook(path: str, text: str) -> str:
    """A notebook as a page: its own links lead from where it lies to pages of the site, or to other notebooks."""

    def moved(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), found[1]))
        page = target.removeprefix("docs/") if target.endswith(".md") else _shown(target)
        return f"]({posixpath.relpath(page, posixpath.dirname(_shown(path)))}{found[2] or ''})"

    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(LINK.sub(moved, source))
        else:
            parts += [_fenced(source, "python"), *map(_output, cell["outputs"])]
    return "\n\n".join(parts)


def _output(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    for kind in data:
        if kind.startswith("image/"):
            return f"![what the cell shows](data:{kind};base64,{''.join(data[kind]).strip()})"
    return _fenced("".join(output.get("text", data.get("text/plain", ""))), "text")


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    if page.file.src_uri.startswith(f"{SHOWN}/"):
        return markdown
    if page.file.src_uri.startswith(FAMILIES):
        # In the navigation its name is enough; what is behind the colon tells what it is.
        page.meta["title"] = markdown.removeprefix("# ").partition("\n")[0].partition(":")[0]

    def moved(found: re.Match[str]) -> str:
        path = _outside(page.file, found[1])
        if path is None or files.get_file_from_path(_shown(path)) is None:
            return found[0]
        return f"]({posixpath.relpath(_shown(path), posixpath.dirname(page.file.src_uri))}{found[2] or ''})"

    return LINK.sub(moved, markdown)
