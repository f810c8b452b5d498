"""The command line: one command a file, loaded when it is used. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import importlib
import io
import os
import sys

import click

from kerazoo import __version__, packages
from kerazoo.errors import KerazooError
from kerazoo.printable import printable

COMMANDS = (
    "predict", "models", "info", "fetch", "export", "verify", "train", "prune", "evaluate", "bench", "serve", "card",
    "similar", "analogy", "rank", "cache", "doctor", "completion",
)  # fmt: skip

COMPLETING = "_KERAZOO_COMPLETE"
"""The environment variable through which a shell asks what could come next."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"{__name__}.{name}"), name)
        if COMPLETING in os.environ:
            from kerazoo.cli import _complete

            return _complete.taught(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from kerazoo.errors import near

            raise click.UsageError(f"No such command {args[0]!r}.{near(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    name="kerazoo", cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80}
)
@click.version_option(__version__, prog_name="kerazoo")
def cli() -> None:
    """Pretrained Keras models that serve.

    \b
    kerazoo predict photo.jpg
    kerazoo predict photos/ -m squeezenet_v1_0:imagenet --json
    kerazoo export resnet20:cifar10 --to onnx --to litert -o out/
    """


def say(text: str, as_one_line: bool = False) -> None:
    """A few lines for people, on stderr, in which nothing steers the terminal.

    Args:
        as_one_line: Whether it is one row among others, which a text of others must not add to.
    """
    lines = text.split("\n")
    for line in [" ".join(lines)] if as_one_line else lines:
        click.echo(printable(line), err=True)


def main(arguments: list[str] | None = None) -> None:
    """Runs a command and exits with its status, as `kerazoo.errors` lists them."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name or a label that the terminal's encoding does not have must not end the run.
            stream.reconfigure(errors="backslashreplace")
    status = run(arguments)
    if status == INTERRUPTED:
        os._exit(status)  # Threads of runtimes that compute on would hold the interpreter up.
    sys.exit(status)


def run(arguments: list[str] | None = None) -> int:
    """Runs a command; its exit status."""
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except BrokenPipeError:
        return _reader_gone()
    except KeyboardInterrupt:
        # A second one, while the first was being said.
        return INTERRUPTED


def _run(arguments: list[str]) -> int:
    try:
        if COMPLETING in os.environ:
            from click.shell_completion import shell_complete

            return shell_complete(cli, {}, str(cli.name), COMPLETING, os.environ[COMPLETING])
        # Not `cli.main`: it ends the process itself where a reader has gone, with a status that says failure.
        with cli.make_context(cli.name, list(arguments)) as context:
            status = cli.invoke(context) or 0
        sys.stdout.flush()
        return status
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        say(shown.getvalue().removesuffix("\n"))
        return error.exit_code
    except KerazooError as error:
        say(f"error: {error}")
        return error.exit_code
    except ImportError as error:
        if (error.name or "").partition(".")[0] in ("", __name__.partition(".")[0]):
            return _unexpected(error)
        missing = packages.missing(error)
        say(f"error: {missing}")
        return missing.exit_code
    except (KeyboardInterrupt, click.Abort):
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except OSError as error:
        # The disk is full, a folder is not ours to write to: the system's own words, and what they are about.
        say(f"error: {error.strerror or error}" + (f": {error.filename}" if error.filename else ""))
        return 1
    except Exception as error:
        return _unexpected(error)


def _unexpected(error: Exception) -> int:
    if os.environ.get("KERAZOO_TRACEBACK"):
        raise error
    say(f"error: {type(error).__name__}: {error}\nThis should not happen; KERAZOO_TRACEBACK=1 shows where.")
    return 1


def _reader_gone() -> int:
    """The reader has gone (`| head`): nothing more to say, and the interpreter must not try to flush."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return 0
