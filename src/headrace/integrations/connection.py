"""What the adapters have in common: settings of a model and its server, and one client for each adapter object."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from typing import Any, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, PrivateAttr, SecretStr

from headrace.blocking import thread
from headrace.blocking.call import run
from headrace.chat import Dialogue
from headrace.client import Client
from headrace.config import RetryPolicy
from headrace.errors import ConfigError
from headrace.model import Model

T = TypeVar("T")

_END: Any = object()


def iterate(items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    """Read an async generator from synchronous code; leaving it early closes it."""
    try:
        while (item := run(_next, items)) is not _END:
            yield item
    finally:
        if (loop_thread := thread.running()) is not None and loop_thread.is_this:  # collected there
            loop_thread.leave(items)
        elif loop_thread is not None:
            run(items.aclose)


async def _next(items: AsyncGenerator[T, None]) -> T:
    return await anext(items, _END)


class Connection:
    """A client and the models that are used through it.

    Args:
        client: of somebody else, who closes it; None: one is made of the options, and closed here.
        model: names the model: its URL or id.
        ids: the other arguments of `Client.model`.
        options: of the client that is made.
    """

    def __init__(self, client: Client | None, model: str, ids: dict[str, str], options: dict[str, Any]) -> None:
        self._arguments = (client, model, ids, options)
        self._name = model
        self._ids = ids
        self.owned: bool = client is None
        self.client: Client = client or Client(**options)
        self._dialogues: dict[str, Dialogue] = {}
        self.dialogue(model)  # a malformed name is reported now
        self._opened = thread.open_until_closed(self, self.client if self.owned else _Shared())

    def __reduce__(self) -> tuple[Any, ...]:
        return Connection, self._arguments  # a client of somebody else says that it cannot come along

    def __deepcopy__(self, memo: object) -> Connection:
        return self

    def dialogue(self, name: str | None = None) -> Dialogue:
        """Give the dialogue with the model, or with another one of the same server."""
        name = name or self._name
        if name not in self._dialogues:
            ids = self._ids if name == self._name else {key: self._ids[key] for key in _OWNER & self._ids.keys()}
            self._dialogues[name] = Dialogue(self.client.model(name, **ids))
        return self._dialogues[name]

    @property
    def model(self) -> Model:
        """The model."""
        return self.dialogue().model

    @property
    def closed(self) -> bool:
        """Whether it was closed here."""
        return not self._opened.alive

    async def aclose(self) -> None:
        """Close the client, if it was made here. Idempotent."""
        if self.owned:
            await self.client.aclose()
        await asyncio.to_thread(thread.close, self._opened, lambda: None)  # which may wait for the thread's end

    def close(self) -> None:
        """Close the client from synchronous code, if it was made here. Idempotent."""
        thread.close(self._opened, lambda: run(self.client.aclose) if self.owned else None)


class _Shared:
    """Stands for a client that somebody else closes."""

    async def aclose(self) -> None:
        """Leave it open."""


_OWNER = {"user_id", "app_id"}
_IDS = (*sorted(_OWNER), "model_version", "deployment_id", "compute_cluster_id", "nodepool_id", "deployment_user_id")


#: Of the adapters' classes: each names it itself, as the last of several bases would decide.
CONFIG = ConfigDict(
    arbitrary_types_allowed=True,
    extra="forbid",
    hide_input_in_errors=True,  # it may be a credential
    protected_namespaces=(),
)


class ConnectionSettings(BaseModel):
    """The settings that name a model and its server; the base of the adapters' classes.

    Raises (when made):
        ConfigError: a malformed model or base URL, ids that are missing, or a client beside settings of one.
    """

    model_config = CONFIG

    model: str = Field(min_length=1, description="The model's URL, full or short, or its id.")
    base_url: str | None = Field(default=None, description="The server; else CLARIFAI_API_BASE, else the hosted API.")
    api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("api_key", "pat"),
        description="Personal access token; else CLARIFAI_PAT, else the current context of the official tools.",
    )
    user_id: str | None = Field(default=None, description="The model's user, where `model` is an id.")
    app_id: str | None = Field(default=None, description="The model's app, where `model` is an id.")
    model_version: str | None = Field(default=None, description="The model's version; else the latest.")
    deployment_id: str | None = None
    compute_cluster_id: str | None = None
    nodepool_id: str | None = None
    deployment_user_id: str | None = None
    timeout: float | None = Field(default=None, gt=0, description="Seconds for each call; else the client's own.")
    max_retries: int | None = Field(default=None, ge=0, description="How often a call is tried again; else 4 times.")
    client: Client | None = Field(default=None, exclude=True, repr=False, description="A client to share.")
    _connection: Connection = PrivateAttr()

    def __init__(self, *args: Any, **fields: Any) -> None:
        """Make it, and the client, which connects with the first call."""
        super().__init__(*args, **fields)  # outside of what pydantic checks: our errors are not for it to wrap
        options: dict[str, Any] = {"base_url": self.base_url}
        if self.api_key is not None:
            options["pat"] = self.api_key.get_secret_value()
        if self.max_retries is not None:
            options["retry"] = RetryPolicy(attempts=self.max_retries + 1)
        options = {name: value for name, value in options.items() if value is not None}
        if self.client is not None and options:
            names = ", ".join(
                name for name in ("base_url", "api_key", "max_retries") if getattr(self, name) is not None
            )
            raise ConfigError(f"give client=, or {names}, not both: the client has its own")
        ids = {name: value for name in _IDS if (value := getattr(self, name)) is not None}
        self._connection = Connection(self.client, self.model, ids, options)

    async def aclose(self) -> None:
        """Close the connections; a client that was given stays open. Idempotent."""
        await self._connection.aclose()

    def close(self) -> None:
        """Close the connections, from synchronous code; as `aclose`."""
        self._connection.close()


__all__ = ["CONFIG", "Connection", "ConnectionSettings", "iterate", "run"]
