"""The client: credentials, limits and connections, shared by the models made from it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NoReturn, Self

from headrace import credentials, reference
from headrace._version import __version__
from headrace.calls.options import checked_timeout
from headrace.calls.session import Counts, Session
from headrace.calls.unary.single import predict_one
from headrace.catalog import Catalog, ModelInfo
from headrace.channels.manager import ChannelManager
from headrace.config import (
    TLS,
    UNSET,
    Coalesce,
    KeepAlive,
    Limits,
    Pem,
    RetryPolicy,
    Target,
    Timeouts,
    Transmission,
    Unset,
    check_classes,
)
from headrace.emitter import Emitter
from headrace.errors import ClosedError, ConfigError
from headrace.flow.rate import Budget, Rate
from headrace.inputs.ids import new_ids
from headrace.model import Model
from headrace.model_calls import Backend
from headrace.support.later import later
from headrace.support.misuse import AsyncContext
from headrace.transport.base import TransportFactory
from headrace.transport.choice import choose, reaches_target

if TYPE_CHECKING:
    from headrace.calls.stats import ClientStats
    from headrace.calls.unary.coalesce import Coalescer
    from headrace.events import OnEvent
    from headrace.local import LocalServer
else:
    ClientStats = later("headrace.calls.stats", "ClientStats")
    OnEvent = later("headrace.events", "OnEvent")
    LocalServer = later("headrace.local", "LocalServer")


class Client(AsyncContext):
    """An asyncio client of one server; nothing is sent before the first call, connections are made when needed.

    Args:
        base_url: `https://host[:port]`, `http://host:port`, `host:port` (TLS, but not on loopback), `unix:/path`;
            else CLARIFAI_API_BASE, a context's base, or the hosted API.
        pat: personal access token; else CLARIFAI_PAT, else the current context's.
        token: session token, instead of `pat`; else CLARIFAI_SESSION_TOKEN.
        root_certificates_path: PEM of the authorities to trust; else CLARIFAI_ROOT_CERTIFICATES_PATH.
        root_certificates: the same as bytes, or "system" for those of the operating system.
        certificate: our certificate chain for mTLS (PEM bytes or path), with `key`.
        tls: all of TLS in one, with the name to expect in the server's certificate; instead of the four before.
        timeout: seconds for every call that gives none; None: no limit. See `Timeouts` for what it bounds.
        timeouts: all timeouts, if the defaults don't fit.
        retry: which failures are retried, how often and how fast.
        limits: sizes, rates and connections.
        keepalive: pings on connections with calls.
        coalesce: put concurrent `predict` calls of one input each into one request, if model, parameters, routing
            and metadata are the same: True, or `Coalesce(...)`. Each keeps its own answer, error and timeout.
        transport: "h2", the lean one; "grpc", grpc.aio; "auto", what HEADRACE_TRANSPORT names, else "h2", but "grpc"
            where grpc.aio is instrumented and once the server and "h2" do not get along (see docs/transports.md); or
            something that makes transports, such as the in-memory one of `headrace.testing`.
        on_event: called with each event of `headrace.events`, synchronously.
        allow_insecure_credentials: send a credential without TLS to another machine; refused otherwise.

    Raises:
        ConfigError: a malformed base URL, both `pat` and `token`, a credential over plaintext, half of mTLS.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        pat: str | None = None,
        token: str | None = None,
        root_certificates_path: str | os.PathLike[str] | None = None,
        root_certificates: bytes | Literal["system"] | None = None,
        certificate: Pem | None = None,
        key: Pem | None = None,
        tls: TLS | None = None,
        timeout: float | Unset | None = UNSET,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        limits: Limits | None = None,
        keepalive: KeepAlive | None = None,
        coalesce: Coalesce | bool = False,
        transport: Literal["auto", "grpc", "h2"] | TransportFactory = "auto",
        on_event: OnEvent | None = None,
        allow_insecure_credentials: bool = False,
        _local: LocalServer | None = None,
    ) -> None:
        check_classes({Timeouts: timeouts, RetryPolicy: retry, Limits: limits, KeepAlive: keepalive, TLS: tls})
        if not isinstance(timeout, Unset):
            checked_timeout(timeout)
        self.timeouts: Timeouts = timeouts or Timeouts()
        self.limits: Limits = limits or Limits()
        self._local = _local
        self._shared = False
        self._timeout: float | Unset | None = timeout
        self._emit = Emitter(on_event)
        self._account = (
            credentials.Account(_local.target, credentials.Credentials(), _local.user_id, _local.app_id)
            if _local is not None
            else credentials.resolve(base_url, pat, token, root_certificates_path)
        )
        if not allow_insecure_credentials:
            self._account.refuse_plaintext()
        target = self._account.target
        self._hosted = target.hosted and reaches_target(transport)
        if tls is None:
            roots = root_certificates if root_certificates is not None else self._account.root_certificates_path
            tls = TLS(roots or None, certificate, key)
        elif any(one is not None for one in (root_certificates_path, root_certificates, certificate, key)):
            raise ConfigError("give tls=, or root_certificates=, certificate= and key=, not both")
        transmission = Transmission(tls, keepalive or KeepAlive(), self.timeouts.connect, self.limits.response_bytes)
        factory = choose(transport, lambda event: channels.notify(event))
        channels = ChannelManager(target, transmission, factory, self.limits, self._emit)
        self._calls = self._new_session(channels, retry or RetryPolicy())
        self._coalescer: Coalescer | None = None
        if coalesce is not False:
            from headrace.calls.unary.coalesce import coalescer

            self._coalescer = coalescer(coalesce, self.limits)
        self._backend = Backend(
            session=self._open_session,
            catalog=self._new_catalog(None),
            limits=self.limits,
            timeouts=self.timeouts,
            timeout=self._timeout,
            ids=new_ids(),
            predict_one=self._coalescer or predict_one,
            owner=reference.default_owner(self._account),
        )

    @classmethod
    def local(
        cls,
        models: Sequence[str] | None = None,
        *,
        serve: Sequence[str] = (),
        timeout: float | Unset | None = UNSET,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        limits: Limits | None = None,
        keepalive: KeepAlive | None = None,
        coalesce: Coalesce | bool = False,
        transport: Literal["auto", "grpc", "h2"] | TransportFactory = "auto",
        on_event: OnEvent | None = None,
    ) -> Client:
        """Make a client with its own embedded server: a child process on a private socket file.

        Use it with `async with`: entering starts the server, leaving ends it. It never sends a credential. Needs the
        `local` extra, or `server` with those of its parts `llm`, `speech` and `ocr` whose models are used.

        Args:
            models: ids of the built-in models to serve; None: all. Each is loaded on first use.
            serve: the user's own model classes, as "path/to/module.py:Class".
            transport: as of `Client`; the server is not started if a tape is replayed, or a double answers.

        Raises (on entering):
            ConnectFailed: the server did not start; the message has its last lines.
        """
        from headrace.local import LocalServer

        server = LocalServer(models, serve, needed=reaches_target(transport))
        return cls(
            timeout=timeout,
            timeouts=timeouts,
            retry=retry,
            limits=limits,
            keepalive=keepalive,
            coalesce=coalesce,
            transport=transport,
            on_event=on_event,
            _local=server,
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Client cannot be pickled, because it holds connections; make one in each process")

    def __repr__(self) -> str:
        stats = self.stats
        state = "closed" if self._calls.channels.closed else "open"
        return (
            f"<Client {self.target} {state}: {stats.connected} of {stats.connections} connections ready, "
            f"{stats.running} calls, {stats.waiting} waiting>"
        )

    def _repr_html_(self) -> str:
        """Show it in a notebook: its server, whether it is open, and its counts."""
        from headrace.support import htmltext

        state = "closed" if self._calls.channels.closed else "open"
        return f"<p>Client of {htmltext.escaped(self.target)}, {state}</p>{self.stats._repr_html_()}"

    @property
    def target(self) -> Target:
        """The server's address."""
        return self._account.target

    @property
    def stats(self) -> ClientStats:
        """A snapshot of the counts."""
        from headrace.calls.stats import ClientStats

        counts: Counts = self._calls.counts
        connections = self._calls.channels.connections
        return ClientStats(
            counts.calls,
            counts.attempts,
            counts.retries,
            counts.resumes,
            counts.failures,
            len(connections),
            sum(connection.connected for connection in connections),
            sum(connection.calls for connection in connections),
            self._calls.channels.waiting,
            self._calls.rate.per_second,
            self._calls.budget.tokens,
        )

    async def __aenter__(self) -> Self:
        if self._local is not None and not self._shared:
            await self._local.start(self._emit)
        return self

    async def close(self) -> None:
        """Close it: another name of `aclose`."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; calls still running get `Timeouts.close` seconds. Idempotent, shielded.

        A client made by `with_options` shares its connections and leaves them open.
        """
        if self._shared:
            return
        await asyncio.shield(asyncio.ensure_future(self._close()))

    async def _close(self) -> None:
        await self._calls.channels.close(self.timeouts.close if self._local is None else 0.0)
        if self._coalescer is not None:
            await self._coalescer.close(self.timeouts.close)
        if self._local is not None:
            await self._local.stop()

    def with_options(
        self,
        *,
        timeout: float | Unset | None = UNSET,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        on_event: OnEvent | None = None,
    ) -> Client:
        """Make a client with other options that shares connections, rate and budget; closing it leaves them open."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._shared = True
        if not isinstance(timeout, Unset):
            other._timeout = checked_timeout(timeout)
        other.timeouts = timeouts or self.timeouts
        other._emit = Emitter(on_event) if on_event is not None else self._emit
        other._backend = replace(
            self._backend,
            session=other._open_session,
            catalog=other._new_catalog(self._backend.catalog),
            timeouts=other.timeouts,
            timeout=other._timeout,
        )
        calls = self._calls
        calls.channels.listen(other._emit)
        other._calls = Session(
            calls.channels,
            retry or calls.policy,
            other.timeouts,
            calls.rate,
            calls.budget,
            calls.metadata,
            other._emit,
            calls.counts,
        )
        return other

    def model(
        self,
        url: str | None = None,
        *,
        user_id: str | None = None,
        app_id: str | None = None,
        model_id: str | None = None,
        model_version: Mapping[str, str] | str | None = None,
        deployment_id: str | None = None,
        compute_cluster_id: str | None = None,
        nodepool_id: str | None = None,
        deployment_user_id: str | None = None,
    ) -> Model:
        """Name a model; no I/O. See `Model` for the arguments.

        With `Client.local()`, `model_id=` alone suffices.

        Raises:
            ConfigError: a malformed URL, missing ids, both kinds of routing or half of one.
        """
        return Model(
            url,
            user_id=user_id,
            app_id=app_id,
            model_id=model_id,
            model_version=model_version,
            deployment_id=deployment_id,
            compute_cluster_id=compute_cluster_id,
            nodepool_id=nodepool_id,
            deployment_user_id=deployment_user_id,
            client=self,
        )

    async def models(
        self, *, user_id: str | None = None, app_id: str | None = None, input_field: str | None = None
    ) -> list[ModelInfo]:
        """List the server's models of a user and app, all pages.

        Args:
            user_id: whose; None: the default user (CLARIFAI_USER_ID, a context's).
            app_id: in which app; None: the default app.
            input_field: only those that take this type.

        Raises:
            HeadraceError: the server cannot be reached, or refuses.
        """
        return await self._backend.catalog.models(user_id, app_id, input_field)

    async def default_model(self, input_type: str) -> Model:
        """Name the model that the server has as the default for this type.

        Without a default: the first that takes this type and nothing else, else the first that takes it.

        Raises:
            NotFound: it has none.
        """
        info = await self._backend.catalog.default(input_type)
        return self.model(user_id=info.user_id, app_id=info.app_id, model_id=info.id)

    def _new_session(self, channels: ChannelManager, policy: RetryPolicy) -> Session:
        prefix = ("x-clarifai-request-id-prefix", f"headrace-python-{__version__}")
        return Session(
            channels,
            policy,
            self.timeouts,
            Rate(self.limits.rate(self._hosted)),
            Budget(policy.budget, policy.budget_ratio, policy.budget_per_second),
            (*self._account.credentials.metadata, prefix),
            self._emit,
        )

    def _new_catalog(self, other: Catalog | None) -> Catalog:
        seconds = self.timeouts.total if isinstance(self._timeout, Unset) else self._timeout
        return Catalog(self._open_session, self._account, seconds, other)

    def _open_session(self) -> Session:
        """Return the session of the calls, if the client can make calls."""
        if self._local is not None and not self._local.started:
            if self._local.stopped:
                raise ClosedError("the client is closed: its embedded server ended with the `async with` block")
            raise ConfigError("Client.local() starts its server when it is entered: use `async with`")
        if self._hosted and not self._account.credentials:
            raise ConfigError(
                f"no credential for {self.target}: give pat= or token=, set CLARIFAI_PAT, or log in with the official "
                "command line (a context)"
            )
        return self._calls
