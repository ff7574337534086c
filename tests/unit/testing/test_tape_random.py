"""Any sequence of calls, with errors, cancels and early leaves, is replayed as it was recorded."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace import RetryPolicy
from headrace.testing import Fail, GrpcFail, ModelDouble, ReceivedInput
from tests.support.tapes import Log, recording, replaying

QUICK = RetryPolicy(initial=0.001, cap=0.002, warm_up_cap=0.002, budget=None)

#: What the model does with an input, by the first word of its text.
BEHAVIOUR: dict[str, Any] = {
    "plain": lambda item: item.text.upper(),
    "bad": lambda item: Fail(30300, "no such text"),
    "busy": lambda item: 11005 if item.attempt == 1 else item.text,
    "denied": lambda item: GrpcFail("PERMISSION_DENIED", "not you"),
    "unseen": lambda item: GrpcFail("UNAVAILABLE", "full", unprocessed=True) if item.attempt == 1 else item.text,
}
ONE_BY_ONE = ("plain", "bad", "busy")  # failures that leave the other inputs of a list alone
PIECES: dict[str, list[Any]] = {
    "plain": ["one ", "two ", "three"],
    "bad": ["one ", Fail(10020, "the model fell over")],
    "busy": [],
    "denied": [GrpcFail("PERMISSION_DENIED", "not you")],
    "unseen": ["one ", GrpcFail("UNAVAILABLE", "gone")],
}


async def model(item: ReceivedInput) -> Any:
    word = item.text.split()[0]
    if word == "hang":
        await asyncio.Event().wait()
    return PIECES[word] if item.shape == "generate" else BEHAVIOUR[word](item)


@dataclass(frozen=True)
class Step:
    """One call."""

    shape: str
    words: tuple[str, ...]
    leave_after: int | None = None
    options: tuple[tuple[str, Any], ...] = ()

    async def live(self, log: Log, number: int, double: ModelDouble | None) -> None:
        texts = [f"{word} {number}.{place}" for place, word in enumerate(self.words)]
        options = dict(self.options)
        if self.shape == "predict":
            await log.predict(texts[0])
        elif self.shape == "batch":
            await log.predict(texts)
        elif self.shape == "generate":
            await log.generate(texts[0], self.leave_after)
        elif self.shape == "cancel":
            await self._cancel(log, options["of"], f"hang {number}", double)
        elif self.shape == "map":
            async for prediction in log.model.map(texts, input_type="text", on_error="yield"):
                log.prediction(prediction)
        else:
            await log.stream(texts, self.leave_after, **options)

    async def _cancel(self, log: Log, shape: str, text: str, double: ModelDouble | None) -> None:
        """Cancel a call that is never answered, after the server has its input."""
        calls = {"predict": log.predict, "generate": log.generate, "stream": lambda text: log.stream([text])}
        task = asyncio.ensure_future(calls[shape](text))
        if double is not None:
            await double.server.until(lambda: any(item.text == text for item in double.inputs), 10)
        else:
            await asyncio.wait([task], timeout=0.02)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])
        log.lines.append(("cancelled", task.cancelled()))


def words(*names: str, count: int = 6) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(names), min_size=1, max_size=count).map(tuple)


any_word = words(*BEHAVIOUR, count=1)
leave = st.one_of(st.none(), st.integers(1, 4))
steps = st.one_of(
    st.builds(Step, st.just("predict"), any_word),
    st.builds(Step, st.just("batch"), words(*ONE_BY_ONE)),
    st.builds(Step, st.just("map"), words("plain", "bad")),
    st.builds(Step, st.just("generate"), any_word, leave),
    st.builds(
        Step,
        st.just("stream"),
        words("plain", "bad", count=12),  # time decides which call carries an input that is sent again
        leave,
        st.sampled_from([(), (("batch", 3),), (("window", 1),), (("prefetch", 1),)]),
    ),
    st.builds(Step, st.just("stream"), words("plain", "denied", count=4)),
    st.builds(Step, st.just("stream"), words("plain"), leave, st.just((("matched", False),))),
    st.builds(
        Step,
        st.just("cancel"),
        st.just(()),
        options=st.sampled_from([(("of", shape),) for shape in ("predict", "generate", "stream")]),
    ),
)


async def live(life: Sequence[Step], log: Log, double: ModelDouble | None = None) -> None:
    """Make the calls; `double`: to be recorded."""
    for number, step in enumerate(life):
        await step.live(log, number, double)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, min_size=1, max_size=5), st.booleans())
def test_any_life_is_replayed_as_it_was_recorded(life: list[Step], echo_ids: bool) -> None:
    async def run(folder: str) -> None:
        path = Path(folder) / "life.jsonl"
        double = ModelDouble(model, echo_ids=echo_ids)
        async with asyncio.timeout(20):
            async with recording(path, "memory", double, retry=QUICK) as client:
                recorded = Log(client)
                await live(life, recorded, double)
            async with replaying(path, retry=QUICK) as client:
                replayed = Log(client)
                await live(life, replayed)
        assert replayed.lines == recorded.lines

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(folder))
