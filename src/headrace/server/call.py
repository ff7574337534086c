"""What all calls have in common: credentials, the bound on their number, request ids, and knowing when one is over."""

from __future__ import annotations

import contextlib
import hmac
import re
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from headrace.server.envelope import KEY_INVALID, THROTTLED, refusal
from headrace.server.faults import NO_FAULTS, CallFaults, Ended, Fault, Faults
from headrace.server.model import ModelError
from headrace.v2 import resources_pb2, service_pb2

PREFIX_HEADER = "x-clarifai-request-id-prefix"


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
            self._tell(fault)
            self.refused = fault
        return self.refused

    async def write(self, response: service_pb2.MultiOutputResponse) -> None:
        """Send an answer of a stream.

        Raises:
            Ended: a fault went out in its place, and the call is over.
        """
        if (fault := await self.faults.before_answer()) is not None:
            self._tell(fault)
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

    def _tell(self, fault: Fault) -> None:
        if fault.metadata:
            self.context.set_trailing_metadata(fault.metadata)


class Gate:
    """Let calls in: check their credential and that not too many run.

    Args:
        pat: the only credential accepted, or None for any or none.
        max_calls: prediction calls at a time; more are answered with 11005.
        faults: what goes wrong on purpose.
    """

    def __init__(self, pat: str | None = None, max_calls: int = 1024, faults: Faults = NO_FAULTS) -> None:
        self._pat = pat
        self._faults = faults
        self._max_calls = max_calls
        self.running = 0

    @contextlib.contextmanager
    def call(self, context: Any, method: str) -> Iterator[Call]:
        """Count a prediction call while it runs; at its end, however it ends, `cancelled` is set."""
        call = self.open(context, method)
        if call.refused is None and self.running >= self._max_calls:
            call.refused = ModelError(THROTTLED, f"exceeded the limit of {self._max_calls} calls at a time")
        self.running += 1
        try:
            yield call
        finally:
            self.running -= 1
            call.cancelled.set()

    def open(self, context: Any, method: str) -> Call:
        """Read a call's metadata: its request id's prefix, its credential."""
        metadata = {str(key).lower(): value for key, value in context.invocation_metadata() or ()}
        call = Call(context, _req_id(metadata.get(PREFIX_HEADER, "")), faults=self._faults.call(method))
        if self._pat is not None and not self._known(metadata):
            call.refused = ModelError(KEY_INVALID, "the credential is missing or wrong for this server")
        return call

    def _known(self, metadata: dict[str, Any]) -> bool:
        given = str(metadata.get("authorization", "")).removeprefix("Key ").strip()
        given = given or str(metadata.get("x-clarifai-session-token", ""))
        return hmac.compare_digest(given.encode(), (self._pat or "").encode())


def _req_id(prefix: object) -> str:
    clean = re.sub(r"[^\w.-]", "", str(prefix))[:64]
    return f"{clean}-{uuid.uuid4().hex}" if clean else uuid.uuid4().hex
