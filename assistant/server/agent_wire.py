"""What a service agent's program and the server say to each other at /agent. Pure; docs/handover.md says when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from assistant.server.wire import (
    PROTOCOL_VERSION,
    ClientId,
    Credential,
    ErrorCode,
    Moment,
    Name,
    Wire,
    WireError,
    parse_one_of,
)

AgentName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,40}$", strip_whitespace=True)]

# --- agent → server ----------------------------------------------------------------------------------------


class AgentHello(Wire):
    """Opens the agent's desk; the first message. The same name again takes over from the older connection."""

    type: Literal["hello"] = "hello"
    v: int
    credential: Credential
    agent: AgentName


class QueueList(Wire):
    """Asks for the queue; it is also sent whenever it changes."""

    type: Literal["queue.list"] = "queue.list"


class Take(Wire):
    """Takes a conversation: from now on the assistant is silent in it."""

    type: Literal["take"] = "take"
    conversation: Name


class AgentSays(Wire):
    """Says something to the customer. The id makes sending again harmless."""

    type: Literal["agent.message"] = "agent.message"
    id: ClientId
    conversation: Name
    text: str


class Release(Wire):
    """Gives a conversation back: to the assistant, or to the front of the queue for another agent."""

    type: Literal["release"] = "release"
    conversation: Name
    to: Literal["assistant", "queue"] = "assistant"


class CloseConversation(Wire):
    """Ends a conversation that is solved; what the customer writes next is the assistant's again."""

    type: Literal["close"] = "close"
    conversation: Name


class AgentPing(Wire):
    """Asks for a `pong`."""

    type: Literal["ping"] = "ping"
    t: Moment


AgentRequest = AgentHello | QueueList | Take | AgentSays | Release | CloseConversation | AgentPing
AGENT_REQUESTS: Mapping[str, type[AgentRequest]] = {
    "hello": AgentHello,
    "queue.list": QueueList,
    "take": Take,
    "agent.message": AgentSays,
    "release": Release,
    "close": CloseConversation,
    "ping": AgentPing,
}

# --- server → agent ----------------------------------------------------------------------------------------


class AttemptInfo(Wire):
    """A question before the hand-over and what the assistant made of it."""

    question: str
    decision: str
    reply: str


class SummaryInfo(Wire):
    """What to know before the first word."""

    reason: str
    question: str
    tried: tuple[AttemptInfo, ...] = Field((), strict=False)
    orders: tuple[str, ...] = Field((), strict=False)


class QueueEntry(Wire):
    """One open hand-over.

    Attributes:
        conversation: the name to take it by.
        waited_s: seconds since the customer asked.
        cause: the customer asked, the assistant missed several times, or an agent joined unasked.
        state: "waiting", or "active" if an agent has it.
        agent: who has it, or had it before it came back to the queue.
        connected: whether the customer is there now.
    """

    conversation: str
    state: Literal["waiting", "active"]
    waited_s: float
    cause: Literal["asked", "missed", "upset", "joined"]
    agent: str = ""
    connected: bool
    summary: SummaryInfo


class Line(Wire):
    """One message of the conversation: `who` is "customer", "assistant" or "agent"; `at` is seconds since 1970."""

    who: Literal["customer", "assistant", "agent"]
    text: str
    at: float
    agent: str = ""


class AgentReady(Wire):
    """Answers `hello`."""

    type: Literal["ready"] = "ready"
    v: int = PROTOCOL_VERSION
    agent: str
    shop: str
    staffed: bool
    grace_s: float


class QueueEvent(Wire):
    """All open hand-overs, those waiting in the order of the queue."""

    type: Literal["queue"] = "queue"
    conversations: tuple[QueueEntry, ...] = Field((), strict=False)


class ConversationEvent(Wire):
    """A conversation of yours in full: after `take`, and after you connected again."""

    type: Literal["conversation"] = "conversation"
    conversation: str
    customer: str = ""
    language: str
    platform: str
    connected: bool
    summary: SummaryInfo
    transcript: tuple[Line, ...] = Field((), strict=False)


class CustomerSays(Wire):
    """The customer wrote."""

    type: Literal["customer.message"] = "customer.message"
    conversation: str
    text: str
    at: float


class CustomerPresence(Wire):
    """The customer came or went; what you write is kept for them."""

    type: Literal["customer.presence"] = "customer.presence"
    conversation: str
    connected: bool


class MessageKept(Wire):
    """Your message with this id is stored."""

    type: Literal["message.kept"] = "message.kept"
    conversation: str
    id: str


class ConversationEnded(Wire):
    """A conversation is no longer yours: ended, or back in the queue."""

    type: Literal["conversation.ended"] = "conversation.ended"
    conversation: str
    reason: Literal["released", "closed", "customer", "queue", "erased"]


class AgentError(Wire):
    """Something was refused; see the codes of docs/protocol.md."""

    type: Literal["error"] = "error"
    code: str
    message: str
    id: str | None = None
    retryable: bool
    fatal: bool


class AgentPong(Wire):
    """Answers `ping` with its `t`."""

    type: Literal["pong"] = "pong"
    t: Moment


AgentEvent = (
    AgentReady
    | QueueEvent
    | ConversationEvent
    | CustomerSays
    | CustomerPresence
    | MessageKept
    | ConversationEnded
    | AgentError
    | AgentPong
)
AGENT_EVENTS: Mapping[str, type[AgentEvent]] = {
    "ready": AgentReady,
    "queue": QueueEvent,
    "conversation": ConversationEvent,
    "customer.message": CustomerSays,
    "customer.presence": CustomerPresence,
    "message.kept": MessageKept,
    "conversation.ended": ConversationEnded,
    "error": AgentError,
    "pong": AgentPong,
}


def parse_agent_request(frame: str | bytes) -> AgentRequest:
    """Turn an agent's frame into a message.

    Raises: WireError: malformed, unknown_type, invalid or unsupported; never anything else.
    """
    if isinstance(frame, bytes):
        raise WireError(ErrorCode.UNSUPPORTED, "send text frames")
    return parse_one_of(AGENT_REQUESTS, frame)


def parse_agent_event(frame: str | bytes) -> AgentEvent:
    """Turn a server's frame into a message; for the agent's program.

    Raises: WireError: the frame is not a message of this version.
    """
    if isinstance(frame, bytes):
        raise WireError(ErrorCode.UNSUPPORTED, "binary frames are not sent by this version")
    return parse_one_of(AGENT_EVENTS, frame)
