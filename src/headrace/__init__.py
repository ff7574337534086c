"""headrace: an asyncio-first streaming inference client for the Clarifai V2 prediction protocol over gRPC.

The public names are imported when they are first used: the package itself costs nearly nothing.
"""

from headrace._version import __version__

TYPE_CHECKING = False  # checkers know the name; importing typing would cost most of this file's time
if TYPE_CHECKING:
    from headrace import blocking as blocking
    from headrace import errors as errors
    from headrace import events as events
    from headrace import sources as sources
    from headrace import status as status
    from headrace.calls.generate.stream import TokenStream
    from headrace.calls.options import CallOptions, ClientOptions, FrameOptions, StreamOptions
    from headrace.calls.stats import ClientStats
    from headrace.calls.streams import DuplexStream, PredictionStream, StreamStats
    from headrace.catalog import ModelInfo
    from headrace.client import Client
    from headrace.config import TLS, Coalesce, KeepAlive, Limits, RetryPolicy, Timeouts, Window
    from headrace.errors import (
        AuthError,
        ClosedError,
        ConcurrentUse,
        ConfigError,
        ConnectFailed,
        ConnectionLost,
        DeadlineExceeded,
        HeadraceError,
        InputError,
        InvalidRequest,
        ModelNotReady,
        NotFound,
        PartialFailure,
        PayloadTooLarge,
        PermissionDenied,
        PredictionFailed,
        QuotaExceeded,
        ServerCancelled,
        ServerError,
        SourceError,
        StreamBroken,
        Throttled,
        TransportError,
    )
    from headrace.frames.frame_prediction import FramePrediction
    from headrace.frames.stream import FrameStream
    from headrace.inputs import Input, InputLike
    from headrace.methods.call import MethodCall
    from headrace.methods.signatures import Method
    from headrace.model import Model
    from headrace.reference import ModelRef
    from headrace.results import Concept, Frame, Prediction, Region, Status, Usage
    from headrace.target import Target

__all__ = [
    "TLS",
    "AuthError",
    "CallOptions",
    "Client",
    "ClientOptions",
    "ClientStats",
    "ClosedError",
    "Coalesce",
    "Concept",
    "ConcurrentUse",
    "ConfigError",
    "ConnectFailed",
    "ConnectionLost",
    "DeadlineExceeded",
    "DuplexStream",
    "Frame",
    "FrameOptions",
    "FramePrediction",
    "FrameStream",
    "HeadraceError",
    "Input",
    "InputError",
    "InputLike",
    "InvalidRequest",
    "KeepAlive",
    "Limits",
    "Method",
    "MethodCall",
    "Model",
    "ModelInfo",
    "ModelNotReady",
    "ModelRef",
    "NotFound",
    "PartialFailure",
    "PayloadTooLarge",
    "PermissionDenied",
    "Prediction",
    "PredictionFailed",
    "PredictionStream",
    "QuotaExceeded",
    "Region",
    "RetryPolicy",
    "ServerCancelled",
    "ServerError",
    "SourceError",
    "Status",
    "StreamBroken",
    "StreamOptions",
    "StreamStats",
    "Target",
    "Throttled",
    "Timeouts",
    "TokenStream",
    "TransportError",
    "Usage",
    "Window",
    "__version__",
]

#: Where the public names are: module -> names. The imports above say the same to type checkers; a test compares them.
_NAMES = {
    "calls.generate.stream": "TokenStream",
    "calls.options": "CallOptions ClientOptions FrameOptions StreamOptions",
    "calls.stats": "ClientStats",
    "calls.streams": "DuplexStream PredictionStream StreamStats",
    "catalog": "ModelInfo",
    "client": "Client",
    "config": "TLS Coalesce KeepAlive Limits RetryPolicy Timeouts Window",
    "errors": (
        "AuthError ClosedError ConcurrentUse ConfigError ConnectFailed ConnectionLost DeadlineExceeded "
        "HeadraceError InputError InvalidRequest ModelNotReady NotFound PartialFailure PayloadTooLarge "
        "PermissionDenied PredictionFailed QuotaExceeded ServerCancelled ServerError SourceError StreamBroken "
        "Throttled TransportError"
    ),
    "frames.frame_prediction": "FramePrediction",
    "frames.stream": "FrameStream",
    "inputs": "Input InputLike",
    "methods.call": "MethodCall",
    "methods.signatures": "Method",
    "model": "Model",
    "reference": "ModelRef",
    "results": "Concept Frame Prediction Region Status Usage",
    "target": "Target",
}
_MODULE = {name: module for module, names in _NAMES.items() for name in names.split()}
#: Modules that need no import of their own, as in `headrace.errors`.
_MODULES = {"blocking", "errors", "events", "sources", "status"} | {module.partition(".")[0] for module in _NAMES}

if not TYPE_CHECKING:  # type checkers would take any name for one of ours
    del TYPE_CHECKING

    def __getattr__(name: str) -> object:
        """Import a public name's module, and keep the name."""
        from importlib import import_module

        if name in _MODULE:
            value = getattr(import_module(f"headrace.{_MODULE[name]}"), name)
        elif name in _MODULES:
            value = import_module(f"headrace.{name}")
        else:
            raise AttributeError(f"module 'headrace' has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """List the names, also those not imported yet."""
        return sorted({*globals(), *__all__})
