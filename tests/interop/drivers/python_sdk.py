"""Every way to call a model that the official Python SDK has; run by that SDK's own Python, not by ours.

Settings come as JSON on stdin; each step prints one line of JSON. The names of functions here are those of steps.
"""

# mypy: ignore-errors
import asyncio
import json
import sys

from clarifai.client.input import Inputs
from clarifai.client.model import Model
from clarifai.client.model_client import ModelClient
from clarifai.client.user import User
from clarifai.runners.utils.data_types import Audio, Concept, Image, Video

SETTINGS = json.load(sys.stdin)
CAT = SETTINGS["samples"] + "/photos/cat.jpg"
REVIEW = SETTINGS["samples"] + "/texts/good-review.txt"
CAT_URL = SETTINGS["files"] + "/photos/cat.jpg"
REVIEW_URL = SETTINGS["files"] + "/texts/good-review.txt"
STEPS = []


def step(function):
    STEPS.append(function)
    return function


def model(name, base=SETTINGS["base"], **options):
    return Model(url=f"https://clarifai.com/headrace/local/models/{name}", base_url=base, **options)


def content(path):
    with open(path, "rb") as file:
        return file.read()


def texts(responses):
    return [response.outputs[0].data.text.raw for response in responses]


def top(response):
    return [concept.name for concept in response.outputs[0].data.concepts]


# --- predict


@step
def predict_by_bytes():
    return model("shout").predict_by_bytes(b"hello", input_type="text").outputs[0].data.text.raw


@step
def predict_by_bytes_without_type():
    return model("shout").predict_by_bytes(b"hello").outputs[0].data.text.raw


@step
def predict_by_filepath():
    return top(model("efficientnet-lite0").predict_by_filepath(CAT, input_type="image"))[:3]


@step
def predict_by_url():
    return top(model("efficientnet-lite0").predict_by_url(CAT_URL, input_type="image"))[:3]


@step
def predict_text_by_url():
    return model("shout").predict_by_url(REVIEW_URL, input_type="text").outputs[0].data.text.raw


@step
def inference_params():
    params = {"marks": 3}
    return model("shout").predict_by_bytes(b"a", input_type="text", inference_params=params).outputs[0].data.text.raw


@step
def output_config():
    config = {"min_value": 0.75, "max_concepts": 2}
    return top(model("sizes").predict_by_filepath(CAT, input_type="image", output_config=config))


@step
def several_inputs():
    inputs = [Inputs.get_input_from_bytes(f"i{n}", text_bytes=f"word {n}".encode()) for n in range(5)]
    response = model("shout").predict(inputs=inputs)
    return [[output.input.id, output.data.text.raw] for output in response.outputs]


@step
def multimodal():
    both = Inputs.get_multimodal_input(input_id="", image_bytes=content(CAT), raw_text="what is it")
    return model("echo").predict(inputs=[both]).outputs[0].data.text.raw


@step
def by_ids():
    made = Model(model_id="shout", user_id="headrace", app_id="local", base_url=SETTINGS["base"])
    return made.predict_by_bytes(b"ids", input_type="text").outputs[0].data.text.raw


@step
def with_version():
    return model("shout/versions/abc").predict_by_bytes(b"v", input_type="text").outputs[0].data.text.raw


@step
def with_token():
    return model("shout", token="x", pat="").predict_by_bytes(b"t", input_type="text").outputs[0].data.text.raw


@step
def encrypted_with_credential():
    made = model("shout", base=SETTINGS["guarded"], pat="right", root_certificates_path=SETTINGS["ca"])
    return texts([made.predict_by_bytes(b"tls", input_type="text")])


@step
def encrypted_with_wrong_credential():
    return str(model("shout", base=SETTINGS["guarded"], pat="wrong", root_certificates_path=SETTINGS["ca"]))


@step
def warming_up():
    """The first call is told that the model is still deploying."""
    return texts([model("shout", base=SETTINGS["warming"]).predict_by_bytes(b"warm", input_type="text")])


@step
def large_input_and_answer():
    data = b"x" * 12_000_000
    return [
        top(model("sizes").predict_by_bytes(data, input_type="image"))[0],
        len(model("echo").predict_by_bytes(data, input_type="text").outputs[0].data.text.raw),
    ]


# --- generate and stream


@step
def generate_by_bytes():
    return texts(model("shout").generate_by_bytes(b"one two three", input_type="text"))


@step
def generate_by_filepath():
    return "".join(texts(model("echo").generate_by_filepath(REVIEW, input_type="text")))


@step
def generate_by_url():
    return "".join(texts(model("echo").generate_by_url(REVIEW_URL, input_type="text")))


@step
def generate_inputs():
    return texts(model("shout").generate(inputs=[Inputs.get_input_from_bytes("", text_bytes=b"a b")]))


@step
def generate_with_output_config():
    stream = model("shout").generate_by_bytes(b"a", input_type="text", output_config={"max_concepts": 1})
    return texts(stream)


@step
def stream_by_bytes():
    return texts(model("shout").stream_by_bytes(iter([b"a", b"b", b"c"]), input_type="text"))


