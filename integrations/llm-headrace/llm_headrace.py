"""Models behind the Clarifai V2 protocol for the `llm` command, through headrace.

`llm headrace add MODEL` asks the server what a model takes and writes it to `headrace.yaml` in llm's folder; the models
of that file are the ones that this plugin registers.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import llm
import yaml
from llm.parts import AttachmentPart, ReasoningPart, StreamEvent, TextPart, ToolCallPart, ToolResultPart
from pydantic import Field, field_validator

from headrace.credentials import resolve
from headrace.errors import ConfigError, HeadraceError, PredictionFailed
from headrace.target import Target

if TYPE_CHECKING:  # imported with the first prompt: llm starts its plugins for every command
    from headrace.chat import Abilities, ChatRequest, Delta
    from headrace.integrations.connection import Connection

KEY, KEY_VARIABLE = "headrace", "CLARIFAI_PAT"
PREFIX = "headrace/"

IMAGES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
SOUNDS = frozenset({"audio/wav", "audio/mpeg", "audio/mp4", "audio/flac", "audio/ogg"})
VIDEOS = frozenset({"video/mp4", "video/webm", "video/quicktime"})
_TYPES = {"image": IMAGES, "audio": SOUNDS, "video": VIDEOS}
#: What OpenAI's API calls the formats of sounds.
_FORMATS = {"audio/mpeg": "mp3", "audio/mp4": "m4a"}


# --- which models there are


@dataclass(frozen=True)
class Entry:
    """A model that was added.

    Attributes:
        model_id: its name in llm.
        model: its URL, or its id.
        base_url: its server; None: CLARIFAI_API_BASE, else the hosted API.
        aliases: other names of it in llm.
        inputs: the types of attachments that it takes: "image", "audio", "video".
        speaks_openai: it takes tools and schemas.
        embeds: it gives vectors instead of text.
    """

    model_id: str
    model: str
    base_url: str | None = None
    aliases: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    speaks_openai: bool = False
    embeds: bool = False

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Entry:
        """Read one of the file.

        Raises:
            ConfigError: a name is missing or unknown.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(values.keys() - known):
            raise ConfigError(f"{path()}: unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        if not values.get("model_id") or not values.get("model"):
            raise ConfigError(f"{path()}: each model needs model_id and model")
        lists = {name: tuple(values.get(name) or ()) for name in ("aliases", "inputs")}
        return cls(**{**values, **lists})

    @property
    def needs_key(self) -> bool:
        """Whether its server asks for a credential; one on this machine does not."""
        return not Target.parse(self.base_url).local if self.base_url else True


def path() -> Path:
    """Give the file with the models that were added."""
    return Path(llm.user_dir()) / "headrace.yaml"


def entries() -> list[Entry]:
    """Read the models that were added.

    Raises:
        ConfigError: the file is not what `llm headrace add` writes.
    """
    try:
        content = yaml.safe_load(path().read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        return []
    except yaml.YAMLError as error:
        raise ConfigError(f"{path()} is not YAML: {error}") from None
    models = content.get("models") if isinstance(content, dict) else None
    if not isinstance(models, list) or not all(isinstance(model, dict) for model in models):
        raise ConfigError(f"{path()} must have a list `models`")
    return [Entry.of(model) for model in models]


def save(models: Iterable[Entry]) -> None:
    """Write the models down."""
    written = [{name: value for name, value in asdict(entry).items() if value} for entry in models]
    for entry in written:
        entry.update({name: list(entry[name]) for name in ("aliases", "inputs") if name in entry})
    path().write_text(yaml.safe_dump({"models": written}, sort_keys=False, allow_unicode=True), encoding="utf-8")


@llm.hookimpl
def register_models(register: Any) -> None:
    """Register the models that converse."""
    for entry in _readable():
        if not entry.embeds:
            register(HeadraceModel(entry), AsyncHeadraceModel(entry), aliases=entry.aliases)


@llm.hookimpl
def register_embedding_models(register: Any) -> None:
    """Register the models that embed."""
    for entry in _readable():
        if entry.embeds:
            register(HeadraceEmbeddingModel(entry), aliases=entry.aliases)


def _readable() -> list[Entry]:
    """Give the models; a file that cannot be read must not keep llm from its other models."""
    try:
        return entries()
    except ConfigError as error:
        click.echo(f"llm-headrace: {error}", err=True)
        return []


# --- what all classes share


def connect(entry: Entry, key: str | None) -> Connection:
    """Make the connection of a model; it connects with the first call."""
    from headrace.integrations.connection import Connection

    options = {"base_url": entry.base_url, "pat": key}
    return Connection(None, entry.model, {}, {name: value for name, value in options.items() if value})


class _Base:
    """A model that was added: its connection, and the key for it."""

    key_env_var = KEY_VARIABLE

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.model_id = entry.model_id
        self.needs_key = KEY if entry.needs_key else None
        self._connections: dict[str | None, Connection] = {}

    def connection(self, key: str | None) -> Connection:
        """Give the connection that uses a key; kept for the next prompt."""
        if key not in self._connections:
            self._connections[key] = connect(self.entry, key)
        return self._connections[key]

    def get_key(self, explicit_key: str | None = None) -> str | None:
        """Give the key of llm's store or the environment; without one, the official tools' context counts."""
        try:
            key: str | None = super().get_key(explicit_key)  # type: ignore[misc]
        except llm.NeedsKeyException:
            if not resolve(self.entry.base_url, None, None).credentials:
                raise
            return None
        return key

    def close(self) -> None:
        """Close the connections."""
        while self._connections:
            self._connections.popitem()[1].close()


class HeadraceOptions(llm.Options):
    """What `-o NAME VALUE` takes."""

    max_tokens: int | None = Field(default=None, ge=1, description="Tokens of the answer at most")
    temperature: float | None = Field(default=None, ge=0, le=2, description="Randomness; 0 takes the likeliest")
    top_p: float | None = Field(default=None, ge=0, le=1, description="Share of probability to draw from")
    seed: int | None = Field(default=None, description="The same seed gives the same answer, if the model can")
    stop: str | list[str] | None = Field(default=None, description="A text, or a JSON list of texts, to end before")
    timeout: float | None = Field(default=None, gt=0, description="Seconds to wait for the answer's beginning")
    params: dict[str, Any] | None = Field(default=None, description="Other parameters of the model, as a JSON object")

    @field_validator("stop", "params", mode="before")
    @classmethod
    def _from_json(cls, value: Any) -> Any:
        if isinstance(value, str) and value[:1] in "[{":
            with contextlib.suppress(ValueError):
                return json.loads(value)
        return value


class _Chat(_Base):
    """A model that converses."""

    can_stream = True
    Options = HeadraceOptions

    def __init__(self, entry: Entry) -> None:
        super().__init__(entry)
        self.attachment_types = frozenset().union(*(_TYPES[kind] for kind in entry.inputs if kind in _TYPES))
        self.supports_tools = self.supports_schema = entry.speaks_openai

    def _deltas(self, prompt: llm.Prompt, stream: bool, key: str | None) -> AsyncGenerator[Delta, None]:
        dialogue = self.connection(key).dialogue()
        request = request_of(prompt)
        return dialogue.stream(request) if stream else _whole(dialogue.answer(request))


async def _whole(answering: Any) -> AsyncGenerator[Delta, None]:
    """Give an answer as one piece."""
    yield (await answering).delta


class _Reply:
    """Writes what a model says into a response of llm's."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self._calls: dict[int, list[str]] = {}
        self._finish_reason = ""

    def events(self, delta: Delta) -> Iterator[str | StreamEvent]:
        """Give what llm shows of a piece."""
        if delta.reasoning:
            yield StreamEvent(type="reasoning", chunk=delta.reasoning)
        if text := delta.text or delta.refusal:
            yield text
        for piece in delta.tool_calls:
            call = self._calls.get(piece.index)
            if call is None:
                call = self._calls[piece.index] = [piece.id or f"call_{piece.index}", piece.name, ""]
                yield StreamEvent(type="tool_call_name", chunk=piece.name, tool_call_id=call[0])
            if piece.arguments:
                call[2] += piece.arguments
                yield StreamEvent(type="tool_call_args", chunk=piece.arguments, tool_call_id=call[0])
        self._finish_reason = delta.finish_reason or self._finish_reason
        if delta.usage is not None:
            self._response.set_usage(input=delta.usage.prompt_tokens, output=delta.usage.completion_tokens)
        if delta.model:
            self._response.response_json = {"model": delta.model, "id": delta.id, "finish_reason": self._finish_reason}

    def end(self) -> None:
        """Hand over the tools that the model asks for.

        Raises:
            PredictionFailed: the arguments of one are no JSON object.
        """
        for call_id, name, text in self._calls.values():
            try:
                arguments = json.loads(text or "{}")
            except ValueError:
                arguments = None
            if not isinstance(arguments, dict):
                raise PredictionFailed(
                    f"the model asks for the tool {name} with arguments that are no JSON object: {text[:200]}"
                )
            self._response.add_tool_call(llm.ToolCall(tool_call_id=call_id, name=name, arguments=arguments))


class HeadraceModel(_Chat, llm.KeyModel):
    """A model that converses, for synchronous code."""

    def execute(
        self, prompt: llm.Prompt, stream: bool, response: llm.Response, conversation: Any, key: str | None
    ) -> Iterator[str | StreamEvent]:
        """Answer a prompt; closing the generator stops the model."""
        from headrace.integrations.connection import iterate

        reply = _Reply(response)
        with contextlib.closing(iterate(self._deltas(prompt, stream, key))) as deltas:
            for delta in deltas:
                yield from reply.events(delta)
        reply.end()


class AsyncHeadraceModel(_Chat, llm.AsyncKeyModel):
    """A model that converses, for asynchronous code."""

    async def execute(
        self, prompt: llm.Prompt, stream: bool, response: llm.AsyncResponse, conversation: Any, key: str | None
    ) -> AsyncGenerator[str | StreamEvent, None]:
        """Answer a prompt; closing the generator stops the model."""
        reply = _Reply(response)
        async with contextlib.aclosing(self._deltas(prompt, stream, key)) as deltas:
            async for delta in deltas:
                for event in reply.events(delta):
                    yield event
        reply.end()


class HeadraceEmbeddingModel(_Base, llm.EmbeddingModel):
    """A model that embeds texts; those of a batch share requests."""

    supports_text = True
    supports_binary = False
    batch_size = 512

    def embed_batch(self, items: Iterable[str | bytes], *, key: str | None = None) -> Iterator[list[float]]:
        """Give the vector of each text."""
        from headrace.integrations.connection import run

        texts = [item if isinstance(item, str) else item.decode() for item in items]
        yield from run(self.connection(key).dialogue().embed, texts)


# --- prompts


def request_of(prompt: llm.Prompt) -> ChatRequest:
    """Write a prompt of llm's, with the conversation before it, as a request."""
    from headrace.chat import ChatRequest

    options = prompt.options.model_dump(exclude_none=True)
    stop, timeout = options.pop("stop", ()), options.pop("timeout", None)
    params: dict[str, Any] = {**options.pop("params", {}), **options}
    if prompt.schema:
        params["response_format"] = {"type": "json_schema", "json_schema": {"name": "output", "schema": prompt.schema}}
    if prompt.tools:
        params["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description or "",
                    "parameters": tool.input_schema or {"type": "object", "properties": {}},
                },
            }
            for tool in prompt.tools
        ]
    messages = [written for message in prompt.messages for written in _messages(message)]
    return ChatRequest(messages, params, [stop] if isinstance(stop, str) else stop, timeout)


