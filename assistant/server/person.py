"""One session's talk with a person: its events, and the gate that keeps the assistant silent meanwhile."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from assistant.dialogue.hours import is_staffed, next_opening
from assistant.records import Decision, DecisionKind, DialogueState, Message, Role, SessionId, Shop
from assistant.server.summary import cause_of, summarise
from assistant.server.turns import Turn
from assistant.server.waiting import HandoverQueue
from assistant.server.wire import AgentMessage, Handover, UserDelivered, encode
from assistant.storage.handovers import Cause, Ending, HandoverState, Said, SaidKind, StoredHandover
from assistant.storage.sessions import SessionStore
from assistant.text import words

KEPT_SAID = 1000  # events of hand-overs a session can replay
_ROLES = {SaidKind.CUSTOMER: Role.CUSTOMER, SaidKind.AGENT: Role.AGENT}
_BACK = frozenset({"back to the assistant", "back to assistant", "back to the bot", "back to the chatbot"})


def wants_assistant(text: str) -> bool:
    """Whether a customer who speaks with a person says, in so many words, that the assistant shall go on."""
    return " ".join(words(text)) in _BACK


def handover_hours(shop: Shop, now: float) -> tuple[bool, str | None]:
    """Whether people answer at a moment (seconds since 1970), and if not, when they do next (ISO 8601)."""
    local = datetime.fromtimestamp(now, ZoneInfo(shop.timezone))
    if is_staffed(shop.hours, local):
        return True, None
    opens = next_opening(shop.hours, local)
    return False, opens.isoformat() if opens is not None else None


class Line(Protocol):
    """What a talk needs of its session."""

    def next_seq(self) -> int:
        """Take the number of the next event."""

    def send(self, frame: str) -> None:
        """Send to the customer, if connected."""

    async def hush(self) -> None:
        """Stop what the assistant is saying; returns when nothing runs and nothing waits."""

    def speak_again(self, state: DialogueState) -> None:
        """Go on with the assistant, from this state."""

    def ask(self, client_id: str, text: str) -> None:
        """Let the assistant answer a message."""


@dataclass(frozen=True, slots=True)
class TalkParts:
    """What the talks of all sessions share; `clock` gives seconds since 1970."""

    queue: HandoverQueue
    store: SessionStore
    clock: Callable[[], float]
    shop: Callable[[], Shop]


class PersonTalk:
    """The hand-overs of one session, past and present.

    While `silent` is set the session begins no turn; it is set from the moment an agent first takes the
    conversation until an agent gives it back, an agent closes it, or the customer goes back to the assistant:
    also while agents, customer or server are away.

    An event is committed, then sent, one after the other: numbers arrive in order.
    """

    def __init__(self, session: SessionId, parts: TalkParts, line: Line, said: Iterable[Said] = ()) -> None:
        self._session = session
        self._parts = parts
        self._line = line
        self._events: deque[Said] = deque(said, KEPT_SAID)
        self._order = asyncio.Lock()  # held from an event's number to its sending
        self._tasks: set[asyncio.Task[Any]] = set()
        self._announced: tuple[object, ...] = ()
        handover = self.handover
        self.silent = handover is not None and handover.taken_at is not None

    # --- what the session asks ---

    @property
    def handover(self) -> StoredHandover | None:
        """The open hand-over."""
        return self._parts.queue.of_session(self._session)

    @property
    def order(self) -> asyncio.Lock:
        """Held while the session ends a turn, so that no other event takes a number in between."""
        return self._order

    @property
    def busy(self) -> bool:
        """Whether an agent has the conversation, or events are on their way."""
        handover = self.handover
        return bool(self._tasks) or (handover is not None and handover.state is HandoverState.ACTIVE)

    @property
    def last_at(self) -> float:
        """When the last event came; 0 if there was none."""
        return self._events[-1].at if self._events else 0.0

    def frames(self, last_seq: int) -> list[tuple[int, str]]:
        """Events after a number, with theirs."""
        return [(said.seq, said.frame) for said in self._events if said.seq > last_seq]

    def messages(self) -> list[tuple[int, Message]]:
        """What customer and agents said, with the numbers."""
        return [
            (said.seq, Message(_ROLES[said.kind], said.text)) for said in self._events if said.kind in _ROLES
        ]

    def events(self) -> Sequence[Said]:
        """All events kept, oldest first."""
        return tuple(self._events)

    def client_ids(self) -> list[str]:
        """Ids of the messages that the customer wrote to a person."""
        return [said.message_id for said in self._events if said.kind is SaidKind.CUSTOMER]

    def repeat(self, client_id: str) -> bool:
        """Say again that a message was delivered. False: it is not one of these."""
        for said in self._events:
            if said.kind is SaidKind.CUSTOMER and said.message_id == client_id:
                self._line.send(said.frame)
                return True
        return False

    async def settle(self) -> None:
        """Wait for the events on their way."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    # --- into the queue ---

    def request(self, before: Sequence[Turn], turn: Turn, decision: Decision, seq: int) -> _Request | None:
        """A hand-over for a turn whose end has the number `seq`; None if one is open already."""
        if self.handover is not None:
            self._announced = ()  # asked again: say again where the customer stands
            return None
        parts = self._parts
        now = parts.clock()
        shop = parts.shop()
        today = datetime.fromtimestamp(now, ZoneInfo(shop.timezone)).date()
        handover = StoredHandover(
            id=f"h_{turn.id.removeprefix('t_')}",
            session=self._session,
            turn=turn.id,
            state=HandoverState.WAITING,
            cause=cause_of(decision),
            summary=summarise(before, turn, decision, shop.order_number, today),
            rank=parts.queue.back(),
            requested_at=now,
        )
        standing = self._standing(handover)
        return _Request(handover, self._said(handover, self._waiting_event(seq + 1, standing)), standing)

    def requested(self, request: _Request) -> None:
        """Queue a hand-over that is stored, and say so."""
        self._line.next_seq()  # the one that `request` was given
        self._announced = request.standing
        self._keep(request.said)
        self._line.send(request.said.frame)
        self._parts.queue.put(request.handover)

    def announce(self) -> None:
        """Tell a waiting customer the place in the queue and the hours, if they have changed."""
        handover = self.handover
        if handover is None or handover.state is not HandoverState.WAITING:
            return
        if self._standing(handover) == self._announced:
            return
        if self._order.locked():
            self._spawn(self._announce_in_order())
        else:
            self._announce_now(handover)

    async def _announce_in_order(self) -> None:
        async with self._order:
            handover = self.handover
            if handover is not None and handover.state is HandoverState.WAITING:
                self._announce_now(handover)

    def _announce_now(self, handover: StoredHandover) -> None:
        """Not stored: the place is found out anew whenever the session is restored."""
        standing = self._standing(handover)
        if standing == self._announced:
            return
        self._announced = standing
        said = self._said(handover, self._waiting_event(self._line.next_seq(), standing))
        for old in [one for one in self._events if _is_waiting(one, handover)]:
            self._events.remove(old)
        self._keep(said)
        self._line.send(said.frame)

    def _standing(self, handover: StoredHandover) -> tuple[int, bool, str | None]:
        staffed, opens = handover_hours(self._parts.shop(), self._parts.clock())
        return self._parts.queue.position(handover.id), staffed, opens

    def _waiting_event(self, seq: int, standing: tuple[int, bool, str | None]) -> Handover:
        position, staffed, opens = standing
        return Handover(seq=seq, state="waiting", position=position, staffed=staffed, opens=opens)

    # --- with an agent ---

    async def join(self, before: Sequence[Turn], agent: str) -> bool:
        """Begin a talk that the customer did not ask for. False: a hand-over is open, or was meanwhile ended.

        Args:
            before: the turns so far, oldest first; at least one.
            agent: who steps in.
        """
        if self.handover is not None:
            return False
        parts = self._parts
        now = parts.clock()
        shop = parts.shop()
        today = datetime.fromtimestamp(now, ZoneInfo(shop.timezone)).date()
        handover = StoredHandover(
            id=f"h_{secrets.token_urlsafe(12)}",
            session=self._session,
            turn=before[-1].id,
            state=HandoverState.ACTIVE,
            cause=Cause.JOINED,
            summary=summarise(
                before[:-1], before[-1], Decision(DecisionKind.HAND_OVER, ""), shop.order_number, today
            ),
            rank=parts.queue.back(),
            requested_at=now,
            taken_at=now,
            agent=agent,
        )
        parts.queue.put(handover)  # from here on no other agent can take it
        return await self.take(handover.id, agent)

    async def take(self, handover_id: str, agent: str) -> bool:
        """Silence the assistant and begin the talk. False: the customer went back to the assistant meanwhile."""
        handover = self.handover
        if handover is None or handover.id != handover_id:
            return False
        self.silent = True  # from here on no turn begins
        await self._line.hush()
        async with self._order:
            handover = self.handover
            if handover is None or handover.id != handover_id:
                return False
            now = self._parts.clock()
            taken = replace(
                handover, state=HandoverState.ACTIVE, agent=agent, taken_at=handover.taken_at or now
            )
            await self._change(taken, Handover(seq=self._line.next_seq(), state="active", agent=agent))
            return True

    async def say(self, handover_id: str, message_id: str, text: str, agent: str) -> bool:
        """Pass an agent's words to the customer, once. False: the talk is over, or not this agent's."""
        async with self._order:
            handover = self.handover
            if handover is None or handover.id != handover_id or not _has(handover, agent):
                return False
            if any(one.kind is SaidKind.AGENT and one.message_id == message_id for one in self._events):
                return True
            event = AgentMessage(seq=self._line.next_seq(), id=message_id, text=text, agent=agent)
            said = Said(
                session=self._session,
                handover=handover.id,
                seq=event.seq,
                kind=SaidKind.AGENT,
                at=self._parts.clock(),
                frame=encode(event),
                message_id=message_id,
                text=text,
                agent=agent,
            )
            await self._parts.store.add_said(said)
            self._keep(said)
            self._line.send(said.frame)
            return True

    def deliver(self, client_id: str, text: str) -> None:
        """Keep what the customer wrote for the person; the customer hears once it is stored.

        If the talk ends before that, the assistant answers it.
        """
        self._spawn(self._deliver(client_id, text))

    async def _deliver(self, client_id: str, text: str) -> None:
        if self.silent:
            await self._line.hush()
        async with self._order:
            handover = self.handover
            if handover is None or not self.silent:
                self._line.ask(client_id, text)
                return
            event = UserDelivered(seq=self._line.next_seq(), id=client_id, text=text)
            said = Said(
                session=self._session,
                handover=handover.id,
                seq=event.seq,
                kind=SaidKind.CUSTOMER,
                at=self._parts.clock(),
                frame=encode(event),
                message_id=client_id,
                text=text,
            )
            await self._parts.store.add_said(said)
            self._keep(said)
            self._line.send(said.frame)
        self._parts.queue.tell_said(handover, said)
        if wants_assistant(text):
            await self.end(Ending.CUSTOMER)

    async def back_to_queue(self, handover_id: str, agent: str) -> bool:
        """Put the conversation to the front of the queue; the assistant stays silent. False: not this agent's."""
        async with self._order:
            handover = self.handover
            if handover is None or handover.id != handover_id or not _has(handover, agent):
                return False
            waiting = replace(handover, state=HandoverState.WAITING, rank=self._parts.queue.front())
            standing = (1, *self._standing(waiting)[1:])
            self._announced = standing
            await self._change(waiting, self._waiting_event(self._line.next_seq(), standing))
            return True

    async def end(self, ending: Ending, agent: str | None = None) -> bool:
        """Go on with the assistant. False: there is nothing to end, or it is not this agent's."""
        if self.silent:
            await self._line.hush()
        async with self._order:
            handover = self.handover
            if handover is None or (agent is not None and not _has(handover, agent)):
                return False
            ended = replace(
                handover, state=HandoverState.ENDED, ended_at=self._parts.clock(), ended_by=ending.value
            )
            event = Handover(seq=self._line.next_seq(), state="ended", reason=ending.value)
            await self._change(ended, event, DialogueState() if self.silent else None)
            was_silent, self.silent = self.silent, False
        if was_silent:
            self._line.speak_again(DialogueState())
        return True

    def end_soon(self) -> None:
        """The customer goes back to the assistant; nothing if no person was asked for."""
        if self.handover is not None:
            self._spawn(self.end(Ending.CUSTOMER))

    async def _change(
        self, handover: StoredHandover, event: Handover, state: DialogueState | None = None
    ) -> None:
        """Store a change of state, then say it."""
        said = self._said(handover, event)
        if self.silent:
            await self._parts.store.change_handover(handover, said, state)
        else:  # a reply may be streaming: its deltas must not overtake this event
            self._spawn(self._parts.store.change_handover(handover, said, state))
        self._keep(said)
        self._line.send(said.frame)
        self._parts.queue.put(handover)

    def _said(self, handover: StoredHandover, event: Handover) -> Said:
        return Said(
            session=self._session,
            handover=handover.id,
            seq=event.seq,
            kind=SaidKind.STATE,
            at=self._parts.clock(),
            frame=encode(event),
            agent=handover.agent,
        )

    def _keep(self, said: Said) -> None:
        self._events.append(said)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@dataclass(frozen=True, slots=True)
class _Request:
    """A hand-over that is asked for but not stored yet, and the event that tells the customer."""

    handover: StoredHandover
    said: Said
    standing: tuple[int, bool, str | None]


def _has(handover: StoredHandover, agent: str) -> bool:
    return handover.state is HandoverState.ACTIVE and handover.agent == agent


def _is_waiting(said: Said, handover: StoredHandover) -> bool:
    return said.kind is SaidKind.STATE and said.handover == handover.id and '"state":"waiting"' in said.frame
