"""Media: what the values of ports are to a person. One module a media, and the same names in each:

    read(item, port)      anything a person may give -> one value of the port; InputError where it is none
    plain(value)          the same value as a TensorFlow graph can decode it
    example(port, rng)    a small value with something in it
    distance(a, b)        how far two arrays of values lie apart, in the media's own unit; GateError where they cannot
                          be compared
    agreement(a, b)       how far two arrays of values say the same, the higher the nearer; AGREES names its measure and
                          says how much is enough; where a response may hold the media
    SUFFIXES              of files that hold one; none where what is typed is the value itself
    MIME                  of such a file, or `None`

and, where they make sense,

    drawn(port, rng)      a made-up value, another one every time, where `example` gives always the same
    unpack(item, ports)   where several ports make one item: the file or item -> a value a port
    rows(item)            the items of a batch that was given as one; `None` where it is none
    ranged(item, range)   an item of numbers that lie in a range (low, high) -> what `read` takes
    is_item(item)         whether a list or tuple is one item, and not several

Beside these a module has what tasks of its media share. A new media is a new module; nothing else has to know.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import Any

from kerazoo.contract import Port
from kerazoo.errors import UsageError, near


def names() -> tuple[str, ...]:
    """Every media, sorted."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


def of(port: Port) -> Any:
    """The module of a port's media.

    Raises:
        UsageError: There is no such media.
    """
    media = port.media or "number"
    try:
        return _module(media)
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{media}":
            raise
        raise UsageError(
            f"The port {port.name} holds {media!r}; known media are {', '.join(names())}.{near(media, names())}"
        ) from None


@functools.cache  # It is asked several times for every item.
def _module(media: str) -> Any:
    return importlib.import_module(f"{__name__}.{media}")
