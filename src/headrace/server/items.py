"""From the wire to models: parameters checked, inputs turned into items, URLs fetched."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from headrace.config import INPUT_BYTES
from headrace.server.envelope import INVALID_ARGUMENT, INVALID_REQUEST, OVER_LIMIT, UNSUPPORTED
from headrace.server.methods import ItemMethod, Method, method_name
from headrace.server.model import Card, Item, ModelError, OutputConfig
from headrace.server.params import output_config, plain_struct
from headrace.v2 import resources_pb2, service_pb2

KINDS = ("text", "image", "video", "audio")
VIDEO_OVER_LIMIT = 31105


class Fetcher(Protocol):
    """The interface of a fetcher; `fetch.Fetcher` is the real one."""

    async def fetch(self, url: str, kind: str) -> bytes:
        """Return the bytes at `url`, which should hold a `kind`, or raise a ModelError."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one request for all of its inputs; `cancelled` is set when its caller has gone."""

    params: Mapping[str, Any] = field(default_factory=dict)
    config: OutputConfig = field(default_factory=OutputConfig)
    cancelled: threading.Event = field(default_factory=threading.Event)


def settings(request: service_pb2.PostModelOutputsRequest, cancelled: threading.Event) -> Settings:
    """Read the parameters and the output configuration of a request.

    Raises:
        ModelError: 11102 for values that are not finite or out of range, and for no inputs.
    """
    if not request.inputs:
        raise ModelError(INVALID_REQUEST, "the request has no inputs")
    info = request.model.model_version.output_info
    if not request.model.model_version.HasField("output_info"):
        info = request.model.output_info  # where older clients put it
    return Settings(plain_struct(info.params), output_config(info.output_config), cancelled)


async def make_item(wire: resources_pb2.Input, shared: Settings, method: Method, card: Card, fetcher: Fetcher) -> Item:
    """Turn one input into an item for a method, fetching the URLs of the kinds that the model takes.

    Raises:
        ModelError: 30104 nothing in it, 30101 nothing in it that the model takes, 30105 / 31105 too large, 11102 an
            argument is missing, and what the fetcher raises.
    """
    data, params, kinds = wire.data, shared.params, card.input_fields
    named = method_name(wire)
    if named and isinstance(method, ItemMethod):
        data, flat_params = method.flat(data)
        params = {**params, **flat_params}
    item = Item(wire.id, None, params=params, config=shared.config, data=data, cancelled=shared.cancelled, method=named)
    if named and not isinstance(method, ItemMethod):
        await _fetch_parts(data, fetcher)
        return item
    present = [kind for kind in KINDS if _present(data, kind)]
    more = any(descriptor.name not in (*KINDS, "metadata") for descriptor, _ in data.ListFields())
    if not present and not more:
        raise ModelError(INVALID_ARGUMENT, "the input is empty")
    usable = [kind for kind in present if kind in kinds]
    if usable != present and not more:  # anything else, such as an array, is in `data` for the model
        raise ModelError(UNSUPPORTED, f"the input holds {_and(present)}; model {card.id} takes {_and(kinds)}")
    if "text" in usable:
        item.text = await _text(data.text, fetcher)
    if "image" in usable:
        item.image = await _media(data.image, "image", fetcher)
    if "video" in usable:
        item.video = await _media(data.video, "video", fetcher)
    if "audio" in usable:
        item.audio = await _media(data.audio, "audio", fetcher)
    return item


async def _fetch_parts(data: resources_pb2.Data, fetcher: Fetcher) -> None:
    """Put the bytes in place of the URLs of typed arguments."""
    for part in data.parts:
        if part.data.image.url and not part.data.image.base64:
            part.data.image.base64 = await fetcher.fetch(part.data.image.url, "image")
        if part.data.video.url and not part.data.video.base64:
            part.data.video.base64 = await fetcher.fetch(part.data.video.url, "video")
        if part.data.audio.url and not part.data.audio.base64:
            part.data.audio.base64 = await fetcher.fetch(part.data.audio.url, "audio")
        if part.data.text.url and not part.data.text.raw:
            part.data.text.raw = await _text(part.data.text, fetcher)
        await _fetch_parts(part.data, fetcher)


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
        raise ModelError(UNSUPPORTED, "the content of the URL is not UTF-8 text") from error


async def _media(
    media: resources_pb2.Image | resources_pb2.Video | resources_pb2.Audio, kind: str, fetcher: Fetcher
) -> bytes:
    if media.base64:
        _check_size(len(media.base64), kind)
        return media.base64
    return await fetcher.fetch(media.url, kind)


def _check_size(size: int, kind: str) -> None:
    if size > INPUT_BYTES[kind]:
        code = VIDEO_OVER_LIMIT if kind == "video" else OVER_LIMIT
        raise ModelError(code, f"the {kind} has {size:,} bytes; at most {INPUT_BYTES[kind]:,} are taken")
