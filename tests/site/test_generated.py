"""Pages that are made of something else say what that says now."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import kerazoo
from benchmarks import record
from kerazoo import cli, registry, tasks

DOCS = Path(__file__).parents[2] / "docs"


def opened(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATORS = {path.stem: opened(path) for path in sorted(DOCS.glob("*.py")) if path.stem != "hooks"}


@pytest.mark.parametrize("name", GENERATORS)
def test_pages_are_written_anew_when_something_changes(name):
    for path, text in GENERATORS[name].pages().items():
        assert path.read_text(encoding="utf-8") == text, f"python docs/{name}.py"


def test_nothing_is_left_of_what_was_generated_once():
    kept = {path.stem for path in (DOCS / "tasks").glob("*.md")}
    assert kept == {"README", *tasks.kinds()}
    families = {module.__name__.rpartition(".")[2] for module, _ in registry.variants().values()}
    assert {path.stem for path in (DOCS / "families").glob("*.md")} == families


def test_every_model_has_its_row_and_every_family_its_paper():
    text = GENERATORS["models"].PAGE.read_text(encoding="utf-8")
    named = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    assert named == [row["name"] for row in registry.rows()]
    for family in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        assert len(family.splitlines()[2]) > 20 and not family.splitlines()[2].startswith("|"), family.splitlines()[0]


def test_every_command_has_its_section_and_every_option_its_row():
    text = GENERATORS["commands"].PAGE.read_text(encoding="utf-8")
    sections = dict(part.split("\n", 1) for part in re.split(r"^#{2,3} ", text, flags=re.MULTILINE)[1:])
    assert {f"kerazoo {name}" for name in cli.COMMANDS} <= set(sections)
    assert {"kerazoo cache export", "kerazoo cache import"} <= set(sections)
    for name in cli.COMMANDS:
        for option in cli.cli.get_command(None, name).params:
            if not getattr(option, "hidden", False) and option.param_type_name == "option":
                assert option.opts[-1] in sections[f"kerazoo {name}"], (name, option.opts)


def test_every_benchmark_has_its_section_with_its_command_and_machine():
    text = GENERATORS["benchmarks"].PAGE.read_text(encoding="utf-8")
    sections = dict(part.split("\n", 1) for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:])
    results = Path(record.__file__).parent / "results"
    assert set(sections) == {path.stem for path in results.glob("*.json")}
    for name, section in sections.items():
        if name not in GENERATORS["benchmarks"].ELSEWHERE:
            assert "```text\n" in section and re.search(r"^On .* cores, Python .* keras", section, re.M), name
            assert re.search(r"\| [\d.]+", section), name


def test_every_task_has_its_page():
    assert set(GENERATORS["tasks"].answers()) == set(tasks.kinds()) == set(GENERATORS["tasks"].TOLD)


def test_every_public_name_is_in_the_python_reference():
    text = (DOCS / "python.md").read_text(encoding="utf-8")
    shown = re.findall(r"^::: kerazoo\.(\w+)", text, re.MULTILINE)
    assert set(shown) == set(kerazoo.__all__)
    assert set(re.findall(r"`kerazoo\.(\w+)`", text)) == set(kerazoo.__all__)
