"""What comes from the page as an input of a model."""

from __future__ import annotations

from headrace import media
from headrace.inputs import Input
from headrace.web.directory import Served
from headrace.web.failures import Refusal

KINDS = ("text", "image", "audio", "video")


async def as_input(served: Served, kind: str | None, content: bytes, text: str | None = None) -> Input:
    """Make an input of what was sent; `text` goes with a picture, as a question.

    Raises:
        Refusal: 400, the model does not take it, or a text is no UTF-8.
    """
    kind = kind or media.kind(content) or "text"
    if served.inputs and kind not in served.inputs:
        takes = ", ".join(served.inputs)
        raise Refusal(400, f"The model {served.name!r} takes {takes}, not {kind}.", code="unsupported_content")
    if kind == "text":
        try:
            return Input.from_text(content.decode())
        except UnicodeDecodeError:
            raise Refusal(400, "The text is not UTF-8.", code="invalid_value") from None
    if text and kind == "image" and "text" in served.inputs:
        return Input.multimodal(image_bytes=content, text=text)
    return Input.from_bytes(content, kind)
