"""Write a tuned body as an int8 ONNX graph that takes word embeddings.

The graph is built node by node rather than traced: the fused attention and layer-norm operators of ONNX
Runtime halve the time of the traced graph on one thread, and only the large matrix products are int8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from training.retrieval import inputs
from training.retrieval.model import Body, BodyShape

Array = NDArray[np.float32]
MAX_POSITIONS = 256


class _Graph:
    """Nodes and weights in the order they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: Any) -> str:
        outputs = output.split()
        self.nodes.append(
            helper.make_node(kind, inputs, outputs, name=outputs[0], domain=domain, **attributes)
        )
        return outputs[0]

    def weight(self, name: str, values: NDArray[np.generic]) -> str:
        self.weights.append(numpy_helper.from_array(np.array(values, order="C"), name))
        return name

    def linear(
        self, x: str, name: str, weight: Array, bias: Array | None, int8: bool, smooth: Array | None = None
    ) -> str:
        """x @ weight.T + bias, the product in int8 with one scale per output column if asked.

        smooth: divisors of the input's channels; the weights are multiplied by them, so the product stays the
        same while no channel dwarfs the others in the one scale that ONNX Runtime gives the whole input.
        """
        columns = weight.T
        if smooth is not None:
            columns = columns * smooth[:, None]
            x = self.add(
                "Mul", [x, self.weight(f"{name}.divide", (1 / smooth).astype(np.float32))], f"{name}.even"
            )
        if not int8:
            product = self.add(
                "MatMul", [x, self.weight(f"{name}.w", columns.astype(np.float32))], f"{name}.product"
            )
        else:
            scale = np.maximum(np.abs(columns).max(0) / 127, 1e-12).astype(np.float32)
            whole = np.clip(np.rint(columns / scale), -127, 127).astype(np.int8)
            product = self.add(
                "DynamicQuantizeMatMul",
                [
                    x,
                    self.weight(f"{name}.w", whole),
                    self.weight(f"{name}.scale", scale),
                    self.weight(f"{name}.zero", np.zeros(whole.shape[1], np.int8)),
                ],
                f"{name}.product",
                domain="com.microsoft",
            )
        if bias is None:
            return product
        return self.add("Add", [product, self.weight(f"{name}.b", bias)], name)


def build(
    state: Mapping[str, Array],
    shape: BodyShape,
    path: Path,
    head: str,
    apart: int = 0,
    peaks: Mapping[str, Array] | None = None,
    int8: bool = True,
) -> None:
    """Write the graph.

    Args:
        state: the body's weights by name; with head "tokens" prefixed "body.".
        head: "vector" (mean of the tokens, L2 norm 1; no `types` input) or "tokens" (every token's state; each
            segment's places count from its own beginning).
        apart: layers from below in which each segment sees only itself (not with head "vector").
        peaks: largest magnitude of each input channel of each product, from `activation_peaks`; without them
            no channel is evened out.
        int8: false writes every product in float32, for comparison.
    """
    graph = _Graph()
    body = state if head == "vector" else {k.removeprefix("body."): v for k, v in state.items()}

    def linear(x: str, name: str, bias: bool = True) -> str:
        weight = body[f"{name}.weight"]
        smooth = None
        if int8 and peaks is not None:
            smooth = smoothing(peaks[name], weight)
        return graph.linear(x, name, weight, body[f"{name}.bias"] if bias else None, int8, smooth)

    def norm(x: str, name: str) -> str:
        scale = graph.weight(f"{name}.g", body[f"{name}.weight"])
        shift = graph.weight(f"{name}.s", body[f"{name}.bias"])
        return graph.add("LayerNormalization", [x, scale, shift], f"{name}.out", axis=-1, epsilon=shape.eps)

    positions = body["positions.weight"][:MAX_POSITIONS]
    types = body["types.weight"]
    if head == "vector":
        graph.add("Shape", ["mask"], "length", start=1, end=2)
        graph.weight("positions", positions + types[0])
        graph.add("Slice", ["positions", graph.weight("zero", np.zeros(1, np.int64)), "length"], "here")
        x = graph.add("Add", ["embeds", "here"], "placed")
    else:
        _segments(graph)
        graph.add("Gather", [graph.weight("positions", positions), "places"], "here")
        graph.add("Gather", [graph.weight("types.w", types), "types"], "typed")
        x = graph.add("Add", [graph.add("Add", ["embeds", "here"], "placed"), "typed"], "summed")
    x = norm(x, "norm")
    graph.add("Cast", ["mask"], "mask.whole", to=TensorProto.INT32)
    for i in range(shape.layers):
        name = f"layers.{i}."
        qkv = linear(x, f"{name}qkv", bias=False)
        parts = [f"{name}{part}" for part in "qkv"]
        graph.add("Split", [qkv, _thirds(graph, shape.hidden)], " ".join(parts), axis=-1)
        graph.weight(f"{name}qkv.b", body[f"{name}qkv.bias"])
        mixed = graph.add(
            "MultiHeadAttention",
            [*parts, f"{name}qkv.b", "mask.whole", *(["own"] if i < apart else [])],
            f"{name}mixed",
            domain="com.microsoft",
            num_heads=shape.heads,
        )
        joined = graph.add("Add", [linear(mixed, f"{name}attention_out"), x], f"{name}joined")
        x = norm(joined, f"{name}attention_norm")
        inner = linear(x, f"{name}inner", bias=False)
        bent = graph.add(
            "BiasGelu", [inner, graph.weight(f"{name}inner.b", body[f"{name}inner.bias"])], f"{name}bent",
            domain="com.microsoft",
        )  # fmt: skip
        joined = graph.add("Add", [linear(bent, f"{name}out"), x], f"{name}passed")
        x = norm(joined, f"{name}norm")
    if head == "vector":
        graph.add("Unsqueeze", ["mask", graph.weight("last", np.array([2], np.int64))], "mask.column")
        graph.add("Mul", [x, "mask.column"], "counted")
        graph.add(
            "ReduceSum", ["counted", graph.weight("tokens", np.array([1], np.int64))], "total", keepdims=0
        )
        graph.add("LpNormalization", ["total"], "vector", axis=-1, p=2)
        ends = [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["rows", shape.hidden])]
    else:
        graph.add("Identity", [x], "tokens")
        ends = [helper.make_tensor_value_info("tokens", TensorProto.FLOAT, ["rows", "places", shape.hidden])]
    starts = [
        helper.make_tensor_value_info("embeds", TensorProto.FLOAT, ["rows", "tokens", shape.hidden]),
        helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["rows", "tokens"]),
    ]
    if head != "vector":
        starts.append(helper.make_tensor_value_info("types", TensorProto.INT64, ["rows", "tokens"]))
    model = helper.make_model(
        helper.make_graph(graph.nodes, head, starts, ends, graph.weights),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
        ir_version=9,
        producer_name="training.retrieval",
    )
    onnx.save(model, str(path))


