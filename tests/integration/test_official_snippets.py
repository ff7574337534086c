"""The official SDK's 28 documented snippets, translated by hand: the import swapped, `await` and `async for` added.

They are those of its pages on prediction: 1-3 the three call shapes, 4-20 the tasks, 21-23 lists, another server and
certificates, 24-28 models with methods. What a snippet prints is compared, and what the server got.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import headrace
from headrace.testing import ModelDouble, ReceivedInput
from headrace.v2 import resources_pb2 as pb
from tests.support.bridge import serving
from tests.support.hosted import everything

T = pb.ModelTypeField
PROMPT = T(name="prompt", type="STR", required=True)
MAX_TOKENS = T(name="max_tokens", type="INT", default="100")
EFFORT = T(name="reasoning_effort", type="STR", default="low")
ONE, MANY = T(name="return", type="STR"), T(name="return", type="STR", iterator=True)
INPUTS = [PROMPT, MAX_TOKENS, EFFORT]
METHODS = [
    pb.MethodSignature(name="predict", method_type=1, input_fields=INPUTS, output_fields=[ONE]),  # type: ignore[arg-type]
    pb.MethodSignature(name="generate", method_type=2, input_fields=INPUTS, output_fields=[MANY]),  # type: ignore[arg-type]
]

#: Number, what it shows -> the snippet, what it prints, and the server's (shape, type, model, deployment or nodepool).
SNIPPETS: dict[str, tuple[str, str, tuple[str, str, str, str]]] = {
    "1 unary": (
        """
model = Model(url="https://clarifai.com/stepfun-ai/ocr/models/got-ocr-2_0", pat="YOUR_PAT_HERE")
prediction = await model.predict_by_url(URL, input_type="image", deployment_id="test-deployment")
print(prediction.outputs[0].data.text.raw)
""",
        "some text",
        ("predict", "image", "got-ocr-2_0", "test-deployment"),
    ),
    "2 server stream": (
        """
model = Model(url="https://clarifai.com/meta/Llama-3/models/Llama-3_2-3B-Instruct", pat="YOUR_PAT_HERE")
stream = model.generate_by_bytes(b"What is the future of AI?", input_type="text", user_id="me", deployment_id="d")
async for response in stream:
    if response.outputs and response.outputs[0].data.text:
        print(response.outputs[0].data.text.raw, end="", flush=True)
print()
""",
        "some text",
        ("generate", "text", "Llama-3_2-3B-Instruct", "d"),
    ),
    "3 duplex stream": (
        """
model = Model(url="https://clarifai.com/meta/Llama-3/models/Llama-3_2-3B-Instruct", pat="YOUR_PAT_HERE")
prompts = (prompt.encode() for prompt in ["one", "two"])
responses = model.stream_by_bytes(
    prompts, input_type="text", user_id="me", compute_cluster_id="cluster", nodepool_id="pool"
)
async for response in responses:
    print(response.outputs[0].data.text.raw)
""",
        "some text\nsome text",
        ("stream", "text", "Llama-3_2-3B-Instruct", "cluster/pool"),
    ),
    "4 visual classifier": (
        """
model = Model(url="https://clarifai.com/clarifai/main/models/general-image-recognition", pat="YOUR_PAT")
prediction = await model.predict_by_url(URL, input_type="image")
print([f"{concept.name}: {concept.value:.2f}" for concept in prediction.outputs[0].data.concepts])
""",
        "['train: 0.99', 'station: 0.97']",
        ("predict", "image", "general-image-recognition", ""),
    ),
    "5 visual detector, picture": (
        """
detector_model = Model(url="https://clarifai.com/clarifai/main/models/general-image-detection", pat="YOUR_PAT")
prediction_response = await detector_model.predict_by_url(URL, input_type="image")
for region in prediction_response.outputs[0].data.regions:
    top_row = round(region.region_info.bounding_box.top_row, 3)
    left_col = round(region.region_info.bounding_box.left_col, 3)
    bottom_row = round(region.region_info.bounding_box.bottom_row, 3)
    right_col = round(region.region_info.bounding_box.right_col, 3)
    for concept in region.data.concepts:
        print(f"{concept.name}: {round(concept.value, 4)} BBox: {top_row}, {left_col}, {bottom_row}, {right_col}")
""",
        "train: 0.9 BBox: 0.1, 0.2, 0.3, 0.4",
        ("predict", "image", "general-image-detection", ""),
    ),
    "6 visual detector, video": (
        """
model = Model(user_id="clarifai", app_id="main", model_id="general-image-recognition", pat="YOUR_PAT")
prediction = await model.predict_by_url(
    "https://samples.clarifai.com/beer.mp4", input_type="video", output_config={"sample_ms": 2000}
)
for frame in prediction.outputs[0].data.frames:
    print(f"Frame Info: {frame.frame_info} Concept: {frame.data.concepts[0].name}")
