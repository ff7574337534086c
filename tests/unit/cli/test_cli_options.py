"""Options: both spellings, JSON with its column, typed fields."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest
from click.testing import CliRunner

from headrace.cli.app import SETTINGS
from headrace.cli.options import OPTIONS, Command, Options, shared


@click.command(cls=Command, context_settings=SETTINGS)
@shared("server", "model", "input", "fields", "output")
def command(options: Options, field: tuple[tuple[str, Any], ...], inputs: dict[str, Any], method: str | None) -> None:
    click.echo(
        json.dumps(
            {
                "model": [options.model_url, options.model_id, options.user_id, options.model_version_id],
                "place": [options.deployment_id, options.compute_cluster_id, options.nodepool_id],
                "input": [options.input_type, options.url, options.data, options.file_path],
                "call": options.call,
                "fields": dict(field),
                "inputs": inputs,
            }
        )
    )


def run(*argv: str) -> dict[str, Any]:
    result = CliRunner().invoke(command, argv)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def refuse(*argv: str) -> str:
    result = CliRunner().invoke(command, argv)
    assert result.exit_code == 2
    return result.stderr


def test_snake_and_kebab_are_the_same() -> None:
    snake = ["--model_id=m", "--user_id=u", "--deployment_id=d", "--file_path=p", '--inference_params={"a": 1}']
    kebab = [word.replace("_", "-") for word in snake]
    assert kebab[3] == "--file-path=p"
    found = run(*snake)
    assert found == run(*kebab)
    assert found["model"] == [None, "m", "u", None]
    assert found["place"] == ["d", None, None]
    assert found["call"] == {"inference_params": {"a": 1}}


def test_every_documented_option_is_known() -> None:
    names = {name for group in OPTIONS.values() for decorate in group for name in _names(decorate)}
    documented = """
        --model_url --model_id --user_id --app_id --model_version_id --url --bytes --file_path --input_type
        --inference_params --output_config --deployment_id --compute_cluster_id --nodepool_id --deployment_user_id
        --pat --base_url --local --timeout -o --save --force --draw --file -i --inputs --deployment
    """
    assert set(documented.split()) <= names


def _names(decorate: Any) -> list[str]:
    def function() -> None: ...

    decorate(function)
    return [name for param in function.__click_params__ for name in param.opts]  # type: ignore[attr-defined]


def test_the_present_names_of_options() -> None:
    found = run("--deployment", "d", "--file", "p", "-i", "n=3", "-i", "s=hello", "-i", "t=true", "-i", "e=a=b")
    assert found["place"][0] == "d"
    assert found["input"][3] == ["p"]
    assert found["fields"] == {"n": "3", "s": "hello", "t": "true", "e": "a=b"}  # as typed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"temperature" 0.7}', "column 16"),
        ('{"a": 1,\n "b" 2}', "line 2, column 6"),
        ("{'a': 1}", "column 2"),
        ('{"a": 1', "column 8"),
        ("", "column 1"),
        ("[1]", "expected a JSON object"),
        ("7", "not a number"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_mistake_in_json_is_told_with_its_column(text: str, message: str) -> None:
    said = refuse("--inference_params", text)
    assert message in said
    assert "--inference_params" in said


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon"])
def test_timeout_must_be_a_positive_number(value: str) -> None:
    assert "expected seconds above 0" in refuse("--timeout", value)


def test_an_unknown_input_type_is_told_with_the_known_ones() -> None:
    assert "'smell' is no input type; known: image, text, video, audio" in refuse("--input_type", "smell")


def test_a_field_needs_an_equals_sign() -> None:
    assert "expected key=value" in refuse("-i", "prompt")


def test_the_credential_is_not_in_the_repr() -> None:
    assert "canary" not in repr(Options(pat="canary-credential"))
