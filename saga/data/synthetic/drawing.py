"""Draws one bird: a scene with clutter, a bird whose parts carry the attributes, and a camera.

Coordinates of the parts are in units of the bird's size, x to the right (towards the bill), y down,
with the body's centre at the origin. What is not an attribute (pose, bill and tail shape, legs,
body colour, scene, exposure, noise) varies freely in every image.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from saga.data.synthetic.colors import fixed_shift

Color = tuple[int, int, int]
Point = tuple[float, float]

PALETTE: dict[str, Color] = {
    "red": (205, 40, 40),
    "orange": (240, 140, 30),
    "yellow": (240, 220, 50),
    "green": (50, 150, 60),
    "blue": (50, 90, 210),
    "brown": (125, 80, 40),
    "black": (25, 25, 30),
    "white": (240, 240, 240),
    "gray": (140, 140, 145),
    "pink": (240, 150, 180),
}
OUTLINE: Color = (30, 30, 30)
LEG_COLORS = ("yellow", "black", "gray", "orange")
LEAF_COLORS = ("green", "brown", "gray")
BILLS: tuple[list[Point], ...] = (
    [(0.42, -0.29), (0.42, -0.15), (0.58, -0.21)],
    [(0.42, -0.26), (0.42, -0.18), (0.76, -0.22)],
    [(0.42, -0.29), (0.58, -0.27), (0.65, -0.18), (0.62, -0.07), (0.56, -0.17), (0.42, -0.16)],
    [(0.42, -0.25), (0.60, -0.31), (0.72, -0.31), (0.72, -0.13), (0.60, -0.13), (0.42, -0.19)],
)
TAILS: tuple[list[Point], ...] = (
    [(-0.24, -0.07), (-0.24, 0.09), (-0.58, 0.14), (-0.58, -0.04)],
    [(-0.24, -0.06), (-0.66, -0.14), (-0.44, 0.04), (-0.66, 0.22), (-0.24, 0.09)],
    [(-0.24, -0.07), (-0.70, 0.06), (-0.24, 0.10)],
    [(-0.26, -0.02), (-0.46, -0.22), (-0.63, 0.03), (-0.46, 0.28), (-0.26, 0.08)],
)
WING: list[Point] = [
    (0.16, -0.10), (0.02, -0.16), (-0.14, -0.13), (-0.30, -0.02),
    (-0.38, 0.08), (-0.20, 0.10), (-0.02, 0.08), (0.12, 0.02),
]  # fmt: skip
WING_SPOTS: tuple[Point, ...] = (
    (-0.26, 0.03), (-0.16, -0.06), (-0.10, 0.04), (-0.02, -0.08), (0.03, 0.02), (0.09, -0.06),
)  # fmt: skip
SUPERSAMPLING = 2
BIRD_PIXELS = 64
"""The bird is drawn as large as in an image of this side, however large the scene around it."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What surrounds the bird in one image."""

    size: int
    """Side of the image in pixels."""
    clutter: float
    """Strength of every nuisance, from 0 to 1."""
    background: tuple[float, float, float] | None = None
    """Colour of the habitat; None draws one at random."""
    haze: float = 0.0
    """Most of the contrast that haze may take."""
    cast: tuple[float, float, float] | None = None
    """Factors of the three channels, a colour cast of the light."""
    shift: float = 0.0
    """Strength of `saga.data.synthetic.colors.fixed_shift`, over all else."""


def ellipse(
    cx: float, cy: float, rx: float, ry: float, points: int = 20, start: float = 0, stop: float = 2
) -> list[Point]:
    """Points on an ellipse's arc; angles in units of π."""
    angles = [math.pi * (start + (stop - start) * i / points) for i in range(points + 1)]
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]


def varied(color: Color, rng: np.random.Generator, spread: float) -> Color:
    """The colour with Gaussian noise on each channel."""
    noisy = np.clip(np.asarray(color) + rng.normal(size=3) * spread * 0.6, 0, 255)
    return tuple(int(v) for v in noisy)  # type: ignore[return-value]


