"""Replies written by a server that speaks the OpenAI chat-completions protocol: vLLM, SGLang, llama.cpp and others.

One thread runs an event loop for all requests, so that a cancelled reply closes its connection at once, which is
how these servers are told to stop.
"""

from __future__ import annotations

import asyncio
import json
import logging
import queue
import re
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx

from assistant.backends.generation.ending import ends_sentence
from assistant.errors import BackendError, ConfigError
from assistant.protocols import GenerationReport, GenerationRequest, Prompt, PromptWriter
from assistant.records import Message, Source

_LOG = logging.getLogger(__name__)
_CONNECT_S = 2.0
_TRIES = 3
_PAUSE_S = 0.15  # before a second try; doubled before a third
_REST_S = 10.0  # a server that was down is left alone for so long
_LOOK_S = 0.05  # how often a waiting reply looks whether it was cancelled
_MOST_CONNECTIONS = 64
_MOST_CHARS = 4000
_MOST_LINE_CHARS = 1_000_000
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
# How chat templates of well-known models mark roles and ends; a server would read them out of a message.
_MARKS = re.compile(
    r"<(?=\||/?s>|/?(?:start_of_turn|end_of_turn|bos|eos|think|tool_call|tool_response)>|｜)|\[(?=/?INST\])",
    re.IGNORECASE,
)
_Item = str | BackendError | None


class OpenAiGenerator:
    """Streams replies from a server. Implements `Generator`; safe to call from many threads."""

    def __init__(
        self,
        url: str,
        write_prompt: PromptWriter,
        *,
        model: str = "",
        credential: str = "",
        tokens: int = 160,
        prompt_chars: int = 12_000,
        seconds: float = 8.0,
        temperature: float = 0.0,
    ) -> None:
        """Prepare the client; nothing is sent yet.

        Args:
            url: where the API begins, such as `http://127.0.0.1:8000/v1`.
            write_prompt: makes prompts of requests.
            model: name to ask for; "" takes the first that the server lists.
            credential: sent as a bearer token, "" for none.
            tokens: most tokens of a reply.
            prompt_chars: longest prompt, in characters.
            seconds: for a whole reply.
            temperature: 0 asks for the likeliest words.

        Raises: ConfigError: the URL is not an HTTP address.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ConfigError(
                f"setting composer_url: {url!r} is not an address such as http://127.0.0.1:8000/v1"
            )
        if parts.username or parts.password:
            raise ConfigError(
                "setting composer_url: put the credential into composer_credential, not into the URL"
            )
        self._base = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        self._write = write_prompt
        self._model = model
        self._tokens = tokens
        self._prompt_chars = prompt_chars
        self._seconds = seconds
        self._temperature = temperature
        self._rests_until = 0.0
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._client = httpx.AsyncClient(
            limits=httpx.Limits(max_connections=_MOST_CONNECTIONS), trust_env=False, follow_redirects=False
        )
        self._thread = threading.Thread(target=self._loop.run_forever, name="composer-http", daemon=True)
        self._thread.start()

    @property
    def generative(self) -> bool:
        """Yes: the words come from the server's model."""
        return True

    def close(self) -> None:
        """End requests, connections and the thread. May be called twice."""
        if self._closed:
            return
        self._closed = True
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def generate(self, request: GenerationRequest, stop: threading.Event) -> Iterator[str | GenerationReport]:
        """Yield pieces as the server sends them, then a report; ends within moments once `stop` is set.

        Raises: BackendError: the server is down, slow, refuses, or answers nonsense.
        """
        started = time.perf_counter()
        prompt = self._write(_disarm(request), self._fits)
        arrived: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        running = self._start(self._fetch(prompt, arrived))
        text, first, pieces = "", 0.0, 0
        try:
            while (item := _take(arrived, stop)) is not None:
                if isinstance(item, BackendError):
                    raise item
                first = first or time.perf_counter()
                pieces += 1
                text += item
                yield item
        finally:
            running.cancel()
        if not stop.is_set() and text and len(text) >= _MOST_CHARS and not ends_sentence(text, ""):
            yield "…"
        seconds = time.perf_counter() - started
        figures = {
            "model": self._model,
            "sources_read": prompt.sources,
            "pieces": pieces,
            "first_token_ms": round((first - started) * 1e3, 2) if first else None,
            "seconds": round(seconds, 3),
            "finish": "stopped" if stop.is_set() else "end",
        }
        yield GenerationReport(True, figures)

    def _fits(self, prompt: Prompt) -> bool:
        return sum(len(text) for _, text in prompt.messages) <= self._prompt_chars

    def _start(self, work: Coroutine[Any, Any, None]) -> Future[None]:
        if self._closed or time.monotonic() < self._rests_until:
            work.close()
            raise BackendError("the composer's server was down a moment ago", retryable=True)
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    # --- in the event loop ---------------------------------------------------------------------------------

    async def _end(self) -> None:
        """Cancel what still runs and close the connections."""
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._client.aclose()

    async def _fetch(self, prompt: Prompt, arrived: queue.SimpleQueue[_Item]) -> None:
        """Put the reply's pieces into the queue, then None or what went wrong."""
        end: _Item = None
        begun = False
        try:
            async with asyncio.timeout(self._seconds):
                for tried in range(_TRIES):
                    try:
                        async for piece in self._pieces(prompt):
                            begun = True
                            arrived.put(piece)
                        break
                    except _Again as error:
                        if begun or tried == _TRIES - 1:
                            raise
                        _LOG.info("the composer's server is asked again: %s", error)
                        await asyncio.sleep(_PAUSE_S * 2**tried)
        except TimeoutError:
            end = BackendError(f"the composer's server took longer than {self._seconds:g} s", retryable=True)
        except _Again as error:
            if error.down:
                self._rests_until = time.monotonic() + _REST_S
            end = BackendError(str(error), retryable=True)
        except BackendError as error:
            end = error
        finally:
            arrived.put(end)

    async def _pieces(self, prompt: Prompt) -> AsyncIterator[str]:
        """One request's pieces.

        Raises: _Again: it may go better a second time; BackendError: it will not.
        """
        body = {
            "model": await self._model_name(),
            "messages": [{"role": role, "content": text} for role, text in prompt.messages],
            "stream": True,
            "max_tokens": self._tokens,
            "temperature": self._temperature,
        }
        length = 0
        try:
            async with self._client.stream(
                "POST",
                f"{self._base}/chat/completions",
                json=body,
                headers=self._headers,
                timeout=self._timeout(),
            ) as response:
                _expect_ok(response)
                async for line in response.aiter_lines():
                    if len(line) > _MOST_LINE_CHARS:
                        raise BackendError("the composer's server sent a line without end")
                    piece, last = _parse(line)
                    if piece:
                        yield piece[: _MOST_CHARS - length]
                        length += len(piece)
                    if last or length >= _MOST_CHARS:
                        return
        except httpx.HTTPError as error:
            raise _unreachable(error) from error
        if not length:
            raise BackendError("the composer's server answered without a reply")

    async def _model_name(self) -> str:
        if not self._model:
            try:
                response = await self._client.get(
                    f"{self._base}/models", headers=self._headers, timeout=self._timeout()
                )
            except httpx.HTTPError as error:
                raise _unreachable(error) from error
            _expect_ok(response)
            try:
                self._model = str(response.json()["data"][0]["id"])
            except (ValueError, LookupError, TypeError) as error:
                raise BackendError("the composer's server lists no model; set composer_model") from error
        return self._model

    def _timeout(self) -> httpx.Timeout:
        return httpx.Timeout(self._seconds, connect=min(_CONNECT_S, self._seconds))


