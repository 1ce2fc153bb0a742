"""Sessions: conversations that outlive connections, restarts included. One turn at a time in each."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from assistant.protocols import TurnRunner
from assistant.records import (
    DecisionKind,
    DialogueState,
    Knowledge,
    Message,
    Role,
    SessionId,
    Shop,
    Signal,
    Transcript,
    TurnId,
    TurnRequest,
    TurnResult,
    TurnStatus,
)
from assistant.server.agent_wire import Line
from assistant.server.metrics import Metrics
from assistant.server.person import PersonTalk, TalkParts
from assistant.server.turns import (
    MAX_ATTEMPTS,
    DeltaStream,
    Turn,
    broken,
    build_done,
    cut_short,
    describe_failure,
    drive,
    format_trace,
    interrupted,
)
from assistant.server.waiting import HandoverQueue
from assistant.server.wire import (
    DeltaEvent,
    ErrorCode,
    Feedback,
    Handover,
    Hello,
    ProductEvent,
    TranscriptFinal,
    TranscriptPartial,
    TurnDone,
    TurnStarted,
    UserText,
    WireError,
    WordInfo,
    encode,
)
from assistant.storage.handovers import HandoverState, Said, SaidKind, StoredHandover
from assistant.storage.sessions import SessionStore, StoredSession
from assistant.text import normalise

_LOGGER = logging.getLogger(__name__)
HISTORY_MESSAGES = 12
KEPT_TURNS = 50  # finished turns a session can replay
KEPT_IDS = 1000  # client ids a session recognises as repeats
KEPT_SIGNALS = 100  # product events of a session that the skills see
_CODE_SHOWN = 80  # characters of a scanned code that stand in the conversation
_NO_TURN = TurnId("")  # what a message to a person leads to
SEQ_RESERVE = 10_000  # more events than a process can have sent without storing their numbers


class Outlet(Protocol):
    """The connection a session is open on."""

    def offer(self, frame: str) -> None:
        """Queue a frame; never blocks."""

    def replace(self) -> None:
        """Close: the session was opened elsewhere."""

    def erase(self) -> None:
        """Close: the session was deleted."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """The settings sessions need."""

    queued_turns: int
    text_chars: int
    turn_deadline_s: float
    delta_interval_s: float
    kept_s: float
    sessions: int


@dataclass(frozen=True, slots=True)
class Replay:
    """What a resuming client gets: events after `seq`, as frames; `gap` if older ones are no longer kept."""

    seq: int
    gap: bool
    frames: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all sessions of a server share.

    Attributes:
        clock: gives seconds since 1970.
        changed: told of every event of a session, and when a client comes or goes; must not block.
    """

    runner: TurnRunner
    store: SessionStore
    queue: HandoverQueue
    metrics: Metrics
    limits: SessionLimits
    clock: Callable[[], float]
    changed: Callable[[SessionId], None] = lambda _: None

    def shop(self) -> Shop:
        """The shop as the knowledge served now describes it."""
        return self.runner.knowledge.shop


