"""Families, variants, manifest entries, figures and goldens agree, in both directions."""

from pathlib import Path

import pytest

from kerazoo import applications, manifest, registry, tasks
from kerazoo.contract import Task, Variant
from tests.conformance.models import GOLDENS, NAMES, built, every_kind

TASKS = Path(__file__).parent.parent / "tasks"


@pytest.mark.parametrize("name", applications.families())
def test_a_family_has_variants_and_builders(name):
    module = getattr(applications, name)
    assert module.VARIANTS
    assert all(isinstance(variant, Variant) for variant in module.VARIANTS.values())
    assert module.__all__ and all(callable(getattr(module, public)) for public in module.__all__)
    assert callable(module.build) and callable(module.tasks)


def test_every_variant_has_a_golden_and_every_golden_a_variant():
    assert sorted(path.name for path in GOLDENS.glob("*.json")) == sorted(f"{name}.json" for name in NAMES)


def test_every_manifest_entry_is_of_a_variant():
    assert {entry.variant for entry in manifest.load().values()} <= set(NAMES)


def test_every_task_is_used_or_has_tests_of_its_own():
    used = {variant.task for _, variant in registry.variants().values()}
    tested = {kind for kind in tasks.kinds() if (TASKS / f"test_{kind}.py").is_file()}
    assert used <= set(tasks.kinds()) <= used | tested


@every_kind
def test_the_task_is_one(name):
    assert all(isinstance(task, Task) for task in built(name).tasks.values())
