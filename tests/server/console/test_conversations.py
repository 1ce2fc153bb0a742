"""Live conversations on the operator's page: what is listed, read and recorded, and taking over unasked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from assistant.records import SessionId
from assistant.storage.archive import Archive
from assistant.storage.operator_log import conversation_key
from tests.server.console.harness import Page
from tests.server.harness import Agent, Client, ScriptedRunner, eventually, make_settings, run, running


def key_of(client: Client) -> str:
    return conversation_key(SessionId(str(client.session)))


async def state(client: Client, wanted: str) -> dict[str, Any]:
    """Receive up to a state of the hand-over."""
    return await client.wait_for("handover", lambda event: event["state"] == wanted)


def test_list_shows_what_is_live_and_follows_it(tmp_path: Path) -> None:
    """Nothing before a word is said; then who is there, what was said last, who waits, and who has left."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner(pieces=1)) as server, Page(server) as page:
            async with Client(server, platform="mp-weixin") as one, Client(server) as two:
                assert page.live == {}
                await one.answer("hello there")
                entry = (await page.shows(state="assistant", busy=False))[0]
                assert entry["key"] == key_of(one)
                assert (entry["platform"], entry["turns"], entry["connected"]) == ("mp-weixin", 1, True)
                assert entry["last"]["text"] == "0 hello there."
                await two.answer("a person please")
                waiting = (await page.shows(state="waiting"))[0]
                assert waiting["key"] == key_of(two)
                assert waiting["since"] > 0
                assert waiting["cause"] == "asked"
            await page.shows(2, connected=False)
            async with Page(server, "Robin") as robin:
                assert robin.live == page.live, "who comes later sees the same"

    run(scenario())


def test_running_reply_shows_as_busy(tmp_path: Path) -> None:
    """Until it ends."""

    async def scenario() -> None:
        gate = asyncio.Semaphore(0)
        async with (
            running(make_settings(tmp_path), ScriptedRunner(pieces=1, gate=gate)) as server,
            Page(server) as page,
            Client(server) as client,
        ):
            await client.ask("hello")
            assert (await page.shows(busy=True))[0]["last"]["who"] == "customer"
            gate.release()
            assert (await page.shows(busy=False))[0]["last"]["who"] == "assistant"

    run(scenario())


def test_preview_leaves_out_personal_numbers(tmp_path: Path) -> None:
    """The list is seen by everybody signed in; the words themselves only by who opens the conversation."""

    async def scenario() -> None:
        gate = asyncio.Semaphore(0)
        async with (
            running(make_settings(tmp_path), ScriptedRunner(pieces=1, gate=gate)) as server,
            Page(server) as page,
            Client(server) as client,
        ):
            await client.ask("call me: +49 151 2345678, or write to ada@example.org")
            assert (await page.shows(busy=True))[0]["last"]["text"] == "call me: …, or write to …"
            gate.release()
            await client.wait_for("turn.done")
            await page.shows(busy=False)
            assert "2345678" not in json.dumps(list(page.live.values()))
            assert "2345678" in json.dumps(await page.ask("transcript.open", key=key_of(client)))

    run(scenario())


def test_transcript_has_each_turn_with_its_trace_and_follows_the_talk(tmp_path: Path) -> None:
    """Reply, decision, sources, times, stages, feedback; then what is said later, without asking again."""

    async def scenario() -> None:
        async with (
            running(make_settings(tmp_path), ScriptedRunner(pieces=1)) as server,
            Page(server) as page,
            Client(server) as client,
        ):
            done = await client.answer("hello")
            await client.send(type="feedback", turn=done["turn"], value="down", comment="too short")
            await client.settle()
            told = await page.ask("transcript.open", key=key_of(client))
            line = told["lines"][0]
            assert (line["text"], line["reply"], line["status"]) == ("hello", "0 hello. ", "completed")
            assert (line["decision"], line["feedback"], line["comment"]) == ("answer", "down", "too short")
            assert line["sources"][0]["title"] == "Title"
            assert line["cards"] == ["note"]
            assert line["trace"]["reason"] == "scripted"
            assert line["trace"]["stages"] == [{"name": "search", "ms": 1.5, "detail": {}}]
            assert line["timings"]["total_ms"] > 0
            await client.answer("more")
            await page.wait_for("transcript", lambda event: len(event["lines"]) == 2)
            await page.send(type="transcript.shut")
            await client.answer("and more")
            await page.shows(turns=3)
            assert (await page.ask("figures.read", days=1))["total"]["turns"] == 3
            assert len(page.open["lines"]) == 2, "a conversation that is shut is not sent any more"

    run(scenario())


