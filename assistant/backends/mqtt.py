"""Devices over MQTT. The only home of paho-mqtt.

Skills are blocking calls, so paho's client with its own network thread fits better than an asyncio one. The client
keeps the last state of every device, which the broker retains, so that reading costs no round trip; setting waits
until the device's own state topic shows the new values.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from assistant.errors import BackendError, ConfigError
from assistant.records import Device, DeviceState, DeviceValue

_STATE, _SET, _AVAILABILITY = "state", "set", "availability"
_OFFLINE = b"offline"
_MOST_BYTES = 4_096
_MOST_KEYS = 32
_KEEP_ALIVE_S = 20
_PORT, _TLS_PORT = 1883, 8883


class MqttHome:
    """The devices of all homes, over one connection. Safe from several threads; `close` may be called twice.

    `on_change` is called on the network's thread with a device and its state whenever it tells something, and when the
    broker is lost, from when on nothing is reachable; it must be quick and must not raise.
    """

    def __init__(self, url: str, credential: str = "", *, timeout_s: float = 2.0) -> None:
        """Connect in the background; a broker that is down is tried again until `close`.

        Args:
            url: `mqtt://host[:port]`, or `mqtts://` for TLS with the system's certificates.
            credential: `user:password`, "" for none.
            timeout_s: how long setting waits for the devices, and the first call for the connection.

        Raises: ConfigError: the address cannot be understood.
        """
        host, port, tls = parse_address(url)
        self._timeout_s = timeout_s
        self._changed = threading.Condition()
        self._connected = False
        self._devices: tuple[Device, ...] = ()
        self._states: dict[str, Mapping[str, DeviceValue]] = {}
        self._offline: set[str] = set()
        self._heard: dict[
            str, int
        ] = {}  # how many states a topic has shown, so that an old one is not taken for new
        self.on_change: Callable[[Device, DeviceState], None] = lambda device, state: None
        self._client = _client(credential, tls)
        self._client.reconnect_delay_set(1, 30)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.connect_async(host, port, _KEEP_ALIVE_S)
        self._client.loop_start()

    def follow(self, devices: Sequence[Device]) -> None:
        """Follow these devices, and no others."""
        with self._changed:
            old, self._devices = self._devices, tuple(devices)
        gone = {device.topic for device in old} - {device.topic for device in devices}
        if self._connected:
            for topic in gone:
                self._client.unsubscribe([f"{topic}/{_STATE}", f"{topic}/{_AVAILABILITY}"])
            self._subscribe()
        with self._changed:
            for topic in gone:
                self._states.pop(topic, None)
                self._offline.discard(topic)

    def known(self, device: Device) -> DeviceState | None:
        """The last state that a device has told, None if it has told none; asks nobody and waits for nothing."""
        with self._changed:
            return self._state(device) if device.topic in self._states else None

    def read(self, device: Device) -> DeviceState:
        """The last state that a device has told.

        Raises: BackendError: the broker cannot be reached.
        """
        with self._changed:
            self._wait_for_connection()
            self._changed.wait_for(lambda: device.topic in self._states, timeout=self._timeout_s / 4)
            return self._state(device)

    def set(self, changes: Sequence[tuple[Device, Mapping[str, DeviceValue]]]) -> list[DeviceState]:
        """Set devices and wait until each has told its new state.

        Returns: their states; one that did not confirm in time has `reachable` false.
        Raises: BackendError: the broker cannot be reached; nothing was sent.
        """
        with self._changed:
            self._wait_for_connection()
            before = {device.topic: self._heard.get(device.topic, 0) for device, _ in changes}
            reachable = [(device, values) for device, values in changes if device.topic not in self._offline]
        for device, values in reachable:
            self._client.publish(f"{device.topic}/{_SET}", json.dumps(dict(values)), qos=1)
        deadline = time.monotonic() + self._timeout_s
        states = []
        with self._changed:
            for device, values in changes:
                shows = partial(self._shows, device, values, before)
                left = max(0.0, deadline - time.monotonic())
                confirmed = (device, values) in reachable and self._changed.wait_for(shows, timeout=left)
                state = self._state(device)
                states.append(state if confirmed else DeviceState(reachable=False, values=state.values))
        return states

    def close(self) -> None:
        """Disconnect and end the thread."""
        self._client.disconnect()
        self._client.loop_stop()

    # --- under the condition's lock --------------------------------------------------------------------------

    def _wait_for_connection(self) -> None:
        if not self._changed.wait_for(lambda: self._connected, timeout=self._timeout_s / 2):
            raise BackendError("the MQTT broker cannot be reached", retryable=True)

    def _state(self, device: Device) -> DeviceState:
        values = self._states.get(device.topic)
        reachable = self._connected and values is not None and device.topic not in self._offline
        return DeviceState(reachable=reachable, values=values or {})

    def _shows(self, device: Device, values: Mapping[str, DeviceValue], before: Mapping[str, int]) -> bool:
        """Whether a state that came after the command has all the values."""
        state = self._states.get(device.topic, {})
        fresh = self._heard.get(device.topic, 0) > before[device.topic]
        return fresh and all(state.get(name) == value for name, value in values.items())

    # --- called by paho's thread -----------------------------------------------------------------------------

    def _on_connect(
        self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        if reason.is_failure:
            return
        self._subscribe()
        with self._changed:
            self._connected = True
            self._changed.notify_all()

    def _on_disconnect(
        self, _client: paho.Client, _data: Any, _flags: Any, _reason: Any, _properties: Any
    ) -> None:
        with self._changed:
            was_connected, self._connected = self._connected, False
            self._changed.notify_all()
            told = [(device, self._state(device)) for device in self._devices if device.topic in self._states]
        if was_connected:
            for device, now in told:
                self.on_change(device, now)

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        topic, _, kind = message.topic.rpartition("/")
        with self._changed:
            if kind == _AVAILABILITY:
                (self._offline.add if message.payload == _OFFLINE else self._offline.discard)(topic)
            elif kind == _STATE and (state := parse_state(bytes(message.payload))) is not None:
                self._states[topic] = state
                self._heard[topic] = self._heard.get(topic, 0) + 1
            else:
                return
            self._changed.notify_all()
            told = [(device, self._state(device)) for device in self._devices if device.topic == topic]
        for device, now in told:
            self.on_change(device, now)

    def _subscribe(self) -> None:
        topics = [
            (f"{device.topic}/{kind}", 1) for device in self._devices for kind in (_STATE, _AVAILABILITY)
        ]
        if topics:
            self._client.subscribe(topics)


class SimulatedHome:
    """Plays devices on a broker: tells their states, obeys commands. For demonstrations and tests."""

    def __init__(
        self,
        url: str,
        devices: Sequence[Device],
        states: Mapping[str, Mapping[str, DeviceValue]],
        credential: str = "",
    ) -> None:
        """Connect and tell every state.

        Args:
            url: as for `MqttHome`.
            devices: what to play.
            states: what each device's topic shows first.
            credential: as for `MqttHome`.
        """
        host, port, tls = parse_address(url)
        self.states = {topic: dict(state) for topic, state in states.items()}
        self.commands: list[tuple[str, Mapping[str, DeviceValue]]] = []
        self.silent: set[str] = set()  # topics that hear commands and do nothing
        self._devices = tuple(devices)
        self._ready = threading.Event()
        self._client = _client(credential, tls)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.connect_async(host, port, _KEEP_ALIVE_S)
        self._client.loop_start()

    def wait_until_ready(self, timeout_s: float = 10.0) -> bool:
        """Whether all commands are being heard."""
        return self._ready.wait(timeout_s)

    def tell(self, device: Device, **values: DeviceValue) -> None:
        """Change a device as if by hand, and tell its state."""
        self.states[device.topic] |= values
        self._tell(device.topic)

    def set_available(self, device: Device, available: bool) -> None:
        """Say that a device is online or offline."""
        said = b"online" if available else _OFFLINE
        self._client.publish(f"{device.topic}/{_AVAILABILITY}", said, qos=1, retain=True).wait_for_publish(
            5.0
        )

    def close(self) -> None:
        """Disconnect. May be called twice."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(
        self, client: paho.Client, _data: Any, _flags: Any, _reason: Any, _properties: Any
    ) -> None:
        client.subscribe([(f"{device.topic}/{_SET}", 1) for device in self._devices])

    def _on_subscribe(self, client: paho.Client, *_: Any) -> None:
        for device in self._devices:
            client.publish(f"{device.topic}/{_AVAILABILITY}", b"online", qos=1, retain=True)
            self._tell(device.topic)
        self._ready.set()

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        topic = message.topic.rpartition("/")[0]
        values = parse_state(bytes(message.payload))
        if values is None or topic not in self.states:
            return
        self.commands.append((topic, values))
        if topic not in self.silent:
            self.states[topic] |= values
            self._tell(topic)

    def _tell(self, topic: str) -> None:
        self._client.publish(f"{topic}/{_STATE}", json.dumps(self.states[topic]), qos=1, retain=True)


