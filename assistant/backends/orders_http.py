"""The shop's own order system over HTTP, as docs/orders-api.yaml describes it. The only home of urllib3."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from datetime import date
from typing import Any
from urllib.parse import quote, urlsplit

import urllib3
from pydantic import TypeAdapter, ValidationError

from assistant.errors import BackendError, ConfigError
from assistant.records import Order, OrderChange, Refusal

_MOST_BYTES = 1_000_000
_MOST_ORDERS = 100
_PIECE_BYTES = 16_384
_ORDER = TypeAdapter(Order)
_TEXT_CHARS = 2_000


class HttpOrders:
    """Orders that the shop's own system keeps. Blocking; safe from several threads.

    Each call ends within `timeout_s`, however slowly the system answers; a skill makes at most two calls.
    """

    def __init__(self, url: str, credential: str = "", *, timeout_s: float = 1.4) -> None:
        """Prepare the client; nothing is sent yet.

        Args:
            url: where the API begins, such as `https://shop.example/assistant-api`.
            credential: sent as a bearer token (RFC 6750, section 2.1), "" for none.
            timeout_s: for one request, from connecting to the last byte.

        Raises: ConfigError: the URL is not an HTTP address.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ConfigError(
                f"setting orders_url: {url!r} is not an address such as https://shop.example/assistant-api"
            )
        if parts.username or parts.password:
            raise ConfigError(
                "setting orders_url: put the credential into orders_credential, not into the URL"
            )
        self._base = url.rstrip("/")
        self._timeout_s = timeout_s
        self._headers = {"Accept": "application/json"}
        if credential:
            self._headers["Authorization"] = f"Bearer {credential}"
        self._pool = urllib3.PoolManager(maxsize=16, retries=False)

    def order(self, order_number: str) -> Order | None:
        """Look an order up; None if there is none of that number.

        Raises: BackendError: the system is slow, down, refuses, or answers nonsense.
        """
        status, body = self._request("GET", f"/orders/{quote(order_number, safe='')}")
        if status == 404:
            return None
        order = _parse_order(self._expect(status, body, 200))
        if order.order_number != order_number:
            raise BackendError("the order system answered with another order than was asked for")
        return order

    def orders_of(self, customer: str) -> tuple[Order, ...]:
        """Orders of a signed-in customer, newest first; none for a guest.

        Raises: BackendError: as for `order`.
        """
        if not customer:
            return ()
        status, body = self._request("GET", f"/customers/{quote(customer, safe='')}/orders")
        if status == 404:
            return ()
        answer = self._expect(status, body, 200)
        listed = answer.get("orders")
        if not isinstance(listed, list):
            raise BackendError("the order system's answer has no list of orders")
        orders = [_parse_order(item) for item in listed[:_MOST_ORDERS]]
        # A mix-up there must not become a leak here.
        own = [order for order in orders if order.customer_id == customer]
        return tuple(sorted(own, key=lambda order: (order.placed, order.order_number), reverse=True))

    def change(self, order: Order, change: OrderChange, key: str) -> Refusal | None:
        """Ask for a change of an order of this version, once per key; None when it is done.

        Raises: BackendError: as for `order`; whether the change was made is then unknown, and asking again with
            the same key is safe.
        """
        body = {
            "kind": change.kind.value,
            "values": dict(change.values),
            "version": order.version,
        }
        status, answer = self._request(
            "POST", f"/orders/{quote(order.order_number, safe='')}/changes", body, {"Idempotency-Key": key}
        )
        if status == 409:
            reason = self._expect(status, answer, 409).get("reason")
            return Refusal(reason) if reason in set(Refusal) else Refusal.NOT_POSSIBLE
        if status not in {200, 201, 204}:
            raise BackendError(f"the order system answered with status {status}", retryable=status >= 500)
        return None

    def close(self) -> None:
        """Close all connections. May be called twice."""
        self._pool.clear()

    def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Send a request and read the whole answer before the deadline.

        A connection that the other side had closed meanwhile is tried once more: reading does no harm, and changes
        carry their key.
        """
        deadline = time.monotonic() + self._timeout_s
        try:
            try:
                return self._exchange(method, path, body, headers or {}, deadline)
            except urllib3.exceptions.ProtocolError:
                return self._exchange(method, path, body, headers or {}, deadline)
        except urllib3.exceptions.HTTPError as error:
            raise BackendError(
                f"the order system cannot be reached: {type(error).__name__}", retryable=True
            ) from error

    def _exchange(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str],
        deadline: float,
    ) -> tuple[int, bytes]:
        left = deadline - time.monotonic()
        if left <= 0:
            raise BackendError("the order system does not answer in time", retryable=True)
        response = self._pool.request(
            method,
            self._base + path,
            json=body,
            headers={**self._headers, **headers, **({"Content-Type": "application/json"} if body else {})},
            timeout=urllib3.Timeout(total=left),
            redirect=False,
            preload_content=False,
        )
        try:
            received = bytearray()
            while piece := response.read1(_PIECE_BYTES):
                received += piece
                if len(received) > _MOST_BYTES:
                    raise BackendError(f"the order system's answer is longer than {_MOST_BYTES} bytes")
                if time.monotonic() > deadline:
                    raise BackendError("the order system does not answer in time", retryable=True)
        except BaseException:
            response.close()
            raise
        response.release_conn()
        return response.status, bytes(received)

    @staticmethod
    def _expect(status: int, body: bytes, wanted: int) -> dict[str, Any]:
        """The JSON object of an answer."""
        if status != wanted:
            raise BackendError(
                f"the order system answered with status {status}", retryable=status >= 500 or status == 429
            )
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise BackendError("the order system's answer is not JSON") from error
        if not isinstance(answer, dict):
            raise BackendError("the order system's answer is not a JSON object")
        return answer


def _parse_order(answer: object) -> Order:
    """An order from JSON; what it does not have to say may be missing."""
    try:
        order = _ORDER.validate_python(answer if isinstance(answer, dict) else {})
    except ValidationError as error:
        fields = ", ".join(sorted({".".join(str(part) for part in item["loc"]) for item in error.errors()}))
        raise BackendError(
            f"the order system's answer does not fit docs/orders-api.yaml: {fields}"
        ) from error
    texts = [value for name in Order.__slots__ if isinstance(value := getattr(order, name), str)]
    if any(len(text) > _TEXT_CHARS for text in texts):
        raise BackendError(f"the order system's answer has a text longer than {_TEXT_CHARS} characters")
    if not (math.isfinite(order.total) and order.total >= 0):
        raise BackendError("the order system's answer has a total that is no amount")
    days = (order.placed, order.expected, order.slot.partition(" ")[0])
    if not order.placed or not all(_is_date(day) for day in days if day):
        raise BackendError("the order system's answer has a date that is not written like 2026-11-24")
    return order


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == len("2026-11-24")
