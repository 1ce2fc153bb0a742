"""Hand-over to a person over real websockets: queue, talk, silence of the assistant, and who drops out when."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from assistant.config import Settings
from assistant.records import Role
from assistant.server import Server
from assistant.storage.sessions import open_session_store
from tests.server.harness import Agent, Client, ScriptedRunner, eventually, hire, make_settings, run, running

MONDAY_NOON = 1_763_985_600.0  # 2025-11-24 12:00 UTC
HOURS = {"hours": {"monday": "09:00-17:00", "tuesday": "10:30-17:00"}}


def desk_settings(data: Path, **values: Any) -> Settings:
    """Settings that give agents half a minute to come back."""
    return make_settings(data, **{"handover_grace_s": 30.0, **values})


async def state(client: Client, wanted: str) -> dict[str, Any]:
    """Receive up to a state of the hand-over."""
    return await client.wait_for("handover", lambda event: event["state"] == wanted)


async def in_talk(client: Client, agent: Agent) -> str:
    """Ask for a person and be taken; the conversation's name."""
    await client.answer("a person please")
    conversation: str = (await agent.take())["conversation"]
    await state(client, "active")
    return conversation


def between_take_and_end(client: Client) -> list[str]:
    """Types of the events between `active` and the first `ended` after it, or the last event."""
    types = [
        f"handover {event['state']}" if event["type"] == "handover" else event["type"]
        for event in client.events
    ]
    start = types.index("handover active")
    end = types.index("handover ended") if "handover ended" in types else len(types)
    return types[start + 1 : end]


def test_customer_and_person_talk_then_the_assistant_goes_on(tmp_path: Path) -> None:
    """requested, waiting, active, messages both ways, ended; and the assistant knows what the person said."""

    async def scenario() -> None:
        runner = ScriptedRunner(pieces=1)
        async with (
            running(desk_settings(tmp_path), runner) as server,
            Client(server) as client,
            Agent(server) as agent,
        ):
            await client.answer("where is TS-12345, unknown?")
            await client.answer("a person please")
            waiting = await state(client, "waiting")
            assert (waiting["position"], waiting["staffed"]) == (1, True)
            found = await agent.take()
            assert found["summary"] == {
                "reason": "scripted",
                "question": "where is TS-12345, unknown?",
                "tried": [
                    {
                        "question": "where is TS-12345, unknown?",
                        "decision": "decline",
                        "reply": "0 where is TS-12345, unknown?. ",
                    }
                ],
                "orders": ["TS-12345"],
            }
            assert [who for who, _ in agent.transcript] == ["customer", "assistant"] * 2
            assert (await state(client, "active"))["agent"] == "Kim"
            await client.ask("are you a human?", "m1")
            assert (await client.wait_for("user.delivered"))["id"] == "m1"
            await agent.wait_for("customer.message")
            await agent.say(found["conversation"], "I am.\nHow can I help?")
            said = await client.wait_for("agent.message")
            assert (said["text"], said["agent"]) == ("I am.\nHow can I help?", "Kim")
            await agent.send(type="release", conversation=found["conversation"])
            assert (await state(client, "ended"))["reason"] == "released"
            assert (await agent.wait_for("conversation.ended"))["reason"] == "released"
            assert between_take_and_end(client) == ["user.delivered", "agent.message"]
            assert (await client.answer("thanks"))["status"] == "completed"
        last = runner.requests[-1]
        assert [(one.role, one.text) for one in last.history[-2:]] == [
            (Role.CUSTOMER, "are you a human?"),
            (Role.AGENT, "I am.\nHow can I help?"),
        ]
        assert last.state.slots == {}, "what was pending before the person came is forgotten"
        assert len(runner.requests) == 3

    run(scenario())