def _messages(message: llm.Message) -> Iterator[dict[str, Any]]:
    """Write a message as OpenAI's API does: the results of tools have one each."""
    content: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, TextPart):
            content.append({"type": "text", "text": part.text})
        elif isinstance(part, AttachmentPart):
            content.append(_attachment(part.attachment))
        elif isinstance(part, ToolCallPart):
            function = {"name": part.name, "arguments": json.dumps(part.arguments)}
            calls.append({"id": part.tool_call_id, "type": "function", "function": function})
        elif isinstance(part, ToolResultPart):
            output = f"Error: {part.exception}" if part.exception else part.output
            yield {"role": "tool", "tool_call_id": part.tool_call_id, "content": output}
        elif not isinstance(part, ReasoningPart):  # not sent back to a model
            raise ConfigError(f"a part of type {type(part).__name__}, which models do not take")
    if content or calls:
        text = "\n".join(part["text"] for part in content if part["type"] == "text")
        plain = all(part["type"] == "text" for part in content)
        written: dict[str, Any] = {"role": message.role, "content": text if plain else content}
        yield written | ({"tool_calls": calls} if calls else {})


def _attachment(attachment: llm.Attachment) -> dict[str, Any]:
    mime = attachment.resolve_type() or ""
    kind = mime.partition("/")[0]
    if kind == "audio":
        data = base64.b64encode(attachment.content_bytes()).decode()
        return {"type": "input_audio", "input_audio": {"data": data, "format": _FORMATS.get(mime, mime[6:])}}
    url = attachment.url or f"data:{mime};base64,{base64.b64encode(attachment.content_bytes()).decode()}"
    return {"type": f"{kind}_url", f"{kind}_url": {"url": url}}