""",
        "Frame Info: time: 1000\n Concept: train",
        ("predict", "video", "general-image-recognition", ""),
    ),
    "7 visual segmenter": (
        """
segmentor_model = Model(url="https://clarifai.com/clarifai/main/models/image-general-segmentation", pat="YOUR_PAT")
prediction_response = await segmentor_model.predict_by_url(URL, input_type="image")
for region in prediction_response.outputs[0].data.regions:
    for concept in region.data.concepts:
        print(f"{concept.name}: {round(concept.value, 4)}", len(region.region_info.mask.image.base64))
""",
        "train: 0.9 4",
        ("predict", "image", "image-general-segmentation", ""),
    ),
    "8 image to text": (
        """
model_url = "https://clarifai.com/salesforce/blip/models/general-english-image-caption-blip"
prediction = await Model(url=model_url, pat="YOUR_PAT").predict_by_url(URL, input_type="image")
print(prediction.outputs[0].data.text.raw)
""",
        "some text",
        ("predict", "image", "general-english-image-caption-blip", ""),
    ),
    "9 image to image": (
        """
model_url = "https://clarifai.com/stability-ai/Upscale/models/stabilityai-upscale"
inference_params = dict(width=1024)
prediction = await Model(url=model_url, pat="YOUR_PAT").predict_by_url(
    URL, input_type="image", inference_params=inference_params
)
output_base64 = prediction.outputs[0].data.image.base64
image_info = prediction.outputs[0].data.image.image_info
with open("image.png", "wb") as f:
    print(f.write(output_base64), image_info.width)
""",
        "4 1024",
        ("predict", "image", "stabilityai-upscale", ""),
    ),
    "10 visual embedder": (
        """
model_url = "https://clarifai.com/clarifai/main/models/image-embedder-clip"
prediction = await Model(url=model_url, pat="YOUR_PAT").predict_by_url(URL, input_type="image")
embeddings = prediction.outputs[0].data.embeddings[0].vector
num_dimensions = prediction.outputs[0].data.embeddings[0].num_dimensions
print([round(number, 1) for number in embeddings[:10]], num_dimensions)
""",
        "[0.6, 0.8] 2",
        ("predict", "image", "image-embedder-clip", ""),
    ),
    "11 text classifier": (
        """
model_url = "https://clarifai.com/nlptownres/text-classification/models/multilingual-uncased-sentiment"
prediction = await Model(url=model_url, pat="YOUR_PAT").predict_by_filepath("a.txt", input_type="text")
print(prediction.outputs[0].data.concepts[0].name)
""",
        "train",
        ("predict", "text", "multilingual-uncased-sentiment", ""),
    ),
    "12 text generation": (
        """
prompt = "What is the future of AI?"
model_url = "https://clarifai.com/openai/chat-completion/models/GPT-4"
prediction = await Model(url=model_url, pat="YOUR_PAT").predict_by_bytes(prompt.encode(), input_type="text")
print(prediction.outputs[0].data.text.raw)
""",
        "some text",
        ("predict", "text", "GPT-4", ""),
    ),
    "13 text generation with parameters": (
        """
inference_params = dict(
    temperature=0.7, max_tokens=200, top_k=50, top_p=0.95, prompt_template="{system_prompt}{prompt}", system_prompt="S"
)
prediction = await Model(
    url="https://clarifai.com/meta/Llama-3/models/llama-3_1-8b-instruct", pat="YOUR_PAT"
).predict_by_bytes("Hi".encode(), input_type="text", inference_params=inference_params)
print(prediction.outputs[0].data.text.raw)
""",
        "some text",
        ("predict", "text", "llama-3_1-8b-instruct", ""),
    ),
    "14 text classifier by a language model": (
        """
prompt = "Classes: [`positive`, `negative`, `neutral`] Text: Sunny weather makes me happy."
model = Model(user_id="openai", app_id="chat-completion", model_id="GPT-4", pat="YOUR_PAT")
prediction = await model.predict_by_bytes(prompt, input_type="text", inference_params={"temperature": "0.7"})
print(prediction.outputs[0].data.text.raw)
""",
        "some text",
        ("predict", "text", "GPT-4", ""),
    ),
    "15 text to image": (
        """
inference_params = dict(quality="standard", size="1024x1024")
prediction = await Model(url="https://clarifai.com/openai/dall-e/models/dall-e-3", pat="YOUR_PAT").predict_by_bytes(
    b"floor plan", input_type="text", inference_params=inference_params
)
with open("image.png", "wb") as f:
    print(f.write(prediction.outputs[0].data.image.base64))
""",
        "4",
        ("predict", "text", "dall-e-3", ""),
    ),
    "16 text to audio": (
        """
