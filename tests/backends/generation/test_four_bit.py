"""Weights of four bits, and the passes of Llama-like models that use them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import silu
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from assistant.backends.generation.four_bit import GROUP, dense, quantised
from assistant.backends.generation.language_model import load_language_model
from assistant.backends.generation.products import GatedProduct, Product
from tests.backends.generation.conftest import save_model
from training.composer import export

LONG, SHORT = [*range(20, 60)], [*range(30, 41)]


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny model, and what its export makes of it."""
    whole = save_model("composer", tmp_path_factory.mktemp("whole"))
    folder = tmp_path_factory.mktemp("compressed")
    model = LlamaForCausalLM.from_pretrained(whole)
    export.write(model, AutoTokenizer.from_pretrained(whole), folder)
    return whole, folder


def test_numbers_and_scales_stand_for_the_nearest_weights() -> None:
    """No weight is off by more than half a step of its group."""
    weight = torch.randn(6, 3 * GROUP, generator=torch.Generator().manual_seed(1))
    numbers, scales = quantised(weight)
    assert (int(numbers.min()), int(numbers.max())) == (-7, 7)
    error = (dense(numbers, scales) - weight).abs().unflatten(1, (-1, GROUP))
    assert bool((error <= scales.float()[..., None] * 0.52).all())
    assert torch.equal(dense(*quantised(torch.zeros(1, GROUP))), torch.zeros(1, GROUP))


@pytest.mark.parametrize(("dtype", "least"), [(torch.float32, 0.9999), (torch.bfloat16, 0.999)])
def test_few_rows_and_many_give_the_same(dtype: torch.dtype, least: float) -> None:
    """Read with four bits or with all: the same product."""
    draw = torch.Generator().manual_seed(2)
    packed = [quantised(torch.randn(48, 64, generator=draw)) for _ in range(2)]
    gate, up = (dense(*one).to(dtype) for one in packed)
    rows, plus = (torch.randn(20, width, generator=draw).to(dtype) for width in (64, 48))
    one, opened = Product(gate, packed[0]), GatedProduct(gate, up, packed)
    for few, many, wanted in (
        (one(rows[:4]), one(rows), rows @ gate.T),
        (one(rows[:4], plus[:4]), one(rows, plus), rows @ gate.T + plus),
        (opened(rows[:4]), opened(rows), silu(rows @ gate.T) * (rows @ up.T)),
    ):
        assert torch.cosine_similarity(few.float(), wanted[:4].float()).min() > least
        assert torch.cosine_similarity(many.float(), wanted.float()).min() > least


def logits(folder: Path) -> list[Tensor]:
    """What may follow two texts that are continued together, as it is served."""
    model = load_language_model(str(folder), dtype="float32")
    cache = model.slots(2)
    for row, ids in enumerate((LONG, SHORT)):
        model.read(cache, row, ids[:-1])
    return list(model.step(cache, [[LONG[-1]], [SHORT[-1]]])[:, 0])


@pytest.mark.parametrize("kind", ["whole", "compressed"])
def test_serving_gives_what_transformers_gives(compressed: tuple[Path, Path], kind: str) -> None:
    """The folder as any user of transformers loads it, and as it is served here."""
    folder = compressed[kind == "compressed"]
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for served, ids in zip(logits(folder), (LONG, SHORT), strict=True):
        wanted = plain(torch.tensor([ids])).logits[0, -1]
        seen = torch.isfinite(served)
        assert torch.cosine_similarity(served[seen], wanted[seen], dim=0) > 0.999


def test_compressed_folder_holds_a_third(compressed: tuple[Path, Path]) -> None:
    """Its matrices take four bits and a scale instead of sixteen or thirty-two."""
    whole, small = (folder / "model.safetensors" for folder in compressed)
    assert small.stat().st_size < whole.stat().st_size / 3


def test_training_runs_with_what_is_stored(compressed: tuple[Path, Path]) -> None:
    """`stored` is what comes back from the file."""
    whole, folder = compressed
    before = LlamaForCausalLM.from_pretrained(whole).state_dict()
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    loaded(torch.tensor([LONG]))  # the first pass unpacks the weights
    after = loaded.state_dict()
    for name, weight in before.items():
        assert torch.allclose(export.stored(name, weight), after[name], atol=0.02, rtol=0.01), name
