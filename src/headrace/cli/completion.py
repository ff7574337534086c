"""`headrace completion SHELL`: the script that completes commands, options, models and files in a shell."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem, get_completion_class

from headrace.cli import render, words
from headrace.cli.run import DONE

_VARIABLE = "_HEADRACE_COMPLETE"
_SHELLS = ("bash", "zsh", "fish")
#: zsh has no `compdef` until its completion system is loaded, which a short .zshrc does not do.
_ZSH_SYSTEM = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }\n"


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> int:
    """Print the script that completes commands, options, model names and files in a shell.

    \b
    bash:  eval "$(headrace completion bash)"   in ~/.bashrc
    zsh:   eval "$(headrace completion zsh)"    in ~/.zshrc
    fish:  headrace completion fish | source    in ~/.config/fish/config.fish
    """
    from headrace.cli.app import APP

    shell_class = get_completion_class(shell)
    assert shell_class is not None  # click has these three
    script = shell_class(APP, {}, "headrace", _VARIABLE).source()
    if shell == "zsh":  # "#compdef" stays the first line, so that the script also works as a file in fpath
        first, rest = script.split("\n", 1)
        script = f"{first}\n{_ZSH_SYSTEM}{rest}"
    render.emit(script)
    return DONE


def model_names(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a model of the embedded server."""
    return [CompletionItem(name) for name in sorted(words.built_in_names()) if name.startswith(incomplete)]


def model_or_file(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a positional argument: with `--local` the first one may be a model, the others are files."""
    first = ctx.params.get("local") and not ctx.params.get("words")
    names = model_names(ctx, param, incomplete) if first and incomplete else []
    return names or [CompletionItem(incomplete, type="file")]