@pytest.mark.parametrize("streaming", [False, True])
def test_reply_under_way_is_cut_off_when_a_person_takes_over(tmp_path: Path, streaming: bool) -> None:
    """The running turn ends as cancelled, the queued one unanswered, both before `active`; then silence."""

    async def scenario() -> None:
        runner = ScriptedRunner(pieces=2, gate=asyncio.Semaphore(3 if streaming else 2))
        gate = runner.gate
        assert gate is not None
        async with (
            running(desk_settings(tmp_path), runner) as server,
            Client(server) as client,
            Agent(server) as agent,
        ):
            await client.answer("a person please")
            await client.ask("long story", "m1")
            await client.wait_for("delta" if streaming else "turn.started")
            if not streaming:  # a second one would end a reply that streams
                await client.ask("and another one", "m2")
                await client.settle()
            session = server._sessions.at_hand(client.session)  # type: ignore[arg-type]
            assert session is not None
            await agent.send(type="take", conversation=(await agent.waiting())[0]["conversation"])
            await eventually(lambda: session.talk.silent)
            await client.ask("hello?", "m3")
            await client.settle()
            gate.release()  # the reply goes on only now, and finds that it shall end
            await state(client, "active")
            await client.wait_for("user.delivered", lambda event: event["id"] == "m3")
            ends = [done["status"] for done in client.done.values()]
            assert ends == ["completed", "cancelled"] + ["cancelled"] * (not streaming)
            assert between_take_and_end(client) == ["user.delivered"]
            assert len(runner.requests) == 2, "the queued question never reached the engine"

    run(scenario())


def test_assistant_is_silent_from_take_to_release_through_every_mishap(tmp_path: Path) -> None:
    """Customer reconnects, agent crashes and the grace passes, server restarts: no turn, no delta, nothing lost."""

    async def scenario() -> None:
        runner = ScriptedRunner(pieces=1)
        settings = desk_settings(tmp_path, handover_grace_s=0.05)
        async with running(settings, runner) as server, Client(server) as client:
            agent = Agent(server)
            await agent.connect()
            conversation = await in_talk(client, agent)
            asked = len(runner.requests)
            await client.ask("one", "m1")
            await client.wait_for("user.delivered")
            client.cut()
            await client.connect()
            await client.ask("one", "m1")  # the rule: what was not acknowledged is sent again
            await client.ask("two", "m2")
            await client.wait_for("user.delivered", lambda event: event["id"] == "m2")
            agent.cut()
            waiting = await state(client, "waiting")
            assert waiting["position"] == 1
            await client.ask("three", "m3")
            await client.wait_for("user.delivered", lambda event: event["id"] == "m3")
            client.cut()
        async with running(settings, runner) as server:
            await client.connect(server)
            await client.ask("four", "m4")
            await client.wait_for("user.delivered", lambda event: event["id"] == "m4")
            async with Agent(server, "Robin") as other:
                again = await other.take()
                assert again["conversation"] == conversation
                texts = [text for who, text in other.transcript if who == "customer"]
                assert texts == ["a person please", "one", "two", "three", "four"]
                await other.say(conversation, "here I am")
                await client.wait_for("agent.message")
                assert len(runner.requests) == asked, "the engine ran while a person spoke"
                assert not {"turn.started", "delta", "turn.done"} & set(between_take_and_end(client))
                await other.send(type="close", conversation=conversation)
                assert (await state(client, "ended"))["reason"] == "closed"
            assert (await client.answer("five"))["status"] == "completed"
            await client.close()

    run(scenario())


def test_agent_who_comes_back_in_time_keeps_the_conversation(tmp_path: Path) -> None:
    """Within the grace time nothing changes for the customer; the agent gets the conversation in full."""

    async def scenario() -> None:
        async with (
            running(desk_settings(tmp_path), ScriptedRunner(pieces=1)) as server,
            Client(server) as client,
        ):
            agent = Agent(server)
            await agent.connect()
            conversation = await in_talk(client, agent)
            agent.cut()
            await eventually(lambda: server.health()["handovers"]["agents"] == 0)
            await client.ask("still there?", "m1")
            await client.wait_for("user.delivered")
            await agent.connect()
            await agent.wait_for("conversation")
            assert agent.transcript[-1] == ("customer", "still there?")
            await agent.say(conversation, "yes")
            await client.wait_for("agent.message")
            assert between_take_and_end(client) == ["user.delivered", "agent.message"]

    run(scenario())


def test_agent_keeps_the_conversation_over_a_restart_of_the_server(tmp_path: Path) -> None:
    """The talk is stored: after a restart the agent of the same name goes on, the customer sees no change."""

    async def scenario() -> None:
        settings = desk_settings(tmp_path)
        runner = ScriptedRunner(pieces=1)
        async with running(settings, runner) as server:
            client, agent = Client(server), Agent(server)
            await client.connect()
            await agent.connect()
            conversation = await in_talk(client, agent)
            await agent.say(conversation, "before")
        async with running(settings, runner) as server:
            await agent.connect(server)
            await agent.wait_for("conversation")
            assert ("agent", "before") in agent.transcript
            await agent.say(conversation, "after")
            await client.connect(server)
            said = await client.wait_for("agent.message", lambda event: event["text"] == "after")
            assert said["agent"] == "Kim"
            assert set(between_take_and_end(client)) == {"agent.message"}
            await client.close()
            await agent.socket.close()

    run(scenario())


