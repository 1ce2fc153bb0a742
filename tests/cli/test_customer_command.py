"""`assistant customer`: export and deletion, beside a running server."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from assistant.cli.main import assistant
from assistant.server.customers import sign_customer
from assistant.storage.tables import METADATA
from tests.server.harness import Agent, Client, ScriptedRunner, make_settings, run, running

KEY = "k" * 32
SECRET = "my secret garden gnome"


def customer(data: Path, *arguments: str, code: int = 0) -> Any:
    """Run `assistant customer ... --json`."""
    result = CliRunner().invoke(assistant, ["customer", *arguments, "--json", "--data", str(data)])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout) if code == 0 else result.output


def settings_of(data: Path) -> Any:
    return make_settings(data, customer_key=KEY)


async def whole_conversation(server: Any, client: Client) -> str:
    """One of everything that is kept; the name of the hand-over."""
    done = await client.answer(f"{SECRET} question")
    await client.send(type="feedback", turn=done["turn"], value="down", comment=f"{SECRET} comment")
    await client.send(type="event", kind="tap", sku="LAMP-1")
    await client.answer("a person please")
    async with Agent(server) as agent:
        conversation: str = (await agent.take())["conversation"]
        await client.ask(f"{SECRET} to a person", "p1")
        await client.wait_for("user.delivered")
        await agent.say(conversation, f"{SECRET} from a person")
        await client.wait_for("agent.message")
        await agent.send(type="close", conversation=conversation)
        await agent.wait_for("conversation.ended")
    return conversation


def token(name: str) -> str:
    return sign_customer(name, int(time.time()) + 600, KEY)


def test_export_holds_everything_and_deletion_leaves_nothing_of_it(tmp_path: Path) -> None:
    """Of one customer, not of another; no byte of the words stays in the files; the running server forgets it."""

    async def scenario() -> None:
        async with running(settings_of(tmp_path), ScriptedRunner(pieces=1)) as server:
            gone, other = Client(server, customer=token("C-1")), Client(server, customer=token("C-2"))
            await gone.connect()
            await other.connect()
            await whole_conversation(server, gone)
            await other.answer("something else")

            found = await asyncio.to_thread(customer, tmp_path, "export", "C-1")
            (session,) = found["sessions"]
            assert session["session"] == gone.session
            assert [turn["text"] for turn in session["turns"]] == [f"{SECRET} question", "a person please"]
            assert session["feedback"][0]["comment"] == f"{SECRET} comment"
            assert session["events"][0]["sku"] == "LAMP-1"
            assert session["handovers"][0]["ended_by"] == "closed"
            assert [said["text"] for said in session["handover_messages"]] == [
                f"{SECRET} to a person",
                f"{SECRET} from a person",
            ]
            one = await asyncio.to_thread(customer, tmp_path, "export", str(gone.session))
            assert one["sessions"] == found["sessions"]

            deleted = await asyncio.to_thread(customer, tmp_path, "delete", "C-1", "--yes")
            assert deleted == {"name": "C-1", "deleted": 1}
            assert await gone.closed() == 4404
            assert gone.errors[-1]["code"] == "erased"
            await gone.connect()
            assert gone.ready["resumed"] is False
            await gone.close()
            assert (await other.answer("still here"))["status"] == "completed"
            await other.close()

    run(scenario())
    assert "nothing is kept" in customer(tmp_path, "export", "C-1", code=1)
    assert len(customer(tmp_path, "export", "C-2")["sessions"][0]["turns"]) == 2
    database = sqlite3.connect(tmp_path / "sessions.db")
    for table in ("turns", "feedback", "events", "handovers", "handover_events"):
        owners = database.execute(f"select distinct session_id from {table}").fetchall()
        assert len(owners) == (1 if table == "turns" else 0)
    database.close()
    for file in tmp_path.glob("sessions.db*"):
        assert SECRET.encode() not in file.read_bytes(), file.name


def test_deletion_ends_an_open_hand_over(tmp_path: Path) -> None:
    """The agent who speaks with the customer hears why it is over, and nothing more is stored."""

    async def scenario() -> None:
        async with (
            running(settings_of(tmp_path), ScriptedRunner(pieces=1)) as server,
            Client(server) as client,
            Agent(server) as agent,
        ):
            await client.answer("a person please")
            conversation = (await agent.take())["conversation"]
            await asyncio.to_thread(customer, tmp_path, "delete", str(client.session), "--yes")
            assert (await agent.wait_for("conversation.ended"))["reason"] == "erased"
            await agent.send(type="agent.message", id="a1", conversation=conversation, text="hello?")
            assert (await agent.wait_for("error"))["code"] == "unknown_conversation"

    run(scenario())
    database = sqlite3.connect(tmp_path / "sessions.db")
    counts = {
        table.name: database.execute(f"select count(*) from {table.name}").fetchone()[0]
        for table in METADATA.sorted_tables
    }
    database.close()
    kept = {name for name, count in counts.items() if count}
    assert kept == {"erased", "operator_log"}, "neither of them tells a word"


def test_deletion_asks_first_and_unknown_names_are_refused(tmp_path: Path) -> None:
    """A no changes nothing; a guest's empty customer id is no name."""

    async def scenario() -> None:
        async with running(settings_of(tmp_path), ScriptedRunner()) as server, Client(server) as client:
            await client.answer("hello")

    run(scenario())
    session = sqlite3.connect(tmp_path / "sessions.db").execute("select id from sessions").fetchone()[0]
    arguments = ["customer", "delete", session, "--data", str(tmp_path)]
    refused = CliRunner().invoke(assistant, arguments, input="n\n")
    assert refused.exit_code == 1
    assert len(customer(tmp_path, "export", session)["sessions"]) == 1
    for name in ("", "C-9", "-9", "--C-9"):
        assert "nothing is kept" in customer(tmp_path, "delete", name, "--yes", code=1)
    confirmed = CliRunner().invoke(assistant, arguments, input="y\n")
    assert "1 conversations" in confirmed.output
