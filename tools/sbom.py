"""Write a software bill of materials (CycloneDX, JSON) for what an installed wheel brings: `make sbom`.

`python -m tools.sbom [SET ...]`: "core" is the wheel without an extra; the other sets are extras. Each set is installed
into an environment of its own, from which cyclonedx-bom reads it. One file a set, in dist/.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from pathlib import Path
from typing import Any

from tools import dependency_sets as sets

TOOL = "cyclonedx-bom>=7"


def main() -> None:
    """Write the file of each set."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    arguments.add_argument("sets", nargs="*", default=sets.DEFAULT, metavar="SET", help=", ".join(sets.CHOICES))
    names = arguments.parse_args().sets
    if unknown := [name for name in names if name not in sets.CHOICES]:
        arguments.error(f"no set {', '.join(unknown)}; there are {', '.join(sets.CHOICES)}")
    with tempfile.TemporaryDirectory() as folder:
        wheel = sets.build_wheel(Path(folder) / "wheel")
        tool = sets.environment(Path(folder) / "tool", TOOL)
        version = wheel.name.split("-")[1]
        for name in names:
            file = sets.ROOT / "dist" / f"headrace-{version}-{name}.cdx.json"
            file.parent.mkdir(exist_ok=True)
            interpreter = sets.environment(Path(folder) / name, sets.requirement(name, wheel))
            sets.run(
                tool, "-m", "cyclonedx_py", "environment", "--pyproject", sets.ROOT / "pyproject.toml",
                "--mc-type", "library", "--output-reproducible", "--output-file", file, interpreter,
            )  # fmt: skip
            bom = json.loads(file.read_text(encoding="utf-8"))
            bom["metadata"]["component"]["version"] = (
                version  # dynamic in pyproject.toml, which the tool does not resolve
            )
            file.write_text(json.dumps(bom, indent=2) + "\n", encoding="utf-8")
            if missing := missing_from(bom, name):
                raise SystemExit(f"{file}: {', '.join(missing)} not among the components")
            print(f"{file.relative_to(sets.ROOT)}: {len(bom['components'])} packages")


def missing_from(bom: dict[str, Any], name: str, project: dict[str, Any] = sets.PROJECT) -> list[str]:
    """Give the direct dependencies of a set that a bill does not list."""
    listed = {normal(component["name"]) for component in bom.get("components", [])}
    return [package for package in sorted(direct(name, project)) if package not in listed]


def direct(name: str, project: dict[str, Any]) -> set[str]:
    """Give the packages that a set names itself, those of other extras that it includes as well."""
    requirements = list(project["dependencies"])
    if name != sets.CORE:
        requirements += project["optional-dependencies"][name]
    packages: set[str] = set()
    for requirement in requirements:
        if included := re.match(r"headrace\[([^]]+)\]", requirement):
            packages = packages.union(*(direct(extra.strip(), project) for extra in included[1].split(",")))
        elif ";" not in requirement:  # what depends on the platform or on Python may be absent
            packages.add(normal(re.split(r"[^\w.-]", requirement)[0]))
    return packages


def normal(name: str) -> str:
    """Give a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
