"""The agents' desk: who is there, who has which conversation, and what happens when somebody drops out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

from assistant.records import SessionId, Shop
from assistant.server.agent_wire import (
    AttemptInfo,
    ConversationEnded,
    ConversationEvent,
    CustomerPresence,
    CustomerSays,
    QueueEntry,
    QueueEvent,
    SummaryInfo,
)
from assistant.server.person import handover_hours
from assistant.server.sessions import Session, Sessions
from assistant.server.waiting import HandoverQueue
from assistant.server.wire import ErrorCode, Wire, WireError, encode
from assistant.storage import operator_log
from assistant.storage.handovers import Ending, HandoverState, Said, StoredHandover, Summary
from assistant.storage.operator_log import conversation_key
from assistant.storage.sessions import SessionStore

_SHOWN = 200  # hand-overs in one list of the queue


class Seat(Protocol):
    """An agent's connection."""

    def offer(self, frame: str) -> None:
        """Queue a frame; never blocks."""

    def replace(self) -> None:
        """Close: the agent connected elsewhere."""


@dataclass(frozen=True, slots=True)
class DeskParts:
    """What the desk works with; `clock` gives seconds since 1970."""

    sessions: Sessions
    queue: HandoverQueue
    store: SessionStore
    shop: Callable[[], Shop]
    clock: Callable[[], float]
    grace_s: float


