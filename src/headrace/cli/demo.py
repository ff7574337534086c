"""`headrace demo`: the three call shapes on this machine, on inputs that ship with headrace."""

from __future__ import annotations

import textwrap
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.cli import messages, picture, render
from headrace.cli.connect import Watcher, connect
from headrace.cli.options import Options
from headrace.cli.run import DONE, SOME_FAILED, run, say
from headrace.cli.status import Status, styled
from headrace.cli.terminal import in_bytes, in_seconds, line, score, short, width
from headrace.cli.wrapping import Wrapped
from headrace.errors import HeadraceError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headrace import Client, Prediction

NEXT = (
    ("headrace predict --local YOUR-PHOTO.jpg", "a photo of yours"),
    ('headrace generate --local "Why is the sky blue?"', "tokens as they come"),
    ("headrace stream --local A-FOLDER/ -o jsonl", "for programs"),
    ("headrace models", "what else is there"),
)

#: Photos of things that the classifier has a name for.
KNOWN = ("cat", "coffee", "photographer", "rocket")
#: The texts that are searched, and the question.
TEXTS = (
    "The train to Vienna leaves at nine from platform four.",
    "Simmer the soup for an hour and add some basil.",
    "Shares fell after the bank raised its interest rate.",
)
QUESTION = "How do I cook lunch?"
#: The weights of the last sections, in their order.
WEIGHTS = ("minilm-l6-v2", "minilm-l6-v2-tokenizer", "whisper-tiny-en", "llm")


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("headrace-demo"),
    show_default=True,
    help="Where the annotated picture goes.",
)
def demo(folder: Path) -> int:
    """See all three call shapes at work on this machine: predict, generate, stream.

    Needs no account. The last three sections need weights: the first run fetches 185 MB, once, the smallest first. Stop
    it at any time (Ctrl-C): the next run goes on from there.
    """
    return run(Demo(folder).all())


