"""Requests of OpenAI's clients, as far as models behind the V2 protocol can serve them.

Three sorts of fields: those that are used; those that change nothing here and are ignored, as OpenAI's API does with
many; and those that ask for what these models cannot do, which are refused by name rather than dropped.
Source: OpenAI's API reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from headrace.web.failures import Refusal

Stop: TypeAlias = str | Annotated[list[str], Field(max_length=4)] | None
Temperature: TypeAlias = Annotated[float, Field(ge=0, le=2)] | None
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)] | None
Tokens: TypeAlias = Annotated[int, Field(ge=1)] | None


class _Body(BaseModel):
    """A JSON body; unknown fields are refused."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    #: Fields whose values other than these ask for something that cannot be done.
    unsupported: ClassVar[Mapping[str, tuple[Any, ...]]] = {}

    model: str = Field(min_length=1)
    # Meant for statistics, storage or scheduling at OpenAI; they change no answer.
    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_unsupported(cls, fields: Any) -> Any:
        if isinstance(fields, dict):
            for name, harmless in cls.unsupported.items():
                if fields.get(name) is not None and fields[name] not in harmless:
                    raise Refusal(
                        400, f"{name} is not supported by this model.", param=name, code="unsupported_parameter"
                    )
        return fields


class _Sampling(_Body):
    temperature: Temperature = None
    top_p: Share = None
    seed: int | None = None
    stop: Stop = None
    stream: bool | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts at which the answer ends."""
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(one for one in stops if one)

    def params(self, max_tokens: int | None) -> dict[str, Any]:
        """The inference parameters that were asked for."""
        params = {"temperature": self.temperature, "top_p": self.top_p, "seed": self.seed, "max_tokens": max_tokens}
        return {name: value for name, value in params.items() if value is not None}


class StreamOptions(BaseModel):
    """How a stream is to be sent."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Url(BaseModel):
    """Where a picture is: an http(s) or data URL."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="ignore", frozen=True)

    url: str


class Part(BaseModel):
    """A part of a message: a text or a picture."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="ignore", frozen=True)

    type: Literal["text", "input_text", "output_text", "image_url", "input_image", "refusal"]
    text: str | None = None
    image_url: Url | str | None = None

    @model_validator(mode="after")
    def _whole(self) -> Part:
        field = "image_url" if self.is_picture else "text"
        if getattr(self, field) is None and self.type != "refusal":
            raise ValueError(f"a part of type {self.type} needs {field}")
        return self

    @property
    def is_picture(self) -> bool:
        """Whether it is one."""
        return self.type in ("image_url", "input_image")

    @property
    def url(self) -> str:
        """The picture's address."""
        return self.image_url.url if isinstance(self.image_url, Url) else self.image_url or ""


class Message(BaseModel):
    """One message of a conversation."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="ignore", frozen=True)

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        """The texts of all its parts."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.text)
        return self.content or ""

    @property
    def pictures(self) -> list[str]:
        """The addresses of its pictures."""
        parts = self.content if isinstance(self.content, list) else []
        return [part.url for part in parts if part.is_picture]


class Chat(_Sampling):
    """POST /v1/chat/completions."""

    unsupported: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "n": (1,),
        "tools": ([],),
        "functions": ([],),
        "logprobs": (False,),
        "top_logprobs": (0,),
        "logit_bias": ({},),
        "presence_penalty": (0,),
        "frequency_penalty": (0,),
        "response_format": ({"type": "text"},),
        "modalities": (["text"],),
        "audio": (),
        "prediction": (),
        "web_search_options": (),
    }

    messages: Annotated[list[Message], Field(min_length=1)]
    max_tokens: Tokens = None
    max_completion_tokens: Tokens = None
    stream_options: StreamOptions | None = None
    n: Any = None
    tools: Any = None
    tool_choice: Any = None
    parallel_tool_calls: Any = None
    functions: Any = None
    function_call: Any = None
    logprobs: Any = None
    top_logprobs: Any = None
    logit_bias: Any = None
    presence_penalty: Any = None
    frequency_penalty: Any = None
    response_format: Any = None
    reasoning_effort: Any = None
    verbosity: Any = None
    modalities: Any = None
    audio: Any = None
    prediction: Any = None
    web_search_options: Any = None


