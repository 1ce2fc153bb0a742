"""A month of invented conversations in a data folder, so that the page's figures have something to show.

Usage: past.py DATA. Written through the server's own storage, with a fixed seed.
"""

import asyncio
import json
import random
import sys
import time
from pathlib import Path

from assistant.records import DialogueState, SessionId, TurnId
from assistant.storage.sessions import StoredSession, StoredTurn, open_session_store

DAY_S = 86_400
ANSWERED = (
    ("How long can I return a sofa?", "You can send furniture back within 30 days of delivery."),
    ("What does delivery cost?", "A parcel costs 4.90 euro; it is free from 60 euro."),
    ("Can I pay by invoice?", "Yes, with invoice you pay within 14 days of delivery."),
    ("Is the oak table oiled?", "The oak table comes oiled, and can be oiled again once a year."),
)
DECLINED = (
    "Do you repair old chairs?",
    "can you repair a chair I bought years ago",
    "Is there a discount for students?",
    "Do you have a student discount?",
    "Can I rent furniture for a party?",
)


async def write(data: Path) -> None:
    """Fill the folder."""
    chance = random.Random(7)  # noqa: S311 - invented figures
    store = open_session_store(data)
    now = time.time()
    number = 0
    for days_ago in range(28, 0, -1):
        at = now - days_ago * DAY_S
        quiet = time.localtime(at).tm_wday >= 5
        for _ in range(chance.randint(6, 14) if quiet else chance.randint(18, 42)):
            number += 1
            session = SessionId(f"past-{number}")
            kept = StoredSession(session, at, at, 3, "en", "mp-weixin", DialogueState())
            roll = chance.random()
            decision, status = "answer", "completed"
            question, reply = chance.choice(ANSWERED)
            if roll > 0.95 - days_ago / 400:
                decision, status, question, reply = (
                    "decline",
                    "declined",
                    chance.choice(DECLINED),
                    "I don't know that.",
                )
            elif roll > 0.84:
                decision, question, reply = (
                    "hand_over",
                    "I'd like to talk to somebody",
                    "I'm asking a colleague to join.",
                )
            took = min(900.0, chance.lognormvariate(4.2, 0.45))
            done = {"timings": {"total_ms": round(took, 1), "first_delta_ms": round(took * 0.8, 1)}}
            turn = StoredTurn(TurnId(f"past-t-{number}"), session, 1, f"m{number}", question, at)
            store.accept_turn(kept, turn)
            ended = StoredTurn(
                turn.id,
                session,
                1,
                turn.client_id,
                question,
                at,
                1,
                1,
                2,
                status,
                decision,
                reply,
                json.dumps(done),
            )
            await store.finish_turn(ended, DialogueState(), at)
            if decision == "answer" and chance.random() < 0.15:
                value = "up" if chance.random() < 0.85 else "down"
                store.add_feedback(session, turn.id, value, "", at)
    await store.close()


asyncio.run(write(Path(sys.argv[1])))
