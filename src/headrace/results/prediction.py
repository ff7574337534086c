"""One answer of a model, or those of a batch: `Prediction`.

The protocol's own paths work (`p.outputs[0].data.text.raw`) next to short ones (`p.text`, `p.concepts`, ...).
"""

from __future__ import annotations

import array
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from headrace import codec, media
from headrace.errors import ConfigError, HeadraceError, PredictionFailed, ServerError, drop_traceback
from headrace.results import shown
from headrace.results.cached import cached
from headrace.results.plain import to_dict
from headrace.results.views import (
    Concept,
    Frame,
    Region,
    Status,
    Usage,
    concepts_of,
    frames_of,
    protocol_status,
    regions_of,
    status_of,
)
from headrace.support.later import later, later_module
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import status_pb2

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt
    import supervision
    from PIL import Image

    from headrace.draw import Picture
    from headrace.integrations.supervision import PictureOrSize

    Vector: TypeAlias = memoryview[float]
else:
    Vector = memoryview
    Path = later("pathlib", "Path")
    Picture = later("headrace.draw", "Picture")
    PictureOrSize = later("headrace.integrations.supervision", "PictureOrSize")
    Image = later_module("PIL.Image")
    np = later_module("numpy")
    npt = later_module("numpy.typing")
    supervision = later_module("supervision")


#: An output, decoded or still bytes.
Output: TypeAlias = pb.Output | codec.LazyOutput


