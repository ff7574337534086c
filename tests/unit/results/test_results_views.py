"""The typed views of a prediction: masks, frames, vectors, pictures, drawings."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy
import pytest
from PIL import Image

from headrace import export
from headrace.draw import colour_of, draw
from headrace.errors import ConfigError, InvalidRequest, PredictionFailed
from headrace.results import Frame, Prediction, Region
from headrace.v2 import resources_pb2 as pb


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def half_mask(size: tuple[int, int] = (4, 2)) -> bytes:
    """Encode a mask of which the left half belongs to the region."""
    mask = Image.new("L", size)
    mask.paste(255, (0, 0, size[0] // 2, size[1]))
    return png(mask)


def prediction(**data: object) -> Prediction:
    return Prediction(b"", [pb.Output(data=pb.Data(**data))])  # type: ignore[arg-type]


def masked(name: str = "cat") -> Region:
    return Region(0.0, 0.0, 1.0, 0.5, 0.8, mask=half_mask())


def test_a_box_in_fractions_and_pixels() -> None:
    region = Region(0.1, 0.25, 0.5, 0.75, 0.9)
    assert region.box == (0.1, 0.25, 0.5, 0.75)
    assert region.pixels(400, 200) == (20, 100, 100, 300)


def test_a_mask_as_array() -> None:
    inside = masked().mask_array()
    assert (inside.shape, inside.dtype) == ((2, 4), numpy.dtype(bool))
    assert inside.tolist() == [[True, True, False, False]] * 2
    larger = masked().mask_array((40, 20))
    assert larger.shape == (20, 40)
    assert larger[:, :18].all()
    assert not larger[:, 22:].any()


def test_a_region_without_a_usable_mask_says_so() -> None:
    with pytest.raises(PredictionFailed, match="no mask"):
        Region(0, 0, 1, 1, 0.5).mask_array()
    with pytest.raises(PredictionFailed, match="cannot be used"):
        Region(0, 0, 1, 1, 0.5, mask=b"nonsense").mask_array()


def test_frames_have_their_time_in_seconds() -> None:
    frame = pb.Frame(frame_info=pb.FrameInfo(index=3, time=1500))
    (found,) = prediction(frames=[frame]).frames
    assert (found.index, found.time_ms, found.time) == (3, 1500, 1.5)
    assert isinstance(found, Frame)


@pytest.mark.parametrize("length", [0, 1, 31, 32, 4096, 600_000])
def test_vectors_are_those_of_the_message(length: int) -> None:
    vector = numpy.random.default_rng(7).standard_normal(length).astype("f4")
    found = prediction(embeddings=[pb.Embedding(vector=vector, num_dimensions=length), pb.Embedding(vector=[1.5])])
    assert found.embedding.format == "f"
    assert found.embedding.tolist() == vector.tolist()
    assert [len(one) for one in found.embeddings] == [length, 1]
    assert found.embeddings[1].tolist() == [1.5]


def test_numpy_looks_at_a_vector_without_copying() -> None:
    found = prediction(embeddings=[pb.Embedding(vector=[1, 2, 3])])
    view = found.embedding_array()
    assert (view.shape, view.dtype) == ((3,), numpy.dtype("f4"))
    found.embedding[0] = 7
    assert view[0] == 7


def test_no_vector() -> None:
    assert prediction().embeddings == ()
    assert len(prediction().embedding) == 0
    assert prediction().embedding_array().shape == (0,)


def test_a_picture_and_its_size() -> None:
    found = prediction(image=pb.Image(base64=png(Image.new("RGB", (30, 20), "red"))))
    assert found.image_size == (30, 20)
    assert found.to_pil().getpixel((0, 0)) == (255, 0, 0)
    told = prediction(image=pb.Image(base64=b"?", image_info=pb.ImageInfo(width=8, height=9)))
    assert told.image_size == (8, 9)
    assert prediction().image_size is None


def test_a_picture_that_cannot_be_used() -> None:
    with pytest.raises(PredictionFailed, match="no picture"):
        prediction().to_pil()
    broken = prediction(image=pb.Image(base64=b"nonsense"))
    with pytest.raises(PredictionFailed, match="cannot be used"):
        broken.to_pil()
    with pytest.raises(PredictionFailed, match="cannot be used"):
        _ = broken.image_size
    huge = prediction(image=pb.Image(base64=png(Image.new("1", (10_000, 8_600)))))
    with pytest.raises(PredictionFailed, match="10000x8600 pixels, more than 85,000,000"):
        huge.to_pil()


def test_drawing_on_what_was_sent() -> None:
    box = pb.BoundingBox(top_row=0.5, left_col=0.25, bottom_row=0.9, right_col=0.75)
    cup = pb.Region(region_info=pb.RegionInfo(bounding_box=box), data=pb.Data(concepts=[pb.Concept(name="cup")]))
    white = Image.new("RGB", (400, 300), "white")
    for image in (white, png(white), numpy.asarray(white)):
        drawn = prediction(regions=[cup]).draw(image)
        assert drawn.size == (400, 300)
        assert drawn.getpixel((100, 200)) == colour_of("cup")


def test_a_failed_input_raises_its_error_from_every_view() -> None:
    failed = Prediction.failed(InvalidRequest("bad", code=30300))
    views = (
        lambda: failed.embeddings,
        lambda: failed.image_size,
        failed.to_pil,
        lambda: failed.draw(b""),
        lambda: failed.save("x"),
    )
    for view in views:
        with pytest.raises(InvalidRequest, match="bad"):
            view()


def test_missing_extras_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ConfigError, match=r"arrays need numpy: pip install '\S*\[images\]'"):
        prediction().embedding_array()
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ConfigError, match=r"Pillow: pip install '\S*\[images\]'"):
        prediction(image=pb.Image(base64=b"x")).to_pil()


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    code = (
        "import sys, headrace, headrace.export, headrace.draw; from headrace.v2 import resources_pb2 as pb;"
        "p = headrace.Prediction(b'', [pb.Output(data=pb.Data(embeddings=[pb.Embedding(vector=[1])]))]);"
        "assert len(p.embedding) == 1 and p.image is None and p.regions == ();"
        "print(sorted({'numpy', 'PIL', 'csv'} & set(sys.modules) - {'csv'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("edge", ["top", "left", "bottom", "right"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 3e38, -3e38])
def test_boxes_from_broken_models_are_cut_off_or_refused(edge: str, value: float) -> None:
    edges = {"top": 0.1, "left": 0.2, "bottom": 0.5, "right": 0.75, edge: value}
    region = Region(edges["top"], edges["left"], edges["bottom"], edges["right"], 0.9)
    draw(Image.new("RGB", (40, 20)), [region, replace(region, value=math.nan)])
    if math.isnan(value):
        with pytest.raises(PredictionFailed, match="not a number"):
            region.pixels(40, 20)
        return
    height, width = 20, 40
    limit = {"top": height, "left": width, "bottom": height, "right": width}[edge]
    assert getattr(region.pixels(width, height), edge) == (limit if value > 0 else 0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_from_broken_models_are_exported(value: float) -> None:
    box = pb.BoundingBox(top_row=value, left_col=value, bottom_row=value, right_col=value)
    region = pb.Region(value=value, region_info=pb.RegionInfo(bounding_box=box))
    p = prediction(regions=[region], concepts=[pb.Concept(name="x", value=value)])
    table, lines = io.StringIO(), io.StringIO()
    assert export.to_csv(p, table) == 2
    assert export.to_jsonl(p, lines) == 1
    assert json.loads(lines.getvalue())["outputs"][0]["data"]["concepts"][0]["name"] == "x"
    assert repr(p)
    assert p._repr_html_()


def test_the_documents_paths_work_on_views() -> None:
    region = pb.Region(data=pb.Data(concepts=[pb.Concept(name="cup", value=0.5)]))
    p = prediction(frames=[pb.Frame(data=pb.Data(concepts=[pb.Concept(name="cat", value=0.5)], regions=[region]))])
    frame, message = p.frames[0], p.outputs[0].data.frames[0]
    assert frame.data.concepts[0].name == message.data.concepts[0].name == "cat"
    assert frame.data.regions[0].data.concepts[0].value == message.data.regions[0].data.concepts[0].value == 0.5
