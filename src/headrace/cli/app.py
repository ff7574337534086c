"""The tree of commands; a command's file is imported when it is called, or its help is shown."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import click

from headrace._version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Command -> (module, attribute, the line that `--help` shows). The lines are here so that help imports nothing.
COMMANDS: Mapping[str, tuple[str, str, str]] = {
    "predict": ("headrace.cli.predict", "predict", "Send inputs to a model and print its answers."),
    "generate": ("headrace.cli.generate", "generate", "Send a prompt and print the tokens as they come."),
    "stream": ("headrace.cli.stream", "stream", "Send many inputs through one stream; answers as they come."),
    "models": ("headrace.cli.models", "models", "List models, show one, fetch weights ahead of time."),
    "serve": ("headrace.cli.serve", "serve", "Run the embedded server."),
    "proxy": ("headrace.cli.proxy", "proxy", "Give OpenAI's HTTP API to the models of a server."),
    "mcp": ("headrace.cli.mcp", "mcp", "Offer models as tools to assistants and editors (MCP)."),
    "studio": ("headrace.cli.studio", "studio", "Serve a page to try models on."),
    "demo": ("headrace.cli.demo", "demo", "See all three call shapes at work on this machine."),
    "samples": ("headrace.cli.samples", "samples", "Copy sample photos, sounds, videos and texts to a folder."),
    "completion": ("headrace.cli.completion", "completion", "Print the script that completes names in a shell."),
    "version": ("headrace.cli.version", "version", "Print versions and settings, for bug reports."),
    "model": ("", "", "The commands above as `headrace model ...`."),
}
UNDER_MODEL = ("predict", "generate", "stream")


class Lazy(click.Group):
    """A group whose commands are imported on use."""

    def __init__(self, names: Mapping[str, str], **attributes: object) -> None:
        super().__init__(**attributes)  # type: ignore[arg-type]
        self.names: dict[str, str] = dict(names)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self.names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and give the command, None if there is none of that name."""
        if cmd_name not in self.names:
            return None
        if cmd_name == "model":
            return MODEL
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.names.items()))


def _group(names: Mapping[str, str], name: str, help: str) -> Lazy:
    return Lazy(names, name=name, help=help, context_settings=SETTINGS, no_args_is_help=True)


def dashes(token: str) -> str:
    """Make the snake form of an option (`--model_url`) the same as the kebab form."""
    return token.replace("_", "-")


SETTINGS: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "token_normalize_func": dashes,
    "max_content_width": 100,
}
MODEL = _group({name: COMMANDS[name][2] for name in UNDER_MODEL}, "model", "Call a model.")
APP = _group(
    {name: line for name, (_, _, line) in COMMANDS.items()},
    "headrace",
    "Streaming inference with the Clarifai V2 prediction protocol, on a server or on this machine (--local).\n\n"
    "Results go to stdout, everything else to stderr. Options are understood as --model-url and as --model_url. "
    "Exit codes: 0 done, 1 some inputs failed, 2 wrong usage, 3 refused by the server, 4 unreachable, 130 interrupted.",
)
APP = click.version_option(__version__, "-V", "--version", prog_name="headrace", message="%(prog)s %(version)s")(APP)