def _segments(graph: _Graph) -> None:
    """From `mask` and `types`: places of the tokens, and the bias that keeps segments apart."""
    one = graph.weight("one", np.array([1], np.int64))
    two = graph.weight("two", np.array([2], np.int64))
    unit = graph.weight("unit", np.array(1, np.float32))
    graph.add("Cast", ["types"], "types.float", to=TensorProto.FLOAT)
    graph.add("Mul", ["types.float", "mask"], "shown")
    graph.add("Mul", [graph.add("Sub", [unit, "types.float"], "types.not"), "mask"], "asked")
    graph.add("ReduceSum", ["asked", one], "asked.count", keepdims=1)
    # the second segment's places begin at 1
    index = graph.weight("index", np.arange(MAX_POSITIONS, dtype=np.float32))
    graph.add("Shape", ["mask"], "length", start=1, end=2)
    graph.add("Slice", [index, graph.weight("zero", np.zeros(1, np.int64)), "length"], "index.here")
    back = graph.add("Mul", ["types.float", graph.add("Sub", ["asked.count", unit], "back.by")], "back")
    graph.add(
        "Cast", [graph.add("Sub", ["index.here", back], "places.float")], "places", to=TensorProto.INT64
    )
    rows = graph.add("Unsqueeze", ["types.float", two], "types.rows")
    columns = graph.add("Unsqueeze", ["types.float", one], "types.columns")
    other = graph.add("Abs", [graph.add("Sub", [rows, columns], "types.differ")], "types.other")
    low = graph.weight("low", np.array(-30000, np.float32))
    graph.add("Unsqueeze", [graph.add("Mul", [other, low], "own.flat"), one], "own")


def smoothing(peaks: Array, weight: Array, share: float = 0.8) -> Array:
    """Divisors of the input channels: peak^share / largest weight^(1 - share) (SmoothQuant, arXiv 2211.10438)."""
    largest = np.maximum(np.abs(weight).max(0), 1e-5)
    divisors: Array = (np.maximum(peaks, 1e-5) ** share / largest ** (1 - share)).astype(np.float32)
    return divisors


def activation_peaks(
    body: Body, table: torch.Tensor, rows: Sequence[tuple[list[int], int]], apart: int = 0, chunk: int = 32
) -> dict[str, Array]:
    """Largest magnitude of every input channel of every large product.

    rows: ids with special tokens, and where the second segment begins (the row's length if there is none).
    """
    peaks: dict[str, torch.Tensor] = {}

    def watch(name: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
        def see(_: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            top = given[0].detach().abs().flatten(0, -2).amax(0)
            peaks[name] = torch.maximum(peaks[name], top) if name in peaks else top

        return see

    names = [(name, module) for name, module in body.named_modules() if isinstance(module, nn.Linear)]
    hooks = [module.register_forward_pre_hook(watch(name)) for name, module in names]
    with torch.no_grad():
        for at in range(0, len(rows), chunk):
            some = rows[at : at + chunk]
            ids, mask, types = inputs.padded(
                [ids for ids, _ in some], [start for _, start in some], multiple=1
            )
            body(table[torch.from_numpy(ids)], torch.from_numpy(mask), torch.from_numpy(types), apart)
    for hook in hooks:
        hook.remove()
    return {name: top.float().numpy() for name, top in peaks.items()}


def _thirds(graph: _Graph, hidden: int) -> str:
    if not any(weight.name == "thirds" for weight in graph.weights):
        graph.weight("thirds", np.full(3, hidden, np.int64))
    return "thirds"
