"""The options that commands share, and the types of their values."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from headrace import media
from headrace.cli import words
from headrace.cli.run import keep_secret

F = TypeVar("F", bound=Callable[..., Any])
if TYPE_CHECKING:  # generic in newer versions of click only
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType
TABLES = (".parquet", ".arrow", ".feather")  # what a table's name ends in
INPUT_TYPES = ("image", "text", "video", "audio")


@dataclass(frozen=True, slots=True)
class Options:
    """The shared options of one command line; None, () or {} if not given."""

    # the server
    base_url: str | None = None
    pat: str | None = field(default=None, repr=False)
    local: bool = False
    root_certificates: Path | None = None
    # the model
    model_url: str | None = None
    model_id: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    model_version_id: str | None = None
    # where it runs
    deployment_id: str | None = None
    compute_cluster_id: str | None = None
    nodepool_id: str | None = None
    deployment_user_id: str | None = None
    # what goes along
    input_type: str | None = None
    inference_params: dict[str, Any] = field(default_factory=dict)
    output_config: dict[str, Any] = field(default_factory=dict)
    timeout: float | None = None
    # the inputs, besides positional ones
    url: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    file_path: tuple[str, ...] = ()
    # what comes out
    output: str = "text"
    save: Path | None = None
    force: bool = False
    draw: str | None = None  # "" without a file's name

    @property
    def names_model(self) -> bool:
        """Whether an option says which model."""
        return bool(self.model_url or self.model_id)

    @property
    def saves_one(self) -> bool:
        """Whether an option names the one file to write."""
        return bool(self.draw) or (self.save is not None and is_file(self.save))

    @property
    def table(self) -> Path | None:
        """The Parquet or Arrow file that the results go to, None where they are printed."""
        return Path(self.output) if self.output.lower().endswith(TABLES) else None

    @property
    def own_server(self) -> bool:
        """Whether the server is not the hosted API, so that a model's id says enough.

        Raises:
            ConfigError: a malformed address, an unreadable context.
        """
        if self.local:
            return True
        from headrace.credentials import resolve

        return not resolve(self.base_url, self.pat, None).target.hosted

    @property
    def call(self) -> dict[str, Any]:
        """The keyword arguments of a call that these options give."""
        values = {
            "inference_params": self.inference_params or None,
            "output_config": self.output_config or None,
            "timeout": self.timeout,
        }
        return {name: value for name, value in values.items() if value is not None}


def is_file(path: Path) -> bool:
    """Return whether `--save` names a file: it has the extension of one, and is no folder."""
    return media.kind_of_name(path.name) is not None and not path.is_dir()


class JsonValue(_ParamType):
    """A JSON object; a mistake is reported with its column."""

    name = "JSON"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """Parse `value`; refuse anything but an object, and numbers that JSON does not have."""
        if isinstance(value, dict):
            return value
        try:
            parsed = json.loads(value, parse_constant=_refuse)
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}" if error.lineno > 1 else f"column {error.colno}"
            near = value[error.pos : error.pos + 12].split("\n")[0]
            self.fail(f"not JSON at {where}: {error.msg}{f', at {near!r}' if near else ', at its end'}", param, ctx)
        except (ValueError, RecursionError) as error:
            self.fail(f"not JSON: {error}", param, ctx)
        if not isinstance(parsed, dict):
            self.fail(f'expected a JSON object such as {{"max_tokens": 100}}, not {_kind(parsed)}', param, ctx)
        return parsed


class Typed(str):
    """A value as it was typed; its use decides the type. Texts take it unchanged."""

    __slots__ = ()

    def value(self) -> Any:
        """Read it as JSON if it is JSON, else as text."""
        try:
            return json.loads(self, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return str(self)


class KeyValue(_ParamType):
    """`key=value`, the value as it was typed."""

    name = "KEY=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Typed]:
        """Split `value` at its first equals sign."""
        key, sign, text = value.partition("=")
        if not sign or not key.strip():
            self.fail(f"expected key=value, not {value!r}", param, ctx)
        return key.strip(), Typed(text)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a JSON number")


def _kind(value: object) -> str:
    names = {list: "a list", str: "a string", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")


class OutputForm(_ParamType):
    """The name of a form that is printed, or the table's file to write.

    Args:
        forms: the names.
    """

    def __init__(self, *forms: str) -> None:
        self._forms = click.Choice(forms)
        self.name: str = f"{'|'.join(forms)}|FILE.parquet"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take the name of a form, or of a table's file."""
        text = str(value)
        return text if text.lower().endswith(TABLES) else str(self._forms.convert(text, param, ctx))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Complete the names of forms."""
        return self._forms.shell_complete(ctx, param, incomplete)


class InputType(_ParamType):
    """One of the four input types."""

    name = "|".join(INPUT_TYPES)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Accept a known type in any case."""
        kind = str(value).strip().lower()
        if kind not in INPUT_TYPES:
            self.fail(f"{value!r} is no input type; known: {', '.join(INPUT_TYPES)}", param, ctx)
        return kind


class Seconds(_ParamType):
    """A positive, finite number of seconds."""

    name = "SECONDS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse a float; NaN, infinity, zero and less are refused."""
        try:
            seconds = float(value)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds < math.inf:
            self.fail(f"expected seconds above 0, not {value!r}", param, ctx)
        return seconds


class Sectioned(click.Option):
    """An option that help lists under a heading."""

    def __init__(self, names: Sequence[str], section: str = "", **attributes: Any) -> None:
        super().__init__(names, **attributes)
        self.section = section


