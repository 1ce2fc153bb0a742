"""Plays the homes of devices.yaml on an MQTT broker, for demonstrations: `python -m assistant.simulated_home`."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from assistant.backends.mqtt import SimulatedHome
from assistant.errors import ConfigError
from assistant.ingestion.home import read_devices
from assistant.ingestion.sources import Findings, SourceFile
from assistant.records import Device, DeviceState, DeviceType, DeviceValue

_FIRST: Mapping[DeviceType, Mapping[str, DeviceValue]] = {
    DeviceType.LAMP: {"on": False, "brightness": 80},
    DeviceType.PLUG: {"on": True, "watts": 12},
    DeviceType.THERMOSTAT: {"target": 20.0, "temperature": 19.5, "battery": 74},
    DeviceType.AIR_CONDITIONER: {"on": False, "target": 23.0, "temperature": 21.0},
    DeviceType.LOCK: {"locked": True, "battery": 58},
    DeviceType.SENSOR: {"open": False, "battery": 91},
}


class ObedientHome:
    """Devices in memory that obey at once; for rehearsing conversations without a broker. Implements `Home`."""

    def __init__(self) -> None:
        self._states: dict[str, dict[str, DeviceValue]] = {}
        self.on_change: Callable[[Device, DeviceState], None] = lambda device, state: None

    def known(self, device: Device) -> DeviceState:
        """As `read`."""
        return self.read(device)

    def read(self, device: Device) -> DeviceState:
        """The state that was set last, or the first one."""
        return DeviceState(True, dict(self._states.get(device.topic, _FIRST[device.type])))

    def set(self, changes: Sequence[tuple[Device, Mapping[str, DeviceValue]]]) -> list[DeviceState]:
        """Take over the values."""
        for device, values in changes:
            self._states[device.topic] = {**self.read(device).values, **values}
            self.on_change(device, self.read(device))
        return [self.read(device) for device, _ in changes]


def first_states(devices: list[Device]) -> dict[str, Mapping[str, DeviceValue]]:
    """How simulated devices are when they start."""
    return {device.topic: _FIRST[device.type] for device in devices}


@click.command()
@click.option("--url", default="mqtt://127.0.0.1:1883", show_default=True, help="The broker.")
@click.option("--credential", default="", help="user:password, if the broker asks for them.")
@click.option(
    "--devices",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=Path("knowledge/devices.yaml"),
    show_default=True,
    help="Which homes to play.",
)
def main(url: str, credential: str, file: Path) -> None:
    """Play the devices of a devices.yaml until interrupted."""
    findings = Findings()
    devices = read_devices(SourceFile(file.name, file, file.read_bytes()), findings)
    for problem in findings.problems:
        click.echo(str(problem), err=True)
    if findings.problems:
        sys.exit(1)
    try:
        home = SimulatedHome(url, devices, first_states(devices), credential)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ready = home.wait_until_ready()
    click.echo(f"{len(devices)} devices play on {url}" if ready else f"no broker answers at {url}", err=True)
    if ready:
        ended.wait()
    home.close()
    sys.exit(0 if ready else 1)


if __name__ == "__main__":
    main()
