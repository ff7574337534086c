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
from headrace.server.model import ModelError
from headrace.v2 import service_pb2

PREFIX_HEADER = "x-clarifai-request-id-prefix"


@dataclass(slots=True)
class Call:
    """One RPC: its context, its request id, why it is refused (or None), and whether its caller has gone."""

    context: Any
    req_id: str
    refused: ModelError | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)

    def refusal(
        self, error: ModelError, request: service_pb2.PostModelOutputsRequest
    ) -> service_pb2.MultiOutputResponse:
        """Make the response to a request that failed as a whole."""
        return refusal(error, [wire.id for wire in request.inputs], request.model_id, self.req_id)


class Gate:
    """Let calls in: check their credential and that not too many run.

    Args:
        pat: the only credential accepted, or None for any or none.
        max_calls: prediction calls at a time; more are answered with 11005.
    """

    def __init__(self, pat: str | None = None, max_calls: int = 1024) -> None:
        self._pat = pat
        self._max_calls = max_calls
        self.running = 0

    @contextlib.contextmanager
    def call(self, context: Any) -> Iterator[Call]:
        """Count a prediction call while it runs; at its end, however it ends, `cancelled` is set."""
        call = self.open(context)
        if call.refused is None and self.running >= self._max_calls:
            call.refused = ModelError(THROTTLED, f"exceeded the limit of {self._max_calls} calls at a time")
        self.running += 1
        try:
            yield call
        finally:
            self.running -= 1
            call.cancelled.set()

    def open(self, context: Any) -> Call:
        """Read a call's metadata: its request id's prefix, its credential."""
        metadata = {str(key).lower(): value for key, value in context.invocation_metadata() or ()}
        call = Call(context, _req_id(metadata.get(PREFIX_HEADER, "")))
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
