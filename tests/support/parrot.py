"""Models for the adapters' tests, to be served: a parrot that speaks OpenAI's API and does what it is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from headrace.server.model import Card
from headrace.server.types import method
from tests.support.speakers import calling, chunks, whole


class Parrot:
    """Answer requests of OpenAI's API: call a tool that it is given, fill a schema, else repeat what was said."""

    @method
    def openai_transport(self, msg: str) -> str:
        """Answer one, or embed texts."""
        request = json.loads(msg)
        if request["openai_endpoint"] == "/embeddings":
            data = [
                {"index": index, "embedding": [float(len(text)), 0.5]} for index, text in enumerate(request["input"])
            ]
            return json.dumps({"object": "list", "data": data[::-1]})
        said = spoken(request)
        return json.dumps(whole(said | {"name": request["model"]}) | {"model": request["model"]})

    @method
    def openai_stream_transport(self, msg: str) -> Iterator[str]:
        """Answer one piece by piece."""
        request = json.loads(msg)
        said = spoken(request)
        pieces: list[Any] = [said]
        if said.get("tool_calls"):
            [call] = said["tool_calls"]
            text = call["function"]["arguments"]
            first = call | {"function": {"name": call["function"]["name"], "arguments": ""}}
            rest = [{"index": 0, "function": {"arguments": text[at : at + 7]}} for at in range(0, len(text), 7)]
            pieces = [{"tool_calls": [part]} for part in (first, *rest)]
        elif said["content"]:
            words = said["content"].split(" ")
            pieces = [f" {word}" if position else word for position, word in enumerate(words)]
        for event in chunks(*pieces):
            yield json.dumps(event | {"model": request["model"]})


class OtherParrot(Parrot):
    """Another model of the same server."""

    card = Card("parrot-2", "text-to-text", "Other parrot", "Says the same.", ("text",), ("text",))


def spoken(request: Mapping[str, Any]) -> dict[str, Any]:
    """Give the message that answers a request."""
    last = request["messages"][-1]
    tools, choice = request.get("tools") or [], request.get("tool_choice")
    if tools and choice != "none" and (choice not in (None, "auto") or last["role"] != "tool"):
        named = choice["function"]["name"] if isinstance(choice, dict) else None
        tool = next(tool["function"] for tool in tools if named in (None, tool["function"]["name"]))
        return calling(tool["name"], filled(tool["parameters"], str(last["content"])))
    form = request.get("response_format") or {}
    if form.get("type") == "json_schema":
        return {"content": json.dumps(filled(form["json_schema"]["schema"], ""))}
    if form.get("type") == "json_object":
        return {"content": '{"setup": "Why?", "punchline": "Because."}'}
    content = last["content"]
    if isinstance(content, list):
        content = " ".join(part.get("text") or f"<{part['type']}>" for part in content)
    for stop in request.get("stop") or ():
        content = content.partition(stop)[0]
    return {"content": content or "Nothing."}


def filled(schema: Mapping[str, Any], said: str) -> dict[str, Any]:
    """Make an object that fits a schema; a text has what was said in quotes."""
    values: dict[str, Any] = {"integer": 3, "number": 3.5, "boolean": True, "array": [], "null": None, "object": {}}
    quoted = said.split("'")[1] if said.count("'") > 1 else "sunny"
    required = schema.get("required", schema.get("properties", {}))
    kinds = {name: fields for name, fields in schema.get("properties", {}).items() if name in required}
    return {name: values.get(fields.get("type", "string"), quoted) for name, fields in kinds.items()}
