"""The shop's agents and their credentials: one file in the data folder, holding salted hashes only.

The file is replaced whole at each change and read again when it has changed, so a running server follows the command
line within moments.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from assistant.errors import ConfigError

FILE = "team.json"
MAX_NAME = 40
_NAME = re.compile(rf"[^\x00-\x1f\x7f]{{1,{MAX_NAME}}}")
_SECRET_BYTES = 20
# RFC 7914; about 50 ms and 16 MB. A secret made here could not be guessed even from a quick hash, but people may
# one day choose their own.
_COST, _BLOCK, _PARALLEL = 2**14, 8, 1


@dataclass(frozen=True, slots=True)
class Member:
    """An agent as the file has them: `salt` and `hash` in base64, `since` in seconds since 1970."""

    salt: str
    hash: str
    since: float


class Team:
    """The agents of a data folder. Methods that read the file block for moments; `check` for a tenth of a second."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._seen: tuple[int, int, int] | None = None
        self._members: Mapping[str, Member] = {}

    def members(self) -> Mapping[str, Member]:
        """Everybody, by name.

        Raises: ConfigError: the file cannot be read, or is not what this program wrote.
        """
        try:
            found = os.stat(self._file)
        except FileNotFoundError:
            self._seen, self._members = None, {}
            return self._members
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from error
        seen = (found.st_mtime_ns, found.st_size, found.st_ino)
        if seen != self._seen:
            try:
                stored = json.loads(self._file.read_text(encoding="utf-8"))
                self._members = {str(name): Member(**fields) for name, fields in stored["agents"].items()}
            except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
                raise self._unreadable(type(error).__name__) from error
            self._seen = seen
        return self._members

    def _unreadable(self, why: str) -> ConfigError:
        return ConfigError(
            f"{self._file} cannot be read ({why}); restore it, or delete it and add the agents"
        )

    def check(self, name: str, secret: str) -> bool:
        """Whether this is the agent's secret. Takes as long for a name that nobody has.

        Raises: as `members`.
        """
        member = self.members().get(name)
        salt = base64.b64decode(member.salt) if member is not None else bytes(16)
        expected = base64.b64decode(member.hash) if member is not None else bytes(32)
        return hmac.compare_digest(_hash(secret, salt), expected) and member is not None

    def add(self, name: str, *, renew: bool = False) -> str:
        """Add an agent, or with `renew` give one a new secret; the old one and what it opened end with it.

        Returns: the secret, which is kept nowhere.
        Raises: ConfigError: the name cannot be one, is taken (or, with `renew`, is not there), or the file
            cannot be written.
        """
        if not _NAME.fullmatch(name) or name != name.strip():
            raise ConfigError(f"an agent's name has 1 to {MAX_NAME} visible characters; customers see it")
        secret = base64.b32encode(secrets.token_bytes(_SECRET_BYTES)).decode().lower()
        salt = secrets.token_bytes(16)
        made = Member(
            base64.b64encode(salt).decode(), base64.b64encode(_hash(secret, salt)).decode(), time.time()
        )
        with self._alone():
            members = dict(self.members())
            if renew and name not in members:
                raise ConfigError(f"there is no agent {name!r}; `assistant team list` names them")
            if not renew and name in members:
                raise ConfigError(
                    f"there is an agent {name!r} already; `assistant team renew` gives a new secret"
                )
            members[name] = made
            self._write(members)
        return secret

    def remove(self, name: str) -> None:
        """Remove an agent.

        Raises: ConfigError: there is none of this name, or the file cannot be written.
        """
        with self._alone():
            members = dict(self.members())
            if members.pop(name, None) is None:
                raise ConfigError(f"there is no agent {name!r}; `assistant team list` names them")
            self._write(members)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep another command from changing the file at the same time."""
        lock = self._file.with_name(f".{self._file.name}.lock")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError as error:
            raise ConfigError(
                f"another command changes {self._file}; if none does, delete {lock} and try again"
            ) from error
        except OSError as error:
            raise ConfigError(f"{self._file} cannot be written: {error.strerror}") from error
        try:
            yield
        finally:
            os.close(handle)
            lock.unlink(missing_ok=True)

    def _write(self, members: Mapping[str, Member]) -> None:
        text = json.dumps(
            {"version": 1, "agents": {name: asdict(one) for name, one in members.items()}},
            ensure_ascii=False,
            indent=2,
        )
        part = self._file.with_name(f".{self._file.name}.part")
        try:
            part.unlink(missing_ok=True)
            handle = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(f"{text}\n")
            os.replace(part, self._file)
        except OSError as error:
            raise ConfigError(f"{self._file} cannot be written: {error.strerror}") from error


def _hash(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, n=_COST, r=_BLOCK, p=_PARALLEL, dklen=32)
