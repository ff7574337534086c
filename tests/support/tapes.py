"""One life of a client, recorded on a wire and replayed without one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from headrace import Client, ConfigError, HeadraceError
from headrace.model import Model
from headrace.results import Prediction
from headrace.testing import ModelDouble, Tape
from tests.support.bridge import GrpcServer
from tests.support.rig import MODEL, Wire

NOBODY = "http://127.0.0.1:1"
TIMED = ("lag", "peak_in_flight")  # counts that depend on time


@contextlib.asynccontextmanager
async def recording(
    path: Path, wire: Wire, double: ModelDouble, *, tape: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[Client]:
    """Make a client of a double whose calls are recorded."""
    async with contextlib.AsyncExitStack() as stack:
        address = NOBODY
        transport: Any = double
        if wire != "memory":
            server = await stack.enter_async_context(GrpcServer(double, f"unix:{path.parent}/{path.stem}.s"))
            address, transport = server.address, wire
        recorder = Tape(path, "record", transport=transport, **(tape or {}))
        yield await stack.enter_async_context(Client(base_url=address, transport=recorder, **options))


@contextlib.asynccontextmanager
async def replaying(path: Path, *, tape: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[Client]:
    """Make a client whose calls are replayed."""
    replayed = Tape(path, **(tape or {}))
    async with Client(base_url=NOBODY, transport=replayed, **options) as client:
        yield client


class Log:
    """What a life came to, without what each run has of its own: ids, addresses, times."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.lines: list[Any] = []

    @property
    def model(self) -> Model:
        """The model of the double."""
        return self.client.model(**MODEL)

    def error(self, error: BaseException) -> None:
        """Note an error: its class, its message, its facts."""
        if isinstance(error, ConfigError):
            raise error  # a mistake of the test
        text = str(error).replace(str(self.client.target), "TARGET")
        facts = [getattr(error, name, None) for name in ("code", "status", "retry_after", "percent", "unprocessed")]
        details = getattr(error, "status_details", ())
        self.lines.append((type(error).__name__, text, *facts, details, getattr(error, "text", "")))

    def prediction(self, prediction: Prediction) -> None:
        """Note a prediction."""
        if prediction.error is not None:
            self.lines.append(prediction.position)
            self.error(prediction.error)
        else:
            self.lines.append((prediction.position, prediction.text, [c.name for c in prediction.concepts]))

    async def predict(self, *args: Any, **options: Any) -> None:
        """Predict, and note what came of it."""
        try:
            result = await self.model.predict(*args, **{"input_type": "text", **options})
        except HeadraceError as error:
            self.error(error)
            for one in getattr(error, "errors", {}).values():
                self.error(one)
            return
        for one in result:
            self.prediction(one)

    async def generate(self, text: str, leave_after: int | None = None) -> None:
        """Read a token stream, to its end or not."""
        pieces: list[str] = []
        try:
            async with self.model.generate(text, input_type="text") as stream:
                async for piece in stream:
                    pieces.append(piece.text)
                    if len(pieces) == leave_after:
                        break
        except HeadraceError as error:
            self.error(error)
        self.lines.append(pieces)

    async def stream(self, inputs: Any, leave_after: int | None = None, **options: Any) -> None:
        """Read a duplex stream, to its end or not."""
        count = 0
        stream = self.model.stream(inputs, **{"input_type": "text", **options})
        try:
            async with stream:
                async for prediction in stream:
                    self.prediction(prediction)
                    count += 1
                    if count == leave_after:
                        break
        except HeadraceError as error:
            self.error(error)
        if leave_after is None:
            names = ("pulled", "sent", "received", "errors", "dropped", "resumed", "retries")
            self.lines.append({name: getattr(stream.stats, name) for name in names})
