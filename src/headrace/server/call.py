"""What all calls share: credentials, limits on number and bytes, request ids, notice of their end."""

from __future__ import annotations

import contextlib
import hmac
import re
import threading
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from headrace.server.budget import Budget
from headrace.server.envelope import KEY_INVALID, THROTTLED, refusal
from headrace.server.faults import NO_FAULTS, CallFaults, Ended, Fault, Faults
from headrace.server.model import ModelError
from headrace.v2 import resources_pb2, service_pb2

PREFIX_HEADER = "x-clarifai-request-id-prefix"


@dataclass(slots=True)
class Call:
    """One RPC: its context, its request id, the reason of its refusal (or None), and whether its caller has gone."""

    context: Any
    req_id: str
    refused: ModelError | None = None
    faults: CallFaults = field(default_factory=lambda: NO_FAULTS.call(""))
    cancelled: threading.Event = field(default_factory=threading.Event)

    async def admit(self, model_id: str) -> ModelError | None:
        """Return why the call is refused, once its model is known; None lets it in."""
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
        """Return the id that an input's output carries."""
        return wire.id if self.faults.echo_input_ids else None

    def refusal(
        self, error: ModelError, request: service_pb2.PostModelOutputsRequest
    ) -> service_pb2.MultiOutputResponse:
        """Make the response to a request that failed as a whole."""
        return refusal(error, map(self.echoed, request.inputs), request.model_id, self.req_id)

    def _trail(self, fault: Fault) -> None:
        if fault.metadata:
            self.context.set_trailing_metadata(fault.metadata)


class Admission:
    """Admit calls: check their credential, their number and their bytes.

    Args:
        pat: the only credential accepted, or None for any or none.
        max_calls: prediction calls at a time; more are answered with 11005.
        max_request_bytes: of all requests that arrive or are being answered; more wait, then are answered with 11005.
        faults: the faults to inject.
    """

    def __init__(
        self,
        pat: str | None = None,
        max_calls: int = 1024,
        faults: Faults = NO_FAULTS,
        max_request_bytes: int = 1 << 30,
    ) -> None:
        self._pat = None if pat is None else pat.encode("utf-8", "surrogateescape")
        self._faults = faults
        self._max_calls = max_calls
        self.running: int = 0
        self.bytes: Budget = Budget(max_request_bytes)

    def stranger(self, metadata: Iterable[tuple[Any, Any]] | None) -> ModelError | None:
        """Return why a call with these metadata is refused; None if its credential is right."""
        if self._pat is None:
            return None
        headers = {str(key).lower(): value for key, value in metadata or ()}
        credential = str(headers.get("authorization", "")).removeprefix("Key ").strip()
        credential = credential or str(headers.get("x-clarifai-session-token", ""))
        if hmac.compare_digest(credential.encode("utf-8", "surrogateescape"), self._pat):
            return None
        return ModelError(KEY_INVALID, "Invalid API key or Invalid API key/application pair")

    def busy(self) -> ModelError | None:
        """Return why no further prediction call is admitted."""
        if self.running >= self._max_calls:
            return ModelError(THROTTLED, f"exceeded the limit of {self._max_calls} calls at a time")
        return None

    def enter(self) -> None:
        """Take a slot for a prediction call."""
        self.running += 1

    def leave(self) -> None:
        """Return a slot."""
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