class Session:
    """One customer's conversation: its events, its turns, and at most one connection."""

    def __init__(
        self,
        session_id: SessionId,
        around: Surroundings,
        language: str,
        platform: str,
        created_at: float,
        customer: str = "",
        said: Iterable[Said] = (),
    ) -> None:
        self.id = session_id
        self.seen_at = created_at
        self.customer = customer
        self._around = around
        self._language = language
        self._platform = platform
        self._created_at = created_at
        self._seq = 0
        self._acked = 0
        self._dropped_seq = 0  # events up to here can no longer be replayed
        self._number = 0
        self._state = DialogueState()
        self._finished: deque[Turn] = deque()
        self._waiting: deque[Turn] = deque()
        self._running: Turn | None = None
        self._ids: OrderedDict[str, TurnId] = OrderedDict()
        self._signals: deque[Signal] = deque(maxlen=KEPT_SIGNALS)
        self._transcripts: deque[tuple[int, str]] = deque(maxlen=KEPT_TURNS)
        self.lost_speech: deque[str] = deque(maxlen=KEPT_TURNS)  # ids of utterances that were cut off
        self._outlet: Outlet | None = None
        self._worker: asyncio.Task[None] | None = None
        self._held = False
        self._stored_once = False
        parts = TalkParts(around.queue, around.store, around.clock, around.shop)
        self.talk = PersonTalk(session_id, parts, self, said)

    @classmethod
    def restored(cls, stored: StoredSession, around: Surroundings) -> Session:
        """A session read from the store. Turns without an end wait to be run again."""
        session = cls(
            stored.id,
            around,
            stored.language,
            stored.platform,
            stored.created_at,
            stored.customer,
            stored.said,
        )
        session.seen_at = stored.seen_at
        session._stored_once = True
        session._seq = stored.seq + SEQ_RESERVE
        session._state = stored.state
        session._ids = OrderedDict(stored.client_ids)
        for client_id in session.talk.client_ids():
            session._ids[client_id] = _NO_TURN
        session._signals.extend(stored.signals)
        now = asyncio.get_running_loop().time()
        for kept in stored.turns:
            session._number = kept.number
            turn = Turn.restored(kept, now)
            if turn.status:
                session._keep(turn)
            else:
                session._waiting.append(turn)
        return session

    # --- connection ---

    @property
    def seq(self) -> int:
        """Number of the latest event."""
        return self._seq

    @property
    def idle(self) -> bool:
        """Whether nobody is connected, nothing runs or waits, and no agent has the conversation."""
        quiet = self._running is None and not self._waiting and not self.talk.busy
        return self._outlet is None and quiet

    @property
    def over(self) -> bool:
        """Whether the customer has stayed away too long to come back to this conversation."""
        return self.idle and is_over(
            self.seen_at,
            self.talk.last_at,
            self.talk.handover,
            self._around.clock(),
            self._around.limits.kept_s,
        )

    @property
    def language(self) -> str:
        """Language of the conversation."""
        return self._language

    @property
    def knowledge(self) -> Knowledge:
        """The knowledge served now."""
        return self._around.runner.knowledge

    @property
    def platform(self) -> str:
        """What the customer uses."""
        return self._platform

    @property
    def connected(self) -> bool:
        """Whether a client is connected."""
        return self._outlet is not None

    @property
    def turns_pending(self) -> int:
        """Turns running and waiting."""
        return len(self._waiting) + (self._running is not None)

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Turns in memory, oldest first; those that run or wait have no status yet."""
        running = () if self._running is None else (self._running,)
        return (*self._finished, *running, *self._waiting)

    async def join(self, agent: str) -> bool:
        """Give a conversation with at least one turn to an agent, though nobody asked.

        False: a hand-over is open already, or the customer ended this one at once.
        """
        return await self.talk.join(self.turns, agent)

    def attach(self, outlet: Outlet, last_seq: int | None) -> Replay:
        """Open the session on a connection, away from any other one; later events go there."""
        if self._outlet is not None and self._outlet is not outlet:
            self._outlet.replace()
        self._outlet = outlet
        self.seen_at = self._around.clock()
        self._around.queue.tell_moved(self.id, True)
        self._around.changed(self.id)
        return self._replay(min(self._acked if last_seq is None else last_seq, self._seq))

    def detach(self, outlet: Outlet) -> None:
        """Note that a connection is gone. What runs goes on."""
        if self._outlet is not outlet:
            return
        self._outlet = None
        self.seen_at = self._around.clock()
        if self._stored_once:
            self._around.store.touch(self.id, self.seen_at)
        self._around.queue.tell_moved(self.id, False)
        self._around.changed(self.id)

    def adopt(self, customer: str) -> None:
        """A guest who signed in goes on with the conversation; from now on it is theirs alone."""
        if customer and not self.customer:
            self.customer = customer
            if self._stored_once:
                self._around.store.set_customer(self.id, customer)

    def erase(self) -> None:
        """The session's data were deleted: stop what runs, and close its connection."""
        self._held = True
        self._waiting.clear()
        if self._running is not None:
            self._running.stop()
        if self._outlet is not None:
            self._outlet.erase()

    def _replay(self, last_seq: int) -> Replay:
        events: list[tuple[int, str]] = self.talk.frames(last_seq)
        events += [(seq, frame) for seq, frame in self._transcripts if seq > last_seq]
        for turn in self._finished:
            if turn.done_seq > last_seq:
                if turn.started_seq > last_seq:
                    events.append((turn.started_seq, _started(turn)))
                events += [*_handover(turn, last_seq), (turn.done_seq, turn.done)]
        if self._running is not None:
            events += self._replay_running(self._running, last_seq)
        frames = tuple(frame for _, frame in sorted(events))
        return Replay(last_seq, self._dropped_seq > last_seq, frames)

    def _replay_running(self, turn: Turn, last_seq: int) -> list[tuple[int, str]]:
        """What was missed of a running turn: its deltas merged into one that takes the last one's number."""
        events = [(turn.started_seq, _started(turn))] if turn.started_seq > last_seq else []
        missed = [(seq, text) for seq, text in turn.deltas if seq > last_seq]
        if missed:
            text = "".join(piece for _, piece in missed)
            seq = missed[-1][0]
            events.append((seq, encode(DeltaEvent(seq=seq, turn=turn.id, text=text))))
        return events

    def send(self, frame: str) -> None:
        """Send to the client, if one is connected."""
        if self._outlet is not None:
            self._outlet.offer(frame)
        self._around.changed(self.id)

    def next_seq(self) -> int:
        """Take the number of the next event."""
        self._seq += 1
        return self._seq

    # --- what clients ask ---

    def knows(self, client_id: str) -> bool:
        """Whether a message of this id was taken before."""
        return client_id in self._ids

    def accept(self, message: UserText) -> None:
        """Take an utterance: run it, queue it, or recognise it as a repeat.

        A reply that is already streaming is cancelled (barge-in).

        Raises: WireError: invalid, text_too_long, busy or duplicate.
        """
        if self.knows(message.id):
            self.repeat(message.id)
            return
        limits = self._around.limits
        if len(message.text) > limits.text_chars:
            raise WireError(
                ErrorCode.TEXT_TOO_LONG,
                f"the text has {len(message.text)} characters; at most {limits.text_chars} are taken",
                id=message.id,
            )
        text = normalise(message.text)
        if not text:
            raise WireError(
                ErrorCode.INVALID, "user.text: field text: there is nothing to read in it", id=message.id
            )
        self._take(message.id, text)

    def scan(self, client_id: str, code: str) -> None:
        """Take a scanned code as an utterance.

        Raises: WireError: busy or duplicate.
        """
        if self.knows(client_id):
            self.repeat(client_id)
            return
        shown = normalise(code)
        cut = f"{shown[:_CODE_SHOWN]}…" if len(shown) > _CODE_SHOWN else shown
        self._take(client_id, f"Scanned: {cut}", code)

    def hear(self, client_id: str, transcript: Transcript) -> None:
        """Take what was said: tell the client, then answer it like a text of the same id.

        Raises: WireError: busy or duplicate.
        """
        if self.knows(client_id):
            self.repeat(client_id)
            return
        seq = self.next_seq()
        frame = encode(
            TranscriptFinal(
                seq=seq,
                id=client_id,
                text=transcript.text,
                raw=transcript.raw,
                confidence=round(transcript.confidence, 3),
                words=tuple(
                    WordInfo(
                        text=word.text,
                        start_s=word.start_s,
                        end_s=word.end_s,
                        confidence=round(word.confidence, 3),
                    )
                    for word in transcript.words
                ),
            )
        )
        self._transcripts.append((seq, frame))
        self.send(frame)
        self._take(client_id, transcript.text, alternatives=transcript.alternatives)

    def guess(self, client_id: str, text: str) -> None:
        """Tell the client what its speech sounds like so far."""
        self.send(encode(TranscriptPartial(seq=self.next_seq(), id=client_id, text=text)))

    def interrupt(self) -> None:
        """The customer begins to speak: stop the reply that is being prepared or given."""
        if self._running is not None:
            self._running.stop()

    def _take(self, client_id: str, text: str, scan: str = "", alternatives: tuple[str, ...] = ()) -> None:
        """Give an utterance to the person who speaks with the customer, run it, or queue it."""
        if self.talk.silent:
            self._ids[client_id] = _NO_TURN
            self.talk.deliver(client_id, text)
            return
        streaming = self._running is not None and bool(self._running.deltas)
        allowed = max(self._around.limits.queued_turns, 1 if streaming else 0)
        if self.turns_pending > allowed:  # one of them runs, or is about to
            raise WireError(
                ErrorCode.BUSY,
                f"{len(self._waiting)} messages already wait; send this one again after the next turn.done",
                id=client_id,
            )
        self._queue(client_id, text, scan, alternatives)
        if streaming and self._running is not None:
            self._running.stop()
        self.proceed()

    def _queue(self, client_id: str, text: str, scan: str = "", alternatives: tuple[str, ...] = ()) -> None:
        self._number += 1
        turn = Turn(
            id=TurnId(f"t_{secrets.token_urlsafe(12)}"),
            number=self._number,
            client_id=client_id,
            text=text,
            accepted_at=self._around.clock(),
            arrived=asyncio.get_running_loop().time(),
            scan=scan,
            alternatives=alternatives,
        )
        self._ids[client_id] = turn.id
        if len(self._ids) > KEPT_IDS:
            self._ids.popitem(last=False)
        self._waiting.append(turn)
        self._stored_once = True
        self._around.store.accept_turn(self._stored(), turn.stored(self.id))

    def repeat(self, client_id: str) -> None:
        """Send again what a message caused; it is never answered twice."""
        if self.talk.repeat(client_id):
            return
        turn_id = self._ids[client_id]
        for turn in self._finished:
            if turn.id == turn_id:
                for _, frame in [(0, _started(turn)), *_handover(turn, 0), (0, turn.done)]:
                    self.send(frame)
                return
        if self._running is not None and self._running.id == turn_id:
            self.send(_started(self._running))
        elif turn_id != _NO_TURN and all(turn.id != turn_id for turn in self._waiting):
            raise WireError(ErrorCode.DUPLICATE, "this id was answered long ago; use a new one", id=client_id)

    def cancel(self, turn_id: str) -> None:
        """Stop a reply; harmless when it has ended.

        Raises: WireError: unknown_turn.
        """
        if self._running is not None and self._running.id == turn_id:
            self._running.stop()
        else:
            self._require(turn_id)

    def rate(self, feedback: Feedback) -> None:
        """Keep the customer's opinion of a reply.

        Raises: WireError: unknown_turn.
        """
        self._require(feedback.turn)
        self._around.metrics.feedback.labels(feedback.value).inc()
        self._around.store.add_feedback(
            self.id,
            TurnId(feedback.turn),
            feedback.value,
            normalise(feedback.comment or ""),
            self._around.clock(),
        )

    def note(self, event: ProductEvent) -> None:
        """Keep what the customer did with a product.

        Raises: WireError: invalid, if the shop has no such product.
        """
        products = self._around.runner.knowledge.products
        if not any(product.sku == event.sku for product in products):
            raise WireError(ErrorCode.INVALID, "event: field sku: this shop has no such product")
        signal = Signal(event.kind, event.sku)
        self._signals.append(signal)
        self._around.store.add_signal(self._stored(), signal, self._around.clock(), KEPT_SIGNALS)
        self._stored_once = True

    def _require(self, turn_id: str) -> None:
        if not turn_id or turn_id not in self._ids.values():
            raise WireError(ErrorCode.UNKNOWN_TURN, "this session has no such turn")

    def acknowledge(self, seq: int) -> None:
        """Note up to where the client has processed events: where a `hello` without last_seq resumes."""
        self._acked = max(self._acked, min(seq, self._seq))

    # --- turns ---

    def proceed(self) -> None:
        """Run what waits, if nothing runs. May be called at any time."""
        if self._worker is None and self._waiting and not self._held:
            self._worker = asyncio.get_running_loop().create_task(self._run_waiting())

    async def hush(self) -> None:
        """Stop the reply that streams and end what waits unanswered; returns when nothing is left."""
        if self._running is not None:
            self._running.stop()
        self.proceed()
        while self._worker is not None:
            await asyncio.wait([self._worker])

    def speak_again(self, state: DialogueState) -> None:
        """Go on with the assistant after a person has spoken."""
        self._state = state
        self.proceed()

    def ask(self, client_id: str, text: str) -> None:
        """Answer a message that no person will read any more."""
        self._queue(client_id, text)
        self.proceed()

    async def _run_waiting(self) -> None:
        try:
            while self._waiting and not self._held:
                self._running = self._waiting.popleft()
                await self._run(self._running)
        finally:
            self._worker = None

    async def _run(self, turn: Turn) -> None:
        """Run one turn from `turn.started` to its one terminal event."""
        loop = asyncio.get_running_loop()
        around = self._around
        request = TurnRequest(
            text=turn.text,
            history=self._history(),
            state=self._state,
            language=self._language,
            customer=self.customer,
            session=self.id,
            signals=tuple(self._signals),
            scan=turn.scan,
            alternatives=turn.alternatives,
        )
        turn.attempts += 1
        turn.started_seq = self.next_seq()
        turn.deltas.clear()
        around.store.begin_turn(turn.id, turn.attempts, turn.started_seq)
        self.send(_started(turn))
        first_delta_at: float | None = None

        def send_delta(text: str) -> None:
            nonlocal first_delta_at
            if first_delta_at is None:
                first_delta_at = loop.time()
                around.metrics.first_delta_seconds.observe(first_delta_at - turn.arrived)
            turn.deltas.append((self.next_seq(), text))
            self.send(encode(DeltaEvent(seq=self._seq, turn=turn.id, text=text)))

        stream = DeltaStream(around.limits.delta_interval_s, send_delta)
        try:
            if self.talk.silent:
                result = cut_short(request)
            elif turn.attempts > MAX_ATTEMPTS:
                result = interrupted(request)
            else:
                result = await drive(around.runner, request, turn, around.limits.turn_deadline_s, stream.push)
            stream.close()
        finally:
            stream.abandon()
        first_delta_ms = None if first_delta_at is None else (first_delta_at - turn.arrived) * 1000
        total_ms = (loop.time() - turn.arrived) * 1000
        async with self.talk.order:
            try:
                done = build_done(turn, self._seq, result, first_delta_ms, total_ms)
                turn.done = encode(done)
            except ValueError as error:  # a card or a timing that is not JSON
                _LOGGER.error("a turn's result cannot be sent: %s", describe_failure(error))
                result = broken(request)
                done = build_done(turn, self._seq, result, first_delta_ms, total_ms)
                turn.done = encode(done)
            if result.status is not TurnStatus.FAILED:
                self._state = result.state
            await self._finish(turn, done, result)
        self.talk.announce()

    async def _finish(self, turn: Turn, done: TurnDone, result: TurnResult) -> None:
        """Store the end of a turn, with the hand-over it may lead to, then say it."""
        around, decision = self._around, result.decision
        self._seq = done.seq
        turn.done_seq, turn.status, turn.decision = done.seq, done.status, done.decision
        turn.reply = done.text
        turn.deltas.clear()  # turn.done repeats the whole text
        request = None
        if decision.kind is DecisionKind.HAND_OVER:
            request = self.talk.request(self._finished, turn, decision, done.seq)
        await around.store.finish_turn(
            turn.stored(self.id),
            self._state,
            around.clock(),
            request.handover if request else None,
            request.said if request else None,
            format_trace(result),
        )
        self._running = None
        self._keep(turn)
        for _, frame in [*_handover(turn, 0), (0, turn.done)]:
            self.send(frame)
        if request is not None:
            self.talk.requested(request)
        around.metrics.turns.labels(turn.status, turn.decision).inc()
        around.metrics.turn_seconds.observe(asyncio.get_running_loop().time() - turn.arrived)

    def _keep(self, turn: Turn) -> None:
        self._finished.append(turn)
        if len(self._finished) > KEPT_TURNS:
            self._dropped_seq = self._finished.popleft().done_seq

    def _history(self) -> tuple[Message, ...]:
        messages = self.talk.messages()
        for turn in self._finished:
            messages.append((turn.started_seq, Message(Role.CUSTOMER, turn.text)))
            if turn.reply:
                messages.append((turn.done_seq, Message(Role.ASSISTANT, turn.reply)))
        messages.sort(key=lambda one: one[0])
        return tuple(message for _, message in messages[-HISTORY_MESSAGES:])

    def transcript(self) -> list[Line]:
        """What was said so far, for an agent."""
        lines: list[tuple[int, Line]] = []
        for said in self.talk.events():
            if said.kind is SaidKind.AGENT:
                lines.append((said.seq, Line(who="agent", text=said.text, at=said.at, agent=said.agent)))
            elif said.kind is SaidKind.CUSTOMER:
                lines.append((said.seq, Line(who="customer", text=said.text, at=said.at)))
        for turn in self._finished:
            lines.append((turn.started_seq, Line(who="customer", text=turn.text, at=turn.accepted_at)))
            if turn.reply:
                lines.append((turn.done_seq, Line(who="assistant", text=turn.reply, at=turn.accepted_at)))
        return [line for _, line in sorted(lines, key=lambda one: one[0])]

    async def hold(self, seconds: float) -> None:
        """Begin no more turns; give the running one some seconds, then leave it to be run again."""
        self._held = True
        await self.talk.settle()
        if self._worker is None:
            return
        _, running = await asyncio.wait([self._worker], timeout=seconds)
        for task in running:
            task.cancel()
            await asyncio.wait([task])

    def _stored(self) -> StoredSession:
        return StoredSession(
            id=self.id,
            created_at=self._created_at,
            seen_at=self.seen_at,
            seq=self._seq,
            language=self._language,
            platform=self._platform,
            state=self._state,
            customer=self.customer,
        )


