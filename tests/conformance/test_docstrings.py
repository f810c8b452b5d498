"""A family file says where its architecture comes from; its builders say how they are used."""

import inspect
import re

import keras
import pytest

from kerazoo import applications
from tests.conformance.models import NAMES, every_variant, family

BUILDERS = sorted(applications.__all__)
CLASSIFIER = {
    "include_top", "weights", "input_tensor", "input_shape", "pooling", "classes", "classifier_activation", "name"
}  # fmt: skip


@pytest.mark.parametrize("name", applications.families())
def test_a_family_names_its_sources(name):
    doc = getattr(applications, name).__doc__
    for section in ("Paper", "Reference weights", "Variants", "Differs"):
        found = re.search(rf"^{section}: *(\S.*)", doc, re.MULTILINE)
        assert found, f"{name} does not say {section}:"
    for variant in [variant for variant in NAMES if family(variant).__name__.endswith(f".{name}")]:
        assert f"`{variant}`" in doc, f"{name} does not name {variant} among its variants"


@pytest.mark.parametrize("name", BUILDERS)
def test_builders_are_documented(name):
    builder = getattr(applications, name)
    doc = inspect.getdoc(builder)
    for section in ("Args:", "Returns:", "Raises:"):
        assert section in doc, f"{name} has no {section}"
    signature = inspect.signature(builder)
    assert builder.__name__ == name
    described = set(re.findall(r"^ {4}(\w+)(?:, (\w+))*:", doc, re.MULTILINE))
    named = {word for words in described for word in words}
    for parameter in signature.parameters.values():
        assert parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD), f"{name} hides its arguments"
        assert parameter.name in named, f"{name} does not describe {parameter.name}"


@every_variant
def test_classifiers_take_what_keras_takes(name):
    module = family(name)
    variant = module.VARIANTS[name]
    if variant.task != "classify" or not hasattr(variant.config, "input_shape"):
        pytest.skip("not a classifier of pictures")
    for public in module.__all__:
        mine = list(inspect.signature(getattr(module, public)).parameters)
        assert set(mine) >= CLASSIFIER
        theirs = getattr(keras.applications, public, None)
        if theirs is not None:
            assert mine == list(inspect.signature(theirs).parameters)
