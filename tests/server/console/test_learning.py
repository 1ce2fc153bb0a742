"""From a question in vain to an answer on the operator's page: real models, real ingest, a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assistant.app import LiveEngine, build_engine, run_ingest
from assistant.config import Settings
from assistant.errors import ConfigError
from assistant.insights import publish_draft, save_draft
from assistant.learning.drafts import Draft
from assistant.server import Server
from assistant.server.service import serve
from assistant.storage.archive import Archive
from assistant.storage.snapshots import SnapshotStore
from tests.server.console.harness import Page
from tests.server.harness import Client, ScriptedRunner, make_settings, run, running

FAQ = """\
# Delivery

## How long does delivery take?
Small parcels arrive within 3 working days. Bulky furniture takes 8 working days.

## What does delivery cost?
Sending a parcel costs 4.90 euro. It is free from 60 euro.

## Can I return a mattress?
You can try a mattress for 100 nights and send it back free of charge.
"""
ASKED = "Do you wrap presents?"
ANSWER = "We wrap presents in recycled paper for 3 euro a parcel."


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A small shop, ingested from its knowledge folder."""
    knowledge = tmp_path / "knowledge"
    (knowledge / "faq").mkdir(parents=True)
    (knowledge / "faq" / "delivery.md").write_text(FAQ)
    (knowledge / "shop.toml").write_text('name = "Testshop"\n')
    made = make_settings(tmp_path / "data", knowledge=knowledge, encoder_backend="onnx-int8")
    run_ingest(made, [knowledge])
    return made


@pytest.fixture
def engine(settings: Settings) -> Iterator[LiveEngine]:
    """The real engine on it."""
    built = build_engine(settings)
    yield built
    built.close()


async def published(page: Page) -> dict[str, Any]:
    """The end of what is being published."""
    return await page.wait_for("publishing", lambda event: event["state"] != "running")


def test_question_in_vain_is_answered_after_approval(settings: Settings, engine: LiveEngine) -> None:
    """Grouped, drafted, edited, approved, ingested with progress for all pages, served: the same session gets it."""

    async def scenario() -> None:
        stop = asyncio.Event()
        started: asyncio.Future[Server] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve(settings, engine, announce=started.set_result, stop=stop))
        server = await started
        async with Page(server) as kim, Page(server, "Robin") as robin, Client(server) as client:
            for _ in range(2):
                assert (await client.answer(ASKED))["status"] == "declined"
            found = await kim.ask("questions.read", days=7)
            group = found["groups"][0]
            assert (group["question"], group["count"], group["declined"]) == (ASKED, 2, 2)
            assert group["published"] is False
            assert found["drafts"] == []
            told = await kim.ask("transcript.open", key=group["keys"][0])
            assert told["lines"][0]["trace"]["stages"][0]["name"] == "encoding"

            draft = {"name": group["name"], "question": ASKED, "others": ["Can you gift-wrap it?"]}
            assert (await kim.ask("draft.save", **draft, answer=""))["type"] == "done"
            unfinished = (await kim.ask("questions.read", days=7))["drafts"][0]
            assert unfinished["question"] == ASKED
            assert "no answer" in unfinished["problem"]
            assert (await kim.ask("draft.save", **draft, answer=ANSWER))["type"] == "done"
            kept = (await kim.ask("questions.read", days=7))["drafts"]
            assert kept == [{**draft, "answer": ANSWER, "problem": ""}]

            assert (await kim.ask("draft.approve", name=draft["name"]))["type"] == "done"
            assert (await robin.ask("draft.approve", name=draft["name"]))["code"] == "busy"
            end = await published(kim)
            assert (end["state"], end["problems"]) == ("done", [])
            assert end["snapshot"] == engine.describe()["snapshot"]
            steps = [event["step"] for event in kim.published if event["state"] == "running"]
            assert {"read", "embed", "write", "serve"} <= set(steps)
            assert (await published(robin)) == end, "every page hears of it"
            now = await client.answer(ASKED)
            assert now["status"] == "completed"
            assert "recycled paper" in now["text"]
            after = await kim.ask("questions.read", days=7)
            assert after["drafts"] == []
            assert after["groups"][0]["published"] is True
            async with Page(server, "Sam") as late:
                assert late.published[-1] == end, "who signs in later sees how it ended"
        stop.set()
        await serving

    run(scenario())
    learned = (settings.knowledge / "faq" / "learned.md").read_text()
    assert ANSWER in learned
    with Archive(settings.data) as archive:
        actions = [(one.agent, one.action) for one in archive.log(0.0) if one.action != "read"]
    assert actions == [("Kim", "drafted"), ("Kim", "drafted"), ("Kim", "approved")]


