"""Tiny language models with random weights, saved as real ones are, and requests for them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from assistant.protocols import GenerationRequest, Quote
from assistant.records import Message, Role, Source

SENTENCES = (
    "Parcels take two days and sofas take ten days.",
    "Send goods back within 60 days, in the box they came in.",
    "Delivery costs €39 – in Zürich CHF 45. Wie schön! 退货需要六十天。",
    "You are the customer service assistant of this shop. Sources: [1] Delivery",
)
MARKS = ("<|pad|>", "<|source|>", "<|customer|>", "<|assistant|>", "<|end|>")
DOCUMENTS_TEMPLATE = (
    "{%- for document in documents -%}<|source|> [{{ loop.index }}] {{ document['title'] }}: {{ document['text'] }}"
    "{%- endfor -%}{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}<|customer|> {{ message['content'] }}"
    "{%- elif message['role'] == 'assistant' -%}<|assistant|> {{ message['content'] }}"
    "{%- else -%}{{ raise_exception('no such role') }}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)
SYSTEM_TEMPLATE = (
    "{%- for message in messages -%}<|source|>{{ message['role'] }}\n{{ message['content'] }}<|end|>{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)
REQUEST = GenerationRequest(
    "how long do sofas take?",
    sources=(
        Source("d#1", "Delivery", "Parcels take two days. Sofas take ten days.", "d.md"),
        Source("d#2", "Costs", "Delivery costs €39.", "d.md"),
        Source("r#1", "Returns", "Send goods back within 60 days.", "r.md"),
    ),
    quotes=(Quote(1, "Sofas take ten days."),),
    history=(Message(Role.CUSTOMER, "hello"), Message(Role.ASSISTANT, "Hello! How can I help?")),
)


def make_tokenizer(template: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE of a few hundred tokens, with marks and citations."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(MARKS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.add_tokens([AddedToken(f" [{number}]", normalized=False) for number in range(1, 10)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        additional_special_tokens=["<|source|>", "<|customer|>", "<|assistant|>"],
        chat_template=template,
        clean_up_tokenization_spaces=False,
    )


def save_model(kind: str, folder: Path, positions: int = 1024) -> Path:
    """A tiny model of a kind with its tokenizer: like the project's "composer", "gpt2" (learned positions), "llama"."""
    torch.manual_seed(3)
    tokenizer = make_tokenizer(SYSTEM_TEMPLATE if kind == "llama" else DOCUMENTS_TEMPLATE)
    common = {
        "vocab_size": len(tokenizer),
        "initializer_range": 0.4,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
    }
    model: GPT2LMHeadModel | LlamaForCausalLM
    if kind == "gpt2":
        model = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=positions, **common))
    else:
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "num_attention_heads": 4}
        config = LlamaConfig(num_key_value_heads=2, max_position_embeddings=positions, **sizes, **common)
        if kind == "composer":
            config.excerpts = True
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of the tiny models, by kind."""
    return {kind: save_model(kind, tmp_path_factory.mktemp(kind)) for kind in ("composer", "gpt2", "llama")}