@step
def stream_by_url():
    stream = model("efficientnet-lite0").stream_by_url(iter([CAT_URL] * 3), input_type="image")
    return [top(response)[0] for response in stream]


@step
def stream_by_filepath():
    stream = model("efficientnet-lite0").stream_by_filepath(CAT, input_type="image")
    return [top(response)[0] for response in stream]


@step
def stream_many():
    stream = model("echo").stream_by_bytes((str(n).encode() for n in range(300)), input_type="text")
    return texts(stream)


@step
def stream_inputs():
    inputs = ([Inputs.get_input_from_bytes(f"i{n}", text_bytes=str(n).encode())] for n in range(3))
    outputs = [response.outputs[0] for response in model("shout").stream(inputs)]
    return [[output.input.id, output.data.text.raw] for output in outputs]


@step
def language_model():
    if not SETTINGS["llm"]:
        return None
    llm, question = model("smollm2-135m-instruct"), "What is the capital of France?"
    params = {"temperature": 0, "max_tokens": 20}
    whole = llm.predict_by_bytes(question.encode(), input_type="text", inference_params=params).outputs[0]
    pieces = texts(llm.generate_by_bytes(question.encode(), input_type="text", inference_params=params))
    typed = list(llm.generate(prompt=question, temperature=0.0, max_tokens=20))
    return [whole.data.text.raw, "".join(pieces), "".join(typed), len(pieces), whole.prompt_tokens > 0]


# --- failures


@step
def unknown_model():
    return str(model("there-is-none"))


@step
def bad_input():
    return texts([model("shout").predict_by_bytes(b"bad", input_type="text")])


@step
def one_bad_input_of_three():
    inputs = [Inputs.get_input_from_bytes("", text_bytes=text) for text in (b"a", b"bad", b"c")]
    return [output.data.text.raw for output in model("shout").predict(inputs=inputs).outputs]


@step
def unfetchable_url():
    return top(model("sizes").predict_by_url(SETTINGS["files"] + "/none.jpg", input_type="image"))


@step
def several_input_types():
    return texts([model("echo").predict_by_bytes(b"a")])


# --- routing


@step
def deployment():
    made = model("shout", deployment_id="d-1", deployment_user_id="somebody")
    chosen = made.client.request_template.runner_selector.deployment
    return [chosen.id, chosen.user_id, texts([made.predict_by_bytes(b"a", input_type="text")])]


@step
def nodepool():
    made = model("shout", compute_cluster_id="c-1", nodepool_id="n-1", deployment_user_id="somebody")
    chosen = made.client.request_template.runner_selector.nodepool
    answer = texts([made.predict_by_bytes(b"a", input_type="text")])
    return [chosen.id, chosen.compute_cluster.id, chosen.compute_cluster.user_id, answer]


@step
def deployment_generate_and_stream():
    made = model("shout", deployment_id="d-1", deployment_user_id="somebody")
    return [texts(made.generate_by_bytes(b"a b", input_type="text")), texts(made.stream_by_bytes(iter([b"c"]), "text"))]


# --- methods with signatures


@step
def signatures():
    client = model("typed").client
    return {name: client.method_signature(name) for name in client.available_methods()}


@step
def signatures_of_all_models():
    """What the SDK makes of them, and whether the example program that it writes is Python."""
    found = {}
    for info in User(user_id="headrace", base_url=SETTINGS["base"]).list_models(return_clarifai_model=False):
        client = model(info["id"]).client
        if info["id"] != "typed":  # the SDK forgets quotes in examples of tuples
            compile(client.generate_client_script(base_url=SETTINGS["base"]), info["id"], "exec")
        found[info["id"]] = [client.method_signature(method) for method in client.available_methods()]
    return found


@step
def signatures_by_asking_the_model():
    client = model("typed").client
    client._method_signatures = None
    client._fetch_signatures_backup()
    return sorted(client._method_signatures)


@step
def typed_predict():
    return model("typed").predict(prompt="hi", times=3, mark="?")


@step
def typed_predict_positional_with_defaults():
    return model("typed").predict("hi")


@step
def typed_predict_batch():
    return model("typed").predict([{"prompt": "a"}, {"prompt": "b", "times": 1}])


@step
def typed_predict_with_proto():
    value, response = model("typed").predict("hi", with_proto=True)
    return [value, response.status.code, response.outputs[0].data.parts[0].id]


@step
def typed_predict_plain_form():
    return texts([model("typed").predict_by_bytes(b"hey", input_type="text", inference_params={"times": 1})])


@step
def typed_wrong_argument():
    return model("typed").predict(prompt="hi", colour="red")


@step
def typed_generate():
    return list(model("typed").generate(prompt="a b c"))


@step
def typed_generate_other_name():
    return [frame.proto.frame_info.time for frame in model("typed").frames(times=[0, 40, 80])]


@step
def typed_generate_empty():
    return list(model("typed").nothing(prompt="x"))


@step
def typed_generate_failing():
    return list(model("typed").fails(prompt="x"))


