"""How agents sign in: their own secret once, then a token that ends; wrong guesses are slowed down."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from assistant.errors import ConfigError
from assistant.server.peer import TokenBucket
from assistant.server.wire import ErrorCode, WireError
from assistant.storage.team import Team

_GUESSES_PER_MINUTE = 5  # wrong secrets for one name from one address; more from the address with other names
_GUESSES_OF_ADDRESS = 20
_KEPT_BUCKETS = 4096
_MOST_TOKENS = 1000


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a token stands for; `credential` is the agent's hash at that time, `until` in seconds since 1970."""

    agent: str
    credential: str
    until: float


class SignIn:
    """Checks secrets and keeps tokens, in memory only: a restart of the server signs everybody out."""

    def __init__(self, team: Team, clock: Callable[[], float], lifetime_s: float) -> None:
        self._team = team
        self._clock = clock
        self._lifetime_s = lifetime_s
        self._tokens: OrderedDict[bytes, SignedIn] = OrderedDict()
        self._guesses: OrderedDict[tuple[str, str], TokenBucket] = OrderedDict()
        # one at a time: each check takes 16 MB, and a flood of them shall not take the processor
        self._checker = ThreadPoolExecutor(1, thread_name_prefix="sign-in")

    @property
    def possible(self) -> bool:
        """Whether there is any agent."""
        try:
            return bool(self._team.members())
        except ConfigError:
            return False

    async def check(self, agent: str, secret: str, address: str) -> SignedIn:
        """Let an agent in, or not.

        Raises: WireError: unauthorized, or rate_limited after several wrong secrets.
        """
        now = asyncio.get_running_loop().time()
        for key, per_minute in (
            ((address, agent), _GUESSES_PER_MINUTE),
            ((address, ""), _GUESSES_OF_ADDRESS),
        ):
            wait_s = self._bucket(key, per_minute, now).take(now)
            if wait_s:
                raise WireError(
                    ErrorCode.RATE_LIMITED, f"too many wrong credentials; try again in {wait_s:.0f} seconds"
                )
        credential = await asyncio.get_running_loop().run_in_executor(
            self._checker, self._credential, agent, secret
        )
        if not credential:
            raise WireError(ErrorCode.UNAUTHORIZED, "the name or the credential in hello is wrong")
        self._guesses.pop((address, agent), None)  # only wrong ones count
        self._guesses.pop((address, ""), None)
        return SignedIn(agent, credential, self._clock() + self._lifetime_s)

    def _credential(self, agent: str, secret: str) -> str:
        """The hash that a right secret has, "" for a wrong one."""
        try:
            return self._team.members()[agent].hash if self._team.check(agent, secret) else ""
        except (ConfigError, KeyError):
            return ""

    def _bucket(self, key: tuple[str, str], per_minute: int, now: float) -> TokenBucket:
        bucket = self._guesses.setdefault(key, TokenBucket(per_minute, now))
        self._guesses.move_to_end(key)
        if len(self._guesses) > _KEPT_BUCKETS:
            self._guesses.popitem(last=False)
        return bucket

    def open(self, signed: SignedIn) -> str:
        """A token for an agent who was checked."""
        token = secrets.token_urlsafe(32)
        self._tokens[_digest(token)] = signed
        if len(self._tokens) > _MOST_TOKENS:
            self._tokens.popitem(last=False)
        return token

    def resume(self, token: str) -> SignedIn:
        """Whose token this is.

        Raises: WireError: sign_in_ended, if it is unknown, too old, or the agent's secret has changed.
        """
        signed = self._tokens.get(_digest(token))
        if signed is None or not self.holds(signed):
            self._tokens.pop(_digest(token), None)
            raise WireError(ErrorCode.SIGN_IN_ENDED, "sign in again")
        return signed

    def holds(self, signed: SignedIn) -> bool:
        """Whether a sign-in still counts: neither too old, nor the agent removed or given a new secret."""
        try:
            member = self._team.members().get(signed.agent)
        except ConfigError:
            return False
        return member is not None and member.hash == signed.credential and self._clock() < signed.until

    def end(self, token: str) -> None:
        """Forget a token. May be called twice."""
        self._tokens.pop(_digest(token), None)

    def close(self) -> None:
        """Stop the thread. May be called twice."""
        self._checker.shutdown(wait=False)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
