"""Speech manifests: recordings and what is said in them → word and character error rates."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import ConfigError, KnowledgeError, KnowledgeProblem
from assistant.records import Transcript

_GROUPS = ("group", "speaker")
_MOST_GROUPS = 40  # a breakdown by hundreds of speakers tells nobody anything


@dataclass(frozen=True, slots=True)
class Recording:
    """A line of a manifest: an audio file and what is said in it; `group` may be empty."""

    file: str
    transcript: str
    group: str
    line: int


@dataclass(frozen=True, slots=True)
class HeardRecording:
    """A recording that was recognised.

    Attributes:
        said, heard, raw: words; `raw` without the shop's words put right.
        problem: why it could not be recognised, or "".
    """

    recording: Recording
    said: tuple[str, ...]
    heard: tuple[str, ...]
    raw: tuple[str, ...]
    confidence: float
    seconds: float
    took_s: float
    problem: str = ""

    @property
    def errors(self) -> int:
        """Words substituted, left out and added."""
        return distance(self.heard, self.said)

    def as_line(self) -> dict[str, Any]:
        """For --predictions."""
        return {
            "file": self.recording.file,
            "group": self.recording.group,
            "said": " ".join(self.said),
            "heard": " ".join(self.heard),
            "raw": " ".join(self.raw),
            "errors": self.errors,
            "confidence": round(self.confidence, 3),
            "seconds": round(self.seconds, 2),
            "took_s": round(self.took_s, 3),
            "problem": self.problem,
        }


def is_manifest(first_line: str) -> bool:
    """Whether a file that begins so is a speech manifest."""
    columns = first_line.split("\t")
    return "file" in columns and "transcript" in columns


def parse_manifest(text: str, path: Path) -> tuple[Recording, ...]:
    """The lines of a manifest: tab-separated, with a heading; `group` or `speaker` give the breakdown.

    Raises: KnowledgeError: every line that is wrong, and why.
    """
    head, *lines = text.splitlines()
    columns = head.split("\t")
    group = next((columns.index(name) for name in _GROUPS if name in columns), None)
    file, transcript = columns.index("file"), columns.index("transcript")
    recordings, problems = [], []
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) != len(columns):
            problems.append(
                KnowledgeProblem(
                    str(path), number, f"has {len(cells)} columns; the heading has {len(columns)}"
                )
            )
        elif not cells[file] or not cells[transcript].strip():
            problems.append(KnowledgeProblem(str(path), number, "file or transcript is empty"))
        else:
            name = cells[group] if group is not None else ""
            recordings.append(Recording(cells[file], cells[transcript], name, number))
    if not recordings and not problems:
        problems.append(KnowledgeProblem(str(path), 0, "holds no recordings"))
    if problems:
        raise KnowledgeError(problems, "the evaluation file")
    return tuple(recordings)


class Recordings:
    """The audio that belongs to a manifest: files beside it, or in a .tar beside it. Use as a context manager.

    Any .tar is looked into, the one with the manifest's own name first.
    """

    def __init__(self, manifest: Path) -> None:
        self._folder = manifest.parent
        own = manifest.with_suffix(".tar")
        others = sorted(path for path in self._folder.glob("*.tar") if path != own)
        self._archives = [path for path in (own, *others) if path.is_file()]
        self._open: dict[Path, tuple[tarfile.TarFile, dict[str, tarfile.TarInfo]]] = {}

    def __enter__(self) -> Recordings:
        return self

    def __exit__(self, *_: object) -> None:
        for archive, _members in self._open.values():
            archive.close()
        self._open.clear()

    def read(self, name: str) -> bytes:
        """Content of an audio file.

        Raises: ConfigError: it is nowhere, or cannot be read.
        """
        beside = self._folder / name
        try:
            if beside.is_file():
                return beside.read_bytes()
            for path in self._archives:
                archive, members = self._members(path)
                member = members.get(name)
                content = archive.extractfile(member) if member is not None else None
                if content is not None:
                    with content:
                        return content.read()
        except (OSError, tarfile.TarError) as error:
            raise ConfigError(f"{name}: cannot be read: {error}") from error
        raise ConfigError(f"{name}: is neither in {self._folder} nor in a .tar there")

    def _members(self, path: Path) -> tuple[tarfile.TarFile, dict[str, tarfile.TarInfo]]:
        if path not in self._open:
            archive = tarfile.open(path)  # noqa: SIM115 - closed with this object
            names = {member.name.removeprefix("./"): member for member in archive if member.isfile()}
            self._open[path] = archive, names
        return self._open[path]


def hear(
    recording: Recording,
    content: bytes,
    transcribe: Callable[[bytes], tuple[Transcript, float]],
    spoken: Callable[[str], Sequence[str]],
) -> HeardRecording:
    """Recognise a recording. Blocking.

    Args:
        recording: its line.
        content: its audio.
        transcribe: gives the transcript and the seconds it took.
        spoken: words of a text as they are said, numbers in words.
    """
    transcript, took_s = transcribe(content)
    return HeardRecording(
        recording,
        tuple(spoken(recording.transcript)),
        tuple(spoken(transcript.text)),
        tuple(spoken(transcript.raw)),
        transcript.confidence,
        transcript.seconds,
        took_s,
    )


def unheard(recording: Recording, problem: str, spoken: Callable[[str], Sequence[str]]) -> HeardRecording:
    """A recording that could not be recognised: all its words count as missed."""
    return HeardRecording(recording, tuple(spoken(recording.transcript)), (), (), 0.0, 0.0, 0.0, problem)


def speech_figures(items: Sequence[HeardRecording]) -> dict[str, Any]:
    """Error rates over all recordings, and for each group."""
    groups: dict[str, list[HeardRecording]] = {}
    for item in items:
        groups.setdefault(item.recording.group, []).append(item)
    figures = _figures(items)
    seconds = sum(item.seconds for item in items)
    speech = {
        **figures,
        "wer_raw": _rate([(distance(item.raw, item.said), len(item.said)) for item in items]),
        "cer": _rate(
            [
                (distance(" ".join(item.heard), " ".join(item.said)), len(" ".join(item.said)))
                for item in items
            ]
        ),
        "sentences_right": sum(item.errors == 0 for item in items) / len(items),
        "unreadable": sum(bool(item.problem) for item in items),
        "seconds": seconds,
        "rtf": sum(item.took_s for item in items) / seconds if seconds else None,
    }
    if len(groups) > 1:
        ordered = sorted(groups, key=lambda name: -len(groups[name]))[:_MOST_GROUPS]
        speech["by_group"] = {name: _figures(groups[name]) for name in ordered}
    return {"n": len(items), "speech": speech}


def _figures(items: Sequence[HeardRecording]) -> dict[str, Any]:
    return {
        "n": len(items),
        "words": sum(len(item.said) for item in items),
        "wer": _rate([(item.errors, len(item.said)) for item in items]),
    }


def _rate(counts: Sequence[tuple[int, int]]) -> float | None:
    """Errors by length; None without any length."""
    length = sum(of for _, of in counts)
    return sum(errors for errors, _ in counts) / length if length else None


def distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Fewest substitutions, omissions and additions that make one the other (V. Levenshtein, 1966)."""
    row = list(range(len(other) + 1))
    for place, mine in enumerate(one, start=1):
        before, row[0] = row[0], place
        for column, theirs in enumerate(other, start=1):
            before, row[column] = (
                row[column],
                min(row[column] + 1, row[column - 1] + 1, before + (mine != theirs)),
            )
    return row[-1]
