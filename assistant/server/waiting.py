"""The open hand-overs of a server: who waits in which order, and who speaks with whom. In memory; no I/O."""

from __future__ import annotations

from typing import Protocol

from assistant.records import SessionId
from assistant.storage.handovers import HandoverState, Said, StoredHandover


class Watcher(Protocol):
    """Who is told of hand-overs; called within the loop, must not block."""

    def handover_changed(self, handover: StoredHandover) -> None:
        """A hand-over began, changed its state or ended."""

    def customer_said(self, handover: StoredHandover, said: Said) -> None:
        """The customer wrote to the person who speaks with them, or will."""

    def customer_moved(self, handover: StoredHandover, connected: bool) -> None:
        """The customer came or went."""


class HandoverQueue:
    """All open hand-overs; every change goes through here, so that all who watch agree."""

    def __init__(self) -> None:
        self._open: dict[str, StoredHandover] = {}
        self._by_session: dict[SessionId, str] = {}
        self._watchers: list[Watcher] = []

    def watch(self, watcher: Watcher) -> None:
        """Tell somebody of every change from now on."""
        self._watchers.append(watcher)

    def put(self, handover: StoredHandover) -> None:
        """Note a hand-over as it is now; one that has ended leaves."""
        if handover.state is HandoverState.ENDED:
            self._open.pop(handover.id, None)
            self._by_session.pop(handover.session, None)
        else:
            self._open[handover.id] = handover
            self._by_session[handover.session] = handover.id
        for watcher in self._watchers:
            watcher.handover_changed(handover)

    def tell_said(self, handover: StoredHandover, said: Said) -> None:
        """Pass on what a customer wrote."""
        for watcher in self._watchers:
            watcher.customer_said(handover, said)

    def tell_moved(self, session: SessionId, connected: bool) -> None:
        """Pass on that a customer came or went; nothing if no hand-over is open."""
        handover = self.of_session(session)
        if handover is not None:
            for watcher in self._watchers:
                watcher.customer_moved(handover, connected)

    def find(self, handover_id: str) -> StoredHandover | None:
        """An open hand-over by its id."""
        return self._open.get(handover_id)

    def of_session(self, session: SessionId) -> StoredHandover | None:
        """The open hand-over of a session."""
        handover_id = self._by_session.get(session)
        return self._open.get(handover_id) if handover_id is not None else None

    def waiting(self) -> list[StoredHandover]:
        """Those who wait, first in the queue first."""
        return sorted(
            (one for one in self._open.values() if one.state is HandoverState.WAITING),
            key=lambda one: (one.rank, one.requested_at),
        )

    def active(self) -> list[StoredHandover]:
        """Those who speak with an agent, longest first."""
        return sorted(
            (one for one in self._open.values() if one.state is HandoverState.ACTIVE),
            key=lambda one: one.requested_at,
        )

    def position(self, handover_id: str) -> int:
        """Place in the queue from 1; the last place and one more for who does not wait yet."""
        waiting = self.waiting()
        return next(
            (place for place, one in enumerate(waiting, 1) if one.id == handover_id), len(waiting) + 1
        )

    def back(self) -> float:
        """A rank behind all who wait."""
        return max((one.rank for one in self._open.values()), default=0.0) + 1.0

    def front(self) -> float:
        """A rank before all who wait."""
        return min((one.rank for one in self._open.values()), default=0.0) - 1.0
