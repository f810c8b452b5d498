"""Goldens and cards come back as they were written."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from kerazoo.codecs import image as image_
from kerazoo.export import golden as golden_
from kerazoo.export.golden import Call, Golden

NUMBERS = st.sampled_from([np.float32, np.float64, np.int32, np.int64, np.uint8])
SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
TENSORS = NUMBERS.flatmap(
    lambda dtype: arrays.arrays(
        dtype, SHAPES, elements={"allow_nan": False, "allow_infinity": False} if np.dtype(dtype).kind == "f" else None
    )
)


@st.composite
def _strings(draw):
    values = draw(st.lists(st.binary(max_size=20), max_size=6))
    array = np.empty(len(values), object)
    array[:] = values
    return array.reshape(draw(st.sampled_from([(-1,), (len(values), 1)]))) if values else array


PORTS = st.text("abcdefghij_", min_size=1, max_size=8)
SIDE = st.dictionaries(PORTS, st.one_of(TENSORS, _strings()), min_size=1, max_size=3)
CALLS = st.lists(
    st.builds(Call, PORTS, st.dictionaries(PORTS, TENSORS, min_size=1, max_size=2),
              st.dictionaries(PORTS, TENSORS, min_size=1, max_size=2)), max_size=12
)  # fmt: skip


def _equal(mine, theirs):
    assert mine.keys() == theirs.keys()
    for name, array in mine.items():
        assert array.dtype == theirs[name].dtype, name
        assert array.shape == theirs[name].shape, name
        assert np.array_equal(array, theirs[name]), name


@settings(max_examples=40)
@given(request=SIDE, response=SIDE)
def test_cards(request, response):
    back = golden_.from_card(golden_.to_card(Golden(request, response, ())))
    _equal(request, back.request)
    _equal(response, back.response)
    assert back.calls == ()


@settings(max_examples=40)
@given(request=SIDE, response=SIDE, calls=CALLS)
def test_files(request, response, calls):
    file = io.BytesIO()
    golden_.save({"classify": Golden(request, response, tuple(calls)), "embed": Golden(request, response, ())}, file)
    file.seek(0)
    loaded = golden_.load(file)
    assert list(loaded) == ["classify", "embed"] and loaded["embed"].calls == ()
    back = loaded["classify"]
    _equal(request, back.request)
    _equal(response, back.response)
    assert [call.part for call in back.calls] == [call.part for call in calls]
    for mine, theirs in zip(calls, back.calls, strict=True):
        _equal(mine.inputs, theirs.inputs)
        _equal(mine.outputs, theirs.outputs)


@pytest.mark.parametrize("size", [(60, 80), (24, 24), (32, 32), (227, 227)])
def test_the_golden_picture_has_something_to_see(size):
    picture = np.asarray(Image.open(io.BytesIO(image_.scene(*size))))
    assert picture.shape == (*size, 3)
    assert (picture.reshape(-1, 3).std(0) > 40).all()
    assert image_.scene(*size) == image_.scene(*size)