inference_params = dict(voice="alloy", speed=1.0)
prediction = await Model(
    url="https://clarifai.com/openai/tts/models/openai-tts-1", pat="YOUR_PAT"
).predict_by_bytes(b"I love your product very much", input_type="text", inference_params=inference_params)
with open("audio_file.wav", mode="bx") as f:
    print(f.write(prediction.outputs[0].data.audio.base64))
""",
        "4",
        ("predict", "text", "openai-tts-1", ""),
    ),
    "17 text embedder": (
        """
prediction = await Model(
    url="https://clarifai.com/cohere/embed/models/cohere-embed-english-v3_0", pat="YOUR_PAT"
).predict_by_bytes("In India, ...", "text")
print(prediction.outputs[0].data.embeddings[0].num_dimensions)
""",
        "2",
        ("predict", "text", "cohere-embed-english-v3_0", ""),
    ),
    "18 audio to text": (
        """
model_url = "https://clarifai.com/facebook/asr/models/asr-wav2vec2-large-robust-ft-swbd-300h-english"
prediction = await Model(url=model_url, pat="YOUR_PAT").predict_by_url(URL, "audio")
print(prediction.outputs[0].data.text.raw)
""",
        "some text",
        ("predict", "audio", "asr-wav2vec2-large-robust-ft-swbd-300h-english", ""),
    ),
    "19 a picture by URL, and a text": (
        """
prediction = await Model("https://clarifai.com/openai/chat-completion/models/openai-gpt-4-vision").predict(
    inputs=[Inputs.get_multimodal_input(input_id="", image_url=URL, raw_text="What time of day is it?")],
    inference_params=dict(temperature=0.2, max_tokens=100),
)
print(prediction.outputs[0].data.text.raw)
""",
        "some text",
        ("predict", "image+text", "openai-gpt-4-vision", ""),
    ),
    "20 a picture of this machine, and a text": (
        """
with open("a.jpg", "rb") as f:
    file_bytes = f.read()
prediction = await Model("https://clarifai.com/openai/chat-completion/models/openai-gpt-4-vision").predict(
    inputs=[Inputs.get_multimodal_input(input_id="", image_bytes=file_bytes, raw_text="What time of day is it?")],
    inference_params=dict(temperature=0.2, max_tokens=100),
)
print(prediction.outputs[0].data.text.raw)
""",
        "some text",
        ("predict", "image+text", "openai-gpt-4-vision", ""),
    ),
    "21 a list": (
        """
proto_list = []
for i in range(0, 128):
    proto_list.append(Inputs.get_input_from_url(input_id=f"demo_{i}", image_url=URL))
prediction = await Model(url="https://clarifai.com/clarifai/main/models/general-image-recognition").predict(proto_list)
print(len(prediction.outputs))
""",
        "128",
        ("predict", "image", "general-image-recognition", ""),
    ),
    "22 another server": (
        """
prediction = await Model(
    url="https://clarifai.com/cohere/embed/models/cohere-embed-english-v3_0", pat="YOUR_PAT", base_url=BASE
).predict_by_bytes("In India, ...", "text")
print(prediction.outputs[0].data.embeddings[0].num_dimensions)
""",
        "2",
        ("predict", "text", "cohere-embed-english-v3_0", ""),
    ),
    "23 certificates": (
        """
model = Model(
    url="https://clarifai.com/clarifai/main/models/general-image-recognition",
    pat="YOUR_PAT",
    root_certificates_path="root.pem",
)
prediction = await model.predict_by_url(URL, input_type="image")
print(prediction.outputs[0].data.concepts[0].name)
""",
        "train",
        ("predict", "image", "general-image-recognition", ""),
    ),
    "24 a method": (
        """
model = Model(url="https://clarifai.com/openai/chat-completion/models/o4-mini")
response = await model.predict(prompt="What is photosynthesis?", max_tokens=1024)
print(response)
""",
        "one two",
        ("predict", "prompt", "o4-mini", ""),
    ),
    "25 async_predict": (
        """
model = Model(url="https://clarifai.com/openai/chat-completion/models/o4-mini")
print(await model.async_predict(prompt="What is the value of pi?", max_tokens=500))
""",
        "one two",
        ("predict", "prompt", "o4-mini", ""),
    ),
    "26 async_generate": (
        """
model = Model(url="https://clarifai.com/qwen/qwenLM/models/QwQ-32B-AWQ")
generate_response = model.async_generate(prompt="What is the value of pi?", max_tokens=100)
async for response in generate_response:
    print(response)
""",
        "one\ntwo",
        ("generate", "prompt", "QwQ-32B-AWQ", ""),
    ),
    # The two that ask for the whole response with `with_proto=True`: `predict` and `generate` of an input give it.
    "27 the whole response": (
        """
