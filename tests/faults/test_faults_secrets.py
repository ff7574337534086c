"""Credentials: never in the open, never in plaintext over a network, never where they could forge a header."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import textwrap
import traceback
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from headrace import Client, ConfigError, HeadraceError, RetryPolicy
from headrace.errors import ConnectFailed
from headrace.testing import Fail, FaultProxy, GrpcFail, ModelDouble
from tests.support.bridge import GrpcServer
from tests.support.child import ROOT, echo_child
from tests.support.rig import MODEL, WIRES, Wire, rigged

pytestmark = pytest.mark.core

CANARY = "canary-4f1e7c0a9b"
PAYLOAD = "payload-77aa12"


def _shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error) + repr(getattr(error, "__dict__", {}))


TROUBLE: list[Any] = [
    11008,
    30300,
    10020,
    21351,
    Fail(10040, "bad"),
    GrpcFail("UNAUTHENTICATED"),
    GrpcFail("UNAVAILABLE"),
    GrpcFail("INTERNAL"),
]


@pytest.mark.parametrize("credential", ["pat", "token"])
@pytest.mark.parametrize("wire", WIRES)
async def test_nothing_that_is_said_holds_the_credential_or_a_payload(
    wire: Wire,
    credential: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    given: Any = {credential: CANARY}
    retry = RetryPolicy(attempts=2, throttled_attempts=2, initial=0.001, warm_up_cap=0.01)
    answer: Any = "fine"
    async with rigged(wire, tmp_path, lambda _: answer, retry=retry, **given) as rig:

        async def shapes() -> AsyncIterator[Any]:
            yield rig.model.predict_by_bytes(PAYLOAD, "text", timeout=0.1)
            yield rig.model.predict([PAYLOAD] * 3, "text", timeout=0.1)
            yield rig.model.generate_by_bytes(PAYLOAD, "text", timeout=0.1).text()
            for matched in (True, False):
                stream = rig.model.stream_by_bytes(
                    [PAYLOAD] * 2, "text", matched=matched, on_error="raise", timeout=0.1
                )
                yield anext(stream)
                said.append(repr(stream))
                await stream.aclose()
            mapped = rig.model.map([PAYLOAD] * 2, input_type="text", timeout=0.1)
            yield anext(mapped)
            said.append(repr(mapped))
            await mapped.aclose()

        for answer in ["fine", *TROUBLE]:  # noqa: B007 - the double gives it
            async for call in shapes():
                try:
                    said.append(repr(await call))
                except HeadraceError as error:
                    said.append(_shown(error))
        sent = [dict(call.metadata) for call in rig.calls]
        said += [repr(thing) for thing in (rig.client, rig.model, rig.client.stats, rig.client._calls.channels)]
        said += [repr(rig.client._account), repr(rig.events), repr(rig.client._calls.channels.connections)]
    header = "authorization" if credential == "pat" else "x-clarifai-session-token"
    assert all(CANARY in metadata[header] for metadata in sent)  # it was really there
    assert len(sent) > 50
    out, err = capfd.readouterr()
    for text in (*said, caplog.text, out, err):
        assert CANARY not in text
        assert PAYLOAD not in text


@pytest.mark.parametrize("value", ["a\nb", "a\r\nx-evil: 1", "a\0b", "schlüssel", "a b\n"])
@pytest.mark.parametrize("name", ["pat", "token"])
def test_a_credential_that_could_forge_a_header_is_refused_unseen(name: str, value: str) -> None:
    given: Any = {name: value}
    if value.strip() != value and value.strip().isascii() and " " not in value.strip():
        return
    with pytest.raises(ConfigError) as caught:
        Client(base_url="https://example.com", **given)
    assert value not in str(caught.value)


@pytest.mark.parametrize(
    "pair", [("x-a", "b\r\nauthorization: Key z"), ("x-a\n", "b"), ("authorization", "Key z"), ("grpc-timeout", "1S")]
)
async def test_metadata_that_could_forge_a_header_is_refused_before_anything_is_sent(
    pair: tuple[str, str], tmp_path: Path
) -> None:
    async with rigged("memory", tmp_path) as rig:
        with pytest.raises(ConfigError):
            await rig.model.predict_by_bytes("text", "text", metadata=[pair])
        with pytest.raises(ConfigError):
            rig.model.generate_by_bytes("text", "text", metadata=[pair])
        with pytest.raises(ConfigError):
            rig.model.stream_by_bytes(["text"], "text", metadata=[pair])
        assert not rig.calls
        await rig.model.predict_by_bytes("text", "text", metadata=[("x-a", "b")])
        assert dict(rig.calls[0].metadata)["x-a"] == "b"


def test_plaintext_to_another_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match="allow_insecure_credentials"):
        Client(base_url="http://192.0.2.1:80", pat=CANARY)
    Client(base_url="http://192.0.2.1:80", pat=CANARY, allow_insecure_credentials=True)
    Client(base_url="http://192.0.2.1:80")
    for loopback in ("http://127.0.0.1:80", "http://localhost:80", "http://[::1]:80", "unix:/run/x", "127.0.0.1:80"):
        Client(base_url=loopback, pat=CANARY)


# -- TLS, through the whole client


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def folder(tmp_path: Path, authority: trustme.CA) -> Path:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return tmp_path


def _server_credentials(authority: trustme.CA, *, ask: bool = False) -> grpc.ServerCredentials:
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    return grpc.ssl_server_credentials(
        [(certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes())],
        root_certificates=authority.cert_pem.bytes() if ask else None,
        require_client_auth=ask,
    )


@pytest.mark.parametrize("roots", ["path", "bytes", "system"])
async def test_a_custom_root_in_all_its_forms(
    roots: str, folder: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    double = ModelDouble(lambda item: item.text)
    async with GrpcServer(double, "localhost:0", credentials=_server_credentials(authority)) as server:
        options: dict[str, Any] = {}
        if roots == "path":
            options["root_certificates_path"] = folder / "ca.pem"
        elif roots == "bytes":
            options["root_certificates"] = authority.cert_pem.bytes()
        else:
            monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
            options["root_certificates"] = "system"
        async with Client(base_url=server.address, pat=CANARY, **options) as client:
            model = client.model(**MODEL)
            assert (await model.predict_by_bytes("text", "text")).text == "text"
            async with model.stream_by_bytes(["a", "b"], "text") as stream:
                assert [p.text async for p in stream] == ["a", "b"]
        assert dict(double.server.calls[0].metadata)["authorization"] == f"Key {CANARY}"
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        async with Client(base_url=server.address, pat=CANARY, retry=RetryPolicy(attempts=1)) as stranger:
            before = len(double.server.calls)
            with pytest.raises(ConnectFailed) as caught:
                await stranger.model(**MODEL).predict_by_bytes("text", "text")
            assert CANARY not in _shown(caught.value)
            assert len(double.server.calls) == before


async def test_a_server_that_asks_who_we_are(authority: trustme.CA) -> None:
    double = ModelDouble(lambda item: item.text)
    credentials = _server_credentials(authority, ask=True)
    ours = authority.issue_cert("client@example.com")
    async with GrpcServer(double, "localhost:0", credentials=credentials) as server:
        roots = authority.cert_pem.bytes()
        async with Client(
            base_url=server.address,
            root_certificates=roots,
            certificate=ours.cert_chain_pems[0].bytes(),
            key=ours.private_key_pem.bytes(),
        ) as client:
            assert (await client.model(**MODEL).predict_by_bytes("text", "text")).text == "text"
        async with Client(base_url=server.address, root_certificates=roots, retry=RetryPolicy(attempts=1)) as nobody:
            with pytest.raises(HeadraceError):
                await nobody.model(**MODEL).predict_by_bytes("text", "text")
        assert len(double.server.calls) == 1


async def test_tls_through_a_proxy_that_breaks_it(authority: trustme.CA) -> None:
    double = ModelDouble(lambda item: item.text)
    async with (
        GrpcServer(double, "localhost:0", credentials=_server_credentials(authority)) as server,
        FaultProxy(server.address) as proxy,
        Client(
            base_url=proxy.address.replace("127.0.0.1", "localhost"), root_certificates=authority.cert_pem.bytes()
        ) as client,
    ):
        texts = [f"text {n}" for n in range(200)]
        found: list[str] = []
        async with client.model(**MODEL).stream_by_bytes(texts, "text", window=4) as stream:
            async for prediction in stream:
                found.append(prediction.text)
                if len(found) in (50, 100):
                    proxy.reset()
        assert found == texts
        assert stream.stats.resumed == 2


# -- proxies of the environment

PROXIED = """
import asyncio, logging, os, sys
# Under asyncio's checks: that a step took long is the machine's affair.
logging.getLogger("asyncio").addFilter(lambda record: not str(record.msg).startswith("Executing "))
for name in ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
    os.environ[name] = "http://127.0.0.1:9"  # nobody listens there
import headrace

async def main():
    async with headrace.Client(base_url=sys.argv[1]) as client:
        model = client.model(user_id="u", app_id="a", model_id="m")
        assert (await model.predict_by_bytes("one", "text", timeout=10)).text == "one"

asyncio.run(main())
"""


@pytest.mark.parametrize("over", ["unix", "loopback"])
async def test_proxies_of_the_environment_are_not_for_this_machine(over: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(PROXIED))
    async with echo_child(tmp_path / "s"), FaultProxy(f"unix:{tmp_path}/s") as tcp:
        address = tcp.address if over == "loopback" else f"unix:{tmp_path}/s"
        command = [sys.executable, str(script), address]
        done = await _run(command)
    assert done == (0, "")


async def _run(command: list[str]) -> tuple[int, str]:
    import asyncio

    return await asyncio.to_thread(_run_blocking, command)


def _run_blocking(command: list[str]) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
    return done.returncode, done.stderr


def test_a_closed_client_says_nothing_at_its_end() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Client(base_url="http://127.0.0.1:1", pat=CANARY)
        gc.collect()
