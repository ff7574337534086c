"""Train the small text-to-image model that headrace ships, and export it to ONNX.

    python tools/train_shapes.py --steps 8000 --minutes 38 --preview preview.png

Needs torch, onnx, onnxscript, onnxruntime, numpy and Pillow; it was trained so, for 3,800 steps on a busy
machine. Everything it
learns from is made by `shape_scenes.py`: sentences, and what the pictures they describe look like at random points.

A sentence goes through a small transformer. Four slots look at its words and at their numbers of chance, and each
says whether it is there, where, how large, how tilted, in which colour, and which shape (16 numbers). A second small
network, the painter, turns those 16 numbers and a point of the shape's own frame into "inside or not". A
picture is the slots laid over each other, at any resolution.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx_int8 import quantise_weights, strip_notes
from PIL import Image
from shape_scenes import CHANCE, SHAPES, SLOTS, inside, sample, sentence, truth, words
from torch import Tensor, nn

DATA = Path(__file__).parents[1] / "src/headrace/data"
OUT = DATA / "models/shapes-to-image.onnx"
LENGTH = 32  # words of a sentence
WIDTH = 96
SHAPE_NUMBERS = 16
PADDING, UNKNOWN = 0, 1


class Slots(nn.Module):
    """Words (batch, LENGTH) and chance (batch, SLOTS, CHANCE) to slots' numbers and the ground's colour."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, WIDTH, padding_idx=PADDING)
        self.places = nn.Parameter(torch.randn(LENGTH, WIDTH) * 0.02)
        self.readers = nn.ModuleList([Block(False) for _ in range(3)])
        self.slots = nn.Parameter(torch.randn(SLOTS + 1, WIDTH) * 0.1)  # the last one is the ground
        self.chance = nn.Linear(CHANCE, WIDTH)
        self.lookers = nn.ModuleList([Block(True) for _ in range(3)])
        self.numbers = nn.Sequential(
            nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 128), nn.SiLU(), nn.Linear(128, 8 + SHAPE_NUMBERS)
        )
        self.ground = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 64), nn.SiLU(), nn.Linear(64, 3))

    def forward(self, ids: Tensor, chance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give presence and geometry (batch, SLOTS, 8), shape (batch, SLOTS, SHAPE_NUMBERS), ground (batch, 3)."""
        silent = (ids == PADDING)[:, None, None, :]
        x = self.words(ids) + self.places
        for block in self.readers:
            x = block(x, x, silent)
        moved = torch.cat([self.chance(chance), torch.zeros_like(chance[:, :1, :1]).expand(-1, 1, WIDTH)], 1)
        s = self.slots + moved
        for block in self.lookers:
            s = block(s, torch.cat([x, s], 1), torch.cat([silent, torch.zeros_like(silent[..., : SLOTS + 1])], -1))
        found = self.numbers(s[:, :SLOTS])
        return found[..., :8], found[..., 8:], torch.sigmoid(self.ground(s[:, SLOTS]))


class Block(nn.Module):
    """Attention from `x` to `seen`, then a small network, both added."""

    def __init__(self, crossing: bool, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.seen = nn.LayerNorm(WIDTH) if crossing else None
        self.ask, self.keys, self.values, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.think = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.SiLU(), nn.Linear(2 * WIDTH, WIDTH))

    def split(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)

    def forward(self, x: Tensor, seen: Tensor, silent: Tensor) -> Tensor:
        asking = self.before(x)
        seen = self.seen(seen) if self.seen is not None else asking
        q, k, v = self.split(self.ask(asking)), self.split(self.keys(seen)), self.split(self.values(seen))
        weights = (q @ k.transpose(2, 3) * (WIDTH // self.heads) ** -0.5).masked_fill(silent, -1e9).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(x.shape))
        return x + self.think(self.between(x))


class Painter(nn.Module):
    """A shape's numbers (batch, SLOTS, SHAPE_NUMBERS) and points (batch, SLOTS, points, 2) to "inside" logits."""

    def __init__(self) -> None:
        super().__init__()
        self.shape = nn.Linear(SHAPE_NUMBERS, 64)
        self.point = nn.Linear(2 + 12, 64)
        self.layers = nn.ModuleList([nn.Linear(64, 64) for _ in range(3)])
        self.out = nn.Linear(64, 1)

    def forward(self, shape: Tensor, points: Tensor) -> Tensor:
        points = points.clamp(-1.8, 1.8)
        waves = [f(points * scale) for scale in (1.5, 3.0, 6.0) for f in (torch.sin, torch.cos)]
        x = nn.functional.silu(self.point(torch.cat([points, *waves], -1)) + self.shape(shape)[..., None, :])
        for layer in self.layers:
            x = x + nn.functional.silu(layer(x) + self.shape(shape)[..., None, :])
        return self.out(x)[..., 0]


class Drawer(nn.Module):
    """Words, chance, points and sharpness to colours."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.slots, self.painter = Slots(vocabulary), Painter()
        self.sharpness = 1.0  # more when pictures are drawn: in training, doubt at an edge is worth learning from

    def forward(self, ids: Tensor, chance: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Give colours (batch, points, 3) for points (batch, points, 2) in 0..1, and what `Slots` says."""
        numbers, shape, ground = self.slots(ids, chance)
        there = torch.sigmoid(numbers[..., 0])
        local = self.local(numbers, points)
        covered = torch.sigmoid(self.painter(shape, local) * self.sharpness) * there[..., None]
        colours = ground[:, None, :].expand(-1, points.shape[1], -1)
        for i in range(SLOTS - 1, -1, -1):
            paint = torch.sigmoid(numbers[:, i, 5:8])[:, None, :]
            colours = colours + covered[:, i, :, None] * (paint - colours)
        return colours, numbers, shape, ground

    @staticmethod
    def local(numbers: Tensor, points: Tensor) -> Tensor:
        """Move points of the picture into each slot's own frame."""
        x, y, size, tilt = (numbers[..., i, None] for i in (1, 2, 3, 4))
        size = torch.exp(size.clamp(-4.0, 0.0))
        dx, dy = (points[:, None, :, 0] - x) / size, (points[:, None, :, 1] - y) / size
        cos, sin = torch.cos(tilt), torch.sin(tilt)
        return torch.stack([dx * cos + dy * sin, dy * cos - dx * sin], -1)


class Lessons:
    """Endless batches of sentences with what they describe."""

    def __init__(self, vocabulary: dict[str, int], seed: int) -> None:
        self.vocabulary, self.chance, self.numbers = vocabulary, random.Random(seed), np.random.default_rng(seed)

    def batch(self, count: int, points: int) -> dict[str, Tensor]:
        ids = np.zeros((count, LENGTH), np.int64)
        chance = self.numbers.uniform(-1, 1, (count, SLOTS, CHANCE)).astype(np.float32)
        kinds, numbers = np.zeros((count, SLOTS), np.int64), np.zeros((count, SLOTS, 7), np.float32)
        grounds = np.zeros((count, 3), np.float32)
        for i in range(count):
            scene = sample(self.chance)
            said = [self.vocabulary[word] for word in sentence(scene, self.chance).split()]
            for _ in range(self.chance.choice([0, 0, 0, 1, 2])):  # words that mean nothing to it
                said.insert(self.chance.randrange(len(said) + 1), UNKNOWN)
            ids[i, : len(said[:LENGTH])] = said[:LENGTH]
            kinds[i], numbers[i], grounds[i] = truth(scene, chance[i])
        own = self.numbers.uniform(-1.5, 1.5, (count, SLOTS, points, 2)).astype(np.float32)
        own_inside = inside(np.broadcast_to(kinds[..., None], own.shape[:-1]), own[..., 0], own[..., 1])
        # points of the picture: half anywhere, half near the shapes
        at = self.numbers.uniform(0, 1, (count, points, 2)).astype(np.float32)
        one = numbers[np.arange(count), self.numbers.integers(0, SLOTS, count)]
        near = one[:, None].repeat(points // 2, axis=1)
        spread = self.numbers.uniform(-1.4, 1.4, (count, points // 2, 2)).astype(np.float32)
        at[:, : points // 2] = np.clip(near[..., :2] + spread * near[..., 2:3], 0, 1)
        colours = np.broadcast_to(grounds[:, None], (count, points, 3)).copy()
        for k in range(SLOTS - 1, -1, -1):
            x, y, size, tilt = (numbers[:, k, j, None] for j in range(4))
            dx, dy = (at[..., 0] - x) / np.maximum(size, 1e-3), (at[..., 1] - y) / np.maximum(size, 1e-3)
            u, v = dx * np.cos(tilt) + dy * np.sin(tilt), dy * np.cos(tilt) - dx * np.sin(tilt)
            hit = inside(np.broadcast_to(kinds[:, k, None], u.shape), u, v)
            colours = np.where(hit[..., None], numbers[:, k, None, 4:], colours)
        arrays = {"ids": ids, "chance": chance, "kinds": kinds, "numbers": numbers, "grounds": grounds, "own": own,
                  "own_inside": own_inside.astype(np.float32), "at": at, "colours": colours}  # fmt: skip
        return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}


def loss_of(drawer: Drawer, b: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Compare what is drawn, and what the slots say, with the truth."""
    colours, numbers, shape, ground = drawer(b["ids"], b["chance"], b["at"])
    there = (b["kinds"] >= 0).float()
    weight = there[..., None] / there.sum().clamp(min=1)
    true = b["numbers"]
    parts = {
        "there": nn.functional.binary_cross_entropy_with_logits(numbers[..., 0], there),
        "place": ((numbers[..., 1:3] - true[..., :2]).abs() * weight).sum(),
        "size": ((numbers[..., 3] - true[..., 2].clamp(min=0.01).log()).abs() * weight[..., 0]).sum(),
        "tilt": ((numbers[..., 4] - true[..., 3]).abs() * weight[..., 0]).sum(),
        "colour": ((torch.sigmoid(numbers[..., 5:8]) - true[..., 4:]).abs() * weight).sum(),
        "ground": (ground - b["grounds"]).abs().mean(),
        "picture": (colours - b["colours"]).pow(2).mean(),
    }
    own = nn.functional.binary_cross_entropy_with_logits(
        drawer.painter(shape, b["own"]), b["own_inside"], reduction="none"
    )
    parts["shape"] = (own.mean(-1) * weight[..., 0]).sum()
    factors = {"there": 1, "place": 6, "size": 1, "tilt": 2, "colour": 3, "ground": 3, "picture": 4, "shape": 2}
    return sum((parts[name] * factors[name] for name in parts), torch.zeros(())), {
        n: float(p) for n, p in parts.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--minutes", type=float, default=60, help="stop earlier after so many minutes")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--checkpoint", type=Path, help="where to keep the weights; gone on from if it is there")
    parser.add_argument("--preview", type=Path)
    args = parser.parse_args()
    torch.manual_seed(1)
    known = words()
    vocabulary = {word: i + 2 for i, word in enumerate(known)}
    drawer = Drawer(len(known) + 2)
    if args.checkpoint and args.checkpoint.exists():
        drawer.load_state_dict(torch.load(args.checkpoint, weights_only=True))
    lessons = Lessons(vocabulary, seed=int(time.time()) if args.checkpoint else 1)
    optimiser = torch.optim.AdamW(drawer.parameters(), 1.5e-3, betas=(0.9, 0.98), weight_decay=0.01)
    began = time.monotonic()
    for step in range(args.steps):
        done = max(step / args.steps, (time.monotonic() - began) / 60 / args.minutes)
        if done >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = 1.5e-3 * min(1, (step + 1) / 200) * (0.5 + 0.5 * np.cos(np.pi * done)) + 1e-6
        loss, parts = loss_of(drawer, lessons.batch(args.batch, 48))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(drawer.parameters(), 1.0)
        optimiser.step()
        if step % 100 == 0:
            print(step, f"{time.monotonic() - began:.0f} s", {n: round(p, 4) for n, p in parts.items()}, flush=True)
            if args.checkpoint:
                torch.save(drawer.state_dict(), args.checkpoint)
    if args.checkpoint:
        torch.save(drawer.state_dict(), args.checkpoint)
    export(drawer.eval(), known)
    if args.preview:
        preview(vocabulary, args.preview)


class Exported(nn.Module):
    """The drawer with only the colours as its result."""

    def __init__(self, drawer: Drawer) -> None:
        super().__init__()
        self.drawer = drawer
        drawer.sharpness = 3.0

    def forward(self, ids: Tensor, chance: Tensor, points: Tensor) -> Tensor:
        colours: Tensor = self.drawer(ids, chance, points)[0]
        return colours


def export(drawer: Drawer, known: tuple[str, ...]) -> None:
    (DATA / "labels/shapes-words.txt").write_text("\n".join(known) + "\n")
    inputs = (torch.zeros(1, LENGTH, dtype=torch.int64), torch.zeros(1, SLOTS, CHANCE), torch.zeros(1, 99, 2))
    points = torch.export.Dim("points", min=2, max=1 << 20)
    program = torch.onnx.export(
        Exported(drawer), inputs,
        dynamo=True, opset_version=18, external_data=False, input_names=["words", "chance", "points"],
        output_names=["colours"], dynamic_shapes=(None, None, {1: points}),
    )  # fmt: skip
    assert program is not None
    program.optimize()
    onnx.save(quantise_weights(strip_notes(program.model_proto), least=1 << 30), OUT)
    print(f"{OUT.name}: {OUT.stat().st_size / 1000:.0f} kB")


def preview(vocabulary: dict[str, int], path: Path) -> None:
    """Draw sentences beside what they should look like."""
    session = ort.InferenceSession(OUT, providers=["CPUExecutionProvider"])
    lessons, side = Lessons(vocabulary, 99), 96
    sheet = Image.new("RGB", (side * 12, side * 6))
    row, column = np.mgrid[0:side, 0:side]
    points = np.stack([(column + 0.5) / side, (row + 0.5) / side], -1).reshape(1, -1, 2).astype(np.float32)
    wrong = 0.0
    for k in range(36):
        scene = sample(lessons.chance)
        said = sentence(scene, lessons.chance)
        ids = np.zeros((1, LENGTH), np.int64)
        found = [vocabulary[word] for word in said.split()][:LENGTH]
        ids[0, : len(found)] = found
        chance = lessons.numbers.uniform(-1, 1, (1, SLOTS, CHANCE)).astype(np.float32)
        drawn = session.run(None, {"words": ids, "chance": chance, "points": points})[0][0]
        kinds, numbers, ground = truth(scene, chance[0])
        true = np.broadcast_to(ground, drawn.shape).copy()
        for i in range(SLOTS - 1, -1, -1):
            x, y, size, tilt = numbers[i, :4]
            dx, dy = (points[0, :, 0] - x) / max(size, 1e-3), (points[0, :, 1] - y) / max(size, 1e-3)
            u, v = dx * np.cos(tilt) + dy * np.sin(tilt), dy * np.cos(tilt) - dx * np.sin(tilt)
            true[inside(np.full(u.shape, kinds[i]), u, v)] = numbers[i, 4:]
        wrong += float((np.abs(drawn - true).max(-1) > 0.2).mean()) / 36
        for half, values in enumerate((true, drawn)):
            picture = Image.fromarray((values.reshape(side, side, 3).clip(0, 1) * 255).astype(np.uint8))
            sheet.paste(picture, (side * (k % 6 * 2 + half), side * (k // 6)))
    sheet.save(path)
    print(f"pixels clearly off the intended colour: {wrong:.2%}; shapes known: {', '.join(SHAPES)}")


if __name__ == "__main__":
    main()
