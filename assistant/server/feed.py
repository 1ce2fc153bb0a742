"""From the devices to their users: what a device tells reaches the connections of those who may use it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from assistant.records import Device, DeviceState
from assistant.skills.devices import users_of

_GATHER_S = 0.25  # what a device tells within this time is sent as one state, the latest


class Home(Protocol):
    """The devices, as the engine has them."""

    def follow_devices(self, told: Callable[[Device, DeviceState], None]) -> None:
        """Call `told`, on any thread, whenever a device tells its state."""

    def device_states(self, customer: str) -> Sequence[tuple[Device, DeviceState]]:
        """What the devices that a customer may use have told last."""


class Listener(Protocol):
    """A connection, as the feed sees it."""

    def device_told(self, device: Device, state: DeviceState) -> None:
        """Send how a device is; never blocks."""


class DeviceFeed:
    """Passes states on, the latest only; what nobody is connected for is dropped."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._listeners: dict[str, set[Listener]] = {}
        self._of: dict[Listener, str] = {}
        self._waiting: dict[tuple[str, str], tuple[Device, DeviceState]] = {}  # guarded by _lock
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Begin to listen; call it on the event loop."""
        self._loop = asyncio.get_running_loop()
        self._home.follow_devices(self._told)

    def close(self) -> None:
        """Stop listening. May be called twice."""
        self._loop = None
        self._home.follow_devices(lambda device, state: None)

    def join(self, customer: str, listener: Listener) -> Sequence[tuple[Device, DeviceState]]:
        """Send a connection from now on what the devices of its customer tell; how they are now."""
        if not customer:
            return ()
        self._of[listener] = customer
        self._listeners.setdefault(customer, set()).add(listener)
        return self._home.device_states(customer)

    def leave(self, listener: Listener) -> None:
        """Forget a connection. May be called twice, and for one that never joined."""
        customer = self._of.pop(listener, None)
        if customer is None:
            return
        self._listeners[customer].discard(listener)
        if not self._listeners[customer]:
            del self._listeners[customer]

    def _told(self, device: Device, state: DeviceState) -> None:
        """Called on the thread of the link to the devices."""
        loop = self._loop
        if loop is None:
            return
        with self._lock:
            first = not self._waiting
            self._waiting[device.owner, device.id] = (device, state)
        if first:
            with contextlib.suppress(RuntimeError):  # the loop was closed just now
                loop.call_soon_threadsafe(loop.call_later, _GATHER_S, self._pass_on)

    def _pass_on(self) -> None:
        with self._lock:
            told, self._waiting = list(self._waiting.values()), {}
        for device, state in told:
            for customer in users_of(device):
                for listener in tuple(self._listeners.get(customer, ())):
                    listener.device_told(device, state)
