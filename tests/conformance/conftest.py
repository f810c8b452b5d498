"""What is built once is asked in one process: all cases of a variant go to the same worker."""

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        case = getattr(item, "callspec", None)
        if item.path.parent == Path(__file__).parent and case is not None and "name" in case.params:
            item.add_marker(pytest.mark.xdist_group(case.params["name"]))
