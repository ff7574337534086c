"""Credentials: their order of sources, where they may go, and that they are never shown."""

from __future__ import annotations

import pickle
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from headrace.credentials import Account, Credentials, context_path, resolve
from headrace.errors import ConfigError

CANARY = "canary-0123456789abcdef"
HOSTED = "https://api.clarifai.com:443"
CONTEXT = """
current_context: work
contexts:
  work: {CLARIFAI_PAT: from-context, CLARIFAI_USER_ID: cu, CLARIFAI_APP_ID: ca}
  other: {CLARIFAI_PAT: from-other, CLARIFAI_API_BASE: https://other.example}
"""


@pytest.fixture
def write_contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def write(text: str | bytes) -> Path:
        path = tmp_path / "clarifai" / "config"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def found(base: str | None = None, pat: str | None = None, token: str | None = None) -> tuple[str, str | None]:
    account = resolve(base, pat, token)
    header = account.credentials.metadata
    return account.target.url, header[0][1] if header else None


# -- the order: argument, environment, context


def test_an_argument_comes_before_the_environment_and_that_before_a_context(
    monkeypatch: pytest.MonkeyPatch, write_contexts: Any
) -> None:
    write_contexts(CONTEXT)
    assert found() == (HOSTED, "Key from-context")
    monkeypatch.setenv("CLARIFAI_SESSION_TOKEN", "env-token")
    assert found() == (HOSTED, "env-token")
    monkeypatch.setenv("CLARIFAI_PAT", "env-pat")
    assert found() == (HOSTED, "Key env-pat")
    assert found(token="arg-token") == (HOSTED, "arg-token")
    assert found(pat="arg-pat") == (HOSTED, "Key arg-pat")


def test_base_user_app_and_roots_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLARIFAI_API_BASE", "http://localhost:1")
    monkeypatch.setenv("CLARIFAI_USER_ID", "u")
    monkeypatch.setenv("CLARIFAI_APP_ID", "a")
    monkeypatch.setenv("CLARIFAI_ROOT_CERTIFICATES_PATH", "/ca.pem")
    account = resolve(None, "p", None)
    assert (account.target.url, account.user_id, account.app_id) == ("http://localhost:1", "u", "a")
    assert account.root_certificates_path == "/ca.pem"
    account = resolve("https://h", "p", None, Path("/other.pem"))
    assert (account.target.url, account.root_certificates_path) == ("https://h:443", "/other.pem")


def test_anonymous_looks_for_nothing(monkeypatch: pytest.MonkeyPatch, write_contexts: Any) -> None:
    write_contexts(": not yaml [")
    monkeypatch.setenv("CLARIFAI_PAT", "p")
    assert not resolve("http://localhost:1", None, None, anonymous=True).credentials


def test_without_any_there_is_none(write_contexts: Any) -> None:
    assert found() == (HOSTED, None)
    assert resolve(None, None, None).credentials.metadata == ()


def test_pat_and_token_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="not both"):
        resolve(None, "p", "t")


# -- contexts


def test_a_contexts_credential_goes_only_to_its_own_base(write_contexts: Any) -> None:
    write_contexts(CONTEXT)
    assert found("https://evil.example") == ("https://evil.example:443", None)
    assert found("http://localhost:1") == ("http://localhost:1", None)
    assert found("https://api.clarifai.com:443/") == (HOSTED, "Key from-context")
    write_contexts(CONTEXT.replace("current_context: work", "current_context: other"))
    assert found() == ("https://other.example:443", "Key from-other")
    assert found("https://api.clarifai.com") == (HOSTED, None)


def test_a_contexts_credential_does_not_follow_the_environments_base(
    monkeypatch: pytest.MonkeyPatch, write_contexts: Any
) -> None:
    write_contexts(CONTEXT)
    monkeypatch.setenv("CLARIFAI_API_BASE", "https://evil.example")
    assert found() == ("https://evil.example:443", None)


def test_a_contexts_user_and_app_fill_in(monkeypatch: pytest.MonkeyPatch, write_contexts: Any) -> None:
    write_contexts(CONTEXT)
    account = resolve(None, None, None)
    assert (account.user_id, account.app_id) == ("cu", "ca")
    monkeypatch.setenv("CLARIFAI_USER_ID", "eu")
    assert resolve(None, None, None).user_id == "eu"


def test_a_context_may_nest_its_variables_and_be_named_by_a_number(write_contexts: Any) -> None:
    write_contexts("current_context: 1\ncontexts:\n  1:\n    env: {CLARIFAI_SESSION_TOKEN: nested}\n")
    assert found() == (HOSTED, "nested")


