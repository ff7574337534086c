"""Record commands in a terminal and draw them as an animated picture: `python -m tools.terminal_svg`.

Needs the extra `local` and its weights. The commands run on the sample files; the picture shows what they print, in its
colours and at its pace. Pauses are cut to less than a second. Look at it before it is committed.
"""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from html import escape
from pathlib import Path

import headrace

SAMPLES = Path(headrace.__file__).parent / "data" / "samples"
PICTURE = Path(__file__).parents[1] / "docs" / "img" / "terminal.svg"
COMMANDS = (
    "headrace predict --local samples/photos/cat.jpg",
    'headrace generate --local llm "What is the capital of France?" -i temperature=0',
    "headrace stream --local samples/photos/",
)
TITLE = "headrace in a terminal: what is in a photo, a question answered token by token, a folder of photos"
FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
COLUMNS, ROWS = 80, 25
LONGEST_PAUSE = 0.7  # seconds
SHORTEST = 0.06  # seconds that a line has to stand to be drawn at all
TYPING = 0.03  # seconds a letter
CELL, LINE, SIZE, PAD = 8.0, 19.0, 13, 14
COLOURS = {
    "": "#d7dde4",
    "36": "#56d4dd",
    "32": "#5fd38a",
    "31": "#ff7b72",
    "33": "#e3b341",
    "1": "#ffffff",
    "2": "#8b949e",
}
_TOKEN = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")

Cell = tuple[str, str]  # a letter and its colour


@dataclass
class Version:
    """What a row showed from `start` to `end` (seconds; None: to the end)."""

    row: int
    cells: list[Cell]
    start: float
    end: float | None = None


class Screen:
    """As much of a terminal as the command line uses: colours, carriage returns, erased lines, steps up."""

    def __init__(self) -> None:
        self.row = self.column = 0
        self.rows: dict[int, list[Cell]] = {}
        self.versions: list[Version] = []
        self._colour = ""

    def write(self, text: str, at: float) -> None:
        """Take what a command printed at a time."""
        before = {row: list(cells) for row, cells in self.rows.items()}
        for number, letter, control, plain in _TOKEN.findall(text):
            if letter:
                self._escape(number, letter)
            elif control == "\r":
                self.column = 0
            elif control:
                self.row, self.column = self.row + 1, 0
            else:
                for character in plain:
                    self._put(character)
        for row, cells in self.rows.items():
            if before.get(row) != cells:
                self._show(row, cells, at)

    def _escape(self, number: str, letter: str) -> None:
        if letter == "m":
            codes = [code for code in number.split(";") if code in COLOURS]
            self._colour = codes[0] if codes else ""
        elif letter == "K":
            self.rows[self.row] = [] if number == "2" else self.rows.get(self.row, [])[: self.column]
        elif letter == "A":
            self.row -= int(number or 1)

    def _put(self, character: str) -> None:
        if self.column >= COLUMNS:
            self.row, self.column = self.row + 1, 0
        cells = self.rows.setdefault(self.row, [])
        cells += [(" ", "")] * (self.column + 1 - len(cells))
        cells[self.column] = (character, self._colour)
        self.column += 1

    def _show(self, row: int, cells: list[Cell], at: float) -> None:
        for version in self.versions:
            if version.row == row and version.end is None:
                version.end = at
        if cells:
            self.versions.append(Version(row, list(cells), at))


def record(command: str, folder: Path, screen: Screen, at: float) -> float:
    """Run one command in a terminal of its own, onto the screen from a time on; give the time at which it ended."""
    parent, child = pty.openpty()
    subprocess.run(["stty", "cols", str(COLUMNS), "rows", "40"], stdin=child, check=True)
    environment = {**os.environ, "HEADRACE_PICTURES": "none", "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    running = subprocess.Popen(
        command, shell=True, cwd=folder, env=environment, stdin=child, stdout=child, stderr=child
    )
    os.close(child)
    last = time.monotonic()
    rest = b""
    while True:
        try:
            data = rest + os.read(parent, 65536)
        except OSError:  # the command has ended
            break
        now = time.monotonic()
        at += min(now - last, LONGEST_PAUSE)
        last = now
        cut = len(data)
        while cut > len(data) - 4 and cut and data[cut - 1] & 0x80:  # not in the middle of a letter
            cut -= 1
        whole, rest = (data[:cut], data[cut:]) if _undecodable(data) else (data, b"")
        screen.write(whole.decode(), at)
    os.close(parent)
    assert running.wait() == 0, command
    return at


