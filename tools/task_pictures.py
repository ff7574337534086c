"""Draw the pictures of docs/tasks.md from real calls: `python -m tools.task_pictures [NAME ...]`.

Each shows an input and what a built-in model made of it. Needs the extra `local` and the weights of
`headrace models pull`. Look at them before they are committed.
"""

from __future__ import annotations

import asyncio
import io
import sys
import textwrap
import wave
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import headrace
from headrace.draw import draw
from headrace.sources import FrameInput, video

ROOT = Path(__file__).parents[1]
SAMPLES = Path(headrace.__file__).parent / "data" / "samples"
FOLDER = ROOT / "docs" / "img"

WIDTH, PANEL, GAP, EDGE = 960, 420, 72, 24
INK, FAINT, PAPER, BACK, ACCENT = (31, 41, 55), (107, 114, 128), (255, 255, 255), (243, 244, 246), (37, 99, 235)
TINTS = ((219, 234, 254), (254, 243, 199), (220, 252, 231), (252, 231, 243))

Panel: TypeAlias = Image.Image
#: Calls a model, and gives the panels of its input and its output.
Draw: TypeAlias = Callable[[headrace.Model], Awaitable[tuple[Panel, Panel]]]


def font(size: int) -> Any:
    return ImageFont.load_default(size=size)


# --- what a panel can show


