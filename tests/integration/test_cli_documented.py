"""The documents' commands with `clarifai` replaced by `headrace`: each one reaches the server as it is meant."""

from __future__ import annotations

import asyncio
import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from headrace.reference import ModelRef
from headrace.testing import ModelDouble, ReceivedInput
from headrace.v2 import resources_pb2 as pb
from tests.support.bridge import serving
from tests.support.forkserver import ForkServer

CANARY = "canary-0123456789abcdef"
SAMPLES = "https://samples.clarifai.com"
BUCKET = "https://s3.amazonaws.com/samples.clarifai.com"
FUTURE = "What is the future of AI?"
CLASSES = (
    "Classes: [`positive`, `negative`, `neutral`] Text: Sunny weather makes me happy."
    " Classify the text into one of the above classes."
)
REVOLUTION = "In India Green Revolution commenced in the early 1960s that led to an increase in food grain production."


@dataclass(frozen=True)
class Row:
    """One documented command, and what the server has to get."""

    command: str
    model: str
    kind: str
    payload: str
    params: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    deployment: str = ""
    nodepool: tuple[str, str] = ("", "")
    shape: str = "predict"
    text: str = ""  # of an input that also has a picture


def page(model: str) -> str:
    return f"https://clarifai.com/{model}"


def by_url(model: str, url: str, kind: str, more: str = "", **expected: Any) -> Row:
    command = f"clarifai model predict --model_url {page(model)} --url {url} --input_type {kind} {more}"
    return Row(command, model, kind, url, **expected)


def by_bytes(model: str, text: str, more: str = "", **expected: Any) -> Row:
    command = f'clarifai model predict --model_url {page(model)} --bytes {shlex.quote(text)} --input_type "text" {more}'
    return Row(command, model, "text", text, **expected)


