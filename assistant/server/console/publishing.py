"""Approved drafts on their way into the knowledge: one at a time, in a thread; everybody sees how far it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from assistant.config import Settings
from assistant.errors import AssistantError, KnowledgeError
from assistant.insights import publish_draft
from assistant.server.console.wire import Publishing
from assistant.server.turns import describe_failure
from assistant.server.wire import ErrorCode, WireError

if TYPE_CHECKING:
    from assistant.ingestion.pipeline import IngestReport

_SERVED_S = 30.0  # how long the server may take to serve what was ingested
_LOOK_S = 0.2
_REMARKS = 10  # shown of each kind
_STEP_SHARE = 50  # a step's progress is told at most so often


class Publish(Protocol):
    """What makes a draft knowledge; `assistant.insights.publish_draft`."""

    def __call__(self, settings: Settings, name: str, progress: _Steps) -> IngestReport:
        """Approve and ingest. Blocking."""


class Publisher:
    """Publishes drafts. `close()` waits for the ingest under way, which cannot be cut off."""

    def __init__(
        self,
        settings: Settings,
        serving: Callable[[], str],
        tell: Callable[[Publishing], None],
        publish: Publish = publish_draft,
    ) -> None:
        """Keep the parts.

        Args:
            settings: data and knowledge folder.
            serving: id of the snapshot served now.
            tell: takes each step, on the loop.
            publish: does it.
        """
        self._settings = settings
        self._serving = serving
        self._tell = tell
        self._publish = publish
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="console-ingest")
        self.last: Publishing | None = None

    def start(self, name: str, agent: str) -> None:
        """Begin to publish a draft.

        Raises: WireError: busy, while another is under way.
        """
        if self._task is not None and not self._task.done():
            raise WireError(ErrorCode.BUSY, "another draft is on its way into the knowledge; wait for it")
        self._say(Publishing(draft=name, agent=agent, state="running", step="read"))
        self._task = asyncio.get_running_loop().create_task(self._run(name, agent))

    async def _run(self, name: str, agent: str) -> None:
        loop = asyncio.get_running_loop()

        def step(text: str, part: int, whole: int) -> None:
            said = Publishing(draft=name, agent=agent, state="running", step=text, part=part, whole=whole)
            loop.call_soon_threadsafe(self._say, said)

        failed = Publishing(draft=name, agent=agent, state="failed")
        try:
            report = await loop.run_in_executor(
                self._thread, self._publish, self._settings, name, _Steps(step)
            )
            step("serve", 0, 0)
            await self._wait_until_served(report.snapshot)
        except KnowledgeError as error:
            problems = tuple(str(problem) for problem in error.problems)
            self._say(failed.model_copy(update={"problems": problems}))
        except AssistantError as error:
            self._say(failed.model_copy(update={"problems": (str(error),)}))
        except TimeoutError:
            text = "the knowledge is there, but the server does not serve it; see its log, or restart it"
            self._say(failed.model_copy(update={"problems": (text,)}))
        except Exception as error:
            self._say(failed.model_copy(update={"problems": (describe_failure(error),)}))
        else:
            done = Publishing(draft=name, agent=agent, state="done", snapshot=report.snapshot)
            self._say(done.model_copy(update={"remarks": _remarks(report)}))

    async def _wait_until_served(self, snapshot: str) -> None:
        async with asyncio.timeout(_SERVED_S):
            while self._serving() != snapshot and not self._closing:  # noqa: ASYNC110 - the engine tells nobody
                await asyncio.sleep(_LOOK_S)

    def _say(self, event: Publishing) -> None:
        self.last = event
        self._tell(event)

    async def close(self) -> None:
        """Wait for what is under way. May be called twice."""
        self._closing = True
        if self._task is not None:
            await asyncio.wait([self._task])
        self._thread.shutdown(wait=False)


class _Steps:
    """Progress of an ingest, from its thread."""

    def __init__(self, step: Callable[[str, int, int], None]) -> None:
        self._step = step
        self._name = ""
        self._done = 0
        self._total = 0
        self._told = 0

    def step(self, name: str, total: int | None) -> None:
        """A step begins."""
        self._name, self._done, self._total, self._told = name, 0, total or 0, 0
        self._step(name, 0, self._total)

    def advance(self, amount: int) -> None:
        """Part of it is done."""
        self._done += amount
        if self._done - self._told >= max(1, self._total // _STEP_SHARE):
            self._told = self._done
            self._step(self._name, min(self._done, self._total), self._total)


def _remarks(report: IngestReport) -> tuple[str, ...]:
    contradicting = [
        f"{one.first} and {one.second} contradict each other: {one.first_text} / {one.second_text}"
        for one in report.contradictions[:_REMARKS]
    ]
    alike = [f"{one.first} and {one.second} say nearly the same" for one in report.near_duplicates[:_REMARKS]]
    return (*contradicting, *alike)
