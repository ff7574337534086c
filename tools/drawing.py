"""Small line drawings as SVG: boxes, arrows and words that follow light and dark.

A picture in a page takes the colour scheme of the element that shows it, so one file serves both. Drawings are at most
480 units wide and their letters at least 12: they can be read on a telephone.
"""

from __future__ import annotations

from html import escape

Point = tuple[float, float]

WIDTH = 480
_STYLE = """
text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:#24292f}
.s{font-size:12px;fill:#57606a}.b{font-weight:600}.m{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:12px}
.plain{fill:#f6f8fa;stroke:#8c959f}.main{fill:#ddf4ff;stroke:#0969da}.good{fill:#dafbe1;stroke:#1a7f37}
.bad{fill:#ffebe9;stroke:#cf222e}.warn{fill:#fff8c5;stroke:#9a6700}.none{fill:none;stroke:#8c959f}
.l{stroke:#57606a;fill:none;stroke-width:1.4}.d{stroke-dasharray:4 3}.h{fill:#57606a}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.s{fill:#9da7b3}
.plain{fill:#1c2128;stroke:#6e7681}.main{fill:#12304f;stroke:#58a6ff}.good{fill:#12331f;stroke:#3fb950}
.bad{fill:#43191b;stroke:#f85149}.warn{fill:#3b2e0b;stroke:#d29922}.none{stroke:#6e7681}
.l{stroke:#9da7b3}.h{fill:#9da7b3}}
"""


class Drawing:
    """A drawing that grows by its calls; `svg()` gives it.

    Args:
        height: in units; the width is `WIDTH`.
        title: what it shows, for people who do not see it.
    """

    def __init__(self, height: int, title: str) -> None:
        self._height = height
        self._title = title
        self._parts: list[str] = []

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> None:
        """Write words; `kind` is any of "s" (small), "b" (bold), "m" (code), with blanks; `y` is their foot."""
        of_class = f' class="{kind}"' if kind else ""
        self._parts.append(f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{of_class}>{escape(words)}</text>')

    def box(
        self, x: float, y: float, width: float, height: float, lines: str = "", kind: str = "plain", words: str = ""
    ) -> None:
        """Draw a box with lines of words in its middle (the first as `words` says, the others small)."""
        self._parts.append(f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5"/>')
        written = lines.split("\n") if lines else []
        top = y + height / 2 + 4.5 - (len(written) - 1) * 8
        for number, line in enumerate(written):
            self.text(x + width / 2, top + number * 16, line, words if number == 0 else "s", "middle")

    def line(self, *points: Point, dashed: bool = False) -> None:
        """Draw a line through points."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        self._parts.append(f'<polyline class="l{" d" if dashed else ""}" points="{path}"/>')

    def arrow(self, *points: Point, dashed: bool = False) -> None:
        """Draw a line with a head at its end; its last part is level or upright."""
        self.line(*points, dashed=dashed)
        (before_x, before_y), (x, y) = points[-2:]
        length = max(abs(x - before_x), abs(y - before_y))
        step_x, step_y = (x - before_x) / length * 7, (y - before_y) / length * 7
        left = (x - step_x - step_y * 0.5, y - step_y + step_x * 0.5)
        right = (x - step_x + step_y * 0.5, y - step_y - step_x * 0.5)
        head = " ".join(f"{at[0]:g},{at[1]:g}" for at in ((x, y), left, right))
        self._parts.append(f'<polygon class="h" points="{head}"/>')

    def span(self, start: float, end: float, y: float, words: str) -> None:
        """Draw a measure from `start` to `end` with words above it."""
        self.line((start, y - 5), (start, y + 5))
        self.line((end, y - 5), (end, y + 5))
        self.line((start, y), (end, y))
        self.text((start + end) / 2, y - 7, words, "m", "middle")

    def svg(self) -> str:
        """Give the whole file."""
        head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{self._height}"'
        head += f' viewBox="0 0 {WIDTH} {self._height}" role="img">'
        body = "\n".join(self._parts)
        return f"{head}\n<title>{escape(self._title)}</title>\n<style>{_STYLE}</style>\n{body}\n</svg>\n"
