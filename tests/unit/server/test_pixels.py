"""The budget of pixels: decodes wait for each other, and none fails or waits for ever."""

from __future__ import annotations

import threading
import time

from headrace.server.pixels import PixelBudget


def test_no_more_pixels_are_decoded_at_once_than_the_budget_has() -> None:
    budget, lock = PixelBudget(100), threading.Lock()
    now = peak = done = 0

    def decode(pixels: int) -> None:
        nonlocal now, peak, done
        with budget.decoding(pixels):
            with lock:
                now += min(pixels, 100)
                peak = max(peak, now)
            time.sleep(0.01)
            with lock:
                now -= min(pixels, 100)
                done += 1

    threads = [threading.Thread(target=decode, args=(size,)) for size in (60, 60, 40, 10, 5_000, 0, 100, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert done == len(threads)
    assert peak <= 100