class Pose:
    """Maps the bird's own coordinates to pixels: position, size, mirror, tilt, stretch."""

    def __init__(self, rng: np.random.Generator, scene: Scene, width: int) -> None:
        level = scene.clutter
        self.scale = width * (BIRD_PIXELS / scene.size) * rng.uniform(0.66 - 0.16 * level, 0.70)
        self.mirror = -1 if rng.random() < 0.5 else 1
        tilt = rng.normal(0, 0.06 + 0.10 * level)
        self.cos, self.sin = math.cos(tilt), math.sin(tilt)
        self.stretch = rng.uniform(1 - 0.12 * level, 1 + 0.12 * level)
        reach_x = max(0, width / 2 - 0.66 * self.scale) + 0.08 * width * level
        reach_y = max(0, width / 2 - 0.45 * self.scale) * (0.4 + 0.5 * level)
        self.x = width / 2 + rng.uniform(-1, 1) * reach_x
        self.y = width / 2 + rng.uniform(-1, 1) * reach_y

    def __call__(self, points: list[Point]) -> list[Point]:
        """Pixel coordinates of some of the bird's points."""
        placed = []
        for a, b in points:
            b = b * self.stretch
            across = a * self.cos - b * self.sin
            placed.append(
                (
                    self.x + self.mirror * self.scale * across,
                    self.y + self.scale * (a * self.sin + b * self.cos),
                )
            )
        return placed


def draw_bird(values: dict[str, str], rng: np.random.Generator, scene: Scene) -> np.ndarray:
    """One image of a bird with the given attribute values.

    Args:
        values: value of each attribute of `saga.data.synthetic.attributes.ATTRIBUTES`.
        rng: source of everything that is not an attribute.
        scene: size and nuisance.

    Returns:
        uint8 array (size, size, 3).
    """
    width = scene.size * SUPERSAMPLING
    canvas = Image.fromarray(_background(rng, scene, width))
    pen = ImageDraw.Draw(canvas)
    _draw_clutter(pen, rng, scene, width)
    pose = Pose(rng, scene, width)
    _draw_parts(pen, values, rng, scene, pose)
    _draw_occluders(pen, rng, scene, pose)
    small = canvas.resize((scene.size, scene.size), Image.Resampling.BOX)
    return _photograph(np.asarray(small, np.float32), rng, scene)


def _background(rng: np.random.Generator, scene: Scene, width: int) -> np.ndarray:
    """A colour with a soft gradient."""
    color = rng.integers(40, 230, 3).astype(float)
    if scene.background is not None:
        color = np.clip(np.asarray(scene.background) + rng.normal(0, 14, 3), 20, 240)
    slope = rng.normal(0, 40 * scene.clutter, (2, 3))
    y, x = np.mgrid[0:width, 0:width] / width - 0.5
    return np.clip(color + x[..., None] * slope[0] + y[..., None] * slope[1], 0, 255).astype(
        np.uint8
    )


def _draw_clutter(
    pen: ImageDraw.ImageDraw, rng: np.random.Generator, scene: Scene, width: int
) -> None:
    """Lines, discs and polygons in the bird's own colours, behind it."""
    colors = list(PALETTE.values())
    for _ in range(rng.poisson(7 * scene.clutter)):
        color = varied(colors[rng.integers(len(colors))], rng, 40)
        x, y = rng.uniform(0, width, 2)
        kind, extent = rng.integers(3), rng.uniform(0.05, 0.22) * width
        if kind == 0:
            dx, dy = rng.normal(0, width * 0.3, 2)
            pen.line([(x, y), (x + dx, y + dy)], fill=color, width=int(rng.integers(2, 8)))
        elif kind == 1:
            pen.ellipse([x, y, x + extent, y + extent * rng.uniform(0.5, 1.5)], fill=color)
        else:
            corners = np.array([x, y]) + rng.normal(0, extent * 0.7, (3, 2))
            pen.polygon([tuple(c) for c in corners], fill=color)


