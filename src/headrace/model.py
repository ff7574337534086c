"""A model and its calls: predict (one answer), generate (a stream of pieces), stream (many inputs, both ways), map."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Unpack, cast

from headrace import reference
from headrace.calls.options import (
    CALL_OPTIONS,
    CLIENT_OPTIONS,
    Batch,
    CallOptions,
    ClientOptions,
    FrameOptions,
    StreamOptions,
    check_names,
)
from headrace.calls.prepare import advised, input_of
from headrace.calls.shown import shows
from headrace.catalog import ModelInfo
from headrace.errors import (
    ConfigError,
    InvalidRequest,
    PredictionFailed,
)
from headrace.forms import UNNAMED, Forms
from headrace.inputs import Frames, Input, InputLike, InputType
from headrace.model_calls import ModelCalls
from headrace.results import Prediction
from headrace.support.later import later
from headrace.support.misuse import AsyncContext

if TYPE_CHECKING:
    from headrace.calls.generate.stream import TokenStream
    from headrace.calls.streams import OnError, PredictionStream
    from headrace.client import Client
    from headrace.frames.stream import FrameStream
    from headrace.methods.call import MethodCall
    from headrace.methods.signatures import Method
    from headrace.reference import ModelRef
    from headrace.sources.iterables import Source
else:
    TokenStream = later("headrace.calls.generate.stream", "TokenStream")
    OnError = later("headrace.calls.streams", "OnError")
    PredictionStream = later("headrace.calls.streams", "PredictionStream")
    Client = later("headrace.client", "Client")
    FrameStream = later("headrace.frames.stream", "FrameStream")
    MethodCall = later("headrace.methods.call", "MethodCall")
    Method = later("headrace.methods.signatures", "Method")

_LISTS = (list, tuple)


class Model(Forms, AsyncContext):
    """A model on a server. Made by `client.model(...)` (no I/O), or alone: `Model(url=..., pat=...)` owns a client.

    Args:
        url: the model's URL, full or short; or `user_id`, `app_id`, `model_id` [, `model_version={"id": ...}`].
        deployment_id: route to this deployment; or `compute_cluster_id` with `nodepool_id`; with `deployment_user_id`.
        client: the client to use; without one, the other arguments (`pat`, `token`, `base_url`, ...) make one, which
            `async with` or `await close()` closes.

    Raises:
        ConfigError: a malformed URL, missing ids, both kinds of routing or half of one.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        user_id: str | None = None,
        app_id: str | None = None,
        model_id: str | None = None,
        model_version: Mapping[str, str] | str | None = None,
        deployment_id: str | None = None,
        compute_cluster_id: str | None = None,
        nodepool_id: str | None = None,
        deployment_user_id: str | None = None,
        client: Client | None = None,
        **client_options: Unpack[ClientOptions],
    ) -> None:
        routing = reference.routing(deployment_id, compute_cluster_id, nodepool_id, deployment_user_id)
        self._owned = client is None
        if client is None:
            from headrace.client import Client

            check_names(client_options, CLIENT_OPTIONS)
            client = Client(**client_options)
        elif client_options:
            names = ", ".join(sorted(client_options))
            raise ConfigError(f"unknown arguments: {names} (options of a client go to headrace.Client)")
        self._client = client
        backend = client._backend
        self.ref: ModelRef = reference.ModelRef.of(url, user_id, app_id, model_id, model_version, *backend.owner)
        self._calls = ModelCalls(backend, self.ref, routing)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Model cannot be pickled, because its Client holds connections; make both in each process")

    def __repr__(self) -> str:
        return f"<Model {self.ref}{' ' + self.ref.version_id if self.ref.version_id else ''}>"

    @property
    def id(self) -> str:
        """The model's id."""
        return self.ref.model_id

    @property
    def client(self) -> Client:
        """The client whose connections it uses."""
        return self._client

    async def close(self) -> None:
        """Close it: another name of `aclose`."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the client that the model owns; nothing if it uses another's. Idempotent."""
        if self._owned:
            await self._client.aclose()

    # --- predict: unary-unary

    @shows(CallOptions)
    async def predict(
        self,
        inputs: InputLike | Sequence[InputLike] = UNNAMED,
        input_type: InputType | None = None,
        **options: Unpack[CallOptions],
    ) -> Prediction:
        """Send one input or a list, and wait for all answers.

        Without inputs, but with other names (`predict(prompt="...")`), it is the model's method of this name: `call`.

        Lists over the limits are split and put together again. Source: rpc PostModelOutputs.

        Args:
            inputs: `Input`s, or what stands for one (bytes, str, Path, PIL image, numpy array).
            input_type: "image", "video", "text" or "audio" for inputs that don't know theirs; None: looked up when
                the model has exactly one input field.
            options: those of every call, see `CallOptions`. `timeout` bounds everything together: reading, look-ups,
                waiting for a turn, all attempts; 60 s by default (`Timeouts.total`). `user_id` is the user whose
                deployment is meant; the model's owner is named with the model.

        Returns:
            The prediction; with a list, `len(p)` and `p[i]` are one per input.

        Raises:
            PartialFailure: some inputs of several failed; it holds the others.
            HeadraceError: all failed: the first one's error.
        """
        if not isinstance(inputs, _LISTS):
            if inputs is UNNAMED:
                return cast("Prediction", await self._method("predict", options))
            try:
                if type(inputs) is str and input_type in (None, "text"):
                    return await self._calls.predict_text(inputs, options)
                item = inputs if type(inputs) is Input and not input_type else input_of(inputs, input_type)
                return await self._calls.predict_one(item, input_type, options)
            except (InvalidRequest, PredictionFailed) as error:
                raise advised(error, inputs) from error.__cause__
        if not inputs:
            raise ConfigError("no inputs")
        if len(inputs) == 1:
            return await self._calls.predict_one(input_of(inputs[0], input_type), input_type, options)
        return await self._calls.predict_list(dict(enumerate(inputs)), input_type, options)

    # --- generate: unary-stream

    @shows(CallOptions)
    def generate(
        self,
        inputs: InputLike | Sequence[InputLike] = UNNAMED,
        input_type: InputType | None = None,
        **options: Unpack[CallOptions],
    ) -> TokenStream:
        """Send one input and read the answer in pieces as they are made.

        Without inputs, but with other names (`generate(prompt="...")`), it is the model's method of this name: `call`.

        Nothing is sent before the stream is entered or read. `timeout` bounds the wait for the first piece; the idle
        timeout each one after. Source: rpc GenerateModelOutputs.
        """
        if inputs is UNNAMED:
            return cast("TokenStream", self._method("generate", options))
        resolved = self._calls.resolve(options, input_type)
        items = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        if len(items) != 1:
            raise ConfigError(f"generate takes one input, not {len(items)}; use stream or map for several")
        return self._calls.generate(input_of(items[0], input_type), resolved)

    # --- stream: stream-stream

    @shows(StreamOptions)
    def stream(
        self,
        inputs: InputLike | Iterable[InputLike] | AsyncIterable[InputLike],
        input_type: InputType | None = None,
        **options: Unpack[StreamOptions],
    ) -> PredictionStream:
        """Send inputs as they come and read predictions as they come, both at once.

        Args:
            inputs: an async iterator, any iterator (pulled in a thread of its own), a list, or a single input.
            input_type: as for `predict`.

        `timeout` is each input's own: preparing it, and from its leaving the pipe to its answer; there is none for the
        stream (`Timeouts.input`). `on_error` is "yield" here: a failed input is a prediction with `.error`.

        Returns:
            The stream; see `StreamOptions` for how it behaves. Source: rpc StreamModelOutputs.
        """
        return self._calls.stream(inputs, None, input_type, options)

    @shows(FrameOptions)
    def stream_frames(self, source: Frames, **options: Unpack[FrameOptions]) -> FrameStream:
        """Send frames and read each together with its prediction: `async for frame in model.stream_frames(camera(0))`.

        Args:
            source: a video or camera (`headrace.sources`), a list of them, or any (async) iterator of pictures.

        `timeout` is each frame's own, as an input's in `stream`; `on_error` is "yield".

        Returns:
            The stream of `FramePrediction`s; see `FrameOptions` for how it behaves.
        """
        from headrace.frames.opening import frame_stream

        call = cast("CallOptions", {name: value for name, value in options.items() if name in CALL_OPTIONS})
        self._calls.resolve(call, "image")  # check options now, not when the stream starts
        ordered = options.get("ordered", True)

        def stream(frames: Any, limit: int) -> PredictionStream:
            return self.stream(frames, "image", window=limit, prefetch=1, ordered=ordered, **call)

        def unary(frames: Source[Any], limit: int) -> PredictionStream:
            return self.map(
                cast("Any", frames), concurrency=limit, ordered=ordered, on_error="yield", input_type="image", **call
            )

        return frame_stream(source, options, stream, unary, self._calls.backend.session())

    # --- map: concurrent unary calls

    @shows(CallOptions)
    def map(
        self,
        inputs: InputLike | Iterable[InputLike] | AsyncIterable[InputLike],
        *,
        concurrency: int = 32,
        ordered: bool = True,
        on_error: OnError = "raise",
        batch: Batch = None,
        batch_wait: float = 0.0,
        input_type: InputType | None = None,
        **options: Unpack[CallOptions],
    ) -> PredictionStream:
        """Put any number of inputs through concurrent unary calls, with constant memory.

        `timeout` is each request's own (`Timeouts.total`). `on_error` is "raise" here, unlike in `stream`: the first
        input that fails ends it.

        Args:
            inputs: an async iterator, any iterator, or a list.
            concurrency: calls at once.
            ordered: predictions come in the order of the inputs, or as they are ready.
            on_error: "raise" the first error, or "yield" predictions with `.error`.
            batch: pack what the source has ready into a call, up to so many inputs; "auto": up to
                `Limits.inputs_per_request` and 1 MiB; None: one a call. A free call takes what is there, however
                little; while all are in flight, inputs are batched for the next one.
            batch_wait: seconds that an input waits for others to share its call, though one is free.
        """
        return self._calls.map(
            inputs,
            input_type,
            options,
            concurrency=concurrency,
            ordered=ordered,
            on_error=on_error,
            batch=batch,
            batch_wait=batch_wait,
        )

    # --- methods with signatures

    async def methods(self) -> tuple[Method, ...]:
        """List the methods that the model publishes, with types and docs; remembered by the client.

        Empty if it publishes none: use `predict`, `generate` and `stream`. Source: rpc GetModelVersion; a server
        that doesn't know asks the model itself.
        """
        return tuple((await self._methods()).values())

    def call(self, method: str, /, *args: Any, **kwargs: Any) -> MethodCall:
        """Call a method by name with typed arguments: `await` it for one answer, `async for` for a stream of them.

        A streamed argument may be an async iterator, any iterator, or a list. `timeout=` and `metadata=` are those of
        `predict`, `generate` and `stream`, unless the method has an argument of that name.

        Raises (when awaited or read):
            ConfigError: no such method, or wrong arguments; the message has the signature.
        """
        from headrace.methods.call import MethodCall, Shapes

        free = functools.partial(self.stream, matched=False, on_error="raise")
        return MethodCall(Shapes(self._methods, self.predict, self.generate, free), method, args, kwargs)

    def _method(self, name: str, arguments: Mapping[str, Any]) -> MethodCall:
        """Call the method of the model that has the name of one of ours, as the official package does."""
        if "with_proto" in arguments:
            raise ConfigError(f"with_proto= is not needed: the prediction that {name} returns has .status and .outputs")
        if arguments.keys() <= CALL_OPTIONS:
            raise ConfigError(f"{name} needs an input, or the arguments of the model's own method {name}")
        return self.call(name, **arguments)

    if not TYPE_CHECKING:  # so that type checkers report missing names

        def __getattr__(self, name: str) -> NoReturn:
            hint = f'; a method of the model itself is called with model.call("{name}", ...)'
            if name in ("available_methods", "method_signature", "method_signatures"):
                hint = "; await model.methods() lists the model's methods"
            raise AttributeError(f"Model has no {name}{'' if name[0] == '_' else hint}", name=name, obj=self)

    async def _methods(self) -> Mapping[str, Method]:
        return await self._calls.backend.catalog.methods(self.ref, self.predict)

    # --- look-ups

    async def info(self) -> ModelInfo:
        """Look up what the server says of the model: type, task, inputs, outputs; remembered by the client."""
        return await self._calls.backend.catalog.info(self.ref)

    async def input_type(self) -> InputType:
        """Look up what the model takes; remembered.

        Raises:
            ConfigError: it takes several types, or none that is known: give `input_type=`.
        """
        types = await self._calls.backend.catalog.input_types(self.ref)
        if len(types) > 1:
            raise ConfigError(f"{self.ref} takes {', '.join(types)}: give input_type=")
        return types[0]
