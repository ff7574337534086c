"""The package as it is released: what is in the sdist and the wheel, and that an installed wheel works."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

import pytest

import headrace

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAME = f"headrace-{headrace.__version__}"
NOT_IN_SDIST = (".ci/",)  # how this project's own CI runs the tests
MB = 1 << 20


def python(*arguments: str, at: str = sys.executable, cwd: Path = ROOT, **env: str) -> str:
    """Run Python, and give what it printed."""
    # A fixed time makes builds repeatable; without it two builds would differ.
    surroundings = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000", "PYTHONPATH": "", **env}
    done = subprocess.run([at, *arguments], cwd=cwd, capture_output=True, text=True, env=surroundings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    python("-m", "build", "--no-isolation", "--outdir", str(folder))
    return folder


@pytest.fixture(scope="module")
def sdist(built: Path) -> Path:
    return built / f"{NAME}.tar.gz"


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return built / f"{NAME}-py3-none-any.whl"


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return folder / NAME


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment with the wheel.

    No network: what the wheel depends on is taken from the environment of the tests, behind the wheel in `sys.path`.
    """
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, symlinks=True)
    interpreter = folder / "bin" / "python"
    python("-m", "pip", "--python", str(interpreter), "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    ours = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    [site_packages] = folder.glob("lib/python*/site-packages")
    (site_packages / "dependencies.pth").write_text("\n".join(ours))
    return interpreter


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        return HeaderParser().parsestr(archive.read(f"{NAME}.dist-info/METADATA").decode())


def tracked(*under: str) -> set[str]:
    """The files that git knows or would take."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *under]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name for name in listed if (ROOT / name).is_file()}


def test_the_sdist_has_every_file_of_the_project(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {member.name.removeprefix(f"{NAME}/") for member in archive if member.isfile()}
    expected = {name for name in tracked() if not name.startswith(NOT_IN_SDIST)}
    assert names - {"PKG-INFO"} == expected


def test_the_sdist_runs_its_own_tests(unpacked: Path) -> None:
    files = ["tests/unit/test_config.py", "tests/unit/test_reference_docs.py", "tests/unit/test_target.py"]
    out = python("-m", "pytest", "-q", "-p", "no:cacheprovider", *files, cwd=unpacked, PYTHONPATH=str(unpacked / "src"))
    assert re.search(r"\d{2,} passed", out)


def test_the_wheel_from_the_sdist_is_the_wheel_from_the_tree(wheel: Path, tmp_path: Path) -> None:
    python("-m", "build", "--no-isolation", "--wheel", "--outdir", str(tmp_path))
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


def test_the_wheel_has_the_files_of_the_package_and_nothing_else(wheel: Path) -> None:
    names = {name for name in names_in(wheel) if not name.startswith(f"{NAME}.dist-info/")}
    assert names == {name.removeprefix("src/") for name in tracked("src")}
    assert not [name for name in names if re.search(r"(^|/)(tests?|node_modules)/|\.(tsx?|map|pyc)$", name)]


def test_sizes(sdist: Path, wheel: Path) -> None:
    # The models make up nearly all of it. An index takes 100 MB for a file at most.
    assert wheel.stat().st_size < 24 * MB
    assert sdist.stat().st_size < 28 * MB
    with zipfile.ZipFile(wheel) as archive:
        code = sum(entry.compress_size for entry in archive.infolist() if "/data/" not in entry.filename)
    assert code < 1 * MB


def test_both_pass_the_checks_of_the_index(sdist: Path, wheel: Path) -> None:
    python("-m", "twine", "check", "--strict", str(sdist), str(wheel))
    packages = "headrace,pytest_headrace"  # the plugin of pytest is a package of its own: see there
    python("-m", "check_wheel_contents", "--config", os.devnull, "--toplevel", packages, str(wheel))


def test_metadata_are_complete(wheel: Path) -> None:
    metadata = metadata_of(wheel)
    assert metadata["Name"] == "headrace"
    assert metadata["Version"] == headrace.__version__
    assert metadata["Summary"] == PROJECT["description"]
    assert metadata["Author"] == PROJECT["authors"][0]["name"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert set(metadata.get_all("License-File", [])) == {"LICENSE", "NOTICE"}
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_all("Provides-Extra") == sorted(PROJECT["optional-dependencies"])
    pythons = [one.rsplit(" ", 1)[1] for one in metadata.get_all("Classifier", []) if " :: 3." in one]
    assert f"{sys.version_info[0]}.{sys.version_info[1]}" in pythons, "of the classifiers, the one that runs this test"
    for url in PROJECT.get("urls", {}).values():
        assert "example" not in url


def test_an_installed_wheel_imports_and_shows_its_types(installed: Path, tmp_path: Path) -> None:
    program = """
import json, headrace, importlib.resources
files = importlib.resources.files("headrace")
print(json.dumps({
    "file": headrace.__file__,
    "missing": [name for name in headrace.__all__ if not hasattr(headrace, name)],
    "typed": files.joinpath("py.typed").is_file(),
    "studio": files.joinpath("web/studio/dist/index.html").is_file(),
}))
"""
    report = json.loads(python("-c", program, at=str(installed), cwd=tmp_path))
    assert Path(report["file"]).is_relative_to(installed.parents[1]), "of the wheel, not of the tree"
    assert (report["missing"], report["typed"], report["studio"]) == ([], True, True)


def test_every_entry_point_loads(installed: Path, tmp_path: Path) -> None:
    program = """
from importlib import metadata
for point in metadata.distribution("headrace").entry_points:
    print(point.group, point.name, callable(point.load()) or bool(point.load()))
"""
    loaded = [line.split() for line in python("-c", program, at=str(installed), cwd=tmp_path).splitlines()]
    assert all(outcome == "True" for _, _, outcome in loaded)
    declared = {("console_scripts", name) for name in PROJECT["scripts"]}
    declared |= {(group, name) for group, points in PROJECT.get("entry-points", {}).items() for name in points}
    assert {(group, name) for group, name, _ in loaded} == declared


def test_the_installed_command_runs(installed: Path, tmp_path: Path) -> None:
    command = installed.parent / "headrace"

    def headrace_command(*arguments: str) -> str:
        return subprocess.run([command, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    assert headrace_command("--version") == f"headrace {headrace.__version__}\n"
    assert json.loads(headrace_command("version", "--json"))["headrace"] == headrace.__version__
    copied = headrace_command("samples").split()
    assert copied
    assert all((tmp_path / name).stat().st_size for name in copied)
    models = headrace_command("predict", "--local", "--model_id", "classifier", "samples/photos/cat.jpg", "-o", "json")
    assert "cat" in models, "a model that the wheel brings"