def test_conversations_of_the_past_can_be_read_too(tmp_path: Path) -> None:
    """After a restart, from the database; an unknown key is refused."""

    async def scenario() -> None:
        settings, runner = make_settings(tmp_path), ScriptedRunner(pieces=1)
        async with running(settings, runner) as server, Client(server) as client:
            await client.answer("hello")
        async with running(settings, runner) as server, Page(server) as page:
            assert page.live == {}
            told = await page.ask("transcript.open", key=key_of(client))
            assert [line["text"] for line in told["lines"]] == ["hello"]
            unknown = await page.ask("transcript.open", key="c_unknown")
            assert unknown["code"] == "unknown_conversation"

    run(scenario())


def test_who_waits_over_a_restart_is_listed(tmp_path: Path) -> None:
    """The customer need not have come back."""

    async def scenario() -> None:
        settings, runner = make_settings(tmp_path), ScriptedRunner(pieces=1)
        async with running(settings, runner) as server, Client(server) as client:
            await client.answer("a person please")
        async with running(settings, runner) as server, Page(server) as page:
            assert (await page.shows(state="waiting"))[0]["key"] == key_of(client)

    run(scenario())


def test_agent_steps_in_unasked_and_the_assistant_is_silent(tmp_path: Path) -> None:
    """active without waiting, messages both ways, no turn in between, released, the assistant goes on."""

    async def scenario() -> None:
        runner = ScriptedRunner(pieces=1)
        async with (
            running(make_settings(tmp_path), runner) as server,
            Page(server) as page,
            Client(server) as client,
        ):
            await client.answer("hello")
            assert (await page.ask("join", key=key_of(client)))["type"] == "done"
            assert (await state(client, "active"))["agent"] == "Kim"
            entry = (await page.shows(state="active"))[0]
            assert (entry["agent"], entry["cause"], entry["question"]) == ("Kim", "joined", "hello")
            await client.ask("who is this?", "m2")
            await client.wait_for("user.delivered")
            await page.say(entry["conversation"], "Kim here.")
            assert (await client.wait_for("agent.message"))["text"] == "Kim here."
            told = await page.ask("transcript.open", key=key_of(client))
            said = [(line["who"], line["text"]) for line in told["lines"] if line["kind"] == "said"]
            assert said == [
                ("state", "active"),
                ("customer", "who is this?"),
                ("agent", "Kim here."),
            ]
            assert len(runner.requests) == 1
            await page.send(type="release", conversation=entry["conversation"])
            assert (await state(client, "ended"))["reason"] == "released"
            assert (await client.answer("thanks"))["status"] == "completed"
            states = [event["state"] for event in client.events if event["type"] == "handover"]
            assert states == ["active", "ended"], "the customer never hears of a queue"

    run(scenario())


def test_stepping_in_cuts_a_streaming_reply(tmp_path: Path) -> None:
    """As taking does: the turn ends as cancelled before `active`."""

    async def scenario() -> None:
        gate = asyncio.Semaphore(1)
        async with (
            running(make_settings(tmp_path), ScriptedRunner(pieces=3, gate=gate)) as server,
            Page(server) as page,
            Client(server) as client,
        ):
            await client.ask("long story")
            await client.wait_for("delta")
            session = server._sessions.at_hand(SessionId(str(client.session)))
            assert session is not None
            joining = asyncio.create_task(page.ask("join", key=key_of(client)))
            await eventually(lambda: session.talk.silent)
            gate.release()
            assert (await joining)["type"] == "done"
            await state(client, "active")
            assert [done["status"] for done in client.done.values()] == ["cancelled"]

    run(scenario())


