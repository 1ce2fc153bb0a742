"""Make the example shop's pictures and 3D models: `python tools/demo_media.py` writes what the catalogue names.

Every product is put together from a few simple solids at the catalogue's dimensions. The same parts become a GLB
file (glTF 2.0, metres, y up, the front facing +z) and a picture, drawn by a small software rasteriser.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float64]
KNOWLEDGE = Path(__file__).resolve().parent.parent / "knowledge"
SIZE = (560, 320)  # the page shows pictures 7 : 4 and would crop any other shape
_SUPERSAMPLING = 2
_BACKGROUND = (0xE2, 0xF1, 0xEC)  # --tint of client/src/styles/tokens.css
_MARGIN = 0.84
_KEY_LIGHT = np.array([-0.5, 0.95, 0.6]) / np.linalg.norm([-0.5, 0.95, 0.6])
_FILL_LIGHT = np.array([0.9, 0.25, 0.5]) / np.linalg.norm([0.9, 0.25, 0.5])
_VIEW = np.array([0.62, 0.42, 1.0]) / np.linalg.norm([0.62, 0.42, 1.0])


@dataclass(frozen=True, slots=True)
class Material:
    """A surface: colour as in CSS, and how metallic and how rough it is."""

    colour: str
    metallic: float = 0.0
    roughness: float = 0.8

    def linear(self) -> Array:
        """The colour in linear light."""
        return _to_linear(np.array([int(self.colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255)


@dataclass(frozen=True, slots=True)
class Part:
    """A solid around its own origin, and where that lies."""

    points: Array
    normals: Array
    faces: NDArray[np.int64]
    material: Material
    at: tuple[float, float, float]

    def placed(self) -> Array:
        """The points where they lie in the product."""
        return self.points + np.array(self.at)


COLOURS = {
    "moss green": Material("#66754c", roughness=0.95),
    "green": Material("#5d7d55", roughness=1.0),
    "sage green": Material("#9db095", roughness=0.55),
    "sand": Material("#cdb994", roughness=0.95),
    "made to order": Material("#7f93a0", roughness=0.95),
    "stone grey": Material("#98968f", roughness=0.95),
    "slate": Material("#4b5560", roughness=0.9),
    "rust": Material("#b05a36", roughness=0.95),
    "natural oak": Material("#c0925c", roughness=0.6),
    "natural ash": Material("#dabd90", roughness=0.6),
    "black": Material("#2b2d30", roughness=0.45),
    "brass": Material("#c29a4b", metallic=0.8, roughness=0.3),
    "cream": Material("#efe4cb", roughness=0.3),
    "white": Material("#f4f3ef", roughness=0.5),
    "white and ash": Material("#f2f1ec", roughness=0.5),
    "white and oak": Material("#f2f1ec", roughness=0.5),
}
OAK = COLOURS["natural oak"]
ASH = COLOURS["natural ash"]
WHITE = COLOURS["white"]
BLACK = COLOURS["black"]
STEEL = Material("#a9adb1", metallic=0.7, roughness=0.35)
DARK_STEEL = Material("#43474b", metallic=0.5, roughness=0.5)
LINEN = Material("#e9e2d2", roughness=0.95)
GLASS = Material("#1d2328", roughness=0.12)
GLOW = Material("#fff3cf", roughness=0.3)
GREEN_LIGHT = Material("#23b38a", roughness=0.4)


def _to_linear(values: Array) -> Array:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _to_screen(values: Array) -> Array:
    values = np.clip(values, 0, 1)
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)


# --- solids ---


def _smooth(points: Array, faces: NDArray[np.int64]) -> tuple[Array, Array, NDArray[np.int64]]:
    """Weld equal points and give each the mean normal of its faces, large ones counting more."""
    welded, index = np.unique(points.round(6), axis=0, return_inverse=True)
    faces = index.reshape(-1)[faces]
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]
    a, b, c = (welded[faces[:, i]] for i in range(3))
    across = np.cross(b - a, c - a)
    normals = np.zeros_like(welded)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], across)
    return welded, normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12), faces


def _grid_faces(rows: int, columns: int, start: int = 0) -> NDArray[np.int64]:
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)[None]).reshape(-1) + start
    low = np.stack([corner, corner + 1, corner + columns + 1], axis=1)
    high = np.stack([corner, corner + columns + 1, corner + columns], axis=1)
    return np.concatenate([low, high])


def _turned(part: Part, axis: str, degrees: float) -> Part:
    if not degrees:
        return part
    angle = math.radians(degrees)
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = math.cos(angle)
    matrix[first, second], matrix[second, first] = -math.sin(angle), math.sin(angle)
    return replace(part, points=part.points @ matrix.T, normals=part.normals @ matrix.T)


def block(
    material: Material,
    size: tuple[float, float, float],
    at: tuple[float, float, float],
    radius: float = 0.01,
    puff: float = 0.0,
    lean: float = 0.0,
    grain: int = 3,
) -> Part:
    """A box with rounded edges on `at`; `puff` fills it like a cushion, in `grain` steps; `lean` tilts it."""
    half = np.array(size) / 2
    radius = min(radius, *(half * 0.98))
    inner = half - radius
    thin = int(half.argmin())
    steps = 2 if puff else 1
    tangents = np.tan(np.linspace(-math.pi / 4, math.pi / 4, 2 * steps + 1))
    line = [(-1.0, t) for t in tangents[: steps + 1]] + [(1.0, t) for t in tangents[steps:]]
    if puff:
        line[steps + 1 : steps + 1] = [(float(s), 0.0) for s in np.linspace(-1, 1, grain + 2)[1:-1]]
    count = len(line)
    points, faces = [], []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        for sign in (-1.0, 1.0):
            place = np.zeros((count, count, 3))
            way = np.zeros((count, count, 3))
            scale, slope = np.array([s for s, _ in line]), np.array([t for _, t in line])
            place[..., u], place[..., v], place[..., axis] = scale[:, None], scale[None], sign
            way[..., u], way[..., v], way[..., axis] = slope[:, None], slope[None], sign
            way /= np.linalg.norm(way, axis=2, keepdims=True)
            face = place * inner + way * radius
            if puff and axis == thin:
                bulge = np.cos(place[..., u] * math.pi / 2) * np.cos(place[..., v] * math.pi / 2)
                face[..., axis] += sign * puff * bulge * half[axis]
            grid = _grid_faces(count, count, len(points) * count * count)
            points.append(face.reshape(-1, 3))
            faces.append(grid if sign > 0 else grid[:, ::-1])
    # with u, v in the order after the axis, u x v points along the axis; the grid runs v first, hence the turn
    solid = _smooth(np.concatenate(points), np.concatenate(faces)[:, ::-1])
    part = Part(*solid, material, (at[0], at[1] + size[1] / 2, at[2]))
    return _turned(part, "x", -lean)


def lathe(
    material: Material,
    profile: list[tuple[float, float]],
    at: tuple[float, float, float],
    sides: int = 24,
    smooth: bool = False,
    lie: bool = False,
    lean: float = 0.0,
) -> Part:
    """A solid of revolution from (radius, height) pairs, upwards; `lie` points its axis to the front."""
    angles = np.linspace(0, 2 * math.pi, sides + 1)
    ring = np.stack([np.cos(angles), np.zeros_like(angles), -np.sin(angles)], axis=1)
    lift = np.array([0.0, 1.0, 0.0])
    pieces = [profile] if smooth else [[*pair] for pair in pairwise(profile)]
    points: list[Array] = []
    normals: list[Array] = []
    faces: list[NDArray[np.int64]] = []
    start = 0
    for piece in pieces:
        shape = np.concatenate([ring * r + lift * y for r, y in piece])
        welded, normal, face = _smooth(shape, _grid_faces(len(piece), sides + 1))
        points.append(welded)
        normals.append(normal)
        faces.append(face + start)
        start += len(welded)
    part = Part(np.concatenate(points), np.concatenate(normals), np.concatenate(faces), material, at)
    return _turned(_turned(part, "x", 90 if lie else 0), "z", lean)


def rod(
    material: Material,
    radius: float,
    height: float,
    at: tuple[float, float, float],
    top: float | None = None,
    lie: bool = False,
    lean: float = 0.0,
    sides: int = 20,
) -> Part:
    """A cylinder, or a cone where the `top` has another radius, with a small chamfer."""
    top = radius if top is None else top
    cut = min(radius, height, top) * 0.12
    profile = [
        (0.0, 0.0),
        (radius - cut, 0.0),
        (radius, cut),
        (top, height - cut),
        (top - cut, height),
        (0.0, height),
    ]
    return lathe(material, profile, at, sides, lie=lie, lean=lean)


# --- products: width, depth and height in metres ---


def _legs(material: Material, w: float, d: float, h: float, radius: float, inset: float = 0.06) -> list[Part]:
    x, z = w / 2 - inset, d / 2 - inset
    places = [(-x, z), (x, z), (-x, -z), (x, -z)]
    return [rod(material, radius * 0.7, h, (px, 0, pz), top=radius, sides=12) for px, pz in places]


def sofa(w: float, d: float, h: float, main: Material, seats: int = 3, arm: float = 0.17) -> list[Part]:
    """Legs, base, back, arms, and cushions to sit on and to lean against."""
    room = (w - 2 * arm) / seats
    parts = _legs(ASH, w, d, 0.12, 0.025, 0.09)
    parts += [
        block(main, (w - 0.04, 0.2, d - 0.04), (0, 0.11, 0), 0.03),
        block(main, (w - 0.04, h * 0.74, 0.18), (0, 0.12, -d / 2 + 0.09), 0.06),
    ]
    parts += [block(main, (arm, 0.5, d), (s * (w - arm) / 2, 0.11, 0), 0.06) for s in (-1, 1)]
    for seat in range(seats):
        x = (seat - (seats - 1) / 2) * room
        parts.append(block(main, (room - 0.01, 0.16, d - 0.2), (x, 0.3, 0.09), 0.05, puff=0.16))
        parts.append(block(main, (room - 0.02, h - 0.43, 0.2), (x, 0.43, -d / 2 + 0.25), 0.08, 0.22, 9))
    return parts


def corner_sofa(w: float, d: float, h: float, main: Material) -> list[Part]:
    """A sofa with a long seat on its right."""
    depth, long = 0.92, 1.0
    shift = -(d - depth) / 2
    parts = [
        replace(part, at=(part.at[0], part.at[1], part.at[2] + shift)) for part in sofa(w, depth, h, main)
    ]
    parts.append(block(main, (long, 0.2, d - 0.05), ((w - long) / 2, 0.11, 0), 0.03))
    parts.append(block(main, (long - 0.02, 0.17, d - 0.3), ((w - long) / 2, 0.3, 0.14), 0.05, 0.1))
    return parts + [
        rod(ASH, 0.018, 0.12, ((w / 2 - 0.08) - s * (long - 0.16), 0, d / 2 - 0.1), 0.025) for s in (0, 1)
    ]


def armchair(w: float, d: float, h: float, main: Material) -> list[Part]:
    """A high back, thin arms and oak legs."""
    parts = _legs(OAK, w, d, 0.22, 0.022, 0.09)
    parts += [block(main, (0.1, 0.36, d - 0.12), (s * (w / 2 - 0.05), 0.24, 0.02), 0.045) for s in (-1, 1)]
    return [
        *parts,
        block(main, (w - 0.12, 0.14, d - 0.08), (0, 0.2, 0.02), 0.04),
        block(main, (w - 0.2, 0.15, d - 0.2), (0, 0.33, 0.08), 0.05, puff=0.18),
        block(main, (w - 0.14, h - 0.24, 0.14), (0, 0.24, -d / 2 + 0.13), 0.06, lean=9),
        block(main, (w - 0.22, h - 0.56, 0.14), (0, 0.47, -d / 2 + 0.22), 0.06, 0.25, 9),
        block(main, (w - 0.26, 0.2, 0.13), (0, h - 0.25, -d / 2 + 0.17), 0.06, 0.2, 9),
    ]


def footstool(w: float, d: float, h: float, main: Material) -> list[Part]:
    """A cushion on four legs."""
    return [
        *_legs(OAK, w, d, 0.24, 0.02),
        block(main, (w, 0.1, d), (0, 0.22, 0), 0.03),
        block(main, (w - 0.01, 0.13, d - 0.01), (0, 0.29, 0), 0.05, puff=0.2),
    ]


def table(w: float, d: float, h: float, main: Material, leg: float = 0.035, leaf: bool = False) -> list[Part]:
    """A top, an apron and four legs; with a `leaf`, the top has three pieces."""
    thick = 0.032 if h > 0.6 else 0.025
    tops = [block(main, (w, thick, d), (0, h - thick, 0), 0.01)]
    if leaf:
        third = w / 3
        tops = [block(main, (third - 0.004, thick, d), (i * third, h - thick, 0), 0.008) for i in (-1, 0, 1)]
    apron, inset = min(0.08, h * 0.12), leg + w * 0.03
    return [
        *tops,
        *_legs(main, w, d, h - thick, leg, inset),
        *[
            block(main, (w - 2 * inset, apron, 0.02), (0, h - thick - apron, s * (d / 2 - inset)), 0.004)
            for s in (-1, 1)
        ],
        *[
            block(main, (0.02, apron, d - 2 * inset), (s * (w / 2 - inset), h - thick - apron, 0), 0.004)
            for s in (-1, 1)
        ],
    ]


def round_table(w: float, d: float, h: float, main: Material) -> list[Part]:
    """A disc on a steel foot."""
    return [
        rod(main, w / 2, 0.03, (0, h - 0.03, 0), sides=48),
        rod(DARK_STEEL, 0.05, h - 0.05, (0, 0.02, 0), 0.04),
        rod(DARK_STEEL, w * 0.27, 0.03, (0, 0, 0), w * 0.25, sides=40),
        rod(DARK_STEEL, 0.05, 0.06, (0, h - 0.09, 0), 0.2, sides=32),
    ]


def chair(w: float, d: float, h: float, main: Material, arms: bool = False) -> list[Part]:
    """Wooden frame, woven seat, two rails to lean on."""
    parts = [rod(main, 0.014, 0.44, (s * (w / 2 - 0.04), 0, d / 2 - 0.05), 0.019) for s in (-1, 1)]
    parts += [rod(main, 0.016, h, (s * (w / 2 - 0.04), 0, -d / 2 + 0.04), 0.014) for s in (-1, 1)]
    parts += [block(main, (0.02, 0.03, d - 0.1), (s * (w / 2 - 0.04), 0.24, 0), 0.008) for s in (-1, 1)]
    if arms:
        parts += [block(main, (0.04, 0.025, d - 0.06), (s * (w / 2 - 0.03), 0.64, 0), 0.011) for s in (-1, 1)]
        parts += [rod(main, 0.014, 0.22, (s * (w / 2 - 0.04), 0.43, d / 2 - 0.06)) for s in (-1, 1)]
    return [
        *parts,
        block(LINEN, (w - 0.05, 0.035, d - 0.04), (0, 0.43, 0), 0.015),
        *[block(main, (w - 0.08, 0.03, d * 0.04), (0, 0.39, s * (d / 2 - 0.045)), 0.008) for s in (-1, 1)],
        *[block(main, (w - 0.08, 0.075, 0.022), (0, y, -d / 2 + 0.04), 0.01) for y in (h - 0.1, h - 0.23)],
    ]


def office_chair(w: float, d: float, h: float, main: Material) -> list[Part]:
    """A seat and a back on a foot of five arms with castors."""
    parts: list[Part] = []
    for arm in range(5):
        angle = math.radians(18 + 72 * arm)
        x, z = math.cos(angle), math.sin(angle)
        bar = _turned(block(STEEL, (w * 0.43, 0.03, 0.045), (0, 0, 0), 0.012), "y", -math.degrees(angle))
        parts.append(replace(bar, at=(x * w * 0.23, 0.085, z * w * 0.23)))
        parts.append(
            lathe(
                BLACK,
                [(0, 0), (0.02, 0.005), (0.03, 0.03), (0.02, 0.055), (0, 0.06)],
                (x * w * 0.44, 0, z * w * 0.44),
                14,
                True,
            )
        )
    return [
        *parts,
        rod(STEEL, 0.03, 0.34, (0, 0.08, 0)),
        block(DARK_STEEL, (0.2, 0.05, 0.24), (0, 0.4, 0), 0.02),
        block(main, (0.52, 0.1, 0.5), (0, 0.44, 0.02), 0.045, puff=0.12),
        block(DARK_STEEL, (0.07, 0.3, 0.03), (0, 0.44, -0.26), 0.01, lean=6),
        block(main, (0.48, h - 0.62, 0.08), (0, 0.62, -0.27), 0.04, 0.12, 8),
        *[block(BLACK, (0.06, 0.03, 0.26), (s * 0.29, 0.66, 0), 0.014) for s in (-1, 1)],
        *[block(BLACK, (0.03, 0.2, 0.05), (s * 0.29, 0.47, 0), 0.012) for s in (-1, 1)],
    ]


def desk(w: float, d: float, h: float, main: Material, lift: bool = False) -> list[Part]:
    """A top on steel legs; a lifting desk has telescopic columns, feet and a switch."""
    top = block(main, (w, 0.028, d), (0, h - 0.028, 0), 0.009)
    if not lift:
        return [
            top,
            *_legs(DARK_STEEL, w, d, h - 0.028, 0.022),
            block(DARK_STEEL, (w - 0.2, 0.03, 0.03), (0, h - 0.06, 0), 0.005),
        ]
    parts = [top, block(DARK_STEEL, (w - 0.3, 0.04, 0.12), (0, h - 0.068, 0), 0.008)]
    for s in (-1, 1):
        x = s * (w / 2 - 0.2)
        parts += [
            block(DARK_STEEL, (0.08, 0.03, d - 0.06), (x, 0, 0), 0.012),
            block(DARK_STEEL, (0.09, h * 0.52, 0.06), (x, 0.03, 0), 0.008),
            block(STEEL, (0.07, h * 0.48 - 0.06, 0.045), (x, h * 0.52, 0), 0.006),
        ]
    parts.append(block(BLACK, (0.12, 0.022, 0.04), (w / 2 - 0.34, h - 0.05, d / 2 - 0.03), 0.006))
    return [*parts, block(GREEN_LIGHT, (0.02, 0.006, 0.004), (w / 2 - 0.34, h - 0.042, d / 2 - 0.009), 0.001)]


def bed(w: float, d: float, h: float, main: Material, children: bool = False) -> list[Part]:
    """Frame, headboard, mattress, pillows and a blanket."""
    low = 0.2 if children else 0.24
    legs = ASH if children else main
    side = 0.16 if not children else 0.22
    blanket = Material("#8fa3ac" if not children else "#d9a441", roughness=0.95)
    parts = _legs(legs, w, d, low, 0.035, 0.06)
    parts += [block(main, (0.03, side, d), (s * (w / 2 - 0.015), low - 0.04, 0), 0.01) for s in (-1, 1)]
    parts += [
        block(main, (w, side, 0.03), (0, low - 0.04, d / 2 - 0.015), 0.01),
        block(main, (w, h - low + 0.04, 0.04), (0, low - 0.04, -d / 2 + 0.02), 0.015),
        block(WHITE, (w - 0.08, 0.22, d - 0.1), (0, low, 0), 0.06),
        block(blanket, (w - 0.06, 0.2, d * 0.58), (0, low + 0.05, d * 0.19), 0.07),
    ]
    pillows = 1 if w < 1.2 else 2
    room = (w - 0.14) / pillows
    for i in range(pillows):
        x = (i - (pillows - 1) / 2) * room
        parts.append(block(LINEN, (room - 0.06, 0.14, 0.42), (x, low + 0.2, -d / 2 + 0.3), 0.06, 0.2, -12))
    return parts


def mattress(w: float, d: float, h: float, main: Material) -> list[Part]:
    """Two halves with a piping between."""
    return [
        block(main, (w, h * 0.5, d), (0, 0, 0), 0.05),
        block(main, (w, h * 0.5, d), (0, h * 0.5, 0), 0.05),
        block(Material("#8fb0a6"), (w - 0.015, 0.03, d - 0.015), (0, h / 2 - 0.015, 0), 0.012),
    ]


def cabinet(
    w: float, d: float, h: float, main: Material, doors: int = 2, legs: float = 0.1, trim: Material = OAK
) -> list[Part]:
    """A body on legs with doors and knobs."""
    body = h - legs
    room = (w - 0.04) / doors
    parts = _legs(trim, w, d, legs + 0.01, 0.02, 0.07)
    parts.append(block(trim, (w, body, d - 0.02), (0, legs, -0.01), 0.008))
    for i in range(doors):
        x = (i - (doors - 1) / 2) * room
        parts.append(block(main, (room - 0.008, body - 0.04, 0.02), (x, legs + 0.02, d / 2 - 0.01), 0.005))
        side = 1 if i % 2 == 0 else -1
        parts.append(
            rod(
                trim if trim != main else BLACK,
                0.014,
                0.022,
                (x + side * (room / 2 - 0.06), legs + body * 0.55, d / 2),
                lie=True,
            )
        )
    return parts


def drawer_table(w: float, d: float, h: float, main: Material) -> list[Part]:
    """A bedside table: a drawer, and a shelf below."""
    return [
        *_legs(main, w, d, h - 0.02, 0.02, 0.03),
        block(main, (w, 0.024, d), (0, h - 0.024, 0), 0.008),
        block(main, (w - 0.04, 0.14, d - 0.04), (0, h - 0.164, 0), 0.006),
        block(main, (w - 0.06, 0.12, 0.02), (0, h - 0.154, d / 2 - 0.012), 0.005),
        rod(BLACK, 0.012, 0.02, (0, h - 0.094, d / 2), lie=True),
        block(main, (w - 0.06, 0.02, d - 0.06), (0, 0.12, 0), 0.006),
    ]


def bookcase(w: float, d: float, h: float, main: Material) -> list[Part]:
    """Five shelves between two sides, with some books."""
    parts = [block(main, (0.025, h, d), (s * (w / 2 - 0.0125), 0, 0), 0.006) for s in (-1, 1)]
    shelves = [0.06 + i * (h - 0.085) / 5 for i in range(6)]
    parts += [block(main, (w - 0.05, 0.025, d - 0.01), (0, y, 0), 0.005) for y in shelves]
    covers = ["#7b3f32", "#3f5a63", "#c9a357", "#5d6b4c", "#e3ddcf"]
    for row, (start, books) in enumerate([(-0.8, 7), (0.1, 5), (-0.5, 6), (-0.8, 4)]):
        for book in range(books):
            tall = 0.2 + 0.03 * ((book * 3 + row) % 3)
            x = start * w / 2 + book * 0.042
            cover = Material(covers[(book * 2 + row) % len(covers)])
            parts.append(block(cover, (0.036, tall, d * 0.6), (x, shelves[row + 1] + 0.025, 0.02), 0.004))
    return parts


def shelf(w: float, d: float, h: float, main: Material) -> list[Part]:
    """A board with a lip."""
    return [
        block(main, (w, 0.022, d), (0, h - 0.03, 0), 0.005),
        block(main, (w, h, 0.016), (0, 0, -d / 2 + 0.008), 0.004),
    ]


def rug(w: float, d: float, h: float, main: Material) -> list[Part]:
    """A thick carpet with a border and wavy stripes of moss."""
    pale = Material("#8fa873", roughness=1)
    parts = [
        block(main, (d, 0.02, w), (0, 0, 0), 0.009),
        block(pale, (d - 0.16, 0.006, w - 0.16), (0, 0.017, 0), 0.003),
    ]
    parts.append(block(main, (d - 0.2, 0.006, w - 0.2), (0, 0.0185, 0), 0.003))
    for x, z, r in [
        (-0.62, 0.2, 0.36),
        (0.1, -0.3, 0.3),
        (0.68, 0.22, 0.32),
        (-0.25, 0.42, 0.16),
        (0.36, 0.48, 0.14),
        (-0.7, -0.42, 0.2),
    ]:
        parts.append(rod(pale, r, 0.004, (x, 0.0225, z), sides=36))
    return parts


def cushion(w: float, d: float, h: float, main: Material) -> list[Part]:
    """A cushion that leans back a little."""
    return [block(main, (w, d, 0.05), (0, 0, 0), 0.024, 3.2, 14, 15)]


def floor_lamp(w: float, d: float, h: float, main: Material) -> list[Part]:
    """Foot, pole, arm and a linen shade."""
    x = w * 0.12
    return [
        rod(main, w * 0.36, 0.025, (-x, 0, 0), w * 0.33, sides=36),
        rod(main, 0.011, h - 0.12, (-x, 0.02, 0)),
        rod(main, 0.009, 0.2, (-x + 0.005, h - 0.12, 0), lean=-70),
        lathe(
            LINEN,
            [(w * 0.36, 0), (w * 0.22, 0.24), (w * 0.21, 0.24), (w * 0.35, 0)],
            (w * 0.14, h - 0.24, 0),
            36,
        ),
        lathe(
            GLOW,
            [(0, 0), (0.03, 0.012), (0.035, 0.04), (0.02, 0.08), (0, 0.09)],
            (w * 0.14, h - 0.2, 0),
            20,
            True,
        ),
    ]


def pendant_lamp(w: float, d: float, h: float, main: Material) -> list[Part]:
    """A stoneware bell on its cable."""
    r = w / 2
    bell = [
        (r, 0),
        (r * 0.97, h * 0.2),
        (r * 0.82, h * 0.5),
        (r * 0.5, h * 0.8),
        (r * 0.16, h * 0.95),
        (0.02, h),
    ]
    inside = [
        (0.02, h * 0.97),
        (r * 0.48, h * 0.77),
        (r * 0.79, h * 0.48),
        (r * 0.94, h * 0.2),
        (r * 0.97, 0),
    ]
    return [
        lathe(main, bell, (0, 0, 0), 48, True),
        lathe(main, inside, (0, 0, 0), 48, True),
        rod(BLACK, 0.022, 0.05, (0, h, 0), 0.012),
        rod(BLACK, 0.003, 0.16, (0, h + 0.04, 0)),
        lathe(GLOW, [(0, -0.01), (0.035, 0.005), (0.045, 0.04), (0.03, 0.09), (0, 0.1)], (0, 0, 0), 24, True),
    ]


def hub(w: float, d: float, h: float, main: Material) -> list[Part]:
    """A flat box with a ring of light."""
    return [
        block(main, (w, h, d), (0, 0, 0), 0.016),
        rod(GREEN_LIGHT, w * 0.25, 0.001, (0, h - 0.0003, 0), sides=40),
        rod(main, w * 0.225, 0.002, (0, h - 0.0004, 0), sides=40),
        block(GREEN_LIGHT, (0.004, 0.002, 0.001), (0, h * 0.4, d / 2 - 0.0004), 0.0005),
    ]


def hub_mini(w: float, d: float, h: float, main: Material) -> list[Part]:
    """A small tower with a line of light."""
    r = w / 2
    return [
        lathe(
            main,
            [(0, 0), (r * 0.86, 0), (r, 0.006), (r, h - 0.014), (r * 0.93, h - 0.004), (r * 0.75, h), (0, h)],
            (0, 0, 0),
            40,
        ),
        rod(GREEN_LIGHT, r * 1.005, 0.003, (0, h * 0.72, 0), sides=40),
        rod(Material("#d5d8d6"), r * 0.4, 0.0015, (0, h - 0.0003, 0), sides=32),
    ]


def bulb(w: float, d: float, h: float, main: Material) -> list[Part]:
    """Glass above an aluminium thread."""
    r = w / 2
    tall = max(r, h * 0.27)
    arc = [(r * math.cos(a), h - tall + tall * math.sin(a)) for a in np.linspace(-0.75, math.pi / 2, 12)]
    glass = [(r * 0.5, h * 0.3), (r * 0.52, h * 0.34), *arc]
    thread = [(r * 0.43 + (0.0012 if i % 2 else 0), h * 0.04 + i * h * 0.02) for i in range(10)]
    return [
        lathe(GLOW, glass, (0, 0, 0), 36, True),
        lathe(main, [(r * 0.44, h * 0.21), (r * 0.56, h * 0.32), (r * 0.5, h * 0.33)], (0, 0, 0), 36, True),
        lathe(STEEL, [(r * 0.2, 0), (r * 0.42, h * 0.035), *thread], (0, 0, 0), 32, True),
    ]


def light_strip(w: float, d: float, h: float, main: Material) -> list[Part]:
    """The strip rolled up, with its end and plug."""
    turns = [
        rod(main if i % 2 else GLOW, 0.075 - i * 0.007, 0.012, (0, 0.0004 * i, 0), sides=48) for i in range(6)
    ]
    return [
        *turns,
        rod(Material("#e2f1ec"), 0.031, 0.0005, (0, 0.0145, 0), sides=40),
        block(main, (0.09, 0.012, 0.004), (0.045, 0, 0.074), 0.0015),
        *[block(GLOW, (0.006, 0.006, 0.002), (0.015 + i * 0.016, 0.003, 0.0757), 0.001) for i in range(5)],
        block(BLACK, (0.022, 0.014, 0.012), (0.098, 0, 0.074), 0.003),
    ]


def wall_plate(w: float, d: float, h: float, main: Material, screen: bool = False) -> list[Part]:
    """A square plate on the wall: a rocker switch, or a room thermostat with a dark dial."""
    plate = block(main, (w, d, h * 0.6), (0, 0, -h * 0.2), 0.006)
    if not screen:
        rocker = block(main, (w * 0.7, d * 0.7, h * 0.7), (0, d * 0.15, h * 0.1), 0.003, lean=-3)
        return [plate, rocker, block(GREEN_LIGHT, (0.004, 0.002, 0.001), (0, d * 0.22, h * 0.47), 0.0005)]
    ring = Material("#e8893c", roughness=0.4)
    return [
        plate,
        rod(GLASS, w * 0.4, h * 0.6, (0, d / 2, -h * 0.1), lie=True, sides=48),
        rod(ring, w * 0.34, 0.0006, (0, d / 2, h * 0.5), lie=True, sides=48),
        rod(GLASS, w * 0.31, 0.001, (0, d / 2, h * 0.5), lie=True, sides=48),
        *_digits("21", w * 0.2, (0, d / 2, h * 0.5 + 0.0012)),
    ]


def _digits(text: str, height: float, at: tuple[float, float, float]) -> list[Part]:
    lit = {"1": "BC", "2": "ABGED"}
    wide, stroke = height * 0.5, height * 0.1
    bars = {
        "A": (0, height / 2, True), "G": (0, 0, True), "D": (0, -height / 2, True),
        "B": (wide / 2, height / 4, False), "C": (wide / 2, -height / 4, False), "E": (-wide / 2, -height / 4, False),
    }  # fmt: skip
    parts = []
    for i, digit in enumerate(text):
        x = at[0] + (i - (len(text) - 1) / 2) * wide * 1.7
        for bar in lit[digit]:
            dx, dy, flat = bars[bar]
            size = (wide, stroke, 0.0006) if flat else (stroke, height / 2, 0.0006)
            parts.append(block(WHITE, size, (x + dx, at[1] + dy - size[1] / 2, at[2]), 0.0002))
    return parts


def lock(w: float, d: float, h: float, main: Material) -> list[Part]:
    """A motor housing on a plate, with a knob to turn by hand."""
    tall, wide, deep = w, d, h
    return [
        block(STEEL, (wide * 0.9, tall, 0.006), (0, 0, -deep / 2 + 0.003), 0.002),
        block(main, (wide, tall * 0.94, deep * 0.55), (0, tall * 0.03, -deep * 0.2), 0.018),
        rod(main, wide * 0.4, deep * 0.42, (0, tall * 0.66, deep * 0.08), wide * 0.37, lie=True, sides=40),
        block(STEEL, (0.006, wide * 0.62, 0.004), (0, tall * 0.66 - wide * 0.31, deep * 0.49), 0.0015),
        block(GREEN_LIGHT, (0.014, 0.003, 0.001), (0, tall * 0.22, deep * 0.075), 0.0005),
    ]


def keypad(w: float, d: float, h: float, main: Material) -> list[Part]:
    """A glass front with twelve keys."""
    tall, wide, deep = w, d, h
    parts = [
        block(main, (wide, tall, deep), (0, 0, 0), 0.006),
        block(GLASS, (wide * 0.88, tall * 0.94, 0.002), (0, tall * 0.03, deep / 2 - 0.001), 0.001),
        block(GREEN_LIGHT, (wide * 0.3, 0.002, 0.001), (0, tall * 0.9, deep / 2 + 0.0008), 0.0004),
    ]
    keys = Material("#c9d3d8", roughness=0.4)
    places = [(column * wide * 0.26, tall * (0.17 + 0.19 * row)) for row in range(4) for column in (-1, 0, 1)]
    return parts + [
        rod(keys, 0.0035, 0.001, (x, y, deep / 2 + 0.0008), lie=True, sides=18) for x, y in places
    ]


def radiator_thermostat(w: float, d: float, h: float, main: Material) -> list[Part]:
    """A valve head lying on its side, ring and display to the front."""
    r = w / 2
    body = [
        (0, 0),
        (r * 0.62, 0),
        (r * 0.62, h * 0.18),
        (r * 0.95, h * 0.22),
        (r, h * 0.3),
        (r, h * 0.9),
        (r * 0.9, h * 0.98),
        (r * 0.8, h),
        (0, h),
    ]
    return [
        lathe(main, body, (0, r, -h / 2), 44, lie=True),
        lathe(
            STEEL, [(r * 0.66, 0), (r * 0.66, h * 0.15), (r * 0.5, h * 0.15)], (0, r, -h / 2), 32, lie=True
        ),
        rod(Material("#e8893c", roughness=0.4), r * 1.006, h * 0.05, (0, r, h * 0.2), lie=True, sides=44),
        rod(GLASS, r * 0.74, 0.001, (0, r, h / 2 - 0.0004), lie=True, sides=44),
        *_digits("21", r * 0.6, (0, r, h / 2 + 0.0006)),
    ]


def door_sensor(w: float, d: float, h: float, main: Material) -> list[Part]:
    """The sensor and its magnet."""
    return [
        block(main, (d, w, h), (0, 0, 0), 0.004),
        block(GREEN_LIGHT, (0.003, 0.002, 0.0008), (0, w * 0.8, h / 2 - 0.0002), 0.0003),
        block(main, (d * 0.5, w * 0.6, h), (d * 0.95, 0, 0), 0.003),
    ]


def motion_sensor(w: float, d: float, h: float, main: Material) -> list[Part]:
    """A dome lens in a round housing, tilted up."""
    r = w / 2
    dome = [
        (r * 0.7 * math.cos(a), h * 0.62 + h * 0.38 * math.sin(a)) for a in np.linspace(0, math.pi / 2, 8)
    ]
    return [
        lathe(
            main,
            [(0, 0), (r * 0.8, 0), (r, h * 0.2), (r, h * 0.5), (r * 0.9, h * 0.62), (r * 0.7, h * 0.65)],
            (0, 0, 0),
            48,
        ),
        lathe(Material("#d3dadb", roughness=0.2), dome, (0, 0, 0), 40, True),
        rod(GREEN_LIGHT, 0.0018, 0.001, (0, h * 0.6, r * 0.82), sides=14),
    ]


def leak_sensor(w: float, d: float, h: float, main: Material) -> list[Part]:
    """A flat puck with a drop of light on it."""
    r = w / 2
    drop = Material("#3c8fc4", roughness=0.3)
    return [
        lathe(
            main,
            [(0, 0.002), (r * 0.9, 0.002), (r, h * 0.3), (r, h * 0.7), (r * 0.9, h * 0.95), (0, h)],
            (0, 0, 0),
            48,
        ),
        rod(drop, r * 0.2, 0.001, (0, h - 0.0004, r * 0.12), sides=28),
        lathe(drop, [(r * 0.19, 0), (0, 0.0001)], (0, h + 0.0005, r * 0.12), 28),
        *[
            rod(STEEL, 0.003, 0.003, (math.cos(a) * r * 0.7, 0, math.sin(a) * r * 0.7))
            for a in (0.5, 2.6, 4.7)
        ],
    ]


def air_conditioner(w: float, d: float, h: float, main: Material) -> list[Part]:
    """A body on castors with slats above and a grille below."""
    grey = Material("#c3c8c8", roughness=0.6)
    parts = [block(main, (w, h - 0.03, d), (0, 0.03, 0), 0.045)]
    parts += [rod(BLACK, 0.015, 0.035, (sx * w * 0.38, 0, sz * d * 0.36)) for sx in (-1, 1) for sz in (-1, 1)]
    parts.append(block(GLASS, (w * 0.74, 0.1, 0.012), (0, h - 0.2, d / 2 - 0.007), 0.005))
    parts += [
        block(grey, (w * 0.68, 0.01, 0.012), (0, h - 0.18 + i * 0.02, d / 2 - 0.002), 0.003) for i in range(4)
    ]
    parts += [
        block(grey, (w * 0.74, 0.008, 0.008), (0, 0.1 + i * 0.022, d / 2 - 0.005), 0.002) for i in range(12)
    ]
    return [*parts, block(GLASS, (w * 0.3, 0.004, 0.08), (0, h - 0.002, d * 0.2), 0.0015)]


def remote(w: float, d: float, h: float, main: Material) -> list[Part]:
    """A puck with an infrared window and a key on top."""
    r = w / 2
    return [
        lathe(main, [(0, 0), (r * 0.9, 0), (r * 0.97, h * 0.1), (r * 0.97, h * 0.3)], (0, 0, 0), 48),
        lathe(
            GLASS, [(r * 0.985, h * 0.3), (r, h * 0.35), (r, h * 0.6), (r * 0.985, h * 0.65)], (0, 0, 0), 48
        ),
        lathe(main, [(r * 0.97, h * 0.65), (r * 0.97, h * 0.88), (r * 0.86, h), (0, h)], (0, 0, 0), 48),
        rod(Material("#d5d8d6"), r * 0.3, 0.001, (0, h - 0.0003, 0), sides=32),
    ]


def plug(w: float, d: float, h: float, main: Material) -> list[Part]:
    """A round plug, socket to the front, pins behind."""
    r, long = w / 2, h * 0.76
    grey = Material("#dcdedb", roughness=0.6)
    body = [(0, 0), (r * 0.84, 0), (r, long * 0.2), (r, long * 0.94), (r * 0.93, long), (r * 0.78, long)]
    well = [(r * 0.78, long), (r * 0.74, long * 0.78), (0, long * 0.78)]
    front = -h / 2 + h * 0.24
    return [
        lathe(main, body, (0, r, front), 48, lie=True),
        lathe(grey, well, (0, r, front), 48, lie=True),
        *[rod(BLACK, r * 0.1, 0.001, (s * r * 0.36, r, front + long * 0.78), lie=True) for s in (-1, 1)],
        *[rod(STEEL, r * 0.1, h * 0.26, (s * r * 0.36, r, -h / 2), lie=True) for s in (-1, 1)],
        block(GREEN_LIGHT, (0.006, 0.001, 0.004), (0, 2 * r - 0.0006, front + long * 0.7), 0.0004),
    ]


_Builder = Callable[[float, float, float, Material], list[Part]]
# By article, or else by category.
_BUILDERS: Mapping[str, _Builder] = {
    "SF-101": sofa,
    "SF-102": lambda w, d, h, main: sofa(w, d, h, main, 2),
    "SF-110": corner_sofa,
    "SF-120": lambda w, d, h, main: sofa(w, d, h, main, 2, 0.12),
    "AR-201": armchair,
    "AR-202": footstool,
    "TB-302": lambda w, d, h, main: table(w, d, h, main, leaf=True),
    "TB-310": round_table,
    "TB-320": lambda w, d, h, main: table(w, d, h, main, 0.025),
    "TB-321": lambda w, d, h, main: table(w, d, h, main, 0.018),
    "tables": table,
    "CH-402": lambda w, d, h, main: chair(w, d, h, main, arms=True),
    "CH-420": office_chair,
    "chairs": chair,
    "DK-502": lambda w, d, h, main: desk(w, d, h, main, lift=True),
    "desks": desk,
    "BD-610": lambda w, d, h, main: bed(w, d, h, main, children=True),
    "BD-630": drawer_table,
    "beds": bed,
    "mattresses": mattress,
    "ST-702": lambda w, d, h, main: cabinet(w, d, h, main, 3),
    "ST-710": bookcase,
    "ST-711": shelf,
    "ST-720": lambda w, d, h, main: cabinet(w, d, h, main, 4, 0.14, main),
    "ST-721": lambda w, d, h, main: cabinet(w, d, h, main, 3, 0.12, main),
    "storage": cabinet,
    "TX-801": rug,
    "TX-802": cushion,
    "LG-850": floor_lamp,
    "LG-851": pendant_lamp,
    "SH-902": hub_mini,
    "hubs": hub,
    "SH-912": light_strip,
    "SH-913": wall_plate,
    "smart lighting": bulb,
    "SH-920": lock,
    "SH-921": keypad,
    "SH-930": radiator_thermostat,
    "SH-931": lambda w, d, h, main: wall_plate(w, d, h, main, screen=True),
    "SH-940": door_sensor,
    "SH-941": motion_sensor,
    "SH-942": leak_sensor,
    "SH-950": air_conditioner,
    "SH-951": remote,
    "plugs": plug,
}


def dimensions(text: str) -> tuple[float, float, float]:
    """Width, depth and height in metres from "218 x 92 x 84 cm"; of a range, the middle; no height is 0."""
    numbers = []
    for field in text.removesuffix("cm").split("x"):
        ends = [float(number) for number in re.findall(r"[\d.]+", field)]
        numbers.append(sum(ends) / len(ends) / 100)
    width, depth, height = [*numbers, 0.0][:3]
    return width, depth, height


def build(product: Mapping[str, str]) -> list[Part]:
    """The parts of a product of the catalogue; one with a 3D model measures exactly what the catalogue says."""
    size = dimensions(product["dimensions"])
    builder = _BUILDERS.get(product["sku"]) or _BUILDERS[product["category"]]
    parts = builder(*size, COLOURS[product["colour"]])
    if not product["model_3d"]:
        return parts
    points = np.concatenate([part.placed() for part in parts])
    low, high = points.min(axis=0), points.max(axis=0)
    factor = np.array([size[0], size[2], size[1]]) / (high - low)
    middle = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
    fitted = []
    for part in parts:
        x, y, z = (np.array(part.at) - middle) * factor
        normals = part.normals / factor
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        fitted.append(
            replace(part, points=part.points * factor, normals=normals, at=(float(x), float(y), float(z)))
        )
    return fitted


# --- glTF ---


def to_glb(parts: list[Part], name: str) -> bytes:
    """The parts as one binary glTF file; equal solids are stored once."""
    materials: dict[Material, int] = {}
    meshes: dict[tuple[bytes, Material], int] = {}
    document: dict[str, list[dict[str, object]]] = {
        key: [] for key in ("nodes", "meshes", "accessors", "bufferViews", "materials")
    }
    binary = bytearray()

    def add(data: Array, component: int, kind: str, target: int, bounds: bool = False) -> int:
        raw = data.astype({5126: "<f4", 5123: "<u2"}[component]).tobytes()
        view = {"buffer": 0, "byteOffset": len(binary), "byteLength": len(raw), "target": target}
        binary.extend(raw + b"\0" * (-len(raw) % 4))
        accessor: dict[str, object] = {
            "bufferView": len(document["bufferViews"]),
            "componentType": component,
            "count": len(data),
            "type": kind,
        }
        if bounds:
            single = data.astype("<f4").astype(float)
            accessor |= {"min": single.min(axis=0).tolist(), "max": single.max(axis=0).tolist()}
        document["bufferViews"].append(dict(view))
        document["accessors"].append(accessor)
        return len(document["accessors"]) - 1

    for part in parts:
        points = part.points.round(4) + 0.0
        if part.material not in materials:
            materials[part.material] = len(materials)
            surface = {
                "baseColorFactor": [*part.material.linear().round(4).tolist(), 1.0],
                "metallicFactor": part.material.metallic,
                "roughnessFactor": part.material.roughness,
            }
            document["materials"].append({"pbrMetallicRoughness": surface, "doubleSided": True})
        key = (points.tobytes(), part.material)
        if key not in meshes:
            meshes[key] = len(meshes)
            primitive = {
                "attributes": {
                    "POSITION": add(points, 5126, "VEC3", 34962, bounds=True),
                    "NORMAL": add(part.normals, 5126, "VEC3", 34962),
                },
                "indices": add(part.faces.reshape(-1).astype(float), 5123, "SCALAR", 34963),
                "material": materials[part.material],
            }
            document["meshes"].append({"primitives": [primitive]})
        document["nodes"].append({"mesh": meshes[key], "translation": [round(value, 4) for value in part.at]})
    document["nodes"].append({"name": name, "children": list(range(len(parts)))})
    header = {
        "asset": {"version": "2.0", "generator": "tools/demo_media.py"},
        "scene": 0,
        "scenes": [{"nodes": [len(parts)]}],
        "buffers": [{"byteLength": len(binary)}],
    }
    text = json.dumps(header | document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = (
        struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    )
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


# --- pictures ---


def _fill(
    screen: Array, near: Array, faces: NDArray[np.int64], shape: tuple[int, int]
) -> tuple[Array, NDArray[np.int64], Array]:
    """Draw triangles: per pixel the largest `near`, the index of its triangle (-1: none), and two weights in it."""
    height, width = shape
    best = np.full(shape, -np.inf)
    owner = np.full(shape, -1, dtype=np.int64)
    weights = np.zeros((*shape, 2))
    for index, (i, j, k) in enumerate(faces):
        (ax, ay), (bx, by), (cx, cy) = screen[i], screen[j], screen[k]
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        x0, x1 = max(math.ceil(min(ax, bx, cx)), 0), min(math.floor(max(ax, bx, cx)), width - 1)
        y0, y1 = max(math.ceil(min(ay, by, cy)), 0), min(math.floor(max(ay, by, cy)), height - 1)
        if abs(area) < 1e-9 or x1 < x0 or y1 < y0:
            continue
        x, y = np.arange(x0, x1 + 1)[None], np.arange(y0, y1 + 1)[:, None]
        v = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
        w = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
        depth = near[i] + v * (near[j] - near[i]) + w * (near[k] - near[i])
        window = np.s_[y0 : y1 + 1, x0 : x1 + 1]
        shown = (v >= -1e-9) & (w >= -1e-9) & (v + w <= 1 + 1e-9) & (depth > best[window])
        best[window][shown] = depth[shown]
        owner[window][shown] = index
        weights[window][shown] = np.stack([v, w], axis=-1)[shown]
    return best, owner, weights


def _blur(image: Array, radius: int) -> Array:
    """Three box blurs, which is close to a Gaussian."""
    for _ in range(3):
        for axis in (0, 1):
            padding = [(radius + 1, radius) if i == axis else (0, 0) for i in range(2)]
            sums = np.cumsum(np.pad(image, padding, mode="edge"), axis=axis)
            size = 2 * radius + 1
            image = (
                np.take(sums, range(size, sums.shape[axis]), axis)
                - np.take(sums, range(sums.shape[axis] - size), axis)
            ) / size
    return image


class _Shadow:
    """What a light from one direction does not reach."""

    def __init__(self, points: Array, faces: NDArray[np.int64], light: Array, cells: int = 640) -> None:
        right = np.cross([0.0, 0.0, 1.0], light)
        right /= np.linalg.norm(right)
        self._axes = np.stack([right, np.cross(light, right), light])
        seen = points @ self._axes.T
        self._low = seen[:, :2].min(axis=0)
        self._scale = (cells - 5) / (seen[:, :2].max(axis=0) - self._low).max()
        self._bias = 3 / self._scale
        self._depth, _, _ = _fill(
            (seen[:, :2] - self._low) * self._scale + 2, seen[:, 2], faces, (cells, cells)
        )

    def at(self, places: Array) -> Array:
        """How far each place lies in the shadow, 0 to 1."""
        seen = places @ self._axes.T
        cell = (seen[..., :2] - self._low) * self._scale + 2
        total = np.zeros(places.shape[:-1])
        offsets = [(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)]
        for dx, dy in offsets:
            index = np.clip((cell + np.array([dx, dy])).round(), 0, len(self._depth) - 1).astype(np.int64)
            total += self._depth[index[..., 1], index[..., 0]] > seen[..., 2] + self._bias
        return total / len(offsets)


def render(parts: list[Part], size: tuple[int, int] = SIZE) -> Image.Image:
    """A picture of the parts, lit from the left, on the page's colour."""
    width, height = (side * _SUPERSAMPLING for side in size)
    starts = np.cumsum([0, *(len(part.points) for part in parts)])
    points = np.concatenate([part.placed() for part in parts])
    normals = np.concatenate([part.normals for part in parts])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=False)])
    owners = np.repeat(np.arange(len(parts)), [len(part.faces) for part in parts])
    low, high = points.min(axis=0), points.max(axis=0)
    middle, extent = (low + high) / 2, float(np.linalg.norm(high - low))

    right = np.cross([0.0, 1.0, 0.0], _VIEW)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(_VIEW, right), _VIEW])
    eye = middle + _VIEW * extent * 2.6
    seen = (points - eye) @ axes.T
    flat = seen[:, :2] / -seen[:, 2:]
    corner, span = flat.min(axis=0), np.ptp(flat, axis=0)
    scale = float(min(width * _MARGIN / span[0], height * _MARGIN / span[1]))
    offset = np.array([width, height]) / 2 - (corner + span / 2) * (scale, -scale) + (0, -height * 0.01)
    best, owner, weight = _fill(flat * (scale, -scale) + offset, -1 / seen[:, 2], faces, (height, width))

    solid = owner >= 0
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
    rays = np.dstack([(grid - offset) / (scale, -scale), -np.ones((height, width))]) @ axes
    distance = np.where(solid, 1 / np.where(solid, best, 1), (low[1] - eye[1]) / rays[..., 1])
    places = eye + rays * distance[..., None]

    triangle = faces[np.where(solid, owner, 0)]
    v, w = weight[..., :1], weight[..., 1:]
    normal = (
        normals[triangle[..., 0]] * (1 - v - w)
        + normals[triangle[..., 1]] * v
        + normals[triangle[..., 2]] * w
    )
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
    toward = -rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    normal *= np.where((normal * toward).sum(axis=-1, keepdims=True) < 0, -1, 1)

    shade = _Shadow(points, faces, _KEY_LIGHT).at(places)
    lit = 1 - _blur(shade, 2)
    edge = _blur(distance, 9) - _blur(distance, 2)
    hollow = np.clip(1 + np.minimum(edge, 0) / extent * 5, 0.62, 1)
    surfaces = [part.material for part in parts]
    index = owners[np.where(solid, owner, 0)]
    albedo = np.array([surface.linear() for surface in surfaces])[index]
    rough = np.array([surface.roughness for surface in surfaces])[index]
    metal = np.array([surface.metallic for surface in surfaces])[index]
    key = np.clip(normal @ _KEY_LIGHT, 0, 1) * lit
    fill = np.clip(normal @ _FILL_LIGHT, 0, 1)
    sky = 0.36 + 0.12 * normal[..., 1]
    half = toward + _KEY_LIGHT
    half /= np.linalg.norm(half, axis=-1, keepdims=True)
    sharp = 4 + 90 * (1 - rough) ** 2
    gloss = np.clip((normal * half).sum(axis=-1), 0, 1) ** sharp * (1 - rough) * lit
    body = albedo * ((0.62 * key + 0.2 * fill + sky) * hollow)[..., None]
    tint = np.where(metal[..., None] > 0.3, albedo * 1.6, 0.35)
    colour = body + tint * gloss[..., None]

    ground = np.broadcast_to(_to_linear(np.array(_BACKGROUND) / 255), (height, width, 3))
    cells = 200
    below = (points[:, [0, 2]] - low[[0, 2]]) / extent * (cells * 0.6) + cells * 0.2
    lift, _, _ = _fill(below, -(points[:, 1] - low[1]), faces, (cells, cells))
    contact = _blur(np.where(np.isfinite(lift), np.exp(lift / (extent * 0.06)), 0), 3)
    spot = ((places[..., [0, 2]] - low[[0, 2]]) / extent * (cells * 0.6) + cells * 0.2).round()
    inside = ((spot >= 0) & (spot < cells)).all(axis=-1) & ~solid
    spot = np.clip(spot, 0, cells - 1).astype(np.int64)
    touch = np.where(inside, contact[spot[..., 1], spot[..., 0]], 0)
    dark = _blur(np.where(solid, 0.4, shade), 7)
    ground = ground * (1 - 0.3 * dark - 0.34 * touch * (1 - dark * 0.4))[..., None]
    pixels = np.where(solid[..., None], colour, ground)
    pixels = pixels.reshape(size[1], _SUPERSAMPLING, size[0], _SUPERSAMPLING, 3).mean(axis=(1, 3))
    return Image.fromarray((_to_screen(pixels) * 255).round().astype(np.uint8))


