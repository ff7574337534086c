"""Messages name an input by what its user knows: the id that they gave, or the file; never by an id of ours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from headrace import Client, DeadlineExceeded, HeadraceError, Input, InputError, Limits
from headrace.support import ids
from headrace.testing import Fail, ModelDouble, ReceivedInput
from tests.support.shapes import SHAPES

MADE = re.compile(r"h[0-9a-f]{8}-|item-\d|again-")


def refuse(item: ReceivedInput) -> Any:
    return Fail(30300, details="the text is broken") if item.text.startswith("bad") else item.text


def cases(folder: Path) -> dict[str, tuple[Any, str, str]]:
    """Give name -> (input, what its message begins with, its source)."""
    bad, long = folder / "bad.txt", folder / "long.txt"
    bad.write_text("bad")
    long.write_text("x" * 2000)
    missing = folder / "missing.txt"
    return {
        "refused text": ("bad", "", ""),
        "refused text with an id": (Input.from_text("bad", id="mine"), "input mine: ", ""),
        "refused file": (bad, "", str(bad)),
        "not UTF-8": (b"caf\xe9", "the input: the text is not UTF-8", ""),
        "not UTF-8, with an id": (Input.from_bytes(b"caf\xe9", "text", id="mine"), "input mine: the text is", ""),
        "no input": (5, "cannot send int", ""),
        "missing file": (missing, f"cannot read {missing}: No such file", str(missing)),
        "missing file with an id": (
            Input.from_filepath(missing, "text", id="mine"),
            f"input mine: cannot read {missing}: No such file",
            str(missing),
        ),
        "long file": (long, f"{long} has 2,000 bytes", str(long)),
        "long text": ("x" * 2000, "the input", ""),
        "empty": (b"", "the input: the text is empty", ""),
    }


@pytest.mark.parametrize("shape", SHAPES)
async def test_no_message_has_an_id_that_headrace_made(shape: str, tmp_path: Path) -> None:
    table = cases(tmp_path)
    async with Client(transport=ModelDouble(refuse), limits=Limits(input_bytes={"text": 1000})) as client:
        inputs = ["good", *(case[0] for case in table.values())]
        outcomes = await SHAPES[shape](client.model("u/a/models/m"), inputs, "text")
    for position, (name, (_, beginning, source)) in enumerate(table.items(), 1):
        outcome = outcomes[position]
        error = outcome if isinstance(outcome, HeadraceError) else outcome.error
        assert isinstance(error, HeadraceError), name
        assert not MADE.search(str(error)), (name, str(error))
        assert str(error).startswith(beginning), (name, str(error))
        assert str(error).count(source) <= 1 or not source, name
        if isinstance(error, InputError):
            assert error.source == source, name


async def test_a_failed_prediction_of_a_path_given_as_text_has_its_source() -> None:
    async with Client(transport=ModelDouble(refuse)) as client:
        model = client.model("u/a/models/m")
        async with model.stream_by_filepath(["no/such.txt"], input_type="text") as stream:
            [prediction] = [prediction async for prediction in stream]
        with pytest.raises(InputError) as caught:
            await model.predict_by_filepath("no/such.txt", input_type="text")
    assert isinstance(prediction.error, InputError)
    assert [prediction.source, prediction.error.source, caught.value.source] == ["no/such.txt"] * 3


async def test_a_raised_error_has_a_note_of_the_position() -> None:
    async with Client(transport=ModelDouble(refuse)) as client:
        with pytest.raises(HeadraceError) as caught:
            async with client.model("u/a/models/m").map(["good", "bad"], on_error="raise") as stream:
                async for _ in stream:
                    pass
    assert caught.value.__notes__ == ["This was the input at position 1."]


async def test_a_timeout_names_the_input() -> None:
    async with Client(transport=ModelDouble(refuse)) as client:
        model = client.model("u/a/models/m")
        with pytest.raises(DeadlineExceeded, match=r"^the input took longer"):
            await model.predict("good", timeout=1e-9)
        with pytest.raises(DeadlineExceeded, match=r"^input mine took longer"):
            await model.predict(Input.from_text("good", id="mine"), timeout=1e-9)


def test_ids_of_clients_sources_and_repeats_are_ours() -> None:
    for made in ("h0123abcd-1f", "0a1b2c-3-44", "again-" + "0" * 24, "item-3", "", None):
        assert (ids.named(made), ids.before(made)) == ("the input", ""), made
    for own in ("mine", "house-1", "h0123abcd", "item-three"):
        assert (ids.named(own), ids.before(own)) == (f"input {own}", f"input {own}: "), own
