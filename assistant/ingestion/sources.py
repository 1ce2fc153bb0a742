"""Which files are ingested: the walk over the given paths, their bytes, and what is left out."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from assistant.errors import KnowledgeProblem

MAX_FILE_BYTES = 20_000_000
MAX_FILES = 20_000
MAX_PROBLEMS_PER_FILE = 100
KNOWN_SUFFIXES = frozenset(
    [".md", ".markdown", ".txt", ".html", ".htm", ".docx", ".pdf", ".csv", ".xlsx", ".jsonl"]
)
KNOWN_NAMES = frozenset(
    ["shop.toml", "intents.yaml", "catalog.csv", "orders.csv", "devices.yaml", "events.csv", "tests.yaml"]
)

DRAFTS = "drafts"
_DRAFT = re.compile(
    rb"\A(?:\xef\xbb\xbf)?---[ \t]*\r?\n(?:(?!---)[^\n]*\n){0,20}?draft[ \t]*:[ \t]*true\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file as it was when the run began.

    Attributes:
        name: relative to the ingested folder with forward slashes; stands in passage ids and messages.
        path: where it lies.
        content: its bytes.
    """

    name: str
    path: Path
    content: bytes

    @property
    def suffix(self) -> str:
        """Lower-case ending with its dot."""
        return PurePosixPath(self.name).suffix.lower()


@dataclass(slots=True)
class Findings:
    """What one run has to say about its sources; collected along the way, read at the end."""

    problems: list[KnowledgeProblem] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def add(self, path: str, line: int, message: str) -> None:
        """Note a problem; a file with very many is cut short."""
        known = sum(problem.path == path for problem in self.problems[-MAX_PROBLEMS_PER_FILE - 1 :])
        if known < MAX_PROBLEMS_PER_FILE:
            self.problems.append(KnowledgeProblem(path, line, message))
        elif known == MAX_PROBLEMS_PER_FILE:
            self.problems.append(KnowledgeProblem(path, 0, "more problems follow; repair these first"))

    def skip(self, path: str, reason: str) -> None:
        """Note a file that was left out."""
        self.skipped.append(f"{path}: {reason}")


def collect_sources(paths: Sequence[Path], findings: Findings) -> list[SourceFile]:
    """Read all files of the given folders and files, in a stable order.

    Hidden files and a README.md at the top of a folder are ignored, unknown types and drafts are noted as
    skipped, what cannot be read is noted as a problem.
    """
    files: list[SourceFile] = []
    taken: set[str] = set()
    seen: set[Path] = set()
    for root in paths:
        if not root.exists():
            findings.add(str(root), 0, "there is no such file or folder; check the path")
            continue
        count = len(files), len(findings.problems)
        for path, relative in _walk(root, findings):
            real = path.resolve()
            if real in seen:
                continue
            seen.add(real)
            name = relative if relative not in taken else f"{root.resolve().name}/{relative}"
            taken.add(name)
            if len(files) >= MAX_FILES:
                findings.add(str(root), 0, f"holds more than {MAX_FILES} files; ingest a folder with fewer")
                return files
            content = _read(path, name, findings)
            if content is not None and _is_draft(name, content):
                findings.skip(name, "is a draft; `assistant insights approve` makes it knowledge")
            elif content is not None:
                files.append(SourceFile(name, path, content))
        if root.is_dir() and count == (len(files), len(findings.problems)):
            findings.add(str(root), 0, "holds no knowledge files; add some, such as faq/delivery.md")
    return files


def _walk(root: Path, findings: Findings) -> Iterator[tuple[Path, str]]:
    if root.is_file():
        if _is_known(root.name):
            yield root, root.name
        else:
            findings.add(
                root.name, 0, f"is of an unknown type; known are {', '.join(sorted(KNOWN_SUFFIXES))}"
            )
        return
    top = root.resolve()
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            relative = path.relative_to(root).as_posix()
            if name.startswith(".") or name.startswith("~$") or relative.lower() == "readme.md":
                continue
            if not path.resolve().is_relative_to(top):
                findings.skip(relative, "is a link to a place outside the folder")
            elif not path.is_file():
                findings.skip(relative, "is not a regular file")
            elif not _is_known(name):
                findings.skip(relative, f"files of type {path.suffix or 'without ending'} are not read")
            else:
                yield path, relative


def _is_draft(name: str, content: bytes) -> bool:
    """Whether a file is not approved yet: it lies in the folder drafts/, or its front matter says so."""
    if PurePosixPath(name).parts[0] == DRAFTS:
        return True
    return PurePosixPath(name).suffix.lower() in {".md", ".markdown"} and bool(_DRAFT.match(content))


def _is_known(name: str) -> bool:
    return name.lower() in KNOWN_NAMES or Path(name).suffix.lower() in KNOWN_SUFFIXES


def _read(path: Path, name: str, findings: Findings) -> bytes | None:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        findings.add(name, 0, f"cannot be read: {error.strerror}; check its permissions")
        return None
    if len(content) > MAX_FILE_BYTES:
        findings.add(name, 0, f"is larger than {MAX_FILE_BYTES // 1_000_000} MB; split it into smaller files")
        return None
    return content


def decode(source: SourceFile, findings: Findings) -> str | None:
    """The text of a file in UTF-8, with plain line ends; None after noting what is wrong."""
    try:
        text = source.content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = source.content.count(b"\n", 0, error.start) + 1
        findings.add(source.name, line, "is not UTF-8 text; save the file with encoding UTF-8")
        return None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        findings.add(source.name, line, "contains binary data; save it as UTF-8 text")
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def fingerprint(files: Iterable[SourceFile], *more: str) -> str:
    """SHA-256 over names and contents of the files, and whatever else the result depends on."""
    digest = hashlib.sha256()
    for part in [*more, *(part for file in files for part in (file.name, file.content))]:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
