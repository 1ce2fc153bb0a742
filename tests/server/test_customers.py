"""Who is signed in, whose session it is, and what customers did with products."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest

from assistant.config import load_settings
from assistant.errors import ConfigError
from assistant.records import Signal
from assistant.server import Server
from assistant.server.customers import sign_customer
from tests.server.harness import Client, ScriptedRunner, eventually, make_settings, run, running

KEY = "k" * 32
NOW = 1_763_985_600.0
HOUR_AHEAD = int(NOW) + 3600


def token(customer: str, expiry: int = HOUR_AHEAD, key: str = KEY) -> str:
    """A token made as docs/protocol.md says, independently of our code."""
    signed = base64.urlsafe_b64encode(customer.encode()).decode().rstrip("=") + f".{expiry}"
    mac = hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


async def refused(server: Server, customer: str) -> tuple[str, int]:
    """Greet with a token that is not taken; the error and the close code."""
    client = Client(server)
    await client.connect(greet=False)
    await client.send(type="hello", v=1, customer=customer)
    code = await client.closed()
    assert client.errors[0]["fatal"]
    return client.errors[0]["code"], code


def test_signed_customer_reaches_the_turn(tmp_path: Path) -> None:
    """The id in a genuine token is the customer of every turn; a guest has none; the session's id is passed."""

    async def scenario() -> None:
        runner = ScriptedRunner(pieces=1)
        settings = make_settings(tmp_path, customer_key=KEY)
        async with running(settings, runner, clock=lambda: NOW) as server:
            for hello, expected in (({"customer": token("C-1")}, "C-1"), ({}, "")):
                async with Client(server, **hello) as client:
                    await client.answer("hello")
                    assert (runner.requests[-1].customer, runner.requests[-1].session) == (
                        expected,
                        client.session,
                    )

    run(scenario())


def test_documented_recipe_makes_the_tokens_of_the_code() -> None:
    """The recipe of docs/protocol.md, written here independently, and `sign_customer` agree."""
    assert sign_customer("C-1", HOUR_AHEAD, KEY) == token("C-1")


@pytest.mark.parametrize(
    ("made", "code", "close"),
    [
        (token("C-1", int(NOW)), "customer_expired", 4410),
        (token("C-1", key="x" * 32), "customer_refused", 4403),
        (token("C-1").replace(".", "", 1), "customer_refused", 4403),
        (token("C-1")[:-1], "customer_refused", 4403),
        (token("C-2").split(".")[0] + "." + token("C-1").split(".", 1)[1], "customer_refused", 4403),
        (token("C-1", 1).replace(".1.", f".{HOUR_AHEAD}."), "customer_refused", 4403),
        (token("white space"), "customer_refused", 4403),
        (token("ключ"), "customer_refused", 4403),
        ("", "customer_refused", 4403),
        ("C-1", "customer_refused", 4403),
    ],
)
def test_token_that_is_not_genuine_or_too_old_is_refused(
    tmp_path: Path, made: str, code: str, close: int
) -> None:
    """A typed, fatal error: expired ones can be replaced, others cannot; no session is made."""

    async def scenario() -> None:
        settings = make_settings(tmp_path, customer_key=KEY)
        async with running(settings, ScriptedRunner(), clock=lambda: NOW) as server:
            assert await refused(server, made) == (code, close)
            assert server.health()["sessions"] == 0

    run(scenario())


def test_no_token_is_taken_without_a_key(tmp_path: Path) -> None:
    """The default: whatever a client claims to be, even signed with an empty key, is refused."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner(), clock=lambda: NOW) as server:
            assert await refused(server, token("C-1", key="")) == ("customer_refused", 4403)

    run(scenario())


def test_short_key_is_a_wrong_setting(tmp_path: Path) -> None:
    """A key that can be guessed is refused at start."""
    with pytest.raises(ConfigError, match="32 characters"):
        load_settings(data=tmp_path, customer_key="secret")


@pytest.mark.parametrize("restart", [False, True])
def test_session_belongs_to_its_customer_alone(tmp_path: Path, restart: bool) -> None:
    """Another customer, or a guest, who knows the session's id gets a new one, and reads nothing."""

    async def scenario() -> None:
        settings = make_settings(tmp_path, customer_key=KEY)
        runner = ScriptedRunner(pieces=1)
        owner_hello = {"customer": token("C-1")}
        async with running(settings, runner, clock=lambda: NOW) as server:
            owner = Client(server, **owner_hello)
            await owner.connect()
            await owner.answer("my secret")
            if not restart:
                await others_read_nothing(server, owner)
        if restart:
            async with running(settings, runner, clock=lambda: NOW) as server:
                await others_read_nothing(server, owner)

    async def others_read_nothing(server: Server, owner: Client) -> None:
        for hello in ({"customer": token("C-2")}, {}):
            thief = Client(server, **hello)
            thief.session = owner.session
            await thief.connect()
            assert thief.ready["resumed"] is False
            assert thief.session != owner.session
            await thief.settle()
            assert thief.events == []
            await thief.close()
        owner.last_seq = 0
        owner.done.clear()
        await owner.close()
        await owner.connect(server)
        assert owner.ready["resumed"] is True
        assert (await owner.wait_for("turn.done"))["text"] == "0 my secret. "
        await owner.close()

    run(scenario())


