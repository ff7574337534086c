"""What a model does when it is called: options are resolved, inputs prepared, and the right shape of call is made."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from headrace.calls.deadline import Deadline
from headrace.calls.options import (
    CALL_OPTIONS,
    STREAM_OPTIONS,
    Batch,
    CallOptions,
    ResolvedOptions,
    StreamOptions,
    check,
    checked_batching,
    checked_count,
    checked_flag,
    checked_on_error,
    duplex_options,
)
from headrace.calls.prepare import Preparer, joined, own_error, predict_prepared
from headrace.calls.session import Session
from headrace.catalog import Catalog, template
from headrace.config import Limits, Timeouts, Unset
from headrace.errors import HeadraceError
from headrace.inputs import Input, InputLike, InputType, checked_type, is_single
from headrace.inputs.checks import longest_text, prepare_now
from headrace.inputs.prepared import Prepared, PreparedText
from headrace.reference import ModelRef
from headrace.results import Prediction
from headrace.types import Buffer, Metadata

if TYPE_CHECKING:
    from headrace.calls.generate.stream import TokenStream
    from headrace.calls.streams import OnError, PredictionStream
    from headrace.sources.iterables import Source

#: Sends one prepared input, as `predict_one` does: alone, or together with those of concurrent calls.
PredictOne: TypeAlias = Callable[
    [Session, bytes, Prepared, Metadata, "float | Deadline | None", "float | None"], Coroutine[Any, Any, Prediction]
]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Backend:
    """What a client gives its models to work with.

    Attributes:
        session: gives the session; it raises if the client cannot make calls (yet).
        timeout: of calls that give none; `Unset` if the client gives none either.
        ids: for inputs that have none.
        owner: user and app of models that are named by their id alone.
    """

    session: Callable[[], Session]
    catalog: Catalog
    limits: Limits
    timeouts: Timeouts
    timeout: float | Unset | None
    ids: Iterator[str]
    predict_one: PredictOne
    owner: tuple[str, str]


class Resolved(NamedTuple):
    """What the options of a call with one input come to.

    Attributes:
        head: the request's template; b"" if its routing has to be looked up.
        timeout: seconds of the whole call; None: no limit.
    """

    options: ResolvedOptions
    head: bytes
    timeout: float | None


class ModelCalls:
    """Makes the calls of one model.

    Args:
        backend: the client's.
        ref: the model.
        routing: the deployment that is meant, if a call names none.
    """

    def __init__(self, backend: Backend, ref: ModelRef, routing: Mapping[str, str]) -> None:
        self.backend = backend
        self.ref = ref
        self._routing = routing
        self._longest_text = longest_text(backend.limits)
        self._plain: Resolved | None = None  # what calls share that give no options

    def resolve(
        self, options: CallOptions | StreamOptions, input_type: str | None, known: frozenset[str] = CALL_OPTIONS
    ) -> ResolvedOptions:
        """Check the options of a call, immediately and not when its stream starts.

        Raises:
            ConfigError: one of them is wrong.
        """
        return self._resolved(options, input_type, known).options

    def _resolved(
        self, options: CallOptions | StreamOptions, input_type: str | None, known: frozenset[str] = CALL_OPTIONS
    ) -> Resolved:
        """Check options, as `resolve` does; those of calls without any are checked once."""
        checked_type(input_type)
        if not options and self._plain is not None:
            return self._plain
        resolved = check(options, self._routing, self.backend.timeout, known)
        head = template(self.ref, resolved, resolved.routing)  # finds parameters that cannot be sent
        result = Resolved(resolved, b"" if resolved.routing else head, resolved.seconds(self.backend.timeouts.total))
        if not options:
            self._plain = result
        return result

    def predict_one(
        self, item: Input, input_type: InputType | None, options: CallOptions
    ) -> Coroutine[Any, Any, Prediction]:
        """Send one input; if nothing has to be read or looked up first, the call is all that is awaited."""
        plain = self._plain
        resolved = self._resolved(options, input_type) if options or input_type or plain is None else plain
        backend = self.backend
        try:
            ready = prepare_now(item, backend.ids, backend.limits)
        except HeadraceError:
            raise
        except Exception as error:
            raise own_error(error, item.id) from error
        if ready is None:
            return self._predict_later(item, input_type, resolved)
        return self._send(ready, resolved)

    def predict_text(self, text: str, options: CallOptions) -> Coroutine[Any, Any, Prediction]:
        """Send one text, as `predict_one` does, but do not encode it before its turn comes if it is ASCII."""
        plain = self._plain
        resolved = self._resolved(options, None) if options or plain is None else plain
        if not (text.isascii() and 0 < len(text) <= self._longest_text):
            return self.predict_one(Input.from_text(text), None, options)
        return self._send(PreparedText(text, next(self.backend.ids)), resolved)

    def _send(self, ready: Prepared, resolved: Resolved) -> Coroutine[Any, Any, Prediction]:
        options, head, timeout = resolved
        if not head:
            return self._predict_later(ready, None, resolved)
        backend = self.backend
        return backend.predict_one(backend.session(), head, ready, options.metadata, timeout, options.warm_up)

    async def _predict_later(
        self, item: Input | Prepared, input_type: InputType | None, resolved: Resolved
    ) -> Prediction:
        backend, options = self.backend, resolved.options
        deadline = Deadline.after(resolved.timeout)
        preparer = self._preparer(None, input_type, options)
        ready = await preparer.later(item, deadline) if isinstance(item, Input) else item
        head = await preparer.template(deadline)
        return await backend.predict_one(backend.session(), head, ready, options.metadata, deadline, options.warm_up)

    async def predict_list(
        self, inputs: Mapping[int, InputLike], input_type: InputType | None, options: CallOptions
    ) -> Prediction:
        """Send several inputs by their positions, in as many requests as the limits ask for."""
        from headrace.calls.unary.lists import predict_many

        resolved = self.resolve(options, input_type)
        backend = self.backend
        deadline = Deadline.after(resolved.seconds(backend.timeouts.total))
        preparer = self._preparer(None, input_type, resolved)
        head = await preparer.template(deadline)
        session = backend.session()

        async def send(ready: Sequence[Prepared]) -> Mapping[int, Prediction]:
            return await predict_many(
                session,
                head,
                ready,
                backend.limits,
                deadline=deadline,
                warm_up=resolved.warm_up,
                metadata=resolved.metadata,
            )

        return joined(await predict_prepared(inputs, preparer, send, deadline))

    def generate(self, item: Input, resolved: ResolvedOptions) -> TokenStream:
        """Send one input and read its answer in pieces."""
        from headrace.calls.generate.stream import TokenStream  # imported when used, as not every program does

        timeouts = self.backend.timeouts
        seconds = resolved.seconds(timeouts.first_answer)
        preparer = self._preparer(None, None, resolved, seconds)

        async def prepare() -> tuple[list[Buffer], str]:
            deadline = Deadline.after(seconds)
            head = await preparer.template(deadline)
            ready = await preparer.later(item, deadline)
            return ready.request(head), ready.id

        return TokenStream(
            self.backend.session(),
            prepare,
            metadata=resolved.metadata,
            timeout=seconds,
            idle=timeouts.idle,
            warm_up=resolved.warm_up,
        )

    def stream(
        self, items: Any, make: Callable[[Any], Input] | None, input_type: InputType | None, options: StreamOptions
    ) -> PredictionStream:
        """Stream inputs that `make` makes of items; None: of anything that stands for one."""
        from headrace.calls.duplex.matched import Duplex
        from headrace.calls.duplex.unmatched import FreeDuplex
        from headrace.calls.streams import PredictionStream

        backend = self.backend
        resolved = self.resolve(options, input_type, STREAM_OPTIONS)
        settings = duplex_options(options, resolved, backend.limits, backend.timeouts)
        on_error = checked_on_error(options.get("on_error", "yield"))
        seconds = resolved.seconds(backend.timeouts.input)
        preparer = self._preparer(make, input_type, resolved, seconds)
        template = preparer.template
        pulled = _source(items, seconds)
        if options.get("matched", True):
            return PredictionStream(Duplex(backend.session(), pulled, preparer, template, settings), on_error)
        silences = resolved.seconds(backend.timeouts.first_answer), resolved.seconds(backend.timeouts.idle)
        work = FreeDuplex(backend.session(), pulled, preparer, template, settings, *silences)
        return PredictionStream(work, on_error)

    def map(
        self,
        items: Any,
        input_type: InputType | None,
        options: CallOptions,
        *,
        concurrency: int,
        ordered: bool,
        on_error: OnError,
        batch: Batch,
        batch_wait: float,
    ) -> PredictionStream:
        """Put items through concurrent unary calls."""
        from headrace.calls.streams import PredictionStream
        from headrace.calls.unary.map import MapOptions, MapWork

        backend = self.backend
        resolved = self.resolve(options, input_type)
        checked_count("concurrency", concurrency)
        checked_flag("ordered", ordered)
        batching = checked_batching(batch, batch_wait, backend.limits)
        seconds = resolved.seconds(backend.timeouts.total)
        preparer = self._preparer(None, input_type, resolved, seconds)
        settings = MapOptions(concurrency, ordered, batching, seconds, resolved.warm_up, resolved.metadata)
        session, pulled = backend.session(), _source(items, seconds)
        work = MapWork(session, pulled, preparer, preparer.template, settings, backend.limits)
        return PredictionStream(work, checked_on_error(on_error))

    def _preparer(
        self,
        make: Callable[[Any], Input] | None,
        input_type: InputType | None,
        resolved: ResolvedOptions,
        timeout: float | None = None,
    ) -> Preparer:
        backend = self.backend
        return Preparer(
            make,
            input_type,
            timeout,
            ids=backend.ids,
            limits=backend.limits,
            catalog=backend.catalog,
            ref=self.ref,
            options=resolved,
        )


def _source(inputs: Any, seconds: float | None) -> Source[Any]:
    """Make a source of what the user gave; one that makes inputs itself gets the time that each may take."""
    from headrace.sources.base import InputSource
    from headrace.sources.iterables import source

    if isinstance(inputs, InputSource):
        inputs.limit_each(seconds)
    return source([inputs] if is_single(inputs) else inputs)


__all__ = ["Backend", "ModelCalls"]
