"""The live conversations as the operator's page shows them: sent whole once, then what changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from assistant.learning.drafts import without_personal_data
from assistant.records import SessionId
from assistant.server.console.wire import Conversations, LastLine, LiveEntry
from assistant.server.sessions import Session, Sessions
from assistant.server.waiting import HandoverQueue
from assistant.server.wire import encode
from assistant.storage.handovers import HandoverState, Said, SaidKind, StoredHandover
from assistant.storage.operator_log import conversation_key
from assistant.text import shorten

_TELL_S = 0.25  # changes are gathered for so long
_SHOWN = 300  # conversations in the list; those that need a person come first
_LAST_CHARS = 140


class Onlooker(Protocol):
    """A page that shows the live conversations."""

    def offer(self, frame: str) -> None:
        """Queue a frame; never blocks."""

    def conversation_changed(self, session: SessionId) -> None:
        """Something happened in a conversation; must not block."""


class Overview:
    """Tells all pages of a server what changes. Also a watcher of the hand-over queue."""

    def __init__(self, sessions: Sessions, queue: HandoverQueue) -> None:
        self._sessions = sessions
        self._queue = queue
        self._onlookers: set[Onlooker] = set()
        self._changed: set[SessionId] = set()
        self._keys: dict[str, SessionId] = {}  # of all that were listed
        self._timer: asyncio.TimerHandle | None = None
        queue.watch(self)

    def arrive(self, onlooker: Onlooker) -> None:
        """Show somebody everything, and from now on what changes."""
        self._onlookers.add(onlooker)
        entries = tuple(map(self._entry, self._listed()))
        onlooker.offer(encode(Conversations(complete=True, entries=entries)))

    def leave(self, onlooker: Onlooker) -> None:
        """Show somebody nothing more. May be called twice."""
        self._onlookers.discard(onlooker)

    def find(self, key: str) -> SessionId | None:
        """The session behind a key, if it is in memory or waits for a person."""
        session = self._keys.get(key)
        if session is None:  # it may be listed in a moment
            session = next((one.id for one in self._sessions if conversation_key(one.id) == key), None)
        live = session is not None and (self._sessions.at_hand(session) or self._queue.of_session(session))
        return session if live else None

    def changed(self, session: SessionId) -> None:
        """Note a change; told to the pages soon."""
        if not self._onlookers:
            return
        self._changed.add(session)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TELL_S, self._tell)

    def refresh(self) -> None:
        """Notice sessions that have left the memory. Call it now and then."""
        if self._onlookers:
            gone = {session for session in self._keys.values() if self._sessions.at_hand(session) is None}
            self._changed |= gone
            if gone and self._timer is None:
                self._tell()

    def close(self) -> None:
        """Tell nobody any more. May be called twice."""
        if self._timer is not None:
            self._timer.cancel()
        self._onlookers.clear()

    def _tell(self) -> None:
        self._timer = None
        changed, self._changed = self._changed, set()
        entries, gone = [], []
        for session_id in changed:
            session = self._sessions.at_hand(session_id)
            if session is not None and self._is_live(session):
                entries.append(self._entry(session))
            elif self._keys.pop(conversation_key(session_id), None) is not None:
                gone.append(conversation_key(session_id))
        if entries or gone:
            frame = encode(Conversations(complete=False, entries=tuple(entries), gone=tuple(gone)))
            for onlooker in tuple(self._onlookers):
                onlooker.offer(frame)
        for onlooker in tuple(self._onlookers):
            for session_id in changed:
                onlooker.conversation_changed(session_id)

    # --- what the queue tells (Watcher) ---

    def handover_changed(self, handover: StoredHandover) -> None:
        """A hand-over began, changed its state or ended."""
        self.changed(handover.session)

    def customer_said(self, handover: StoredHandover, said: Said) -> None:
        """The customer wrote to a person."""
        self.changed(handover.session)

    def customer_moved(self, handover: StoredHandover, connected: bool) -> None:
        """The customer came or went."""
        self.changed(handover.session)

    # --- entries ---

    def _is_live(self, session: Session) -> bool:
        """Whether something was said, and the conversation is not over."""
        return session.talk.handover is not None or (bool(session.turns) and not session.over)

    def _listed(self) -> list[Session]:
        live = [session for session in self._sessions if self._is_live(session)]
        live.sort(key=lambda one: (one.talk.handover is not None, one.connected, one.seen_at), reverse=True)
        return live[:_SHOWN]

    def _entry(self, session: Session) -> LiveEntry:
        handover = session.talk.handover
        turns = session.turns
        key = conversation_key(session.id)
        self._keys[key] = session.id
        entry = LiveEntry(
            key=key,
            state="assistant",
            connected=session.connected,
            busy=session.turns_pending > 0,
            seen_at=session.seen_at,
            customer=session.customer,
            language=session.language,
            platform=session.platform,
            turns=len(turns),
            last=last_line(session),
        )
        if handover is None:
            return entry
        return entry.model_copy(
            update={
                "state": "active" if handover.state is HandoverState.ACTIVE else "waiting",
                "conversation": handover.id,
                "agent": handover.agent,
                "cause": handover.cause.value,
                "since": handover.requested_at,
                "question": handover.summary.question,
            }
        )


def last_line(session: Session) -> LastLine | None:
    """What was said last; of a turn under way, the question."""
    said = _last_said(session.talk.events())
    turn = session.turns[-1] if session.turns else None
    if said is not None and (turn is None or said.at >= turn.accepted_at):
        return _line("agent" if said.kind is SaidKind.AGENT else "customer", said.text, said.at, said.agent)
    if turn is None:
        return None
    if turn.status and turn.reply:
        return _line("assistant", turn.reply, turn.accepted_at)
    return _line("customer", turn.text, turn.accepted_at)


def _last_said(events: Iterable[Said]) -> Said | None:
    return next((one for one in reversed(tuple(events)) if one.kind is not SaidKind.STATE), None)


def _line(who: str, text: str, at: float, agent: str = "") -> LastLine:
    shown = shorten(without_personal_data(" ".join(text.split())), _LAST_CHARS)
    return LastLine.model_validate({"who": who, "text": shown, "at": at, "agent": agent})
