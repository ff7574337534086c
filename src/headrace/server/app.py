"""The server's life: build, listen, report the address, serve until asked to stop, release everything."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc.aio

from headrace.server import fault_file, listen
from headrace.server.answering import Answering
from headrace.server.budget import MAX_MESSAGE_BYTES
from headrace.server.call import Admission
from headrace.server.catalog import Catalog
from headrace.server.fault_file import Script
from headrace.server.fault_proxy import proxied
from headrace.server.faults import Faults
from headrace.server.fetch import Fetcher
from headrace.server.hosted import refusals
from headrace.server.keeper import Keeper, quiet_crashes
from headrace.server.loading import LoadError
from headrace.server.options import Options, parse
from headrace.server.progress import Reporter
from headrace.server.reflection import add_reflection
from headrace.server.registry import Registry
from headrace.server.service import Arrivals, Service, Strangers
from headrace.server.servicer import Predictions
from headrace.server.wire import SERVICE

log: logging.Logger = logging.getLogger(__name__)

GRACE = 0.4  # seconds that running calls get at a stop
CLOSE = 0.4  # seconds that models get to close
LAST_RESORT = 10.0  # seconds after which a server without a parent ends, even when a model blocks everything
SPARE_CALLS = 1024  # beside predictions: look-ups, refusals, streams that have sent nothing


@dataclass(slots=True)
class Running:
    """A server that listens."""

    address: str
    registry: Registry
    failed: asyncio.Future[None]  # done, with the error, when the server cannot go on listening
    inside: str | None = None  # a second address that only this process can reach, if one was asked for


def channel_options(options: Options, script: Script) -> list[tuple[str, int]]:
    """Return gRPC's settings for a server."""
    settings = [
        *script.server.channel_options(),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),  # otherwise two servers could share one port, each with some of the calls
    ]
    if options.loopback:  # local: without a growing window, clients notice a full server immediately
        settings.append(("grpc.http2.bdp_probe", 0))
    return settings


@contextlib.asynccontextmanager
async def serving(
    options: Options, reporter: Reporter | None = None, classes: Sequence[type] = (), script: Script | None = None
) -> AsyncIterator[Running]:
    """Run a server while the block runs; at its end calls get a short grace, models are closed, the socket removed.

    Args:
        classes: model classes to serve, besides those that the options name.
        script: faults; by default those of the file that the options name.

    Raises:
        FaultFileError: a fault script that cannot be used.
        LoadError: a model that cannot be loaded.
        ListenError: an address that cannot be used.
    """
    from grpc_health.v1 import health, health_pb2

    if script is None:
        script = Script() if options.faults is None else fault_file.read(options.faults)
    registry = Registry(options.models, options.targets, reporter)
    for cls in classes:
        registry.add(cls)
    admission = Admission(options.require_pat, options.max_calls, Faults(script), options.max_request_mb << 20)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(_close_models, registry)
        stack.enter_context(quiet_crashes())
        fetcher = await stack.enter_async_context(Fetcher(allow_private=options.allow_private_urls))
        healthy = health.aio.HealthServicer()
        for name in ("", SERVICE):
            await healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
        make = _maker(registry, fetcher, admission, options, script, healthy)
        keepers: list[Keeper] = []

        async def start(place: listen.ListenAddress) -> str:
            keeper = Keeper(make, place.bind)
            keepers.append(keeper)
            await keeper.start()
            return keeper.address

        if script.connection or script.connections:
            address = await stack.enter_async_context(proxied(start, options, script))
        else:
            place = listen.ListenAddress(options)
            stack.callback(place.leave)
            address = await start(place)
        inside: str | None = None
        if options.openai or options.studio:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-"))
            inside = await start(listen.ListenAddress(replace(options, unix=Path(folder) / "server.sock")))
        try:
            yield Running(address, registry, keepers[0].failed, inside)
        finally:
            await healthy.enter_graceful_shutdown()
            await asyncio.gather(*(keeper.stop(GRACE) for keeper in keepers))


def _maker(
    registry: Registry,
    fetcher: Fetcher,
    admission: Admission,
    options: Options,
    script: Script,
    healthy: Any,
) -> Callable[[], grpc.aio.Server]:
    """Return a factory of gRPC servers with all services; all of them share their state."""
    from grpc_health.v1 import health_pb2_grpc

    predictions = Predictions(Answering(registry, fetcher), admission)
    behaviours = {
        "PostModelOutputs": predictions.post_model_outputs,
        "GenerateModelOutputs": predictions.generate_model_outputs,
        "StreamModelOutputs": predictions.stream_model_outputs,
        **Catalog(registry, admission).behaviours(),
    }
    service = Service(behaviours, admission)
    first = (Strangers(admission),) if options.require_pat is not None else ()
    calls = 2 * options.max_calls + SPARE_CALLS

    def make() -> grpc.aio.Server:
        server = grpc.aio.server(
            interceptors=[Arrivals()], options=channel_options(options, script), maximum_concurrent_rpcs=calls
        )
        server.add_generic_rpc_handlers((*first, service))
        health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
        add_reflection(server)
        return server

    return make


async def _close_models(registry: Registry) -> None:
    try:
        await asyncio.wait_for(registry.close(), CLOSE)
    except TimeoutError:
        log.warning("some models did not close in time")


def main(argv: Sequence[str] | None = None, prog: str = "headrace serve") -> int:
    """Serve until SIGINT, SIGTERM or, with `--watch-stdin`, the end of stdin.

    Returns the exit code: 0 after a clean stop, 2 when a model or the address cannot be used. Wrong usage raises
    SystemExit(2), as argparse does.
    """
    options = parse(sys.argv[1:] if argv is None else argv, prog)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="headrace: %(message)s")
    logging.getLogger("headrace").setLevel(logging.INFO)  # libraries' log lines below this level are not shown
    if options.watch_stdin:  # the log's reader gets the answers, too
        refusals.setLevel(logging.CRITICAL)
    reporter = Reporter(machine=options.watch_stdin)
    try:
        asyncio.run(_serve(options, reporter))
    except (LoadError, listen.ListenError, fault_file.FaultFileError) as error:
        sys.stderr.write(f"{prog}: error: {error}\n")
        return 2
    finally:
        reporter.stop()
    sys.stdout.flush()
    sys.stderr.flush()
    if any(thread.daemon and thread.name.startswith(("model-", "load-")) for thread in threading.enumerate()):
        os._exit(0)  # a model runs native code that the interpreter's shutdown would crash
    return 0


async def _serve(options: Options, reporter: Reporter) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        running = await stack.enter_async_context(serving(options, reporter))
        announcement = f"listening on {running.address}\n"
        if running.inside is not None:
            from headrace.server.http import http_door

            lines = await stack.enter_async_context(http_door(options, running.address, running.inside))
            announcement += "".join(f"{line}\n" for line in lines)
        sys.stdout.write(announcement)
        sys.stdout.flush()
        if options.watch_stdin:
            threading.Thread(target=_watch_stdin, args=(loop, stop), name="watch-stdin", daemon=True).start()
        stopped = asyncio.ensure_future(stop.wait())
        waiting: list[asyncio.Future[Any]] = [stopped, running.failed]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        reporter.stop()
        if running.failed.done():
            raise listen.ListenError(f"the server ended, and {running.failed.exception()}")


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop the server when the process that holds the other end of stdin is gone."""
    while os.read(0, 4096):
        pass
    with contextlib.suppress(RuntimeError):  # it has stopped already
        loop.call_soon_threadsafe(stop.set)
    time.sleep(LAST_RESORT)  # a daemon thread: an ordinary stop ends the process before this does
    os._exit(1)
