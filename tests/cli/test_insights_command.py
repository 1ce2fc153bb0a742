"""`assistant insights`: from a question nobody could answer to an answer, with real models, server and database."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from assistant.app import build_engine
from assistant.cli.main import assistant
from assistant.server import Server
from assistant.storage.sessions import open_session_store
from tests.server.harness import Agent, Client, make_settings, run

ASKED = ("Do you wrap presents?", "can you gift-wrap it for me", "Do you wrap presents?")
ANSWER = "We wrap presents in recycled paper for 3 euro a parcel."
TESTS = f"""\
- name: a customer asks for gift wrapping
  turns:
    - customer: "{ASKED[0]}"
      expect:
        decision: answer
        contains: ["recycled paper"]
"""

Invoke = Callable[..., Result]


@pytest.fixture
def folder(shop: Path, tmp_path: Path) -> Path:
    """A copy of the ingested shop with a test for what it does not know yet."""
    shutil.copytree(shop, tmp_path / "shop")
    (tmp_path / "shop" / "knowledge" / "tests.yaml").write_text(TESTS)
    return tmp_path / "shop"


@pytest.fixture
def invoke(folder: Path) -> Invoke:
    """Run a command on that shop."""

    def call(*arguments: str, code: int = 0) -> Result:
        options = ["--data", str(folder / "data"), "--knowledge", str(folder / "knowledge")]
        result = CliRunner().invoke(assistant, [*arguments, *options])
        assert result.exit_code == code, result.output
        return result

    return call


def hold_conversations(folder: Path) -> None:
    """Three customers ask in vain; one asks for a person, who answers; one turns a thumb down on a right answer."""

    async def scenario() -> None:
        settings = make_settings(folder / "data")
        engine = build_engine(settings)
        try:
            async with Server(settings, engine, open_session_store(settings.data)) as server:
                for question in ASKED:
                    async with Client(server) as client, Agent(server) as agent:
                        assert (await client.answer(question))["status"] == "declined"
                        if question == ASKED[1]:
                            await client.answer("I want to talk to a person")
                            conversation = (await agent.take())["conversation"]
                            for text in ("Hello, Kim here!", ANSWER, "Have a nice day."):
                                await agent.say(conversation, text)
                            await agent.send(type="close", conversation=conversation)
                            await agent.wait_for("conversation.ended")
                async with Client(server) as client:
                    done = await client.answer("What does delivery cost?")
                    await client.send(type="feedback", turn=done["turn"], value="down", comment="how much?")
                    await client.settle()
        finally:
            engine.close()

    run(scenario())


def test_unanswered_question_becomes_knowledge_with_the_colleagues_answer(
    folder: Path, invoke: Invoke
) -> None:
    """Unanswered → a person answers → group → draft → approve → ingest → answered, on the conversation test too."""
    tests = str(folder / "knowledge" / "tests.yaml")
    before = json.loads(invoke("evaluate", tests, "--json", code=1).stdout)["conversations"]
    assert (before["passed"], before["failed"]) == (0, 1)
    hold_conversations(folder)

    found = json.loads(invoke("insights", "--json").stdout)
    wrap = found["groups"][0]
    assert (wrap["count"], wrap["declined"], wrap["answer"]) == (3, 3, ANSWER)
    assert wrap["question"] in ASKED
    assert [group["question"] for group in found["groups"] if group["thumbs_down"]] == [
        "What does delivery cost?"
    ]
    figures = found["figures"]
    assert (figures["turns"], figures["unanswered"], figures["thumbs_up"]) == (5, 3 / 5, 0.0)
    assert (figures["handovers"], figures["endings"]) == ({"asked": 1}, {"closed": 1})
    assert sum(day["turns"] for day in found["by_day"]) == 5
    shown = invoke("insights").stdout
    assert "3×" in shown
    assert wrap["name"] in shown

    draft = folder / "knowledge" / "drafts" / f"{wrap['name']}.md"
    invoke("insights", "draft", "1")
    assert ANSWER in draft.read_text()
    assert "draft: true" in draft.read_text()
    assert "exists" in invoke("insights", "draft", wrap["name"], code=1).output
    report = json.loads(invoke("ingest", str(folder / "knowledge"), "--json").stdout)
    assert report["added"] == [], "a draft is no knowledge"
    assert any("draft" in line for line in report["skipped"])
    assert wrap["name"] in invoke("insights").stdout.splitlines()[-1]

    invoke("insights", "approve", wrap["name"])
    assert not draft.exists()
    report = json.loads(invoke("ingest", str(folder / "knowledge"), "--json").stdout)
    assert len(report["added"]) == 1
    after = json.loads(invoke("evaluate", tests, "--json").stdout)["conversations"]
    assert (after["passed"], after["failed"]) == (1, 0)
    answer = json.loads(invoke("ask", ASKED[1], "--json").stdout)
    assert answer["sources"][0]["document"] == "faq/learned.md"
    assert "recycled paper" in answer["reply"]


def test_draft_without_an_answer_is_not_approved(folder: Path, invoke: Invoke) -> None:
    """It says what is missing; with --answer it goes through, once."""
    store = folder / "data"

    async def ask() -> None:
        settings = make_settings(store)
        engine = build_engine(settings)
        try:
            async with (
                Server(settings, engine, open_session_store(store)) as server,
                Client(server) as client,
            ):
                assert (await client.answer("Is there parking at the showroom?"))["status"] == "declined"
        finally:
            engine.close()

    run(ask())
    name = json.loads(invoke("insights", "--json").stdout)["groups"][0]["name"]
    assert "no answer yet" in invoke("insights", "draft", name).stdout
    assert "no answer" in invoke("insights", "approve", name, code=1).output
    invoke("insights", "draft", name, "--answer", "Yes, behind the house.")
    invoke("insights", "approve", name)
    invoke("insights", "draft", name, "--answer", "Yes, behind the house.")
    assert "already" in invoke("insights", "approve", name, code=1).output
    learned = (folder / "knowledge" / "faq" / "learned.md").read_text()
    assert (
        learned
        == "# Learned from customers\n\n## Is there parking at the showroom?\n\nYes, behind the house.\n"
    )


@pytest.mark.parametrize("name", ["none", "../faq/delivery", ""])
def test_unknown_groups_and_drafts_are_refused(folder: Path, invoke: Invoke, name: str) -> None:
    """Also a name that would lead out of the folder."""

    async def open_and_close() -> None:
        await open_session_store(folder / "data").close()

    asyncio.run(open_and_close())
    assert "insights" in invoke("insights", "draft", name, code=1).output
    invoke("insights", "approve", name, code=1)
    assert (folder / "knowledge" / "faq" / "delivery.md").exists()


def test_no_conversations_yet_is_said(tmp_path: Path) -> None:
    """No database: exit code 1 and what to do."""
    result = CliRunner().invoke(assistant, ["insights", "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert "--data" in result.output