O4_MINI = "openai/chat-completion/models/o4-mini"
GPT = "openai/chat-completion/models/GPT-4"
LLAMA = {"temperature": 0.7, "max_tokens": 200, "top_k": 50, "top_p": 0.95}
LIBERTY = f"{BUCKET}/featured-models/image-captioning-statue-of-liberty.jpeg"
CLUSTER = "--compute_cluster_id my-cluster --nodepool_id my-nodepool"
VISION = "qwen/qwen-VL/models/Qwen2_5-VL-7B-Instruct"
TABLE = {
    "visual classifier": by_url(
        "clarifai/main/models/general-image-recognition", f"{SAMPLES}/metro-north.jpg", "image"
    ),
    "visual detector, image": by_url(
        "clarifai/main/models/general-image-detection", f"{BUCKET}/people_walking2.jpeg", "image"
    ),
    "visual detector, video": by_url(
        "clarifai/main/models/general-image-detection",
        f"{SAMPLES}/beer.mp4",
        "video",
        r'--output_config "{\"sample_ms\":2000}"',
        config={"sample_ms": 2000},
    ),
    "visual segmenter": by_url(
        "clarifai/main/models/image-general-segmentation", f"{BUCKET}/people_walking2.jpeg", "image"
    ),
    "image to text": by_url("salesforce/blip/models/general-english-image-caption-blip", LIBERTY, "image"),
    "image to image": by_url(
        "stability-ai/Upscale/models/stabilityai-upscale",
        LIBERTY,
        "image",
        r'--inference_params "{\"width\":\"1024\"}"',
        params={"width": "1024"},
    ),
    "visual embedder": by_url(
        "clarifai/main/models/image-embedder-clip", f"{BUCKET}/featured-models/general-elephants.jpg", "image"
    ),
    "text classifier": by_url(
        "erfan/text-classification/models/sentiment-analysis-twitter-roberta-base",
        f"{SAMPLES}/finantial-sentiment-1.txt",
        "text",
    ),
    "text generation": by_bytes(GPT, FUTURE),
    "text generation with parameters": by_bytes(
        "meta/Llama-3/models/llama-3_1-8b-instruct",
        FUTURE,
        r'--inference_params "{\"temperature\":0.7,\"max_tokens\":200,\"top_k\":50,\"top_p\":0.95}"',
        params=LLAMA,
    ),
    "text classifier using an LLM": by_bytes(GPT, CLASSES),
    "text to image": by_bytes(
        "stability-ai/stable-diffusion-2/models/stable-diffusion-xl", "floor plan for 2 bedroom kitchen house"
    ),
    "text to audio": by_bytes(
        "eleven-labs/audio-generation/models/speech-synthesis", "Hello, How are you doing today!"
    ),
    "text embedder": by_bytes("cohere/embed/models/cohere-embed-english-v3_0", REVOLUTION),
    "audio to text": by_url(
        "facebook/asr/models/asr-wav2vec2-large-robust-ft-swbd-300h-english", f"{BUCKET}/GoodMorning.wav", "audio"
    ),
    "a deployment": by_url(
        VISION, f"{SAMPLES}/birds.jpg", "image", '--deployment_id "my-deployment"', deployment="my-deployment"
    ),
    "a nodepool": by_url(VISION, f"{SAMPLES}/birds.jpg", "image", CLUSTER, nodepool=("my-cluster", "my-nodepool")),
    "ids instead of a URL": Row(
        "clarifai model predict --model_id general-image-recognition --user_id clarifai --app_id main"
        f" --url {SAMPLES}/metro-north.jpg --input_type image",
        "clarifai/main/models/general-image-recognition",
        "image",
        f"{SAMPLES}/metro-north.jpg",
    ),
    "the present form": Row(f"clarifai model predict {O4_MINI} {FUTURE!r}", O4_MINI, "text", FUTURE),
    "inputs by name": Row(
        f"clarifai model predict --model_url {page(O4_MINI)} --inputs " + '\'{"prompt": "What is photosynthesis?"}\'',
        O4_MINI,
        "text",
        "What is photosynthesis?",
    ),
    "inputs by name with a parameter": Row(
        f"clarifai model predict --model_url {page(O4_MINI)}"
        ' --inputs \'{"prompt": "What is photosynthesis?", "max_tokens": 100}\'',
        O4_MINI,
        "text",
        "What is photosynthesis?",
        params={"max_tokens": 100},
    ),
    "picture and text by name": Row(
        f"clarifai model predict --model_url {page(O4_MINI)}"
        f' --inputs \'{{"prompt": "Describe the image", "image": "{SAMPLES}/cat1.jpeg"}}\'',
        O4_MINI,
        "image",
        f"{SAMPLES}/cat1.jpeg",
        text="Describe the image",
    ),
    "a stream by method": Row(
        f"clarifai model predict --model_url {page(O4_MINI)} --method generate"
        ' --inputs \'{"prompt": "What is photosynthesis?"}\'',
        O4_MINI,
        "text",
        "What is photosynthesis?",
        shape="generate",
    ),
    "a stream by method, of picture and text": Row(
        f"clarifai model predict --model_url {page(O4_MINI)} --method generate"
        f' --inputs \'{{"prompt": "Describe the image", "image": "{SAMPLES}/cat1.jpeg"}}\'',
        O4_MINI,
        "image",
        f"{SAMPLES}/cat1.jpeg",
        shape="generate",
        text="Describe the image",
    ),
}


def kebab(command: str) -> str:
    """Write the options with dashes, as the official command line does in its newer versions."""
    return " ".join(word.replace("_", "-") if word.startswith("--") else word for word in command.split(" "))


async def headrace(forks: ForkServer, command: str, address: str, stdin: bytes = b"") -> tuple[int, str, str]:
    """Run a documented command as its user would, with the credential and the server in the environment."""
    program, *argv = shlex.split(command)
    assert program == "clarifai"
    environment = {**os.environ, "CLARIFAI_PAT": CANARY, "CLARIFAI_API_BASE": address, "PYTHONIOENCODING": "utf-8"}
    done = await asyncio.to_thread(forks.run, argv, stdin=stdin, environment=environment, folder=Path.cwd(), timeout=60)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


KEBAB = (
    "visual detector, video",
    "text generation with parameters",
    "a deployment",
    "a nodepool",
    "a stream by method",
)


