"""One agent's connection: greets with the agent's own credential, and passes requests to the desk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from assistant.server.agent_wire import (
    AgentError,
    AgentHello,
    AgentPing,
    AgentPong,
    AgentReady,
    AgentRequest,
    AgentSays,
    CloseConversation,
    MessageKept,
    QueueList,
    Release,
    Take,
    parse_agent_request,
)
from assistant.server.desk import Desk
from assistant.server.metrics import Metrics
from assistant.server.peer import Peer, Socket
from assistant.server.sign_in import SignedIn, SignIn
from assistant.server.wire import PROTOCOL_VERSION, ErrorCode, WireError, encode
from assistant.text import normalise


@dataclass(frozen=True, slots=True)
class AgentRules:
    """The settings an agent's connection needs."""

    sign_in: SignIn
    hello_timeout_s: float
    messages_per_minute: int
    text_chars: int
    grace_s: float


class AgentConnection(Peer):
    """An agent's connection. A seat at the desk."""

    def __init__(
        self, socket: Socket, desk: Desk, rules: AgentRules, shop: Callable[[], str], metrics: Metrics
    ) -> None:
        super().__init__(
            socket,
            metrics,
            messages_per_minute=rules.messages_per_minute,
            hello_timeout_s=rules.hello_timeout_s,
        )
        self._desk = desk
        self._rules = rules
        self._shop = shop
        self._agent = ""
        self._signed: SignedIn | None = None
        remote = socket.remote_address
        self._address = str(remote[0]) if remote else ""

    def replace(self) -> None:
        """Tell the agent's program that the agent connected elsewhere, and close."""
        self._fail(WireError(ErrorCode.REPLACED, "an agent of this name connected elsewhere"))

    @property
    def greeted(self) -> bool:
        """Whether the agent is known."""
        return bool(self._agent)

    def verify(self) -> None:
        """Close if the agent's sign-in does not count any more."""
        if self._signed is not None and not self._rules.sign_in.holds(self._signed):
            self._signed = None
            self._fail(WireError(ErrorCode.SIGN_IN_ENDED, "sign in again"))

    def leave(self) -> None:
        """Let the desk know."""
        if self._agent:
            self._desk.leave(self._agent, self)

    def describe_error(self, error: WireError) -> str:
        """The error event."""
        return encode(
            AgentError(
                code=error.code,
                message=str(error),
                id=error.id,
                retryable=error.retryable,
                fatal=error.fatal,
            )
        )

    async def handle(self, frame: str | bytes) -> None:
        """Parse a frame and do what it asks."""
        request = parse_agent_request(frame)
        if isinstance(request, AgentHello):
            await self._greet(request)
        else:
            await self._serve(request)

    async def _serve(self, request: AgentRequest) -> None:
        """Do what an agent asks after `hello`."""
        match request:
            case AgentPing():
                self.offer(encode(AgentPong(t=request.t)))
            case _ if not self._agent:
                raise WireError(ErrorCode.HELLO_REQUIRED, "send hello first")
            case QueueList():
                self._desk.show_queue(self)
            case Take():
                await self._desk.take(self._agent, request.conversation, self)
            case AgentSays():
                await self._say(request)
            case Release():
                await self._desk.release(self._agent, request.conversation, request.to)
            case CloseConversation():
                await self._desk.finish(self._agent, request.conversation)

    def _check_hello(self, version: int) -> None:
        if self._agent:
            raise WireError(ErrorCode.ALREADY_GREETED, "hello was sent before on this connection")
        if version != PROTOCOL_VERSION:
            raise WireError(
                ErrorCode.UNSUPPORTED_VERSION,
                f"protocol version {version} is not spoken here, only {PROTOCOL_VERSION}",
            )

    async def _greet(self, hello: AgentHello) -> None:
        self._check_hello(hello.v)
        signed = await self._rules.sign_in.check(hello.agent, hello.credential, self._address)
        self._signed = replace(signed, until=float("inf"))  # this connection began with the secret itself
        self._agent = hello.agent
        ready = AgentReady(
            agent=hello.agent, shop=self._shop(), staffed=self._desk.staffed, grace_s=self._rules.grace_s
        )
        self.offer(encode(ready))
        await self._desk.arrive(hello.agent, self)

    async def _say(self, request: AgentSays) -> None:
        lines = [normalise(line) for line in request.text.splitlines()]
        text = "\n".join(lines).strip()
        if not text:
            raise WireError(ErrorCode.INVALID, "agent.message: field text: it is empty", id=request.id)
        if len(text) > self._rules.text_chars:
            raise WireError(
                ErrorCode.TEXT_TOO_LONG,
                f"the text has {len(text)} characters; at most {self._rules.text_chars} are taken",
                id=request.id,
            )
        await self._desk.say(self._agent, request.conversation, request.id, text)
        self.offer(encode(MessageKept(conversation=request.conversation, id=request.id)))
