"""One input in one unary call."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from headrace import codec
from headrace.calls import responses
from headrace.calls.deadline import Deadline
from headrace.calls.session import Session
from headrace.calls.unary.call import unary
from headrace.inputs.prepared import Prepared
from headrace.results import Prediction
from headrace.transport.base import Buffer, Metadata


def predict_one(
    session: Session,
    head: bytes,
    item: Prepared,
    metadata: Metadata,
    timeout: float | Deadline | None,
    warm_up: float | None,
) -> Coroutine[Any, Any, Prediction]:
    """Send one input, loaded and checked, with an id.

    Raises (when awaited):
        HeadraceError: the input's error.
    """
    # By position: names cost Python as much as the call.
    return unary(session, codec.PREDICT, SingleInput(head, item), metadata, timeout, warm_up, "", item.id)


class SingleInput:
    """The request with one input."""

    __slots__ = ("_head", "_item")

    def __init__(self, head: bytes, item: Prepared) -> None:
        self._head = head
        self._item = item

    def parts(self) -> list[Buffer]:
        """Encode the template and the input."""
        return self._item.request(self._head)

    def parse(self, raw: bytes) -> Prediction:
        """Make the input's prediction."""
        item = self._item
        prediction = responses.prediction(item.id, raw)
        if source := item.source:
            prediction.source = source
        return prediction
