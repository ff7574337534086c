"""Make the sample receipt: a page of text as a picture, for the models that read.

    python tools/make_sample_page.py

Needs Pillow. The text was written for headrace; the font is the one that Pillow brings.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

TARGET = Path(__file__).parents[1] / "src/headrace/data/samples/pages/receipt.png"
SIZE = (640, 480)
LINES = (
    (40, 30, 34, "River Cafe"),
    (40, 90, 24, "12 Mill Lane, Bath"),
    (40, 150, 24, "2 espresso"),
    (480, 150, 24, "5.60"),
    (40, 190, 24, "1 apple cake"),
    (480, 190, 24, "4.20"),
    (40, 230, 24, "1 orange juice"),
    (480, 230, 24, "3.90"),
    (40, 300, 28, "Total"),
    (470, 300, 28, "13.70"),
    (40, 390, 24, "Thank you, see you soon!"),
)


def main() -> None:
    page = Image.new("L", SIZE, 250)
    draw = ImageDraw.Draw(page)
    for x, y, size, text in LINES:
        draw.text((x, y), text, fill=25, font=ImageFont.load_default(size))
    draw.line((40, 280, 560, 280), fill=25, width=2)
    page.save(TARGET, optimize=True)
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
