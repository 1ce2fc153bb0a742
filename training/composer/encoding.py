"""From sources, conversation and reply to token ids, exactly as the chat template renders them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import cast

from transformers import PreTrainedTokenizerFast

from training.composer import tokenizer as tokens
from training.composer.network import POSITIONS, Sample

LONGEST_REPLY = 96
_CITED = re.compile(r"\[(\d)\]")


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be composed: sources as (title, text), history as (role, text), question, reply with [1] [2]."""

    sources: tuple[tuple[str, str], ...]
    history: tuple[tuple[str, str], ...]
    question: str
    reply: str


def _kept(sources: Sequence[Sequence[int]], cited: Collection[int], reply: Sequence[int]) -> tuple[int, ...]:
    """Positions of the tokens of cited sources that the reply takes over in pairs, and of the sources' marks."""
    pairs = set(itertools.pairwise(reply))
    kept = set()
    start = 0
    for number, source in enumerate(sources):
        if number in cited:
            kept.add(start)
            for place, pair in enumerate(itertools.pairwise(source)):
                if pair in pairs:
                    kept |= {start + place, start + place + 1}
        start += len(source)
    return tuple(sorted(kept))


class Encoder:
    """Turns tasks into samples; safe to share between threads."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._encode = tokenizer.backend_tokenizer.encode
        self._id = {name: cast(int, tokenizer.convert_tokens_to_ids(name)) for name in tokens.SPECIAL}

    def text(self, text: str) -> list[int]:
        """Ids of a text."""
        return cast(list[int], self._encode(text, add_special_tokens=False).ids)

    def prompt(
        self, sources: Sequence[tuple[str, str]], history: Sequence[tuple[str, str]], question: str
    ) -> list[int]:
        """Ids of sources and conversation, up to the mark that the assistant speaks."""
        return [*itertools.chain(*self._sources(sources)), *self._said(history, question)]

    def _sources(self, sources: Sequence[tuple[str, str]]) -> list[list[int]]:
        return [
            [self._id[tokens.SOURCE], *self.text(f" [{number}] {title}: {text}")]
            for number, (title, text) in enumerate(sources, start=1)
        ]

    def _said(self, history: Sequence[tuple[str, str]], question: str) -> list[int]:
        ids = []
        for role, said in (*history, ("customer", question)):
            mark = tokens.CUSTOMER if role == "customer" else tokens.ASSISTANT
            ids += [self._id[mark], *self.text(f" {said}")]
        return [*ids, self._id[tokens.ASSISTANT]]

    def reply(self, text: str) -> list[int]:
        """Ids of a reply and the end mark."""
        return [*self.text(f" {tokens.spaced(text)}"), self._id[tokens.END]]

    def sample(self, task: Task) -> Sample | None:
        """The sample of a task; None if it is longer than the network takes."""
        sources = self._sources(task.sources)
        prompt = [*itertools.chain(*sources), *self._said(task.history, task.question)]
        reply = self.reply(task.reply)
        if len(reply) > LONGEST_REPLY or len(prompt) + len(reply) > POSITIONS:
            return None
        cited = {int(number) - 1 for number in _CITED.findall(task.reply)}
        return Sample(
            tuple(prompt), tuple(reply), sources=sum(map(len, sources)), kept=_kept(sources, cited, reply)
        )

    @property
    def mask(self) -> int:
        """Id of the token that stands for one to be filled in."""
        return self._id[tokens.MASK]

    @property
    def source(self) -> int:
        """Id of the token before a source."""
        return self._id[tokens.SOURCE]
