"""The network as a folder that transformers loads: four bits a weight in the layers, eight in the embeddings."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import GenerationConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from assistant.backends.generation import four_bit
from training.composer.encoding import LONGEST_REPLY

_EMBEDDINGS = torch.float8_e4m3fn


def stored(name: str, weight: Tensor) -> Tensor:
    """A weight after it was stored and read again."""
    if weight.dim() < 2:
        return weight
    return (
        four_bit.dense(*four_bit.quantised(weight))
        if _in_layers(name)
        else weight.to(_EMBEDDINGS).to(weight.dtype)
    )


def write(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write weights, configuration and tokenizer."""
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
        max_new_tokens=LONGEST_REPLY,
    )
    model.config.excerpts = True
    model.config.dtype = torch.bfloat16
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    described = json.loads((folder / "config.json").read_text())
    described["quantization_config"] = four_bit.CONFIG
    (folder / "config.json").write_text(json.dumps(described, indent=2) + "\n")
    found: dict[str, Tensor] = {}
    for name, weight in model.named_parameters():  # tied ones once
        if weight.dim() < 2:
            found[name] = weight.detach().bfloat16()
        elif _in_layers(name):
            found |= four_bit.tensors(name.removesuffix(".weight"), weight.detach())
        else:
            found[name] = weight.detach().to(_EMBEDDINGS)
    save_file(found, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save_pretrained(folder)


def parameters(file: Path) -> int:
    """How many numbers a file written here stands for."""
    count = 0
    for name, values in load_file(file).items():
        if name.endswith("weight_shape"):
            count += int(values.prod())
        elif not name.endswith(("weight_packed", "weight_scale")):
            count += values.numel()
    return count


def _in_layers(name: str) -> bool:
    return ".layers." in name
