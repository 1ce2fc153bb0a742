"""The composer's tokenizer: byte-level BPE, digits one by one, a token each for roles, sources and citations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, processors, trainers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

SIZE = 16_000
PAD, SOURCE, CUSTOMER, ASSISTANT, END, MASK = (
    "<|pad|>", "<|source|>", "<|customer|>", "<|assistant|>", "<|end|>", "<|mask|>",
)  # fmt: skip
SPECIAL = (PAD, SOURCE, CUSTOMER, ASSISTANT, END, MASK)
MOST_SOURCES = 9
# The space before a citation belongs to its token, as that of a word does.
CITATIONS = tuple(f" [{number}]" for number in range(1, MOST_SOURCES + 1))

CHAT_TEMPLATE = (
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


def learn(texts: Iterable[str], size: int = SIZE) -> PreTrainedTokenizerFast:
    """Learn the merges from texts. Returns: the tokenizer with its chat template."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(CITATIONS),
        min_frequency=2,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in CITATIONS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        mask_token=MASK,
        additional_special_tokens=[SOURCE, CUSTOMER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=640,
    )


def load(folder: Path) -> PreTrainedTokenizerFast:
    """Read a tokenizer that `learn` made and `save_pretrained` wrote."""
    return PreTrainedTokenizerFast.from_pretrained(folder)


def surfaces(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """The text of each token, by id; special tokens as written, broken UTF-8 as the replacement character."""
    special = set(tokenizer.all_special_tokens)
    names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    return [name if name in special else tokenizer.decode([number]) for number, name in enumerate(names)]


def spaced(text: str) -> str:
    """Citations with one space before each, as the tokens have it."""
    return re.sub(r"\s*(\[[1-9]\])", r" \1", text)
