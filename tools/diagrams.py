"""Draw the diagrams of the documents into docs/img/: `python -m tools.diagrams`. A test says where a file is older."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tools.drawing import Drawing

IMAGES = Path(__file__).parents[1] / "docs" / "img"


def shapes() -> Drawing:
    """The three call shapes, each with two lifelines."""
    it = Drawing(250, "predict: one input, one prediction. generate: one input, many pieces. stream: many of both.")
    messages = {  # to the server: True
        "predict": [(True, "input"), (False, "prediction")],
        "generate": [(True, "input"), (False, "piece"), (False, "piece"), (False, "piece"), (False, "piece")],
        "stream": [(True, "1"), (True, "2"), (False, "1"), (True, "3"), (False, "2"), (False, "3")],
    }
    under = {"predict": "one in, one out", "generate": "one in, many out", "stream": "many in, many out"}
    for number, (name, sent) in enumerate(messages.items()):
        left = 26 + number * 162
        right = left + 100
        it.text((left + right) / 2, 16, name, "b", "middle")
        it.text((left + right) / 2, 33, under[name], "s", "middle")
        it.box(left - 22, 42, 44, 22, "you", "main", "s")
        it.box(right - 26, 42, 52, 22, "server", "plain", "s")
        it.line((left, 64), (left, 244))
        it.line((right, 64), (right, 244))
        gap = 162 / len(sent)
        for index, (up, words) in enumerate(sent):
            y = 84 + gap * (index + 0.3)
            it.arrow(*(((left, y), (right, y)) if up else ((right, y), (left, y))))
            it.text((left + right) / 2, y - 5, words, "s", "middle")
    return it


def window() -> Drawing:
    """From the source to the loop that takes predictions, and what holds back what."""
    it = Drawing(300, "Inputs pass a bounded queue and a window; a prediction that is taken frees a place in it.")
    it.box(4, 40, 84, 48, "source\nyour inputs", "main", "b")
    it.text(178, 30, "queue", "b", "middle")
    it.text(178, 105, "prefetch=4", "m", "middle")
    for number in range(4):
        it.box(124 + number * 28, 52, 22, 24, kind="plain" if number else "none")
    it.text(336, 30, "window", "b", "middle")
    it.text(336, 105, "window=16", "m", "middle")
    it.box(272, 40, 128, 48, kind="none")
    for number in range(4):
        it.box(280 + number * 29, 52, 22, 24, kind="main")
    it.arrow((88, 64), (120, 64))
    it.arrow((240, 64), (268, 64))
    it.box(418, 150, 58, 62, "server", "plain", "b")
    it.arrow((400, 64), (447, 64), (447, 146))
    it.box(248, 166, 128, 30, "answers, in order", "plain")
    it.arrow((418, 181), (380, 181))
    it.box(4, 158, 176, 46, "async for p in stream", "main", "m")
    it.arrow((248, 181), (184, 181))
    it.arrow((336, 163), (336, 112), dashed=True)
    it.text(328, 130, "a taken answer", "s", "end")
    it.text(328, 146, "frees a place", "s", "end")
    it.arrow((178, 112), (178, 128), (46, 128), (46, 92), dashed=True)
    it.text(52, 145, "full: the source waits", "s")
    it.text(4, 240, "Nothing else grows: a slow loop slows the source, not the memory.", "")
    it.text(4, 264, "With overflow= or max_age= the queue drops inputs instead of making", "s")
    it.text(4, 281, "the source wait. Each drop is counted, with its cause.", "s")
    return it


def books() -> Drawing:
    """What becomes of every input."""
    it = Drawing(236, "Every input that was pulled ends as one prediction, one error or one counted drop.")
    it.box(170, 6, 140, 44, "pulled\ntaken from the source", "main", "b")
    columns = [
        (4, "received", "a prediction", "good", ["delivered once", "also after a", "broken connection"]),
        (166, "errors", "names its input", "bad", ["refused, failed,", "timed out, or the", "server is gone"]),
        (328, "dropped", "counted by cause", "warn", ["drop_oldest", "drop_newest, latest", "max_age, closed"]),
    ]
    for x, name, under, kind, lines in columns:
        middle = x + 74
        it.arrow((240, 50), (240, 68), (middle, 68), (middle, 86))
        it.box(x, 88, 148, 44, f"{name}\n{under}", kind, "b")
        for number, words in enumerate(lines):
            it.text(middle, 152 + number * 16, words, "m s" if "_" in words else "s", "middle")
    it.text(240, 222, "pulled == received + errors + dropped", "m", "middle")
    return it


def timeouts() -> Drawing:
    """Which timeout bounds which part of a call."""
    it = Drawing(350, "The timeouts of predict, generate and stream, each over the part of a call that it bounds.")
    it.text(4, 16, "predict", "b")
    parts = [(64, "queue"), (72, "connect"), (104, "attempt 1"), (68, "pause"), (116, "attempt 2")]
    it.span(28, 452, 48, "total, or timeout=")
    x = 28
    for width, words in parts:
        it.box(x, 58, width, 28, words, "main" if "attempt" in words else "plain", "s")
        x += width
    it.span(92, 164, 112, "connect")
    it.span(164, 268, 112, "attempt")
    it.span(336, 452, 112, "attempt")
    it.text(4, 150, "generate", "b")
    it.span(28, 196, 178, "first_answer")
    it.line((28, 202), (452, 202))
    for at in (196, 246, 292, 412):
        it.box(at - 4, 192, 8, 20, kind="good")
    it.span(292, 412, 178, "idle")
    it.text(28, 226, "request", "s")
    it.text(196, 226, "first piece", "s", "middle")
    it.text(412, 226, "next piece", "s", "middle")
    it.text(4, 262, "stream, one input", "b")
    for start, width, words, kind in (
        (28, 76, "prepare", "plain"),
        (104, 92, "in the queue", "none"),
        (196, 256, "sent", "main"),
    ):
        it.box(start, 300, width, 28, words, kind, "s")
    it.span(28, 104, 290, "input")
    it.span(196, 452, 290, "input")
    it.text(452, 344, "its answer", "s", "end")
    it.text(104, 344, "max_age bounds the queue", "s")
    return it


def retries() -> Drawing:
    """What is done about a failed attempt."""
    it = Drawing(382, "A failed attempt is raised, repeated at once, repeated after a pause, or waited for.")
    it.box(4, 6, 200, 34, "an attempt failed", "bad", "b")
    steps = [
        ("no retry can help", "bad input, credential, quota", "raised at once", "bad"),
        ("the server never saw it", "refused stream, GOAWAY", "sent again in milliseconds", "good"),
        ("the model is deploying", "codes 21351, 21352, ...", "asked again until warm_up ends", "warn"),
        ("throttled", "code 11005, HTTP 429", "up to 12 attempts, as hinted", "warn"),
        ("it may be final", "code 10020, a proxy's 504", "up to 2 attempts", "warn"),
        ("everything else", "connection lost, code 10030", "up to 5 attempts, full jitter", "good"),
    ]
    y = 58
    for name, examples, then, kind in steps:
        it.box(4, y, 200, 40, f"{name}\n{examples}", "plain")
        it.box(246, y, 230, 40, then, kind)
        it.arrow((204, y + 20), (243, y + 20))
        it.arrow((104, y - 18 if y == 58 else y - 14), (104, y - 2))
        y += 54
    return it


def connections() -> Drawing:
    """How calls find a connection."""
    it = Drawing(262, "A client spreads its calls over up to eight connections and replaces those that end.")
    it.box(4, 84, 88, 62, "Client\nall its models", "main", "b")
    it.box(122, 84, 84, 62, "queue\nfirst come,\nfirst served", "plain", "b")
    it.arrow((92, 115), (119, 115))
    rows = [
        (20, "connection 1", "64 of 64 calls: full", "main"),
        (80, "connection 2", "12 of 64 calls", "main"),
        (140, "connection 3", "GOAWAY: finishing 5 calls", "warn"),
    ]
    for y, name, under, kind in rows:
        it.box(244, y, 164, 46, f"{name}\n{under}", kind)
        it.line((408, y + 23), (440, y + 23))
    it.line((224, 43), (224, 163))
    it.line((206, 115), (224, 115))
    it.line((224, 43), (244, 43))
    it.arrow((224, 103), (241, 103))
    it.line((224, 163), (244, 163), dashed=True)
    it.text(456, 12, "server", "b", "middle")
    it.box(440, 20, 36, 166)
    it.text(4, 222, "A call takes the connection with room. Another one is opened when all", "s")
    it.text(4, 239, "are full, up to connections=8. Past that, calls wait in the client,", "s")
    it.text(4, 256, "where their deadline is kept, and not inside the transport.", "s")
    return it


def architecture() -> Drawing:
    """The folders of the package, in the way of an input and its answer."""
    it = Drawing(452, "Inputs go down on the left, answers come up on the right; the ledger is where both meet.")
    it.box(4, 6, 220, 34, "your inputs", "main", "b")
    it.box(256, 6, 220, 34, "your async for", "main", "b")
    left = [
        ("sources/", "iterables, files, URLs, videos"),
        ("calls/ feeder, prepare", "checked, typed, read once"),
        ("flow/ pipe", "bounded, overflow policy"),
        ("calls/ sender", "packs inputs into requests"),
    ]
    right = [
        ("results/", "Prediction and its views"),
        ("calls/ streams", "what you hold; frees the window"),
        ("calls/ ledger", "which input awaits which answer"),
        ("calls/ responses", "bytes cut into answers"),
    ]
    for index in range(4):
        y = 58 + index * 62
        it.box(4, y, 220, 44, "\n".join(left[index]), "plain", "m")
        it.box(256, y, 220, 44, "\n".join(right[index]), "good" if index == 2 else "plain", "m")
        it.arrow((114, y - 18), (114, y - 2))
        it.arrow((366, y), (366, y - 16))
    it.arrow((224, 266), (240, 266), (240, 204), (253, 204), dashed=True)
    it.box(4, 310, 472, 34, "codec/ messages and bytes", "plain", "m")
    it.arrow((114, 288), (114, 308))
    it.arrow((366, 308), (366, 290))
    it.box(4, 362, 472, 34, "channels/ the pool of connections", "plain", "m")
    it.arrow((114, 344), (114, 360))
    it.arrow((366, 360), (366, 346))
    it.box(4, 414, 472, 34, "transport/ grpc, h2 or memory", "warn", "m")
    it.arrow((114, 396), (114, 412))
    it.arrow((366, 412), (366, 398))
    return it


DIAGRAMS: tuple[Callable[[], Drawing], ...] = (shapes, window, books, timeouts, retries, connections, architecture)


def main() -> None:
    """Draw all of them."""
    for draw in DIAGRAMS:
        (IMAGES / f"{draw.__name__}.svg").write_text(draw().svg(), encoding="utf-8")


if __name__ == "__main__":
    main()