def _draw_parts(
    pen: ImageDraw.ImageDraw,
    values: dict[str, str],
    rng: np.random.Generator,
    scene: Scene,
    pose: Pose,
) -> None:
    """Legs, tail, body, belly, bill, head, crown, eye, wing."""
    level = scene.clutter
    spread = 18 + 14 * level

    def shade(attribute: str) -> Color:
        return varied(PALETTE[values[attribute]], rng, spread)

    def fill(points: list[Point], color: Color, outline: Color | None = None) -> None:
        pen.polygon(pose(points), fill=color, outline=outline)

    body = varied((150, 120, 95), rng, 50 + 20 * level)
    leg = varied(PALETTE[LEG_COLORS[rng.integers(len(LEG_COLORS))]], rng, spread)
    leg_width = max(2, int(0.055 * pose.scale))
    pen.line(pose([(-0.02, 0.18), (-0.03, 0.40), (0.06, 0.41)]), fill=leg, width=leg_width)
    pen.line(pose([(0.10, 0.16), (0.11, 0.38), (0.20, 0.39)]), fill=leg, width=leg_width)
    fill(TAILS[rng.integers(len(TAILS))], shade("tail color"), OUTLINE)
    fill(ellipse(0, 0, 0.32, 0.22), body)
    fill(ellipse(0.06, 0.09, 0.23, 0.125), shade("belly color"))
    fill(BILLS[rng.integers(len(BILLS))], shade("bill color"), OUTLINE)
    fill(ellipse(0.30, -0.22, 0.15, 0.15), varied(body, rng, 10))
    fill(ellipse(0.30, -0.235, 0.155, 0.145, 12, 1, 2), shade("crown color"))
    fill(ellipse(0.36, -0.20, 0.022, 0.022, 8), (10, 10, 10))
    wing = shade("wing color")
    fill(WING, wing, OUTLINE)
    _draw_wing_pattern(pen, values["wing pattern"], wing, pose)


def _draw_wing_pattern(pen: ImageDraw.ImageDraw, pattern: str, wing: Color, pose: Pose) -> None:
    """Bars, spots or an edge in a tone that stands off from the wing."""
    tone = (250, 250, 245) if sum(wing) < 480 else (20, 20, 20)
    if pattern == "bars":
        for x in (-0.20, -0.06, 0.06):
            ends = pose([(x + 0.03, -0.13), (x - 0.05, 0.08)])
            pen.line(ends, fill=tone, width=max(2, int(0.04 * pose.scale)))
    elif pattern == "spots":
        for x, y in WING_SPOTS:
            pen.polygon(pose(ellipse(x, y, 0.027, 0.027, 8)), fill=tone)
    elif pattern == "edged":
        pen.line(pose([*WING, WING[0]]), fill=tone, width=max(2, int(0.05 * pose.scale)))


def _draw_occluders(
    pen: ImageDraw.ImageDraw, rng: np.random.Generator, scene: Scene, pose: Pose
) -> None:
    """Twigs and leaves in front of the bird."""
    for _ in range(rng.poisson(1.1 * scene.clutter)):
        color = varied(PALETTE[LEAF_COLORS[rng.integers(len(LEAF_COLORS))]], rng, 40)
        x, y = np.array([pose.x, pose.y]) + rng.normal(0, 0.28 * pose.scale, 2)
        if rng.random() < 0.5:
            angle = rng.uniform(0, math.pi)
            dx, dy = math.cos(angle) * pose.scale * 0.5, math.sin(angle) * pose.scale * 0.5
            thick = int(pose.scale * rng.uniform(0.03, 0.07))
            pen.line([(x - dx, y - dy), (x + dx, y + dy)], fill=color, width=thick)
        else:
            r = pose.scale * rng.uniform(0.06, 0.14)
            pen.ellipse([x - r, y - r * 0.6, x + r, y + r * 0.6], fill=color)


def _photograph(pixels: np.ndarray, rng: np.random.Generator, scene: Scene) -> np.ndarray:
    """Contrast, exposure, white balance and noise of the camera; then cast, haze, shift."""
    level = scene.clutter
    pixels = (pixels - 128) * rng.uniform(1 - 0.3 * level, 1 + 0.2 * level)
    pixels = pixels + 128 + rng.normal(0, 22 * level)
    pixels = pixels * (1 + rng.normal(0, 0.06 * level, 3))
    pixels = pixels + rng.normal(0, 3 + 11 * level * rng.random(), pixels.shape)
    pixels = np.clip(pixels, 0, 255)
    if scene.cast is not None:
        pixels = np.clip(pixels * np.asarray(scene.cast), 0, 255)
    if scene.haze > 0:
        clear = 1 - scene.haze * rng.random()
        veil = rng.uniform(110, 225) + rng.normal(0, 8, 3)
        pixels = clear * pixels + (1 - clear) * veil
    if scene.shift > 0:
        pixels = fixed_shift(np.clip(pixels, 0, 255), scene.shift)
    return np.clip(pixels, 0, 255).astype(np.uint8)