class _Sections(click.Command):
    """A command whose help lists its options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options section by section, those without one last."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                sections.setdefault(getattr(param, "section", "") or "Options", []).append(record)
        for heading in sorted(sections, key=lambda name: name == "Options"):
            with formatter.section(heading):
                formatter.write_dl(sections[heading])


class Command(_Sections):
    """A command with sections of options."""


class Grouped(_Sections, click.Group):
    """A group with sections of options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, then the commands."""
        _Sections.format_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)


def _option(*names: str, section: str, **attributes: Any) -> Callable[[F], F]:
    return click.option(*names, cls=Sectioned, section=section, **attributes)


def _model_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    from headrace.cli.completion import model_names

    return list(model_names(ctx, param, incomplete))


_server = functools.partial(_option, section="Server")
_model = functools.partial(_option, section="Model")
_place = functools.partial(_option, section="Where it runs")
_input = functools.partial(_option, section="Inputs")
_output = functools.partial(_option, section="Results")

_OWNER = [
    _model("--user_id", metavar="ID", help="The model's owner."),
    _model("--app_id", metavar="ID", help="The model's app."),
]


def _form(*names: str) -> Callable[[F], F]:
    return _output("-o", "--output", type=click.Choice(["text", *names]), default="text", help="Output format.")


OPTIONS: dict[str, list[Callable[[Any], Any]]] = {
    "server": [
        _server("--local", is_flag=True, help="The embedded server, started for this command."),
        _server("--base_url", metavar="URL", help="https://host, http://host:port or unix:/path."),
        _server("--pat", metavar="PAT", help="Credential; better in CLARIFAI_PAT, where no process list shows it."),
        _server("--root_certificates", metavar="PEM", type=click.Path(path_type=Path), help="Authorities to trust."),
    ],
    "model": [
        _model("--model_url", metavar="URL", help="https://clarifai.com/USER/APP/models/MODEL."),
        _model(
            "--model_id",
            metavar="ID",
            shell_complete=_model_names,
            help="With --user_id and --app_id; alone with --local.",
        ),
        *_OWNER,
        _model("--model_version_id", metavar="ID", help="A version; left out: the newest."),
        _place("--deployment_id", "--deployment", "deployment_id", metavar="ID", help="A deployment,"),
        _place("--compute_cluster_id", metavar="ID", help="or a compute cluster with"),
        _place("--nodepool_id", metavar="ID", help="its nodepool;"),
        _place("--deployment_user_id", metavar="ID", help="whose they are."),
    ],
    "input": [
        _input("--input_type", metavar="TYPE", type=InputType(), help="image, text, video or audio; else found out."),
        _input("--url", multiple=True, metavar="URL", help="Fetched by the server."),
        _input("--bytes", "data", multiple=True, metavar="TEXT", help="Sent as it is, such as a prompt."),
        _input("--file_path", "--file", "file_path", multiple=True, metavar="PATH", help="Read from a file."),
        _input("--inference_params", metavar="JSON", type=JsonValue(), default="{}", help="As '{\"top_p\": 0.9}'."),
        _input("--output_config", metavar="JSON", type=JsonValue(), default="{}", help="As '{\"max_concepts\": 5}'."),
        _input("--timeout", metavar="SECONDS", type=Seconds(), help="Give up after this time."),
    ],
    "fields": [
        _input("-i", "field", type=KeyValue(), multiple=True, help="As prompt=Hi, image=a.jpg or max_tokens=9."),
        _input("--inputs", metavar="JSON", type=JsonValue(), default="{}", help="The same as one object."),
        _input("--method", metavar="NAME", help="One of the model's methods (--info lists them)."),
    ],
    "owner": _OWNER,
    "form": [_form("json", "jsonl")],
    "output": [
        _output(
            "-o",
            "--output",
            type=OutputForm("text", "json", "jsonl", "csv"),
            default="text",
            help="Output format; or the Parquet or Arrow table to write.",
        ),
        _output(
            "--save",
            metavar="DIR|FILE",
            type=click.Path(path_type=Path),
            help="Keep pictures, masks, sounds, texts in DIR; or the one answer in FILE (such as .png, .wav, .txt).",
        ),
        _output(
            "--draw",
            is_flag=False,
            flag_value="",
            metavar="[FILE]",
            help="Save the picture with its boxes and masks: in FILE, else in DIR or here.",
        ),
        _output("--force", is_flag=True, help="Overwrite saved files."),
    ],
}


def _drawing(options: Options, positional: tuple[str, ...], *, films: bool) -> tuple[Options, tuple[str, ...]]:
    """Distinguish the file of `--draw FILE` from a word that only stands behind `--draw`: the input, or the model."""
    value = options.draw or ""
    has_input = (
        films
        or options.file_path
        or options.url
        or any(words.exists(word) or words.is_url(word) for word in positional)
    )
    if words.is_url(value) or (words.exists(value) and not has_input):
        return replace(options, draw=""), (*positional, value)
    if media.kind_of_name(value) in ("image", "video"):
        return options, positional
    return replace(options, draw=""), (value, *positional)


def shared(*groups: str) -> Callable[[F], F]:
    """Add groups of options to a command; its function gets their values as one `Options` named `options`.

    Args:
        groups: keys of `OPTIONS`, in the order of the help.
    """
    decorators = [decorator for group in groups for decorator in OPTIONS[group]]
    names = {item.name for item in fields(Options)}

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def command(*positional: Any, **values: Any) -> Any:
            options = Options(**{name: values.pop(name) for name in list(values) if name in names})
            keep_secret(options.pat)
            if options.draw and "words" in values:
                films = bool(values.get("video") or values.get("camera"))
                options, values["words"] = _drawing(options, values["words"], films=films)
            return function(*positional, options=options, **values)

        decorated: Any = command
        for decorator in reversed(decorators):
            decorated = decorator(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate
