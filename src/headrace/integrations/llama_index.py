"""LlamaIndex: `HeadraceLLM` and `HeadraceEmbedding`; see docs/integrations/llama-index.md.

Extra `llama-index`.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headrace.support.extras import install

try:
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.base.llms.types import (
        AudioBlock,
        ChatMessage,
        ChatResponse,
        ChatResponseAsyncGen,
        ChatResponseGen,
        CompletionResponse,
        CompletionResponseAsyncGen,
        CompletionResponseGen,
        DocumentBlock,
        ImageBlock,
        LLMMetadata,
        MessageRole,
        TextBlock,
        ThinkingBlock,
        ToolCallBlock,
        VideoBlock,
    )
    from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
    from llama_index.core.llms.function_calling import FunctionCallingLLM
    from llama_index.core.llms.llm import ToolSelection
except ImportError as _missing:
    raise ImportError(
        f"headrace.integrations.llama_index needs llama-index-core: {install('llama-index')}"
    ) from _missing

from pydantic import Field

from headrace.chat import Answer, ChatRequest, ConversationError, ToolCall
from headrace.integrations.connection import CONFIG, ConnectionSettings, iterate, run

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool

_ROLES = {
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.FUNCTION: "tool",
}


class HeadraceLLM(ConnectionSettings, FunctionCallingLLM):
    """A model behind the V2 protocol as an LLM of LlamaIndex.

    A model that speaks OpenAI's API (it publishes `openai_transport` or `openai_stream_transport`) takes tools and all
    kinds of content. Any other takes texts, and media in the last message as far as it takes them.

    ::

        llm = HeadraceLLM(model="https://clarifai.com/openai/chat-completion/models/gpt-4o")
        llm.complete("Name a river.").text

    Use it with `await`, from threads, or both; `aclose()` or `close()` ends its connections.

    Raises (from calls):
        ConversationError: the messages are malformed, or ask for what the model does not have.
        HeadraceError: as any call of a model.
    """

    model_config = CONFIG

    temperature: float | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    top_p: float | None = None
    seed: int | None = None
    stop: list[str] = Field(default_factory=list, description="Texts at which an answer ends.")
    context_window: int = Field(default=3900, gt=0, description="Tokens that the model takes, for LlamaIndex to plan.")
    is_function_calling_model: bool | None = Field(
        default=None, description="Whether the model takes tools; None: looked up, once, when LlamaIndex wants to know."
    )
    additional_kwargs: dict[str, Any] = Field(default_factory=dict, description="Other parameters that the model has.")

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex writes it down."""
        return "HeadraceLLM"

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex wants to know of the model."""
        tools = self.is_function_calling_model
        if tools is None:
            tools = self.is_function_calling_model = run(self._connection.dialogue().abilities).speaks_openai
        return LLMMetadata(
            context_window=self.context_window,
            num_output=self.max_tokens or -1,
            is_chat_model=True,
            is_function_calling_model=tools,
            model_name=self.model,
        )

    # --- conversations

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation."""
        return run(self._chat, messages, kwargs)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation."""
        return await self._chat(messages, kwargs)

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer a conversation in pieces; closing the generator stops the model."""
        return iterate(self._responses(messages, kwargs))

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Answer a conversation in pieces; closing the generator stops the model."""
        return self._responses(messages, kwargs)

    # --- prompts

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a prompt."""
        return _completion(run(self._chat, _said(prompt), kwargs))

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a prompt."""
        return _completion(await self._chat(_said(prompt), kwargs))

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Answer a prompt in pieces; closing the generator stops the model."""
        return iterate(self._completions(prompt, kwargs))

    @llm_completion_callback()
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """Answer a prompt in pieces; closing the generator stops the model."""
        return self._completions(prompt, kwargs)

    async def _chat(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> ChatResponse:
        answer = await self._connection.dialogue().answer(self._request(messages, kwargs))
        return _response(answer)

    async def _responses(
        self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]
    ) -> AsyncGenerator[ChatResponse, None]:
        stream = self._connection.dialogue().stream(self._request(messages, kwargs))
        whole = Answer()
        async with contextlib.aclosing(stream) as deltas:
            async for delta in deltas:
                whole = whole.with_delta(delta)
                yield _response(whole, delta.text)

    async def _completions(self, prompt: str, kwargs: Mapping[str, Any]) -> AsyncGenerator[CompletionResponse, None]:
        async with contextlib.aclosing(self._responses(_said(prompt), kwargs)) as responses:
            async for response in responses:
                yield _completion(response)

    def _request(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> ChatRequest:
        own = {name: getattr(self, name) for name in ("temperature", "max_tokens", "top_p", "seed")}
        params = {**own, **self.additional_kwargs, **kwargs}
        stop, timeout = params.pop("stop", self.stop), params.pop("timeout", self.timeout)
        return ChatRequest(
            [_openai_message(message, position) for position, message in enumerate(messages)],
            {name: value for name, value in params.items() if value is not None},
            [stop] if isinstance(stop, str) else stop or (),
            timeout,
        )

    # --- tools

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        messages = list(chat_history or ())
        if user_msg is not None:
            messages += _said(user_msg) if isinstance(user_msg, str) else [user_msg]
        described = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools]
        if described:
            kwargs.setdefault("tool_choice", "required" if tool_required else "auto")
            kwargs["parallel_tool_calls"] = allow_parallel_tool_calls
        return {"messages": messages, "tools": described, **kwargs}

    def _validate_chat_with_tools_response(
        self,
        response: ChatResponse,
        tools: Sequence[BaseTool],
        allow_parallel_tool_calls: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        """Keep one call where no more are wanted, whatever the model says."""
        if not allow_parallel_tool_calls:
            calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
            response.message.blocks = [block for block in response.message.blocks if block not in calls[1:]]
        return response

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Give the calls of tools that the model asks for.

        Raises:
            ValueError: there are none, and some are demanded.
        """
        calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        if not calls and error_on_no_tool_call:
            raise ValueError(f"Expected at least one tool call, but got {len(calls)} tool calls.")
        return [
            ToolSelection(
                tool_id=call.tool_call_id or "", tool_name=call.tool_name, tool_kwargs=_arguments(call.tool_kwargs)
            )
            for call in calls
        ]


class HeadraceEmbedding(ConnectionSettings, BaseEmbedding):
    """A model that embeds texts, for LlamaIndex.

    The texts of a batch (`embed_batch_size`) share requests, as many as the limits allow.

    Raises (from calls):
        HeadraceError: as any call; the first text that fails ends a batch.
    """

    model_config = CONFIG

    embed_batch_size: int = Field(default=512, gt=0, le=2048, description="Texts that are sent at once.")

    def __init__(self, **fields: Any) -> None:
        super().__init__(**{"model_name": fields.get("model", ""), **fields})

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex writes it down."""
        return "HeadraceEmbedding"

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await self._connection.dialogue().embed(texts, self.timeout)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self._aget_text_embeddings([text]))[0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await self._aget_text_embedding(query)

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return run(self._aget_text_embeddings, texts)

    def _get_text_embedding(self, text: str) -> list[float]:
        return run(self._aget_text_embedding, text)

    def _get_query_embedding(self, query: str) -> list[float]:
        return run(self._aget_query_embedding, query)


# --- messages to the model


def _said(prompt: str) -> list[ChatMessage]:
    return [ChatMessage(role=MessageRole.USER, content=prompt)]


def _openai_message(message: ChatMessage, position: int) -> dict[str, Any]:
    """Write a message as OpenAI's API does.

    Raises:
        ConversationError: it holds a block of an unknown kind, or one without content.
    """
    role = _ROLES.get(message.role, message.role.value)
    fields: dict[str, Any] = {"role": role}
    parts: list[dict[str, Any]] = []
    calls: list[Any] = list(message.additional_kwargs.get("tool_calls") or ())
    for index, block in enumerate(message.blocks):
        place = f"messages.{position}.content.{index}"
        if isinstance(block, ToolCallBlock):
            calls.append(_call(block))
        elif not isinstance(block, ThinkingBlock):  # not sent back to a model
            try:
                parts.append(_part(block))
            except (OSError, ValueError) as error:
                raise ConversationError(f"{place}: {error}", field=place) from error
    if all(part["type"] == "text" for part in parts):
        fields["content"] = "\n".join(part["text"] for part in parts)
    else:
        fields["content"] = parts
    if calls:
        fields["tool_calls"] = calls
    if role == "tool":
        fields["tool_call_id"] = message.additional_kwargs.get("tool_call_id", "")
    return fields


def _part(block: Any) -> dict[str, Any]:
    if isinstance(block, TextBlock):
        return {"type": "text", "text": block.text}
    if isinstance(block, ImageBlock):
        url = _url(block.url) or f"data:{block.image_mimetype or 'image/png'};base64,{_base64(block.resolve_image())}"
        return {"type": "image_url", "image_url": {"url": url}}
    if isinstance(block, AudioBlock):
        sound = {"data": _base64(block.resolve_audio()), "format": block.format or "wav"}
        return {"type": "input_audio", "input_audio": sound}
    if isinstance(block, VideoBlock):
        url = _url(block.url) or f"data:{block.video_mimetype or 'video/mp4'};base64,{_base64(block.resolve_video())}"
        return {"type": "video_url", "video_url": {"url": url}}
    if isinstance(block, DocumentBlock):
        mime = block.document_mimetype or "application/pdf"
        data = f"data:{mime};base64,{_base64(block.resolve_document())}"
        return {"type": "file", "file": {"filename": block.title, "file_data": data}}
    raise ValueError(
        f"a block of type {getattr(block, 'block_type', type(block).__name__)!r}, which models do not take"
    )


def _url(url: Any) -> str | None:
    return str(url) if url else None


def _base64(file: Any) -> str:
    return base64.b64encode(file.read()).decode()


def _call(block: ToolCallBlock) -> dict[str, Any]:
    arguments = block.tool_kwargs
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {
        "id": block.tool_call_id or "",
        "type": "function",
        "function": {"name": block.tool_name, "arguments": text},
    }


# --- messages from the model


def _response(answer: Answer, delta: str | None = None) -> ChatResponse:
    blocks: list[Any] = [ThinkingBlock(content=answer.reasoning)] if answer.reasoning else []
    if answer.text or not answer.tool_calls:
        blocks.append(TextBlock(text=answer.text))
    blocks += [
        ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=_complete(call))
        for call in answer.tool_calls
    ]
    message = ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks)
    beside: dict[str, Any] = {"finish_reason": answer.finish_reason} if answer.finish_reason else {}
    if answer.usage is not None:
        beside |= {
            "prompt_tokens": answer.usage.prompt_tokens,
            "completion_tokens": answer.usage.completion_tokens,
            "total_tokens": answer.usage.total_tokens,
        }
    raw = {"id": answer.id, "model": answer.model, **beside}
    return ChatResponse(message=message, delta=delta, raw=raw, additional_kwargs=beside)


def _complete(call: ToolCall) -> dict[str, Any] | str:
    """Give a tool's arguments; as text while they are no JSON object (yet)."""
    try:
        arguments = json.loads(call.arguments or "{}")
    except ValueError:
        return call.arguments
    return arguments if isinstance(arguments, dict) else call.arguments


def _arguments(arguments: Any) -> dict[str, Any]:
    return arguments if isinstance(arguments, dict) else {}


def _completion(response: ChatResponse) -> CompletionResponse:
    return CompletionResponse(
        text=response.message.content or "",
        delta=response.delta,
        raw=response.raw,
        additional_kwargs=response.additional_kwargs,
    )


__all__ = ["HeadraceEmbedding", "HeadraceLLM"]