def test_customer_who_was_away_gets_what_the_person_wrote(tmp_path: Path) -> None:
    """The person answers long after the customer left and ends the talk; hours later all of it is replayed."""

    async def scenario() -> None:
        now = [MONDAY_NOON]
        settings = desk_settings(tmp_path, session_minutes=30)
        async with (
            running(settings, ScriptedRunner(pieces=1), clock=lambda: now[0]) as server,
            Agent(server) as agent,
        ):
            client = Client(server)
            await client.connect()
            await client.answer("a person please")
            await state(client, "waiting")
            await client.close()
            await eventually(lambda: server.health()["connections"] == 1)
            now[0] += 3 * 3600
            server._sessions.sweep()
            assert server.health()["sessions"] == 0
            found = await agent.take()
            assert found["connected"] is False
            await agent.say(found["conversation"], "It ships on Friday.")
            await agent.send(type="close", conversation=found["conversation"])
            await agent.wait_for("conversation.ended")
            now[0] += 20 * 3600
            server._sessions.sweep()
            await client.connect()
            assert client.ready["resumed"] is True
            assert (await client.wait_for("agent.message"))["text"] == "It ships on Friday."
            assert (await state(client, "ended"))["reason"] == "closed"
            await client.close()
            await eventually(lambda: server.health()["connections"] == 1)
            now[0] += 3600
            await client.connect()
            assert client.ready["resumed"] is False, "seen by the customer: the usual time applies again"
            await client.close()

    run(scenario())


def test_one_agent_for_each_conversation(tmp_path: Path) -> None:
    """Two take the same at the same moment: one has it, the other hears `taken` and can say nothing in it."""

    async def scenario() -> None:
        async with (
            running(desk_settings(tmp_path), ScriptedRunner(pieces=1)) as server,
            Client(server) as client,
            Agent(server, "Kim") as kim,
            Agent(server, "Robin") as robin,
        ):
            await client.answer("a person please")
            conversation = (await kim.waiting())[0]["conversation"]
            await asyncio.gather(
                *(one.send(type="take", conversation=conversation) for one in (kim, robin, kim, robin))
            )
            for one in (kim, robin):
                await one.send(type="ping", t=1)
                await one.wait_for("pong")
            won, lost = (kim, robin) if kim.transcript else (robin, kim)
            assert won.transcript
            assert not lost.transcript
            assert {error["code"] for error in lost.errors} == {"taken"}
            for kind, fields in (
                ("agent.message", {"id": "x", "text": "me too"}),
                ("release", {}),
                ("close", {}),
            ):
                await lost.send(type=kind, conversation=conversation, **fields)
                assert (await lost.wait_for("error"))["code"] == "not_yours"
            await won.say(conversation, "mine")
            assert (await client.wait_for("agent.message"))["agent"] == won.name
            await lost.send(type="take", conversation="h_none")
            assert (await lost.wait_for("error"))["code"] == "unknown_conversation"

    run(scenario())


def test_queue_moves_up_and_each_customer_hears_it(tmp_path: Path) -> None:
    """Three wait; the first is taken, the second is handed back to the front."""

    async def scenario() -> None:
        async with (
            running(desk_settings(tmp_path), ScriptedRunner(pieces=1)) as server,
            Client(server) as one,
            Client(server) as two,
            Client(server) as three,
            Agent(server) as agent,
        ):
            for place, client in enumerate((one, two, three), 1):
                await client.answer("a person please")
                assert (await state(client, "waiting"))["position"] == place
            first = (await agent.waiting(3))[0]["conversation"]
            await agent.take(first)
            assert (await state(two, "waiting"))["position"] == 1
            assert (await state(three, "waiting"))["position"] == 2
            await agent.send(type="release", conversation=first, to="queue")
            assert (await agent.wait_for("conversation.ended"))["reason"] == "queue"
            await state(one, "active")
            assert (await state(one, "waiting"))["position"] == 1
            assert (await state(two, "waiting"))["position"] == 2
            assert (await agent.waiting(3))[0]["conversation"] == first
            await three.send(type="handover.end")
            assert (await state(three, "ended"))["reason"] == "customer"
            assert (await three.answer("then you"))["status"] == "completed"

    run(scenario())


