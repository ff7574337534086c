"""Which model: all forms of its URL, ids with defaults, and routing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.credentials import Account, Credentials
from headrace.errors import ConfigError
from headrace.reference import ModelRef, default_owner, routing
from headrace.target import Target

M = ModelRef("u", "a", "m")
V = ModelRef("u", "a", "m", "v1")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://clarifai.com/u/a/models/m", M),
        ("https://clarifai.com/u/a/models/m/", M),
        ("http://clarifai.com/u/a/models/m", M),
        ("https://clarifai.com/u/a/models/m?tab=overview#x", M),
        ("https://clarifai.com/u/a/models/m/versions/v1", V),
        ("https://clarifai.com/u/a/models/m/model_version_id/v1", V),
        ("clarifai.com/u/a/models/m", M),
        ("u/a/models/m", M),
        ("/u/a/models/m", M),
        ("u/a/models/m/versions/v1", V),
        ("u/a/models/m/model_version_id/v1", V),
        ("https://my.own.host:8080/u/a/models/m", M),
        (
            "https://clarifai.com/meta/Llama-3/models/Llama-3.2_3B-Instruct",
            ModelRef("meta", "Llama-3", "Llama-3.2_3B-Instruct"),
        ),
    ],
)
def test_every_form_is_understood(url: str, expected: ModelRef) -> None:
    assert ModelRef.parse(url) == expected
    assert ModelRef.parse(expected.url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "m",
        "u/a/m",
        "u/a/model/m",
        "u/a/models",
        "u/a/models/m/versions",
        "u/a/models/m/version/v1",
        "u/a/models/m/versions/v1/x",
        "u/a/models/m m",
        "u/a/models/../x",
        "u/a/models/%2e",
        "u/a/models/m\n",
        "https://clarifai.com/",
        "https://[bad/u/a/workflows/w",
        "https://clarifai.com/u/a/workflows/w",
    ],
)
def test_malformed_ones_are_refused_with_the_forms_that_are_known(url: str) -> None:
    with pytest.raises(ConfigError, match=r"expected https://clarifai\.com/"):
        ModelRef.parse(url)


def test_a_url_that_is_no_text_is_refused() -> None:
    with pytest.raises(ConfigError, match="bytes"):
        ModelRef.parse(b"u/a/models/m")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url", ["https://x:CANARY@h/u/a", "https://h/u/a?key=CANARY", "https://h/u#CANARY", "CANARY@x"]
)
def test_no_message_shows_a_credential(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ModelRef.parse(url)
    assert "CANARY" not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_a_model_or_a_config_error(url: str) -> None:
    try:
        ref = ModelRef.parse(url)
    except ConfigError:
        return
    assert ModelRef.parse(str(ref)).model_id == ref.model_id


def of(url: str | None = None, **given_: Any) -> ModelRef:
    ids = {"user_id": None, "app_id": None, "model_id": None, "model_version": None}
    return ModelRef.of(url, **{**ids, "default_user": "", "default_app": "", **given_})


def test_ids_and_defaults() -> None:
    assert of(user_id="u", app_id="a", model_id="m") == M
    assert of(model_id="m", default_user="u", default_app="a") == M
    assert of(user_id="x", model_id="m", default_user="u", default_app="a").user_id == "x"
    assert of(user_id="u", app_id="a", model_id="m", model_version={"id": "v1"}) == V
    assert of("u/a/models/m", model_version="v1") == V
    assert of("u/a/models/m/versions/v1", model_version={"id": "v1"}) == V
    assert of("u/a/models/m", default_user="x", default_app="y") == M


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "no model named"),
        ({"url": "u/a/models/m", "model_id": "m"}, "not both"),
        ({"url": "u/a/models/m/versions/v1", "model_version": {"id": "v2"}}, "v2"),
        ({"model_id": "m"}, "user_id and app_id missing"),
        ({"model_id": "m", "user_id": "u"}, "app_id missing"),
        ({"model_id": "m m", "user_id": "u", "app_id": "a"}, "model_id 'm m'"),
        ({"model_id": "m", "user_id": "u/x", "app_id": "a"}, "user_id"),
        ({"url": "u/a/models/m", "model_version": {}}, "model_version"),
        ({"url": "u/a/models/m", "model_version": {"id": 5}}, "model_version"),
        ({"url": "u/a/models/m", "model_version": 5}, "model_version"),
    ],
)
def test_what_does_not_name_one_model_is_refused(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        of(**arguments)


def test_routing() -> None:
    assert routing(None, None, None, None) == {}
    assert routing("d", None, None, None) == {"deployment_id": "d"}
    assert routing("d", None, None, "u") == {"deployment_id": "d", "user_id": "u"}
    assert routing(None, "c", "n", None) == {"compute_cluster_id": "c", "nodepool_id": "n"}
    assert routing(None, "c", "n", "u") == {"compute_cluster_id": "c", "nodepool_id": "n", "user_id": "u"}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("d", "c", "n", None), "not both"),
        (("d", "c", None, None), "not both"),
        (("d", None, "n", None), "not both"),
        ((None, "c", None, None), "needs nodepool_id"),
        ((None, None, "n", None), "needs compute_cluster_id"),
        ((None, None, None, "u"), "deployment_user_id goes with"),
    ],
)
def test_routing_both_ways_or_half_is_refused(arguments: tuple[str | None, ...], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        routing(*arguments)


@pytest.mark.parametrize(
    ("base_url", "ids", "owner"),
    [
        ("http://127.0.0.1:8000", ("", ""), ("headrace", "local")),
        ("unix:/tmp/s", ("", ""), ("headrace", "local")),
        ("https://models.example.com", ("me", ""), ("me", "local")),
        ("https://api.clarifai.com", ("", ""), ("", "")),
        ("https://api.clarifai.com", ("me", "mine"), ("me", "mine")),
    ],
)
@pytest.mark.parametrize("named", [{"url": "shout-2.1"}, {"model_id": "shout-2.1"}])
def test_a_bare_id_suffices_where_the_owner_is_known(
    base_url: str, ids: tuple[str, str], owner: tuple[str, str], named: dict[str, str]
) -> None:
    defaults = default_owner(Account(Target.parse(base_url), Credentials(), *ids))
    assert defaults == owner
    if not all(owner):
        with pytest.raises(ConfigError, match=r"'shout-2\.1': .* missing"):
            of(**named, default_user=owner[0], default_app=owner[1])
    else:
        ref = of(**named, default_user=owner[0], default_app=owner[1])
        assert ref == ModelRef(*owner, "shout-2.1")
