"""Text handling: normalising, sentence boundaries (also in scripts written without spaces), words. Pure."""

from __future__ import annotations

import re
import unicodedata

_ABBREVIATIONS = frozenset(
    (
        "e.g i.e etc vs approx no nr dr mr mrs ms prof st inc ltd co dept min max hrs tel a.m p.m u.s u.k"
    ).split()
)
_LONGEST_ABBREVIATION = 24  # characters looked at on either side of a full stop
_TERMINATOR = re.compile(
    r"""
    (?P<cjk>[。！？；…]+[”’」』）]*)            # full-width terminators end a sentence whatever follows
    | (?P<latin>[.!?]+["'”’)\]]*)(?=\s+|$)      # Latin ones only before white space or the end
    """,
    re.VERBOSE,
)
_BULLET = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+")
_CJK = (
    "\u3040-\u30ff"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    "\uac00-\ud7af"  # Hangul
)
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+(?:['’][^\W\d_{_CJK}]+)?")


def normalise(text: str) -> str:
    """Unicode NFKC-free clean-up of text from outside: NFC, no control characters, single spaces, trimmed.

    Line breaks become spaces. Full-width letters are kept as they are: they are what the author wrote.
    """
    text = unicodedata.normalize("NFC", text)
    kept = (" " if unicodedata.category(c) in {"Cc", "Zs", "Zl", "Zp"} else c for c in text)
    return " ".join("".join(c for c in kept if unicodedata.category(c) not in {"Cs", "Co", "Cn"}).split())


def sentences(text: str) -> list[str]:
    """Split text into sentences; joined with a space (or nothing, in Chinese) they give the text again.

    A line break always ends a sentence. Abbreviations, initials and decimal numbers do not.
    """
    found: list[str] = []
    for line in text.splitlines():
        bullet = _BULLET.match(line)
        start, scan = 0, bullet.end() if bullet else 0
        for match in _TERMINATOR.finditer(line, scan):
            if match.group("latin") and not _ends_sentence(line, start, match):
                continue
            found.append(line[start : match.end()].strip())
            start = match.end()
        found.append(line[start:].strip())
    return [sentence for sentence in found if sentence]


def _ends_sentence(line: str, start: int, match: re.Match[str]) -> bool:
    """Whether a Latin terminator ends the sentence that begins at `start`. Looks at a few characters only."""
    if not match.group("latin").startswith("."):
        return True
    near = max(start, match.start() - _LONGEST_ABBREVIATION)
    before = line[near : match.start()]
    last = before.split()[-1].lower().lstrip("(“\"'") if before.split() else ""
    if last in _ABBREVIATIONS or re.fullmatch(r"[a-z]", last):
        return False
    if last.isdigit() and near == start and before.strip() == last:
        return False  # the number of a list item: "1. Open the app"
    following = line[match.end() : match.end() + _LONGEST_ABBREVIATION].lstrip()
    return not following or not following[0].islower()


def words(text: str) -> list[str]:
    """Lower-case words in order; a Chinese, Japanese or Korean character counts as one word."""
    return [word.replace("’", "'") for word in _WORD.findall(text.casefold())]


def slug(text: str) -> str:
    """A stable anchor for a heading: lower-case words joined by hyphens, other scripts kept."""
    return "-".join(words(text)).replace("'", "") or "untitled"


def shorten(text: str, limit: int) -> str:
    """Cut to at most `limit` characters at a word boundary, never inside a combined character."""
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    while cut and unicodedata.combining(text[len(cut)]):
        cut = cut[:-1]
    head, _, _ = cut.rpartition(" ")
    return (head if len(head) > limit // 2 else cut).rstrip(" ,;:") + "…"
