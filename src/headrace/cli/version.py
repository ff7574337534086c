"""`headrace version`: what a bug report needs to know of an installation."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from typing import Any

import click

from headrace._version import __version__
from headrace.cli import render
from headrace.cli.run import DONE
from headrace.cli.terminal import line

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
_NOT_AT_RUN_TIME = ("bench", "dev")  # extras whose packages headrace never imports
_OURS = ("CLARIFAI_", "HEADRACE_")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def version(as_json: bool) -> int:
    """Print the versions of headrace, Python and the packages that headrace uses, and which settings are set.

    Of environment variables only the names are shown, never the values.

    \b
    headrace version
    headrace version --json
    """
    report = facts()
    if as_json:
        render.emit(render.as_json(report))
        return DONE
    packages, names = report["packages"], report["environment"]
    shown = {
        "headrace": report["headrace"],
        "python": report["python"],
        "platform": report["platform"],
        "packages": ", ".join(f"{name} {number}" for name, number in packages.items() if number),
        "missing": ", ".join(name for name, number in packages.items() if number is None),
        "environment": ", ".join(names),
    }
    for key, value in shown.items():
        render.emit(line(f"{key + ':':<12} {value or 'none'}"))
    return DONE


def facts() -> dict[str, Any]:
    """Return the report by name; of packages their versions, None for those that are not installed."""
    return {
        "headrace": __version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "platform": platform.platform(),
        "packages": {name: _version_of(name) for name in _packages()},
        "environment": sorted(name for name in os.environ if name.startswith(_OURS)),
    }


def _packages() -> list[str]:
    """Return the names of the packages that headrace requires, with those of its extras."""
    try:
        requirements = metadata.requires("headrace") or []
    except metadata.PackageNotFoundError:  # run from a folder of sources
        return []
    names: dict[str, None] = {}
    for requirement in requirements:
        name, extra = _NAME.match(requirement), _EXTRA.search(requirement)
        if name and name[0] != "headrace" and (extra is None or extra[1] not in _NOT_AT_RUN_TIME):
            names[name[0]] = None
    return list(names)


def _version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
