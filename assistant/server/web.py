"""What the server says over plain HTTP: the chat page, health and metrics; and whom it lets upgrade."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

PAGE = Path(__file__).parent / "page"
WEBSOCKET_PATHS = frozenset({"/", "/ws"})
AGENT_PATH = "/agent"
# WeChat's mini-programs send this Origin from some versions, none from others.
MINI_PROGRAM_ORIGINS = frozenset({"https://servicewechat.com"})
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HOST = re.compile(r"[A-Za-z0-9.\-]{1,253}(:\d{1,5})?|\[[0-9a-fA-F:.]{2,45}\](:\d{1,5})?")
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file of the page, read once."""

    body: bytes
    media_type: str
    etag: str


def load_page(folder: Path = PAGE) -> Mapping[str, StaticFile]:
    """Read the page's files: URL path to file, `/` being index.html."""
    files: dict[str, StaticFile] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in _TYPES:
            body = path.read_bytes()
            etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            name = "/" if path.name == "index.html" else f"/{path.name}"
            files[name] = StaticFile(body, _TYPES[path.suffix], etag)
    return files


def origin_allowed(origin: str | None, host: str | None, allowed: tuple[str, ...]) -> bool:
    """Whether a page of this origin may open a websocket here.

    Allowed are: no Origin (mini-programs and programs send none), the server's own host, mini-program hosts,
    and what the operator lists; `*` allows all.
    """
    if origin is None or "*" in allowed or origin in MINI_PROGRAM_ORIGINS:
        return True
    if origin.rstrip("/") in {item.rstrip("/") for item in allowed}:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(host) and parts.netloc.lower() == str(host).lower()


def is_upgrade(request: Request) -> bool:
    """Whether a request asks for a websocket."""
    return "websocket" in _header(request, "Upgrade").lower()


def path_of(request: Request) -> str:
    """The path without the query."""
    return request.path.partition("?")[0]


class Web:
    """Answers plain HTTP requests."""

    def __init__(
        self, health: Callable[[], dict[str, Any]], metrics: Callable[[], bytes], operator_credential: str
    ) -> None:
        self._files = load_page()
        self._health = health
        self._metrics = metrics
        self._operator_credential = operator_credential

    def respond(self, request: Request, address: str) -> Response:
        """Answer a request that is not an upgrade."""
        # websockets before 16 takes GET only and has no `method`
        method = str(getattr(request, "method", "GET"))
        if method not in {"GET", "HEAD"}:
            return text_response(HTTPStatus.METHOD_NOT_ALLOWED, "Use GET or HEAD.", {"Allow": "GET, HEAD"})
        response = self._get(request, address)
        if method == "HEAD":
            response.body = b""
        return response

    def _get(self, request: Request, address: str) -> Response:
        path = path_of(request)
        if path in self._files:
            return self._static(self._files[path], request)
        if path == "/healthz":
            health = self._health()
            status = HTTPStatus.SERVICE_UNAVAILABLE if health["status"] == "draining" else HTTPStatus.OK
            body = json.dumps(health, ensure_ascii=False, default=str) + "\n"
            return build_response(status, "application/json", body.encode(), {"Cache-Control": "no-store"})
        if path == "/metrics":
            return self._metrics_for(request, address)
        if path in {"/ws", AGENT_PATH}:
            return text_response(
                HTTPStatus.UPGRADE_REQUIRED,
                "This is a websocket; see docs/protocol.md and docs/handover.md.",
                {"Upgrade": "websocket"},
            )
        return text_response(HTTPStatus.NOT_FOUND, "Nothing here. The chat page is at /.")

    def _static(self, file: StaticFile, request: Request) -> Response:
        headers = {
            "ETag": file.etag,
            "Cache-Control": "no-cache",
            "Content-Security-Policy": _policy(request),
        }
        known = {tag.strip().removeprefix("W/") for tag in _header(request, "If-None-Match").split(",")}
        if file.etag in known or "*" in known:
            return build_response(HTTPStatus.NOT_MODIFIED, file.media_type, b"", headers)
        return build_response(HTTPStatus.OK, file.media_type, file.body, headers)

    def _metrics_for(self, request: Request, address: str) -> Response:
        given = _header(request, "Authorization").removeprefix("Bearer ").encode()
        expected = self._operator_credential.encode()
        opened = bool(expected) and hmac.compare_digest(given, expected)
        if not opened and not _is_local(request, address):
            return text_response(
                HTTPStatus.UNAUTHORIZED,
                "Send the operator credential as a bearer token, or ask from this machine.",
                {"WWW-Authenticate": "Bearer"},
            )
        return build_response(
            HTTPStatus.OK,
            "text/plain; version=0.0.4; charset=utf-8",
            self._metrics(),
            {"Cache-Control": "no-store"},
        )


def text_response(status: HTTPStatus, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """A response in plain text."""
    return build_response(status, "text/plain; charset=utf-8", f"{text}\n".encode(), headers or {})


def build_response(status: HTTPStatus, media_type: str, body: bytes, headers: Mapping[str, str]) -> Response:
    """A response with the headers all responses have. The connection is closed after it."""
    fields = {
        "Content-Type": media_type,
        "Content-Length": str(len(body)),
        "Connection": "close",
        "Date": formatdate(usegmt=True),
        **_SECURITY,
        **headers,
    }
    return Response(status.value, status.phrase, Headers(fields), body)


def _header(request: Request, name: str) -> str:
    """A header's values joined, "" if absent; never raises on repeated headers."""
    return ", ".join(request.headers.get_all(name))


def _is_local(request: Request, address: str) -> bool:
    """Whether a request comes from this machine itself, not through a proxy on it."""
    if _header(request, "X-Forwarded-For") or _header(request, "Forwarded"):
        return False
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _policy(request: Request) -> str:
    """Content security policy; names the page's websocket, as not every browser counts it under 'self'."""
    host = _header(request, "Host")
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https:; "
        f"connect-src 'self'{sockets}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
