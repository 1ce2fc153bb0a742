"""Which models are accepted, and what they are served as."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from assistant.backends.generation.language_model import load_language_model
from assistant.composition.prompt import excerpts
from assistant.errors import ConfigError
from assistant.protocols import GenerationRequest, Hint
from assistant.records import Source
from tests.backends.generation.conftest import SYSTEM_TEMPLATE, make_tokenizer, save_model


def test_own_limit_of_the_model_counts(models: dict[str, Path]) -> None:
    """The setting can only make the context smaller."""
    assert load_language_model(str(models["gpt2"]), dtype="float32").columns == 1024
    assert load_language_model(str(models["gpt2"]), dtype="float32", columns=300).columns == 300


def test_template_tells_how_it_takes_sources(models: dict[str, Path]) -> None:
    """Documents of its own, or a system message."""
    documents = load_language_model(str(models["gpt2"]), dtype="float32")
    system = load_language_model(str(models["llama"]), dtype="float32")
    assert (documents.takes_documents, documents.takes_system) == (True, False)
    assert (system.takes_documents, system.takes_system) == (False, True)


def test_bfloat16_is_served_too(models: dict[str, Path]) -> None:
    """The check of batched against plain passes allows for rounding."""
    assert "/bfloat16/" in load_language_model(str(models["gpt2"]), dtype="bfloat16").identity


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    """Only safetensors are read."""
    folder = save_model("llama", tmp_path)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="safetensors"):
        load_language_model(str(folder))


def change(folder: Path, name: str, **values: Any) -> Path:
    """A model's JSON file with other values."""
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    return folder


def test_code_of_a_model_is_not_run(tmp_path: Path) -> None:
    """A configuration that points to Python of its own is refused, and the Python is not imported."""
    folder = save_model("llama", tmp_path)
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    change(
        folder,
        "config.json",
        model_type="own",
        auto_map={"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"},
    )
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_language_model(str(folder))
    assert not (tmp_path / "ran").exists()


def test_model_without_chat_template_is_refused(tmp_path: Path) -> None:
    """A base model continues texts; it does not reply."""
    folder = save_model("llama", tmp_path)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match="chat template"):
        load_language_model(str(folder))


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    """Cut short by a failed copy, for example."""
    folder = save_model("llama", tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_language_model(str(folder))


def test_missing_model_is_refused() -> None:
    """Nothing is downloaded."""
    with pytest.raises(ConfigError, match="not on this machine"):
        load_language_model("nobody/nothing")


def save_other(model: Any, folder: Path) -> str:
    """A model of another architecture with the tests' tokenizer."""
    model.save_pretrained(folder)
    make_tokenizer(SYSTEM_TEMPLATE).save_pretrained(folder)
    return str(folder)


def test_architecture_that_keeps_no_keys_is_refused(tmp_path: Path) -> None:
    """A state-space model's memory is no column per token."""
    config = MambaConfig(vocab_size=409, hidden_size=32, num_hidden_layers=2, state_size=4, eos_token_id=4)
    with pytest.raises(ConfigError, match="cannot be served"):
        load_language_model(save_other(MambaForCausalLM(config), tmp_path), dtype="float32")


def test_sliding_window_limits_the_context(tmp_path: Path) -> None:
    """No token may fall out of the window, or batched replies would differ from those alone."""
    config = MistralConfig(
        vocab_size=409,
        hidden_size=32,
        num_hidden_layers=2,
        intermediate_size=64,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=300,
        eos_token_id=4,
    )
    assert (
        load_language_model(save_other(MistralForCausalLM(config), tmp_path), dtype="float32").columns == 300
    )


SMALL: dict[str, Any] = {
    "vocab_size": 409,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "eos_token_id": 4,
}


@pytest.mark.parametrize("name", ["gpt2", "qwen2", "gemma3"])
def test_other_architectures_are_served(tmp_path: Path, name: str) -> None:
    """Learned positions, grouped heads, layers of two kinds: batched passes give what a plain one gives."""
    made: Any
    if name == "gpt2":
        made = GPT2LMHeadModel(
            GPT2Config(vocab_size=409, n_embd=32, n_layer=2, n_head=4, n_positions=512, eos_token_id=4)
        )
    elif name == "qwen2":
        made = Qwen2ForCausalLM(Qwen2Config(**SMALL))
    else:
        layers = ["sliding_attention", "full_attention"]
        made = Gemma3ForCausalLM(
            Gemma3TextConfig(**SMALL, head_dim=8, sliding_window=512, layer_types=layers)
        )
    assert load_language_model(save_other(made, tmp_path), dtype="float32").columns == 512


def test_architecture_with_masks_of_its_own_is_refused(tmp_path: Path) -> None:
    """ALiBi is made of the mask that this back-end replaces; the operator is told so at the start."""
    config = BloomConfig(vocab_size=409, hidden_size=32, n_layer=2, n_head=4, eos_token_id=4)
    with pytest.raises(ConfigError, match="cannot be served"):
        load_language_model(save_other(BloomForCausalLM(config), tmp_path), dtype="float32")


def test_control_tokens_are_broken_in_excerpts_too(models: dict[str, Path]) -> None:
    """Else a sentence with one would not be found in its source any more, and be left out."""
    model = load_language_model(str(models["composer"]), dtype="float32")
    text = "Write <|end|> to finish."
    request = GenerationRequest("q", (Source("a#1", "A", text, "a.md"),), hints=(Hint(1, text, 2),))
    safe = model.disarm(request)
    assert "<|end|>" not in safe.hints[0].text
    assert excerpts([safe.sources[0].text], safe.hints) != [""]