@pytest.mark.parametrize(
    ("name", "command"),
    [(name, row.command) for name, row in TABLE.items()]
    + [pytest.param(name, kebab(TABLE[name].command), id=f"{name}, kebab") for name in KEBAB],
)
async def test_a_documented_command_reaches_the_server(name: str, command: str, forks: ForkServer) -> None:
    double = ModelDouble(older)
    async with serving(double) as server:
        done = await headrace(forks, command, server.address)
    assert done == (0, "an answer\n", "")
    (item,) = [item for item in double.inputs if not asks_for_signatures(item)]
    check(item, TABLE[name])


def older(item: ReceivedInput) -> Any:
    """Answer as a model without method signatures."""
    return 30101 if asks_for_signatures(item) else ["an ", "answer"]


def asks_for_signatures(item: ReceivedInput) -> bool:
    return "_method_name" in item.data.metadata


async def test_a_model_that_answers_anything_to_everything_is_an_older_one(forks: ForkServer) -> None:
    double = ModelDouble(lambda item: "whatever")
    async with serving(double) as server:
        done = await headrace(forks, f"clarifai model predict {O4_MINI} -i prompt=Hi", server.address)
    assert done == (0, "whatever\n", "")
    assert double.inputs[-1].text == "Hi"


def check(item: ReceivedInput, row: Row) -> None:
    """Compare what arrived with what was meant."""
    request = item.request
    ref = ModelRef.parse(row.model)
    assert (request.user_app_id.user_id, request.user_app_id.app_id, request.model_id) == (
        ref.user_id,
        ref.app_id,
        ref.model_id,
    )
    medium = getattr(item.data, row.kind)
    assert row.payload in ((medium.url,) if row.kind != "text" else (medium.url, medium.raw))
    assert item.text == (row.text or (row.payload if row.kind == "text" and "://" not in row.payload else ""))
    assert item.params == row.params
    assert item.output_config.sample_ms == row.config.get("sample_ms", 0)
    selector = request.runner_selector
    assert selector.deployment.id == row.deployment
    assert (selector.nodepool.compute_cluster.id, selector.nodepool.id) == row.nodepool
    assert selector.deployment.user_id == ("double-user" if row.deployment else "")
    assert item.shape == row.shape
    assert item.metadata["authorization"] == f"Key {CANARY}"


def field_of(name: str, type_: int, **more: Any) -> pb.ModelTypeField:
    return pb.ModelTypeField(name=name, type=type_, **more)  # type: ignore[arg-type]


def signature(name: str, method_type: int, iterator: bool = False) -> pb.MethodSignature:
    kinds = pb.ModelTypeField
    return pb.MethodSignature(
        name=name,
        method_type=method_type,  # type: ignore[arg-type]
        description="Answers a prompt.",
        input_fields=[
            field_of("prompt", kinds.STR, required=True),
            field_of("image", kinds.IMAGE),
            field_of("max_tokens", kinds.INT, default="512", description="most tokens of the answer"),
        ],
        output_fields=[field_of("return", kinds.STR, iterator=iterator)],
    )


async def run_typed(forks: ForkServer, words: str, stdin: bytes = b"") -> tuple[tuple[int, str, str], ModelDouble]:
    """Run a command against a model with method signatures; it answers as such models do."""

    def answer(item: ReceivedInput) -> Any:
        assert item.data.metadata["_method_name"] in ("predict", "generate")
        return [pb.Data(parts=[pb.Part(id="return", data=pb.Data(string_value=text))]) for text in said(item)]

    def said(item: ReceivedInput) -> list[str]:
        return ["an ", "answer"] if item.shape == "generate" else ["an answer"]

    double = ModelDouble(answer, signatures=[signature("predict", 1), signature("generate", 2, iterator=True)])
    async with serving(double) as server:
        return await headrace(forks, f"clarifai model predict {O4_MINI} {words}", server.address, stdin), double


