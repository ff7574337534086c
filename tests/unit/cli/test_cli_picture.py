"""Pictures as escape codes."""

from __future__ import annotations

import base64
import io
import re

import pytest
from PIL import Image

from headrace.cli import picture


def encoded(size: tuple[int, int] = (64, 32)) -> bytes:
    made = Image.new("RGB", size, "red")
    made.paste("blue", (0, 0, size[0] // 2, size[1]))
    buffer = io.BytesIO()
    made.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "tmux-256color", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "xterm-kitty", "HEADRACE_PICTURES": "off"}, None),
        ({"TERM": "xterm", "HEADRACE_PICTURES": "sixel"}, "sixel"),
    ],
)
def test_the_environment_tells_what_the_terminal_can(env: dict[str, str], expected: str | None) -> None:
    assert picture.protocol(env) == expected


def test_kitty_gets_a_png_in_chunks() -> None:
    noise = Image.effect_noise((400, 300), 90).convert("RGB")
    buffer = io.BytesIO()
    noise.save(buffer, "PNG")
    parts = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", picture.escape_codes(buffer.getvalue(), "kitty"))
    assert len(parts) > 2
    assert parts[0][0] == "a=T,f=100,q=2,c=50,m=1"
    assert [keys for keys, _ in parts[1:]] == ["m=1"] * (len(parts) - 2) + ["m=0"]
    assert all(len(text) <= 4096 for _, text in parts)
    with Image.open(io.BytesIO(base64.b64decode("".join(text for _, text in parts)))) as shown:
        assert (shown.format, shown.size) == ("PNG", (400, 300))


def test_iterm2_gets_one_escape() -> None:
    found = re.fullmatch(
        r"\x1b\]1337;File=inline=1;size=(\d+);width=8;preserveAspectRatio=1:(\S+)\x07",
        picture.escape_codes(encoded(), "iterm2"),
    )
    assert found is not None
    assert len(base64.b64decode(found[2])) == int(found[1])


def test_sixels_give_the_same_pixels_back() -> None:
    for size in ((64, 32), (7, 13), (1, 1)):
        text = picture.escape_codes(encoded(size), "sixel")
        decoded = _decode(text, size)
        with Image.open(io.BytesIO(encoded(size))) as original:
            assert decoded.tobytes() == original.tobytes()


def _decode(text: str, size: tuple[int, int]) -> Image.Image:
    """Decode sixels, independently of the encoder and only as far as it goes."""
    body = re.fullmatch(r'\x1bP0;1q"1;1;(\d+);(\d+)(.*)\x1b\\', text)
    assert body is not None
    assert (int(body[1]), int(body[2])) == size
    made = Image.new("RGB", size, "white")
    palette: dict[str, tuple[int, ...]] = {}
    x = y = 0
    colour = ""
    for name, define, count, cell, back, down in re.findall(
        r"#(\d+)(;2;\d+;\d+;\d+)?|(?:!(\d+))?([?-~])|(\$)|(-)", body[3]
    ):
        if define:
            palette[name] = tuple(round(int(v) * 255 / 100) for v in define.split(";")[2:])
        elif name:
            colour = name
        elif cell:
            for _ in range(int(count or 1)):
                for bit in range(6):
                    if (ord(cell) - 63) >> bit & 1:
                        made.putpixel((x, y + bit), palette[colour])
                x += 1
        elif back:
            x = 0
        elif down:
            x, y = 0, y + 6
    return made


def test_large_pictures_are_made_small_and_nonsense_is_left_out() -> None:
    codes = picture.escape_codes(encoded((2000, 500)), "sixel")
    assert '"1;1;480;120' in codes
    assert picture.escape_codes(b"\x1b[2Jno picture", "iterm2") == ""


def test_nothing_is_shown_in_a_pipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HEADRACE_PICTURES", "kitty")
    assert not picture.show(encoded())
    assert capsys.readouterr().out == ""