# --- commands


@llm.hookimpl
def register_commands(cli: click.Group) -> None:
    """Register `llm headrace`."""

    @cli.group(name="headrace")
    def group() -> None:
        """Add and list models behind the Clarifai V2 protocol"""

    @group.command(name="add")
    @click.argument("models", nargs=-1, required=True)
    @click.option("--base-url", help="The server; by default CLARIFAI_API_BASE, else the hosted API.")
    @click.option("--alias", "aliases", multiple=True, help="Another name for the model; for a single MODEL.")
    @click.option("--key", help="Personal access token, or the name of one of llm's keys.")
    def add(models: tuple[str, ...], base_url: str | None, aliases: tuple[str, ...], key: str | None) -> None:
        """Look MODELS (URLs or ids) up and add them"""
        if aliases and len(models) > 1:
            raise click.ClickException("--alias is for a single model")
        kept = {entry.model_id: entry for entry in _entries()}
        for name in models:
            entry = _looked_up(name, base_url, aliases, key)
            kept[entry.model_id] = entry
            save(kept.values())
            click.echo(f"{entry.model_id}: {_described(entry)}")

    @group.command(name="list")
    def list_() -> None:
        """List the models that were added"""
        for entry in _entries():
            names = ", ".join((entry.model_id, *entry.aliases))
            click.echo(f"{names}: {_described(entry)} ({entry.base_url or 'default server'})")

    @group.command(name="remove")
    @click.argument("model_id")
    def remove(model_id: str) -> None:
        """Remove a model by its name or an alias"""
        kept = _entries()
        remaining = [entry for entry in kept if model_id not in (entry.model_id, *entry.aliases)]
        if len(remaining) == len(kept):
            raise click.ClickException(f"no model {model_id!r} was added")
        save(remaining)