class Completion(_Sampling):
    """POST /v1/completions."""

    unsupported: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "n": (1,),
        "best_of": (1,),
        "echo": (False,),
        "logprobs": (0, False),
        "logit_bias": ({},),
        "presence_penalty": (0,),
        "frequency_penalty": (0,),
        "suffix": ("",),
    }

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=128)] = ""
    max_tokens: Tokens = None
    stream_options: StreamOptions | None = None
    n: Any = None
    best_of: Any = None
    echo: Any = None
    logprobs: Any = None
    logit_bias: Any = None
    presence_penalty: Any = None
    frequency_penalty: Any = None
    suffix: Any = None


class Embedding(_Body):
    """POST /v1/embeddings; numbers of tokens in place of texts are refused: each model has its own."""

    unsupported: ClassVar[Mapping[str, tuple[Any, ...]]] = {"dimensions": ()}

    input: str | Annotated[list[str], Field(min_length=1, max_length=2048)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Any = None


class Speech(_Body):
    """POST /v1/audio/speech."""

    unsupported: ClassVar[Mapping[str, tuple[Any, ...]]] = {"instructions": ("",), "stream_format": ("audio",)}

    input: str = Field(min_length=1, max_length=4096)
    voice: Any = None  # the model has one
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = "mp3"
    speed: Annotated[float, Field(ge=0.25, le=4)] = 1.0
    instructions: Any = None
    stream_format: Any = None


class Transcription(_Body):
    """POST /v1/audio/transcriptions: the fields beside the file."""

    unsupported: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "include": ([],),
        "timestamp_granularities": (["segment"],),
        "chunking_strategy": ("auto",),
    }

    language: str | None = None
    prompt: str | None = None
    response_format: Literal["json", "text", "verbose_json"] = "json"
    temperature: Share = None
    stream: bool | None = None
    include: Any = None
    timestamp_granularities: Any = None
    chunking_strategy: Any = None


class Picture(_Body):
    """POST /v1/images/generations."""

    unsupported: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "response_format": ("b64_json",),
        "stream": (False,),
        "output_format": ("png",),
    }

    prompt: str = Field(min_length=1, max_length=32_000)
    n: Annotated[int, Field(ge=1, le=10)] | None = None
    size: str | None = Field(default=None, pattern=r"^(auto|[1-9][0-9]{0,3}x[1-9][0-9]{0,3})$")
    response_format: Any = None
    output_format: Any = None
    stream: Any = None
    quality: Any = None
    style: Any = None
    background: Any = None
    moderation: Any = None
    output_compression: Any = None
    partial_images: Any = None


class Response(_Body):
    """POST /v1/responses, for text."""

    unsupported: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "tools": ([],),
        "background": (False,),
        "previous_response_id": (),
        "conversation": (),
        "prompt": (),
        "include": ([],),
        "text": ({"format": {"type": "text"}}, {}),
        "truncation": ("disabled",),
        "top_logprobs": (0,),
    }

    input: str | Annotated[list[Message], Field(min_length=1)]
    instructions: str | None = None
    max_output_tokens: Tokens = None
    temperature: Temperature = None
    top_p: Share = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: Any = None
    tool_choice: Any = None
    parallel_tool_calls: Any = None
    max_tool_calls: Any = None
    background: Any = None
    previous_response_id: Any = None
    conversation: Any = None
    prompt: Any = None
    include: Any = None
    text: Any = None
    truncation: Any = None
    top_logprobs: Any = None
    reasoning: Any = None

    @property
    def messages(self) -> list[Message]:
        """The conversation, instructions first."""
        messages = [Message(role="user", content=self.input)] if isinstance(self.input, str) else list(self.input)
        return [Message(role="system", content=self.instructions), *messages] if self.instructions else messages


def checked(kind: type[BaseModel], fields: Mapping[str, Any]) -> Any:
    """Check a body against its form.

    Raises:
        Refusal: 400 with the field that is wrong.
    """
    try:
        return kind.model_validate(dict(fields))
    except ValidationError as error:
        raise _invalid(error) from None


def _invalid(error: ValidationError) -> Refusal:
    first = error.errors(include_url=False, include_input=False)[0]
    param = ".".join(str(step) for step in first["loc"] if not _is_branch(step))
    if first["type"] == "extra_forbidden":
        return Refusal(400, f"Unrecognized request argument supplied: {param}", param=param, code="unknown_parameter")
    if first["type"] == "missing":
        return Refusal(400, f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")
    return Refusal(400, f"Invalid value for '{param}': {first['msg']}.", param=param or None, code="invalid_value")


def _is_branch(step: object) -> bool:
    """Distinguish pydantic's name of a branch of a union from a field's name."""
    return (isinstance(step, str) and any(mark in step for mark in "[(-")) or step in ("str", "int")
