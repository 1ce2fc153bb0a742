"""Keys and values of replies under way: one row of memory for each, written in place.

Rows begin at column 0 and have their own length, so a reply that joins or leaves moves nobody else's numbers;
what a row may look at is said by the mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

_FIRST_COLUMNS = 256  # memory begins with this many tokens a row and doubles when a row needs more


class SlotCache(Cache):
    """A cache of `rows` replies with up to `columns` tokens each. For one thread.

    Before each forward pass `begin_prompt` or `begin_step` says which rows the pass is for.
    """

    def __init__(self, layers: int, rows: int, columns: int) -> None:
        self.lengths = [0] * rows
        self._place = _Place()
        self._slots = [_SlotLayer(self._place, rows, columns) for _ in range(layers)]
        super().__init__(layers=list(self._slots))

    def begin_prompt(self, row: int) -> None:
        """The next pass reads a prompt into this row alone, which must be empty."""
        self._place.rows = torch.tensor([row])
        self._place.at = torch.tensor([0])
        self._place.start = 0

    def begin_step(self, rows: int, tokens: int) -> Tensor:
        """The next pass reads so many tokens behind what each of the first rows holds.

        Returns: shape (rows, tokens): their positions.
        """
        lengths = torch.tensor(self.lengths[:rows])
        self._place.rows = torch.arange(rows)
        self._place.at = lengths
        self._place.start = max(self.lengths[:rows])
        return lengths[:, None] + torch.arange(tokens)

    def grew(self, rows: Sequence[int], tokens: int) -> None:
        """The pass is done: these rows are longer by so many tokens."""
        for row in rows:
            self.lengths[row] += tokens

    def clear(self, row: int) -> None:
        """Forget what a row holds."""
        self.lengths[row] = 0

    def move(self, source: int, target: int) -> None:
        """Put a row in the place of another."""
        length = self.lengths[source]
        for layer in self._slots:
            for part in layer.written():
                part[target, :, :length] = part[source, :, :length]
        self.lengths[target] = length


class _Place:
    """Where a forward pass writes: these rows, at these columns; `start` is the largest of them."""

    def __init__(self) -> None:
        self.rows = torch.zeros(0, dtype=torch.int64)
        self.at = torch.zeros(0, dtype=torch.int64)
        self.start = 0


class _SlotLayer(DynamicLayer):
    """One layer's keys and values, (rows, heads, columns, width); what was never written is 0, as masking needs."""

    def __init__(self, place: _Place, rows: int, columns: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._place = place
        self._rows = rows
        self._most = columns

    def written(self) -> tuple[Tensor, Tensor]:
        """Keys and values of all rows; only after the first pass."""
        assert self.keys is not None  # noqa: S101 - the first pass has made them
        assert self.values is not None  # noqa: S101
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Tokens before those of this pass."""
        return self._place.start

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Columns seen by a pass of so many tokens, and the first of them."""
        return self._place.start + query_length, 0

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write the keys and values of this pass; returns all that it may see of its rows."""
        place, count = self._place, key_states.shape[2]
        self._make_room(key_states, value_states, place.start + count)
        keys, values = self.written()
        first, last = int(place.rows[0]), int(place.rows[-1]) + 1
        if place.start:
            rows, columns = place.rows[:, None], place.at[:, None] + torch.arange(count)
            keys[rows, :, columns] = key_states.transpose(1, 2)
            values[rows, :, columns] = value_states.transpose(1, 2)
        else:
            keys[first, :, :count] = key_states[0]
            values[first, :, :count] = value_states[0]
        seen = slice(0, place.start + count)
        return keys[first:last, :, seen], values[first:last, :, seen]

    def _make_room(self, keys: Tensor, values: Tensor, columns: int) -> None:
        held = self.written()[0].shape[2] if self.is_initialized else 0
        if columns <= held:
            return
        wanted = min(max(columns, 2 * held, _FIRST_COLUMNS), max(self._most, columns))
        fresh = [part.new_zeros(self._rows, part.shape[1], wanted, part.shape[3]) for part in (keys, values)]
        if held:
            for new, old in zip(fresh, self.written(), strict=True):
                new[:, :, :held] = old
        self.keys, self.values = fresh
        self.is_initialized = True