def _entries() -> list[Entry]:
    try:
        return entries()
    except ConfigError as error:
        raise click.ClickException(str(error)) from None


def _looked_up(name: str, base_url: str | None, aliases: tuple[str, ...], key: str | None) -> Entry:
    """Ask the server what a model takes.

    Raises:
        click.ClickException: it does not answer, has no such model, or the model gives neither text nor vectors.
    """
    from headrace.integrations.connection import run

    entry = Entry("", name, base_url)
    try:
        connection = connect(entry, llm.get_key(key, KEY, KEY_VARIABLE) if entry.needs_key else None)
        try:
            known: Abilities = run(connection.dialogue().abilities)
        finally:
            connection.close()
    except HeadraceError as error:
        raise click.ClickException(f"{name}: {error}") from None
    embeds = "embeddings" in known.outputs
    if not embeds and not known.gives("text"):
        raise click.ClickException(f"{name} gives {', '.join(known.outputs)}: llm has no use for it")
    inputs = [kind for kind in _TYPES if kind in known.inputs or (known.speaks_openai and kind != "video")]
    return Entry(PREFIX + connection.model.id, name, base_url, aliases, tuple(inputs), known.speaks_openai, embeds)


def _described(entry: Entry) -> str:
    takes = ["text", *entry.inputs, *(["tools, schemas"] if entry.speaks_openai else [])]
    return f"takes {', '.join(takes)}; gives {'vectors' if entry.embeds else 'text'}"
