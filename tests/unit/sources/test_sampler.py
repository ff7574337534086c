"""Which frames are wanted, by presentation times alone."""

from __future__ import annotations

from fractions import Fraction as F

from hypothesis import given
from hypothesis import strategies as st

from headrace.sources.decode import Sampler, Wanted

TICK = F(1, 90_000)


def chosen(wanted: Wanted, times: list[F], tick: F = TICK) -> list[F]:
    sampler = Sampler(wanted)
    return [time for time in times if not sampler.past(time) and sampler.choose(time, tick)]


def test_without_a_step_every_frame_is_wanted() -> None:
    times = [F(n, 30) for n in range(10)]
    assert chosen(Wanted(), times) == times


def test_the_first_frame_at_or_after_each_multiple_is_taken() -> None:
    times = [F(n, 30) for n in range(31)]
    assert chosen(Wanted(F(1, 10)), times) == [F(n, 10) for n in range(11)]  # exactly, where floats would miss 0.3
    assert chosen(Wanted(F(1, 4)), times) == [F(0), F(8, 30), F(15, 30), F(23, 30), F(1)]


def test_a_gap_longer_than_the_step_gives_one_frame() -> None:
    times = [F(0), F(5), F(51, 10), F(6)]
    assert chosen(Wanted(F(1)), times) == [F(0), F(5), F(6)]


def test_start_and_end() -> None:
    times = [F(n, 10) for n in range(100)]
    assert chosen(Wanted(F(1, 2), F(125, 100), F(3)), times) == [F(13, 10), F(18, 10), F(23, 10), F(28, 10)]
    assert chosen(Wanted(end=F(3, 10)), times) == [F(0), F(1, 10), F(2, 10)]


def test_times_that_a_container_rounds_still_count() -> None:
    rounded = [F(round(n * 1000 / 15), 1000) for n in range(6)]  # 133 ms stands for 133.33
    assert chosen(Wanted(F(1, 15)), rounded, F(1, 1000)) == rounded


@given(st.lists(st.integers(1, 400), min_size=1, max_size=80), st.integers(1, 500))
def test_at_any_rate(gaps: list[int], step_ms: int) -> None:
    times = [F(0)]
    for gap in gaps:
        times.append(times[-1] + F(gap, 1000))
    step = F(step_ms, 1000)
    expected = sorted({next(t for t in times if t >= n * step) for n in range(int(times[-1] / step) + 1)})
    assert chosen(Wanted(step), times, F(1, 10**9)) == expected
