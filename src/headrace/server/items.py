"""From the wire to models: parameters checked, inputs turned into items, URLs fetched."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from google.protobuf import struct_pb2

from headrace.server.envelope import INVALID_BYTES, INVALID_REQUEST, OVER_LIMIT, UNSUPPORTED
from headrace.server.model import Item, ModelError, OutputConfig
from headrace.v2 import resources_pb2, service_pb2

KINDS = ("text", "image", "video", "audio")
MAX_INPUTS = 128
MAX_BYTES = {"image": 20_000_000, "text": 20_000_000, "audio": 20_000_000, "video": 128_000_000}
VIDEO_OVER_LIMIT = 31105
_EXACT = 2**53  # whole doubles below this are exact


class Fetcher(Protocol):
    """What brings a URL's bytes; `fetch.Fetcher` is the real one."""

    async def fetch(self, url: str, kind: str) -> bytes:
        """Give the bytes at `url`, which should hold a `kind`, or raise a ModelError."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What one request says for all of its inputs; `cancelled` is set when its caller has gone."""

    params: Mapping[str, Any] = field(default_factory=dict)
    config: OutputConfig = field(default_factory=OutputConfig)
    cancelled: threading.Event = field(default_factory=threading.Event)


def settings(request: service_pb2.PostModelOutputsRequest, cancelled: threading.Event) -> Settings:
    """Read the parameters and the output configuration of a request.

    Raises:
        ModelError: 11102 for values that are not finite or out of range, and for too many inputs or none.
    """
    if not request.inputs:
        raise ModelError(INVALID_REQUEST, "the request has no inputs")
    if len(request.inputs) > MAX_INPUTS:
        raise ModelError(INVALID_REQUEST, f"the request has {len(request.inputs)} inputs; at most {MAX_INPUTS}")
    info = request.model.model_version.output_info
    if not request.model.model_version.HasField("output_info"):
        info = request.model.output_info  # where older clients put it
    return Settings(_struct(info.params, ""), _config(info.output_config), cancelled)


def _struct(struct: struct_pb2.Struct, path: str) -> dict[str, Any]:
    return {key: _plain(value, f"{path}.{key}" if path else key) for key, value in struct.fields.items()}


def _plain(value: struct_pb2.Value, path: str) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        number = value.number_value
        if not math.isfinite(number):
            raise ModelError(INVALID_REQUEST, f"parameter {path} is {number}; it must be a finite number")
        return int(number) if number.is_integer() and abs(number) < _EXACT else number
    if kind == "struct_value":
        return _struct(value.struct_value, path)
    if kind == "list_value":
        return [_plain(one, f"{path}[{i}]") for i, one in enumerate(value.list_value.values)]
    return None if kind in (None, "null_value") else getattr(value, kind)


def _config(config: resources_pb2.OutputConfig) -> OutputConfig:
    if not 0 <= config.min_value <= 1:  # NaN fails this too
        raise ModelError(INVALID_REQUEST, f"output_config.min_value is {config.min_value:g}; it must be from 0 to 1")
    if config.sample_ms and not 100 <= config.sample_ms <= 60_000:
        raise ModelError(INVALID_REQUEST, f"output_config.sample_ms is {config.sample_ms}; it must be 100 to 60000")
    return OutputConfig(
        min_value=config.min_value,
        max_concepts=config.max_concepts,
        select_concepts=tuple(concept.name or concept.id for concept in config.select_concepts),
        sample_ms=config.sample_ms,
        language=config.language,
    )


async def make_item(
    wire: resources_pb2.Input, shared: Settings, kinds: Sequence[str], model_id: str, fetcher: Fetcher
) -> Item:
    """Turn one input into an item, fetching the URLs of the kinds that the model takes.

    Raises:
        ModelError: 30300 nothing in it, 30101 nothing in it that the model takes, 30105 / 31105 too large, and what
            the fetcher raises.
    """
    item = Item(wire.id, params=shared.params, config=shared.config, data=wire.data, cancelled=shared.cancelled)
    present = [kind for kind in KINDS if _present(wire.data, kind)]
    more = any(descriptor.name not in (*KINDS, "metadata") for descriptor, _ in wire.data.ListFields())
    if not present and not more:
        raise ModelError(INVALID_BYTES, "the input is empty")
    taken = [kind for kind in present if kind in kinds]
    if not taken and not more:  # what else there is, such as an array, the model finds in `data`
        raise ModelError(UNSUPPORTED, f"the input holds {_and(present)}; model {model_id} takes {_and(kinds)}")
    if "text" in taken:
        item.text = await _text(wire.data.text, fetcher)
    if "image" in taken:
        item.image = await _media(wire.data.image, "image", fetcher)
    if "video" in taken:
        item.video = await _media(wire.data.video, "video", fetcher)
    if "audio" in taken:
        item.audio = await _media(wire.data.audio, "audio", fetcher)
    return item


def _present(data: resources_pb2.Data, kind: str) -> bool:
    if not data.HasField(kind):
        return False
    if kind == "text":
        return bool(data.text.raw or data.text.url)
    media = getattr(data, kind)
    return bool(media.base64 or media.url)


def _and(kinds: Sequence[str]) -> str:
    return " and ".join(kinds) or "nothing"


async def _text(text: resources_pb2.Text, fetcher: Fetcher) -> str:
    if text.raw or not text.url:
        _check_size(len(text.raw), "text")  # characters: never more than its bytes
        return text.raw
    try:
        return (await fetcher.fetch(text.url, "text")).decode()
    except UnicodeDecodeError as error:
        raise ModelError(UNSUPPORTED, "what the URL gave is not UTF-8 text") from error


async def _media(
    media: resources_pb2.Image | resources_pb2.Video | resources_pb2.Audio, kind: str, fetcher: Fetcher
) -> bytes:
    if media.base64:
        _check_size(len(media.base64), kind)
        return media.base64
    return await fetcher.fetch(media.url, kind)


def _check_size(size: int, kind: str) -> None:
    if size > MAX_BYTES[kind]:
        code = VIDEO_OVER_LIMIT if kind == "video" else OVER_LIMIT
        raise ModelError(code, f"the {kind} has {size:,} bytes; at most {MAX_BYTES[kind]:,} are taken")
