"""What all calls have in common: credentials, bounds on number and bytes, request ids, knowing when one is over."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import re
import threading
import uuid
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from headrace.server.envelope import KEY_INVALID, THROTTLED, refusal
from headrace.server.faults import NO_FAULTS, CallFaults, Ended, Fault, Faults
from headrace.server.model import ModelError
from headrace.v2 import resources_pb2, service_pb2

PREFIX_HEADER = "x-clarifai-request-id-prefix"
MAX_REQUEST_BYTES = 256 << 20  # of all requests that are being answered


@dataclass(slots=True)
class Call:
    """One RPC: its context, its request id, why it is refused (or None), and whether its caller has gone."""

    context: Any
    req_id: str
    refused: ModelError | None = None
    faults: CallFaults = field(default_factory=lambda: NO_FAULTS.call(""))
    cancelled: threading.Event = field(default_factory=threading.Event)

    async def admit(self, model_id: str) -> ModelError | None:
        """Say why the call is refused, once its model is known; None lets it in."""
        if self.refused is None and (fault := await self.faults.begin(model_id)) is not None:
            self._trail(fault)
            self.refused = fault
        return self.refused

    async def write(self, response: service_pb2.MultiOutputResponse) -> None:
        """Send an answer of a stream.

        Raises:
            Ended: a fault went out in its place, and the call is over.
        """
        if (fault := await self.faults.before_answer()) is not None:
            self._trail(fault)
            await self.context.write(refusal(fault, (), "", self.req_id))
            raise Ended
        await self.context.write(response)

    def echoed(self, wire: resources_pb2.Input) -> str | None:
        """Give the id that an input's output carries."""
        return wire.id if self.faults.echo_input_ids else None

    def refusal(
        self, error: ModelError, request: service_pb2.PostModelOutputsRequest
    ) -> service_pb2.MultiOutputResponse:
        """Make the response to a request that failed as a whole."""
        return refusal(error, map(self.echoed, request.inputs), request.model_id, self.req_id)

    def _trail(self, fault: Fault) -> None:
        if fault.metadata:
            self.context.set_trailing_metadata(fault.metadata)


class Budget:
    """A number of bytes that all calls share; one request is always let in, whatever its size."""

    def __init__(self, limit: int = MAX_REQUEST_BYTES) -> None:
        self.limit = limit
        self.used = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def full(self) -> bool:
        """Whether nothing more should be read."""
        return self.used >= self.limit

    def fits(self, size: int) -> bool:
        """Tell whether so many bytes may be taken now."""
        return not self.used or self.used + size <= self.limit

    def take(self, size: int) -> None:
        """Count bytes that have been read."""
        self.used += size

    def release(self, size: int) -> None:
        """Give bytes back."""
        self.used -= size
        while self._waiting and not self.full:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self) -> None:
        """Wait until something may be read."""
        while self.full:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter


class Admission:
    """Let calls in: check their credential, and that not too many run or hold too many bytes.

    Args:
        pat: the only credential accepted, or None for any or none.
        max_calls: prediction calls at a time; more are answered with 11005.
        faults: what goes wrong on purpose.
    """

    def __init__(self, pat: str | None = None, max_calls: int = 1024, faults: Faults = NO_FAULTS) -> None:
        self._pat = None if pat is None else pat.encode("utf-8", "surrogateescape")
        self._faults = faults
        self._max_calls = max_calls
        self.running = 0
        self.bytes = Budget()

    def stranger(self, metadata: Iterable[tuple[Any, Any]] | None) -> ModelError | None:
        """Say why a call with these metadata is not let in at all; None where its credential is right."""
        if self._pat is None:
            return None
        headers = {str(key).lower(): value for key, value in metadata or ()}
        credential = str(headers.get("authorization", "")).removeprefix("Key ").strip()
        credential = credential or str(headers.get("x-clarifai-session-token", ""))
        if hmac.compare_digest(credential.encode("utf-8", "surrogateescape"), self._pat):
            return None
        return ModelError(KEY_INVALID, "Invalid API key or Invalid API key/application pair")

    def busy(self) -> ModelError | None:
        """Say why no further prediction call is let in."""
        if self.running >= self._max_calls:
            return ModelError(THROTTLED, f"exceeded the limit of {self._max_calls} calls at a time")
        if self.bytes.full:
            return ModelError(THROTTLED, f"requests of {self.bytes.used >> 20} MB are being answered; try again later")
        return None

    def enter(self) -> None:
        """Take a place for a prediction call."""
        self.running += 1

    def leave(self) -> None:
        """Give a place back."""
        self.running -= 1

    @contextlib.contextmanager
    def call(self, context: Any, method: str) -> Iterator[Call]:
        """Follow a prediction call: at its end, however it ends, `cancelled` is set."""
        call = self.open(context, method)
        try:
            yield call
        finally:
            call.cancelled.set()

    def open(self, context: Any, method: str) -> Call:
        """Make a call's state; its request id begins with the prefix that the caller asks for."""
        return Call(context, request_id(context.invocation_metadata()), faults=self._faults.call(method))


def request_id(metadata: Iterable[tuple[Any, Any]] | None) -> str:
    """Make a request id, with the prefix that a caller's metadata ask for."""
    prefix = next((value for key, value in metadata or () if str(key).lower() == PREFIX_HEADER), "")
    clean = re.sub(r"[^\w.-]", "", str(prefix), flags=re.ASCII)[:64]
    return f"{clean}-{uuid.uuid4().hex}" if clean else uuid.uuid4().hex