@pytest.mark.parametrize("how", ["message", "words"])
def test_customer_goes_back_to_the_assistant(tmp_path: Path, how: str) -> None:
    """By the message handover.end or by saying so; the agent hears it, the next text is answered."""

    async def scenario() -> None:
        async with (
            running(desk_settings(tmp_path), ScriptedRunner(pieces=1)) as server,
            Client(server) as client,
            Agent(server) as agent,
        ):
            await client.send(type="handover.end")  # nobody was asked for: harmless
            await in_talk(client, agent)
            if how == "message":
                await client.send(type="handover.end")
            else:
                await client.ask("Back to the assistant!")
            assert (await state(client, "ended"))["reason"] == "customer"
            assert (await agent.wait_for("conversation.ended"))["reason"] == "customer"
            assert (await client.answer("hello again"))["status"] == "completed"
            assert client.errors == []

    run(scenario())


def test_assistant_still_answers_while_the_customer_waits(tmp_path: Path) -> None:
    """Nobody has taken the conversation yet: questions are answered, and asking again does not queue twice."""

    async def scenario() -> None:
        async with (
            running(desk_settings(tmp_path), ScriptedRunner(pieces=1)) as server,
            Client(server) as client,
            Agent(server) as agent,
        ):
            await client.answer("a person please")
            await state(client, "waiting")
            assert (await client.answer("opening hours?"))["status"] == "completed"
            await client.answer("person!")
            assert (await state(client, "waiting"))["position"] == 1
            found = await agent.take()
            assert [text for who, text in agent.transcript if who == "customer"] == [
                "a person please",
                "opening hours?",
                "person!",
            ]
            assert found["summary"]["question"] == "a person please"

    run(scenario())


@pytest.mark.parametrize(
    ("hours_later", "staffed", "opens"),
    [
        (0, True, None),
        (6, False, "2025-11-25T10:30:00+00:00"),
        (24, True, None),
        (36, False, "2025-12-01T09"),
    ],
)
def test_waiting_says_whether_people_are_there(
    tmp_path: Path, hours_later: float, staffed: bool, opens: str | None
) -> None:
    """Within the hours staffed; outside them the request is kept and the next opening is named."""

    async def scenario() -> None:
        now = MONDAY_NOON + hours_later * 3600
        runner = ScriptedRunner(pieces=1, shop=HOURS)
        settings = desk_settings(tmp_path)
        async with running(settings, runner, clock=lambda: now) as server, Client(server) as client:
            await client.answer("a person please")
            waiting = await state(client, "waiting")
            assert waiting["staffed"] is staffed
            assert str(waiting.get("opens")).startswith(str(opens))

    run(scenario())


def test_waiting_customer_hears_when_people_arrive(tmp_path: Path) -> None:
    """The hours begin while the customer waits: the state is sent anew."""

    async def scenario() -> None:
        now = [MONDAY_NOON - 4 * 3600]
        runner = ScriptedRunner(pieces=1, shop=HOURS)
        settings = desk_settings(tmp_path, session_minutes=600)
        async with running(settings, runner, clock=lambda: now[0]) as server, Client(server) as client:
            await client.answer("a person please")
            assert (await state(client, "waiting"))["opens"] == "2025-11-24T09:00:00+00:00"
            now[0] += 2 * 3600
            server._sessions.sweep()
            assert (await state(client, "waiting"))["staffed"] is True

    run(scenario())


def test_agent_message_with_a_known_id_is_said_once(tmp_path: Path) -> None:
    """An agent's program that heard no answer sends again: kept, but not said twice."""

    async def scenario() -> None:
        async with (
            running(desk_settings(tmp_path), ScriptedRunner(pieces=1)) as server,
            Client(server) as client,
            Agent(server) as agent,
        ):
            conversation = await in_talk(client, agent)
            for text in ("first", "first"):
                await agent.say(conversation, text, "a1")
            await agent.say(conversation, "second", "a2")
            await client.wait_for("agent.message", lambda event: event["id"] == "a2")
            assert [event["id"] for event in client.events if event["type"] == "agent.message"] == [
                "a1",
                "a2",
            ]

    run(scenario())