def picture(image: Image.Image, limit: int = 340) -> Panel:
    """Show a picture, no wider than a panel and no higher than `limit`."""
    scale = min(PANEL / image.width, limit / image.height)
    return image.convert("RGB").resize(
        (round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS
    )


def text(content: str, size: int = 22) -> Panel:
    """Show a text on a sheet, wrapped."""
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    lines: list[str] = []
    for paragraph in content.splitlines():
        lines += textwrap.wrap(paragraph, round((PANEL - 32) / (size * 0.52))) or [""]
    step = round(size * 1.4)
    panel = Image.new("RGB", (PANEL, len(lines) * step + 28), BACK)
    pen = ImageDraw.Draw(panel)
    for number, line in enumerate(lines):
        pen.text((16, 14 + number * step), line, font=font(size), fill=INK)
    return panel


def pieces(parts: Sequence[str], size: int = 22) -> Panel:
    """Show the pieces of a token stream, each on a tint of its own."""
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    x, row, placed = 16, 0, []
    for part in parts:
        width = round(measure.textlength(part, font=font(size)))
        if x + width > PANEL - 12:
            x, row = 16, row + 1
        placed.append((x, row, width, part))
        x += width + 3
    step = round(size * 1.7)
    panel = Image.new("RGB", (PANEL, (row + 1) * step + 24), BACK)
    pen = ImageDraw.Draw(panel)
    for number, (left, line, width, part) in enumerate(placed):
        top = 14 + line * step
        pen.rounded_rectangle((left - 1, top - 2, left + width + 1, top + step - 8), 4, fill=TINTS[number % len(TINTS)])
        pen.text((left, top), part, font=font(size), fill=INK)
    return panel


def bars(scores: Sequence[tuple[str, float]], *, percent: bool = True) -> Panel:
    """Show names with scores from 0 to 1."""
    step = 46
    panel = Image.new("RGB", (PANEL, len(scores) * step + 8), PAPER)
    pen = ImageDraw.Draw(panel)
    for number, (name, value) in enumerate(scores):
        top = 4 + number * step
        label = f"{value:.1%}" if percent else f"{value:.2f}"
        pen.text((0, top), name, font=font(20), fill=INK)
        pen.text((PANEL, top), label, font=font(20), fill=FAINT, anchor="ra")
        pen.rounded_rectangle((0, top + 27, PANEL, top + 37), 5, fill=BACK)
        if value > 0.005:
            pen.rounded_rectangle((0, top + 27, max(10, round(PANEL * min(value, 1))), top + 37), 5, fill=ACCENT)
    return panel


def sound(data: bytes, caption: str) -> Panel:
    """Show a WAV file as its wave."""
    with wave.open(io.BytesIO(data)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, file.getnchannels())[:, 0]
        seconds = file.getnframes() / file.getframerate()
    panel = Image.new("RGB", (PANEL, 150), BACK)
    pen = ImageDraw.Draw(panel)
    loudest = max(1, int(np.abs(samples.astype(int)).max()))
    for x, part in enumerate(np.array_split(samples.astype(int), PANEL - 32)):
        high = round(48 * int(np.abs(part).max()) / loudest)
        pen.line((16 + x, 64 - high, 16 + x, 64 + high), fill=ACCENT)
    pen.text((16, 120), f"{caption}, {seconds:.1f} s", font=font(18), fill=FAINT)
    return panel


def vector(values: np.ndarray[Any, Any], caption: str) -> Panel:
    """Show a vector as cells, blue below zero and orange above."""
    columns = 64
    rows = -(-len(values) // columns)
    cells = np.zeros(rows * columns)
    cells[: len(values)] = values / np.abs(values).max()
    strength = np.sqrt(np.abs(cells))[:, None]
    colours = np.where(cells[:, None] < 0, np.array([[37, 99, 235]]), np.array([[234, 88, 12]]))
    grid = (255 - (255 - colours) * strength).astype(np.uint8).reshape(rows, columns, 3)
    panel = Image.new("RGB", (PANEL, rows * 6 + 30), PAPER)
    panel.paste(Image.fromarray(grid).resize((columns * 6, rows * 6), Image.Resampling.NEAREST))
    ImageDraw.Draw(panel).text((0, rows * 6 + 6), caption, font=font(18), fill=FAINT)
    return panel


def below(*panels: Panel, gap: int = 14) -> Panel:
    """Put panels below each other."""
    whole = Image.new("RGB", (max(p.width for p in panels), sum(p.height + gap for p in panels) - gap), PAPER)
    top = 0
    for one in panels:
        whole.paste(one, (0, top))
        top += one.height + gap
    return whole


def card(model: str, left: Panel, right: Panel) -> Image.Image:
    """Put an input, an arrow with the model's name, and what came out next to each other."""
    height = max(left.height, right.height, 110) + 2 * EDGE
    whole = Image.new("RGB", (WIDTH, height + 26), PAPER)
    pen = ImageDraw.Draw(whole)
    pen.text((EDGE, EDGE - 8), "input", font=font(16), fill=FAINT)
    pen.text((WIDTH - EDGE - PANEL, EDGE - 8), model, font=font(16), fill=FAINT)
    top = EDGE + 22
    for panel, x in ((left, EDGE + (PANEL - left.width) // 2), (right, WIDTH - EDGE - PANEL)):
        whole.paste(panel, (x, top))
    x, y = EDGE + PANEL + 16, top + min(left.height, 220) // 2
    pen.line((x, y, x + 32, y), fill=FAINT, width=4)
    pen.polygon(((x + 30, y - 9), (x + 44, y), (x + 30, y + 9)), fill=FAINT)
    return whole


# --- the tasks


@dataclass(frozen=True)
class Task:
    """One picture: its file, the model, and what draws both panels."""

    name: str
    model: str
    panels: Draw


TASKS: list[Task] = []


def task(name: str, model: str) -> Callable[[Draw], Draw]:
    def add(panels: Draw) -> Draw:
        TASKS.append(Task(name, model, panels))
        return panels

    return add


def photo(name: str) -> Image.Image:
    return Image.open(SAMPLES / name)


def scores(p: headrace.Prediction, number: int = 4) -> Panel:
    return bars([(concept.name, concept.value) for concept in p.concepts[:number]])


@task("classifier", "efficientnet-lite0")
async def classifier(model: headrace.Model) -> tuple[Panel, Panel]:
    p = await model.predict_by_filepath(SAMPLES / "photos/coffee.jpg")
    return picture(photo("photos/coffee.jpg")), scores(p, 5)


@task("detector", "nanodet-g")
async def detector(model: headrace.Model) -> tuple[Panel, Panel]:
    p = await model.predict_by_filepath(SAMPLES / "photos/photographer.jpg")
    return picture(photo("photos/photographer.jpg")), picture(p.draw(SAMPLES / "photos/photographer.jpg"))


@task("faces", "mtcnn-faces")
async def faces(model: headrace.Model) -> tuple[Panel, Panel]:
    p = await model.predict_by_filepath(SAMPLES / "photos/astronaut.jpg")
    return picture(photo("photos/astronaut.jpg")), picture(p.draw(SAMPLES / "photos/astronaut.jpg"))


@task("video", "nanodet-g-video")
async def clip(model: headrace.Model) -> tuple[Panel, Panel]:
    path = SAMPLES / "videos/photos.mp4"
    p = await model.predict_by_filepath(path, input_type="video", output_config={"sample_ms": 2000})
    stills = [frame async for frame in video(path, fps=2) if isinstance(frame, FrameInput)]
    shown = []
    for frame in p.frames[:3]:
        still = min(stills, key=lambda one: abs(one.time - frame.time))
        small = draw(picture(still.picture(), 190), frame.regions)  # letters stay as large as they are
        shown.append(labelled(small, f"{frame.time:.0f} s"))
    first = picture(stills[0].picture(), 240)
    return labelled(first, "photos.mp4"), below(*shown, gap=8)


def labelled(panel: Panel, caption: str) -> Panel:
    whole = Image.new("RGB", (panel.width, panel.height + 26), PAPER)
    whole.paste(panel, (0, 0))
    ImageDraw.Draw(whole).text((0, panel.height + 4), caption, font=font(18), fill=FAINT)
    return whole


@task("segmenter", "selfie-segmentation")
async def segmenter(model: headrace.Model) -> tuple[Panel, Panel]:
    p = await model.predict_by_filepath(SAMPLES / "photos/astronaut.jpg")
    return picture(photo("photos/astronaut.jpg")), picture(p.draw(SAMPLES / "photos/astronaut.jpg"))


@task("ocr", "pp-ocrv6")
async def ocr(model: headrace.Model) -> tuple[Panel, Panel]:
    p = await model.predict_by_filepath(SAMPLES / "pages/receipt.png")
    return picture(photo("pages/receipt.png"), 420), text(p.text, 20)


@task("caption", "facts-to-caption")
async def caption(model: headrace.Model) -> tuple[Panel, Panel]:
    p = await model.predict_by_filepath(SAMPLES / "photos/coffee.jpg")
    return picture(photo("photos/coffee.jpg"), 240), text(p.text)


@task("answer", "facts-to-answer")
async def answer(model: headrace.Model) -> tuple[Panel, Panel]:
    data = (SAMPLES / "photos/coffee.jpg").read_bytes()
    question = "Is there a cup?"
    p = await model.predict(headrace.Input.multimodal(image_bytes=data, text=question))
    return below(picture(photo("photos/coffee.jpg"), 240), text(question)), text(p.text)


@task("upscaler", "acnet-upscaler")
async def upscaler(model: headrace.Model) -> tuple[Panel, Panel]:
    path = SAMPLES / "pages/receipt.png"
    small = Image.open(path).convert("RGB")
    small = small.resize((small.width // 2, small.height // 2), Image.Resampling.LANCZOS)
    p = await model.predict(small)
    box = (0, 0, small.width // 2, small.width // 3)
    twice = tuple(2 * edge for edge in box)
    before = small.crop(box).resize((box[2] * 2, box[3] * 2), Image.Resampling.NEAREST)
    return picture(before), picture(p.to_pil().crop((twice[0], twice[1], twice[2], twice[3])))


@task("image-embedder", "efficientnet-lite0-embedding")
async def image_embedder(model: headrace.Model) -> tuple[Panel, Panel]:
    cat, mirrored = photo("photos/cat.jpg"), photo("photos/cat.jpg").transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    others = {
        "itself, mirrored": mirrored,
        "coffee.jpg": photo("photos/coffee.jpg"),
        "rocket.jpg": photo("photos/rocket.jpg"),
    }
    vectors = [(await model.predict(image, "image")).embedding_array() for image in (cat, *others.values())]
    near = [(f"to {name}", float(vectors[0] @ other)) for name, other in zip(others, vectors[1:], strict=True)]
    shown = vector(vectors[0], f"{len(vectors[0])} numbers, unit length")
    return picture(photo("photos/cat.jpg"), 260), below(shown, bars(near, percent=False))


@task("sentiment", "vader-sentiment")
async def sentiment(model: headrace.Model) -> tuple[Panel, Panel]:
    p = await model.predict("I love this!", "text")
    return text("I love this!"), scores(p)


@task("language", "language-lid176")
async def language(model: headrace.Model) -> tuple[Panel, Panel]:
    words = "Guten Morgen, wie geht es dir?"
    return text(words), scores(await model.predict(words, "text"), 3)


@task("llm", "smollm2-135m-instruct, piece by piece")
async def llm(model: headrace.Model) -> tuple[Panel, Panel]:
    question = "What is the capital of France?"
    parts = [p.text async for p in model.generate(question, inference_params={"temperature": 0})]
    return text(question), pieces(parts)


@task("llm-classifier", "llm-classify")
async def llm_classifier(model: headrace.Model) -> tuple[Panel, Panel]:
    prompt = "Classes: [positive, negative, neutral, mixed]; Sentence: Sunny weather makes me happy."
    return text(prompt), text((await model.predict(prompt, "text")).text)


@task("text-to-image", "shapes-to-image")
async def shapes(model: headrace.Model) -> tuple[Panel, Panel]:
    prompt = "a large red circle on the left and a small blue star on the right"
    p = await model.predict(prompt, "text", inference_params={"seed": 1})
    return text(prompt), picture(p.to_pil(), 256)


@task("text-to-speech", "hibari-tts")
async def speech(model: headrace.Model) -> tuple[Panel, Panel]:
    p = await model.predict("Hello there.", "text", inference_params={"seed": 1})
    return text("Hello there."), sound(p.audio or b"", "WAV, 24 kHz")


@task("text-embedder", "minilm-l6-v2")
async def text_embedder(model: headrace.Model) -> tuple[Panel, Panel]:
    sentences = ["A cat sleeps.", "A kitten takes a nap.", "The train is late."]
    vectors = [p.embedding_array() for p in await model.predict(sentences, "text")]
    near = [(f"to: {words}", float(vectors[0] @ other)) for words, other in zip(sentences, vectors, strict=True)][1:]
    shown = vector(vectors[0], f"{len(vectors[0])} numbers, unit length")
    return text(sentences[0]), below(shown, bars(near, percent=False))


@task("speech-to-text", "whisper-tiny-en")
async def transcript(model: headrace.Model) -> tuple[Panel, Panel]:
    path = SAMPLES / "sounds/sense-and-sensibility.wav"
    p = await model.predict_by_filepath(path, "audio")
    return sound(path.read_bytes(), path.name), text(p.text)


async def main(names: Sequence[str]) -> None:
    """Draw the pictures that are named, or all."""
    FOLDER.mkdir(exist_ok=True)
    async with headrace.Client.local(timeout=600) as client:  # of a busy machine
        for one in TASKS:
            if names and one.name not in names:
                continue
            left, right = await one.panels(client.model(model_id=one.model.split(",")[0]))
            path = FOLDER / f"task-{one.name}.webp"
            card(one.model, left, right).save(path, "WEBP", quality=80, method=6)
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
