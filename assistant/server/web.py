"""What the server says over plain HTTP: the chat page, health and metrics; and whom it lets upgrade."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

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
    ".wasm": "application/wasm",
}
_MEDIA_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".glb": "model/gltf-binary",
    ".gltf": "model/gltf+json",
}
_MEDIA_PATH = "/media/"
_MEDIA_BYTES = 32 * 1024 * 1024  # read at once; a 3D model for a phone has a tenth of it
# File names under assets/ carry a hash of their content, so that a browser need never ask again.
_LASTING = "public, max-age=31536000, immutable"
_HOST = re.compile(r"[A-Za-z0-9.\-]{1,253}(:\d{1,5})?|\[[0-9a-fA-F:.]{2,45}\](:\d{1,5})?")
_IMAGES = "'self' data: https:"  # of the chat page: products have pictures
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file of the page, read once; `packed` is its gzip form, empty if that is no smaller."""

    body: bytes
    media_type: str
    etag: str
    caching: str = "no-cache"
    packed: bytes = b""


def load_page(folder: Path = PAGE) -> Mapping[str, StaticFile]:
    """Read the page's files, also those in folders: URL path to file, `/` being index.html."""
    files: dict[str, StaticFile] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in _TYPES and path.is_file():
            name = path.relative_to(folder).as_posix()
            caching = _LASTING if name.startswith("assets/") else "no-cache"
            files["/" if name == "index.html" else f"/{name}"] = _static_file(
                path, _TYPES[path.suffix], caching
            )
    return files


def _static_file(path: Path, media_type: str, caching: str) -> StaticFile:
    body = path.read_bytes()
    packed = gzip.compress(body, mtime=0)
    etag = hashlib.sha256(body).hexdigest()[:32]
    return StaticFile(body, media_type, f'"{etag}"', caching, packed if len(packed) < len(body) else b"")


class Media:
    """Pictures and 3D models of the catalogue, from the knowledge folder; nothing else that lies there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def find(self, path: str) -> StaticFile | None:
        """The file at a URL path; None for what is not there, too large, or no picture or model.

        Blocking: reads one file.
        """
        name = unquote(path.removeprefix(_MEDIA_PATH)) if path.startswith(_MEDIA_PATH) else ""
        media_type = _MEDIA_TYPES.get(PurePosixPath(name).suffix.lower())
        if media_type is None or "\0" in name:
            return None
        file = (self._folder / name).resolve()
        try:
            hidden = any(part.startswith(".") for part in file.relative_to(self._folder).parts)
            if hidden or not file.is_file() or file.stat().st_size > _MEDIA_BYTES:
                return None
            body = file.read_bytes()
        except (ValueError, OSError):  # outside the folder, or a name the system does not take
            return None
        return StaticFile(body, media_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


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


def own_origin_allowed(origin: str | None, host: str | None, allowed: tuple[str, ...]) -> bool:
    """Whether a page of this origin may open the operator's socket: the server's own, or one listed by name."""
    named = tuple(item for item in allowed if item != "*")
    return origin not in MINI_PROGRAM_ORIGINS - {*named} and origin_allowed(origin, host, named)


def is_upgrade(request: Request) -> bool:
    """Whether a request asks for a websocket."""
    return "websocket" in _header(request, "Upgrade").lower()


def path_of(request: Request) -> str:
    """The path without the query."""
    return request.path.partition("?")[0]


class Web:
    """Answers plain HTTP requests."""

    def __init__(
        self,
        health: Callable[[], dict[str, Any]],
        metrics: Callable[[], bytes],
        operator_credential: str,
        console: Callable[[str], StaticFile | None],
        media: Callable[[str], StaticFile | None],
    ) -> None:
        self._files = load_page()
        self._health = health
        self._metrics = metrics
        self._operator_credential = operator_credential
        self._console = console
        self._media = media

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
            return self._static(self._files[path], request, _chat_policy(request))
        if path == "/healthz":
            health = self._health()
            status = HTTPStatus.SERVICE_UNAVAILABLE if health["status"] == "draining" else HTTPStatus.OK
            body = json.dumps(health, ensure_ascii=False, default=str) + "\n"
            return build_response(status, "application/json", body.encode(), {"Cache-Control": "no-store"})
        if path == "/metrics":
            return self._metrics_for(request, address)
        console_file = self._console(path)
        if console_file is not None:
            return self._static(console_file, request, _policy(request, "'self' data:"))
        media_file = self._media(path)
        if media_file is not None:
            return self._static(media_file, request, "default-src 'none'")
        if path in {"/ws", AGENT_PATH}:
            return text_response(
                HTTPStatus.UPGRADE_REQUIRED,
                "This is a websocket; see docs/protocol.md and docs/handover.md.",
                {"Upgrade": "websocket"},
            )
        return text_response(HTTPStatus.NOT_FOUND, "Nothing here. The chat page is at /.")

    def _static(self, file: StaticFile, request: Request, policy: str) -> Response:
        packs = bool(file.packed) and "gzip" in _header(request, "Accept-Encoding").lower()
        etag = f'{file.etag[:-1]}-gzip"' if packs else file.etag
        headers = {"ETag": etag, "Cache-Control": file.caching, "Content-Security-Policy": policy}
        if file.packed:
            headers["Vary"] = "Accept-Encoding"
        known = {tag.strip().removeprefix("W/") for tag in _header(request, "If-None-Match").split(",")}
        if etag in known or "*" in known:
            return build_response(HTTPStatus.NOT_MODIFIED, file.media_type, b"", headers)
        if packs:
            headers["Content-Encoding"] = "gzip"
        return build_response(HTTPStatus.OK, file.media_type, file.packed if packs else file.body, headers)

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


def _chat_policy(request: Request) -> str:
    """For the chat page: pictures of products, the code reader's WebAssembly, and the textures of 3D models."""
    return _policy(request, f"{_IMAGES} blob:", scripts=" 'wasm-unsafe-eval'", connections=" blob:")


def _policy(request: Request, images: str, *, scripts: str = "", connections: str = "") -> str:
    """Content security policy; names the page's websocket, as not every browser counts it under 'self'."""
    host = _header(request, "Host")
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return (
        f"default-src 'none'; script-src 'self'{scripts}; style-src 'self'; img-src {images}; "
        f"connect-src 'self'{sockets}{connections}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