def _undecodable(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return False


def type_in(command: str, screen: Screen, at: float) -> float:
    """Type a command at a prompt, and give the time at which it is there."""
    screen.write("\x1b[32m$\x1b[0m ", at)
    for start in range(0, len(command), 3):
        at += TYPING * 3
        screen.write(f"\x1b[1m{command[start : start + 3]}\x1b[0m", at)
    screen.write("\r\n", at)
    return at + 0.3


def svg(versions: list[Version], rows: int) -> str:
    """Draw all that a screen showed, each line at its time."""
    width, height = COLUMNS * CELL + 2 * PAD, rows * LINE + 2 * PAD + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img">',
        f"<title>{TITLE}</title>",
        f"<style>text{{font:{SIZE}px {FONT};white-space:pre}}",
        ".v{opacity:0;animation:on 1ms linear var(--a) forwards}",
        ".o{animation:on 1ms linear var(--a) forwards,off 1ms linear var(--b) forwards}",
        "@keyframes on{to{opacity:1}}@keyframes off{from{opacity:1}to{opacity:0}}",
        "@media (prefers-reduced-motion:reduce){.v{animation:none;opacity:1}.o{display:none}}",
        *(f".c{name}{{fill:{colour}}}" for name, colour in COLOURS.items()),
        "</style>",
        f'<rect width="{width:g}" height="{height:g}" rx="8" fill="#0d1117"/>',
        *(
            f'<circle cx="{20 + n * 18}" cy="17" r="5.5" fill="{c}"/>'
            for n, c in enumerate(("#ff5f57", "#febc2e", "#28c840"))
        ),
    ]
    for version in versions:
        ended = version.end is not None
        if version.end is not None and version.end - version.start < SHORTEST:
            continue
        times = f"--a:{version.start:.2f}s" + (f";--b:{version.end:.2f}s" if ended else "")
        parts.append(f'<g class="v{" o" if ended else ""}" style="{times}">')
        y = PAD + 34 + version.row * LINE
        for column, text, colour in _runs(version.cells):
            place = f'x="{PAD + column * CELL:g}" y="{y:g}" textLength="{len(text) * CELL:g}"'
            parts.append(f'<text class="c{colour}" {place}>{escape(text)}</text>')
        parts.append("</g>")
    return "\n".join([*parts, "</svg>\n"])


def _runs(cells: list[Cell]) -> list[tuple[int, str, str]]:
    """Join letters of one colour; blanks at both ends of a run are left out."""
    runs: list[tuple[int, str, str]] = []
    start = 0
    for column in range(1, len(cells) + 1):
        if column == len(cells) or cells[column][1] != cells[start][1]:
            text = "".join(letter for letter, _ in cells[start:column])
            if text.strip():
                runs.append((start + len(text) - len(text.lstrip()), text.strip(), cells[start][1]))
            start = column
    return runs


def main() -> None:
    """Record the commands and draw them."""
    screen = Screen()
    at = 0.4
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(SAMPLES, Path(place) / "samples")
        for command in COMMANDS:
            at = type_in(command, screen, at)
            at = record(command, Path(place), screen, at) + 0.9
            screen.write("\r\n", at)
    rows = max(version.row for version in screen.versions) + 1
    assert rows <= ROWS, f"{rows} rows are more than fit"
    PICTURE.write_text(svg(screen.versions, rows), encoding="utf-8")
    print(f"{PICTURE.name}: {rows} rows, {at:.1f} s, {PICTURE.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
