"""What the operator's page reads of the past: transcripts, figures, opinions, questions; in threads of its own."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, TypeVar

from assistant.config import Settings
from assistant.errors import ConfigError
from assistant.insights import Grouper, draft_names, group_facts, measure, read_draft, read_learned
from assistant.learning.drafts import has_question, parse_draft
from assistant.learning.grouping import Group
from assistant.records import SessionId
from assistant.server.console.wire import (
    DraftInfo,
    FeedbackEvent,
    FiguresEvent,
    GroupInfo,
    Opinion,
    QuestionsEvent,
    SaidLine,
    Transcript,
    TurnLine,
)
from assistant.server.wire import ErrorCode, WireError
from assistant.storage.archive import Archive, ToldConversation, ToldTurn
from assistant.storage.handovers import Said, SaidKind
from assistant.storage.operator_log import conversation_key

T = TypeVar("T")
_DAY_S = 86_400.0
_TURNS = 200  # of one transcript, the latest
_OPINIONS = 200
_GROUPS = 100
_QUESTIONS = 2000  # grouped at once, the latest: time and memory grow with the square
_KEYS = 5  # conversations named with a group


class History:
    """Reads the conversation database of a running server. `close()` may be called twice."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._data = settings.data
        self._knowledge = settings.knowledge
        self._grouper = Grouper(settings)
        self._clock = clock
        self._archive: Archive | None = None
        self._closed = False
        self._opening = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="console-reader")
        self._long = ThreadPoolExecutor(1, thread_name_prefix="console-counter")  # what may take seconds

    async def find(self, key: str) -> SessionId | None:
        """The session behind a conversation's key, among all that are kept."""
        return await self._run(lambda archive: archive.find(key))

    async def transcript(self, session: SessionId, request: str = "") -> Transcript:
        """A conversation in full.

        Raises: WireError: unknown_conversation. BackendError: the database fails.
        """
        told = await self._run(lambda archive: archive.tell(session, _TURNS))
        if told is None:
            raise WireError(ErrorCode.UNKNOWN_CONVERSATION, "this conversation is no longer kept", id=request)
        return _transcript(told, request)

    async def figures(self, days: int, request: str) -> FiguresEvent:
        """Figures of the last days.

        Raises: BackendError: the database fails.
        """

        def read(archive: Archive) -> FiguresEvent:
            since = self._since(days)
            total, daily = measure(archive.turns(since), archive.handovers(since))
            return FiguresEvent(
                id=request,
                days=days,
                total=asdict(total),
                by_day=tuple({"day": day.isoformat(), **asdict(one)} for day, one in daily.items()),
            )

        return await self._run(read, self._long)

    async def opinions(self, days: int, request: str) -> FeedbackEvent:
        """Opinions of the last days.

        Raises: BackendError: the database fails.
        """

        def read(archive: Archive) -> FeedbackEvent:
            found = archive.opinions(self._since(days), _OPINIONS + 1)
            shown = [
                Opinion(
                    key=one.conversation,
                    at=one.at,
                    value=one.value,
                    comment=one.comment,
                    question=one.question,
                    reply=one.reply,
                    decision=one.decision,
                )
                for one in found[:_OPINIONS]
            ]
            return FeedbackEvent(id=request, opinions=tuple(shown), more=len(found) > _OPINIONS)

        return await self._run(read)

    async def questions(self, days: int, request: str) -> QuestionsEvent:
        """What was not answered in the last days, and the drafts.

        Raises: BackendError: the database or the encoder fails.
        """

        def read(archive: Archive) -> QuestionsEvent:
            learned = read_learned(self._knowledge)
            groups = self._grouper.group(archive.turns(self._since(days)), _QUESTIONS)
            return QuestionsEvent(
                id=request,
                groups=tuple(_group(group, learned) for group in groups[:_GROUPS]),
                drafts=tuple(self._draft(name) for name in draft_names(self._knowledge)),
            )

        return await self._run(read, self._long)

    def _draft(self, name: str) -> DraftInfo:
        try:
            text = read_draft(self._knowledge, name)
            draft = parse_draft(text)
        except ConfigError as error:
            return DraftInfo(name=name, question=name, answer="", problem=str(error))
        except ValueError as error:  # it has no answer, or no heading
            return DraftInfo(name=name, question=_heading(text) or name, answer="", problem=str(error))
        return DraftInfo(name=name, question=draft.question, others=draft.others, answer=draft.answer)

    def _since(self, days: int) -> float:
        return self._clock() - days * _DAY_S

    async def _run(self, read: Callable[[Archive], T], thread: ThreadPoolExecutor | None = None) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(thread or self._thread, self._read, read)

    def _read(self, read: Callable[[Archive], T]) -> T:
        with self._opening:
            if self._archive is None:
                self._archive = Archive(self._data)
        return read(self._archive)

    def close(self) -> None:
        """Let what is being read end, then close the database."""
        if self._closed:
            return
        self._closed = True
        self._long.shutdown(wait=False)
        self._thread.submit(self._close)
        self._thread.shutdown(wait=False)

    def _close(self) -> None:
        if self._archive is not None:
            self._archive.__exit__()
            self._archive = None


def _heading(text: str) -> str:
    return next((line[3:].strip() for line in text.splitlines() if line.startswith("## ")), "")


def _group(group: Group, learned: str) -> GroupInfo:
    keys = dict.fromkeys(member.conversation for member in reversed(group.members))
    return GroupInfo(
        **group_facts(group),
        published=has_question(learned, group.question),
        keys=tuple(key for key in keys if key)[:_KEYS],
    )


def _transcript(told: ToldConversation, request: str) -> Transcript:
    last = max([turn.order for turn in told.turns] + [said.seq for said in told.said], default=0) + 1
    turns = [(turn.order or last, _turn(turn)) for turn in told.turns]  # one that has not begun comes last
    lines: list[tuple[int, TurnLine | SaidLine]] = [*turns, *((one.seq, _said(one)) for one in told.said)]
    lines.sort(key=lambda line: line[0])
    return Transcript(
        id=request,
        key=conversation_key(told.session),
        began=told.began,
        seen_at=told.seen_at,
        customer=told.customer,
        language=told.language,
        platform=told.platform,
        lines=tuple(line for _, line in lines),
    )


def _turn(turn: ToldTurn) -> TurnLine:
    done: Any = turn.done
    return TurnLine(
        turn=turn.id,
        at=turn.at,
        text=turn.text,
        reply=turn.reply,
        status=turn.status,
        decision=turn.decision,
        ai_generated=bool(done.get("ai_generated")),
        sources=tuple(
            {name: str(source.get(name, "")) for name in ("id", "title", "text", "document")}
            for source in done.get("sources", ())
        ),
        cards=tuple(str(card.get("kind", "")) for card in done.get("cards", ())),
        timings={name: float(value) for name, value in done.get("timings", {}).items()},
        trace=dict(turn.trace),
        feedback=turn.feedback,
        comment=turn.comment,
    )


def _said(said: Said) -> SaidLine:
    if said.kind is SaidKind.STATE:
        return SaidLine(at=said.at, who="state", text=_state(said.frame), agent=said.agent)
    who = "agent" if said.kind is SaidKind.AGENT else "customer"
    return SaidLine.model_validate(
        {"at": said.at, "who": who, "text": said.text, "agent": said.agent, "id": said.message_id}
    )


def _state(frame: str) -> str:
    """The state a hand-over event names, and how it ended: "waiting", "active", "ended customer"."""
    event = json.loads(frame)
    return " ".join(str(event[name]) for name in ("state", "reason") if event.get(name))
