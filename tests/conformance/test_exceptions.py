"""The table of what cannot be exported is no larger than it must be."""

import pytest

from kerazoo.engines import open_network
from kerazoo.errors import KerazooError
from kerazoo.export import golden as golden_
from kerazoo.export import verify
from kerazoo.formats import FORMATS
from tests.conformance.models import CANNOT, NAMES, converted


def test_exceptions_name_variants_and_formats():
    assert all(name in NAMES and format_ in FORMATS and reason for (name, format_), reason in CANNOT.items())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "format_"), CANNOT)
def test_an_exception_really_fails(name, format_, shared):
    made = converted(name, shared)
    if made.failures[format_] is not None:
        return
    with pytest.raises(KerazooError):
        network, card = open_network(format_, made.path(format_))
        verify.check(card.tasks, golden_.load(made.folder / "golden.npz"), network, FORMATS[format_], name)
