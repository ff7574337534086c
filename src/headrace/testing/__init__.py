"""Tools to test code that uses headrace, without a network and without an account; see docs/testing.md."""

from headrace.testing.answers import Answer, Fail, GrpcFail, ReceivedInput
from headrace.testing.double import ModelDouble
from headrace.testing.faults import ConnectionFaults, Direction
from headrace.testing.handlers import prediction_handlers
from headrace.testing.proxy import FaultProxy, ProxyStats
from headrace.testing.tape import (
    Tape,
    TapeCall,
    TapeDamaged,
    TapeError,
    TapeMismatch,
    TapeMissing,
    TapeMode,
    TapeTooNew,
    TapeUnwritable,
)
from headrace.testing.turnstile import Turnstile
from headrace.transport.memory import CallFailed, Handler, MemoryServer, MemoryTransport, ServerCall

__all__ = [
    "Answer",
    "CallFailed",
    "ConnectionFaults",
    "Direction",
    "Fail",
    "FaultProxy",
    "GrpcFail",
    "Handler",
    "MemoryServer",
    "MemoryTransport",
    "ModelDouble",
    "ProxyStats",
    "ReceivedInput",
    "ServerCall",
    "Tape",
    "TapeCall",
    "TapeDamaged",
    "TapeError",
    "TapeMismatch",
    "TapeMissing",
    "TapeMode",
    "TapeTooNew",
    "TapeUnwritable",
    "Turnstile",
    "prediction_handlers",
]
