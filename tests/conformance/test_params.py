"""Exact parameter counts of the full-size variants, against the description and against an independent source."""

import dataclasses

import pytest

from kerazoo import registry
from kerazoo.applications._recognise import layers_of, table
from tests.conformance.models import FACTS, KINDS, NAMES, every_variant, family


def test_every_variant_has_a_figure_from_a_source():
    assert sorted(FACTS) == sorted(NAMES)
    assert all(fact["source"] for fact in FACTS.values())


@every_variant
def test_count(name):
    described = registry.variants()[name][1]
    model = family(name).build(described.config)
    count = model.count_params()
    assert layers_of(model) == table().get(name), "python -m kerazoo.applications._recognise writes the table anew"
    assert count == described.params
    assert count == FACTS[name]["params"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in KINDS if "no_top" in FACTS.get(name, {})])
def test_count_without_top(name):
    config = dataclasses.replace(registry.variants()[name][1].config, include_top=False)
    assert family(name).build(config).count_params() == FACTS[name]["no_top"]
