"""The chat page as it is committed and served: it is the build of the sources, packed, and beside the shop's media."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import http.client
import json
import os
import re
from pathlib import Path

import pytest

from assistant.server.web import PAGE, Media, load_page
from tests.server.harness import ScriptedRunner, make_settings, running

CLIENT = Path(__file__).parents[2] / "client"
SINGLE = ["index.html", "package-lock.json", "package.json", "tsconfig.json", "vite.config.ts"]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def build_record() -> dict[str, object]:
    record: dict[str, object] = json.loads((PAGE / "build.json").read_text())
    return record


def test_committed_page_is_the_build_of_the_sources() -> None:
    """The hash of client/ that the build wrote down is that of client/ now; else: npm run build:h5, publish:page."""
    sources = [path.relative_to(CLIENT).as_posix() for path in (CLIENT / "src").rglob("*") if path.is_file()]
    lines = "".join(
        f"{name} {digest((CLIENT / name).read_bytes())}\n" for name in sorted([*SINGLE, *sources])
    )
    assert build_record()["sources"] == digest(lines.encode())


def test_committed_page_was_not_changed_after_its_build() -> None:
    """Every file is there with the hash it was published with, and no other file."""
    found = {
        path.relative_to(PAGE).as_posix(): digest(path.read_bytes())
        for path in PAGE.rglob("*")
        if path.is_file() and path.name != "build.json"
    }
    assert found == build_record()["files"]


def test_page_fits_its_budget_and_loads_the_rest_on_demand() -> None:
    """At most 120 KB gzip before 3D and scanner code, which index.html does not name."""
    files = [path for path in PAGE.rglob("*") if path.is_file() and path.name != "build.json"]
    first = [path for path in files if not re.search("modelviewer|zxing", path.name)]
    assert sum(len(gzip.compress(path.read_bytes(), 9)) for path in first) <= 120 * 1024
    assert len(first) < len(files)
    assert not re.search("modelviewer|zxing", (PAGE / "index.html").read_text())


def test_page_asks_no_foreign_host() -> None:
    """No address of another host stands in what is loaded at the start; only the SVG namespace does."""
    for path in PAGE.rglob("*"):
        if path.suffix in {".html", ".js", ".css"} and not re.search("modelviewer|zxing", path.name):
            hosts = set(re.findall(r"https?://([\w-]+(?:\.[\w-]+)+)", path.read_text()))
            assert hosts <= {"www.w3.org", "assistant.example.com"}, path.name


def test_page_folder_is_read_with_its_subfolders(tmp_path: Path) -> None:
    """index.html is /; files in folders keep their path; only assets/, whose names are hashed, last for ever."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "a.1f.js").write_text("let a = 1;" * 100)
    (tmp_path / "index.html").write_text("<p>")
    (tmp_path / "build.json").write_text("{}")
    files = load_page(tmp_path)
    assert set(files) == {"/", "/assets/a.1f.js"}
    assert "immutable" in files["/assets/a.1f.js"].caching
    assert files["/"].caching == "no-cache"
    assert gzip.decompress(files["/assets/a.1f.js"].packed) == files["/assets/a.1f.js"].body
    assert files["/"].packed == b""


def test_browser_that_takes_gzip_gets_it(tmp_path: Path) -> None:
    """The packed form has a tag of its own, so that caches do not mix the two; others get the plain one."""

    def get(port: int, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request(
            "GET", "/", headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        response = connection.getresponse()
        return response.status, response.headers, response.read()

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server:
            _, plain, body = await asyncio.to_thread(get, server.port)
            _, packed, small = await asyncio.to_thread(get, server.port, Accept_Encoding="br, gzip")
            assert plain["Content-Encoding"] is None
            assert packed["Content-Encoding"] == "gzip"
            assert gzip.decompress(small) == body
            assert plain["ETag"] != packed["ETag"]
            assert packed["Vary"] == plain["Vary"] == "Accept-Encoding"
            known = await asyncio.to_thread(
                get, server.port, Accept_Encoding="gzip", If_None_Match=packed["ETag"]
            )
            assert (known[0], known[2]) == (304, b"")

    asyncio.run(scenario())


@pytest.fixture
def shop_folder(tmp_path: Path) -> Path:
    """A knowledge folder with media, a secret beside it and one above it."""
    folder = tmp_path / "knowledge"
    (folder / "images").mkdir(parents=True)
    (folder / ".git").mkdir()
    for name in ("images/a b.jpg", "sofa.glb", "shop.toml", ".git/logo.png", ".hidden.png"):
        (folder / name).write_bytes(b"content")
    (tmp_path / "outside.png").write_bytes(b"secret")
    os.symlink(tmp_path / "outside.png", folder / "link.png")
    return folder


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/media/images/a%20b.jpg", "image/jpeg"),
        ("/media/sofa.glb", "model/gltf-binary"),
        ("/media/shop.toml", None),
        ("/media/../outside.png", None),
        ("/media/%2e%2e/outside.png", None),
        ("/media/link.png", None),
        ("/media/.git/logo.png", None),
        ("/media/.hidden.png", None),
        ("/media/images", None),
        ("/media//etc/hostname.png", None),
        ("/media/a%00.png", None),
        (f"/media/{'x' * 5000}.png", None),
        ("/sofa.glb", None),
    ],
)
def test_only_pictures_and_models_of_the_folder_are_media(
    shop_folder: Path, path: str, kind: str | None
) -> None:
    """Knowledge files, hidden files, links and paths that lead outside are not served."""
    found = Media(shop_folder).find(path)
    assert (found.media_type if found else None) == kind
