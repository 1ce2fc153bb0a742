"""Text pieces to deltas: only so many a second, and never a character in halves. Pure; time comes in."""

from __future__ import annotations

import unicodedata

_ZWJ = "\u200d"
# Nothing that joins follows these in running text.
_COMPLETE = frozenset(" \n\t.,;:!?)]}\"'-…，。！？；：、）」』”’")


def complete_length(text: str) -> int:
    """How many characters of `text` can be sent without splitting what a reader sees as one character.

    The last one is held back where the next piece could still add to it (combining marks, emoji sequences,
    flags, keycaps, Hangul syllables); the rules are those of Unicode UAX #29, extended grapheme clusters,
    simplified to hold back rather too much than too little.
    """
    if not text or text[-1] in _COMPLETE:
        return len(text)
    cut = len(text) - 1
    while cut > 0 and (_joins(text[cut]) or text[cut - 1] == _ZWJ):
        cut -= 1
    flags = 0
    while cut - flags >= 0 and _is_flag_letter(text[cut - flags]):
        flags += 1
    return cut + 1 - (2 - flags % 2) if flags else cut


def _joins(character: str) -> bool:
    """Whether a character belongs to the one before it."""
    code = ord(character)
    return (
        unicodedata.category(character) in {"Mn", "Me", "Mc"}
        or character == _ZWJ
        or 0x1F3FB <= code <= 0x1F3FF  # skin tones
        or 0xE0020 <= code <= 0xE007F  # tags of regional flags
        or 0xDC00 <= code <= 0xDFFF  # second half of a pair
        or 0x1160 <= code <= 0x11FF  # Hangul vowels and final consonants
    )


def _is_flag_letter(character: str) -> bool:
    """Whether a character is half of a country flag."""
    return 0x1F1E6 <= ord(character) <= 0x1F1FF


def sound_text(text: str) -> str:
    """Join surrogate pairs and replace lone ones, so that the text can be encoded as UTF-8."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class DeltaCoalescer:
    """Collects the pieces of one reply. The first delta goes out at once, later ones `interval_s` apart.

    The deltas, joined, are the pieces, joined.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._held = ""
        self._next_at = float("-inf")

    def push(self, piece: str) -> None:
        """Take a piece of the reply."""
        self._held += piece

    def wait_s(self, now: float) -> float | None:
        """Seconds until a delta is due; 0 if one is, None if there is nothing to send."""
        if not complete_length(self._held):
            return None
        return max(0.0, self._next_at - now)

    def take(self, now: float) -> str:
        """The delta that is due: what is collected, without a character that may be unfinished."""
        length = complete_length(self._held)
        delta, self._held = self._held[:length], self._held[length:]
        self._next_at = now + self._interval_s
        return sound_text(delta)

    def flush(self) -> str:
        """All that is left; call at the end of the reply."""
        rest, self._held = self._held, ""
        return sound_text(rest)
