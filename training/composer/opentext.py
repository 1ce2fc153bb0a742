"""Pre-training tasks from open text: finding and citing a sentence, the agent's next turn, and plain text.

They teach what the corpus is too small for: English, to copy word for word from the right source, and to cite it.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

import zstandard

from training.composer.encoding import LONGEST_REPLY, Encoder, Task
from training.composer.network import POSITIONS, Sample
from training.retrieval.opentext import DIALOGUES, DOCUMENTS, QUESTIONS

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"“(])")
_LIGHT = frozenset(
    "a an the to of in on at for is are was were be been and or but with by from as that this these those it its you "
    "your we our they their he she i my me do does did can could will would should may might must have has had if "
    "not no so than then there when where which who what how".split()
)
_ASKING = (
    "",
    "",
    "",
    "how about ",
    "tell me about ",
    "what about ",
    "a question on ",
    "please explain ",
    "how do i ",
)


@dataclass(frozen=True, slots=True)
class Section:
    """A piece of a document: its heading, or title, and its sentences."""

    title: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OpenText:
    """What the tasks are made of."""

    sections: tuple[Section, ...]
    dialogues: tuple[tuple[tuple[str, str], ...], ...]
    answered: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, folder: Path) -> OpenText:
        """Read the sources without a share-alike, copyleft or missing-licence flag."""
        sections = [
            section
            for name in DOCUMENTS
            for record in _records(folder, name)
            if (section := _section(record["title"], record["text"]))
        ]
        dialogues = [
            turns
            for name in DIALOGUES
            for record in _records(folder, name)
            if len(turns := _turns(record["text"])) > 1
        ]
        answered = [
            (record["title"], record["text"]) for name in QUESTIONS for record in _records(folder, name)
        ]
        return cls(tuple(sections), tuple(dialogues), tuple(answered))

    def texts(self) -> list[str]:
        """Everything, for the tokenizer: sections and turns, each with a space in front."""
        return [
            *(f" {section.title}: {' '.join(section.sentences)}" for section in self.sections),
            *(f" {said}" for dialogue in self.dialogues for _, said in dialogue),
        ]

    def sample(self, rng: random.Random, encoder: Encoder) -> Sample:
        """Draw one task."""
        while True:
            draw = rng.random()
            if draw < 0.5:
                sample = encoder.sample(self._look_up(rng))
            elif draw < 0.75:
                sample = self._next_turn(rng, encoder)
            else:
                sample = self._go_on(rng, encoder)
            if sample:
                return sample

    def writing(self, rng: random.Random, encoder: Encoder) -> Sample:
        """Draw English to be written behind hardly any prompt: an agent's turn, or a section behind its title."""
        while True:
            if rng.random() < 0.5:
                dialogue = rng.choice(self.dialogues)
                at = rng.randrange(1, len(dialogue))
                prompt, said = encoder.prompt((), (), dialogue[at - 1][1]), dialogue[at][1]
                if dialogue[at][0] != "assistant":
                    continue
            else:
                section = rng.choice(self.sections)
                prompt, said = (
                    [encoder.source, *encoder.text(f" {section.title}:")],
                    " ".join(section.sentences),
                )
            reply = encoder.reply(said)[: 2 * LONGEST_REPLY]
            if len(prompt) + len(reply) <= POSITIONS // 2:
                return Sample(tuple(prompt), tuple(reply))

    def _look_up(self, rng: random.Random) -> Task:
        """Some words of one or two sentences are asked for among several sources; the reply is the sentences."""
        at = rng.randrange(len(self.sections))
        near = [i for i in range(max(0, at - 8), min(len(self.sections), at + 9)) if i != at]
        chosen = [at] + [
            rng.choice(near) if rng.random() < 0.6 else rng.randrange(len(self.sections))
            for _ in range(rng.choice((0, 1, 1, 2)))
        ]
        chosen = list(dict.fromkeys(chosen))
        rng.shuffle(chosen)
        number = chosen.index(at) + 1
        section = self.sections[at]
        first = rng.randrange(len(section.sentences))
        wanted = section.sentences[first : first + rng.choice((1, 1, 1, 2))]
        words = [
            word
            for sentence in wanted
            for word in re.findall(r"[\w'’-]+", sentence)
            if word.lower() not in _LIGHT
        ]
        kept = [word for word in words if rng.random() < rng.choice((0.35, 0.6))][:9]
        if rng.random() < 0.3:
            rng.shuffle(kept)
        if rng.random() < 0.4 or not kept:
            kept = [*section.title.split(), *kept[:3]]
        question = rng.choice(_ASKING) + " ".join(kept).lower()
        reply = " ".join(
            f"{sentence.rstrip('.!?')} [{number}]{sentence[len(sentence.rstrip('.!?')) :] or '.'}"
            for sentence in wanted
        )
        sources = []
        for i in chosen:
            part = self.sections[i]
            title = part.title if rng.random() < 0.8 else rng.choice(self.sections).title
            sources.append((title, " ".join(part.sentences)))
        return Task(tuple(sources), (), question, reply)

    def _next_turn(self, rng: random.Random, encoder: Encoder) -> Sample | None:
        """The agent's turn after some turns of a dialogue, words of which are masked."""
        dialogue = rng.choice(self.dialogues)
        places = [
            i
            for i, (role, said) in enumerate(dialogue)
            if role == "assistant" and len(said.split()) > 5 and i
        ]
        if not places:
            return None
        at = rng.choice(places)
        history = dialogue[max(0, at - rng.randrange(2, 8)) : at]
        sources = ()
        if rng.random() < 0.2 and self.answered:
            title, text = rng.choice(self.answered)
            sources = ((title, text),)
        prompt = encoder.prompt(sources, history[:-1], history[-1][1])
        return _masked(prompt, encoder.reply(dialogue[at][1]), rng, encoder)

    def _go_on(self, rng: random.Random, encoder: Encoder) -> Sample | None:
        """The second part of a section, after the first, words of which are masked."""
        section = rng.choice(self.sections)
        cut = rng.randrange(1, max(2, len(section.sentences)))
        first, second = section.sentences[:cut], section.sentences[cut:]
        if not second:
            return None
        prompt = [encoder.source, *encoder.text(f" {section.title}: {' '.join(first)}")]
        return _masked(prompt, encoder.reply(" ".join(second))[-LONGEST_REPLY * 2 :], rng, encoder)