def test_one_of_two_who_step_in_gets_it(tmp_path: Path) -> None:
    """The other hears `taken`; one who waits is taken by `join` too; one who is over cannot be."""

    async def scenario() -> None:
        async with (
            running(make_settings(tmp_path), ScriptedRunner(pieces=1)) as server,
            Page(server) as kim,
            Page(server, "Robin") as robin,
            Client(server) as client,
            Client(server) as other,
        ):
            await client.answer("hello")
            answers = await asyncio.gather(*(page.ask("join", key=key_of(client)) for page in (kim, robin)))
            outcomes = sorted(answer.get("code", "done") for answer in answers)
            assert outcomes == ["done", "taken"]
            await other.answer("a person please")
            assert (await robin.ask("join", key=key_of(other)))["type"] == "done"
            assert (await state(other, "active"))["agent"] == "Robin"
            assert (await kim.ask("join", key="c_gone"))["code"] == "unknown_conversation"

    run(scenario())


def test_reading_and_taking_are_on_record(tmp_path: Path) -> None:
    """Who, when, which, by page and by terminal; following an open conversation is one reading."""

    async def scenario() -> None:
        async with (
            running(make_settings(tmp_path), ScriptedRunner(pieces=1), clock=lambda: 1000.0) as server,
            Client(server) as client,
            Page(server) as page,
            Agent(server, "Robin") as robin,
        ):
            await client.answer("hello")
            await page.ask("transcript.open", key=key_of(client))
            await client.answer("a person please")
            await page.wait_for("transcript", lambda event: len(event["lines"]) > 2)
            await robin.take()
        with Archive(tmp_path) as archive:
            log = [(one.agent, one.action, one.subject, one.at) for one in archive.log(0.0)]
        assert log == [
            ("Kim", "read", key_of(client), 1000.0),
            ("Robin", "took", key_of(client), 1000.0),
        ]

    run(scenario())


def test_session_ids_are_never_shown(tmp_path: Path) -> None:
    """Whoever has one can speak as the customer."""

    async def scenario() -> None:
        async with (
            running(make_settings(tmp_path, encoder_backend="onnx-int8"), ScriptedRunner(pieces=1)) as server,
            Page(server) as page,
            Client(server) as client,
        ):
            done = await client.answer("hello, unknown?")
            await client.send(type="feedback", turn=done["turn"], value="up")
            await client.settle()
            seen: list[Any] = [await page.ask("transcript.open", key=key_of(client))]
            seen += [
                await page.ask(kind, days=1) for kind in ("feedback.read", "questions.read", "figures.read")
            ]
            await page.ask("join", key=key_of(client))
            assert seen[1]["opinions"]
            assert seen[2]["groups"]
            assert str(client.session) not in json.dumps([seen, page.live, page.queue])

    run(scenario())


def test_erased_conversation_leaves_the_page(tmp_path: Path) -> None:
    """The list forgets it, and it cannot be read any more."""

    async def scenario() -> None:
        async with (
            running(make_settings(tmp_path), ScriptedRunner(pieces=1)) as server,
            Page(server) as page,
            Client(server) as client,
        ):
            await client.answer("hello")
            await page.shows(1)
            with Archive(tmp_path) as archive:
                archive.delete([str(client.session)])
            await server._sessions.erase()
            server._verify()
            await page.shows(0)
            refused = await page.ask("transcript.open", key=key_of(client))
            assert refused["code"] == "unknown_conversation"

    run(scenario())


@pytest.mark.parametrize(
    "request_", [{"type": "figures.read", "days": 0}, {"type": "join"}, {"type": "draft.save", "name": "x"}]
)
def test_malformed_requests_are_refused_and_do_no_harm(tmp_path: Path, request_: dict[str, Any]) -> None:
    """With the request's id; the next one is answered."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server, Page(server) as page:
            fields = {name: value for name, value in request_.items() if name != "type"}
            assert (await page.ask(request_["type"], **fields))["code"] == "invalid"
            assert (await page.ask("figures.read", days=1))["total"]["turns"] == 0

    run(scenario())