class Desk:
    """All agents of a server. One connection for each agent's name, one agent for each conversation."""

    def __init__(self, parts: DeskParts) -> None:
        self._parts = parts
        self._seats: dict[str, Seat] = {}
        self._holders: dict[str, str] = {}  # conversation → agent
        self._taking: set[str] = set()
        self._grace: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._telling = False
        self._closed = False
        parts.queue.watch(self)

    @property
    def agents(self) -> int:
        """Agents connected."""
        return len(self._seats)

    async def open(self) -> None:
        """Take up the hand-overs of the store; agents get their grace time to come back."""
        for handover in await self._parts.store.open_handovers():
            self._parts.queue.put(handover)
        for agent in set(self._holders.values()):
            self._wait_for(agent)

    async def close(self) -> None:
        """Stop waiting for agents; everything open stays in the store. May be called twice."""
        self._closed = True
        for timer in self._grace.values():
            timer.cancel()
        self._grace.clear()
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    # --- agents come and go ---

    async def arrive(self, agent: str, seat: Seat) -> None:
        """An agent connects: sends the queue and, in full, the conversations that are still theirs."""
        timer = self._grace.pop(agent, None)
        if timer is not None:
            timer.cancel()
        older = self._seats.get(agent)
        self._seats[agent] = seat
        if older is not None:
            older.replace()
        seat.offer(self._queue_frame())
        for conversation in [one for one, holder in self._holders.items() if holder == agent]:
            handover = self._parts.queue.find(conversation)
            session = await self._session(handover) if handover is not None else None
            if handover is not None and session is not None and self._holders.get(conversation) == agent:
                seat.offer(_conversation(handover, session))

    def leave(self, agent: str, seat: Seat) -> None:
        """An agent's connection is gone."""
        if self._seats.get(agent) is seat:
            del self._seats[agent]
            if agent in self._holders.values():
                self._wait_for(agent)

    def _wait_for(self, agent: str) -> None:
        if agent not in self._grace and agent not in self._seats and not self._closed:
            loop = asyncio.get_running_loop()
            self._grace[agent] = loop.call_later(self._parts.grace_s, self._give_up, agent)

    def _give_up(self, agent: str) -> None:
        """Put the conversations of an agent who did not come back to the front of the queue."""
        self._grace.pop(agent, None)
        for conversation in [one for one, holder in self._holders.items() if holder == agent]:
            self._spawn(self._back_to_queue(agent, conversation))

    async def _back_to_queue(self, agent: str, conversation: str) -> None:
        handover = self._parts.queue.find(conversation)
        session = await self._session(handover) if handover is not None else None
        if session is not None and agent not in self._seats:
            await session.talk.back_to_queue(conversation, agent)

    # --- what agents ask ---

    def show_queue(self, seat: Seat) -> None:
        """Send the queue."""
        seat.offer(self._queue_frame())

    async def take(self, agent: str, conversation: str, seat: Seat) -> None:
        """Give a conversation to an agent, and send it in full. Taking one's own again sends it again.

        Raises: WireError: unknown_conversation or taken.
        """
        handover = self._find(conversation)
        if self._holders.get(conversation, agent) != agent or conversation in self._taking:
            raise WireError(ErrorCode.TAKEN, "another agent has this conversation")
        self._taking.add(conversation)
        try:
            session = await self._session(handover)
            if session is None:
                raise WireError(ErrorCode.UNKNOWN_CONVERSATION, "this conversation is no longer kept")
            if conversation not in self._holders and not await session.talk.take(conversation, agent):
                raise WireError(ErrorCode.UNKNOWN_CONVERSATION, "the customer went back to the assistant")
        finally:
            self._taking.discard(conversation)
        self._log(agent, operator_log.TOOK, handover.session)
        seat.offer(_conversation(self._find(conversation), session))
        self._wait_for(agent)  # in case they left meanwhile

    async def join(self, agent: str, session_id: SessionId, seat: Seat) -> None:
        """Give a conversation to an agent though nobody asked, and send it in full.

        Raises: WireError: unknown_conversation, taken, or invalid while nothing has been said.
        """
        session = await self._parts.sessions.summon(session_id)
        if session is None:
            raise WireError(ErrorCode.UNKNOWN_CONVERSATION, "this conversation is no longer kept")
        handover = session.talk.handover
        if handover is not None:
            return await self.take(agent, handover.id, seat)
        if not session.turns:
            raise WireError(ErrorCode.INVALID, "the customer has not said anything yet")
        joined = await session.join(agent)
        handover = session.talk.handover
        if not joined or handover is None:
            raise WireError(ErrorCode.UNKNOWN_CONVERSATION, "the customer went back to the assistant")
        self._log(agent, operator_log.JOINED, session_id)
        seat.offer(_conversation(handover, session))
        self._wait_for(agent)  # in case they left meanwhile

    async def summon_open(self) -> None:
        """Bring the sessions of all open hand-overs into memory, as far as there is room."""
        queue = self._parts.queue
        for handover in [*queue.waiting(), *queue.active()][:_SHOWN]:
            try:
                await self._session(handover)
            except WireError:
                return

    def _log(self, agent: str, action: str, session_id: SessionId) -> None:
        self._parts.store.log_operator(agent, action, conversation_key(session_id), self._parts.clock())

    async def say(self, agent: str, conversation: str, message_id: str, text: str) -> None:
        """Pass an agent's words to the customer; returns when they are stored.

        Raises: WireError: unknown_conversation or not_yours.
        """
        session = await self._own(agent, conversation, message_id)
        if not await session.talk.say(conversation, message_id, text, agent):
            raise WireError(ErrorCode.NOT_YOURS, "this conversation is not yours any more", id=message_id)

    async def release(self, agent: str, conversation: str, to: Literal["assistant", "queue"]) -> None:
        """Give a conversation back.

        Raises: WireError: unknown_conversation or not_yours.
        """
        session = await self._own(agent, conversation)
        if to == "queue":
            await session.talk.back_to_queue(conversation, agent)
        else:
            await session.talk.end(Ending.RELEASED, agent)

    async def finish(self, agent: str, conversation: str) -> None:
        """End a conversation as solved.

        Raises: WireError: unknown_conversation or not_yours.
        """
        session = await self._own(agent, conversation)
        await session.talk.end(Ending.CLOSED, agent)

    def _find(self, conversation: str) -> StoredHandover:
        handover = self._parts.queue.find(conversation)
        if handover is None:
            raise WireError(ErrorCode.UNKNOWN_CONVERSATION, "no open hand-over has this name")
        return handover

    async def _own(self, agent: str, conversation: str, message_id: str | None = None) -> Session:
        handover = self._find(conversation)
        if self._holders.get(conversation) != agent:
            raise WireError(ErrorCode.NOT_YOURS, "take the conversation first", id=message_id)
        session = await self._session(handover)
        if session is None:
            raise WireError(ErrorCode.UNKNOWN_CONVERSATION, "this conversation is no longer kept")
        return session

    async def _session(self, handover: StoredHandover) -> Session | None:
        return await self._parts.sessions.summon(SessionId(handover.session))

    # --- what the queue tells (Watcher) ---

    def handover_changed(self, handover: StoredHandover) -> None:
        """Remember who has it, tell who lost it, and show everybody the queue."""
        if handover.state is HandoverState.ACTIVE:
            self._holders[handover.id] = handover.agent
        else:
            holder = self._holders.pop(handover.id, "")
            reason = "queue" if handover.state is HandoverState.WAITING else handover.ended_by
            ended = cast(Literal["released", "closed", "customer", "queue", "erased"], reason)
            self._tell(holder, ConversationEnded(conversation=handover.id, reason=ended))
        if not self._telling and self._seats:  # one list for many changes at once
            self._telling = True
            asyncio.get_running_loop().call_soon(self._tell_queue)

    def customer_said(self, handover: StoredHandover, said: Said) -> None:
        """Pass it to the agent who has the conversation; others read it when they take it."""
        self._tell(
            self._holders.get(handover.id, ""),
            CustomerSays(conversation=handover.id, text=said.text, at=said.at),
        )

    def customer_moved(self, handover: StoredHandover, connected: bool) -> None:
        """Tell the agent whether the customer is there."""
        self._tell(
            self._holders.get(handover.id, ""),
            CustomerPresence(conversation=handover.id, connected=connected),
        )

    def _tell(self, agent: str, event: Wire) -> None:
        seat = self._seats.get(agent)
        if seat is not None:
            seat.offer(encode(event))

    def _tell_queue(self) -> None:
        self._telling = False
        frame = self._queue_frame()
        for seat in list(self._seats.values()):
            seat.offer(frame)

    def _queue_frame(self) -> str:
        queue = self._parts.queue
        shown = [*queue.waiting(), *queue.active()][:_SHOWN]
        return encode(QueueEvent(conversations=tuple(self._entry(one) for one in shown)))

    def _entry(self, handover: StoredHandover) -> QueueEntry:
        session = self._parts.sessions.at_hand(handover.session)
        return QueueEntry(
            conversation=handover.id,
            state="active" if handover.state is HandoverState.ACTIVE else "waiting",
            waited_s=round(max(0.0, self._parts.clock() - handover.requested_at), 1),
            cause=handover.cause.value,
            agent=handover.agent,
            connected=session is not None and session.connected,
            summary=_summary(handover.summary),
        )

    @property
    def staffed(self) -> bool:
        """Whether people answer at this hour."""
        return handover_hours(self._parts.shop(), self._parts.clock())[0]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _conversation(handover: StoredHandover, session: Session) -> str:
    return encode(
        ConversationEvent(
            conversation=handover.id,
            customer=session.customer,
            language=session.language,
            platform=session.platform,
            connected=session.connected,
            summary=_summary(handover.summary),
            transcript=tuple(session.transcript()),
        )
    )


def _summary(summary: Summary) -> SummaryInfo:
    return SummaryInfo(
        reason=summary.reason,
        question=summary.question,
        tried=tuple(
            AttemptInfo(question=one.question, decision=one.decision, reply=one.reply)
            for one in summary.tried
        ),
        orders=summary.orders,
    )
