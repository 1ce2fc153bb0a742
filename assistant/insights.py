"""What went wrong in conversations, drafts made of it, and their way into the knowledge."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.config import Settings
from assistant.errors import ConfigError, KnowledgeError, KnowledgeProblem
from assistant.learning.drafts import Draft, format_draft, format_entry, has_question, parse_draft
from assistant.learning.figures import Figures, Outcome, Transfer, by_day, figures
from assistant.learning.grouping import Group, Question, Why, group_by_meaning, texts_to_embed
from assistant.protocols import Embedder, Vectors
from assistant.storage.archive import PastHandover, PastTurn
from assistant.storage.snapshots import SnapshotStore

if TYPE_CHECKING:
    from assistant.ingestion.pipeline import IngestReport, Progress

DRAFTS = Path("drafts")
LEARNED = Path("faq") / "learned.md"
_HEAD = "# Learned from customers\n"
_NAME_CHARS = 100


# --- what happened -----------------------------------------------------------------------------------------


def measure(
    turns: Iterable[PastTurn], handovers: Iterable[PastHandover]
) -> tuple[Figures, dict[date, Figures]]:
    """Figures of everything, and of each day."""
    outcomes = [
        Outcome(_day(turn.at), turn.status, turn.decision, turn.feedback, turn.total_ms) for turn in turns
    ]
    transfers = [
        Transfer(
            _day(one.requested_at),
            one.cause,
            None if one.taken_at is None else one.taken_at - one.requested_at,
            one.ended_by,
        )
        for one in handovers
    ]
    return figures(outcomes, transfers), by_day(outcomes, transfers)


def _day(at: float) -> date:
    return datetime.fromtimestamp(at).date()


def unanswered(turn: PastTurn) -> Question | None:
    """A turn that went wrong, as a question; None for the others."""
    if turn.status == "failed":
        why = Why.FAILED
    elif turn.status == "declined" or turn.missed:
        why = Why.DECLINED
    elif turn.feedback == "down":
        why = Why.THUMBS_DOWN
    else:
        return None
    return Question(turn.text, why, turn.at, turn.answers, turn.conversation)


class Grouper:
    """Groups questions with the encoder of the knowledge base, which is loaded when first needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._embedder: Embedder | None = None

    def group(self, turns: Iterable[PastTurn], most: int | None = None) -> tuple[Group, ...]:
        """What went wrong, grouped by meaning. Blocking: embeds every wording once.

        Args:
            turns: oldest first.
            most: take only so many questions, the latest.

        Raises: BackendError: the encoder cannot run.
        """
        questions = [question for turn in turns if (question := unanswered(turn)) is not None]
        questions = questions if most is None else questions[-most:]
        if not questions:
            return ()
        texts = texts_to_embed(questions)
        return group_by_meaning(questions, texts, self._embed(texts))

    def _embed(self, texts: Sequence[str]) -> Vectors:
        if self._embedder is None:
            from assistant.backends.choice import choose_encoder

            self._embedder = choose_encoder(self._settings, self._settings.data / "encoder-choice.json")
        return self._embedder.embed(texts)


# --- drafts ------------------------------------------------------------------------------------------------


def draft_names(knowledge: Path) -> list[str]:
    """Names of the drafts in a knowledge folder."""
    return sorted(path.stem for path in (knowledge / DRAFTS).glob("*.md"))


def draft_file(knowledge: Path, name: str) -> Path:
    """Where a draft is, or would be.

    Raises: ConfigError: it cannot be a draft's name.
    """
    plain = Path(name).name == name and name.isprintable() and "\\" not in name
    if not plain or name.startswith(".") or not 0 < len(name) <= _NAME_CHARS:
        raise ConfigError(f"{name!r} is no draft's name; `assistant insights` names the drafts")
    return knowledge / DRAFTS / f"{name}.md"


