"""Products of rows with the matrices of a layer, by what is quickest for how many rows there are.

For a row or a few, reading the weights is what takes time: those that lie on disk with four bits are read with four.
For more, bfloat16 matrices lie in the order that the processor's matrix unit wants, and what follows a product is
reckoned before its result leaves the cache.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from assistant.backends.generation.four_bit import GROUP, LEAST

Packed = tuple[Tensor, Tensor]
"""Numbers and scales, as `four_bit.quantised` gives them."""

_FEW = 4  # rows
_USUAL = 256  # rows for which the order is best


class Product:
    """One matrix."""

    def __init__(self, weight: Tensor, packed: Packed | None = None) -> None:
        """Take a weight (out, in), and its numbers and scales if it has four bits."""
        self._weight = _Ordered(weight)
        self._packed = _FourBit(packed, weight.dtype) if packed else None

    def __call__(self, rows: Tensor, plus: Tensor | None = None) -> Tensor:
        """(rows, in) to (rows, out), with `plus` added."""
        if self._packed and len(rows) <= _FEW:
            found = self._packed(rows)
            return found if plus is None else found + plus
        return self._weight(rows) if plus is None else self._weight.joined(rows, plus, "add")


class GatedProduct:
    """Two matrices: the product with one, through SiLU, times the product with the other."""

    def __init__(self, gate: Tensor, up: Tensor, packed: Sequence[Packed] | None = None) -> None:
        """Take the weights (out, in), and their numbers and scales if they have four bits."""
        self._gate, self._up = _Ordered(gate), _Ordered(up)
        self._packed = _FourBit(joined(packed), gate.dtype) if packed else None

    def __call__(self, rows: Tensor) -> Tensor:
        """(rows, in) to (rows, out)."""
        if self._packed and len(rows) <= _FEW:
            gate, up = self._packed(rows).chunk(2, dim=-1)
            return F.silu(gate) * up
        return self._up.joined(rows, self._gate(rows, "swish"), "mul")


def joined(packed: Sequence[Packed]) -> Packed:
    """Matrices that take the same rows, as one."""
    numbers, scales = zip(*packed, strict=True)
    return torch.cat(numbers), torch.cat(scales)


class _FourBit:
    def __init__(self, packed: Packed, number_format: torch.dtype) -> None:
        numbers, scales = packed
        self._order = torch.ops.aten._convert_weight_to_int4pack_for_cpu(numbers.to(torch.int32) - LEAST, 1)
        shifts = torch.stack([scales, torch.zeros_like(scales)], 2).transpose(0, 1)
        self._scales = shifts.contiguous().to(number_format)

    def __call__(self, rows: Tensor) -> Tensor:
        found: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(rows, self._order, GROUP, self._scales)
        return found


class _Ordered:
    """A whole matrix, in the matrix unit's order where there is one."""

    def __init__(self, weight: Tensor) -> None:
        self._is_ordered = weight.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, _USUAL) if self._is_ordered else weight

    def __call__(self, rows: Tensor, through: str = "none") -> Tensor:
        """through: "swish" or "none"."""
        if self._is_ordered:
            found: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._weight, None, through, [], "")
            return found
        found = F.linear(rows, self._weight)
        return F.silu(found) if through == "swish" else found

    def joined(self, rows: Tensor, other: Tensor, how: str) -> Tensor:
        """how: "add" or "mul"."""
        if self._is_ordered:
            found: Tensor = torch.ops.mkldnn._linear_pointwise.binary(rows, other, self._weight, None, how)
            return found
        found = F.linear(rows, self._weight)
        return found + other if how == "add" else found * other
