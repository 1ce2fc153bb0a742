"""From sources, conversation and reply to token ids, exactly as the chat template renders them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from transformers import PreTrainedTokenizerFast

from training.composer import tokenizer as tokens
from training.composer.network import POSITIONS, Sample

LONGEST_REPLY = 110


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be composed: sources as (title, text), history as (role, text), question, reply with [1] [2]."""

    sources: tuple[tuple[str, str], ...]
    history: tuple[tuple[str, str], ...]
    question: str
    reply: str


class Encoder:
    """Turns tasks into samples; safe to share between threads."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._encode = tokenizer.backend_tokenizer.encode
        self._id = {name: cast(int, tokenizer.convert_tokens_to_ids(name)) for name in tokens.SPECIAL}

    def text(self, text: str) -> list[int]:
        """Ids of a text."""
        return self._encode(text, add_special_tokens=False).ids

    def prompt(
        self, sources: Sequence[tuple[str, str]], history: Sequence[tuple[str, str]], question: str
    ) -> list[int]:
        """Ids of sources and conversation, up to the mark that the assistant speaks."""
        ids = self._said("customer", question) if sources else []
        for number, (title, text) in enumerate(sources, start=1):
            ids += self.source(f"[{number}] {title}", text)
        for role, said in (*history, ("customer", question)):
            ids += self._said(role, said)
        return [*ids, self._id[tokens.ASSISTANT]]

    def source(self, title: str, text: str) -> list[int]:
        """Ids of a source."""
        return [self._id[tokens.SOURCE], *self.text(f" {title}: {text}")]

    def _said(self, role: str, text: str) -> list[int]:
        mark = tokens.CUSTOMER if role == "customer" else tokens.ASSISTANT
        return [self._id[mark], *self.text(f" {text}")]

    def reply(self, text: str) -> list[int]:
        """Ids of a reply and the end mark."""
        return [*self.text(f" {tokens.spaced(text)}"), self._id[tokens.END]]

    def sample(self, task: Task) -> Sample | None:
        """The sample of a task; None if it is longer than training takes."""
        prompt = self.prompt(task.sources, task.history, task.question)
        reply = self.reply(task.reply)
        if len(reply) > LONGEST_REPLY or len(prompt) + len(reply) > POSITIONS:
            return None
        return Sample(tuple(prompt), tuple(reply))
