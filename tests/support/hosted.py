"""The answer of the hosted models that documents call: everything that any of them would give, in one."""

from __future__ import annotations

from headrace.v2 import resources_pb2 as pb


def everything(text: str) -> pb.Data:
    """Make concepts, a region with a mask, a frame, a text, a picture, a sound and a vector, in one answer."""
    data = pb.Data()
    for name, value in (("train", 0.99), ("station", 0.97)):
        data.concepts.add(name=name, value=value)
    region = data.regions.add()
    region.data.concepts.add(name="train", value=0.9)
    box = region.region_info.bounding_box
    box.top_row, box.left_col, box.bottom_row, box.right_col = 0.1, 0.2, 0.3, 0.4
    region.region_info.mask.image.base64 = b"\x89PNG"
    frame = data.frames.add()
    frame.frame_info.time = 1000
    frame.data.concepts.add(name="train", value=0.9)
    data.text.raw = text
    data.image.base64 = b"\x89PNG"
    data.audio.base64 = b"RIFF"
    data.embeddings.add(vector=[0.6, 0.8], num_dimensions=2)
    return data
