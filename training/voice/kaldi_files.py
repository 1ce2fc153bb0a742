"""Kaldi's binary objects, as libvosk 0.3.45 reads them: primitives, matrices, transition model, nnet3.

All little-endian. A token is ASCII with one space behind it; an int32 or float has its size (4) as a byte in
front; a matrix can be packed to a byte a weight ("CM": four 16-bit quantiles a column, then bytes between them).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from training.voice import units

Floats = NDArray[np.float32]
BINARY = b"\0B"
EPSILON = 1e-3  # of batch normalisation
BYPASS = 0.66  # what a layer adds of its input
_STEPS = 65535


@dataclass(frozen=True, slots=True)
class Splice:
    """The first layer: frames beside each other, an affine map, ReLU, batch normalisation."""

    offsets: tuple[int, ...]
    weight: Floats
    bias: Floats
    mean: Floats
    variance: Floats


@dataclass(frozen=True, slots=True)
class Factored:
    """A layer whose affine map goes through a bottleneck, with a bypass.

    It sees `stride` frames back and as many ahead, or, if it does not look `ahead`, twice as many back.
    """

    narrow: Floats
    wide: Floats
    bias: Floats
    mean: Floats
    variance: Floats
    stride: int
    ahead: bool


@dataclass(frozen=True, slots=True)
class Network:
    """An acoustic model as it is written."""

    splice: Splice
    layers: tuple[Factored, ...]
    weight: Floats
    bias: Floats


class Writer:
    """Writes Kaldi's primitives."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def token(self, name: str) -> None:
        """A token."""
        self._file.write(name.encode("ascii") + b" ")

    def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        self._file.write(data)

    def integer(self, value: int) -> None:
        """An int32."""
        self._file.write(b"\x04" + struct.pack("<i", value))

    def real(self, value: float) -> None:
        """A float."""
        self._file.write(b"\x04" + struct.pack("<f", value))

    def boolean(self, value: bool) -> None:
        """A bool."""
        self._file.write(b"T" if value else b"F")

    def integers(self, values: Sequence[int]) -> None:
        """A vector of int32."""
        self._file.write(b"\x04" + struct.pack("<i", len(values)) + np.asarray(values, "<i4").tobytes())

    def vector(self, values: Sequence[float] | Floats) -> None:
        """A vector of floats."""
        self.token("FV")
        self.integer(len(values))
        self._file.write(np.asarray(values, "<f4").tobytes())

    def matrix(self, values: Floats, packed: bool) -> None:
        """A matrix, as floats or packed to bytes."""
        values = np.ascontiguousarray(values, "<f4")
        if packed:
            self.token("CM")
            self._file.write(pack(values))
            return
        self.token("FM")
        self.integer(values.shape[0])
        self.integer(values.shape[1])
        self._file.write(values.tobytes())


