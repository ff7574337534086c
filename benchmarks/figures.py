"""From samples to figures: medians with their spread, ratios pair by pair within a round, goals met or not."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.cells import CELLS
from benchmarks.goals import RAW, Goal, Run, cost, cost_ratio
from benchmarks.harness import PlacedSample, own_peers
from benchmarks.protocol import Sample

MEMORY = ("upload", "at_once", "gathered", "long_stream")  # shapes whose memory is the point


@dataclass(frozen=True, slots=True)
class Spread:
    """A median, with the quartiles, the least and the most."""

    median: float
    low: float
    first: float
    third: float
    high: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Sum up values; at least one."""
        ordered = sorted(values)
        first, _, third = statistics.quantiles(ordered, n=4, method="inclusive") if len(ordered) > 1 else ordered * 3
        return cls(statistics.median(ordered), ordered[0], first, third, ordered[-1], len(ordered))


@dataclass(frozen=True, slots=True)
class Row:
    """A client in a cell: what a unit costs, how many there are a second, and the ratio of costs to the raw stub's.

    Memory only where it is the point.
    """

    cell: str
    peer: str
    microseconds: Spread
    per_second: Spread
    ratio: Spread | None
    extra_rss_bytes: Spread | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal, what was found, and whether it is met; None where a sample is missing."""

    goal: Goal
    found: Spread | None
    met: bool | None


Rounds = Mapping[tuple[str, str], Mapping[int, Sample]]


def by_round(placed: Sequence[PlacedSample]) -> Rounds:
    """Sort samples by cell and client, then by round."""
    samples: dict[tuple[str, str], dict[int, Sample]] = {}
    for one in placed:
        samples.setdefault((one.cell, one.peer), {})[one.round] = one.sample
    return samples


def rows(placed: Sequence[PlacedSample]) -> list[Row]:
    """Make a row of each client in each cell, in the order of the cells; our own clients first."""
    rounds = by_round(placed)
    cells, own = [cell.name for cell in CELLS], [*own_peers()]
    order = sorted(rounds, key=lambda key: (cells.index(key[0]), key[1] not in own, key[1] != RAW, key[1]))
    table = []
    for cell, peer in order:
        samples = rounds[cell, peer]
        reference = rounds.get((cell, RAW), {})
        ratios = [cost_ratio(sample, reference[at]) for at, sample in samples.items() if at in reference]
        memory = [
            sample.extra_rss_bytes
            for sample in samples.values()
            if sample.extra_rss_bytes is not None and sample.shape in MEMORY
        ]
        row = Row(
            cell,
            peer,
            Spread.of([cost(sample) * 1e6 for sample in samples.values()]),
            Spread.of([sample.n / sample.wall_s for sample in samples.values()]),
            Spread.of(ratios) if ratios else None,
            Spread.of(memory) if memory else None,
        )
        table.append(row)
    return table


def verdicts(goals: Sequence[Goal], placed: Sequence[PlacedSample]) -> list[Verdict]:
    """Judge every goal by the median of what its rounds gave."""
    rounds = by_round(placed)
    return [_verdict(goal, rounds) for goal in goals]


def _verdict(goal: Goal, rounds: Rounds) -> Verdict:
    ours = _samples(goal.ours, rounds)
    if goal.against is None:
        values = [goal.value(sample) for sample in ours.values()]
    else:
        theirs = _samples(goal.against, rounds)
        values = [goal.value(sample, theirs[at]) for at, sample in ours.items() if at in theirs]
    if not values:
        return Verdict(goal, None, None)
    spread = Spread.of(values)
    return Verdict(goal, spread, goal.met(spread.median))


def _samples(run: Run, rounds: Rounds) -> Mapping[int, Sample]:
    return rounds.get((run.cell, run.peer), {})
