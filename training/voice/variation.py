"""Features as another speaker or channel could have given them: changed anew each time a clip is trained on."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from training.voice.mfcc import COEFFICIENTS, band_position, cosines

_TO_CEPSTRA = cosines()
_TO_BANDS = torch.linalg.inv(_TO_CEPSTRA.double()).float()
_TRACT = 0.08  # the vocal tract is so much longer or shorter, at most
_RANGE = 0.08  # of level, at most
_WIDEST = 7  # of the 40 bands are lost together, at most
_LOSING_BANDS = 0.4  # of the clips
_STRETCH, _LONGEST = 300, 20  # frames: for each so many, one loss of up to so many


def varied(rows: Tensor, rng: random.Random) -> Tensor:
    """Other vocal tract, other range of level, bands and stretches of time lost.

    Args: rows: (frames, coefficients), their mean taken away, so that zero is what is lost.
    """
    bands = warp(rng.uniform(1 - _TRACT, 1 + _TRACT)) * rng.uniform(1 - _RANGE, 1 + _RANGE)
    if rng.random() < _LOSING_BANDS:
        width = rng.randrange(_WIDEST + 1)
        start = rng.randrange(COEFFICIENTS - width)
        bands[:, start : start + width] = 0
    rows = rows @ (_TO_BANDS @ bands @ _TO_CEPSTRA)
    for _ in range(round(len(rows) / _STRETCH * rng.uniform(0, 2))):
        width = rng.randrange(1, _LONGEST)
        start = rng.randrange(max(1, len(rows) - width))
        rows[start : start + width] = 0
    return rows


def warp(factor: float) -> Tensor:
    """From bands to the bands a vocal tract that is 1 / `factor` as long would fill: (bands, bands)."""
    at = band_position(factor).clamp(0, COEFFICIENTS - 1)
    below = at.long().clamp(max=COEFFICIENTS - 2)
    part = (at - below)[None]
    places = torch.arange(COEFFICIENTS)[:, None]
    return (places == below) * (1 - part) + (places == below + 1) * part