class Sessions:
    """All sessions in memory, longest unused first; the others are in the store."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._sessions: OrderedDict[SessionId, Session] = OrderedDict()
        self._held = False
        around.queue.watch(self)

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    @property
    def turns_pending(self) -> int:
        """Turns running and waiting in all sessions."""
        return sum(session.turns_pending for session in self._sessions.values())

    async def open(self, hello: Hello, customer: str) -> tuple[Session, bool]:
        """Find the session a client names, in memory or in the store, or begin a new one.

        A customer's session is theirs alone: for anybody else it counts as unknown. A guest who has signed in
        keeps the conversation.

        Returns: the session, and whether it is the named one.
        Raises: WireError: too_many_sessions, or going_away once the server stops.
        """
        if self._held:
            raise WireError(ErrorCode.GOING_AWAY, "the server stops; reconnect in a few seconds")
        if hello.session:
            session = await self._find(SessionId(hello.session))
            if session is not None and session.customer in {"", customer}:
                session.adopt(customer)
                self._sessions.move_to_end(session.id)
                return session, True
        self._make_room()
        session = Session(
            SessionId(f"s_{secrets.token_urlsafe(24)}"),
            self._around,
            language=_language(hello.locale),
            platform=hello.platform,
            created_at=self._around.clock(),
            customer=customer,
        )
        self._sessions[session.id] = session
        return session, False

    def at_hand(self, session_id: SessionId) -> Session | None:
        """A session, if it is in memory."""
        return self._sessions.get(session_id)

    async def summon(self, session_id: SessionId) -> Session | None:
        """A session for an agent, in memory or from the store; None if it is not kept any more.

        Raises: WireError: too_many_sessions, or going_away once the server stops.
        """
        if self._held:
            raise WireError(ErrorCode.GOING_AWAY, "the server stops; reconnect in a few seconds")
        session = self._sessions.get(session_id)
        if session is not None:
            return session
        stored = await self._around.store.load(session_id, KEPT_TURNS + 1, KEPT_IDS)
        return self._restore(stored) if stored is not None else None

    async def _find(self, session_id: SessionId) -> Session | None:
        session = self._sessions.get(session_id)
        if session is not None:
            if not session.over:
                return session
            del self._sessions[session_id]
            return None
        stored = await self._around.store.load(session_id, KEPT_TURNS + 1, KEPT_IDS)
        if stored is None:
            return None
        last_at = stored.said[-1].at if stored.said else 0.0
        handover = self._around.queue.of_session(session_id)
        limits, now = self._around.limits, self._around.clock()
        if is_over(stored.seen_at, last_at, handover, now, limits.kept_s):
            return None
        return self._restore(stored)

    def _restore(self, stored: StoredSession) -> Session:
        if stored.id not in self._sessions:  # another connection may have been faster
            self._make_room()
            self._sessions[stored.id] = Session.restored(stored, self._around)
        return self._sessions[stored.id]

    def _make_room(self) -> None:
        """Let the longest unused session go if there are too many; it stays in the store."""
        if len(self._sessions) < self._around.limits.sessions:
            return
        for session_id, session in self._sessions.items():
            if session.idle:
                del self._sessions[session_id]
                return
        raise WireError(ErrorCode.TOO_MANY_SESSIONS, "all sessions are in use; try again in a few minutes")

    def release(self, session: Session) -> None:
        """Note that a session's connection is gone: it is now the most recently used."""
        if session.id in self._sessions:
            self._sessions.move_to_end(session.id)

    def sweep(self) -> None:
        """Forget sessions that have expired."""
        now = self._around.clock()
        for session in list(self._sessions.values()):
            if session.idle and now - session.seen_at > self._around.limits.kept_s:
                del self._sessions[session.id]
            else:
                session.talk.announce()

    async def erase(self) -> None:
        """Forget sessions whose data were deleted by command since they came into memory."""
        for session_id in await self._around.store.erased():
            session = self._sessions.pop(session_id, None)
            handover = self._around.queue.of_session(session_id)
            if session is None and handover is None:
                continue
            if session is not None:
                session.erase()
            if handover is not None:
                self._around.queue.put(replace(handover, state=HandoverState.ENDED, ended_by="erased"))
            self._around.store.forget(session_id)

    # --- what the queue tells (Watcher) ---

    def handover_changed(self, handover: StoredHandover) -> None:
        """Tell those who wait where they stand now."""
        for waiting in self._around.queue.waiting():
            session = self._sessions.get(waiting.session)
            if session is not None:
                session.talk.announce()

    def customer_said(self, handover: StoredHandover, said: Said) -> None:
        """Concerns agents only."""

    def customer_moved(self, handover: StoredHandover, connected: bool) -> None:
        """Concerns agents only."""

    async def hold(self, seconds: float) -> None:
        """Begin no more turns anywhere; wait for the running ones, then stop them without an end."""
        self._held = True
        await asyncio.gather(*(session.hold(seconds) for session in self._sessions.values()))


def _started(turn: Turn) -> str:
    return encode(TurnStarted(seq=turn.started_seq, turn=turn.id, id=turn.client_id, text=turn.text))


def _handover(turn: Turn, last_seq: int) -> list[tuple[int, str]]:
    """The event just before the end of a turn that asks for a person; none for other turns."""
    seq = turn.done_seq - 1
    if turn.decision != DecisionKind.HAND_OVER or seq <= last_seq:
        return []
    return [(seq, encode(Handover(seq=seq, state="requested", turn=turn.id)))]


def is_over(
    seen_at: float, last_at: float, handover: StoredHandover | None, now: float, kept_s: float
) -> bool:
    """Whether a conversation can no longer be resumed.

    It can while a person is asked for, and until the customer has come back after what a person last said:
    the answer to a question of the night may come in the morning.
    """
    return handover is None and last_at <= seen_at and now - seen_at > kept_s


def _language(locale: str) -> str:
    """The language of a locale: "en" of "en-GB", "zh" of "zh_Hans"."""
    return locale.replace("_", "-").partition("-")[0].lower() or "en"
