"""Kaldi's high-resolution MFCC and its online mean normalisation, in torch, for any device."""

from __future__ import annotations

import math

import torch
from torch import Tensor

RATE_HZ = 16000
HOP = 160
WINDOW = 400
COEFFICIENTS = 40
_POINTS = 512
_LOW_HZ, _HIGH_HZ = 20.0, 7600.0
_PRE_EMPHASIS = 0.97
_LIFTER = 22
_FLOOR = 1.1920929e-07  # float32 epsilon, as Kaldi's
MEAN_FRAMES, PRIOR_FRAMES = 600, 200  # Kaldi's defaults for online normalisation

OPTIONS = (
    "--use-energy=false", f"--sample-frequency={RATE_HZ}", f"--num-mel-bins={COEFFICIENTS}",
    f"--num-ceps={COEFFICIENTS}", f"--low-freq={_LOW_HZ:g}", f"--high-freq={_HIGH_HZ:g}", "--dither=0.0",
    "--allow-upsample=true",  # else audio at less than 16 kHz is refused
)  # fmt: skip


def _mel(hertz: float) -> float:
    return 1127.0 * math.log(1 + hertz / 700.0)


def _filters() -> Tensor:
    """Triangles on the mel scale: (points / 2 + 1, filters); the last point takes no part."""
    low, high = _mel(_LOW_HZ), _mel(_HIGH_HZ)
    step = (high - low) / (COEFFICIENTS + 1)
    at = torch.tensor([_mel(RATE_HZ / _POINTS * i) for i in range(_POINTS // 2)], dtype=torch.float64)
    left = low + step * torch.arange(COEFFICIENTS, dtype=torch.float64)
    rising = (at[:, None] - left) / step
    shape = torch.minimum(rising, 2 - rising).clamp(min=0)
    return torch.cat([shape, shape.new_zeros(1, COEFFICIENTS)]).float()


def band_position(factor: float) -> Tensor:
    """Where the filters' middles lie among them when each is at `factor` times its frequency: (filters,)."""
    low, high = _mel(_LOW_HZ), _mel(_HIGH_HZ)
    step = (high - low) / (COEFFICIENTS + 1)
    middles = low + step * torch.arange(1, COEFFICIENTS + 1)
    hertz = 700.0 * (torch.exp(middles / 1127.0) - 1) * factor
    return (1127.0 * torch.log(1 + hertz / 700.0) - low) / step - 1


def cosines() -> Tensor:
    """Orthonormal DCT-II with the lifter: (filters, coefficients)."""
    k = torch.arange(COEFFICIENTS, dtype=torch.float64)
    table = torch.cos(math.pi / COEFFICIENTS * (k[:, None] + 0.5) * k) * math.sqrt(2 / COEFFICIENTS)
    table[:, 0] = math.sqrt(1 / COEFFICIENTS)
    return (table * (1 + _LIFTER / 2 * torch.sin(math.pi * k / _LIFTER))).float()


class Mfcc:
    """Features of samples in the scale of 16-bit integers."""

    def __init__(self, device: str = "cpu") -> None:
        self._filters = _filters().to(device)
        self._cosines = cosines().to(device)
        hann = 0.5 - 0.5 * torch.cos(2 * math.pi * torch.arange(WINDOW, dtype=torch.float64) / (WINDOW - 1))
        self._window = (hann**0.85).float().to(device)

    def __call__(self, samples: Tensor) -> Tensor:
        """(..., samples) to (..., frames, coefficients); incomplete frames are left out."""
        frames = samples.unfold(-1, WINDOW, HOP)
        frames = frames - frames.mean(-1, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], -1)
        spectrum = torch.fft.rfft((frames - _PRE_EMPHASIS * before) * self._window, _POINTS)
        power = spectrum.real**2 + spectrum.imag**2
        return torch.log((power @ self._filters).clamp(min=_FLOOR)) @ self._cosines


def normalised(features: Tensor, mean: Tensor) -> Tensor:
    """Subtract what Kaldi's online normalisation knows of the mean at each frame.

    That is the last 600 frames; while there are fewer, up to 200 frames of the global mean stand in.
    Args: features: (frames, coefficients); mean: the global mean.
    """
    total = torch.cumsum(features.double(), 0)
    count = torch.arange(1, len(features) + 1, dtype=torch.float64, device=features.device)
    recent = total.clone()
    recent[MEAN_FRAMES:] -= total[:-MEAN_FRAMES]
    count = count.clamp(max=MEAN_FRAMES)
    prior = (MEAN_FRAMES - count).clamp(max=PRIOR_FRAMES)
    known = (recent + prior[:, None] * mean.double()) / (count + prior)[:, None]
    return (features - known).float()
