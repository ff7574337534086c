"""One answer of a model, or those of a batch: `Prediction`.

The protocol's own paths work (`p.outputs[0].data.text.raw`) next to short ones (`p.text`, `p.concepts`, ...).
"""

from __future__ import annotations

import array
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from headrace import codec, media
from headrace.errors import HeadraceError, PredictionFailed, ServerError, frameless
from headrace.results.views import (
    Concept,
    Frame,
    Region,
    Status,
    Usage,
    concepts_of,
    frames_of,
    regions_of,
    status_of,
)
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import status_pb2

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from headrace.draw import Picture


#: An output, decoded or still bytes.
Output: TypeAlias = pb.Output | codec.LazyOutput


class Prediction:
    """One answer of a model, or the answers of a batch: `len(p)`, `p[i]` and iteration give one per input.

    The short views (`text`, `concepts`, ...) are those of the first output. Where the input failed, `error` is set and
    reading data raises it.

    Attributes:
        input_id: the input's id; "" for a batch.
        position: the input's position in its list or source, counted from 0.
        error: None, or why the input failed.
        raw: the response as received, the whole one where inputs shared a request (packed, coalesced); of a batch that
            was split, the responses joined, which is one protobuf message.
    """

    # What few have: most are pieces of a token stream, made as fast as they come.
    error: HeadraceError | None = None
    _input_ids: Sequence[str] = ()
    _text: str | None = None  # kept: reading it out of the message each time is slow

    def __init__(
        self,
        raw: bytes,
        outputs: Sequence[Output],
        *,
        status: Status | status_pb2.Status | None = None,
        input_id: str = "",
        position: int = 0,
        error: HeadraceError | None = None,
        input_ids: Sequence[str] = (),
    ) -> None:
        self.raw = raw
        self.input_id = input_id
        self.position = position
        self._outputs = outputs
        self._status = status
        if error is not None:
            self.error = error
        if input_ids:
            self._input_ids = input_ids

    @classmethod
    def failed(cls, error: HeadraceError, *, input_id: str = "", position: int = 0, raw: bytes = b"") -> Prediction:
        """Make the prediction of an input that failed."""
        return cls(raw, (), input_id=input_id, position=position, error=frameless(error))

    def __repr__(self) -> str:
        if self.error is not None:
            return f"<Prediction {self.input_id or self.position}: {type(self.error).__name__}>"
        return f"<Prediction {self.input_id or self.position}: {len(self._outputs)} outputs, {len(self.raw)} bytes>"

    def __len__(self) -> int:
        return len(self._outputs)

    def __getitem__(self, index: int) -> Prediction:
        if self.error is not None:
            raise self.error
        output = self._outputs[index]
        index = index % len(self._outputs)
        told = output.input.id if isinstance(output, pb.Output) else output.input_id
        given = self._input_ids[index] if index < len(self._input_ids) else told or self.input_id
        return Prediction(self.raw, (output,), status=self._status, input_id=given, position=index)

    def __iter__(self) -> Iterator[Prediction]:
        if self.error is not None:
            raise self.error
        return (self[index] for index in range(len(self._outputs)))

    def __bool__(self) -> bool:
        return self.error is None

    @property
    def outputs(self) -> Sequence[pb.Output]:
        """The protocol's outputs, one per input.

        Those of a large response are decoded now.

        Raises:
            HeadraceError: the input's error; PredictionFailed where an output cannot be decoded.
        """
        if self.error is not None:
            raise self.error
        return tuple(output if isinstance(output, pb.Output) else output.message for output in self._outputs)

    @property
    def data(self) -> pb.Data:
        """The first output's data.

        Raises:
            HeadraceError: the input's error; PredictionFailed where the response has no output.
        """
        first = self._first
        return (first if isinstance(first, pb.Output) else first.message).data

    @property
    def _first(self) -> Output:
        if self.error is not None:
            raise self.error
        if not self._outputs:
            raise PredictionFailed("the response has no output")
        return self._outputs[0]

    @property
    def _wire(self) -> memoryview | None:
        """The first output's bytes, where they are not decoded yet."""
        first = self._first
        return None if isinstance(first, pb.Output) else first.wire

    @property
    def status(self) -> Status:
        """How the server says it went: of one input its output's own status, of several that of the whole response."""
        if len(self._outputs) == 1 and (own := self._outputs[0].status).code:
            head = self._status
            request_id = head.req_id if isinstance(head, status_pb2.Status) else head.request_id if head else ""
            self._status = Status(int(own.code), own.description, own.details, own.req_id or request_id)
        elif isinstance(self._status, status_pb2.Status):
            self._status = status_of(self._status)
        if self._status is not None:
            return self._status
        if isinstance(self.error, ServerError):
            return Status(self.error.code or 0, self.error.description, self.error.details, self.error.request_id)
        return Status(0, str(self.error or ""))

    @property
    def request_id(self) -> str:
        """The server's id of the request, for support."""
        return self.status.request_id

    @property
    def text(self) -> str:
        """The text, "" when there is none. Source: `data.text.raw`, else `data.string_value`."""
        if self._text is None:
            data = self.data
            self._text = data.text.raw or data.string_value
        return self._text

    @cached_property
    def concepts(self) -> tuple[Concept, ...]:
        """The concepts as the server orders them (best first)."""
        return concepts_of(self.data)

    @cached_property
    def regions(self) -> tuple[Region, ...]:
        """The regions of the picture."""
        return regions_of(self.data)

    @cached_property
    def frames(self) -> tuple[Frame, ...]:
        """The frames of the video."""
        return frames_of(self.data)

    @cached_property
    def embeddings(self) -> tuple[memoryview[float], ...]:
        """The vectors, each a view of 32-bit floats: `numpy.asarray(v)` looks at them without copying.

        Those of a large response lie in the bytes received, and are read-only.
        """
        wire = self._wire
        views = codec.vectors_in(wire) if wire is not None else None
        if views is not None:
            return tuple(views)
        return tuple(codec.vector_of(embedding) for embedding in self.data.embeddings)

    @property
    def embedding(self) -> memoryview[float]:
        """The first vector, empty when there is none."""
        return self.embeddings[0] if self.embeddings else memoryview(array.array("f"))

    def embedding_array(self) -> NDArray[np.float32]:
        """The first vector as an array of shape (n,), float32, on the same memory as `embedding`.

        Raises:
            ConfigError: numpy isn't installed (extra `images`).
        """
        numpy = media.require("numpy", "arrays")
        view: NDArray[np.float32] = numpy.asarray(self.embedding)
        return view

    @property
    def image(self) -> bytes | None:
        """The encoded picture (PNG or JPEG), or None. Source: `data.image.base64`, raw bytes on this protocol."""
        return self._media("image") or self.data.image.base64 or None

    @property
    def image_size(self) -> tuple[int, int] | None:
        """The picture's (width, height), or None where there is none.

        Source: `data.image.image_info`, else the picture's header (needs Pillow).
        """
        info = self.data.image.image_info
        if info.width and info.height:
            return info.width, info.height
        try:
            return media.size(self.image) if self.image else None
        except media.BadPicture as error:
            raise PredictionFailed(f"the picture cannot be used: {error}") from error

    def to_pil(self) -> Image.Image:
        """Decode the picture.

        Raises:
            ConfigError: Pillow isn't installed (extra `images`).
            PredictionFailed: there is no picture, or it cannot be decoded, or it has more than 85 megapixels.
        """
        encoded = self.image
        if not encoded:
            raise PredictionFailed("the answer has no picture")
        try:
            return media.decode(encoded)
        except media.BadPicture as error:
            raise PredictionFailed(f"the picture cannot be used: {error}") from error

    @property
    def audio(self) -> bytes | None:
        """The encoded sound (WAV), or None. Source: `data.audio.base64`."""
        return self._media("audio") or self.data.audio.base64 or None

    def _media(self, type_: str) -> bytes | None:
        """Take a payload out of the bytes received, without decoding what is around it."""
        wire = self._wire
        found = codec.media_of(wire, type_) if wire is not None else None
        return bytes(found) if found is not None else None

    @property
    def usage(self) -> Usage:
        """The tokens of all outputs."""
        outputs = self.outputs
        return Usage(
            sum(o.prompt_tokens for o in outputs),
            sum(o.completion_tokens for o in outputs),
            sum(o.cached_tokens for o in outputs),
        )

    def to_dict(self) -> dict[str, Any]:
        """Turn it into plain JSON values with the protocol's field names; a failed one has `error`, no outputs."""
        head: dict[str, Any] = {"input_id": self.input_id, "position": self.position}
        if self.error is not None:
            return {
                **head,
                "error": {"type": type(self.error).__name__, "code": self.error.code, "message": str(self.error)},
            }
        return {**head, "request_id": self.request_id, "outputs": [codec.to_dict(output) for output in self.outputs]}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the result to a file: the picture, the sound, the mask, else the text, else JSON. Blocking.

        Several masks become one picture, each region in its colour (needs Pillow). A path without extension gets the
        one that its content asks for; with one (`.txt`, `.json`, `.wav`, ...) that part is written, a picture in that
        format. `.json`, `.jsonl` and `.csv` take a batch as well.

        Returns:
            The path written.

        Raises:
            ConfigError: the answer holds nothing of that kind, or it is a batch: save each of it.
            HeadraceError: the input's error.
            OSError: the file cannot be written.
        """
        from headrace.saving import save

        return save(self, Path(path))

    def draw(self, image: Picture) -> Image.Image:
        """Draw the regions on the picture that was sent: boxes, masks and their labels.

        Args:
            image: a path, an encoded picture as bytes, a PIL picture, or an array of shape (height, width[, 3 or 4]).

        Returns:
            A new picture in RGB, upright.

        Raises:
            ConfigError: Pillow isn't installed (extra `images`).
            ValueError: not a picture, or one of more than 85 megapixels.
        """
        from headrace.draw import draw

        return draw(image, self.regions)
