"""The files of the operator's page, built from client/operator; read once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from assistant.server.web import StaticFile, load_page

PAGE = Path(__file__).parent / "page"
CONSOLE_PATH = "/console"
SOCKET_PATH = "/console/socket"


class ConsolePage:
    """Gives the page's files while there is anybody who could sign in."""

    def __init__(self, is_open: Callable[[], bool], folder: Path = PAGE) -> None:
        files = {f"{CONSOLE_PATH}{name}": file for name, file in load_page(folder).items()}
        files[CONSOLE_PATH] = files[f"{CONSOLE_PATH}/"]
        self._files: Mapping[str, StaticFile] = files
        self._is_open = is_open

    def find(self, path: str) -> StaticFile | None:
        """The file at a path of the URL."""
        file = self._files.get(path)
        return file if file is not None and self._is_open() else None
