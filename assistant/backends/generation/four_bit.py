"""Weights of four bits: whole numbers from -8 to 7 with a scale for each 32 of a row.

On disk they lie as the package compressed-tensors packs them, so that transformers and vLLM read them too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

GROUP = 32
_BITS = 4
LEAST, MOST = -8, 7
_PACKED, _SCALE, _SHAPE = "weight_packed", "weight_scale", "weight_shape"

CONFIG: Mapping[str, Any] = {
    "quant_method": "compressed-tensors",
    "format": "pack-quantized",
    "quantization_status": "compressed",
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {
                "num_bits": _BITS,
                "type": "int",
                "symmetric": True,
                "strategy": "group",
                "group_size": GROUP,
            },
        }
    },
    "ignore": ["lm_head"],
}


def quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest numbers and their scales.

    Args:
        weight: (out, in), `in` a multiple of `GROUP`.

    Returns: int8 (out, in) and bfloat16 (out, in / `GROUP`).
    """
    groups = weight.float().reshape(len(weight), -1, GROUP)
    scales = (groups.abs().amax(2) / MOST).clamp(min=1e-8).bfloat16()
    numbers = (groups / scales.float()[..., None]).round_().clamp_(LEAST, MOST)
    return numbers.flatten(1).to(torch.int8), scales


def dense(numbers: Tensor, scales: Tensor) -> Tensor:
    """The weights that numbers and scales stand for, float32 (out, in)."""
    return (numbers.float().reshape(len(numbers), -1, GROUP) * scales.float()[..., None]).flatten(1)


def tensors(name: str, weight: Tensor) -> dict[str, Tensor]:
    """What a safetensors file holds of a weight.

    name: of the layer, without ".weight".
    """
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32

    numbers, scales = quantised(weight)
    shape = torch.tensor(weight.shape)
    return {
        f"{name}.{_PACKED}": pack_to_int32(numbers, _BITS),
        f"{name}.{_SCALE}": scales,
        f"{name}.{_SHAPE}": shape,
    }


class FourBitWeights:
    """The four-bit weights of a model folder, by name of the layer."""

    def __init__(self, folder: Path) -> None:
        """Look what there is; nothing is read yet."""
        self._file = folder / "model.safetensors"
        with safe_open(self._file, "pt") as file:
            self._names = frozenset(file.keys())

    def __contains__(self, name: str) -> bool:
        return f"{name}.{_PACKED}" in self._names

    def read(self, name: str) -> tuple[Tensor, Tensor]:
        """Numbers and scales of a layer, as `quantised` gives them."""
        from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32

        with safe_open(self._file, "pt") as file:
            packed, scales, shape = (file.get_tensor(f"{name}.{part}") for part in (_PACKED, _SCALE, _SHAPE))
        return unpack_from_int32(packed, _BITS, torch.Size(shape.tolist())), scales