def pack(values: Floats) -> bytes:
    """A matrix in Kaldi's "CM" form."""
    rows, columns = values.shape
    low = float(values.min())
    width = max(float(values.max()) - low, 1e-5 * (1 + abs(low)))
    ordered = np.sort(values, axis=0)
    quarter = max(rows // 4, 1)
    places = [0, min(quarter, rows - 1), min(3 * quarter, rows - 1), rows - 1]
    knots = np.round((ordered[places] - low) / width * _STEPS).astype(np.int64)
    knots[0] = np.minimum(knots[0], _STEPS - 3)  # each knot must lie above the one before
    knots[1] = np.clip(knots[1], knots[0] + 1, _STEPS - 2)
    knots[2] = np.clip(knots[2], knots[1] + 1, _STEPS - 1)
    knots[3] = np.maximum(knots[3], knots[2] + 1)
    at = low + width * knots / _STEPS
    coded = np.where(
        values < at[1],
        np.round((values - at[0]) / (at[1] - at[0]) * 64),
        np.where(
            values < at[2],
            64 + np.round((values - at[1]) / (at[2] - at[1]) * 128),
            192 + np.round((values - at[2]) / (at[3] - at[2]) * 63),
        ),
    )
    header = struct.pack("<ffii", low, width, rows, columns)
    body: bytes = np.clip(coded, 0, 255).T.astype(np.uint8).tobytes()
    return header + knots.T.astype("<u2").tobytes() + body


def unpack(data: bytes) -> Floats:
    """What Kaldi makes of a packed matrix."""
    low, width, rows, columns = struct.unpack_from("<ffii", data)
    knots = np.frombuffer(data, "<u2", 4 * columns, 16).reshape(columns, 4).T
    at = low + width * knots.astype(np.float64) / _STEPS
    coded = np.frombuffer(data, np.uint8, rows * columns, 16 + 8 * columns).reshape(columns, rows).T
    coded = coded.astype(np.float64)
    values = np.where(
        coded <= 64,
        at[0] + (at[1] - at[0]) * coded / 64,
        np.where(
            coded <= 192,
            at[1] + (at[2] - at[1]) * (coded - 64) / 128,
            at[2] + (at[3] - at[2]) * (coded - 192) / 63,
        ),
    )
    return np.asarray(values, np.float32)


class Reader:
    """Reads Kaldi's primitives back."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def token(self, name: str) -> None:
        """Read a token that must be there."""
        found = self._file.read(len(name) + 1)
        if found != name.encode("ascii") + b" ":
            raise ValueError(f"expected {name}, found {found!r}")

    def line(self) -> str:
        """A line of text."""
        return self._file.readline().decode("ascii").rstrip("\n")

    def integer(self) -> int:
        """An int32."""
        return int(struct.unpack("<xi", self._file.read(5))[0])

    def real(self) -> float:
        """A float."""
        return float(struct.unpack("<xf", self._file.read(5))[0])

    def integers(self) -> NDArray[np.int32]:
        """A vector of int32."""
        (count,) = struct.unpack("<xi", self._file.read(5))
        return np.frombuffer(self._file.read(4 * count), "<i4")

    def vector(self) -> Floats:
        """A vector of floats."""
        self.token("FV")
        return np.frombuffer(self._file.read(4 * self.integer()), "<f4")

    def matrix(self) -> Floats:
        """A matrix in either form."""
        kind = self._file.read(3)
        if kind == b"FM ":
            rows, columns = self.integer(), self.integer()
            return np.frombuffer(self._file.read(4 * rows * columns), "<f4").reshape(rows, columns)
        if kind != b"CM ":
            raise ValueError(f"expected a matrix, found {kind!r}")
        header = self._file.read(16)
        _, _, rows, columns = struct.unpack("<ffii", header)
        return unpack(header + self._file.read(8 * columns + rows * columns))


def write_model(path: Path, network: Network, features: int, packed: bool = True) -> None:
    """Write am/final.mdl: the transition model and the network."""
    with path.open("wb") as file:
        out = Writer(file)
        out.raw(BINARY)
        write_transitions(out)
        _write_nnet3(out, network, features, packed)


def write_transitions(out: Writer) -> None:
    """The transition model: one topology for all phones, a frame at least, and every tuple."""
    out.token("<TransitionModel>")
    out.token("<Topology>")
    out.integers(range(1, units.PHONE_COUNT + 1))
    out.integers([-1] + [0] * units.PHONE_COUNT)
    for value in (-1, 1, 2):  # states have a pdf of their own for staying; one entry; two states
        out.integer(value)
    for value in (0, 1, 2):  # pdf classes for entering and staying; two transitions
        out.integer(value)
    for state in (0, 1):
        out.integer(state)
        out.real(0.5)
    for value in (-1, -1, 0):  # the last state has no pdf and no transition
        out.integer(value)
    out.token("</Topology>")
    rows = units.tuples()
    out.token("<Tuples>")
    out.integer(len(rows))
    for row in rows:
        for value in row:
            out.integer(int(value))
    out.token("</Tuples>")
    out.token("<LogProbs>")
    out.vector(np.array([0.0] + [np.log(0.5)] * (2 * len(rows)), np.float32))
    out.token("</LogProbs>")
    out.token("</TransitionModel>")


def _write_nnet3(out: Writer, network: Network, features: int, packed: bool) -> None:
    lines = [f"input-node name=input dim={features}"]
    components: list[tuple[str, Callable[[], None]]] = []

    def node(name: str, source: str, write: Callable[[], None]) -> None:
        lines.append(f"component-node name={name} component={name} input={source}")
        components.append((name, write))

    def settle(name: str, width: int, mean: Floats, variance: Floats) -> None:
        node(f"{name}.relu", f"{name}.affine", lambda: _relu(out, width))
        node(f"{name}.norm", f"{name}.relu", lambda: _batch_norm(out, mean, variance))

    first = network.splice
    spliced = ", ".join(f"Offset(input, {offset})" if offset else "input" for offset in first.offsets)
    node("l0.affine", f"Append({spliced})", lambda: _affine(out, first.weight, first.bias, packed))
    settle("l0", len(first.bias), first.mean, first.variance)
    before = "l0.norm"
    for number, layer in enumerate(network.layers, 1):
        name, stride = f"l{number}", layer.stride
        zero = np.zeros(len(layer.narrow), np.float32)
        node(
            f"{name}.narrow",
            f"Append(Offset({before}, -{stride}), {before})",
            lambda w=layer.narrow, b=zero: _affine(out, w, b, packed),  # type: ignore[misc]
        )
        narrow = (f"{name}.narrow", f"Offset({name}.narrow, {stride if layer.ahead else -stride})")
        node(
            f"{name}.affine",
            f"Append({', '.join(narrow if layer.ahead else reversed(narrow))})",
            lambda w=layer.wide, b=layer.bias: _affine(out, w, b, packed),  # type: ignore[misc]
        )
        width = len(layer.bias)
        settle(name, width, layer.mean, layer.variance)
        node(f"{name}.sum", f"Sum(Scale({BYPASS}, {before}), {name}.norm)", lambda w=width: _no_op(out, w))  # type: ignore[misc]
        before = f"{name}.sum"
    node("output.affine", before, lambda: _affine(out, network.weight, network.bias, packed))
    lines.append("output-node name=output input=output.affine objective=linear")
    out.token("<Nnet3>")
    out.raw(b"\n" + "\n".join(lines).encode("ascii") + b"\n\n")
    out.token("<NumComponents>")
    out.integer(len(components))
    for name, write in components:
        out.token("<ComponentName>")
        out.token(name)
        write()
    out.token("</Nnet3>")
    for name in ("<LeftContext>", "<RightContext>"):  # computed anew when it is read
        out.token(name)
        out.integer(0)
    out.token("<Priors>")
    out.vector([])


def _affine(out: Writer, weight: Floats, bias: Floats, packed: bool) -> None:
    out.token("<AffineComponent>")
    out.token("<LearningRate>")
    out.real(0.001)
    out.token("<LinearParams>")
    out.matrix(weight, packed)
    out.token("<BiasParams>")
    out.vector(bias)
    out.token("</AffineComponent>")


def _relu(out: Writer, width: int) -> None:
    out.token("<RectifiedLinearComponent>")
    out.token("<Dim>")
    out.integer(width)
    for name, empty in (
        ("<ValueAvg>", True),
        ("<DerivAvg>", True),
        ("<Count>", False),
        ("<OderivRms>", True),
    ):
        out.token(name)
        if empty:
            out.vector([])
        else:
            out.real(0)
    for name in ("<OderivCount>", "<NumDimsSelfRepaired>", "<NumDimsProcessed>"):
        out.token(name)
        out.real(0)
    out.token("</RectifiedLinearComponent>")


def _batch_norm(out: Writer, mean: Floats, variance: Floats) -> None:
    out.token("<BatchNormComponent>")
    for name in ("<Dim>", "<BlockDim>"):
        out.token(name)
        out.integer(len(mean))
    out.token("<Epsilon>")
    out.real(EPSILON)
    out.token("<TargetRms>")
    out.real(1)
    out.token("<TestMode>")
    out.boolean(True)
    out.token("<Count>")
    out.real(1)
    out.token("<StatsMean>")
    out.vector(mean)
    out.token("<StatsVar>")
    out.vector(variance)
    out.token("</BatchNormComponent>")


def _no_op(out: Writer, width: int) -> None:
    out.token("<NoOpComponent>")
    out.token("<Dim>")
    out.integer(width)
    out.token("<BackpropScale>")
    out.real(1)
    out.token("</NoOpComponent>")
