"""The composer's tokenizer: the published model's BPE without the tokens that are hardly used, and marks of its own."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

SIZE = 12_288
PAD, SOURCE, CUSTOMER, ASSISTANT, END = "<|pad|>", "<|source|>", "<|customer|>", "<|assistant|>", "<|end|>"
SPECIAL = (PAD, SOURCE, CUSTOMER, ASSISTANT, END)
MOST_SOURCES = 9
# The space before a citation belongs to its token, as that of a word does.
CITATIONS = tuple(f" [{number}]" for number in range(1, MOST_SOURCES + 1))

# The question stands before the sources too: a causal model reads them with it in mind.
CHAT_TEMPLATE = (
    "{%- if documents -%}<|customer|> {{ messages[-1]['content'] }}{%- endif -%}"
    "{%- for document in documents -%}"
    "<|source|> [{{ loop.index }}] {{ document['title'] }}: {{ document['text'] }}"
    "{%- endfor -%}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}<|customer|> {{ message['content'] }}"
    "{%- elif message['role'] == 'assistant' -%}<|assistant|> {{ message['content'] }}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)


def reduce(
    published: Any, texts: Iterable[tuple[str, int]], size: int = SIZE, context: int = 1024
) -> PreTrainedTokenizerFast:
    """Keep the tokens that texts use most, with those they are merged from.

    Args:
        published: a fast tokenizer with a byte-level BPE.
        texts: (text, how often it counts).
        size: tokens in all, marks and citations included.
        context: the most tokens of a prompt and its reply.
    """
    model = json.loads(published.backend_tokenizer.to_str())["model"]
    whole = _backend(model["vocab"], [tuple(pair) for pair in model["merges"]])
    counts: Counter[str] = Counter()
    given = list(texts)
    for encoding, (_, weight) in zip(whole.encode_batch([text for text, _ in given]), given, strict=True):
        for token in encoding.tokens:
            counts[token] += weight
    made_of = {left + right: (left, right) for left, right in reversed(model["merges"])}
    kept = {byte: None for byte in pre_tokenizers.ByteLevel.alphabet() if byte in model["vocab"]}
    room = size - len(SPECIAL) - len(CITATIONS)
    for token, _ in counts.most_common():
        needed = _family(token, made_of)
        if len(kept) + sum(part not in kept for part in needed) <= room:
            kept |= dict.fromkeys(needed)
    names = [*SPECIAL, *sorted(kept, key=lambda token: model["vocab"][token])]
    merges = [(left, right) for left, right in model["merges"] if {left, right, left + right} <= kept.keys()]
    tokenizer = _backend({name: number for number, name in enumerate(names)}, merges)
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in SPECIAL])
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in CITATIONS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[SOURCE, CUSTOMER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=context,
    )


def _backend(vocabulary: Mapping[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    tokenizer = Tokenizer(BPE(vocab=dict(vocabulary), merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def _family(token: str, made_of: Mapping[str, tuple[str, str]]) -> list[str]:
    """A token and what it is merged from, down to single characters."""
    if token not in made_of:
        return [token]
    left, right = made_of[token]
    return [token, *_family(left, made_of), *_family(right, made_of)]


def load(folder: Path) -> PreTrainedTokenizerFast:
    """Read a tokenizer that `reduce` made and `save_pretrained` wrote."""
    return PreTrainedTokenizerFast.from_pretrained(folder)


def spaced(text: str) -> str:
    """Citations with one space before each, as the tokens have it."""
    return re.sub(r"\s*(\[[1-9]\])", r" \1", text)
