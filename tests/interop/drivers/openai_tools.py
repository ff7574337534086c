"""What people use with OpenAI's API, on ours: the `llm` command, LangChain, LiteLLM; run by a Python that has them.

Settings come as JSON on stdin: `base`, the API's address, `folder`, an empty one, and `steps`, how the names of the
steps to run begin. Each step prints a line of JSON.
"""

# mypy: ignore-errors
import asyncio
import io
import json
import os
import pathlib
import subprocess
import sys

SETTINGS = json.load(sys.stdin)
BASE = SETTINGS["base"]
FOLDER = pathlib.Path(SETTINGS["folder"])
STEPS = []
KEY = {"api_key": "none", "base_url": BASE}
LITE = {"api_key": "none", "api_base": BASE}
ECHO = [{"role": "user", "content": "one two three"}]


def step(function):
    STEPS.append(function)
    return function


# --- the llm command


def llm(*arguments, text=None):
    models = [{"model_id": "talk", "model_name": "echo", "api_base": BASE, "api_key_name": "none"}]
    (FOLDER / "extra-openai-models.yaml").write_text(json.dumps(models))  # JSON is YAML
    (FOLDER / "keys.json").write_text('{"none": "none"}')
    done = subprocess.run(
        [sys.executable, "-m", "llm", *arguments],
        env={**os.environ, "LLM_USER_PATH": str(FOLDER)},
        input=text or "",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@step
def llm_streams():
    return llm("-m", "talk", "one two three")


@step
def llm_waits():
    return llm("-m", "talk", "--no-stream", "-u", "one two three")


@step
def llm_lists():
    return "talk" in llm("models")


# --- LangChain


def chat_model():
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model="echo", stream_usage=True, **KEY)


@step
def langchain_invokes():
    answer = chat_model().invoke("one two three")
    return [answer.content, answer.usage_metadata["output_tokens"]]


@step
def langchain_streams():
    return [chunk.content for chunk in chat_model().stream("one two three") if chunk.content]


@step
def langchain_streams_async():
    async def all_pieces():
        return [chunk.content async for chunk in chat_model().astream("one two three") if chunk.content]

    return asyncio.run(all_pieces())


@step
def langchain_batches():
    return [answer.content for answer in chat_model().batch(["a b", "c d", "e f"])]


@step
def langchain_embeds():
    from langchain_openai import OpenAIEmbeddings

    vectors = OpenAIEmbeddings(model="minilm-l6-v2", check_embedding_ctx_length=False, **KEY).embed_documents(
        ["a", "b"]
    )
    return [len(vector) for vector in vectors]


# --- LiteLLM


@step
def litellm_completes():
    import litellm

    answer = litellm.completion(model="openai/echo", messages=ECHO, **LITE)
    return [answer.choices[0].message.content, answer.usage.completion_tokens]


@step
def litellm_streams():
    import litellm

    chunks = litellm.completion(model="openai/echo", messages=ECHO, stream=True, **LITE)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


@step
def litellm_completes_async():
    import litellm

    return asyncio.run(litellm.acompletion(model="openai/echo", messages=ECHO, **LITE)).choices[0].message.content


@step
def litellm_text_completes():
    import litellm

    return litellm.text_completion(model="text-completion-openai/echo", prompt="one two", **LITE).choices[0].text


@step
def litellm_responds():
    import litellm

    return litellm.responses(model="openai/echo", input="one two", **LITE).output[0].content[0].text


@step
def litellm_embeds():
    import litellm

    data = litellm.embedding(model="openai/minilm-l6-v2", input=["a", "b"], **LITE).data
    return [len(one["embedding"]) for one in data]


@step
def litellm_paints():
    import base64

    import litellm

    answer = litellm.image_generation(model="openai/shapes-to-image", prompt="a red circle", size="256x256", **LITE)
    return base64.b64decode(answer.data[0].b64_json)[:4].hex()


@step
def litellm_speaks_and_hears():
    import litellm

    sound = litellm.speech(model="openai/hibari-tts", voice="any", input="The house is red.", **LITE)
    file = io.BytesIO(sound.content)
    file.name = "speech.mp3"
    return litellm.transcription(model="openai/whisper-tiny-en", file=file, **LITE).text


@step
def litellm_is_refused():
    import litellm

    try:
        litellm.completion(model="openai/nobody", messages=ECHO, num_retries=0, **LITE)
    except litellm.NotFoundError as error:
        return str(error)


for function in STEPS:
    if not function.__name__.startswith(SETTINGS["steps"]):
        continue
    try:
        print(json.dumps({"step": function.__name__, "value": function()}), flush=True)
    except Exception as error:
        print(json.dumps({"step": function.__name__, "error": f"{type(error).__name__}: {error}"}), flush=True)
