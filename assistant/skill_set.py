"""Joins the skills with what stands behind them: where orders are kept, the catalogue, the link to devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from assistant.config import Settings
from assistant.protocols import Skill
from assistant.records import Device, DeviceState, Knowledge, UnitKind
from assistant.skills.attempts import PAUSE, Attempts, MemoryAttempts
from assistant.skills.catalogue import Catalogue, LastShown
from assistant.skills.desk import Orders
from assistant.skills.devices import DeviceControl, DeviceMemory, DeviceStatus, Home, users_of
from assistant.skills.orders import OrderSkills
from assistant.skills.product_info import Preview, ProductInfo
from assistant.skills.recommend import Recommend
from assistant.skills.scan import Scan
from assistant.skills.taste import Taste
from assistant.storage.attempts import StoredAttempts
from assistant.storage.backoffice import BackOffice
from assistant.storage.snapshots import Snapshot


class LinkedHome(Home, Protocol):
    """Devices that also tell by themselves how they are."""

    on_change: Callable[[Device, DeviceState], None]

    def known(self, device: Device) -> DeviceState | None:
        """What a device has told last, None if nothing; waits for nothing."""


class SkillSet:
    """What outlives a snapshot: connections. Each snapshot gets skills of its own."""

    def __init__(
        self,
        settings: Settings,
        embed: Callable[[Sequence[str]], NDArray[np.float32]],
        *,
        rehearsal: bool = False,
    ) -> None:
        """Open what the settings name; for a rehearsal a back-office and a home of its own, gone at the end.

        Raises: ConfigError: an address is wrong. BackendError: the demonstration back-office cannot be opened.
        """
        self._embed = embed
        self._hosts = settings.shop_hosts
        self._timezone = "UTC"
        self._office: BackOffice | None = None
        self._orders: Orders
        self._closing: list[Callable[[], None]] = []
        self._attempts: Attempts = MemoryAttempts()
        if not rehearsal:
            stored = StoredAttempts(settings.data / "attempts.sqlite", PAUSE)
            self._attempts = stored
            self._closing.append(stored.close)
        if rehearsal:
            folder = TemporaryDirectory(prefix="assistant-rehearsal-")
            self._orders = self._office = BackOffice(Path(folder.name) / "backoffice.sqlite", now=self._now)
            self._closing += [self._office.close, folder.cleanup]
        elif settings.orders_url:
            from assistant.backends.orders_http import HttpOrders

            remote = HttpOrders(
                settings.orders_url, settings.orders_credential, timeout_s=settings.orders_timeout_s
            )
            self._orders = remote
            self._closing.append(remote.close)
        else:
            self._orders = self._office = BackOffice(settings.data / "backoffice.sqlite", now=self._now)
            self._closing.append(self._office.close)
        self._home: LinkedHome | None = None
        self._devices: tuple[Device, ...] = ()
        self._follow: Callable[[Knowledge], None] = lambda knowledge: None
        if rehearsal:
            from assistant.simulated_home import ObedientHome

            self._home = ObedientHome()
        elif settings.mqtt_url:
            from assistant.backends.mqtt import MqttHome

            home = MqttHome(settings.mqtt_url, settings.mqtt_credential, timeout_s=settings.device_timeout_s)
            self._home = home
            self._follow = lambda knowledge: home.follow(knowledge.devices)
            self._closing.append(home.close)

    def skills(self, snapshot: Snapshot) -> Mapping[str, Skill]:
        """The skills for a snapshot, by the names that intents.yaml uses; those without data are left out."""
        knowledge = snapshot.knowledge
        self._timezone = knowledge.shop.timezone
        by_sku = {product.sku: product for product in knowledge.products}
        rules = knowledge.shop.orders
        found: dict[str, Skill] = {}
        if self._office is not None:
            self._office.seed(knowledge.orders)
            if rules is not None:
                self._office.limit_moves(rules.most_moves, rules.most_days_moved)
        if knowledge.orders or self._office is None:
            skills = OrderSkills(
                self._orders, by_sku, knowledge.passages, rules=rules, now=self._now, attempts=self._attempts
            )
            found |= skills.by_action
        if knowledge.products:
            catalogue = Catalogue(knowledge.products, knowledge.passages)
            shown = LastShown()
            taste = Taste(knowledge.products, product_vectors(snapshot), knowledge.interactions)
            found["recommend"] = Recommend(catalogue, taste, self._embed, shown)
            found["product_info"] = ProductInfo(catalogue, shown)
            found["preview"] = Preview(catalogue, shown)
            found["scan"] = Scan(catalogue, taste, self._hosts, shown)
        self._devices = knowledge.devices
        if knowledge.devices:
            self._follow(knowledge)
            memory = DeviceMemory()
            found["device_control"] = DeviceControl(
                self._home, knowledge.devices, self._now, memory, self._attempts
            )
            found["device_status"] = DeviceStatus(self._home, knowledge.devices, memory)
        return found

    def follow_devices(self, told: Callable[[Device, DeviceState], None]) -> None:
        """Call `told`, on any thread, whenever a device tells its state; it must be quick and must not raise."""
        if self._home is not None:
            self._home.on_change = told

    def device_states(self, customer: str) -> list[tuple[Device, DeviceState]]:
        """What the devices that a customer may use have told last; those that told nothing are left out."""
        if self._home is None or not customer:
            return []
        mine = [device for device in self._devices if customer in users_of(device)]
        known = [(device, self._home.known(device)) for device in mine]
        return [(device, state) for device, state in known if state is not None]

    def close(self) -> None:
        """Close all connections. May be called twice."""
        for close in self._closing:
            close()

    def _now(self) -> datetime:
        """The shop's clock, without zone, as the skills count in the shop's days."""
        return datetime.now(ZoneInfo(self._timezone)).replace(tzinfo=None)


def vocabulary(knowledge: Knowledge) -> Mapping[str, Sequence[str]]:
    """Names that slots of a type may have."""
    return {"product": tuple(product.name.casefold() for product in knowledge.products)}


def product_vectors(snapshot: Snapshot) -> NDArray[np.float32]:
    """One vector for each product: that of its catalogue passage, zeros where there is none."""
    bodies = {
        snapshot.knowledge.passages[unit.passage].title: row
        for row, unit in enumerate(snapshot.units)
        if unit.kind is UnitKind.BODY
    }
    vectors = np.asarray(snapshot.vectors)
    found = np.zeros((len(snapshot.knowledge.products), vectors.shape[1]), np.float32)
    for place, product in enumerate(snapshot.knowledge.products):
        row = bodies.get(product.name)
        if row is not None:
            found[place] = vectors[row]
    return found
