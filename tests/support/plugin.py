"""The plugin of the `llm` command, as if it were installed."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

from tests.support.pages import ROOT

SOURCE = ROOT / "integrations" / "llm-headrace"


def with_plugin(folder: Path) -> dict[str, str]:
    """Put the plugin into a folder; return the environment in which programs find it, and a folder for llm's files."""
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name, version = project["name"].replace("-", "_"), project["version"]
    packages = folder / "packages"
    about = packages / f"{name}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {version}\n")
    points = [f"[llm]\n{key} = {module}\n" for key, module in project["entry-points"]["llm"].items()]
    (about / "entry_points.txt").write_text("".join(points))
    shutil.copy(SOURCE / f"{name}.py", packages)
    return {"PYTHONPATH": str(packages), "LLM_USER_PATH": str(folder / "llm")}