def test_a_context_is_not_read_where_there_is_a_credential(write_contexts: Any) -> None:
    write_contexts(b"\xff\xfe not even text")
    assert found(pat="p") == (HOSTED, "Key p")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "just text",
        "[]",
        "contexts: 5",
        "contexts: {}",
        "current_context: x\ncontexts: {}",
        "current_context: [a]\ncontexts: {a: {CLARIFAI_PAT: x}}",
        "current_context: a\ncontexts: {a: 5}",
        "contexts: {a: {CLARIFAI_PAT: x}}",
        "current_context: a\ncontexts: {a: {CLARIFAI_PAT: null}}",
    ],
)
def test_a_context_file_without_a_current_context_gives_nothing(text: str, write_contexts: Any) -> None:
    write_contexts(text)
    assert found() == (HOSTED, None)


@pytest.mark.parametrize(
    "content",
    [
        f"contexts: {{a: {{CLARIFAI_PAT: {CANARY}".encode(),
        f"a: b: {CANARY}\n\t- x".encode(),
        CANARY.encode() + b"\xff\xfe",
        f"!!python/object/apply:os.system ['{CANARY}']".encode(),
    ],
)
def test_a_malformed_context_file_is_named_and_its_content_is_not_shown(content: bytes, write_contexts: Any) -> None:
    path = write_contexts(content)
    with pytest.raises(ConfigError) as caught:
        resolve(None, None, None)
    assert str(path) in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__cause__)
    assert CANARY not in shown


def test_an_unreadable_context_file_is_an_error(write_contexts: Any) -> None:
    path = write_contexts("x")
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigError, match="directory"):
        resolve(None, None, None)


def test_without_pyyaml_the_error_names_the_extra(write_contexts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write_contexts(CONTEXT)
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ConfigError, match=r"\S*\[cli\]"):
        resolve(None, None, None)


def test_contexts_are_in_the_users_config_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert context_path() == str(tmp_path / "clarifai" / "config")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert context_path() == str(tmp_path / ".config" / "clarifai" / "config")


# -- what a credential is


@pytest.mark.parametrize("value", ["  p\n", "\tp", "p\r\n"])
def test_white_space_around_a_credential_is_a_copying_slip(value: str) -> None:
    assert found(pat=value) == (HOSTED, "Key p")


@pytest.mark.parametrize("value", [f"{CANARY}\nx: y", f"a {CANARY}", f"{CANARY}\x00", f"{CANARY}é", f"{CANARY}\x7f"])
@pytest.mark.parametrize("name", ["pat", "token"])
def test_what_could_forge_a_header_is_refused_and_not_shown(value: str, name: str) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        Credentials(**{name: value})
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("name", ["pat", "token"])
def test_no_representation_shows_a_credential(name: str) -> None:
    credentials = Credentials(**{name: CANARY})
    account = Account(resolve(None, "p", None).target, credentials)
    assert CANARY not in f"{credentials!r}{credentials}{account!r}{account}"
    assert pickle.loads(pickle.dumps(credentials)) == credentials
    assert bool(credentials)
    assert not Credentials()


@pytest.mark.parametrize("base", [None, "http://127.0.0.1:9", "https://models.example"])
@pytest.mark.parametrize("folder", ["", "relative", ".config"])
def test_without_a_home_there_are_no_contexts(base: str | None, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> object:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", folder)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert context_path() is None
    assert not resolve(base, None, None).credentials


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "contexts: " + "{a: " * 5000,
        "current_context: 2024-99-99",
        "current_context: " + "9" * 10_000,
        "a: &a [x]\nb: &b [" + "*a, " * 50 + "]",
        "\t- x",
        "a: *missing",
        "!!python/object/apply:os.system [ls]",
    ],
    ids=range(8),
)
def test_a_context_file_of_any_content_is_read_or_refused(text: str, write_contexts: Any) -> None:
    write_contexts(text)
    try:
        read = bool(resolve(None, None, None).credentials)
    except ConfigError as error:
        read = "are not valid YAML" not in str(error)
    assert not read
    assert resolve("http://127.0.0.1:9", None, None).target.local


def test_a_context_whose_name_is_no_text_is_nobodys(write_contexts: Any) -> None:
    write_contexts("current_context: [a]\ncontexts:\n  a: {CLARIFAI_PAT: [x, y]}\n  b: {CLARIFAI_PAT: p}\n")
    assert not resolve(None, None, None).credentials