class Prediction:
    """One answer of a model, or the answers of a batch: `len(p)`, `p[i]` and iteration give one per input.

    The short views (`text`, `concepts`, ...) belong to one input: read those of a batch from `p[i]`. If the
    input failed, `error` is set and reading data raises it; `bool(p)` is True if it succeeded, whatever `len(p)`.
    Predictions can be pickled and copied, and are equal if the model's answers are.

    Attributes:
        input_id: the input's id; "" for a batch.
        position: the input's position in its list or source, counted from 0.
        source: what the input came from, such as a file's path; "" if that is not known.
        error: None, or why the input failed.
    """

    # Class attributes as defaults: most predictions are pieces of a token stream, which must be cheap to make.
    error: HeadraceError | None = None
    source: str = ""
    _input_ids: Sequence[str] = ()
    _text: str | None = None  # kept: reading it out of the message each time is slow

    def __init__(
        self,
        raw: bytes | None,
        outputs: Sequence[Output],
        status: Status | status_pb2.Status | None = None,
        input_id: str = "",
        position: int = 0,
        error: HeadraceError | None = None,
        input_ids: Sequence[str] = (),
    ) -> None:
        """Make one from a response.

        Args:
            raw: the response as received; None if its outputs are those of several inputs.
            outputs: the response's outputs, or the one of this input.
            status: the envelope's, or the output's own.
        """
        self._raw = raw
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
        return cls(raw, (), input_id=input_id, position=position, error=drop_traceback(error))

    @classmethod
    def piece(cls, raw: bytes, text: str, status: status_pb2.Status, input_id: str, position: int) -> Prediction:
        """Make a piece of a token stream whose text is known; the message is decoded when something else is asked for.

        Args:
            raw: the response as received: a good one with one good output.
        """
        piece = cls.__new__(cls)  # `__init__` would cost as much again
        piece._raw = raw
        piece._text = text
        piece._status = status
        piece.input_id = input_id
        piece.position = position
        return piece

    def __repr__(self) -> str:
        return f"<Prediction {shown.line(self)}>"

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from headrace.results.notebook import page

        return page(self)

    def _repr_png_(self) -> bytes | None:
        """Show its picture where only pictures are shown: the model's own, or the input with its boxes."""
        from headrace.results.notebook import png

        return png(self)

    def __len__(self) -> int:
        return len(self._outputs)

    def __getitem__(self, index: int) -> Prediction:
        if self.error is not None:
            raise self.error
        output, count = self._outputs[index], len(self._outputs)
        index = index % count
        input_id = self._input_ids[index] if index < len(self._input_ids) else id_of(output) or self.input_id
        raw = self._raw if count == 1 else None
        one = Prediction(raw, (output,), status=self._status, input_id=input_id, position=index)
        if count == 1 and self.source:
            one.source = self.source
        return one

    def __iter__(self) -> Iterator[Prediction]:
        if self.error is not None:
            raise self.error
        return (self[index] for index in range(len(self._outputs)))

    def __bool__(self) -> bool:
        return self.error is None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Prediction):
            return NotImplemented
        return self is other or self._identity == other._identity

    def __hash__(self) -> int:
        return hash((self.input_id, self.position, self.source))

    @property
    def _identity(self) -> tuple[Any, ...]:
        """All that makes two predictions equal."""
        error = self.error
        return (
            *(self.input_id, self.position, self.source, self.status),
            tuple(self._input_ids),
            None if error is None else (type(error), error.args, error.__dict__),
            [wire_of(output) for output in self._outputs],
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive pickling and copying: the outputs go along as bytes, and are decoded when they are looked at."""
        raw = self._raw
        whole = raw is not None and codec.count_outputs(raw) == len(self._outputs)
        outputs = None if whole else tuple(wire_of(output) for output in self._outputs)
        status = None if self._status is None else self.status
        rest = {"error": self.error, "source": self.source, "_input_ids": tuple(self._input_ids)}
        return _restored, (type(self), raw, outputs, status, self.input_id, self.position, rest)

    @cached
    def _outputs(self) -> Sequence[Output]:
        """The outputs of a prediction that was made without them."""
        return tuple(codec.decode(self.raw).outputs)

    @property
    def raw(self) -> bytes:
        """The response as received, for other protobuf stubs.

        If inputs shared a request (a batch, packed, coalesced) it is the response of this input alone, with the
        same status; of a batch that was split it is the responses joined, which is one protobuf message.
        """
        if self._raw is None:
            self._raw = codec.response_of(protocol_status(self._status), map(wire_of, self._outputs))
        return self._raw

    @property
    def outputs(self) -> Sequence[pb.Output]:
        """The protocol's outputs, one per input.

        Those of a large response are decoded now.

        Raises:
            HeadraceError: the input's error; PredictionFailed if an output cannot be decoded.
        """
        if self.error is not None:
            raise self.error
        return tuple(output if isinstance(output, pb.Output) else output.message for output in self._outputs)

    @property
    def data(self) -> pb.Data:
        """The output's data.

        Raises:
            HeadraceError: the input's error; PredictionFailed if the response has no output.
            ConfigError: it is a batch: the data of each are in `p[i]`.
        """
        outputs = self._outputs
        output = outputs[0] if len(outputs) == 1 and self.error is None else self._only
        return output.data

    @property
    def _only(self) -> Output:
        if self.error is not None:
            raise self.error
        outputs = self._outputs
        if len(outputs) == 1:
            return outputs[0]
        if not outputs:
            raise PredictionFailed("the response has no output")
        raise ConfigError(f"this prediction holds the answers to {len(outputs)} inputs: read each, as in p[0].text")

    @property
    def _wire(self) -> memoryview | None:
        """The output's bytes, if they are not decoded yet."""
        output = self._only
        return None if isinstance(output, pb.Output) else output.wire

    @property
    def status(self) -> Status:
        """The status: for one input that of its output, for several that of the whole response."""
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

    @cached
    def concepts(self) -> tuple[Concept, ...]:
        """The concepts as the server orders them (best first)."""
        return concepts_of(self.data)

    @cached
    def regions(self) -> tuple[Region, ...]:
        """The regions of the picture."""
        return regions_of(self.data)

    @cached
    def frames(self) -> tuple[Frame, ...]:
        """The frames of the video."""
        return frames_of(self.data)

    @cached
    def embeddings(self) -> tuple[Vector, ...]:
        """The vectors, each a view of 32-bit floats: `numpy.asarray(v)` looks at them without copying.

        Those of a large response lie in the bytes received, and are read-only.
        """
        wire = self._wire
        views = codec.vectors_in(wire) if wire is not None else None
        if views is not None:
            return tuple(views)
        return tuple(codec.vector_of(embedding) for embedding in self.data.embeddings)

    @property
    def embedding(self) -> Vector:
        """The first vector, empty when there is none."""
        return self.embeddings[0] if self.embeddings else memoryview(array.array("f"))

    def embedding_array(self) -> npt.NDArray[np.float32]:
        """The first vector as an array of shape (n,), float32, on the same memory as `embedding`.

        Raises:
            ConfigError: numpy isn't installed (extra `images`).
        """
        numpy = media.require("numpy", "arrays")
        view: npt.NDArray[np.float32] = numpy.asarray(self.embedding)
        return view

    @property
    def image(self) -> bytes | None:
        """The encoded picture (PNG or JPEG), or None. Source: `data.image.base64`, raw bytes on this protocol."""
        return self._media("image") or self.data.image.base64 or None

    @property
    def image_size(self) -> tuple[int, int] | None:
        """The picture's (width, height), or None if there is none.

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
        payload = codec.media_of(wire, type_) if wire is not None else None
        return bytes(payload) if payload is not None else None

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
        return {**head, "request_id": self.request_id, "outputs": [to_dict(output) for output in self.outputs]}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the result to a file: the picture, the sound, the mask, else the text, else JSON. Blocking.

        Several masks become one picture, each region in its colour (needs Pillow). A path without extension gets the
        one that its content asks for; with one (`.txt`, `.json`, `.wav`, ...) that part is written, a picture in that
        format. `.json`, `.jsonl`, `.csv`, `.parquet` and `.arrow` take a batch as well.

        Returns:
            The path written.

        Raises:
            ConfigError: the answer holds nothing of that kind, or it is a batch: save each of it.
            HeadraceError: the input's error.
            OSError: the file cannot be written.
        """
        from pathlib import Path

        from headrace.results.saving import save

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

    def to_supervision(
        self, image: PictureOrSize, *, classes: Sequence[str] | None = None, masks: bool = True
    ) -> supervision.Detections:
        """Return the regions as `supervision.Detections`: boxes in pixels, masks, confidences, class ids and names.

        Args:
            image: the picture that was sent (as for `draw`), or its (width, height): regions are fractions of it.
            classes: the names in the order of their class ids; regions of other names are left out. None: a class id
                is a number made from the name, the same in every run.
            masks: whether to decode masks.

        Raises:
            ConfigError: supervision isn't installed (extra `supervision`), or the size is none.
            ValueError: not a picture.
            HeadraceError: the input's error; PredictionFailed if a mask cannot be decoded.
        """
        from headrace.integrations.supervision import detections

        return detections(self.regions, image, classes=classes, masks=masks)


def id_of(output: Output) -> str:
    """Return the id of an output's input, "" if the server does not say it."""
    return output.input.id if isinstance(output, pb.Output) else output.input_id


def wire_of(output: Output) -> bytes:
    """Return an output's bytes."""
    return output.SerializeToString(deterministic=True) if isinstance(output, pb.Output) else bytes(output.wire)


def _restored(
    cls: type[Prediction],
    raw: bytes | None,
    wires: Sequence[bytes] | None,
    status: Status | None,
    input_id: str,
    position: int,
    rest: dict[str, Any],
) -> Prediction:
    """Unpickle a prediction: from its outputs' bytes, or those of the response."""
    outputs = codec.outputs_in(raw or b"") if wires is None else [codec.output_in(wire) for wire in wires]
    prediction = cls(raw, outputs, status=status, input_id=input_id, position=position)
    prediction.__dict__.update({name: value for name, value in rest.items() if value})
    return prediction
