"""What notebooks show: escaped, bounded, without raising; and the progress of streams."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from PIL import Image

from headrace import FramePrediction, ModelInfo, NotFound, Prediction
from headrace.catalog import ModelInfos
from headrace.frames import FrameStats
from headrace.integrations.jupyter import progress
from headrace.results import Concept, Region
from headrace.v2 import resources_pb2 as pb
from tests.support.rig import rigged

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\udcff"
SAFE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"  # as far as a protocol's text goes
TAGS = {"table", "tr", "th", "td", "b", "i", "p", "pre", "ol", "li", "img", "div", "progress"}


def picture(side: int = 40) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), "white").save(buffer, "PNG")
    return buffer.getvalue()


def region(name: str) -> pb.Region:
    one = pb.Region(data=pb.Data(concepts=[pb.Concept(name=name, value=0.5)], text=pb.Text(raw=name)))
    one.region_info.bounding_box.bottom_row = one.region_info.bounding_box.right_col = 0.5
    return one


def answer(**data: Any) -> Prediction:
    return Prediction(b"", [pb.Output(data=pb.Data(**data))])


def hostile_things() -> list[Any]:
    many = [pb.Concept(name=SAFE * 50, value=0.5)] * 100
    frame = pb.Frame(data=pb.Data(concepts=[many[0]] * 50, regions=[region(SAFE)]))
    region_ = Region(0, 0, 1, 1, 0.5, (Concept(HOSTILE, 0.5),))
    info = ModelInfo("u", "a", HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE * 1000, (HOSTILE,), (HOSTILE,))
    return [
        answer(concepts=many),
        answer(regions=[region(SAFE)] * 500),
        answer(frames=[frame] * 50),
        answer(text=pb.Text(raw=SAFE * 10_000)),
        answer(image=pb.Image(base64=picture()), audio=pb.Audio(base64=b"<b>")),
        Prediction.failed(NotFound(HOSTILE * 1000)),
        Prediction(b"", [pb.Output(data=pb.Data(text=pb.Text(raw=SAFE * 100)))] * 50),
        FramePrediction(Image.new("RGB", (40, 40)), answer(), 1, 0.5, HOSTILE, 0, 0, tracked=(region_,) * 500),
        FramePrediction(None, Prediction.failed(NotFound(HOSTILE)), 1, 0.5, HOSTILE, 0, 0),
        info,
        ModelInfos([info] * 500),
        FrameStats(drops={HOSTILE: 1}, mode=HOSTILE),
    ]


@pytest.mark.parametrize("thing", hostile_things(), ids=lambda thing: type(thing).__name__)
def test_what_is_shown_is_escaped_and_bounded(thing: Any) -> None:
    page = thing._repr_html_()
    assert set(re.findall(r"</?([a-zA-Z!][^\s/>]*)", page)) <= TAGS
    assert len(page) < 200_000
    page.encode()  # no lone surrogates
    sources = re.findall(r'<img[^>]* src="([^"]{0,30})', page)
    assert all(source.startswith("data:image/") for source in sources)
    assert not re.search(r"(color|background)\s*:", page)  # the page's own colours, light or dark


def test_pages_with_large_pictures_are_bounded() -> None:
    noise = b"\x89PNG\r\n\x1a\n" + bytes(3 << 20)
    batch = Prediction(b"", [pb.Output(data=pb.Data(image=pb.Image(base64=noise)))] * 20)
    assert len(batch._repr_html_()) < 16 << 20


def test_the_boxes_of_a_file_are_drawn_on_it(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(picture(2000))
    prediction = answer(regions=[region("cup")])
    assert prediction._repr_png_() is None
    assert "<img" not in prediction._repr_html_()
    prediction.source = str(path)
    png = prediction._repr_png_()
    assert png is not None
    assert max(Image.open(io.BytesIO(png)).size) == 800
    assert "<img" in prediction._repr_html_()
    path.write_bytes(b"no picture")
    assert prediction._repr_png_() is None
    assert "<img" not in prediction._repr_html_()


def test_pictures_are_shown_as_png() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    assert answer(image=pb.Image(base64=picture()))._repr_png_() == picture()
    made = answer(image=pb.Image(base64=buffer.getvalue()))._repr_png_()
    assert made is not None
    assert made.startswith(b"\x89PNG")
    for nothing in (
        answer(),
        answer(image=pb.Image(base64=b"?")),
        Prediction.failed(NotFound("no")),
        Prediction(b"", []),
    ):
        assert nothing._repr_png_() is None
    frame = FramePrediction(Image.new("RGB", (8, 8)), answer(regions=[region("cup")]), 0, 0, "", 0, 0)
    assert frame._repr_png_() is not None


class Handle:
    """What IPython updates below a cell."""

    pages: ClassVar[list[dict[str, str]]] = []

    def display(self, data: dict[str, str], raw: bool) -> None:
        self.pages.clear()

    def update(self, data: dict[str, str], raw: bool) -> None:
        self.pages.append(data)


async def test_progress_shows_counts_and_closes_its_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(DisplayHandle=Handle))
    async with rigged("memory", tmp_path, lambda item: 30300 if item.text == "1" else item.text) as rig:
        async with progress(rig.model.stream("0123"), total=4, label="<b>") as stream:
            assert [answer.position async for answer in stream] == [0]  # a text is one input
        async with progress(rig.model.stream(list("0123")), total=4, label="<b>") as stream:
            assert len([answer async for answer in stream]) == 4
            assert stream.stats.received + stream.stats.errors == 4
        assert '&lt;b&gt; <progress max="4" value="4"></progress> 4 of 4' in Handle.pages[-1]["text/html"]
        assert "1 failed" in Handle.pages[-1]["text/plain"]
        page = rig.client._repr_html_()
        assert "ClientStats" in page
        async with progress(rig.model.stream(list("0123"))) as early:
            async for _ in early:
                break
        await rig.until(lambda: all(call.status for call in rig.calls))


async def test_progress_is_silent_where_nobody_looks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with rigged("memory", tmp_path) as rig:
        stream = rig.model.stream(["a", "b"])
        assert [answer.text async for answer in progress(stream)] == ["a", "b"]
        assert "StreamStats" in stream._repr_html_()
    assert capsys.readouterr() == ("", "")
