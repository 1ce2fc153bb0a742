"""One operator's page: an agent's connection that also shows conversations, questions and figures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path

from assistant.errors import AssistantError, BackendError
from assistant.insights import discard_draft, save_draft
from assistant.learning.drafts import build_draft
from assistant.records import SessionId, Shop
from assistant.server.agents import AgentConnection, AgentRules
from assistant.server.console.history import History
from assistant.server.console.overview import Overview
from assistant.server.console.publishing import Publisher
from assistant.server.console.wire import (
    ConsoleHello,
    ConsoleReady,
    ConsoleRequest,
    Done,
    DraftApprove,
    DraftDiscard,
    DraftSave,
    FeedbackRead,
    FiguresRead,
    Join,
    QuestionsRead,
    SignOut,
    TranscriptOpen,
    TranscriptShut,
    parse_console_request,
)
from assistant.server.desk import Desk
from assistant.server.metrics import Metrics
from assistant.server.peer import Close, Socket
from assistant.server.turns import describe_failure
from assistant.server.wire import ErrorCode, Wire, WireError, encode
from assistant.storage import operator_log
from assistant.storage.sessions import SessionStore

_LOGGER = logging.getLogger(__name__)
_PENDING = 16  # requests of one page under way; beyond, the page is told that it is busy
_REFRESH_S = 0.3  # an open transcript is sent again at most so often


@dataclass(frozen=True, slots=True)
class ConsoleParts:
    """What all pages of a server work with; `clock` gives seconds since 1970."""

    overview: Overview
    history: History
    publisher: Publisher
    store: SessionStore
    knowledge: Path
    shop: Callable[[], Shop]
    clock: Callable[[], float]


class ConsoleConnection(AgentConnection):
    """A page's connection. A seat at the desk, and an onlooker of all live conversations."""

    def __init__(
        self, socket: Socket, desk: Desk, rules: AgentRules, parts: ConsoleParts, metrics: Metrics
    ) -> None:
        super().__init__(socket, desk, rules, lambda: parts.shop().name, metrics)
        self._parts = parts
        self._token = ""
        self._open: SessionId | None = None
        self._refresh: asyncio.TimerHandle | None = None
        self._work: set[asyncio.Task[None]] = set()

    async def handle(self, frame: str | bytes) -> None:
        """Parse a frame and do what it asks; what takes long is done beside the conversation."""
        request = parse_console_request(frame)
        if isinstance(request, ConsoleHello):
            return await self._welcome(request)
        if not self.greeted:
            raise WireError(ErrorCode.HELLO_REQUIRED, "send hello first")
        try:
            await self._act(request)
        except WireError as error:
            error.id = error.id or getattr(request, "id", None)
            raise

    async def _act(self, request: ConsoleRequest) -> None:
        parts = self._parts
        match request:
            case SignOut():
                self._rules.sign_in.end(self._token)
                self._close(Close(1000, "signed out"))
            case TranscriptOpen():
                self._begin(request.id, self._read(request))
            case TranscriptShut():
                self._open = None
            case Join():
                await self._join(request)
            case FiguresRead():
                self._begin(request.id, self._answer(parts.history.figures(request.days, request.id)))
            case FeedbackRead():
                self._begin(request.id, self._answer(parts.history.opinions(request.days, request.id)))
            case QuestionsRead():
                self._begin(request.id, self._answer(parts.history.questions(request.days, request.id)))
            case DraftSave():
                self._begin(request.id, self._save(request))
            case DraftDiscard():
                self._begin(request.id, self._discard(request))
            case DraftApprove():
                parts.publisher.start(request.name, self._agent)
                self._log(operator_log.APPROVED, request.name)
                self.offer(encode(Done(id=request.id)))
            case ConsoleHello():
                raise AssertionError("hello is handled before")
            case _:
                await self._serve(request)

    # --- signing in ---

    async def _welcome(self, hello: ConsoleHello) -> None:
        self._check_hello(hello.v)
        sign_in = self._rules.sign_in
        if hello.token is not None:
            signed, self._token = sign_in.resume(hello.token), hello.token
        else:
            if hello.agent is None or hello.credential is None:
                raise WireError(ErrorCode.INVALID, "hello: name agent and credential, or a token")
            signed = await sign_in.check(hello.agent, hello.credential, self._address)
            self._token = sign_in.open(signed)
        self._signed, self._agent = signed, signed.agent
        shop = self._parts.shop()
        self.offer(
            encode(
                ConsoleReady(
                    agent=signed.agent,
                    shop=shop.name,
                    language=shop.language,
                    staffed=self._desk.staffed,
                    grace_s=self._rules.grace_s,
                    text_chars=self._rules.text_chars,
                    token=self._token,
                    until=signed.until,
                    now=self._parts.clock(),
                )
            )
        )
        await self._desk.summon_open()
        self._parts.overview.arrive(self)
        if self._parts.publisher.last is not None:
            self.offer(encode(self._parts.publisher.last))
        await self._desk.arrive(signed.agent, self)

    def leave(self) -> None:
        """Let the desk know, and stop what is read for this page."""
        self._parts.overview.leave(self)
        if self._refresh is not None:
            self._refresh.cancel()
        for task in self._work:
            task.cancel()
        super().leave()

    # --- conversations ---

    async def _read(self, request: TranscriptOpen) -> None:
        parts = self._parts
        session = parts.overview.find(request.key) or await parts.history.find(request.key)
        if session is None:
            raise WireError(
                ErrorCode.UNKNOWN_CONVERSATION, "this conversation is no longer kept", id=request.id
            )
        transcript = await parts.history.transcript(session, request.id)
        self._log(operator_log.READ, request.key)
        self._open = session
        self.offer(encode(transcript))

    def conversation_changed(self, session: SessionId) -> None:
        """Send the open transcript again, soon."""
        if session == self._open and self._refresh is None:
            self._refresh = asyncio.get_running_loop().call_later(_REFRESH_S, self._send_again)

    def _send_again(self) -> None:
        self._refresh = None
        if self._open is not None:
            self._begin("", self._answer(self._parts.history.transcript(self._open)))

    async def _join(self, request: Join) -> None:
        session = self._parts.overview.find(request.key)
        if session is None:
            raise WireError(ErrorCode.UNKNOWN_CONVERSATION, "this conversation is over", id=request.id)
        await self._desk.join(self._agent, session, self)
        self.offer(encode(Done(id=request.id)))

    # --- drafts ---

    async def _save(self, request: DraftSave) -> None:
        draft = build_draft(request.question, request.others, request.answer)
        await asyncio.to_thread(save_draft, self._parts.knowledge, request.name, draft)
        self._log(operator_log.DRAFTED, request.name)
        self.offer(encode(Done(id=request.id)))

    async def _discard(self, request: DraftDiscard) -> None:
        await asyncio.to_thread(discard_draft, self._parts.knowledge, request.name)
        self._log(operator_log.DISCARDED, request.name)
        self.offer(encode(Done(id=request.id)))

    def _log(self, action: str, subject: str) -> None:
        self._parts.store.log_operator(self._agent, action, subject, self._parts.clock())

    # --- beside the conversation ---

    async def _answer(self, work: Coroutine[None, None, Wire]) -> None:
        self.offer(encode(await work))

    def _begin(self, request: str, work: Coroutine[None, None, None]) -> None:
        """Do something that takes a while.

        Raises: WireError: busy.
        """
        if len(self._work) >= _PENDING:
            work.close()
            raise WireError(ErrorCode.BUSY, "too many requests are under way", id=request or None)
        task = asyncio.get_running_loop().create_task(self._do(request, work))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _do(self, request: str, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except WireError as error:
            error.id = error.id or request or None
            self._fail(error)
        except BackendError as error:
            self._fail(WireError(ErrorCode.BACKEND, str(error), id=request or None))
        except AssistantError as error:
            self._fail(WireError(ErrorCode.INVALID, str(error), id=request or None))
        except Exception as error:
            _LOGGER.error("a page's request failed: %s", describe_failure(error))
            self._fail(WireError(ErrorCode.INTERNAL, "the server could not do this", id=request or None))