class _Again(Exception):
    """A request that may be sent again; `down` if nobody answered."""

    def __init__(self, message: str, *, down: bool = False) -> None:
        self.down = down
        super().__init__(message)


def _unreachable(error: httpx.HTTPError) -> _Again:
    return _Again(
        f"the composer's server cannot be reached: {type(error).__name__}",
        down=isinstance(error, httpx.ConnectError | httpx.ConnectTimeout),
    )


def _expect_ok(response: httpx.Response) -> None:
    if response.status_code in _RETRIED:
        raise _Again(f"the composer's server answered with status {response.status_code}")
    if response.status_code != 200:
        raise BackendError(f"the composer's server answered with status {response.status_code}")


def _parse(line: str) -> tuple[str, bool]:
    """One line of the event stream: the text in it, and whether it is the last.

    Raises: BackendError: it is neither an event nor a part of one.
    """
    name, _, value = line.partition(":")
    if not line or name in {"", "event", "id", "retry"}:
        return "", False
    value = value.strip()
    if name != "data":
        raise BackendError("the composer's server does not answer with an event stream")
    if value == "[DONE]":
        return "", True
    try:
        event = json.loads(value)
        if not isinstance(event, Mapping) or "error" in event:
            raise BackendError("the composer's server reported an error")
        choices = event["choices"]
        piece = choices[0].get("delta", {}).get("content") if choices else ""
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BackendError("the composer's server sent something that is no chat completion") from error
    if piece is not None and not isinstance(piece, str):
        raise BackendError("the composer's server sent a reply that is no text")
    return piece or "", False


def _take(arrived: queue.SimpleQueue[_Item], stop: threading.Event) -> _Item:
    """What arrives next; None at the end, and once `stop` is set."""
    while not stop.is_set():
        try:
            return arrived.get(timeout=_LOOK_S)
        except queue.Empty:
            continue
    return None


def _disarm(request: GenerationRequest) -> GenerationRequest:
    """The request without texts that a chat template would take for its own marks."""

    def plain(text: str) -> str:
        return _MARKS.sub(lambda match: f"{match.group()} ", text)

    return replace(
        request,
        question=plain(request.question),
        sources=tuple(
            Source(source.id, plain(source.title), plain(source.text), source.document)
            for source in request.sources
        ),
        history=tuple(Message(message.role, plain(message.text)) for message in request.history),
    )
