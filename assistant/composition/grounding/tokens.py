"""The vocabulary of a tokenizer as text, arranged so that whole groups of tokens are judged at once. Pure."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
CURRENCY_CHARACTERS = frozenset("€£$¥₹")
_CONTINUATION = 0x80  # 10xxxxxx, RFC 3629
_HOT = frozenset("@[") | CURRENCY_CHARACTERS  # characters that may begin or spoil a fact wherever they stand


@dataclass(slots=True)
class TokenNode:
    """A node of the tokens' trie: the sorted tokens from `low` to `high` share the characters read so far.

    Attributes:
        tail: characters left of the only token below; "" if there are children or nothing is left.
        own: how many of them, the first ones, end here.
        calm: nothing below can begin a fact, end one wrongly or be part of a link, wherever plain text may go on.
        lower: nothing below has a capital letter.
    """

    low: int
    high: int
    children: dict[str, TokenNode] = field(default_factory=dict)
    tail: str = ""
    own: int = 0
    calm: bool = True
    lower: bool = True


class TokenTable:
    """What each token adds to the text. Built once per tokenizer; safe from several threads.

    Args:
        tokens: bytes added by each token id.
        ends: ids that end the reply; they may come wherever no fact is half written.
        never: ids that a reply may not contain: padding, markers of roles and other control tokens.
        size: length of the logits if they are longer than the vocabulary; the rest never comes.

    Attributes:
        order: ids of the tokens that are whole characters, sorted by their text.
        cut: ids of the tokens that end inside a character, by the whole characters before it.
        continuing: ids and bytes of the tokens that begin inside a character.
        kept: for masks that are the same in every reply.
    """

    def __init__(
        self,
        tokens: Sequence[bytes],
        *,
        ends: Collection[int] = (),
        never: Collection[int] = (),
        size: int = 0,
    ) -> None:
        self.size = max(size, len(tokens))
        silent = frozenset(ends) | frozenset(never)
        self._tokens = tuple(b"" if number in silent else token for number, token in enumerate(tokens))
        self.continuing: list[tuple[int, bytes]] = []
        cut: dict[str, list[int]] = {}
        whole: list[tuple[str, int]] = []
        for number, token in enumerate(self._tokens):
            if number in silent:
                continue
            text, rest = decode(token)
            if token[:1] and token[0] & 0xC0 == _CONTINUATION:
                self.continuing.append((number, token))
            elif rest:
                cut.setdefault(text, []).append(number)
            else:
                whole.append((text, number))
        whole.sort()
        self.cut = {text: np.array(ids, dtype=np.int64) for text, ids in cut.items()}
        self.continuing_ids: NDArray[np.int64] = np.array([n for n, _ in self.continuing], dtype=np.int64)
        self.order: NDArray[np.int64] = np.array([number for _, number in whole], dtype=np.int64)
        self.ends: NDArray[np.int64] = np.array(sorted(ends), dtype=np.int64)
        self.never: NDArray[np.int64] = np.array(
            sorted({*never, *range(len(tokens), self.size)} - set(ends)), dtype=np.int64
        )
        self.root = _build([text for text, _ in whole], 0, len(whole), 0)
        self.kept: dict[tuple[int, bool], object] = {}

    @classmethod
    def of(
        cls,
        tokens: Sequence[str],
        *,
        ends: Collection[int] = (),
        never: Collection[int] = (),
        size: int = 0,
    ) -> TokenTable:
        """Build from the strings of a tokenizer's vocabulary, by id (`convert_ids_to_tokens`).

        Byte-level BPE is recognised by its sign for a space (U+0120), sentencepiece by its own (U+2581); tokens
        that fit neither alphabet are taken as they stand. The other arguments are those of the class.
        """
        if any(token.startswith("Ġ") for token in tokens):
            alphabet = _byte_alphabet()
            found = [_byte_level(token, alphabet) for token in tokens]
        else:
            found = [_sentencepiece(token) for token in tokens]
        return cls(found, ends=ends, never=never, size=size)

    def text_of(self, token_id: int) -> bytes:
        """What a token adds; nothing for one that ends the reply."""
        return self._tokens[token_id] if token_id < len(self._tokens) else b""


def decode(data: bytes) -> tuple[str, bytes]:
    """Whole characters, and the bytes of a cut one at the end."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data)
    return text, decoder.getstate()[0]


def _byte_alphabet() -> dict[str, int]:
    """The characters that stand for bytes in byte-level BPE: printable ones for themselves, others from U+0100."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    alphabet = {chr(byte): byte for byte in shown}
    hidden = (byte for byte in range(256) if byte not in set(shown))
    return alphabet | {chr(256 + place): byte for place, byte in enumerate(hidden)}


def _byte_level(token: str, alphabet: dict[str, int]) -> bytes:
    if all(character in alphabet for character in token):
        return bytes(alphabet[character] for character in token)
    return token.encode()


def _sentencepiece(token: str) -> bytes:
    match = _BYTE_TOKEN.fullmatch(token)
    return bytes([int(match.group(1), 16)]) if match else token.replace("▁", " ").encode()


def _build(texts: Sequence[str], low: int, high: int, depth: int) -> TokenNode:
    """The node of the sorted texts from `low` to `high`, which share their first `depth` characters."""
    node = TokenNode(low, high)
    if high - low == 1:
        node.tail, node.own = texts[low][depth:], 1
        node.calm = _calm(node.tail)
        node.lower = not any(character.isupper() for character in node.tail)
        return node
    start = low
    while start < high and len(texts[start]) == depth:
        start += 1
    node.own = start - low
    while start < high:
        character, end = texts[start][depth], start + 1
        while end < high and texts[end][depth] == character:
            end += 1
        child = node.children[character] = _build(texts, start, end, depth + 1)
        following = child.tail[:1] or "".join(child.children)
        spoils = character in _HOT or character.isdecimal()
        spoils = spoils or (character == "." and any(c.isalnum() for c in following))
        spoils = spoils or (character == ":" and "/" in following)
        node.calm = node.calm and child.calm and not spoils
        node.lower = node.lower and child.lower and not character.isupper()
        start = end
    return node


def _calm(text: str) -> bool:
    return not (
        any(character in _HOT or character.isdecimal() for character in text)
        or re.search(r"\.\w", text)
        or ":/" in text
    )
