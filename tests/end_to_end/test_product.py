"""The product as a user meets it: real models, real server process, real knowledge, the commands of the README."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

ROOT = Path(__file__).parent.parent.parent
GUARD_S = 60.0

pytestmark = pytest.mark.timeout(300)


def command(*arguments: str, data: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `assistant ...` as a user would."""
    result = subprocess.run(
        [sys.executable, "-m", "assistant", *arguments, "--data", str(data)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == code, result.stderr[-3000:]
    return result


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A copy of the example shop and a data folder with it ingested."""
    folder = tmp_path_factory.mktemp("shop")
    knowledge, data = folder / "knowledge", folder / "data"
    shutil.copytree(ROOT / "knowledge", knowledge)
    report = json.loads(command("ingest", str(knowledge), "--json", data=data).stdout)
    assert report["switched"]
    return knowledge, data


@pytest.fixture(scope="module")
def address(shop: tuple[Path, Path]) -> Iterator[str]:
    """A running server."""
    process = subprocess.Popen(
        [sys.executable, "server.py", "--port", "0", "--data", str(shop[1])],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if found := re.search(r"serving http://([^/]+)/", line):
            break
    else:
        pytest.fail("the server did not start:\n" + "".join(lines))
    yield found[1]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=GUARD_S)
    assert process.returncode == 0


async def converse(address: str, *texts: str) -> list[dict[str, object]]:
    """Ask one after the other in one session; returns the `turn.done` events, with the streamed text as `streamed`."""
    ended = []
    async with asyncio.timeout(GUARD_S), connect(f"ws://{address}/ws") as socket:
        await socket.send(
            json.dumps({"type": "hello", "v": 1, "platform": "web", "locale": "en", "binary": True})
        )
        assert json.loads(await socket.recv())["type"] == "ready"
        for number, text in enumerate(texts):
            await socket.send(json.dumps({"type": "user.text", "id": f"m{number}", "text": text}))
            streamed = ""
            while True:
                event = json.loads(await socket.recv())
                if event["type"] == "delta":
                    streamed += event["text"]
                if event["type"] == "turn.done":
                    ended.append(event | {"streamed": streamed})
                    break
    return ended


def test_question_in_own_words_is_answered_with_its_source(address: str) -> None:
    """The right sentence streams in and names where it stands."""
    (done,) = asyncio.run(converse(address, "how long does it take until a sofa that is in stock gets to me"))
    assert done["status"] == "completed"
    assert "6 to 9 working days" in str(done["text"])
    assert done["streamed"] == done["text"]
    assert done["sources"][0]["document"] == "faq/delivery.md"  # type: ignore[index]
    assert done["ai_generated"] is False


def test_unknown_thing_is_declined_with_a_person_offered(address: str) -> None:
    """What is not in the knowledge is not answered, and yes leads to a person."""
    declined, handed = asyncio.run(converse(address, "do you sell live penguins", "yes please"))
    assert declined["status"] == "declined"
    assert declined["sources"] == []
    assert handed["decision"] == "hand_over"


def test_running_server_answers_from_changed_knowledge(address: str, shop: tuple[Path, Path]) -> None:
    """An edited file and `assistant ingest` are enough; no restart."""
    knowledge, data = shop
    file = knowledge / "faq" / "delivery.md"
    file.write_text(
        file.read_text(encoding="utf-8").replace("€12.90 on every order", "€13.70 on every order"),
        encoding="utf-8",
    )
    report = json.loads(command("ingest", str(knowledge), "--json", data=data).stdout)
    assert len(report["changed"]) == 1
    question = "what does express delivery cost"

    async def until_new() -> str:
        async with asyncio.timeout(GUARD_S):
            while True:
                (done,) = await converse(address, question)
                if "13.70" in str(done["text"]):
                    return str(done["text"])

    assert "€13.70" in asyncio.run(until_new())


def test_all_conversations_of_the_shop_go_well(tmp_path: Path) -> None:
    """knowledge/tests.yaml passes over the websocket, on the knowledge as it stands in the repository."""
    result = command("ingest", "knowledge", data=tmp_path)
    result = command("evaluate", "knowledge/tests.yaml", "--json", data=tmp_path)
    figures = json.loads(result.stdout)["conversations"]
    assert figures["failed"] == 0, figures["failures"]
    assert figures["passed"] >= 100
    assert figures["unchecked"] == 0


def test_ask_prints_one_json_object(shop: tuple[Path, Path]) -> None:
    """`assistant ask --json` says what was decided, why and from where, and nothing else on stdout."""
    result = command("ask", "Which countries do you deliver to?", "--json", data=shop[1])
    answer = json.loads(result.stdout)
    assert answer["decision"] == "answer"
    assert "Luxembourg" in answer["reply"]
    assert answer["sources"]


def test_nothing_ingested_is_said_with_the_command_to_run(tmp_path: Path) -> None:
    """An empty data folder is refused with what to do."""
    result = command("ask", "hello", data=tmp_path / "empty", code=1)
    assert "assistant ingest" in result.stderr
