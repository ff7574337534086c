"""An MCP server whose tools call models."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import mcp.types as types
from anyio import to_thread
from mcp.server import Server, ServerRequestContext
from mcp.shared.exceptions import MCPError

from headrace._version import __version__
from headrace.errors import HeadraceError
from headrace.integrations.mcp import content
from headrace.integrations.mcp.arguments import Arguments
from headrace.integrations.mcp.tools import Tool, Toolbox
from headrace.methods import plain
from headrace.model import Model

_log = logging.getLogger("headrace.mcp")
_PROGRESS_SECONDS = 0.1  # between two notes of progress
_TEXTS_KEPT = content.MAX_TEXT  # characters of a stream that are sent on
_INSTRUCTIONS = (
    "Each tool calls a machine learning model. Pictures, sounds and videos are given as base64, data: URLs or http(s) "
    "URLs. Boxes are fractions of the picture: left and top are 0, right and bottom are 1."
)


def mcp_server(
    models: Mapping[str, Model], *, name: str = "headrace", allow_paths: Sequence[str | os.PathLike[str]] = ()
) -> Server[Any]:
    """Make an MCP server with a tool for each method of some models; it is run with `mcp`'s transports.

    A call that its client cancels ends on the model's server, too. While text comes in pieces, the client gets notes of
    progress, where it asked for them. What goes wrong is the tool's result, as an error in one sentence.

    Args:
        models: the tool's name -> a model of an open client.
        name: the server's name.
        allow_paths: folders; arguments may name the files below them. None: no file may be named.

    Raises:
        ImportError: mcp isn't installed (extra `mcp`).
    """
    arguments = Arguments(allow_paths)
    toolbox = Toolbox(models, paths=arguments.paths)

    async def list_tools(
        _context: ServerRequestContext[Any], _params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_listed(tool) for tool in (await toolbox.tools()).values()])

    async def call_tool(
        context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        tool = await toolbox.find(params.name)
        if tool is None:
            names = ", ".join(await toolbox.tools())
            raise MCPError(types.INVALID_PARAMS, f"there is no tool {params.name[:100]!r}; there are: {names}")
        try:
            return await _call(tool, params.arguments or {}, arguments, context)
        except HeadraceError as error:
            return _failed(str(error))
        except Exception as error:
            _log.exception("the tool %s failed", tool.name)
            return _failed(f"the tool failed with a {type(error).__name__}; the server's log says more")

    return Server(
        name, version=__version__, instructions=_INSTRUCTIONS, on_list_tools=list_tools, on_call_tool=call_tool
    )


def _listed(tool: Tool) -> types.Tool:
    hints = types.ToolAnnotations(read_only_hint=True, open_world_hint=False)
    return types.Tool(
        name=tool.name,
        title=tool.title or None,
        description=tool.description,
        input_schema=tool.input_schema,
        annotations=hints,
    )


async def _call(
    tool: Tool, given: dict[str, Any], arguments: Arguments, context: ServerRequestContext[Any]
) -> types.CallToolResult:
    """Call a model.

    Raises:
        HeadraceError: the arguments are wrong, or the call failed.
    """
    method = tool.method
    params: dict[str, Any] = {}
    if method is None:
        item, params = await arguments.plain(given)
        pictures = [bytes(part.payload) for part in item.fields if (part.type, part.form) == ("image", "bytes")]
    else:
        bound = method.bind((), {key: value for key, value in given.items() if value is not None})
        fields = {parameter.name: parameter.field for parameter in method.parameters}
        values = {key: await arguments.value(fields[key], value, key) for key, value in bound.items()}
        item = plain.request(method, values)
        pictures = [value for value in values.values() if isinstance(value, bytes)]
    result = content.Result()
    if tool.streams:
        await _stream(tool, item, result, context)
    else:
        options: dict[str, Any] = {"inference_params": params} if params else {}
        prediction = await tool.model.predict(item, **options)
        # Large pictures are drawn on, and made smaller: not on the loop.
        await to_thread.run_sync(content.add, result, prediction, method, pictures[0] if len(pictures) == 1 else None)
    return result.done()


async def _stream(tool: Tool, item: Any, result: content.Result, context: ServerRequestContext[Any]) -> None:
    """Read an answer in pieces and say how it goes on; text is put together, other pieces stand by themselves."""
    method = tool.method
    assert method is not None
    texts: list[str] = []
    count = noted = length = 0
    last = time.monotonic()
    async with tool.model.generate(item) as stream:  # left early, by a cancellation as well, it ends the call
        async for prediction in stream:
            piece = plain.answer(method, prediction)
            count += 1
            if text := piece.text:
                texts.append(text[: max(_TEXTS_KEPT - length, 0)])
                length += len(text)
            elif len(result.blocks) < content.MAX_THINGS:
                content.add(result, prediction, method, None)
            if time.monotonic() - last >= _PROGRESS_SECONDS or count == 1:
                await context.session.report_progress(count, None, "".join(texts[noted:]) or None)
                noted, last = len(texts), time.monotonic()
    if len(texts) > noted:
        await context.session.report_progress(count, count, "".join(texts[noted:]))
    if texts:
        result.structured["text"] = "".join(texts)
        result.text("".join(texts) + (f"\n(cut off: it has {length:,} characters)" if length > _TEXTS_KEPT else ""))


def _failed(message: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=message)], is_error=True)