def test_guest_who_signs_in_keeps_the_conversation_and_it_is_theirs_from_then_on(tmp_path: Path) -> None:
    """Resuming a guest's session with a token binds it, also in the database."""

    async def scenario() -> None:
        settings = make_settings(tmp_path, customer_key=KEY)
        runner = ScriptedRunner(pieces=1)
        async with running(settings, runner, clock=lambda: NOW) as server:
            client = Client(server)
            await client.connect()
            await client.answer("as a guest")
            await client.close()
            client.hello = {"customer": token("C-1")}
            await client.connect()
            assert client.ready["resumed"] is True
            await client.answer("signed in")
            assert runner.requests[-1].customer == "C-1"
            assert runner.requests[-1].history[0].text == "as a guest"
        async with running(settings, runner, clock=lambda: NOW) as server:
            client.hello = {}
            await client.connect(server)
            assert client.ready["resumed"] is False
            await client.close()

    run(scenario())


# --- product events ----------------------------------------------------------------------------------------


def test_product_events_reach_the_next_turn_also_after_a_restart(tmp_path: Path) -> None:
    """In their order; the session exists from its first event on."""

    async def scenario() -> None:
        runner = ScriptedRunner(pieces=1)
        client: Any = None
        async with running(make_settings(tmp_path), runner) as server:
            client = Client(server)
            await client.connect()
            for kind in ("view", "tap", "dismiss", "purchase"):
                await client.send(type="event", kind=kind, sku="LAMP-1")
            await client.settle()
        async with running(make_settings(tmp_path), runner) as server:
            await client.connect(server)
            assert client.ready["resumed"] is True
            await client.answer("what next?")
            await client.close()
        assert runner.requests[-1].signals == tuple(
            Signal(kind, "LAMP-1") for kind in ("view", "tap", "dismiss", "purchase")
        )

    run(scenario())


def test_only_the_last_hundred_events_are_kept(tmp_path: Path) -> None:
    """In memory and in the database."""

    async def scenario() -> None:
        runner = ScriptedRunner(pieces=1)
        async with running(make_settings(tmp_path), runner) as server:
            client = Client(server)
            await client.connect()
            await client.send(type="event", kind="dismiss", sku="LAMP-1")
            for _ in range(100):
                await client.send(type="event", kind="view", sku="LAMP-1")
            await client.answer("in memory")
        async with running(make_settings(tmp_path), runner) as server:
            await client.connect(server)
            await client.answer("restored")
            await client.close()
        for request in runner.requests:
            assert [signal.kind for signal in request.signals] == ["view"] * 100

    run(scenario())


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"kind": "stare", "sku": "LAMP-1"},
        {"kind": "tap"},
        {"kind": "tap", "sku": ""},
        {"kind": "tap", "sku": "x" * 65},
        {"kind": "tap", "sku": 5},
        {"kind": "tap", "sku": "SOFA-9"},
    ],
)
def test_event_of_unknown_kind_or_product_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    """`invalid`, naming the field; nothing is kept."""

    async def scenario() -> None:
        runner = ScriptedRunner(pieces=1)
        async with running(make_settings(tmp_path), runner) as server, Client(server) as client:
            await client.send(type="event", **fields)
            error = await client.wait_for("error")
            assert (error["code"], error["fatal"]) == ("invalid", False)
            await client.answer("go on")
            assert runner.requests[-1].signals == ()

    run(scenario())


def test_events_count_towards_the_rate_limit(tmp_path: Path) -> None:
    """A client that floods with events is told so, and the surplus is not kept."""

    async def scenario() -> None:
        runner = ScriptedRunner(pieces=1)
        settings = make_settings(tmp_path, max_messages_per_minute=5)
        async with running(settings, runner) as server, Client(server) as client:
            for _ in range(8):
                await client.send(type="event", kind="tap", sku="LAMP-1")
            assert (await client.wait_for("error"))["code"] == "rate_limited"
            session = server._sessions.at_hand(client.session)  # type: ignore[arg-type]
            assert session is not None
            await eventually(lambda: len(session._signals) == 4)  # hello took one

    run(scenario())