model = Model(url="https://clarifai.com/openai/chat-completion/models/gpt-oss-120b")
response = await model.predict(prompt="What is photosynthesis?", reasoning_effort="medium")
proto_response = await model.predict("What is photosynthesis?", "text")
print(response, proto_response.status.code, len(proto_response.outputs), proto_response.outputs[0].status.code)
""",
        "one two 10000 1 10000",
        ("predict", "prompt", "gpt-oss-120b", ""),
    ),
    "28 whole responses of a stream": (
        """
model = Model(url="https://clarifai.com/openai/chat-completion/models/gpt-oss-120b")
async for response in model.generate(prompt="What is photosynthesis?", reasoning_effort="medium"):
    print(f"Generated chunk: {response}")
async for proto_response in model.generate("What is photosynthesis?", "text"):
    print(proto_response.status.code, len(proto_response.outputs), proto_response.outputs[0].data.text.raw)
""",
        "Generated chunk: one\nGenerated chunk: two\n10000 1 some text",
        ("generate", "prompt", "gpt-oss-120b", ""),
    ),
}


def hosted(item: ReceivedInput) -> pb.Data | list[pb.Data]:
    """Answer as the hosted models of the pages do, all of them at once."""
    if item.data.parts or item.data.string_value:  # the arguments of a method
        words = ["one", "two"]
        if item.shape == "generate":
            return [pb.Data(string_value=word) for word in words]
        return pb.Data(string_value=" ".join(words))
    data = everything("some text")
    data.image.image_info.width = 1024
    return data


def seen(item: ReceivedInput) -> tuple[str, str, str, str]:
    """Give what the server got of a snippet: shape, types, model, deployment."""
    types = [kind for kind in ("image", "video", "text", "audio") if item.data.HasField(kind)]
    if item.data.parts:
        types = [item.data.parts[0].id]
    selector = item.request.runner_selector
    pool = selector.nodepool
    return (
        item.shape,
        "+".join(types),
        item.request.model_id,
        selector.deployment.id or (f"{pool.compute_cluster.id}/{pool.id}" if pool.id else ""),
    )


@pytest.fixture
async def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ModelDouble]:
    """A server in place of the hosted API, in a folder with the files that the snippets name."""
    monkeypatch.chdir(tmp_path)
    for name, content in (("a.txt", b"text"), ("a.jpg", b"\xff\xd8\xff"), ("root.pem", b"")):
        (tmp_path / name).write_bytes(content)
    double = ModelDouble(hosted, signatures=METHODS)
    async with serving(double) as api:
        monkeypatch.setenv("CLARIFAI_API_BASE", api.address)
        monkeypatch.setenv("CLARIFAI_PAT", "made-up")
        yield double


def test_there_are_28() -> None:
    assert [int(name.split()[0]) for name in SNIPPETS] == list(range(1, 29))


@pytest.mark.parametrize("name", SNIPPETS)
async def test_a_documented_snippet_runs_translated(
    name: str, double: ModelDouble, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    snippet, printed, expected = SNIPPETS[name]
    made: list[headrace.Model] = []

    class Model(headrace.Model):
        """Remembers those that a snippet makes, as nothing in it closes them."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    names = {
        "Model": Model,
        "Inputs": headrace.Input,
        "URL": "https://samples.clarifai.com/metro-north.jpg",
        "BASE": os.environ["CLARIFAI_API_BASE"],
    }
    code = compile(snippet, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            running = eval(code, names)
            if inspect.isawaitable(running):
                await running
    finally:
        for model in made:
            await model.close()
    assert out.getvalue().strip() == printed
    assert seen(double.inputs[0]) == expected


async def test_names_that_are_not_taken_say_what_to_use(double: ModelDouble) -> None:
    async with headrace.Model("https://clarifai.com/me/my-app/models/m") as model:
        with pytest.raises(headrace.ConfigError, match=r"with_proto= is not needed: .* has \.status and \.outputs"):
            await model.predict(prompt="Hi", with_proto=True)  # type: ignore[call-arg]
        with pytest.raises(headrace.ConfigError, match=r"predict\(prompt"):
            await model.predict(promt="Hi")  # type: ignore[call-arg]
        with pytest.raises(headrace.ConfigError, match="generate needs an input"):
            model.generate(timeout=3)
        anything: Any = model
        for name, hint in (
            ("available_methods", r"await model\.methods\(\)"),
            ("summarize", r'model\.call\("summarize"'),
        ):
            with pytest.raises(AttributeError, match=hint):
                getattr(anything, name)
    for name, hint in (
        ("get_inputs_from_csv", "from_csv"),
        ("get_image_input", "get_input_from_url"),
        ("get_bbox_proto", "official package"),
        ("upload_from_url", "official package"),
    ):
        with pytest.raises(AttributeError, match=hint):
            getattr(headrace.Input, name)
    assert not hasattr(headrace.Input, "no_such_thing")