def _masked(prompt: list[int], reply: list[int], rng: random.Random, encoder: Encoder) -> Sample | None:
    if len(prompt) + len(reply) > POSITIONS // 2:
        return None
    labels = []
    for place, token in enumerate(prompt):
        if token > encoder.mask and rng.random() < 0.15:
            labels.append((place, token))
            if rng.random() < 0.85:
                prompt[place] = encoder.mask
    return Sample(tuple(prompt), tuple(reply), tuple(labels))


def _records(folder: Path, name: str) -> list[dict[str, str]]:
    with zstandard.open(folder / f"{name}.jsonl.zst", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _section(title: str, text: str) -> Section | None:
    first, _, rest = text.partition("\n")
    heading = first if rest and len(first.split()) <= 12 and not first.endswith((".", ":")) else ""
    body = " ".join((rest if heading else text).replace("\n- ", " ").split())
    sentences = [s for s in _SENTENCE.split(body) if 4 <= len(s.split()) <= 40]
    kept: list[str] = []
    while sentences and sum(len(s.split()) for s in kept) + len(sentences[0].split()) <= 80:
        kept.append(sentences.pop(0))
    heading = heading.removeprefix("- ") or title
    return Section(heading, tuple(kept)) if kept else None


def _turns(text: str) -> tuple[tuple[str, str], ...]:
    turns = []
    for line in text.split("\n"):
        speaker, _, said = line.partition(": ")
        if speaker in ("Customer", "Agent") and said:
            turns.append(("customer" if speaker == "Customer" else "assistant", said))
    return tuple(turns)
