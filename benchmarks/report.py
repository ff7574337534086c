"""Write what was measured: JSON with everything, Markdown with two tables."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.figures import Row, Spread, Verdict, rows, verdicts
from benchmarks.goals import GOALS
from benchmarks.harness import Failed, PlacedSample
from benchmarks.protocol import Sample
from benchmarks.server import ROOT

FIELDS = tuple(field.name for field in fields(Sample))
BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"


def report(samples: Sequence[PlacedSample], failed: Sequence[Failed], rounds: int, *, quick: bool) -> dict[str, Any]:
    """Put together all that is known of a run, ready for JSON."""
    versions: dict[str, Mapping[str, str]] = {}
    for one in samples:
        versions[one.peer] = one.sample.versions
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "python": platform.python_version(),
        "versions": versions,
        "rounds": rounds,
        "quick": quick,
        "goals": [_verdict(verdict) for verdict in verdicts(GOALS, samples)],
        "rows": [asdict(row) for row in rows(samples)],
        "samples": [{"round": one.round, "cell": one.cell, **asdict(one.sample), "peer": one.peer} for one in samples],
        "failed": [asdict(one) for one in failed],
    }


def commit() -> str:
    """Name the commit that is checked out; with a + when files differ from it, "" outside of a repository."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def machine() -> dict[str, Any]:
    """Describe the machine, and how busy it was in the last minute."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _verdict(verdict: Verdict) -> dict[str, Any]:
    goal = verdict.goal
    return {
        "title": goal.title,
        "ours": asdict(goal.ours),
        "against": asdict(goal.against) if goal.against else None,
        "limit": goal.limit,
        "at_least": goal.at_least,
        "unit": goal.unit,
        "found": asdict(verdict.found) if verdict.found else None,
        "met": verdict.met,
    }


def samples_of(results: Mapping[str, Any]) -> list[PlacedSample]:
    """Read the samples of a report again."""
    return [
        PlacedSample(one["round"], one["cell"], one["peer"], Sample(**{name: one[name] for name in FIELDS}))
        for one in results["samples"]
    ]


def markdown(results: Mapping[str, Any], judged: Sequence[Verdict], measured: Sequence[Row]) -> str:
    """Write the tables: the goals, then every client in every cell."""
    machine_ = results["machine"]
    head = (
        f"{results['date'][:10]}, commit {results['commit']}, Python {results['python']}, {machine_['system']}, "
        f"{machine_['processor']}, {machine_['cores']} cores, load {machine_['load']} when it ended; "
        f"{results['rounds']} rounds{', quick' if results['quick'] else ''}."
    )
    lines = [
        head,
        "",
        *_versions(results["versions"]),
        "",
        "| goal | limit | measured | quartiles | least - most | best other | |",
        "|---|---|---|---|---|---|---|",
        *(_goal_line(verdict) for verdict in judged if verdict.found),
        "",
        "CPU microseconds of the client's process for a unit of work; ratio to the raw grpc.aio stub of a round;",
        "units a second of wall time, server and client on a core each.",
        "",
        "| cell | client | us | ratio | quartiles | least - most | a second | extra memory, MB |",
        "|---|---|---|---|---|---|---|---|",
        *(_row_line(row) for row in measured),
    ]
    return "\n".join(lines)


def _versions(versions: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Write a line an environment: those who have it, and what is in it."""
    having: dict[str, list[str]] = {}
    for peer, each in sorted(versions.items()):
        having.setdefault(", ".join(f"{name} {version}" for name, version in each.items()), []).append(peer)
    return [f"- {', '.join(peers)}: {each}" for each, peers in having.items()]


def _goal_line(verdict: Verdict) -> str:
    goal, spread = verdict.goal, verdict.found
    assert spread is not None
    limit = f"{'>=' if goal.at_least else '<='} {goal.limit:g} {goal.unit}"
    met = "met" if verdict.met else "**not met**"
    return f"| {goal.title} | {limit} | {number(spread.median)} {goal.unit} | {_spread(spread)} | {goal.best} | {met} |"


def _row_line(row: Row) -> str:
    ratio = f"{number(row.ratio.median)} | {_spread(row.ratio)}" if row.ratio else "| |"
    memory = number(row.extra_rss_bytes.median / 1e6) if row.extra_rss_bytes else ""
    us, rate = number(row.microseconds.median), number(row.per_second.median)
    return f"| {row.cell} | {row.peer} | {us} | {ratio} | {rate} | {memory} |"


def _spread(spread: Spread) -> str:
    return f"{number(spread.first)} - {number(spread.third)} | {number(spread.low)} - {number(spread.high)}"


def number(value: float) -> str:
    """Write a number with three digits that count, and no exponent."""
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def update(document: Path, block: str) -> None:
    """Replace what stands between the markers of a document.

    Raises:
        ValueError: it doesn't have both markers.
    """
    text = document.read_text()
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document.name} lacks {BEGIN} or {END}")
    document.write_text(f"{before}{BEGIN}\n{block}\n{END}{after}")