def test_ingest_that_fails_leaves_the_draft_and_says_every_problem(
    settings: Settings, engine: LiveEngine
) -> None:
    """Another file is broken: nothing is published, nothing is lost, the next attempt works."""

    async def scenario() -> None:
        broken = settings.knowledge / "faq" / "broken.md"
        broken.write_text("## A question without an answer?\n")
        async with running(settings, engine) as server, Page(server) as page:
            draft = {"name": "wrap", "question": ASKED, "others": [], "answer": ANSWER}
            await page.ask("draft.save", **draft)
            await page.ask("draft.approve", name="wrap")
            end = await published(page)
            assert end["state"] == "failed"
            assert any("broken.md:1" in problem for problem in end["problems"])
            assert [one["name"] for one in (await page.ask("questions.read", days=1))["drafts"]] == ["wrap"]
            assert not (settings.knowledge / "faq" / "learned.md").exists()
            broken.unlink()
            await page.ask("draft.discard", name="wrap")
            assert (await page.ask("questions.read", days=1))["drafts"] == []

    run(scenario())


def test_published_question_cannot_be_published_twice(settings: Settings) -> None:
    """The file of answers stays as it was, and the draft is kept."""
    for answer in (ANSWER, "Another answer."):
        save_draft(settings.knowledge, "wrap", Draft(ASKED, (), answer))
        if answer == ANSWER:
            publish_draft(settings, "wrap")
            before = (settings.knowledge / "faq" / "learned.md").read_text()
    with pytest.raises(Exception, match="has this question already"):
        publish_draft(settings, "wrap")
    assert (settings.knowledge / "faq" / "learned.md").read_text() == before
    assert (settings.knowledge / "drafts" / "wrap.md").exists()


def test_base_of_other_files_is_not_replaced(settings: Settings, tmp_path: Path) -> None:
    """What is served came from elsewhere: ingesting the knowledge folder would drop it."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "faq.md").write_text(FAQ)
    run_ingest(settings, [tmp_path / "other"])
    served = SnapshotStore(settings.data).current_id()
    save_draft(settings.knowledge, "wrap", Draft(ASKED, (), ANSWER))
    with pytest.raises(ConfigError, match="not from the knowledge folder"):
        publish_draft(settings, "wrap")
    assert SnapshotStore(settings.data).current_id() == served
    assert (settings.knowledge / "drafts" / "wrap.md").exists()


@pytest.mark.parametrize("name", ["../faq/delivery", "a/b", ".hidden", "a\\b", "line\nbreak"])
def test_drafts_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    """Whatever a page sends as a name."""

    async def scenario() -> None:
        settings = make_settings(tmp_path / "data", knowledge=tmp_path / "knowledge")
        (tmp_path / "knowledge" / "faq").mkdir(parents=True)
        victim = tmp_path / "knowledge" / "faq" / "delivery.md"
        victim.write_text(FAQ)
        async with running(settings, ScriptedRunner()) as server, Page(server) as page:
            fields = {"question": "Q?", "others": [], "answer": "A."}
            for kind, extra in (("draft.save", fields), ("draft.discard", {})):
                assert (await page.ask(kind, name=name, **extra))["code"] == "invalid"
            await page.ask("draft.approve", name=name)
            assert (await published(page))["state"] == "failed"
        assert victim.read_text() == FAQ
        assert [file.name for file in (tmp_path / "knowledge").rglob("*.md")] == ["delivery.md"]

    run(scenario())


def test_feedback_and_figures_are_those_of_the_database(tmp_path: Path) -> None:
    """Counts, shares, times of replies and opinions, newest first; older than asked for is left out."""
    now = 1_763_985_600.0

    async def scenario() -> None:
        nonlocal now
        settings = make_settings(tmp_path)
        async with (
            running(settings, ScriptedRunner(pieces=1), clock=lambda: now) as server,
            Page(server) as page,
            Client(server) as client,
        ):
            await client.answer("an old question")
            now += 10 * 86_400
            first = await client.answer("good")
            second = await client.answer("unknown")
            for turn, value, comment in ((first, "up", ""), (second, "down", "why not?")):
                now += 60
                await client.send(type="feedback", turn=turn["turn"], value=value, comment=comment)
                await client.settle()
            await client.answer("a person please")
            told = await page.ask("feedback.read", days=7)
            assert [(one["value"], one["comment"], one["question"]) for one in told["opinions"]] == [
                ("down", "why not?", "unknown"),
                ("up", "", "good"),
            ]
            assert told["more"] is False
            total = (await page.ask("figures.read", days=7))["total"]
            assert total["turns"] == 3
            assert total["decisions"]["decline"] == total["handed_over"] == pytest.approx(1 / 3)
            assert (total["rated"], total["thumbs_up"]) == (pytest.approx(2 / 3), 0.5)
            assert 0 < total["reply_p50_ms"] <= total["reply_p95_ms"]
            everything = await page.ask("figures.read", days=30)
            assert everything["total"]["turns"] == 4
            assert [day["turns"] for day in everything["by_day"]] == [1, 3]
            json.dumps(everything, allow_nan=False)

    run(scenario())