def to_jpeg(picture: Image.Image) -> bytes:
    """The picture as a small JPEG file."""
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=86, optimize=True, progressive=True)
    return out.getvalue()


def read_catalog(folder: Path = KNOWLEDGE) -> list[dict[str, str]]:
    """The rows of the catalogue."""
    with (folder / "catalog.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def main() -> None:
    """Write every picture and 3D model which the catalogue names, or those of some articles."""
    parser = argparse.ArgumentParser(description="Make the example shop's pictures and 3D models.")
    parser.add_argument("sku", nargs="*", help="articles to make; all if none is named")
    parser.add_argument("--knowledge", type=Path, default=KNOWLEDGE, help="the folder with catalog.csv")
    options = parser.parse_args()
    for product in read_catalog(options.knowledge):
        if options.sku and product["sku"] not in options.sku:
            continue
        parts = build(product)
        files = {product["image"]: to_jpeg(render(parts)) if product["image"] else b""}
        if product["model_3d"]:
            files[product["model_3d"]] = to_glb(parts, product["name"])
        for name, content in files.items():
            if name:
                (options.knowledge / name).parent.mkdir(parents=True, exist_ok=True)
                (options.knowledge / name).write_bytes(content)
                print(f"{name}: {len(content) / 1000:.1f} kB")


if __name__ == "__main__":
    main()
