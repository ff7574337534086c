"""A stream that is replayed: which recorded call it is, and its answers as their time comes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn, Protocol

from headrace.calls.batching import MAX_IN_FLIGHT
from headrace.errors import ConcurrentUse, ConnectionLost
from headrace.testing.tape import difference
from headrace.testing.tape.calls import LEFT, OK, RecordedCall, RecordedInput, Shape
from headrace.testing.tape.errors import TapeMismatch
from headrace.testing.tape.script import Script, Step
from headrace.testing.tape.shelf import Asked, Shelf

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.types import Buffer, Metadata

PATIENCE = 1.0  # seconds without an input after which a client that waits for an answer is taken to be blocked
MORE_PATIENCE = 9.0  # seconds after which a stream that can never go on is an error


class Host(Protocol):
    """What a call needs of the player."""

    shelf: Shelf
    speed: float

    def mismatch(self, error: TapeMismatch) -> TapeMismatch:
        """Keep an error."""

    def wait_of(self, seconds: float) -> float:
        """Tell for how long to wait."""


class Owner(Protocol):
    """What a call needs from its transport."""

    def over(self, call: PlayerCall) -> None:
        """Forget a call that has ended."""

    def failure(self, plain: dict[str, object], text: Callable[[str], str]) -> Exception:
        """Make the error of a call that failed."""


class PlayerCall:
    """A call that streams, from a tape; a `Call`.

    Which recorded call it is shows with the first message. Calls that begin alike are told apart later: while another
    one fits all that was sent and all that was answered, it may become that one.
    """

    def __init__(self, host: Host, owner: Owner, method: str, metadata: Metadata, first: bytes | None) -> None:
        self._host = host
        self._owner = owner
        self._method = method
        self._metadata = host.shelf.metadata(metadata)
        self._shape: Shape = "duplex" if first is None else "server stream"
        self._script: Script | None = None
        self._asked: list[Asked] = []
        self._given = 0
        self._closed = False  # by the client
        self._blocked = False
        self._failure: Exception | None = None
        self._over = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._last = asyncio.get_running_loop().time()  # when something last happened, by the loop's clock
        if first is None:
            self._take_refused()
        else:
            self._open(host.shelf.ask(method, metadata, first))

    def __repr__(self) -> str:
        which = f"call {self._script.call.number}" if self._script is not None else "not known yet"
        return f"<PlayerCall {self._method}, {which}, {self._given} given>"

    # -- the client's side

    async def write(self, parts: Sequence[Buffer]) -> None:
        """Take in one message; at full speed, what it lets out is read before this returns."""
        self._check()
        asked = self._host.shelf.ask(self._method, (), b"".join(parts))
        try:
            self._take(asked)
        except TapeMismatch as error:
            self._fail(error)
        self._progress()
        if self._host.speed:
            return
        while not self._over and self._available() is not None:
            if self._writer is not None:
                raise ConcurrentUse("another task is writing to this call already; one task writes, one task reads")
            self._writer = asyncio.get_running_loop().create_future()
            try:
                await self._writer
            finally:
                self._writer = None
        self._check()

    async def half_close(self) -> None:
        """Say that no more messages come."""
        if self._over:
            return
        self._closed = True
        try:
            self._close()
        except TapeMismatch as error:
            self._fail(error)
        self._progress()

    async def read(self) -> bytes | None:
        """Give the next recorded message as soon as it may come, None at the end."""
        while True:
            if self._failure is not None:
                raise self._failure
            if self._over:
                return None
            step = self._available()
            if step is None:
                await self._wait()
                continue
            await self._keep_time(step)
            if self._over or self._available() is not step:
                continue
            return self._give(step)

    def read_now(self) -> bytes | None:
        """Return None: when a message may come is for `read` to say."""

    def cancel(self) -> None:
        """End the call now; idempotent."""
        if self._over:
            return
        if self._script is None:
            self._take_silent()
        self._end(ConnectionLost("the call was cancelled locally"))

    # -- which call it is

    def _open(self, asked: Asked) -> None:
        """Find the recorded call of one whose only message is known."""
        shelf = self._host.shelf
        self._asked.append(asked)
        call = shelf.find(self._method, self._shape, self._metadata, asked)
        if call is None:
            error = self._host.mismatch(shelf.mismatch(self._method, self._shape, self._metadata, asked))
            self._end(error)
            return
        self._script = Script(call)
        self._script.take(asked)
        self._script.closed = self._closed = True

    def _waiting(self) -> list[RecordedCall]:
        return self._host.shelf.waiting(self._method, self._shape, self._metadata)

    def _take_refused(self) -> None:
        """Become a call that failed before anything was sent, where that is the next one on the tape."""
        first = next(iter(self._waiting()), None)
        if first is not None and not first.requests and isinstance(first.end.value, dict):
            self._become(Script(first))

    def _take_silent(self) -> None:
        """Become a call on which nothing was sent, where there is one."""
        silent = next((call for call in self._waiting() if not call.requests), None)
        if silent is not None:
            self._become(Script(silent))

    def _become(self, script: Script) -> None:
        shelf = self._host.shelf
        if self._script is not None:
            shelf.put_back(self._script.call)
        shelf.take(script.call)
        self._script = script

    def _take(self, asked: Asked) -> None:
        """Take in a message.

        Raises:
            TapeMismatch: no recorded call goes on like this.
        """
        script, shelf = self._script, self._host.shelf
        missing: RecordedInput | None = None
        if script is not None and (missing := script.take(asked)) is None:
            self._asked.append(asked)
            return
        other = self._other([*self._asked, asked], whole=False)
        if other is not None:
            self._asked.append(asked)
            self._become(other)
        elif script is None:
            raise shelf.mismatch(self._method, self._shape, self._metadata, asked)
        elif self._ended_before(script, asked):
            script.take(asked, surplus=True)
        else:
            assert missing is not None
            raise self._strayed(script, missing)

    def _close(self) -> None:
        """Take in that no more messages come.

        Raises:
            TapeMismatch: more were recorded.
        """
        if self._script is None:
            self._take_silent()
        script = self._script
        if script is not None and script.missing and script.call.end.value == OK:
            other = self._other(self._asked, whole=True)
            if other is None:
                first = script.missing[0]
                raise difference.strayed(
                    self._host.shelf.path,
                    script.call,
                    f"{len(script.inputs)} inputs were recorded, and {len(script.come)} are sent now; the first that "
                    f"is not sent is {first.content:.200}",
                )
            self._become(other)
        if self._script is not None:
            self._script.closed = True

    def _other(self, asked: Sequence[Asked], *, whole: bool) -> Script | None:
        """Find a recorded call that fits all that was sent and all that was answered.

        Args:
            whole: it has no other inputs.
        """
        if not asked:
            return None
        answers = [event.value for event in self._script.call.received[: self._given]] if self._script else []
        fitting: list[Script] = []
        for call in self._waiting():
            if not call.requests or call.requests[0].head != asked[0].request.head:
                continue
            if [event.value for event in call.received[: self._given]] != answers:
                continue
            script = Script(call)
            if any(script.take(one) is not None for one in asked) or (whole and script.missing):
                continue
            if 0 in script.come:  # it begins like this one
                self._skip(script)
                return script
            fitting.append(script)
        if not fitting:
            return None
        self._skip(fitting[0])
        return fitting[0]

    def _skip(self, script: Script) -> None:
        """Leave out the answers that were given already."""
        for _ in range(self._given):
            if (step := script.next(blocked=True)) is not None and step is not script.end:
                script.give(step)

    def _ended_before(self, script: Script, asked: Asked) -> bool:
        """Whether what comes was recorded after the end of this call, which came early."""
        if script.call.end.value == OK:
            return False
        if not script.missing:
            return True
        others = {
            item.content
            for call in self._host.shelf.calls
            if call.method == self._method and call is not script.call
            for item in call.inputs
        }
        known = others | {item.content for item in script.inputs}
        return all(item.content in known for item in asked.request.inputs)

    def _strayed(self, script: Script, item: RecordedInput) -> TapeMismatch:
        """Make the error of an input that was not recorded."""
        path, call = self._host.shelf.path, script.call
        missing = script.missing
        if not missing:
            count = len(script.inputs)
            return difference.strayed(path, call, f"{count} inputs were recorded, and one more is sent")
        nearest = min(missing, key=lambda one: len(difference.differences(one.message, item.message)))
        place = script.inputs.index(nearest)
        field, recorded, actual = difference.differences({"inputs": [nearest.message]}, {"inputs": [item.message]})[0]
        return difference.strayed(
            path,
            call,
            "an input is sent that was not recorded; the nearest that is still to come differs in",
            difference.Difference(field.replace("inputs[0]", f"inputs[{place}]", 1), recorded, actual),
        )

    # -- what comes when

    def _available(self) -> Step | None:
        """Give what may come now: an answer, or an end that the server makes."""
        script = self._script
        if script is None:
            return None
        blocked = self._blocked or (script.packed and script.under_way >= MAX_IN_FLIGHT)
        step = script.next(blocked=blocked)
        return None if step is not None and step.event.value == LEFT else step

    def _give(self, step: Step) -> bytes | None:
        script = self._script
        assert script is not None
        self._last = asyncio.get_running_loop().time()
        if step.answer is not None:
            self._given += 1
            return script.give(step)
        if step.event.value == OK:
            self._end(None)
            return None
        failure = self._owner.failure(step.event.value, script.renaming.text)
        self._end(failure)
        raise failure

    async def _keep_time(self, step: Step) -> None:
        """Wait until as long has passed as when it was recorded, if time is to pass."""
        if not self._host.speed:
            return
        due = self._last + self._host.wait_of(step.seconds)
        while not self._over and (remaining := due - asyncio.get_running_loop().time()) > 0:
            await self._sleep(remaining)

    async def _wait(self) -> None:
        """Wait until something happens; a client that can do nothing more gets an answer, or an error."""
        _wake(self._writer)
        script = self._script
        left = script is not None and script.next(blocked=self._blocked) is script.end
        seconds = script.end.seconds * 1.5 if script is not None and left else 0.0
        if left:
            seconds += PATIENCE
        else:
            seconds += MORE_PATIENCE if self._blocked else PATIENCE
        if script is None or (self._shape == "duplex" and not script.under_way):
            await self._sleep(None)  # nothing is due: the client may take its time
            return
        if not await self._sleep(seconds):
            return
        if left:
            self._fail(self._left(script))
        elif self._blocked:
            self._fail(self._stuck(script))
        else:
            self._blocked = True

    async def _sleep(self, seconds: float | None) -> bool:
        """Wait for so long, or until something happens; whether nothing has."""
        if self._reader is not None:
            raise ConcurrentUse("another task is reading this call already; one task writes, one task reads")
        loop = asyncio.get_running_loop()
        reader = self._reader = loop.create_future()
        expired: list[bool] = []

        def expire() -> None:
            expired.append(True)
            _wake(reader)

        timer = loop.call_later(seconds, expire) if seconds is not None else None
        try:
            await reader
        finally:
            self._reader = None
            if timer is not None:
                timer.cancel()
        return bool(expired)

    def _left(self, script: Script) -> TapeMismatch:
        return difference.strayed(
            self._host.shelf.path,
            script.call,
            f"the recorded client went away after {len(script.call.received)} answers; the code reads on now",
        )

    def _stuck(self, script: Script) -> TapeMismatch:
        return difference.strayed(
            self._host.shelf.path,
            script.call,
            f"the code waits for an answer that came after {len(script.inputs)} inputs when it was recorded, and has "
            f"sent {len(script.come)}",
        )

    # -- ends

    def _progress(self) -> None:
        self._blocked = False
        self._last = asyncio.get_running_loop().time()
        _wake(self._reader)

    def _check(self) -> None:
        """Refuse a message to a call that has ended."""
        if self._failure is not None:
            raise self._failure
        if self._over:
            raise ConnectionLost("the server has ended the call", status="OK")

    def _fail(self, error: TapeMismatch) -> NoReturn:
        self._end(self._host.mismatch(error))
        raise error

    def _end(self, failure: Exception | None) -> None:
        self._over = True
        self._failure = failure
        _wake(self._reader)
        _wake(self._writer)
        self._owner.over(self)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
