"""How a call differs from the ones on a tape, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from headrace.testing.tape.calls import RecordedCall, Shape
from headrace.testing.tape.errors import TapeMismatch
from headrace.testing.tape.file import RECORD_AGAIN
from headrace.testing.tape.messages import Plain

SHOWN_FIELDS = 5
SHOWN_CHARACTERS = 200


class Difference(NamedTuple):
    """One field that differs; None stands for one that is not there."""

    field: str
    recorded: Any
    actual: Any


def differences(recorded: Plain, actual: Plain) -> list[Difference]:
    """Give the fields of two messages that differ; the ids of inputs do not count."""
    before, now = dict(_leaves(recorded)), dict(_leaves(actual))
    return [
        Difference(field, before.get(field), now.get(field))
        for field in [*now, *(field for field in before if field not in now)]
        if before.get(field) != now.get(field)
    ]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, item in value.items():
            if not (name == "id" and path.startswith("inputs[") and path.endswith("]")):
                yield from _leaves(item, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def not_recorded(
    path: str,
    calls: Sequence[RecordedCall],
    method: str,
    name: str,
    shape: Shape,
    metadata: list[list[str]],
    message: Plain,
) -> TapeMismatch:
    """Make the error of a call that is not on the tape, with the nearest one that is."""
    alike = [call for call in calls if call.method == method and call.shape == shape and call.requests]
    if not alike:
        counts = Counter(f"{call.name} ({call.shape})" for call in calls)
        has = ", ".join(f"{count} x {what}" for what, count in counts.items()) or "no call at all"
        return _error(path, f"the tape has no call of {name} ({shape}); it has {has}")
    ranked = [(_distance(call, metadata, message), call.played, call) for call in alike]
    differing, _, nearest = min(ranked, key=lambda one: (len(one[0]), one[1]))
    where = f"call {nearest.number} (line {nearest.line})"
    if not differing:
        same = sum(not differing for differing, _, _ in ranked)
        times = "once" if same == 1 else f"{same} times"
        return _error(path, f"this {name} was recorded {times} ({where}), and is made once more")
    state = ", which was replayed already," if nearest.played else ""
    shown = "".join(_shown(one) for one in differing[:SHOWN_FIELDS])
    more = f"\n  and {len(differing) - SHOWN_FIELDS} more" if len(differing) > SHOWN_FIELDS else ""
    first = differing[0]
    return _error(
        path, f"no recorded {name} is like this one; the nearest, {where}{state} differs in{shown}{more}", first
    )


def strayed(path: str, call: RecordedCall, what: str, difference: Difference | None = None) -> TapeMismatch:
    """Make the error of a call that goes on in another way than the recorded one."""
    shown = _shown(difference) if difference is not None else ""
    return _error(path, f"{call.name}, call {call.number} (line {call.line}) of the tape: {what}{shown}", difference)


def unanswered(path: str, name: str, seconds: float) -> TapeMismatch:
    """Make the error of a call that waits for an answer which the recorded one never got."""
    return _error(
        path,
        f"the recorded {name} got no answer: its client went away after {seconds:.3g} s; the code waits for longer now",
    )


def _distance(call: RecordedCall, metadata: list[list[str]], message: Plain) -> list[Difference]:
    found = differences(call.requests[0].message, message)
    if call.metadata != metadata:
        before, now = (dict(pairs) for pairs in (call.metadata, metadata))
        found += [
            Difference(f"metadata {name!r}", before.get(name), now.get(name))
            for name in dict.fromkeys([*before, *now])
            if before.get(name) != now.get(name)
        ]
    return found


def _shown(difference: Difference) -> str:
    field, recorded, actual = difference
    return f"\n  {field}\n    recorded: {_value(recorded)}\n    now:      {_value(actual)}"


def _value(value: Any) -> str:
    if value is None:
        return "(not there)"
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}... ({len(text)} characters)"


def _error(path: str, what: str, difference: Difference | None = None) -> TapeMismatch:
    field, recorded, actual = difference or ("", None, None)
    message = f"{path}: {what}\nIf the code is right, {RECORD_AGAIN}."
    return TapeMismatch(message, field=field, recorded=recorded, actual=actual)
