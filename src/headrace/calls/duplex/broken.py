"""The errors of a matched duplex stream that ends early: how far it came, and which inputs have no answer."""

from __future__ import annotations

from headrace.calls.duplex.ledger import Ledger
from headrace.errors import StreamBroken


def broken(ledger: Ledger, failure: BaseException, why: str) -> StreamBroken:
    """Make the error of a stream that broke and is not opened again; `why` says what keeps it from that."""
    unanswered = [entry.item.id for entry in ledger.unanswered]
    error = StreamBroken(
        f"the stream broke after {ledger.received} answers, {len(unanswered)} inputs unanswered; {why}: {failure}",
        received=ledger.received,
        unanswered=unanswered,
    )
    error.code = getattr(failure, "code", None)
    return error


def stalled(ledger: Ledger, seconds: float) -> StreamBroken:
    """Make the error of inputs that fill the window, or keep others waiting to be packed, and get no answer at all."""
    unanswered = [entry.item.id for entry in ledger.unanswered]
    return StreamBroken(
        f"{len(unanswered)} inputs are under way, no more may be, and the server has not answered any of them for "
        f"{seconds:.3g} s: it may answer only after the last input. Use window=None (only the bytes limit) without "
        "batch, or model.map (concurrent unary calls)",
        unanswered=unanswered,
    )