def read_draft(knowledge: Path, name: str) -> str:
    """A draft as it stands in its file.

    Raises: ConfigError: there is none of this name.
    """
    file = draft_file(knowledge, name)
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read; `assistant insights` names the drafts") from error


def save_draft(knowledge: Path, name: str, draft: Draft) -> Path:
    """Write a draft, in place of one of the same name.

    Raises: ConfigError: the name cannot be one, or the file cannot be written.
    """
    file = draft_file(knowledge, name)
    _write(file, format_draft(draft))
    return file


def discard_draft(knowledge: Path, name: str) -> None:
    """Delete a draft.

    Raises: ConfigError: there is none of this name, or it cannot be deleted.
    """
    file = draft_file(knowledge, name)
    try:
        file.unlink()
    except OSError as error:
        raise ConfigError(f"{file} cannot be deleted: {error.strerror}") from error


def read_learned(knowledge: Path) -> str:
    """What approved drafts have become, "" if there is none yet.

    Raises: ConfigError: the file cannot be read.
    """
    file = knowledge / LEARNED
    try:
        return file.read_text(encoding="utf-8") if file.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read") from error


@dataclass(frozen=True, slots=True)
class Approval:
    """A draft that became an entry of faq/learned.md; `undo` makes it a draft again."""

    learned: Path
    _before: Mapping[Path, str | None]

    def undo(self) -> None:
        """Put both files back as they were.

        Raises: ConfigError: one cannot be written.
        """
        for file, text in self._before.items():
            if text is None:
                file.unlink(missing_ok=True)
            else:
                _write(file, text)


def approve_draft(knowledge: Path, name: str) -> Approval:
    """Move a draft into faq/learned.md, from where the next ingest takes it in.

    Raises: ConfigError: there is none of this name, or a file cannot be written. KnowledgeError: it has no answer,
        or its question is there already.
    """
    file = draft_file(knowledge, name)
    text = read_draft(knowledge, name)
    learned = knowledge / LEARNED
    known = read_learned(knowledge)
    before = known if learned.exists() else None
    try:
        draft = parse_draft(text)
        if has_question(known, draft.question):
            raise ValueError(
                f"{LEARNED} has this question already; join the answers there and delete the draft"
            )
    except ValueError as error:
        raise KnowledgeError([KnowledgeProblem(str(DRAFTS / file.name), 0, str(error))]) from error
    _write(learned, f"{(known or _HEAD).rstrip()}\n\n{format_entry(draft)}")
    file.unlink()
    return Approval(learned, {file: text, learned: before})


def publish_draft(settings: Settings, name: str, progress: Progress | None = None) -> IngestReport:
    """Approve a draft and ingest the knowledge folder; if that fails the draft is one again. Blocking, seconds.

    Raises: as `approve_draft` and `run_ingest`; ConfigError: the base served was not made of this folder alone.
    """
    from assistant.app import run_ingest

    store = SnapshotStore(settings.data)
    current = store.current_id()
    sources = store.manifest(current)["sources"] if current is not None else []
    if [Path(source).resolve() for source in sources] != [settings.knowledge.resolve()]:
        raise ConfigError(
            f"what is served was ingested from {', '.join(sources) or 'nothing'}, not from the knowledge folder "
            f"{settings.knowledge}; set `knowledge` to it, or approve and ingest on the command line"
        )
    approval = approve_draft(settings.knowledge, name)
    try:
        return run_ingest(settings, [settings.knowledge], progress=progress)
    except BaseException:
        approval.undo()
        raise


def _write(file: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises: ConfigError: it cannot be written.
    """
    part = file.with_name(f".{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        os.replace(part, file)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}") from error


def group_facts(group: Group) -> dict[str, Any]:
    """A group as one JSON-able object; times in seconds since 1970."""
    return {
        "name": group.name,
        "question": group.question,
        "others": list(group.others),
        "count": len(group.members),
        **{why.value: group.count(why) for why in Why},
        "first": min(member.at for member in group.members),
        "latest": group.latest,
        "answer": group.answer,
    }
