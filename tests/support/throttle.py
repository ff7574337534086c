"""A slow line: a relay, or an HTTP proxy, through which all connections together get so many bytes a second.

`python -m tests.support.throttle 125000` is a proxy of 1 Mbit/s for HTTPS_PROXY, until Ctrl-C.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterator

_CHUNKS_A_SECOND = 50


class Line:
    """Lets so many bytes a second pass, whoever asks.

    Args:
        rate: bytes a second.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        #: Bytes that have passed.
        self.passed = 0
        self._free_at = time.monotonic()
        self._lock = threading.Lock()

    @property
    def chunk(self) -> int:
        """Bytes to read at once, so that they flow evenly."""
        return max(1, int(self.rate / _CHUNKS_A_SECOND))

    def take(self, count: int) -> None:
        """Wait until so many bytes may pass."""
        with self._lock:
            self.passed += count
            self._free_at = max(self._free_at, time.monotonic()) + count / self.rate
            pause = self._free_at - time.monotonic()
        time.sleep(max(pause, 0.0))


class SlowServer(socketserver.ThreadingTCPServer):
    """Relays connections to one address, or as a proxy (CONNECT) to those that clients name.

    Args:
        line: what the bytes to the clients share.
        target: host and port; None for a proxy.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, line: Line, target: tuple[str, int] | None = None) -> None:
        self.line, self.target = line, target
        super().__init__(("127.0.0.1", 0), _Relay)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Relay(socketserver.BaseRequestHandler):
    server: SlowServer

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            target = self.server.target or self._connect()
            with socket.create_connection(target, 30) as origin:
                if self.server.target is None:
                    self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                origin.settimeout(None)
                threading.Thread(target=_copy, args=(self.request, origin, 1 << 16, None), daemon=True).start()
                _copy(origin, self.request, self.server.line.chunk, self.server.line)

    def _connect(self) -> tuple[str, int]:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (data := self.request.recv(4096)):
                raise OSError("no request")
            head += data
        host, _, port = head.split()[1].decode().rpartition(":")
        return host, int(port)


def _copy(source: socket.socket, sink: socket.socket, size: int, line: Line | None) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(size):
            if line is not None:
                line.take(len(data))
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def slow(rate: float, target: tuple[str, int] | None = None) -> Iterator[SlowServer]:
    """Run a relay to `target`, or a proxy, of `rate` bytes a second in a thread."""
    with SlowServer(Line(rate), target) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


if __name__ == "__main__":
    with SlowServer(Line(float(sys.argv[1]))) as proxy, contextlib.suppress(KeyboardInterrupt):
        sys.stdout.write(f"{proxy.url}\n")
        sys.stdout.flush()
        proxy.serve_forever()
