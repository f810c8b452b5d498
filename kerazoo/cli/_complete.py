"""What the shell is offered after Tab: models, engines, formats, kinds of tasks and files, without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem


def _models() -> Iterable[str]:
    from kerazoo import manifest, registry

    return [*manifest.load(), *registry.variants()]


def _engines() -> Iterable[str]:
    from kerazoo import engines

    return ("auto", *engines.NAMES)


def _formats() -> Iterable[str]:
    from kerazoo import formats

    return formats.FORMATS


def _kinds() -> Iterable[str]:
    from kerazoo import tasks

    return tasks.kinds()


WORDS: dict[str, tuple[Callable[[], Iterable[str]], bool]] = {
    "model": (_models, True),
    "models": (_models, True),
    "pattern": (_models, False),
    "arguments": (_models, True),
    "engine": (_engines, False),
    "formats": (_formats, False),
    "task": (_kinds, False),
    "inputs": (lambda: (), True),
}
"""Parameter -> what it can be, and whether it can be a file, too."""


class _Word(click.ParamType):
    """Any word, with those that are known offered."""

    name = "text"

    def __init__(self, words: Callable[[], Iterable[str]], files: bool) -> None:
        self.words = words
        self.files = files

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found = [CompletionItem(word) for word in sorted(set(self.words())) if word.startswith(incomplete)]
        return found or ([CompletionItem(incomplete, type="file")] if self.files else [])


def taught(command: click.Command) -> click.Command:
    """The command, and those below it, with words to offer for the parameters that have a name of `WORDS`."""
    for parameter in command.params:
        if parameter.name in WORDS and parameter.type.name == "text":
            parameter.type = _Word(*WORDS[parameter.name])
    for inner in getattr(command, "commands", {}).values():
        taught(inner)
    return command


def script(shell: str, cli: Any) -> str:
    """What a shell runs to complete `kerazoo`."""
    from click.shell_completion import BashComplete, FishComplete, ZshComplete

    from kerazoo.cli import COMPLETING

    known = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
    source = known[shell](cli, {}, "kerazoo", COMPLETING).source()
    # A colon would end a word, and names of models have one.
    return source + ("\nCOMP_WORDBREAKS=${COMP_WORDBREAKS//:}\n" if shell == "bash" else "\n")
