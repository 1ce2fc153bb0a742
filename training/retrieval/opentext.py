"""Sentences in general from open text, to keep the encoder's geometry by: customer turns and headings."""

from __future__ import annotations

import json
import random
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


def _turns(text: str) -> list[tuple[str, str]]:
    turns = []
    for line in text.split("\n"):
        speaker, _, said = line.partition(": ")
        if speaker in ("Customer", "Agent") and said:
            turns.append(("customer" if speaker == "Customer" else "assistant", said))
    return turns


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
        heading
        for name in DOCUMENTS
        for _, heading, _ in _sections(_records(folder, name))
        if len(heading.split()) > 2
    ]
    return rng.sample(said, min(len(said), count * 3 // 4)) + rng.sample(
        headings, min(len(headings), count // 4)
    )
