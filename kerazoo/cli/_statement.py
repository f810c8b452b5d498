"""Options that state what a file does, the same for every command that takes a MODEL."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click


class _Sides(click.ParamType):
    """`224`, or `HEIGHTxWIDTH`."""

    name = "N|HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        sides = value.lower().split("x")
        if len(sides) > 2 or not all(side.isascii() and side.isdigit() for side in sides):
            self.fail(f"{value!r} is no size: write 224, or 224x320 for height and width.", param, ctx)
        numbers = [int(side) for side in sides]
        return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


class _Numbers(click.ParamType):
    """`0.5`, `1/255` or `0.485,0.456,0.406`."""

    name = "X[,X,X]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            found = tuple(self._number(part) for part in value.split(","))
        except (ValueError, ZeroDivisionError):
            self.fail(
                f"{value!r} is no number, and no three of them: write 0.5, 1/255 or 0.485,0.456,0.406.", param, ctx
            )
        if len(found) not in (1, 3):
            self.fail(f"{value!r} is {len(found)} numbers: one for all channels, or three.", param, ctx)
        return found

    @staticmethod
    def _number(text: str) -> float:
        above, _, below = text.partition("/")
        return float(above) / float(below or 1)


SIDES, NUMBERS = _Sides(), _Numbers()

_OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("--labels",), {"metavar": "FILE", "help": "A label a line, in the order of the output; or imagenet1k, ..."}),
    (("--size",), {"type": SIDES, "help": "Of the network's input in pixels."}),
    (
        ("--resize",),
        {"type": SIDES, "help": "First: the short side to N, or stretched to HxW; then the centre is cut."},
    ),
    (("--interpolation",), {"metavar": "WORD", "help": "bilinear (default) or bicubic."}),
    (("--channels",), {"metavar": "WORD", "help": "rgb, bgr or gray."}),
    (("--preprocess",), {"metavar": "WORD", "help": "tf (-1..1), torch, caffe or none (0..255)."}),
    (("--pixel-scale", "--scale"), {"type": NUMBERS, "help": "Pixels are (x * scale - mean) / std; 1/255, say."}),
    (("--mean",), {"type": NUMBERS, "help": "One, or one a channel."}),
    (("--std",), {"type": NUMBERS, "help": "One, or one a channel."}),
    (("--background",), {"metavar": "WORD", "help": "first or last: a unit more, for none of the classes."}),
    (("--ends",), {"metavar": "WORD", "help": "logits, probabilities or independent, where it cannot be seen."}),
    (("--input-name", "--input"), {"metavar": "NAME", "help": "Of the file's input."}),
    (("--output-name", "--output"), {"metavar": "NAME", "help": "Of its output, where there are several."}),
    (("--signature",), {"metavar": "NAME", "help": "Of a SavedModel; serving_default if not given."}),
    (("--layout",), {"metavar": "WORD", "help": "nhwc or nchw, where the shape does not say it."}),
)


def statement(short: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that adds the options; the command gets what was given as the mapping `stated`.

    Args:
        short: Whether `--scale`, `--input` and `--output` are taken too, which mean something else to other commands.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def run(*arguments: Any, **values: Any) -> Any:
            given = {key: values.pop(f"stated_{key}") for key in map(_key, _OPTIONS)}
            return command(*arguments, stated=_stated({k: v for k, v in given.items() if v is not None}), **values)

        for option in reversed(_OPTIONS):
            names, settings = option
            run = click.option(f"stated_{_key(option)}", *(names if short else names[:1]), **settings)(run)
        return run

    return decorate


def _key(option: tuple[tuple[str, ...], dict[str, Any]]) -> str:
    return option[0][-1].removeprefix("--")


def _stated(given: dict[str, Any]) -> dict[str, Any]:
    """What `kerazoo.own.cards` takes."""
    numbers = {name: given.pop(name) for name in ("scale", "mean", "std") if name in given}
    mode = given.pop("preprocess", None)
    if mode is not None and numbers:
        raise click.UsageError(f"--preprocess {mode} says --{next(iter(numbers))} already; give one of the two.")
    if mode is not None:
        given["normalise"] = mode
    if numbers:
        from kerazoo.codecs.image import Normalise

        scale = numbers.pop("scale", (1.0,))
        if len(scale) > 1:
            raise click.UsageError("--scale is one number; --std can be one a channel.")
        if 0.0 in numbers.get("std", ()):
            raise click.UsageError("--std cannot be 0: pixels are divided by it.")
        given["normalise"] = Normalise(given.get("channels") or "rgb", scale[0], **numbers)
    return given


def trust(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--trust`."""
    text = "Open a SavedModel that can reach files or the network; this machine remembers it."
    return click.option("--trust", is_flag=True, help=text)(command)
