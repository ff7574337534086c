"""How events leave a client: to the log, and to the user's callable."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.events import Event, OnEvent

logger: logging.Logger = logging.getLogger("headrace")


class Emitter:
    """Passes events to the log and to the user's callable; without either, emitting costs little."""

    __slots__ = ("__weakref__", "on_event")

    def __init__(self, on_event: OnEvent | None = None) -> None:
        self.on_event: OnEvent | None = on_event

    def __call__(self, event: Event) -> None:
        from headrace.events import log

        log(event)
        self.deliver(event)

    def deliver(self, event: Event) -> None:
        """Pass an event to the user's callable only; its exceptions are logged."""
        if self.on_event is None:
            return
        try:
            self.on_event(event)
        except Exception:
            logger.exception("on_event raised on %s", type(event).__name__)
