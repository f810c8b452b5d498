import pytest

from kerazoo.applications import lenet
from kerazoo.applications.lenet import LeNet5
from tests.applications.common import pictures


def test_count_by_arithmetic():
    convolutions = (25 * 1 + 1) * 6 + (25 * 6 + 1) * 16
    dense = (5 * 5 * 16 + 1) * 120 + (120 + 1) * 84 + (84 + 1) * 10
    model = LeNet5(weights=None)
    assert model.count_params() == lenet.VARIANTS["lenet5"].params == convolutions + dense == 61_706


@pytest.mark.parametrize(("pooling", "shape"), [(None, (1, 5, 5, 16)), ("avg", (1, 16)), ("max", (1, 16))])
def test_features(pooling, shape):
    assert LeNet5(weights=None, include_top=False, pooling=pooling)(pictures(1, 32, 32, 1)).shape == shape
