"""Fault scripts of marks, and a model double that follows one as the embedded server does."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from headrace.codec import SERVICE, STREAM
from headrace.server.fault_file import Rule, Script, parse
from headrace.server.faults import Abort, CallFaults, Ended, Fault, Faults, Stalled, never
from headrace.status import retry_hint
from headrace.testing import Fail, Handler, MemoryServer, ModelDouble, ReceivedInput, ServerCall
from headrace.testing.answers import Answer, to_status
from headrace.v2 import service_pb2 as rpc

STALL = Rule(stall="answer")


def script_of(node: pytest.Item, folder: Path) -> str:
    """Put the faults of a test's marks together as one script, those of the outermost first; "" where there are none.

    Args:
        folder: of the test's file, to which paths are relative.
    """
    parts = []
    for mark in reversed(list(node.iter_markers("headrace_faults"))):
        parts += [_text(one, folder) for one in mark.args]
        if mark.kwargs:
            parts.append(to_toml({"rule": [mark.kwargs]}))
    return "\n".join(parts)


def parsed(text: str) -> Script:
    """Read a script.

    Raises:
        FaultFileError: there is a mistake in it.
    """
    return parse(text)


def to_toml(script: dict[str, Any]) -> str:
    """Write a script down that is a dict: tables by name, and lists of them."""
    lines: list[str] = []
    for name, value in script.items():
        for header, table in (
            [(f"[[{name}]]", one) for one in value] if isinstance(value, list) else [(f"[{name}]", value)]
        ):
            lines += [header, *(f"{json.dumps(key)} = {_toml(item)}" for key, item in dict(table).items())]
    return "\n".join(lines) + "\n"


def _text(script: Any, folder: Path) -> str:
    if isinstance(script, Path):
        return (folder / script).read_text(encoding="utf-8")
    if isinstance(script, str) and "\n" not in script and script.endswith(".toml"):
        return (folder / script).read_text(encoding="utf-8")
    if isinstance(script, dict):
        return to_toml(script)
    if isinstance(script, str):
        return script
    raise pytest.UsageError(f"headrace_faults takes TOML, a path or a dict, not {script!r:.60}")


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


class FaultyDouble(ModelDouble):
    """A model double that fails as a script says; rules, `[warm_up]` and `[throttle]` are those of the server.

    Args:
        script: the faults.
        arguments: those of `ModelDouble`.
    """

    def __init__(self, script: Script, **arguments: Any) -> None:
        settings = script.server
        if script.connection or script.connections:
            raise pytest.UsageError(
                "faults of connections need a network: use the fixture headrace_server, or what model_double.server "
                "can do (break_after, kill, refusing, go_away)"
            )
        if settings.max_connection_age_ms or settings.max_connection_age_grace_ms:
            raise pytest.UsageError("max_connection_age_ms needs the fixture headrace_server")
        if settings.max_concurrent_streams:
            arguments.setdefault("server", MemoryServer(streams_per_connection=settings.max_concurrent_streams))
        if settings.answers_after_last_input:
            arguments["answering"] = "at_end"
        if not settings.echo_input_ids:
            arguments["echo_ids"] = False
        super().__init__(**arguments)
        self._faults = Faults(script)
        self._struck: dict[tuple[str, int], Rule] = {}  # inputs by id and attempt
        for method, handler in list(self.server.handlers.items()):
            self.server.handlers[method] = functools.partial(self._serve, handler)

    async def _serve(self, handler: Handler, call: ServerCall) -> None:
        faulty: Any = _FaultyCall(self, call, self._faults.call(call.method.removeprefix(SERVICE)))
        with contextlib.suppress(Ended):
            await handler(faulty)

    def strike(self, ids: list[str], rules: list[Rule | None]) -> None:
        """Let rules strike inputs that are about to be taken in."""
        for input_id, rule in zip(ids, rules, strict=True):
            if rule is not None:
                self._struck[input_id, self.attempts[input_id] + 1] = rule

    async def _answers(self, item: ReceivedInput) -> AsyncGenerator[Answer, None]:
        rule = self._struck.pop((item.id, item.attempt), None)
        if rule is not None:
            await asyncio.sleep(rule.delay)
            if rule.stall:
                await never()
            if rule.code:
                yield Fail(rule.code, rule.details, time_remaining=rule.time_remaining)
                return
        async with contextlib.aclosing(super()._answers(item)) as pieces:
            async for piece in pieces:
                yield piece


class _FaultyCall:
    """A call of a double on which a script strikes; the rest is the call's own."""

    def __init__(self, double: FaultyDouble, call: ServerCall, faults: CallFaults) -> None:
        self._double = double
        self._call = call
        self._faults = faults
        self._begun = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    async def read(self) -> bytes | None:
        """Receive one message, unless the script has other plans."""
        if not self._begun and self._call.method == STREAM:
            await self._faults.before_reading()
        message = await self._call.read()
        if message is None:
            return None
        predicts = self._call.method.endswith("ModelOutputs")
        request = rpc.PostModelOutputsRequest.FromString(message) if predicts else None
        try:
            if not self._begun:
                self._begun = True
                await self._refuse(await self._faults.begin(request.model_id if request is not None else ""))
            if request is not None:
                self._strike(request)
        except Abort as abort:
            self._abort(abort.rule)
        return message

    async def write(self, message: bytes) -> None:
        """Send one message, unless the script has other plans."""
        try:
            await self._refuse(await self._faults.before_answer())
        except Abort as abort:
            self._abort(abort.rule)
        await self._call.write(message)

    def _strike(self, request: rpc.PostModelOutputsRequest) -> None:
        ids = [item.id for item in request.inputs]
        try:
            rules = list(self._faults.inputs(len(ids)))
        except Stalled:
            rules = [STALL] * len(ids)
        self._double.strike(ids, rules)

    async def _refuse(self, fault: Fault | None) -> None:
        if fault is not None:
            status = to_status(Fail(fault.code, fault.description, time_remaining=fault.time_remaining))
            await self._call.write(rpc.MultiOutputResponse(status=status).SerializeToString())
            raise Ended

    def _abort(self, rule: Rule) -> None:
        self._call.fail(rule.grpc, rule.details, retry_after=retry_hint(rule.metadata.items()))
