"""Look for known vulnerabilities in what an installed wheel brings: `make audit`.

`python -m tools.audit [SET ...] [--service pypi|osv]`: the sets are those of tools.sbom. Exit codes: 0 none known,
1 some known, 2 not audited, because no service answered.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tools import dependency_sets as sets

TOOL = "pip-audit>=2.7"
CLEAN, FOUND, NOT_AUDITED = 0, 1, 2


def main() -> int:
    """Audit each set and print what came of it."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    arguments.add_argument("sets", nargs="*", default=sets.DEFAULT, metavar="SET", help=", ".join(sets.CHOICES))
    arguments.add_argument("--service", choices=["pypi", "osv"], default="pypi", help="who is asked (pypi)")
    chosen = arguments.parse_args()
    if unknown := [name for name in chosen.sets if name not in sets.CHOICES]:
        arguments.error(f"no set {', '.join(unknown)}; there are {', '.join(sets.CHOICES)}")
    worst = CLEAN
    with tempfile.TemporaryDirectory() as folder:
        wheel = sets.build_wheel(Path(folder) / "wheel")
        tool = sets.environment(Path(folder) / "tool", TOOL)
        for name in chosen.sets:
            pinned = Path(folder) / f"{name}.txt"
            pinned.write_text("\n".join(resolved(sets.requirement(name, wheel))), encoding="utf-8")
            code, lines = verdict(*audited(tool, pinned, chosen.service))
            print("\n".join(f"{name}: {line}" for line in lines))
            worst = max(worst, code, key=(CLEAN, NOT_AUDITED, FOUND).index)
    return worst


def resolved(requirement: str) -> list[str]:
    """Give `name==version` of all that pip would install, without installing it."""
    pip = (sys.executable, "-m", "pip", "install", "--quiet")
    report = sets.run(*pip, "--dry-run", "--ignore-installed", "--report", "-", requirement)
    packages = [item["metadata"] for item in json.loads(report)["install"]]
    return sorted(f"{one['name']}=={one['version']}" for one in packages if one["name"] != "headrace")


def audited(tool: Path, pinned: Path, service: str) -> tuple[str, str]:
    """Run pip-audit on pinned packages; give what it wrote to stdout and to stderr."""
    done = subprocess.run(
        [tool, "-m", "pip_audit", "--requirement", pinned, "--no-deps", "--disable-pip", "--format", "json",
         "--vulnerability-service", service, "--progress-spinner", "off"],
        capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout, done.stderr


def verdict(report: str, errors: str) -> tuple[int, list[str]]:
    """Read a report of pip-audit; it has none where its service could not be reached at all."""
    try:
        packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except ValueError:
        reason = next(iter(reversed(errors.strip().splitlines())), "pip-audit printed nothing")
        return NOT_AUDITED, [f"not audited: the vulnerability service did not answer ({reason})"]
    skipped = [f"{one['name']}: not audited: {one['skip_reason']}" for one in packages if "skip_reason" in one]
    if packages and len(skipped) == len(packages):
        return NOT_AUDITED, [
            f"not audited: the service knows none of {len(packages)} packages (a mirror without data?)"
        ]
    found = [
        f"{one['name']} {one['version']}: {flaw['id']}, fixed in {', '.join(flaw['fix_versions']) or 'no release yet'}"
        for one in packages
        for flaw in one.get("vulns", ())
    ]
    clean = f"no known vulnerability in {len(packages) - len(skipped)} packages"
    return (FOUND if found else CLEAN), [*(found or [clean]), *skipped]


if __name__ == "__main__":
    sys.exit(main())