def test_cut_at_every_event_of_a_talk_shows_the_same_conversation(tmp_path: Path) -> None:
    """Chaos: the customer's connection is lost at each event of a hand-over; the replay is complete and in order."""

    async def talk(server: Server, cut_at: int | None) -> list[Any]:
        client, agent = Client(server), Agent(server, f"agent {cut_at}")
        await client.connect()
        await agent.connect()

        async def until(kind: str, state: str = "") -> None:
            nonlocal cut_at
            while not any(
                event["type"] == kind and event.get("state", "") == state for event in client.events
            ):
                if cut_at is not None and len(client.events) >= cut_at:
                    cut_at = None
                    client.cut()
                    await client.connect()
                await client.receive()

        await client.ask("a person please", "m1")
        await until("handover", "waiting")
        conversation = (await agent.take())["conversation"]
        await until("handover", "active")
        await client.ask("hello", "m2")
        await until("user.delivered")
        await agent.say(conversation, "good day")
        await until("agent.message")
        await agent.send(type="close", conversation=conversation)
        await until("handover", "ended")
        await client.close()
        await agent.socket.close()
        assert client.ready["resumed"] or cut_at is None
        return [
            (event["type"], event.get("text", ""), event.get("state", ""))
            for event in client.events
            if event["type"] not in {"delta", "turn.started"}
        ]

    async def scenario() -> None:
        async with running(desk_settings(tmp_path), ScriptedRunner(pieces=1)) as server:
            uncut = await talk(server, None)
            for cut_at in range(len(uncut) + 2):
                assert await talk(server, cut_at) == uncut, f"cut at event {cut_at}"

    run(scenario())


def test_agents_are_refused_without_their_own_credential(tmp_path: Path) -> None:
    """No team: HTTP 403 before the websocket opens. Wrong, missing or another's: no word about customers, 4401."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path / "closed"), ScriptedRunner()) as server:
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://127.0.0.1:{server.port}/agent", proxy=None)
            assert refused.value.response.status_code == 403
            assert b"assistant team add" in refused.value.response.body
        async with running(desk_settings(tmp_path), ScriptedRunner()) as server, Client(server) as client:
            await client.answer("a person please")
            hire(server, "Kim")
            for hello in (
                {"type": "hello", "v": 1, "credential": "wrong", "agent": "Kim"},
                {"type": "hello", "v": 1, "credential": "", "agent": "Kim"},
                {"type": "hello", "v": 1, "credential": hire(server, "Robin"), "agent": "Kim"},
            ):
                async with connect(f"ws://127.0.0.1:{server.port}/agent", proxy=None) as socket:
                    await socket.send(json.dumps({"type": "queue.list"}))
                    assert json.loads(await socket.recv())["code"] == "hello_required"
                    await socket.send(json.dumps(hello))
                    assert json.loads(await socket.recv())["code"] == "unauthorized"
                    await socket.wait_closed()
                    assert socket.close_code == 4401

    run(scenario())


def test_same_agent_name_again_takes_the_place_of_the_older_connection(tmp_path: Path) -> None:
    """Close 4409 for the older one; the conversation moves along."""

    async def scenario() -> None:
        async with (
            running(desk_settings(tmp_path), ScriptedRunner(pieces=1)) as server,
            Client(server) as client,
        ):
            old = Agent(server)
            await old.connect()
            conversation = await in_talk(client, old)
            async with Agent(server) as new:
                await new.wait_for("conversation")
                assert await old.closed() == 4409
                await new.say(conversation, "moved to my phone")
                await client.wait_for("agent.message")

    run(scenario())


def test_failing_database_does_not_end_a_talk(tmp_path: Path) -> None:
    """The disk is full from the take on: messages still go both ways, in order."""

    async def scenario() -> None:
        store = open_session_store(tmp_path)
        async with (
            running(desk_settings(tmp_path), ScriptedRunner(pieces=1), store=store) as server,
            Client(server) as client,
            Agent(server) as agent,
        ):
            conversation = await in_talk(client, agent)
            working = store._engine
            store._engine = sa.create_engine(f"sqlite:///{tmp_path / 'missing' / 'sessions.db'}")
            await client.ask("one", "m1")
            await client.wait_for("user.delivered")
            assert store.status.degraded
            await agent.say(conversation, "two")
            await client.wait_for("agent.message")
            assert between_take_and_end(client) == ["user.delivered", "agent.message"]
            store._engine = working
            await eventually(lambda: not store.status.degraded)
        async with running(desk_settings(tmp_path), ScriptedRunner()) as server, Agent(server) as agent:
            await agent.wait_for("conversation")
            assert agent.transcript[-2:] == [("customer", "one"), ("agent", "two")]

    run(scenario())
