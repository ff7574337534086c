"""Injecting faults: what a script does to calls, inputs and answers.

A server without a script has `NO_FAULTS`, whose calls do nothing.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, NoReturn

import grpc

from headrace.server.fault_file import Rule, Script
from headrace.server.model import ModelError

_SHAPES = {"PostModelOutputs": "predict", "GenerateModelOutputs": "generate", "StreamModelOutputs": "stream"}

_NOTHING: tuple[Any, ...] = ()  # makes a function that writes its messages itself a generator


class Fault(ModelError):
    """A failing status of the script's, with the trailing metadata that go along."""

    def __init__(
        self, code: int, description: str, time_remaining: int = 0, metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(code, description)
        self.time_remaining = time_remaining
        self.metadata: tuple[tuple[str, str], ...] = tuple((metadata or {}).items())


class Abort(Exception):
    """The call ends with a gRPC code of the script's."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule.grpc)
        self.rule = rule


class Ended(Exception):
    """The call has got its last, failing response."""


class Stalled(Exception):
    """An input is never answered."""


async def never() -> NoReturn:
    """Wait until cancelled."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


class _Counted:
    """A rule and how often it has matched and struck."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.matches = 0
        self.strikes = 0
        self.first: float | None = None

    def matches_call(self, method: str, model_id: str, now: float) -> bool:
        """Count a call that the rule is about, and return whether the rule strikes it."""
        rule = self.rule
        if not (method == rule.method or (not rule.method and method in _SHAPES.values())):
            return False
        if rule.model and rule.model != model_id:
            return False
        self.matches += 1
        if self.first is None:
            self.first = now
        return not (
            (rule.calls and self.matches not in rule.calls)
            or (rule.every and self.matches % rule.every)
            or (rule.for_seconds and now - self.first >= rule.for_seconds)
        )

    def strike(self) -> bool:
        """Return whether it may strike once more, and count it."""
        if self.rule.times and self.strikes >= self.rule.times:
            return False
        self.strikes += 1
        return True


class Faults:
    """The state of a script, over all calls of a server.

    Args:
        clock: seconds; for tests.
    """

    def __init__(self, script: Script, clock: Callable[[], float] = time.monotonic) -> None:
        self.script = script
        self.rules: list[_Counted] = [_Counted(rule) for rule in script.rules]
        self.clock = clock
        self._warming_since: float | None = None
        self._tokens = float(script.throttle.burst) if script.throttle else 0.0
        self._filled_at = clock()

    def call(self, method: str) -> CallFaults:
        """Return what happens to one call of a method (by its name)."""
        return CallFaults(self, _SHAPES.get(method, method))

    def throttled(self) -> Fault | None:
        """Take a token for a call; False if there is none."""
        throttle = self.script.throttle
        if throttle is None:
            return None
        now = self.clock()
        gained = (now - self._filled_at) * throttle.requests_per_second
        self._tokens = min(float(throttle.burst), self._tokens + gained)
        self._filled_at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return None
        return Fault(throttle.code, f"exceeded limit of {throttle.requests_per_second:g} requests per second")

    def warming(self, model_id: str) -> Fault | None:
        """Return how long the model still warms up, if it does."""
        warm_up = self.script.warm_up
        if warm_up is None or (warm_up.model and warm_up.model != model_id):
            return None
        now = self.clock()
        if self._warming_since is None:
            self._warming_since = now
        remaining = warm_up.seconds - (now - self._warming_since)  # (now + 600) - now can be more than 600
        return Fault(warm_up.code, "the model is warming up", math.ceil(remaining)) if remaining > 0 else None


class CallFaults:
    """What happens to one call; its methods are called at the moments that their names say."""

    def __init__(self, faults: Faults, method: str) -> None:
        self._faults = faults
        self._method = method
        self._matched: list[_Counted] = []
        self._inputs = 0
        self._answers = 0
        settings = faults.script.server
        self.echo_input_ids: bool = settings.echo_input_ids
        self.answers_after_last_input: bool = settings.answers_after_last_input

    async def before_reading(self) -> None:
        """A stream is open and nothing is read from it."""
        for counted in self._faults.rules:
            unread = counted.rule.stall == "read" and counted.matches_call(self._method, "", self._faults.clock())
            if unread and counted.strike():
                await never()

    async def begin(self, model_id: str) -> Fault | None:
        """The call's first request is there; gives the status with which it is refused.

        Raises:
            Abort: it ends with a gRPC code.
        """
        if fault := self._faults.throttled():
            return fault
        if self._method in _SHAPES.values() and (fault := self._faults.warming(model_id)):
            return fault
        now = self._faults.clock()
        for counted in self._faults.rules:
            rule = counted.rule
            if rule.stall == "read" or not counted.matches_call(self._method, model_id, now):
                continue
            self._matched.append(counted)
            if not rule.inputs and not rule.after_answers and counted.strike():
                await asyncio.sleep(rule.delay)
                if fault := await _struck(rule):
                    return fault
        return None

    def inputs(self, count: int) -> Sequence[Rule | None]:
        """So many inputs have come; gives the rule that strikes each, or None.

        Raises:
            Abort: the call ends with a gRPC code.
            Stalled: one of them is never answered, so its request is not.
        """
        rules: list[Rule | None] = []
        for _ in range(count):
            self._inputs += 1
            rules.append(self._input_rule(self._inputs))
        for rule in rules:
            if rule is not None and rule.grpc:
                raise Abort(rule)
        if any(rule is not None and rule.stall for rule in rules):
            raise Stalled
        return rules

    def _input_rule(self, number: int) -> Rule | None:
        for counted in self._matched:
            if number in counted.rule.inputs and counted.strike():
                return counted.rule
        return None

    async def before_answer(self) -> Fault | None:
        """An answer is ready to leave; gives the status that goes in its place, as the last one.

        Raises:
            Abort: the call ends with a gRPC code.
        """
        for counted in self._matched:
            rule = counted.rule
            if rule.after_answers and self._answers >= rule.after_answers and counted.strike():
                await asyncio.sleep(rule.delay)
                if fault := await _struck(rule):
                    return fault
        self._answers += 1
        return None


async def on_input(rule: Rule | None) -> None:
    """Let a rule strike an input that is about to be worked on.

    Raises:
        Fault: its output has this status.
    """
    if rule is not None:
        await asyncio.sleep(rule.delay)
        if rule.code:
            raise Fault(rule.code, rule.details, rule.time_remaining)


async def _struck(rule: Rule) -> Fault | None:
    if rule.grpc:
        raise Abort(rule)
    if rule.stall:
        await never()
    return Fault(rule.code, rule.details, rule.time_remaining, rule.metadata) if rule.code else None


NO_FAULTS = Faults(Script())


def guarded(behaviour: Callable[[Any, Any], Any], shape: str) -> Callable[[Any, Any], Any]:
    """Turn a script's `Abort` into the gRPC code of a call, and `Ended` into its ordinary end.

    A behaviour that streams writes its messages itself. It becomes an async generator all the same, because that is
    what instrumentation of servers iterates over.
    """

    async def method(request: Any, context: Any) -> Any:
        try:
            return await behaviour(request, context)
        except Abort as abort:
            code = grpc.StatusCode[abort.rule.grpc]
            await context.abort(code, abort.rule.details, tuple(abort.rule.metadata.items()))
        except Ended:
            return None

    async def streaming(request: Any, context: Any) -> AsyncIterator[Any]:
        await method(request, context)
        for nothing in _NOTHING:
            yield nothing

    return method if shape == "unary" else streaming
