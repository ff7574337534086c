"""A model that answers with its input: for trying things out and for tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from headrace.server import model
from headrace.server.model import Answer, Card, Item, ModelError
from headrace.server.models._params import number, whole

MAX_ANSWER_BYTES = 64 << 20


class Echo:
    """Give a text back, word by word when generated; describe pictures, videos and sounds.

    Parameters: `delay` seconds before each answer or word (0..60), `repeat` times the text is given back (1..10,000),
    `show` true to answer with the parameters and the output configuration as JSON, `fail` a status code to fail with.
    """

    card: Card = Card(
        id="echo",
        task="echo",
        title="Echo",
        description="Answers with its own input: texts word for word, other media by kind and size.",
        input_fields=("text", "image", "video", "audio"),
        output_fields=("text",),
        licence="Apache-2.0",
        provenance="part of headrace",
        weak_at="everything but repeating",
        sample="headrace predict --local --model_id echo --bytes 'hello' --input_type text",
    )
    concurrency = 64

    async def predict(self, item: Item) -> Answer:
        """Answer with the whole text at once."""
        reply = _reply(item)
        await asyncio.sleep(number(item, "delay", 0, 0, 60))
        words = len(reply.split())
        return model.text(reply, prompt_tokens=words, completion_tokens=words)

    async def generate(self, item: Item) -> AsyncIterator[Answer]:
        """Answer with one word after the other, the space before a word belonging to it."""
        delay = number(item, "delay", 0, 0, 60)
        for position, word in enumerate(_reply(item).split(" ")):
            await asyncio.sleep(delay)
            yield model.text(word if position == 0 else f" {word}", completion_tokens=1)


def _reply(item: Item) -> str:
    if "fail" in item.params:
        raise ModelError(whole(item, "fail", 0, 1, 99999), "asked to fail")
    if item.params.get("show"):
        config = {name: getattr(item.config, name) for name in item.config.__slots__}
        return json.dumps({"params": dict(item.params), "config": config}, sort_keys=True)
    media = {"image": item.image, "video": item.video, "audio": item.audio}
    parts = [f"{kind} of {len(data)} bytes" for kind, data in media.items() if data is not None]
    if item.text is not None:
        parts.append(item.text)
    reply, times = " ".join(parts), whole(item, "repeat", 1, 1, 10_000)
    if times > 1 and (len(reply.encode()) + 1) * times > MAX_ANSWER_BYTES:
        raise ModelError(11102, f"the answer would have more than {MAX_ANSWER_BYTES >> 20} MB; repeat it less often")
    return " ".join([reply] * times)
