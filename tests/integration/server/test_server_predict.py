"""PostModelOutputs over a real connection: envelopes, per-output statuses, parameters, bounds."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from headrace.config import INPUT_BYTES
from headrace.server.model import Answer, Card, Item, ModelError, concepts
from headrace.v2 import service_pb2 as pb


async def test_a_text_is_answered_with_its_inputs_id(serve: Any) -> None:
    stub = await serve()
    response = await stub.predict(stub.request("hello there"))
    assert response.status.code == 10000
    (output,) = response.outputs
    assert (output.status.code, output.input.id, output.data.text.raw) == (10000, "i0", "hello there")
    assert (output.prompt_tokens, output.completion_tokens, output.model.id) == (2, 2, "echo")


async def test_one_bad_input_of_a_batch_spoils_only_its_own_output(serve: Any) -> None:
    stub = await serve()
    response = await stub.predict(stub.request("a", "", "c"))
    assert response.status.code == 10010
    assert [(o.status.code, o.input.id, o.data.text.raw) for o in response.outputs] == [
        (10000, "i0", "a"),
        (30104, "i1", ""),
        (10000, "i2", "c"),
    ]


async def test_when_all_fail_alike_the_envelope_has_their_code(serve: Any) -> None:
    stub = await serve()
    response = await stub.predict(stub.request("", ""))
    assert response.status.code == 30104
    assert [o.status.code for o in response.outputs] == [30104, 30104]


class Picky:
    """Fails with the code that the text names."""

    def predict(self, item: Item) -> str:
        raise ModelError(int(item.text or 0), "as asked")


async def test_when_all_fail_differently_the_envelope_says_failure(serve: Any) -> None:
    stub = await serve(Picky)
    response = await stub.predict(stub.request("30101", "30105", model="picky"))
    assert response.status.code == 10020
    assert [o.status.code for o in response.outputs] == [30101, 30105]


async def test_an_unknown_model_is_an_envelope_that_names_the_models_there_are(serve: Any) -> None:
    stub = await serve()
    response = await stub.predict(stub.request("a", "b", model="nope"))
    assert response.status.code == 21200
    assert "'nope'" in response.status.details
    assert "echo" in response.status.details
    assert [(o.input.id, o.status.code) for o in response.outputs] == [("i0", 21200), ("i1", 21200)]


async def test_without_a_model_id_the_only_model_is_meant(serve: Any) -> None:
    stub = await serve()
    assert (await stub.predict(stub.request("a", model=""))).outputs[0].data.text.raw == "a"


async def test_routing_looks_at_model_id_only(serve: Any) -> None:
    stub = await serve()
    request = stub.request("a")
    request.user_app_id.user_id, request.user_app_id.app_id = "somebody", "something"
    request.version_id = "abc"
    request.model.id, request.model.app_id = "other", "echo"  # the official Node client fills these so
    assert (await stub.predict(request)).outputs[0].data.text.raw == "a"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda r: r.inputs.pop(), "no inputs"),
        (lambda r: r.inputs.extend([r.inputs[0]] * 128), "129 inputs"),
        (lambda r: r.model.model_version.output_info.params.update({"a": {"b": [1, float("nan")]}}), "a.b[1]"),
        (lambda r: r.model.model_version.output_info.params.update({"x": float("inf")}), "parameter x"),
        (lambda r: setattr(r.model.model_version.output_info.output_config, "min_value", 1.5), "min_value"),
        (lambda r: setattr(r.model.model_version.output_info.output_config, "min_value", float("nan")), "min_value"),
        (lambda r: setattr(r.model.model_version.output_info.output_config, "sample_ms", 50), "sample_ms"),
        (lambda r: setattr(r, "model_id", ""), "model_id"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused_as_a_whole(serve: Any, change: Any, word: str) -> None:
    stub = await serve(Picky)
    request = stub.request("a")
    change(request)
    response = await stub.predict(request)
    assert response.status.code == 11102
    assert word in response.status.details


async def test_whole_doubles_reach_the_model_as_ints(serve: Any) -> None:
    stub = await serve()
    request = stub.request("x", show=True, max_tokens=5, temperature=0.5, big=1e300, nested={"list": [1, "a", None]})
    config = request.model.model_version.output_info.output_config
    config.max_concepts, config.sample_ms, config.language = 3, 500, "en"
    config.select_concepts.add(name="cat")
    told = json.loads((await stub.predict(request)).outputs[0].data.text.raw)
    assert told["params"] == {
        "show": True, "max_tokens": 5, "temperature": 0.5, "big": 1e300, "nested": {"list": [1, "a", None]}
    }  # fmt: skip
    assert isinstance(told["params"]["max_tokens"], int)
    assert told["config"] == {
        "min_value": 0.0, "max_concepts": 3, "select_concepts": ["cat"], "sample_ms": 500, "language": "en"
    }  # fmt: skip


class Labeller:
    """Takes pictures only."""

    card = Card("labeller", "visual-classifier", "Labeller", "", ("image",), ("concepts",))

    def predict(self, item: Item) -> Answer:
        assert item.image is not None
        return concepts([("bytes", len(item.image) / 1000)], item.config)


async def test_an_input_of_the_wrong_kind_says_what_the_model_takes(serve: Any) -> None:
    stub = await serve(Labeller)
    request = stub.request("a", model="labeller")
    request.inputs.add(id="p").data.image.base64 = b"x" * 500
    request.inputs.add(id="both").data.image.base64 = b"x" * 250
    request.inputs[2].data.text.raw = "and a text, which it cannot use"
    response = await stub.predict(request)
    assert response.status.code == 10010
    assert [o.status.code for o in response.outputs] == [30101, 10000, 30101]
    assert "takes image" in response.outputs[0].status.details
    assert "text" in response.outputs[2].status.details
    assert response.outputs[1].data.concepts[0].value == pytest.approx(0.5)


async def test_an_oversized_input_is_refused_by_its_size_and_the_largest_that_clients_send_is_not(serve: Any) -> None:
    stub = await serve(Labeller)
    request = pb.PostModelOutputsRequest(model_id="labeller")
    wire = request.inputs.add(id="p")
    wire.data.image.base64 = bytes(INPUT_BYTES["image"])
    assert (await stub.predict(request)).status.code == 10000
    wire.data.image.base64 = bytes(INPUT_BYTES["image"] + 1)
    response = await stub.predict(request)
    assert response.status.code == 30105
    assert "20,971,521" in response.status.details


class Arrays:
    """Takes what has no field of its own in an item."""

    def predict(self, item: Item) -> str:
        return f"{list(item.data.ndarray.shape)}"


async def test_other_data_than_the_four_kinds_reach_the_model(serve: Any) -> None:
    stub = await serve(Arrays)
    request = pb.PostModelOutputsRequest(model_id="arrays")
    request.inputs.add().data.ndarray.shape.extend([2, 3])
    request.inputs.add().data.metadata.update({"only": "metadata"})
    response = await stub.predict(request)
    assert [(o.status.code, o.data.text.raw) for o in response.outputs] == [(10000, "[2, 3]"), (30104, "")]


class Broken:
    """Raises what no model should."""

    def predict(self, item: Item) -> str:
        raise ZeroDivisionError("oops")


class Odd:
    """Gives back what nobody understands."""

    def predict(self, item: Item) -> object:
        return 3.5


@pytest.mark.parametrize(("cls", "word"), [(Broken, "ZeroDivisionError: oops"), (Odd, "float")])
async def test_a_models_own_failure_is_21313_with_its_words(serve: Any, cls: type, word: str) -> None:
    stub = await serve(cls)
    response = await stub.predict(stub.request("a", model=cls.__name__.casefold()))
    assert response.status.code == 21313
    assert word in response.status.details


class Slow:
    """Counts how many of its calls run at once."""

    concurrency = 3

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.barrier = threading.Barrier(3, timeout=10)
        self.running = self.peak = 0

    def predict(self, item: Item) -> str:
        with self.lock:
            self.running += 1
            self.peak = max(self.peak, self.running)
        self.barrier.wait()  # passes only when three run at once
        with self.lock:
            self.running -= 1
        return str(self.peak)


async def test_a_batch_runs_as_many_at_once_as_the_model_takes_and_keeps_order(serve: Any) -> None:
    stub = await serve(Slow)
    response = await stub.predict(stub.request(*"abcdef", model="slow"))
    assert [o.input.id for o in response.outputs] == [f"i{n}" for n in range(6)]
    assert [int(o.data.text.raw) for o in response.outputs][-1] == 3


class Held:
    """Waits until it is let go."""

    entered = threading.Event()
    go = threading.Event()
    concurrency = 4

    def predict(self, item: Item) -> str:
        self.entered.set()
        assert self.go.wait(10)
        return "done"


async def test_more_calls_than_the_server_takes_are_throttled_not_failed(serve: Any) -> None:
    Held.entered.clear()
    Held.go.clear()
    stub = await serve(Held, max_calls=1)
    first = asyncio.create_task(_result(stub.predict(stub.request("a", model="held"))))
    await asyncio.to_thread(Held.entered.wait, 10)
    refused = await stub.predict(stub.request("b", model="held"))
    Held.go.set()
    assert refused.status.code == 11005
    assert (await first).outputs[0].data.text.raw == "done"


async def _result(call: Any) -> Any:
    return await call


async def test_the_request_id_has_the_clients_prefix(serve: Any) -> None:
    stub = await serve()
    metadata = (("x-clarifai-request-id-prefix", "headrace-python-1.0\n<b>"),)
    prefixed = (("x-clarifai-request-id-prefix", "headrace-python-1.0"),)
    first = await stub.predict(stub.request("a"), metadata=prefixed)
    second = await stub.predict(stub.request("a"), metadata=prefixed)
    assert first.status.req_id.startswith("headrace-python-1.0-")
    assert first.status.req_id != second.status.req_id
    assert metadata  # a newline never passes gRPC's own check


async def test_only_the_required_credential_is_let_in(serve: Any) -> None:
    stub = await serve(require_pat="s3cret")
    for metadata in ((), (("authorization", "Key wrong"),), (("authorization", "Key "),)):
        assert (await stub.predict(stub.request("a"), metadata=metadata)).status.code == 11008
        assert (await stub.call["ListModels"](pb.ListModelsRequest(), metadata=metadata)).status.code == 11008
    for metadata in ((("authorization", "Key s3cret"),), (("x-clarifai-session-token", "s3cret"),)):
        assert (await stub.predict(stub.request("a"), metadata=metadata)).status.code == 10000


@pytest.mark.parametrize("method", ["PostModelOutputs", "GetModel"])
async def test_bytes_that_are_no_request_are_an_envelope_too(serve: Any, method: str) -> None:
    stub = await serve()
    call = stub.channel.unary_unary(f"/clarifai.api.V2/{method}", None, pb.MultiOutputResponse.FromString)
    response = await call(b"\xff\xff\xff")
    assert response.status.code == 11100
    call = stub.channel.unary_stream("/clarifai.api.V2/GenerateModelOutputs", None, pb.MultiOutputResponse.FromString)
    assert [r.status.code async for r in call(b"\xff\xff\xff")] == [11100]


class Loaded:
    """Tells how often it was loaded."""

    loads = 0

    def load(self) -> None:
        type(self).loads += 1

    async def predict(self, item: Item) -> str:
        return str(self.loads)


async def test_a_model_is_loaded_once_however_many_ask_first(serve: Any) -> None:
    Loaded.loads = 0
    stub = await serve(Loaded)
    responses = await asyncio.gather(*(_result(stub.predict(stub.request("a", model="loaded"))) for _ in range(8)))
    assert {r.outputs[0].data.text.raw for r in responses} == {"1"}


class Unloadable:
    """Fails to load the first time."""

    tries = 0

    def load(self) -> None:
        type(self).tries += 1
        if self.tries == 1:
            raise OSError("no such file")

    def predict(self, item: Item) -> str:
        return "ready"


async def test_a_model_that_cannot_be_loaded_says_why_and_is_tried_again(serve: Any) -> None:
    Unloadable.tries = 0
    stub = await serve(Unloadable)
    first = await stub.predict(stub.request("a", model="unloadable"))
    assert first.status.code == 21350
    assert "OSError: no such file" in first.status.details
    assert (await stub.predict(stub.request("a", model="unloadable"))).outputs[0].data.text.raw == "ready"
