"""Personal data: not in logs, not in another session, gone when its time is over; and docs/privacy.md says so."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from assistant.config import Settings
from assistant.storage.tables import METADATA
from tests.server.harness import Agent, Client, ScriptedRunner, hire, make_settings, run, running

PRIVACY = (Path(__file__).parents[2] / "docs" / "privacy.md").read_text(encoding="utf-8")
SECRET = "gnome-in-my-garden"
NOW = 1_763_985_600.0


async def everything(client: Client) -> None:
    """A conversation with each kind of message, each with the secret in it, failures included."""
    done = await client.answer(f"{SECRET} one")
    await client.answer(f"crash {SECRET}")
    await client.answer(f"unjson {SECRET}")
    await client.send(type="feedback", turn=done["turn"], value="down", comment=SECRET)
    await client.send(type="event", kind="tap", sku=SECRET)
    await client.send(type="user.text", id="m", text=[SECRET])
    await client.send(type=SECRET)
    await client.socket.send(f"{{{SECRET}")
    await client.answer(f"a person please, {SECRET}")
    async with Agent(client.server) as agent:
        conversation = (await agent.take())["conversation"]
        await client.ask(SECRET, "p1")
        await client.wait_for("user.delivered")
        await agent.say(conversation, SECRET)
        await agent.send(type="agent.message", id="x", conversation=conversation, text=[SECRET])
        await agent.wait_for("error")
        agent.cut()
    client.cut()
    await client.connect()
    await client.wait_for("handover", lambda event: event["state"] == "waiting")


def test_no_word_of_a_conversation_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At the most talkative level, with crashes whose own text quotes the customer, and a refused credential."""

    async def scenario() -> None:
        asyncio.get_running_loop().set_debug(True)
        settings = make_settings(tmp_path, handover_grace_s=0.01)
        async with running(settings, ScriptedRunner(pieces=1)) as server:
            hire(server, "Robin")  # while there is no agent, nobody can try
            refused = Agent(server, credential=f"wrong {SECRET}")
            with pytest.raises(ConnectionClosed):
                await refused.connect()
            async with Client(server, platform=SECRET) as client:
                await everything(client)

    with caplog.at_level(logging.DEBUG):
        run(scenario())
    of_server = [
        record for record in caplog.records if record.name != "websockets.client"
    ]  # this test's own side
    log = "\n".join(logging.Formatter().format(record) for record in of_server)
    assert "a turn failed" in log, "the failures are logged, without the customer's words"
    assert SECRET not in log


def test_a_turn_is_told_nothing_of_another_session(tmp_path: Path) -> None:
    """Two customers, one after the other and at once: history, events, customer and state are each one's own."""

    async def scenario() -> None:
        runner = ScriptedRunner(pieces=1)
        async with (
            running(make_settings(tmp_path), runner) as server,
            Client(server) as one,
            Client(server) as two,
        ):
            await one.send(type="event", kind="tap", sku="LAMP-1")
            for number in range(3):
                await asyncio.gather(one.answer(f"{SECRET} {number}"), two.answer(f"plain {number}"))
            guess = Client(server)
            guess.session = str(one.session)[:-1] + ("A" if str(one.session)[-1] != "A" else "B")
            await guess.connect()
            assert guess.ready["resumed"] is False
            await guess.answer("plain guess")
            await guess.close()
        for request in runner.requests:
            mine = SECRET in request.text
            assert all((SECRET in message.text) == mine for message in request.history)
            assert bool(request.signals) == mine
            assert (request.session == one.session) == mine

    run(scenario())


def test_agents_never_see_a_session_id(tmp_path: Path) -> None:
    """It would let them speak as the customer."""

    async def scenario() -> None:
        settings = make_settings(tmp_path)
        async with (
            running(settings, ScriptedRunner(pieces=1)) as server,
            Client(server) as client,
            Agent(server) as agent,
        ):
            await client.answer("a person please")
            seen = [await agent.receive(), await agent.take()]
            await client.ask("hi")
            seen.append(await agent.wait_for("customer.message"))
            assert str(client.session) not in json.dumps(seen)

    run(scenario())


def test_retention_deletes_hand_overs_and_their_messages(tmp_path: Path) -> None:
    """At a start after `retention_days`: nothing of the session is left, the queue is empty; newer ones stay."""

    async def scenario() -> None:
        runner = ScriptedRunner(pieces=1)
        settings = make_settings(tmp_path, retention_days=2.0)
        async with running(settings, runner, clock=lambda: NOW) as server, Client(server) as client:
            await client.send(type="event", kind="tap", sku="LAMP-1")
            await client.answer("a person please")
            async with Agent(server) as agent:
                conversation = (await agent.take())["conversation"]
                await agent.say(conversation, "hello")
                await client.wait_for("agent.message")
        day = 86_400.0
        async with running(settings, runner, clock=lambda: NOW + 1.9 * day) as server:
            assert server.health()["handovers"]["active"] == 1
        async with running(settings, runner, clock=lambda: NOW + 2.1 * day) as server:
            assert server.health()["handovers"] == {"waiting": 0, "active": 0, "agents": 0}

    run(scenario())
    database = sqlite3.connect(tmp_path / "sessions.db")
    for table in METADATA.sorted_tables:
        assert database.execute(f"select count(*) from {table.name}").fetchone() == (0,), table.name
    database.close()


@pytest.mark.parametrize("table", [table.name for table in METADATA.sorted_tables])
def test_privacy_page_names_every_table(table: str) -> None:
    """Who adds a table says what it holds and why."""
    assert f"| `{table}` |" in PRIVACY


def test_privacy_page_states_the_retention_of_the_settings() -> None:
    """The default in the text is that of the code."""
    assert f"`retention_days` ({Settings.model_fields['retention_days'].default:g} by default)" in PRIVACY
