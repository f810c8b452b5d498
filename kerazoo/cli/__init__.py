"""The command line: one command a file, loaded when it is used. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import importlib
import os
import sys

import click

from kerazoo import __version__
from kerazoo.errors import KerazooError

COMMANDS = ("predict", "models", "info", "fetch", "export", "train", "evaluate", "serve", "cache")


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return getattr(importlib.import_module(f"{__name__}.{name}"), name) if name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from kerazoo.errors import near

            raise click.UsageError(f"No such command {args[0]!r}.{near(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, prog_name="kerazoo")
def cli() -> None:
    """Pretrained Keras models that serve.

    \b
    kerazoo predict photo.jpg
    kerazoo predict photos/ -m squeezenet_v1_0:imagenet --json
    kerazoo export resnet20:cifar10 --to onnx --to litert -o out/
    """


def say(line: str) -> None:
    """One line for people, on stderr."""
    click.echo(line, err=True)


def main(arguments: list[str] | None = None) -> None:
    """Runs a command and exits with its status, as `kerazoo.errors` lists them."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Runs a command; its exit status."""
    try:
        return cli.main(arguments, prog_name="kerazoo", standalone_mode=False) or 0
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except KerazooError as error:
        say(f"error: {error}")
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        say("interrupted")
        return 130
    except BrokenPipeError:
        # The reader has gone (`| head`): nothing more to say, and the interpreter must not try to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # The disk is full, a folder is not ours to write to: the system's own words, and what they are about.
        say(f"error: {error.strerror or error}" + (f": {error.filename}" if error.filename else ""))
        return 1
    except Exception as error:
        if os.environ.get("KERAZOO_TRACEBACK"):
            raise
        say(f"error: {type(error).__name__}: {error}\nThis should not happen; KERAZOO_TRACEBACK=1 shows where.")
        return 1
