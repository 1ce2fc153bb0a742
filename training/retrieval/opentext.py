"""Pre-training groups from open text: a query, the passage it belongs to, and neighbours that look alike.

Four kinds: a heading and its section; a sentence and the passage it was taken from; a question and its answer
among answers of the same place; a customer's turn and the agent's next turn. Neighbours in the file are
sections of the same document, so they are confusable without any search.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import zstandard

# Only sources without a share-alike, copyleft or missing-licence flag in the material's README.
DOCUMENTS = (
    "18f_blog", "digitalgov", "get_into_teaching", "gnome_help", "gsa_tts_handbook", "login_gov",
    "ms_business_central", "ms_m365_community", "ms_nav", "ms_sharepoint", "nhs_service_manual", "nj_business",
    "openstax_college_success", "opensource_guide", "owning_a_home", "smart_answers", "sourcegraph_handbook",
    "usajobs_help", "vagov",
)  # fmt: skip
QUESTIONS = ("faq_dstc9_knowledge",)
DIALOGUES = ("dialogue_star", "dialogue_taskmaster4", "dialogue_multiwoz", "dialogue_camrest")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True, slots=True)
class Group:
    """One query with its candidates; the first candidate answers unless `hidden`."""

    query: str
    history: tuple[tuple[str, str], ...]
    candidates: tuple[tuple[str, str], ...]
    hidden: bool


def _records(folder: Path, name: str) -> list[dict[str, str]]:
    with zstandard.open(folder / f"{name}.jsonl.zst", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _sections(records: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    """(document title, heading or "", body) of each record; bodies cut to about 110 words."""
    found = []
    for record in records:
        first, _, rest = record["text"].partition("\n")
        heading = first if rest and len(first.split()) <= 12 and not first.endswith((".", ":")) else ""
        body = rest if heading else record["text"]
        if first.startswith("- "):
            heading, body = "", record["text"]
        words = body.split(" ")
        if len(words) >= 15:
            found.append((record["title"], heading, " ".join(words[:110])))
    return found


def _document_groups(sections: list[tuple[str, str, str]], size: int, rng: random.Random) -> Iterator[Group]:
    order = list(range(len(sections)))
    rng.shuffle(order)
    for at in order:
        title, heading, body = sections[at]
        near = [i for i in range(max(0, at - 8), min(len(sections), at + 9)) if i != at]
        near = [i for i in near if sections[i][1] != heading or not heading]
        rng.shuffle(near)
        far = [rng.randrange(len(sections)) for _ in range(size)]
        others = (near[: size - 2] + far)[: size - 1]
        titled = rng.random() < 0.5
        if heading and rng.random() < 0.6:
            query = heading if rng.random() < 0.5 else f"{title} {heading}"
            shown = title if titled else ""
            rows = [(shown, body)] + [(sections[i][0] if titled else "", sections[i][2]) for i in others]
        else:
            sentences = [s for s in _SENTENCE.split(body) if s.strip()]
            long = [s for s in sentences if 5 <= len(s.split()) <= 30]
            if len(sentences) < 3 or not long:
                continue
            query = rng.choice(long)
            left = " ".join(s for s in sentences if s != query)
            rows = [(heading or title, left)] + [(sections[i][1] or sections[i][0], sections[i][2]) for i in others]
        yield Group(query, (), tuple(rows), False)


def _turns(text: str) -> list[tuple[str, str]]:
    turns = []
    for line in text.split("\n"):
        speaker, _, said = line.partition(": ")
        if speaker in ("Customer", "Agent") and said:
            turns.append(("customer" if speaker == "Customer" else "assistant", said))
    return turns


def _question_groups(records: list[dict[str, str]], size: int, rng: random.Random) -> Iterator[Group]:
    by_place: dict[str, list[tuple[str, str]]] = {}
    for record in records:
        turns = _turns(record["text"])
        for (role, asked), (other, said) in pairwise(turns):
            if role == "customer" and other == "assistant":
                by_place.setdefault(record["title"], []).append((asked, said))
    everything = [pair for pairs in by_place.values() for pair in pairs]
    places = sorted(by_place)
    for place in rng.choices(places, k=len(everything)):
        pairs = by_place[place]
        asked, said = rng.choice(pairs)
        others = [p for p in pairs if p[0] != asked and p[1] != said]
        rng.shuffle(others)
        others = (others[: size - 2] + [rng.choice(everything) for _ in range(size)])[: size - 1]
        titled = rng.random() < 0.3
        rows = [("", said)] + [(q if titled else "", a) for q, a in others]
        yield Group(asked, (), tuple(rows), False)


def _dialogue_groups(records: list[dict[str, str]], size: int, rng: random.Random) -> Iterator[Group]:
    dialogues = [turns for turns in (_turns(record["text"]) for record in records) if len(turns) >= 4]
    replies = [said for turns in dialogues for role, said in turns if role == "assistant" and len(said.split()) > 6]
    for turns in rng.sample(dialogues, len(dialogues)):
        spots = [
            i for i in range(1, len(turns))
            if turns[i][0] == "assistant" and turns[i - 1][0] == "customer" and len(turns[i][1].split()) > 6
        ]  # fmt: skip
        if not spots:
            continue
        at = rng.choice(spots)
        own = [said for i, (role, said) in enumerate(turns) if role == "assistant" and i != at and said != turns[at][1]]
        rng.shuffle(own)
        others = (own[: size // 2] + [rng.choice(replies) for _ in range(size)])[: size - 1]
        rows = [("", turns[at][1])] + [("", said) for said in others]
        yield Group(turns[at - 1][1], tuple(turns[max(0, at - 3) : at - 1]), tuple(rows), False)


def groups(folder: Path, size: int, seed: int, hide: float = 0.15) -> Iterator[Group]:
    """Endless stream of groups of `size` candidates, kinds mixed; in `hide` of them the answer is taken out."""
    rng = random.Random(seed)
    documents = [_sections(_records(folder, name)) for name in DOCUMENTS]
    questions = [_records(folder, name) for name in QUESTIONS]
    dialogues = [_records(folder, name) for name in DIALOGUES]
    while True:
        makers = [(_document_groups(s, size + 1, rng), len(s) ** 0.7) for s in documents]
        document_weight = sum(weight for _, weight in makers)
        makers += [(_question_groups(r, size + 1, rng), document_weight * 0.25) for r in questions]
        makers += [(_dialogue_groups(r, size + 1, rng), document_weight * 0.3 / len(dialogues)) for r in dialogues]
        while len(makers) > len(DOCUMENTS) // 2:
            at = rng.choices(range(len(makers)), [weight for _, weight in makers])[0]
            group = next(makers[at][0], None)
            if group is None:
                del makers[at]
                continue
            hidden = rng.random() < hide
            rows = group.candidates[1:] if hidden else group.candidates[:size]
            yield Group(group.query, group.history, rows, hidden)


def utterances(folder: Path, count: int, seed: int) -> list[str]:
    """What customers say, and headings: sentences in general, to keep the encoder's geometry by."""
    rng = random.Random(seed)
    said = [
        text
        for name in (*DIALOGUES, *QUESTIONS)
        for record in _records(folder, name)
        for role, text in _turns(record["text"])
        if role == "customer" and 3 <= len(text.split()) <= 30
    ]
    headings = [
        heading for name in DOCUMENTS for _, heading, _ in _sections(_records(folder, name)) if len(heading.split()) > 2
    ]
    return rng.sample(said, min(len(said), count * 3 // 4)) + rng.sample(headings, min(len(headings), count // 4))
