"""The server's metrics, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from headrace import Client

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """The counters of one server."""

    def __init__(self, client: Client) -> None:
        self._registry = CollectorRegistry()
        self.requests: Counter = Counter(
            "headrace_http_requests",
            "Requests; status 499: the caller left before the end.",
            ("route", "status"),
            registry=self._registry,
        )
        self.seconds: Histogram = Histogram(
            "headrace_http_seconds",
            "Seconds until the last byte.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.running: Gauge = Gauge("headrace_http_running", "Requests being answered.", registry=self._registry)
        self._registry.register(_Upstream(client))

    def text(self) -> bytes:
        """Write all of them in Prometheus's text form."""
        return generate_latest(self._registry)


class _Upstream:
    """The client's counts of its calls to the V2 server, read on demand."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def collect(self) -> Iterable[Metric]:
        stats = self._client.stats
        for name in ("calls", "attempts", "retries", "failures", "connected", "running", "waiting"):
            text = f"The client's {name}, see ClientStats."
            yield GaugeMetricFamily(f"headrace_client_{name}", text, value=getattr(stats, name))