def _client(credential: str, tls: bool) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    if credential:
        user, _, password = credential.partition(":")
        client.username_pw_set(user, password)
    if tls:
        client.tls_set()
    return client


def parse_address(url: str) -> tuple[str, int, bool]:
    """Host, port and whether TLS is used.

    Raises: ConfigError: not an MQTT address.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(
            f"setting mqtt_url: {url!r} is not an address such as mqtt://127.0.0.1:1883"
        ) from error
    if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname or parts.path.strip("/"):
        raise ConfigError(f"setting mqtt_url: {url!r} is not an address such as mqtt://127.0.0.1:1883")
    if parts.username or parts.password:
        raise ConfigError("setting mqtt_url: put user and password into mqtt_credential, not into the URL")
    tls = parts.scheme == "mqtts"
    return unquote(parts.hostname), port or (_TLS_PORT if tls else _PORT), tls


def parse_state(payload: bytes) -> Mapping[str, DeviceValue] | None:
    """The values of a state or a command; None if it is not a small JSON object of plain values."""
    if len(payload) > _MOST_BYTES:
        return None
    try:
        state = json.loads(payload, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not isinstance(state, dict) or len(state) > _MOST_KEYS:
        return None
    plain = all(isinstance(value, bool | int | float | str) for value in state.values())
    return state if plain else None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
