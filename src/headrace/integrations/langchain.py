"""LangChain: `ChatHeadrace`, a chat model, and `HeadraceEmbeddings`; see docs/integrations/langchain.md.

Extra `langchain`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Literal

from headrace.support.extras import install

try:
    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.embeddings import Embeddings
    from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput
    from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, InvalidToolCall, ToolCall, UsageMetadata
    from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
    from langchain_core.messages.utils import convert_to_openai_messages
    from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
    from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
    from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
    from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
    from langchain_core.tools import BaseTool
    from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
    from langchain_core.utils.pydantic import is_basemodel_subclass
except ImportError as _missing:
    raise ImportError(f"headrace.integrations.langchain needs langchain-core: {install('langchain')}") from _missing

from pydantic import Field

from headrace.chat import Answer, ChatRequest, ConversationError, Delta
from headrace.integrations.connection import CONFIG, ConnectionSettings, iterate, run
from headrace.integrations.langchain_errors import raising
from headrace.results import Usage

Schema = dict[str, Any] | type
Method = Literal["function_calling", "json_schema", "json_mode"]

#: What LangChain passes along for its own purposes.
_NOT_SENT = ("ls_structured_output_format", "stream", "model", "timeout")
#: Parts of an assistant's message that have their own field, or are not sent back to a model.
_NOT_REPEATED = ("tool_call", "tool_call_chunk", "invalid_tool_call", "reasoning", "thinking")


class ChatHeadrace(ConnectionSettings, BaseChatModel):
    """A model behind the V2 protocol as a chat model of LangChain.

    A model that speaks OpenAI's API (it publishes `openai_transport` or `openai_stream_transport`) takes tools,
    structured output and all kinds of content. Any other takes texts, and media in the last message as far as it takes
    them; it gets the conversation by its own chat template where it publishes `chat_history`, else as text.

    ::

        llm = ChatHeadrace(model="https://clarifai.com/openai/chat-completion/models/gpt-4o", temperature=0)
        llm.invoke("Name a river.").content

    Use it with `await`, from threads, or both; `aclose()` or `close()` ends its connections.

    Raises (from calls):
        HeadraceError: all of its classes; those that LangChain has a class for are of that class too, such as
            `ModelRateLimitError` and `ContextOverflowError`.
    """

    model_config = CONFIG

    temperature: float | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    top_p: float | None = None
    seed: int | None = None
    stop: list[str] | str | None = Field(default=None, description="Texts at which an answer ends.")
    streaming: bool = Field(default=False, description="Stream within `invoke` as well.")
    model_kwargs: dict[str, Any] = Field(default_factory=dict, description="Other parameters that the model has.")

    @property
    def _llm_type(self) -> str:
        return "headrace"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return self.model_dump(exclude={"api_key", "callbacks", "cache", "rate_limiter", "metadata", "tags", "profile"})

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return super()._get_ls_params(stop=_texts(stop or self.stop), **kwargs)

    # --- one answer

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return run(self._agenerate, messages, stop, None, **kwargs)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with raising():
            dialogue = self._connection.dialogue(kwargs.get("model"))
            answer = await dialogue.answer(self._request(messages, stop, kwargs))
        usage = _usage(answer.usage)
        message = _message(answer, usage)
        output = {"model_name": message.response_metadata["model_name"], "token_usage": usage}
        return ChatResult(generations=[ChatGeneration(message=message)], llm_output=output)

    # --- an answer in pieces

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with contextlib.closing(iterate(self._chunks(messages, stop, kwargs))) as chunks:
            for chunk in chunks:
                if run_manager is not None:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        async with contextlib.aclosing(self._chunks(messages, stop, kwargs)) as chunks:
            async for chunk in chunks:
                if run_manager is not None:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    async def _chunks(
        self, messages: Sequence[BaseMessage], stop: Sequence[str] | None, kwargs: Mapping[str, Any]
    ) -> AsyncGenerator[ChatGenerationChunk, None]:
        with raising():
            dialogue = self._connection.dialogue(kwargs.get("model"))
            async with contextlib.aclosing(dialogue.stream(self._request(messages, stop, kwargs))) as deltas:
                async for delta in deltas:
                    yield ChatGenerationChunk(message=_chunk(delta, dialogue.model.id))

    def _request(
        self, messages: Sequence[BaseMessage], stop: Sequence[str] | None, kwargs: Mapping[str, Any]
    ) -> ChatRequest:
        own = {name: getattr(self, name) for name in ("temperature", "max_tokens", "top_p", "seed")}
        params = {**own, **self.model_kwargs, **kwargs}
        return ChatRequest(
            _openai_messages(messages),
            {name: value for name, value in params.items() if value is not None and name not in _NOT_SENT},
            _texts(stop or self.stop) or (),
            kwargs.get("timeout", self.timeout),
        )

    # --- tools and structured output

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Give the model tools to ask for.

        Whether it takes any shows with the first call: where it does not, that raises `ConversationError`.

        Args:
            tools: functions, Pydantic classes, LangChain's tools, or OpenAI's descriptions of tools.
            tool_choice: "auto", "none", "any" (or "required", True), the name of a tool, or OpenAI's form of it.
            strict: ask for arguments that fit the schema exactly.

        Raises:
            ConversationError: `tool_choice` names no tool of these.
        """
        described = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        if tool_choice:
            kwargs["tool_choice"] = _tool_choice(tool_choice, [tool["function"]["name"] for tool in described])
        return self.bind(tools=described, **kwargs)

    def with_structured_output(
        self,
        schema: Schema | None = None,
        *,
        method: Method = "function_calling",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Have answers in the form of a schema; only models that speak OpenAI's API can.

        Args:
            schema: a Pydantic class (answers are objects of it), a TypedDict or a JSON schema (answers are dicts).
            method: "function_calling": by a tool; "json_schema": by the schema itself; "json_mode": any JSON object,
                whose form the messages describe; `schema` may be None.
            include_raw: answer with a dict of `raw` (the message), `parsed` and `parsing_error`.
            strict: ask for answers that fit the schema exactly.

        Raises:
            ConversationError: an unknown method, or no schema.
        """
        if schema is None and method != "json_mode":
            raise ConversationError(f"method={method!r} needs a schema", field="schema")
        cls: Any = schema if isinstance(schema, type) and is_basemodel_subclass(schema) else None
        parser: Runnable[Any, Any] = PydanticOutputParser(pydantic_object=cls) if cls else JsonOutputParser()
        shape = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
        llm: Runnable[LanguageModelInput, AIMessage]
        if method == "function_calling":
            assert schema is not None
            llm = self.bind_tools(
                [schema], tool_choice="any", strict=strict, ls_structured_output_format=shape, **kwargs
            )
            if cls:
                parser = PydanticToolsParser(tools=[cls], first_tool_only=True)
            else:
                name = convert_to_openai_tool(schema)["function"]["name"]
                parser = JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)
        elif method == "json_schema":
            assert schema is not None
            llm = self.bind(
                response_format=_response_format(schema, strict), ls_structured_output_format=shape, **kwargs
            )
        elif method == "json_mode":
            llm = self.bind(response_format={"type": "json_object"}, ls_structured_output_format=shape, **kwargs)
        else:
            raise ConversationError(
                f"method={method!r}: known are function_calling, json_schema and json_mode", field="method"
            )
        if not include_raw:
            return llm | parser
        parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
        failed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=llm) | parsed.with_fallbacks([failed], exception_key="parsing_error")


class HeadraceEmbeddings(ConnectionSettings, Embeddings):
    """A model that embeds texts, for LangChain.

    `embed_documents` takes any number of texts: they share requests, as many as the limits allow.

    ::

        embeddings = HeadraceEmbeddings(model="minilm", base_url="http://127.0.0.1:8080")
        vectors = embeddings.embed_documents(["a river", "a mill"])

    Raises (from calls):
        HeadraceError: as `ChatHeadrace`; the first text that fails ends a call.
    """

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Give the vector of each text."""
        return run(self.aembed_documents, texts)

    def embed_query(self, text: str) -> list[float]:
        """Give the vector of one text."""
        return run(self.aembed_query, text)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Give the vector of each text."""
        with raising():
            return await self._connection.dialogue().embed(texts, self.timeout)

    async def aembed_query(self, text: str) -> list[float]:
        """Give the vector of one text."""
        return (await self.aembed_documents([text]))[0]


# --- messages to the model


def _openai_messages(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    try:
        converted = convert_to_openai_messages([_repeated(message) for message in messages])
    except ValueError as error:
        raise ConversationError(str(error)) from error
    assert isinstance(converted, list)
    return converted


def _repeated(message: BaseMessage) -> BaseMessage:
    """Leave out of an assistant's message what is not sent back to a model."""
    if not isinstance(message, AIMessage) or isinstance(message.content, str):
        return message
    content = [part for part in message.content if not (isinstance(part, dict) and part.get("type") in _NOT_REPEATED)]
    return message.model_copy(update={"content": content})


def _texts(stop: Sequence[str] | str | None) -> list[str] | None:
    return [stop] if isinstance(stop, str) else list(stop) if stop else None


def _tool_choice(choice: dict[str, Any] | str | bool, names: Sequence[str]) -> dict[str, Any] | str:
    """Write which tool is to be used as OpenAI's API does.

    Raises:
        ConversationError: it is none of the tools.
    """
    if isinstance(choice, dict):
        return choice
    if choice is True or choice in ("any", "required"):
        return "required"
    if choice in ("auto", "none"):
        return str(choice)
    if choice in names:
        return {"type": "function", "function": {"name": choice}}
    raise ConversationError(f"tool_choice={choice!r}: the tools are {', '.join(names)}", field="tool_choice")


def _response_format(schema: Schema, strict: bool | None) -> dict[str, Any]:
    described = convert_to_json_schema(schema, strict=strict)
    form: dict[str, Any] = {"name": described.pop("title", "answer"), "schema": described}
    if "description" in described:
        form["description"] = described.pop("description")
    if strict is not None:
        form["strict"] = strict
    return {"type": "json_schema", "json_schema": form}


# --- messages from the model


def _usage(usage: Usage | None) -> UsageMetadata | None:
    if usage is None:
        return None
    metadata = UsageMetadata(
        input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens, total_tokens=usage.total_tokens
    )
    if usage.cached_tokens:
        metadata["input_token_details"] = {"cache_read": usage.cached_tokens}
    return metadata


def _beside(said: Answer | Delta) -> dict[str, Any]:
    """Give what a model says beside its answer."""
    beside = {"reasoning_content": said.reasoning, "refusal": said.refusal}
    return {name: text for name, text in beside.items() if text}


def _message(answer: Answer, usage: UsageMetadata | None) -> AIMessage:
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for call in answer.tool_calls:
        arguments, error = _arguments(call.arguments)
        if arguments is None:
            invalid.append(invalid_tool_call(name=call.name, args=call.arguments, id=call.id, error=error))
        else:
            calls.append(tool_call(name=call.name, args=arguments, id=call.id))
    return AIMessage(
        content=answer.text,
        additional_kwargs=_beside(answer),
        response_metadata=_metadata(answer),
        tool_calls=calls,
        invalid_tool_calls=invalid,
        usage_metadata=usage,
        id=answer.id or None,
    )


def _arguments(text: str) -> tuple[dict[str, Any] | None, str]:
    """Read a tool's arguments; gives None and why where they are no JSON object."""
    try:
        arguments = json.loads(text or "{}", strict=False)
    except ValueError as error:
        return None, f"the arguments are no JSON: {error}"
    if not isinstance(arguments, dict):
        return None, "the arguments are no JSON object"
    return arguments, ""


def _chunk(delta: Delta, name: str) -> AIMessageChunk:
    return AIMessageChunk(
        content=delta.text,
        additional_kwargs=_beside(delta),
        response_metadata=_metadata(delta, name) if delta.finish_reason else {},  # those of chunks are joined
        tool_call_chunks=[
            tool_call_chunk(name=call.name or None, args=call.arguments, id=call.id or None, index=call.index)
            for call in delta.tool_calls
        ],
        usage_metadata=_usage(delta.usage),
        id=delta.id or None,
    )


def _metadata(said: Answer | Delta, name: str = "") -> dict[str, Any]:
    return {"model_provider": "headrace", "model_name": said.model or name, "finish_reason": said.finish_reason}


__all__ = ["ChatHeadrace", "HeadraceEmbeddings"]
