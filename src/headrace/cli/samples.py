"""`headrace samples`: photos, sounds, videos and texts to try the other commands on."""

from __future__ import annotations

import filecmp
import shutil
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.cli import render
from headrace.cli.run import DONE, SOME_FAILED, say
from headrace.cli.terminal import in_bytes, line

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("samples"), metavar="[DIR]")
@click.option("--force", is_flag=True, help="Overwrite files that have the same names and other contents.")
def samples(folder: Path, force: bool) -> int:
    """Copy the sample photos, pages, sounds, videos and texts to DIR (by default ./samples).

    Prints the path of each file. A file that already exists is left alone.

    \b
    headrace samples
    headrace predict --local samples/photos/cat.jpg
    headrace stream --local samples/photos/
    """
    kept: list[Path] = []
    copied = size = 0
    for source, name in _files():
        target = folder / name
        if not target.exists() or (force and not filecmp.cmp(source, target, shallow=False)):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            copied += 1
            size += target.stat().st_size
        elif not filecmp.cmp(source, target, shallow=False):
            kept.append(target)
        render.emit(line(str(target)))
    for target in kept:
        say(f"{target}: a different file has this name; it was not overwritten (--force overwrites)")
    if copied:
        say(f"copied {copied} files, {in_bytes(size)}; try: headrace predict --local {folder / 'photos/cat.jpg'}")
    return SOME_FAILED if kept else DONE


def _files() -> Iterator[tuple[Path, str]]:
    """Yield the shipped files, each with its place below the folder."""
    root = Path(str(resources.files("headrace") / "data" / "samples"))
    for path in sorted(root.rglob("*")):
        if path.is_file():
            yield path, path.relative_to(root).as_posix()