class Demo:
    """The sections of the demonstration, one after the other; a failed one does not stop the next."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._samples = Path(str(resources.files("headrace") / "data" / "samples"))
        self._status = Status()
        self._number = 0

    async def all(self) -> int:
        """Run everything and give the exit code."""

        self._print(
            styled("headrace demo", "bold") + ": three ways to call a model, on this machine, without an account"
        )
        begun = time.monotonic()
        self._status.show("starting the embedded server", now=True)
        failed = 0
        with self._status:
            async with connect(Options(local=True), Watcher(self._status)) as client:
                self._note(f"embedded server up in {in_seconds(time.monotonic() - begun)}")
                for title, section in self._sections():
                    if section == self.search:
                        self._announce_weights()
                    failed += await self._section(title, section, client)
        self._print()
        self._print(styled("Next", "bold"))
        for command, purpose in NEXT:
            self._print(f"   {command:<51}{styled(purpose, 'dim')}")
        self._note(f"\nall of it took {in_seconds(time.monotonic() - begun)}")
        return SOME_FAILED if failed else DONE

    def _sections(self) -> list[tuple[str, Callable[[Client], Awaitable[None]]]]:
        """Return the sections that need no weights first, then those whose weights are small."""
        return [
            ("predict: what is in a photo?", self.classify),
            ("predict: what is where?", self.detect),
            ("predict: what does a page say?", self.read),
            ("predict: how does a text sound?", self.sentiment),
            ("stream: a folder of photos, both directions at once", self.stream),
            ("predict: which text is about the same?", self.search),
            ("predict: what is said in a recording?", self.listen),
            ("generate: tokens as they are made", self.generate),
        ]

    def _announce_weights(self) -> None:
        """Say how much the sections that follow have to fetch, if anything."""
        from headrace.server import weights

        missing = sum(weights.missing_bytes(name) for name in WEIGHTS)
        if missing:
            self._note(
                f"\nThe rest needs {in_bytes(missing)} of weights, fetched once, the smallest first."
                "\nCtrl-C stops it at any time; the next run goes on from there."
            )

    async def _section(self, title: str, section: Callable[[Client], Awaitable[None]], client: Client) -> int:
        self._number += 1
        self._print()
        self._print(styled(f"{self._number}  {title}", "bold"))
        try:
            await section(client)
        except HeadraceError as error:
            self._status.clear()
            say(messages.sentence(error))
            return 1
        return 0

    async def classify(self, client: Client) -> None:
        """One photo, one answer: what it shows."""
        photo = self._photo("cat.jpg")
        start = self._begin(f"classifying {photo.name}")
        model = client.model(model_id="classifier")
        prediction = await model.predict_by_filepath(str(photo), input_type="image", output_config={"max_concepts": 4})
        self._print(f"   {photo.name}")
        self._show(prediction)
        self._took(start, "loading included")

    async def detect(self, client: Client) -> None:
        """One photo, boxes: what is where, drawn on the photo."""
        from headrace.draw import draw_on_bytes

        photo = self._photo("photographer.jpg")
        data = photo.read_bytes()
        start = self._begin(f"finding objects in {photo.name}")
        model = client.model(model_id="detector")
        prediction = await model.predict_by_bytes(data, input_type="image")
        seconds = time.monotonic() - start
        self._print(f"   {photo.name}")
        self._show(prediction)
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{photo.stem}-boxes.png"
        path.write_bytes(draw_on_bytes(data, prediction.regions))
        picture.show(path.read_bytes())
        self._print(f"   drawn on the photo: {styled(line(str(path)), 'green')}")
        self._note(f"   {in_seconds(seconds)}, loading included")

    async def read(self, client: Client) -> None:
        """One picture of a page, its text."""
        page = self._samples / "pages" / "receipt.png"
        start = self._begin(f"reading {page.name}")
        prediction = await client.model(model_id="pp-ocrv6").predict_by_filepath(str(page), input_type="image")
        self._print(f"   {page.name}")
        self._show(prediction)
        self._took(start, "loading included")

    async def listen(self, client: Client) -> None:
        """One recording, what is said in it."""
        recording = self._samples / "sounds" / "sense-and-sensibility.wav"
        start = self._begin(f"listening to {recording.name}")
        model = client.model(model_id="whisper-tiny-en")
        prediction = await model.predict_by_filepath(str(recording), input_type="audio")
        self._print(f"   {recording.name}")
        for part in textwrap.wrap(line(prediction.text), width() - 3):
            self._print(f"   {part}")
        self._took(start, "loading included")

    async def search(self, client: Client) -> None:
        """A question and some texts as vectors: the nearer two are, the more they mean the same."""
        from headrace import Input

        start = self._begin("comparing texts")
        model = client.model(model_id="minilm-l6-v2")
        question, *texts = await model.predict([Input.from_text(text) for text in (QUESTION, *TEXTS)])
        seconds = time.monotonic() - start
        self._print(f"   {styled(line(QUESTION), 'cyan')}")
        nearness = [sum(a * b for a, b in zip(question.embedding, text.embedding, strict=True)) for text in texts]
        for value, text in sorted(zip(nearness, TEXTS, strict=True), reverse=True):
            self._print(f"   {value:5.2f}  {short(line(text), width() - 10)}")
        self._note(f"   {in_seconds(seconds)}, loading included")

    async def sentiment(self, client: Client) -> None:
        """Two texts in one request."""
        from headrace import Input

        texts = [self._text("good-review.txt"), self._text("bad-review.txt")]
        start = self._begin("reading two reviews")
        model = client.model(model_id="sentiment")
        predictions = await model.predict([Input.from_text(text) for text in texts], output_config={"max_concepts": 1})
        seconds = time.monotonic() - start
        for text, prediction in zip(texts, predictions, strict=True):
            self._print(f"   “{short(line(text), width() - 6)}”")
            self._show(prediction)
        self._note(f"   {in_seconds(seconds)} for both in one request")

    async def generate(self, client: Client) -> None:
        """One prompt, its answer token by token."""
        prompt = "Write a sentence about the sea."
        self._print(f"   {styled(line(prompt), 'cyan')}")
        start = self._begin("loading the language model")
        model = client.model(model_id="llm")
        first: float | None = None
        pieces = 0
        wrap = Wrapped("   ", width())
        params = {"temperature": 0.0, "max_tokens": 60}
        try:
            async with model.generate_by_bytes(prompt, input_type="text", inference_params=params) as stream:
                async for chunk in stream:
                    if first is None:
                        self._status.clear()
                        first = time.monotonic()
                    pieces += 1
                    wrap.write(chunk.text)
        finally:
            wrap.end()
        if first is not None:
            from headrace.server import weights

            rate = (pieces - 1) / max(time.monotonic() - first, 1e-6)
            self._note(
                f"   {pieces} pieces, {rate:.0f} a second; the first after {in_seconds(first - start)},"
                f" loading included\n   by {weights.choose('llm')}"
            )

    async def stream(self, client: Client) -> None:
        """A folder of photos through one call: answers arrive while inputs still leave."""
        photos = [self._photo(f"{name}.jpg") for name in KNOWN]
        model = client.model(model_id="classifier")
        start = self._begin(f"{len(photos)} photos")
        first: float | None = None
        sent = 0
        async with model.stream_by_filepath([str(p) for p in photos], input_type="image", window=2) as stream:
            async for prediction in stream:
                if first is None:
                    first, sent = time.monotonic(), stream.stats.sent
                self._status.clear()
                at = in_seconds(time.monotonic() - start)
                if prediction.error is not None:
                    self._print(f"   {at:>7}  {photos[prediction.position].name:<18} {line(str(prediction.error))}")
                    continue
                best = ", ".join(f"{line(c.name)} {score(c.value)}" for c in prediction.concepts[:2])
                room = width() - 31
                self._print(f"   {at:>7}  {photos[prediction.position].name:<18} {short(best, room)}")
        seconds = time.monotonic() - start
        if first is not None:
            self._note(
                f"   {len(photos)} answers in {in_seconds(seconds)} ({len(photos) / seconds:.0f} a second);"
                f" the first after {in_seconds(first - start)}, with {sent} of {len(photos)} sent"
            )

    def _photo(self, name: str) -> Path:
        return self._samples / "photos" / name

    def _text(self, name: str) -> str:
        return (self._samples / "texts" / name).read_text(encoding="utf-8").strip()

    def _begin(self, what: str) -> float:
        self._status.show(f"   {what} …", now=True)
        return time.monotonic()

    def _took(self, start: float, note: str) -> None:
        self._note(f"   {in_seconds(time.monotonic() - start)}, {note}")

    def _note(self, text: str) -> None:
        self._print(styled(text, "dim"))

    def _show(self, prediction: Prediction) -> None:
        """Print what was found, in a table on a terminal, one thing a line elsewhere."""
        shown = render.show(prediction, pretty=render.on_terminal())
        self._print(textwrap.indent(shown, " " if render.on_terminal() else "   "))

    def _print(self, text: str = "") -> None:
        self._status.clear()
        render.emit(text)