TYPED = {
    "fields": "-i prompt=Hello -i max_tokens=9",
    "inputs": '--inputs \'{"prompt": "Hello", "max_tokens": 9}\'',
    "a word and a field": "Hello -i max_tokens=9",
    "parameters as arguments": "-i prompt=Hello --inference_params '{\"max_tokens\": 9}'",
    "a stream": "--method generate -i prompt=Hello -i max_tokens=9",
}


@pytest.mark.parametrize("case", TYPED)
async def test_a_model_with_signatures_gets_typed_arguments(case: str, forks: ForkServer) -> None:
    done, double = await run_typed(forks, TYPED[case])
    assert done == (0, "an answer\n", "")
    (item,) = double.inputs
    arguments = {part.id: part.data for part in item.data.parts}
    assert (arguments["prompt"].string_value, arguments["max_tokens"].int_value) == ("Hello", 9)
    assert item.shape == ("generate" if case == "a stream" else "predict")
    assert item.data.metadata["_method_name"] == item.shape
    assert item.params == {}


async def test_stdin_is_the_argument_that_is_missing(forks: ForkServer) -> None:
    done, double = await run_typed(forks, "-i max_tokens=9", b"Hello\n")
    assert done == (0, "an answer\n", "")
    arguments = {part.id: part.data for part in double.inputs[0].data.parts}
    assert (arguments["prompt"].string_value, arguments["max_tokens"].int_value) == ("Hello", 9)


async def test_numbers_become_texts_and_files_bytes_where_the_argument_wants_them(
    tmp_path: Any, forks: ForkServer
) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n and more")
    done, double = await run_typed(forks, f"-i prompt=42 -i image={tmp_path / 'a.png'}")
    assert done[0] == 0
    arguments = {part.id: part.data for part in double.inputs[0].data.parts}
    assert arguments["prompt"].string_value == "42"
    assert arguments["image"].image.base64.endswith(b"and more")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-i promt=Hello", "no argument promt: predict(prompt: str, image: Image, max_tokens: int = 512) -> str"),
        ("-i max_tokens=9", "prompt missing"),
        ("-i prompt=Hi -i max_tokens=many", "max_tokens: expected int, got str"),
        ("-i prompt=Hi -i image=nope.png", "missing file: nope.png"),
        ("--method translate -i prompt=Hi", "no method 'translate'; it has predict(prompt: str"),
    ],
)
async def test_wrong_arguments_name_the_signature(words: str, message: str, forks: ForkServer) -> None:
    (code, out, err), double = await run_typed(forks, words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert double.inputs == []


async def test_parameters_that_no_method_names_go_the_documents_way(forks: ForkServer) -> None:
    double = ModelDouble(lambda item: "plain", signatures=[signature("predict", 1)])
    async with serving(double) as server:
        done = await headrace(
            forks, f"clarifai model predict {O4_MINI} -i prompt=Hi -i temperature=0.5", server.address
        )
    assert done == (0, "plain\n", "")
    assert double.inputs[0].text == "Hi"
    assert double.inputs[0].params == {"temperature": 0.5}


async def test_info_tells_methods_with_their_arguments(forks: ForkServer) -> None:
    done, _ = await run_typed(forks, "--info")
    assert done[0] == 0
    lines = done[1].splitlines()
    assert "method:        predict(prompt: str, image: Image, max_tokens: int = 512) -> str" in lines
    assert "                 max_tokens: most tokens of the answer" in lines


async def test_a_malformed_model_is_reported_before_a_missing_credential(forks: ForkServer) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CLARIFAI_")}
    done = await asyncio.to_thread(
        forks.run,
        ["predict", "--model_url", page("nonsense"), "x"],
        stdin=None,
        environment=environment,
        folder=Path.cwd(),
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(b"headrace: malformed model URL 'nonsense'")
    assert b"CLARIFAI_PAT" not in done.stderr


async def test_models_of_another_user(forks: ForkServer) -> None:
    double = ModelDouble(lambda item: "")
    async with serving(double) as server:
        done = await headrace(forks, "clarifai models --user_id clarifai --app-id main -o jsonl", server.address)
    assert done[0] == 0
    assert '"user_id": "clarifai", "app_id": "main", "id": "double"' in done[1]
