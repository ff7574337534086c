"""Convert MediaPipe's selfie segmentation (people against what is behind them) from TensorFlow Lite to ONNX.

    python tools/convert_selfie.py --wheel mediapipe-0.10.14-cp311-cp311-manylinux_2_17_x86_64....whl PICTURE...

Needs tflite (the file format's reader), onnx, onnxruntime, numpy and Pillow. The wheel comes from
`pip download --no-deps mediapipe==0.10.14`; only the model file is read. Its last layer is MediaPipe's own operation,
which TensorFlow Lite alone cannot run. Prints each picture's share of people.
"""

from __future__ import annotations

import argparse
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import tflite
from onnx import TensorProto, helper, numpy_helper
from onnx_int8 import check_sha256
from PIL import Image

MEMBER = "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite"
SHA256 = "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c"
OUT = Path(__file__).parents[1] / "src/headrace/data/models/selfie-segmentation.onnx"
SIDE = 256
NUMBERS = {value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}
ACTIVATIONS = {0: None, 1: "Relu"}
SAME = 0


class Converter:
    """Walks the operations in their order; pictures become (batch, channel, row, column)."""

    def __init__(self, data: bytes) -> None:
        self.model = tflite.Model.GetRootAsModel(data, 0)
        self.graph = self.model.Subgraphs(0)
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.constants: dict[int, np.ndarray] = {}

    def convert(self) -> onnx.ModelProto:
        (first,), (last,) = self.graph.InputsAsNumpy(), self.graph.OutputsAsNumpy()
        for i in range(self.graph.TensorsLength()):
            tensor = self.graph.Tensors(i)
            buffer = self.model.Buffers(tensor.Buffer())
            if buffer.DataLength():
                kind = {0: np.float32, 1: np.float16, 2: np.int32}[tensor.Type()]
                self.constants[i] = buffer.DataAsNumpy().view(kind).reshape(tensor.ShapeAsNumpy())
        for i in range(self.graph.OperatorsLength()):
            operator = self.graph.Operators(i)
            code = self.model.OperatorCodes(operator.OpcodeIndex())
            name = NUMBERS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())].lower()
            name = code.CustomCode().decode().lower() if name == "custom" else name
            getattr(self, f"on_{name}")(operator, list(operator.InputsAsNumpy()), int(operator.Outputs(0)))
        graph = helper.make_graph(
            self.nodes, "selfie-segmentation",
            [helper.make_tensor_value_info(f"t{first}", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
            [helper.make_tensor_value_info(f"t{last}", TensorProto.FLOAT, [1, 1, SIDE, SIDE])],
            self.tensors,
        )  # fmt: skip
        for node in graph.node:
            for names in (node.input, node.output):
                names[:] = [{f"t{first}": "image", f"t{last}": "mask"}.get(n, n) for n in names]
        graph.input[0].name, graph.output[0].name = "image", "mask"
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model

    def node(self, kind: str, inputs: list[str], output: str, activation: int = 0, **attributes: Any) -> None:
        fused = ACTIVATIONS[activation]
        inner = f"{output}.plain" if fused else output
        self.nodes.append(helper.make_node(kind, inputs, [inner], **attributes))
        if fused:
            self.nodes.append(helper.make_node(fused, [inner], [output]))

    def constant(self, i: int, axes: tuple[int, ...] | None) -> str:
        """Store a weight, its axes in ONNX's order, as half floats where they were; the cast is folded at load."""
        values = self.constants[i] if axes is None else self.constants[i].transpose(axes)
        half = values.astype(np.float16)
        exact = np.array_equal(half.astype(np.float32), values.astype(np.float32))
        name = f"w{i}"
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(half if exact else values), f"{name}.stored"))
        self.nodes.append(helper.make_node("Cast", [f"{name}.stored"], [name], to=TensorProto.FLOAT))
        return name

    def options(self, operator: Any, kind: type) -> Any:
        options, table = kind(), operator.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)
        return options

    def size(self, i: int) -> tuple[int, int]:
        shape = self.graph.Tensors(i).ShapeAsNumpy()
        return int(shape[1]), int(shape[2])

    def pads(self, options: Any, i: int, kernel: tuple[int, int]) -> list[int]:
        """Pad as TensorFlow does: more below and to the right when it is odd."""
        before, after = [], []
        for size, side, stride in zip(self.size(i), kernel, (options.StrideH(), options.StrideW()), strict=True):
            total = max((-(-size // stride) - 1) * stride + side - size, 0) if options.Padding() == SAME else 0
            before.append(total // 2)
            after.append(total - total // 2)
        return before + after

    def convolve(self, options: Any, inputs: list[int], output: int, axes: tuple[int, ...], groups: int) -> None:
        _, height, width, _ = self.constants[inputs[1]].shape
        self.node(
            "Conv", [f"t{inputs[0]}", self.constant(inputs[1], axes), self.constant(inputs[2], None)], f"t{output}",
            options.FusedActivationFunction(), kernel_shape=[height, width], group=groups,
            strides=[options.StrideH(), options.StrideW()], pads=self.pads(options, inputs[0], (height, width)),
        )  # fmt: skip

    def on_dequantize(self, operator: Any, inputs: list[int], output: int) -> None:
        self.constants[output] = self.constants[inputs[0]]

    def on_conv_2d(self, operator: Any, inputs: list[int], output: int) -> None:
        self.convolve(self.options(operator, tflite.Conv2DOptions), inputs, output, (0, 3, 1, 2), 1)

    def on_depthwise_conv_2d(self, operator: Any, inputs: list[int], output: int) -> None:
        options = self.options(operator, tflite.DepthwiseConv2DOptions)
        self.convolve(options, inputs, output, (3, 0, 1, 2), self.constants[inputs[1]].shape[3])

    def on_convolution2dtransposebias(self, operator: Any, inputs: list[int], output: int) -> None:
        padding, stride_w, stride_h = struct.unpack("<iii", bytes(operator.CustomOptionsAsNumpy())[:12])
        _, height, width, _ = self.constants[inputs[1]].shape
        if (height, width) != (stride_h, stride_w):
            raise SystemExit(f"kernel {height} x {width} with stride {stride_h} x {stride_w} and padding {padding}")
        kernel, bias = self.constant(inputs[1], (3, 0, 1, 2)), self.constant(inputs[2], None)
        self.node(
            "ConvTranspose", [f"t{inputs[0]}", kernel, bias], f"t{output}",
            kernel_shape=[height, width], strides=[stride_h, stride_w],
        )  # fmt: skip

    def on_average_pool_2d(self, operator: Any, inputs: list[int], output: int) -> None:
        options = self.options(operator, tflite.Pool2DOptions)
        if (options.FilterHeight(), options.FilterWidth()) != self.size(inputs[0]):
            raise SystemExit("only pooling over the whole picture is known")
        self.node("GlobalAveragePool", [f"t{inputs[0]}"], f"t{output}", options.FusedActivationFunction())

    def on_resize_bilinear(self, operator: Any, inputs: list[int], output: int) -> None:
        options = self.options(operator, tflite.ResizeBilinearOptions)
        mode = "align_corners" if options.AlignCorners() else "asymmetric"
        mode = "half_pixel" if options.HalfPixelCenters() else mode
        before, after = self.size(inputs[0]), self.constants[inputs[1]]
        scales = np.array([1, 1, after[0] / before[0], after[1] / before[1]], np.float32)
        self.tensors.append(numpy_helper.from_array(scales, f"scales{output}"))
        self.node(
            "Resize", [f"t{inputs[0]}", "", f"scales{output}"], f"t{output}",
            mode="linear", coordinate_transformation_mode=mode,
        )  # fmt: skip

    def on_add(self, operator: Any, inputs: list[int], output: int) -> None:
        options = self.options(operator, tflite.AddOptions)
        self.node("Add", [f"t{i}" for i in inputs], f"t{output}", options.FusedActivationFunction())

    def on_mul(self, operator: Any, inputs: list[int], output: int) -> None:
        options = self.options(operator, tflite.MulOptions)
        self.node("Mul", [f"t{i}" for i in inputs], f"t{output}", options.FusedActivationFunction())

    def on_relu(self, operator: Any, inputs: list[int], output: int) -> None:
        self.node("Relu", [f"t{inputs[0]}"], f"t{output}")

    def on_hard_swish(self, operator: Any, inputs: list[int], output: int) -> None:
        self.node("HardSwish", [f"t{inputs[0]}"], f"t{output}")

    def on_logistic(self, operator: Any, inputs: list[int], output: int) -> None:
        self.node("Sigmoid", [f"t{inputs[0]}"], f"t{output}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("--save", type=Path, help="a folder for the masks, to look at them")
    parser.add_argument("pictures", type=Path, nargs="*")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = check_sha256(Path(zipfile.ZipFile(args.wheel).extract(MEMBER, folder)), SHA256)
    onnx.save(Converter(data).convert(), OUT)
    print(f"{OUT.name}: {OUT.stat().st_size / 1000:.0f} kB")
    session = ort.InferenceSession(OUT, providers=["CPUExecutionProvider"])
    for path in args.pictures:
        image = Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        x = (np.asarray(image, np.float32) / 255.0).transpose(2, 0, 1)[None]
        mask = session.run(["mask"], {"image": x})[0][0, 0]
        print(f"{path.name}: people {np.mean(mask > 0.5):.1%}, mean {mask.mean():.4f}")
        if args.save:
            np.save(args.save / f"{path.stem}.npy", mask)
            Image.fromarray((mask * 255).astype(np.uint8)).save(args.save / f"{path.stem}.png")


if __name__ == "__main__":
    main()
