"""From options to a client and a model, with progress on stderr."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click

from headrace.cli import messages
from headrace.cli.run import say
from headrace.cli.status import Status
from headrace.cli.terminal import in_bytes, in_seconds
from headrace.errors import ConnectFailed, ServerError
from headrace.events import Event, ServerLog, WarmUp
from headrace.support.extras import install

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from headrace import Client, Model
    from headrace.cli.options import Options

LINE_SECONDS = 10.0  # between lines of progress if there is no terminal


class Watcher:
    """Turns events into a status line on a terminal, and into a line every 10 seconds elsewhere."""

    def __init__(self, status: Status | None = None) -> None:
        self.status: Status = status or Status()
        self._begun: dict[str, tuple[float, int]] = {}  # weight -> when its first bytes were seen, how many
        self._said_at: dict[str, float] = {}
        self._counts_bytes = False

    def __call__(self, event: Event) -> None:
        if isinstance(event, ServerLog):
            self._weights(event)
        elif isinstance(event, WarmUp) and not self._counts_bytes:  # which say more
            self._warm_up(event)

    def _warm_up(self, event: WarmUp) -> None:
        share = f": {event.description}" if "%" in event.description else ""  # with its progress
        waited = f"{event.waited:.0f} s of at most {event.budget:.0f} s"
        self.status.show(f"the model is warming up{share}; waited {waited}")
        if not self.status.on and event.waited >= 1 and self._is_time("warm-up"):
            say(f"the model is warming up{share}; waited {waited}")

    def _weights(self, event: ServerLog) -> None:
        self._counts_bytes = True
        finished = 0 < event.total <= event.done
        if finished:
            self.status.clear()
            self._begun.pop(event.name, None)
            return
        begun, first = self._begun.setdefault(event.name, (time.monotonic(), event.done))
        came, seconds = event.done - first, time.monotonic() - begun
        share = f"{in_bytes(event.done)} of {in_bytes(event.total)}" if event.total else in_bytes(event.done)
        remaining = (event.total - event.done) * seconds / came if came > 0 and event.total else 0.0
        note = f"{share}, {in_seconds(max(round(remaining), 1))} left" if remaining else share
        if self.status.on:
            self.status.progress(f"fetching {event.name}", event.done, event.total, note)
        elif self._is_time(event.name):
            percent = f"{event.done / event.total:.0%}, " if event.total else ""
            say(f"fetching {event.name}, once: {percent}{note}")

    def _is_time(self, what: str) -> bool:
        """Return whether a line about something is due: immediately, then every 10 seconds."""
        now = time.monotonic()
        if what in self._said_at and now - self._said_at[what] < LINE_SECONDS:
            return False
        self._said_at[what] = now
        return True


@asynccontextmanager
async def connect(options: Options, watcher: Watcher | None = None, ref: str | None = None) -> AsyncIterator[Client]:
    """Open the client that the options ask for: the embedded server's with `--local`, else a server's.

    Args:
        options: which server; the model that they name is checked first, so that its mistakes are reported first.
        watcher: takes events.
        ref: a model given as a positional argument, checked as well.

    Raises:
        click.UsageError: `--local` together with another server or a credential; no credential for a remote server.
        ConfigError: a malformed address, model URL or routing, an unreadable context.
    """
    from headrace import Client, reference
    from headrace.credentials import resolve

    url = options.model_url or (ref if ref is not None and "/" in ref else None)
    if url is not None:
        reference.ModelRef.parse(url)
    reference.routing(
        options.deployment_id, options.compute_cluster_id, options.nodepool_id, options.deployment_user_id
    )
    watcher = watcher or Watcher()
    if options.local:
        if options.base_url or options.pat:
            other = "--base-url" if options.base_url else "--pat"
            raise click.UsageError(f"--local starts its own server and sends no credential; leave out {other}")
        client = Client.local(on_event=watcher)
    else:
        account = resolve(options.base_url, options.pat, None, options.root_certificates)
        if account.target.tls and not account.target.local and not account.credentials:
            raise click.UsageError(
                f"no credential for {account.target}: set CLARIFAI_PAT (or give --pat); --local needs none"
            )
        if account.credentials and not (account.target.tls or account.target.local):
            raise click.UsageError(
                f"{account.target} is not encrypted: the credential would be sent in clear text. "
                "Give --base-url https://..., or unix:PATH for a server on this machine"
            )
        client = Client(
            base_url=options.base_url,
            pat=options.pat,
            root_certificates_path=options.root_certificates,
            on_event=watcher,
        )
    messages.talk_to(local=client.target.local)
    try:
        async with client:
            yield client
    except ConnectFailed as error:
        if options.local and "needs its extra" in str(error):  # not unreachable, but missing
            raise click.UsageError(f"--local needs the embedded server: {install('local')}") from error
        raise
    finally:
        watcher.status.clear()


async def choose_model(client: Client, options: Options, ref: str | None, kinds: Sequence[str]) -> Model:
    """Make the model that the options or `ref` name; with `--local` and no name, the default for the inputs' types.

    Args:
        client: an open client.
        options: which model, and where it runs.
        ref: a model given as a positional argument: a URL, USER/APP/models/MODEL, or a bare id.
        kinds: the types that one input holds, which the default model is to take, all of them.

    Raises:
        click.UsageError: no model takes these types, or they are not known.
        ConfigError: a malformed URL, a URL and an id, both kinds of routing or half of one.
    """
    url, model_id = options.model_url, options.model_id
    if ref is not None:
        url, model_id = (ref, None) if "/" in ref else (None, ref)
    places = {
        "deployment_id": options.deployment_id,
        "compute_cluster_id": options.compute_cluster_id,
        "nodepool_id": options.nodepool_id,
        "deployment_user_id": options.deployment_user_id,
    }
    routing = {name: value for name, value in places.items() if value is not None}
    if options.local and not url and not model_id:
        return await _default_model(client, kinds, routing)
    if options.local and model_id and (note := _language_model(model_id)):
        say(note)
    ids = {"user_id": options.user_id, "app_id": options.app_id, "model_id": model_id}
    named = {name: value for name, value in ids.items() if value is not None}
    version = {"id": options.model_version_id} if options.model_version_id else None
    return client.model(url, model_version=version, **named, **routing)


async def input_fields(model: Model) -> tuple[str, ...] | None:
    """Look up what a model takes; None if the server does not say."""
    try:
        return (await model.info()).input_fields
    except ServerError:  # such as of a bare model runner, or of a model that is not there: its first call says so
        return None


def _language_model(model_id: str) -> str:
    """Return which language model a model of the embedded server uses, and how to get the better one; "" of others."""
    from headrace.server import weights
    from headrace.server.registry import resolve
    from headrace.server.weights_table import CHOICES

    better, small = CHOICES["llm"]
    chosen = weights.choose("llm")
    pull = f"; a better one (1.1 GB): headrace models pull {better}" if chosen == small else ""
    uses = {
        small: f"{small} answers{pull}",
        better: f"{better} answers",
        "llm-classify": f"llm-classify uses {chosen}{pull}",
        "facts-to-answer": f"facts-to-answer answers by rule{pull}"
        if pull
        else f"facts-to-answer uses rules and {better}",
    }
    return uses.get(resolve(model_id), "")


async def _default_model(client: Client, kinds: Sequence[str], routing: dict[str, str]) -> Model:
    if not kinds:
        raise click.UsageError("the input's type cannot be detected; give --input-type, or the model with --model-id")
    if len(kinds) == 1:
        model = await client.default_model(kinds[0])
        model_id = model.id
    else:
        fitting = [info.id for info in await client.models() if set(info.input_fields or ()) == set(kinds)]
        if not fitting:
            raise click.UsageError(
                f"no model here takes {' and '.join(kinds)} together; give one of them, or name a model"
            )
        model_id = fitting[0]
    note = _language_model(model_id).removeprefix(f"{model_id} answers").removeprefix("; ")
    say(f"using {model_id}, the default for {' with '.join(kinds)}{f'; {note}' if note else ''}")
    return client.model(model_id=model_id, **routing)
