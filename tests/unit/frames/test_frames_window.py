"""The window that adapts: pure, fed with made-up servers."""

from __future__ import annotations

import heapq

from headrace.frames.window import AdaptiveWindow


def run(window: AdaptiveWindow, service: float, together: int, seconds: float, fps: float = 1e9) -> list[float]:
    """Play a server that takes `together` frames at once, `service` seconds each; gives the latencies."""
    now, latencies = 0.0, []
    free = [0.0] * together
    flying: list[tuple[float, float]] = []
    next_frame = 0.0
    while now < seconds:
        while len(flying) < window.size and now >= next_frame:
            start = max(now, heapq.heappop(free))
            heapq.heappush(free, start + service)
            heapq.heappush(flying, (start + service, now))
            next_frame = max(next_frame + 1 / fps, now)
        if flying and (len(flying) >= window.size or flying[0][0] <= next_frame):
            full = len(flying) >= window.size
            now, left = heapq.heappop(flying)
            latencies.append(now - left)
            window.observe(now - left, now, full)
        else:
            now = next_frame
    return latencies


def test_it_grows_to_what_the_server_takes_at_once() -> None:
    window = AdaptiveWindow(0.15, 32)
    latencies = run(window, 0.1, 8, 60)
    assert window.size in (8, 9)
    assert len(latencies) > 0.9 * 80 * 60
    assert sum(latency > 0.15 for latency in latencies) < 0.03 * len(latencies)


def test_a_serial_server_gets_one_at_a_time() -> None:
    window = AdaptiveWindow(0.15, 8)
    latencies = run(window, 0.1, 1, 120, fps=30)
    assert window.size == 1
    assert sum(latency > 0.15 for latency in latencies) < 0.05 * len(latencies)
    assert len(latencies) > 9 * 120


def test_it_never_leaves_its_bounds() -> None:
    window = AdaptiveWindow(10.0, 4)
    run(window, 0.01, 100, 5)
    assert window.size == 4
    window = AdaptiveWindow(0.001, 4)
    run(window, 0.01, 100, 5)
    assert window.size == 1


def test_it_does_not_grow_where_the_source_is_what_is_slow() -> None:
    window = AdaptiveWindow(1.0, 32)
    run(window, 0.1, 100, 20, fps=20)  # two or three in flight do
    assert window.size <= 4


def test_it_comes_back_when_the_server_recovers() -> None:
    window = AdaptiveWindow(0.15, 16)
    run(window, 0.1, 16, 10)
    assert window.size == 16
    run(window, 0.1, 2, 10)
    small = window.size
    assert small <= 3
    later = AdaptiveWindow(0.15, 16, size=small, _doubling=False, _ceiling=small + 1, _try_at=5.0)
    run(later, 0.1, 16, 60)
    assert later.size == 16
