"""The methods of a model by the form of its inputs (URL, bytes, file path), and the official package's names."""

from __future__ import annotations

import io
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, Unpack

from headrace.calls.options import CallOptions, StreamOptions
from headrace.calls.shown import shows
from headrace.errors import ConfigError
from headrace.inputs import Input, InputLike, InputType
from headrace.model_calls import ModelCalls
from headrace.results import Prediction
from headrace.support.later import later

if TYPE_CHECKING:
    from headrace.calls.generate.stream import TokenStream
    from headrace.calls.streams import PredictionStream
else:
    TokenStream = later("headrace.calls.generate.stream", "TokenStream")
    PredictionStream = later("headrace.calls.streams", "PredictionStream")

T = TypeVar("T")

#: One, a list, or any (async) iterator of them.
Many: TypeAlias = "T | Iterable[T] | AsyncIterable[T]"
AnyPath: TypeAlias = "str | os.PathLike[str]"


class _Unnamed:
    """The default of an argument that has two names."""

    def __repr__(self) -> str:
        return "..."


UNNAMED: Any = _Unnamed()


class Forms(ABC):
    """`predict`, `generate` and `stream` for each form of inputs.

    The arguments may have the official package's names: `input_bytes`, `filepath`, `url_iterator`,
    `input_bytes_iterator`.
    """

    _calls: ModelCalls

    @shows(CallOptions)
    async def predict_by_url(
        self, url: str, input_type: InputType | None = None, **options: Unpack[CallOptions]
    ) -> Prediction:
        """Send the URL of an image, video, audio or text file; the server fetches it. As `predict`."""
        return await self._calls.predict_one(Input.from_url(url, input_type), None, options)

    @shows(CallOptions)
    async def predict_by_bytes(
        self,
        data: InputLike = UNNAMED,
        input_type: InputType | None = None,
        *,
        input_bytes: InputLike = UNNAMED,
        **options: Unpack[CallOptions],
    ) -> Prediction:
        """Send bytes of an encoded file, or text as str or bytes. As `predict`."""
        if data is UNNAMED or input_bytes is not UNNAMED:
            data = _either(data, input_bytes, "input_bytes")
        if type(data) is str and input_type in (None, "text"):
            return await self._calls.predict_text(data, options)
        return await self._calls.predict_one(Input.from_bytes(data, input_type), None, options)

    @shows(CallOptions)
    async def predict_by_filepath(
        self,
        path: AnyPath = UNNAMED,
        input_type: InputType | None = None,
        *,
        filepath: AnyPath = UNNAMED,
        **options: Unpack[CallOptions],
    ) -> Prediction:
        """Send a file, read without blocking the loop, within the timeout. As `predict`."""
        return await self._calls.predict_one(
            Input.from_filepath(_either(path, filepath, "filepath"), input_type), None, options
        )

    @shows(CallOptions)
    def generate_by_url(
        self, url: str, input_type: InputType | None = None, **options: Unpack[CallOptions]
    ) -> TokenStream:
        """Send a URL that the server fetches, and read the answer in pieces. As `generate`."""
        return self.generate(Input.from_url(url, input_type), **options)

    @shows(CallOptions)
    def generate_by_bytes(
        self,
        data: InputLike = UNNAMED,
        input_type: InputType | None = None,
        *,
        input_bytes: InputLike = UNNAMED,
        **options: Unpack[CallOptions],
    ) -> TokenStream:
        """Send bytes or text, and read the answer in pieces. As `generate`."""
        return self.generate(Input.from_bytes(_either(data, input_bytes, "input_bytes"), input_type), **options)

    @shows(CallOptions)
    def generate_by_filepath(
        self,
        path: AnyPath = UNNAMED,
        input_type: InputType | None = None,
        *,
        filepath: AnyPath = UNNAMED,
        **options: Unpack[CallOptions],
    ) -> TokenStream:
        """Send a file, and read the answer in pieces. As `generate`."""
        return self.generate(Input.from_filepath(_either(path, filepath, "filepath"), input_type), **options)

    @shows(StreamOptions)
    def stream_by_url(
        self,
        urls: Many[str] = UNNAMED,
        input_type: InputType | None = None,
        *,
        url_iterator: Many[str] = UNNAMED,
        **options: Unpack[StreamOptions],
    ) -> PredictionStream:
        """Stream URLs that the server fetches: an iterator of them, a list, an open list file, or one. As `stream`."""
        urls = _lines(_either(urls, url_iterator, "url_iterator"))
        return self._calls.stream(urls, lambda url: Input.from_url(url, input_type), input_type, options)

    @shows(StreamOptions)
    def stream_by_bytes(
        self,
        items: Many[InputLike] = UNNAMED,
        input_type: InputType | None = None,
        *,
        input_bytes_iterator: Many[InputLike] = UNNAMED,
        **options: Unpack[StreamOptions],
    ) -> PredictionStream:
        """Stream bytes or texts: an iterator of them, a list, or one. As `stream`."""
        items = _either(items, input_bytes_iterator, "input_bytes_iterator")
        return self._calls.stream(items, None, input_type, options)

    @shows(StreamOptions)
    def stream_by_filepath(
        self,
        paths: Many[AnyPath] = UNNAMED,
        input_type: InputType | None = None,
        *,
        filepath: Many[AnyPath] = UNNAMED,
        **options: Unpack[StreamOptions],
    ) -> PredictionStream:
        """Stream files: an iterator of paths, a list, an open list file, or one. As `stream`."""
        paths = _lines(_either(paths, filepath, "filepath"))
        return self._calls.stream(paths, lambda path: Input.from_filepath(path, input_type), input_type, options)

    async def async_predict(self, *args: Any, **kwargs: Any) -> Prediction:
        """Predict: the official package's name of `predict`."""
        return await self.predict(*args, **kwargs)

    def async_generate(self, *args: Any, **kwargs: Any) -> TokenStream:
        """Generate: the official package's name of `generate`."""
        return self.generate(*args, **kwargs)

    def async_stream(self, *args: Any, **kwargs: Any) -> PredictionStream:
        """Stream: the official package's name of `stream`."""
        return self.stream(*args, **kwargs)

    @abstractmethod
    async def predict(
        self, inputs: Any, input_type: InputType | None = None, **options: Unpack[CallOptions]
    ) -> Prediction:
        """Send one input or a list."""

    @abstractmethod
    def generate(self, inputs: Any, input_type: InputType | None = None, **options: Unpack[CallOptions]) -> TokenStream:
        """Send one input and read the answer in pieces."""

    @abstractmethod
    def stream(
        self, inputs: Any, input_type: InputType | None = None, **options: Unpack[StreamOptions]
    ) -> PredictionStream:
        """Send many inputs and read their predictions."""


def _either(value: T, official: T, name: str) -> T:
    """Return an argument that has two names.

    Raises:
        ConfigError: neither name was given, or both.
    """
    if (value is UNNAMED) == (official is UNNAMED):
        many = "" if value is UNNAMED else " (not both)"
        raise ConfigError(f"give what is to be sent first, or as {name}={many}")
    return official if value is UNNAMED else value


def _lines(names: Any) -> Any:
    """Take an open file as its lines if these are names: of URLs, of files."""
    return (line.strip() for line in names if line.strip()) if isinstance(names, io.TextIOBase) else names


__all__ = ["Forms"]
