"""What a model's replies are worth, on businesses it was not trained on."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from assistant.dialogue.outcome import declines
from assistant.evaluation.figures import rouge_l, token_f1, ungrounded_values
from training.composer.augment import Base, numbered, used, without_ids
from training.composer.corpus import ANSWERED, Example, Passage
from training.composer.decode import greedy
from training.composer.encoding import Encoder, Task
from training.composer.nearest import Excerpts
from training.composer.tokenizer import END

SOURCES = 3
_NUMBERS = re.compile(r"\[(\d)\]")


@dataclass(frozen=True, slots=True)
class Composed:
    """A question as it was put to the model, and what came out."""

    id: str
    kind: str
    task: Task
    reply: str


def tasks(bases: Sequence[Base], seed: int) -> Iterator[tuple[Example, Sequence[Passage], Task]]:
    """(example, sources, task) of every question to be answered or declined: the right passages among distractors.

    There are `SOURCES` sources, or as many as the reply needs, the nearest passages beside the right ones, in
    random order; an unanswerable question gets the nearest.
    """
    shorten = Excerpts()
    for base in bases:
        known = {passage.id: passage for passage in base.business.passages}
        for example in base.business.examples:
            if example.kind not in (*ANSWERED, "unanswerable"):
                continue
            wanted = [known[i] for i in used(example)] if example.kind in ANSWERED else []
            for i in base.near[example.id]:
                if len(wanted) >= SOURCES:
                    break
                if base.business.passages[i] not in wanted:
                    wanted.append(base.business.passages[i])
            random.Random(f"{seed}-{example.id}").shuffle(wanted)
            history = [(role, without_ids(text)) for role, text in example.history]
            shown = shorten(base, example, wanted)
            yield example, wanted, numbered(shown, history, example.question, example.reply)


def compose(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, bases: Sequence[Base], seed: int
) -> list[Composed]:
    """Let the model answer every question."""
    encoder = Encoder(tokenizer)
    items = list(tasks(bases, seed))
    prompts = [encoder.prompt(task.sources, task.history, task.question) for _, _, task in items]
    replies = greedy(model, prompts, tokenizer.convert_tokens_to_ids(END))
    return [
        Composed(example.id, example.kind, task, str(tokenizer.decode(reply)).strip())
        for (example, _, task), reply in zip(items, replies, strict=True)
    ]


def figures(items: Sequence[Composed]) -> dict[str, float]:
    """Figures over all items, fractions 0..1."""
    answered = [item for item in items if item.kind in ANSWERED]
    declined = [item for item in items if item.kind == "unanswerable"]
    right = ours = theirs = ungrounded = 0
    for item in answered:
        cited, wanted = set(_NUMBERS.findall(item.reply)), set(_NUMBERS.findall(item.task.reply))
        right, ours, theirs = right + len(cited & wanted), ours + len(cited), theirs + len(wanted)
        grounds = [text for source in item.task.sources for text in source]
        grounds += [item.task.question, *(text for _, text in item.task.history)]
        ungrounded += bool(ungrounded_values(item.reply, grounds))
    result = {
        "n": len(answered),
        "token_f1": _mean([token_f1(item.reply, item.task.reply) for item in answered]),
        "rouge_l": _mean([rouge_l(item.reply, item.task.reply) for item in answered]),
        "citation_precision": right / max(1, ours),
        "citation_recall": right / max(1, theirs),
        "ungrounded": ungrounded / len(answered),
        "words": _mean([len(item.reply.split()) for item in answered]),
        "declined": _mean([declines(item.reply) for item in declined]),
        "wrongly_declined": _mean([declines(item.reply) for item in answered]),
    }
    for kind in ANSWERED:
        own = [token_f1(item.reply, item.task.reply) for item in answered if item.kind == kind]
        result[f"token_f1_{kind}"] = _mean(own)
    return {name: round(value, 4) for name, value in result.items()}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))