@step
def typed_stream():
    return list(model("typed").stream(numbers=iter([1, 2, 3]), start=5))


@step
def typed_stream_lazily():
    """The first answer must come before the second number is asked for."""
    asked = []

    def numbers():
        for number in (1, 2):
            asked.append(number)
            yield number

    stream = model("typed").stream(numbers=numbers())
    first = next(stream)
    return [first, list(stream), asked]


@step
def typed_everything():
    arguments = {"flag": True, "ratio": 0.5, "raw": b"bytes", "text": "text", "data": {"a": [1, {"b": None}], "c": "d"}}
    return model("typed").everything(**arguments)


@step
def typed_zero_values():
    return model("typed").everything(flag=False, ratio=0.0, raw=b"", text="", data={})


@step
def typed_lists_and_tuples():
    return list(model("typed").total(numbers=[1, 2, 3], pair=("sum", 4)))


@step
def typed_array():
    import numpy

    return model("typed").scaled(array=numpy.arange(6, dtype="float32").reshape(2, 3), factor=0.5).tolist()


@step
def typed_image_by_bytes():
    return [[c.id, c.name, c.value] for c in model("typed").label(image=Image(bytes=content(CAT)))]


@step
def typed_image_by_url():
    return [[c.id, c.name, c.value] for c in model("typed").label(image=Image(url=CAT_URL))]


@step
def typed_media():
    image, audio, video, text = model("typed").media(
        images=[Image(bytes=b"one"), Image(bytes=b"two")], audio=Audio(bytes=b"sound"), video=Video(bytes=b"film")
    )
    return [image.bytes.decode(), audio.bytes.decode(), video.bytes.decode(), text.text]


@step
def typed_picture():
    import PIL.Image

    picture = model("typed").turned(picture=PIL.Image.new("RGB", (30, 20)))
    return picture.to_pil().size


@step
def typed_concepts():
    return model("typed").told(items=[1, "a", None], concepts=[Concept("x", 0.5), Concept("y", 0.25)], default=[1])


@step
def typed_optional_left_out():
    return model("typed").told(items=[], concepts=[])


@step
def video_frames():
    config = {"sample_ms": 2000}
    video = SETTINGS["samples"] + "/videos/photos.mp4"
    detector = model("yolov3-tiny-video")
    frames = detector.predict_by_filepath(video, input_type="video", output_config=config).outputs[0].data.frames
    return [[f.frame_info.time, f.data.regions[0].data.concepts[0].name] for f in frames if f.data.regions]


@step
def typed_region():
    return [[region.box, [c.name for c in region.concepts]] for region in model("typed").find(image=Image(url=CAT_URL))]


@step
def typed_built_in():
    found = model("efficientnet-lite0").predict(image=Image(bytes=content(CAT)))
    return [concept.name for concept in found][:3]


@step
def typed_built_in_vector():
    found = model("efficientnet-lite0-embedding").predict(image=Image(bytes=content(CAT)))
    return [len(found), round(sum(number * number for number in found), 3)]


@step
def compatible_client_without_signatures():
    """What the SDK does for models of old: one argument of any kind."""
    client = model("shout").client
    client._define_compatability_functions()
    client._defined = True
    return client.predict("hello")


@step
def from_local_grpc():
    client = ModelClient.from_local_grpc(port=int(SETTINGS["only"].rpartition(":")[2]))
    return [client.predict(prompt="local"), list(client.generate(prompt="a b")), list(client.stream(iter([1, 2])))]


# --- async


@step
def async_predict():
    async def main():
        return await model("typed").async_predict(prompt="hi", times=1)  # one await should do

    return asyncio.run(main())


@step
def async_predict_awaited_twice():
    async def main():
        return await (await model("typed").async_predict(prompt="hi", times=1))

    return asyncio.run(main())


@step
def async_predict_inputs():
    async def main():
        inputs = [Inputs.get_input_from_bytes("", text_bytes=b"hi")]
        return texts([await model("shout").async_predict(inputs=inputs)])

    return asyncio.run(main())


@step
def async_generate():
    async def main():
        return [piece async for piece in await model("typed").async_generate(prompt="a b c")]

    return asyncio.run(main())


@step
def async_generate_awaited_twice():
    async def main():
        return [piece async for piece in await (await model("typed").async_generate(prompt="a b c"))]

    return asyncio.run(main())


@step
def async_generate_inputs():
    async def main():
        inputs = [Inputs.get_input_from_bytes("", text_bytes=b"a b")]
        return texts([piece async for piece in await model("shout").async_generate(inputs=inputs)])

    return asyncio.run(main())


@step
def async_stream():
    async def numbers():
        for number in (1, 2):
            yield number

    async def main():
        stream = await model("typed").async_stream(numbers=numbers())
        return [total async for total in stream]

    return asyncio.run(asyncio.wait_for(main(), 5))


def main():
    for function in STEPS:
        told = {"step": function.__name__}
        try:
            told["value"] = function()
            line = json.dumps(told)
        except Exception as error:
            line = json.dumps({"step": function.__name__, "error": f"{type(error).__name__}: {error}"[:2000]})
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
