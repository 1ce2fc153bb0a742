"""Devices over a real MQTT broker: reading, setting with confirmation, outages, odd payloads."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from assistant.backends.mqtt import MqttHome, SimulatedHome, parse_address, parse_state
from assistant.errors import BackendError, ConfigError
from assistant.records import Device, DeviceState, DeviceType
from tests.broker import MOSQUITTO, REASON, Broker

LAMP = Device("lamp", "floor lamp", "living room", DeviceType.LAMP, "C-1", "t/lamp")
LOCK = Device("door", "front door", "hall", DeviceType.LOCK, "C-1", "t/door")
SILENT = replace(LAMP, id="silent", topic="t/silent")
STATES = {"t/lamp": {"on": False, "brightness": 80}, "t/door": {"locked": True}, "t/silent": {"on": False}}

needs_broker = pytest.mark.skipif(MOSQUITTO is None, reason=REASON)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    running = Broker(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def played(broker: Broker) -> Iterator[SimulatedHome]:
    home = SimulatedHome(broker.url, [LAMP, LOCK, SILENT], STATES)
    assert home.wait_until_ready()
    home.silent.add("t/silent")
    yield home
    home.close()


@pytest.fixture
def home(broker: Broker, played: SimulatedHome) -> Iterator[MqttHome]:
    link = MqttHome(broker.url, timeout_s=4.0)
    link.follow([LAMP, LOCK, SILENT])
    yield link
    link.close()
    link.close()


@needs_broker
def test_retained_state_is_read(home: MqttHome) -> None:
    """What a device told before we connected is known."""
    assert home.read(LOCK) == DeviceState(True, {"locked": True})


@needs_broker
def test_setting_waits_for_the_devices_own_word(home: MqttHome, played: SimulatedHome) -> None:
    """The new state is what the device tells, and the command is what was asked."""
    home.read(LAMP)
    assert home.set([(LAMP, {"on": True, "brightness": 40})]) == [
        DeviceState(True, {"on": True, "brightness": 40})
    ]
    assert played.commands == [("t/lamp", {"on": True, "brightness": 40})]


@needs_broker
def test_device_that_does_not_confirm_is_unreachable(broker: Broker, played: SimulatedHome) -> None:
    """One silent device does not spoil the others, and its old state is not called new."""
    link = MqttHome(broker.url, timeout_s=1.0)
    link.follow([LAMP, SILENT])
    link.read(SILENT)
    started = time.monotonic()
    lamp, silent = link.set([(LAMP, {"on": True}), (SILENT, {"on": False})])
    assert time.monotonic() - started < 2.5
    assert lamp.reachable
    assert silent == DeviceState(False, {"on": False})
    link.close()


@needs_broker
def test_offline_device_is_not_sent_anything(home: MqttHome, played: SimulatedHome) -> None:
    """Its availability topic is believed, and when it is back it obeys again."""
    changed = threading.Event()
    home.on_change = lambda device, state: changed.set()
    home.read(LAMP)
    played.set_available(LAMP, False)
    for _ in range(20):  # other changes may come first
        changed.clear()
        if not home.read(LAMP).reachable:
            break
        changed.wait(1)
    assert not home.read(LAMP).reachable
    assert not home.set([(LAMP, {"on": True})])[0].reachable
    assert played.commands == []
    back = threading.Event()
    home.on_change = lambda device, state: back.set() if state.reachable else None
    played.set_available(LAMP, True)
    assert back.wait(10)
    assert home.set([(LAMP, {"on": True})])[0].reachable


@needs_broker
def test_change_by_hand_is_told(home: MqttHome, played: SimulatedHome) -> None:
    """Whoever listens hears of a door that was opened at the door."""
    told = threading.Event()
    home.read(LOCK)
    opened = (LOCK, DeviceState(True, {"locked": False}))
    home.on_change = lambda device, state: told.set() if (device, state) == opened else None
    played.tell(LOCK, locked=False)
    assert told.wait(10)


@needs_broker
def test_unknown_device_has_no_state(home: MqttHome) -> None:
    """A device that never told anything is not reachable."""
    assert home.read(replace(LAMP, topic="t/none")) == DeviceState(False, {})


@needs_broker
def test_broker_that_goes_away_is_an_error_until_it_is_back(broker: Broker, home: MqttHome) -> None:
    """Reading and setting fail honestly, and work again without a restart."""
    home.read(LAMP)
    broker.stop()
    quick = MqttHome(broker.url, timeout_s=0.2)
    quick.follow([LAMP])
    with pytest.raises(BackendError) as caught:
        quick.set([(LAMP, {"on": True})])
    assert caught.value.retryable
    broker.start()
    again = SimulatedHome(broker.url, [LAMP], STATES)
    assert again.wait_until_ready()
    patient = MqttHome(broker.url, timeout_s=10.0)
    patient.follow([LAMP])
    assert patient.set([(LAMP, {"on": True})])[0].reachable
    for link in (quick, patient, again):
        link.close()


@needs_broker
def test_odd_payloads_are_passed_over(broker: Broker, home: MqttHome) -> None:
    """Whatever another client writes to a state topic, the last good state stands."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for payload in (
        b"",
        b"[]",
        b"{",
        b'{"on": {}}',
        b"\xff",
        b'{"on": NaN}',
        b'{"x": "' + b"y" * 5000 + b'"}',
    ):
        client.publish("t/lamp/state", payload, qos=1).wait_for_publish(5)
    client.publish("t/lamp/state", b'{"on": true, "brightness": 7}', qos=1).wait_for_publish(5)
    seen = threading.Event()
    home.on_change = lambda device, state: seen.set() if state.values.get("brightness") == 7 else None
    client.publish("t/lamp/state", b'{"on": true, "brightness": 7}', qos=1).wait_for_publish(5)
    assert seen.wait(10)
    assert home.read(LAMP).values == {"on": True, "brightness": 7}
    client.loop_stop()
    client.disconnect()


def test_nobody_listening_is_an_error_in_time() -> None:
    """No broker at all: said within the time given."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    link = MqttHome(f"mqtt://127.0.0.1:{port}", timeout_s=0.4)
    started = time.monotonic()
    with pytest.raises(BackendError):
        link.read(LAMP)
    assert time.monotonic() - started < 2.0
    link.close()


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("mqtt://broker.example", ("broker.example", 1883, False)),
        ("mqtts://broker.example", ("broker.example", 8883, True)),
        ("mqtt://[::1]:1999", ("::1", 1999, False)),
    ],
)
def test_address_is_read(url: str, parsed: tuple[str, int, bool]) -> None:
    """Ports follow the scheme (registered with IANA: 1883 and 8883)."""
    assert parse_address(url) == parsed


@pytest.mark.parametrize(
    "url", ["", "broker", "http://x", "mqtt://", "mqtt://x:abc", "mqtt://u:p@x", "mqtt://x/topic"]
)
def test_wrong_address_is_refused(url: str) -> None:
    """The operator reads which setting is wrong."""
    with pytest.raises(ConfigError, match="mqtt_url"):
        parse_address(url)


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.booleans() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_payload_is_read_without_error(payload: bytes) -> None:
    """A state is a small object of plain values, or none."""
    state = parse_state(payload)
    assert state is None or isinstance(state, dict)
