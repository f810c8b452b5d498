"""docs/techniques.md: its tables are what was measured, its words are known, its script runs."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from benchmarks import rethinking, techniques
from benchmarks.technique_rows import GROUPS, ROWS, Row
from kerazoo.train import balance, losses
from kerazoo.train.settings import AUGMENTS, SCHEDULES, Settings, chosen
from tests import printed

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "techniques.md").read_text(encoding="utf-8")
TOLD = json.loads(techniques.RESULTS.read_text(encoding="utf-8"))


def test_the_tables_are_what_was_measured() -> None:
    told = json.loads(rethinking.RESULTS.read_text(encoding="utf-8"))
    assert techniques.written(PAGE, "measured", techniques.table(TOLD)) == PAGE
    assert techniques.written(PAGE, "rethinking", rethinking.table(told)) == PAGE
    for found in (TOLD, told):
        assert found["machine"]["cpu"] and found["versions"]["keras"] and found["command"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_technique_was_measured_as_it_is_set(row: Row) -> None:
    found = TOLD["rows"][row.name]
    assert len(found["seeds"]) >= 2
    group, usual = GROUPS[row.group], dataclasses.asdict(Settings())
    settings = dataclasses.asdict(dataclasses.replace(group.settings, **row.changes))
    stated = {name: value for name, value in settings.items() if value != usual[name]}
    assert found["settings"] == {"variant": group.variant, "data": group.data, **stated}
    # And as the command line would set it.
    made = chosen("scratch", {name: techniques._word(value) for name, value in row.changes.items()})
    assert made == dataclasses.replace(Settings(), **row.changes)


def test_the_page_names_every_word() -> None:
    for word in (*losses.KINDS, "focal", *SCHEDULES, *balance.KINDS, *AUGMENTS):
        if word != "none":
            assert re.search(rf"\b{word}\b", PAGE), word
    for word in {name for row in ROWS for name in row.changes} - {"rate", "batch", "features"}:
        assert f"{word}=" in PAGE, word


def test_it_is_reached_from_the_page_on_training() -> None:
    assert "techniques.md" in (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_script_runs(tmp_path: Path) -> None:
    ((kind, script),) = printed.blocks("docs/techniques.md", "python")
    said = printed.run(kind, script, tmp_path).stdout
    areas = [float(word) for word in re.findall(r"[\d.]+", said)[:3]]
    assert min(areas) > 0.7, said


def test_random_labels_are_learnt_by_the_papers_networks() -> None:
    assert rethinking.mlp(1).count_params() == 1_209_866
    assert rethinking.mlp(3).count_params() == 1_735_178
    made = rethinking.inception()
    plain = sum(layer.count_params() for layer in made.layers if not layer.name.endswith("_bn"))
    assert plain == 1_649_402
    assert made.get_layer("block10").output.shape == (None, 7, 7, 336)


def test_a_table_of_half_the_rows_is_printed() -> None:
    told = {"rows": {"digits_baseline": {"seeds": {"0": {"accuracy": 0.9}, "1": {"accuracy": 0.92}}}}}
    assert "| 91.00 ± 1.41 |" in techniques.table(told)
    assert techniques.table({"rows": {}}) == "\n"
