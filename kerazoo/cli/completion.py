"""`kerazoo completion`: Tab in the shell."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Prints what SHELL runs to complete models, engines, formats and files.

    \b
    eval "$(kerazoo completion bash)"       # in ~/.bashrc
    eval "$(kerazoo completion zsh)"        # in ~/.zshrc
    kerazoo completion fish > ~/.config/fish/completions/kerazoo.fish
    """
    from kerazoo.cli import _complete, cli

    click.echo(_complete.script(shell, cli), nl=False)
    return 0
