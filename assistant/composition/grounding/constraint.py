"""Keeps a reply to its facts while it is being written: which tokens may not come next.

An automaton follows the characters. While a number, price, date, code, link, address or citation is being written,
it follows a trie of what stands in the sources and the conversation; between such runs plain words are free
(grounding/plain.py). A token is forbidden if one of its characters leads nowhere: a digit that continues no number
of the context, a full stop inside a word that is no link of it, the end of "1" where only "15" stands. Numbers in
words, units and names (unless `names` is set) are left to the check of finished sentences.

A state is a set of places: rules of plain text and nodes of the trie. A token may come if one place lets it, so the
masks of places are made once and joined. What a rule lets through by itself is the same for every reply and kept
with the tokens; a reply adds the tokens through which its own facts can be entered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from assistant.composition.grounding.plain import AFTER, FREE, NO_END, Mode, follow
from assistant.composition.grounding.spellings import Ending, Spelling, name_spellings, spellings
from assistant.composition.grounding.tokens import TokenNode, TokenTable, decode
from assistant.protocols import GenerationRequest

_COMMON_NAMES = (
    "OK Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March April May June July August "
    "September October November December English Wi-Fi PDF QR SMS ID PIN GPS USB TV Mr Mrs Ms Dr"
).split()
_ROOT = 0
_MASKS_KEPT = 512  # states of one reply whose masks are kept; a reply meets a few dozen
_OPEN_ENDS = "–é€"  # what a cut character may turn out to be: a dash, a letter, a currency


class ContextTrie:
    """What one reply may write: spellings of the facts of its contexts, and the automaton over them.

    Built once per reply; not safe from several threads.

    Args:
        contexts: texts of the sources (titles too), messages of the conversation, the shop's name.
        citations: number of sources; markers [1] to [n] may be written.
        names: also hold capitalised words inside sentences to those of the contexts.
    """

    def __init__(self, contexts: Sequence[str], citations: int, *, names: bool = False) -> None:
        self.names = names
        self._children: list[dict[str, int]] = [{}]
        self._ending: list[Ending | None] = [None]
        self._insert(spellings(contexts))
        self._insert(Spelling(f"[{number}]", Ending.CITATION) for number in range(1, citations + 1))
        if names:
            self._insert(name_spellings((*contexts, *_COMMON_NAMES)))
            self._insert(Spelling(name, Ending.NAME) for name in ("I", "I'm", "I'll", "I've", "I'd"))
        self._states: list[frozenset[int]] = [frozenset()]
        self._numbers: dict[frozenset[int], int] = {frozenset(): 0}
        self._steps: list[dict[str, int]] = [{}]
        self.start = self.alone(Mode.LINE)
        self.recovered = self.alone(Mode.GAP)

    @classmethod
    def of(cls, request: GenerationRequest, *, names: bool = False) -> ContextTrie:
        """What the reply to a request may write."""
        sources = [f"{source.title}\n{source.text}" for source in request.sources]
        said = [message.text for message in request.history]
        return cls([*sources, *said, request.question, request.shop], len(request.sources), names=names)

    def step(self, state: int, character: str) -> int:
        """The state after one more character; 0 if the text may not go on so."""
        known = self._steps[state].get(character)
        if known is None:
            reached: set[int] = set()
            for place in self._states[state]:
                if place > 0:
                    reached |= self._enter(place, character)
                    continue
                mode, begins = follow(Mode(place), character, self.names)
                reached |= self._enter(_ROOT, character) if begins else set()
                reached |= set() if mode is None else {mode}
            known = self._steps[state][character] = self._number(frozenset(reached))
        return known

    def may_end(self, state: int) -> bool:
        """Whether the text may end here."""
        return any(place < 0 and place not in NO_END for place in self._states[state])

    def is_free(self, state: int) -> bool:
        """Whether plain words may go on from here."""
        return not FREE.isdisjoint(self._states[state])

    def places(self, state: int) -> frozenset[int]:
        """Modes (below zero) and nodes that a state consists of."""
        return self._states[state]

    def alone(self, place: int) -> int:
        """The state that consists of one place."""
        return self._number(frozenset({int(place)}))

    def leading_on(self, place: int) -> Iterable[str]:
        """The characters that lead on from a node; from a mode, those that may begin a fact."""
        return self._children[max(place, _ROOT)]

    def _insert(self, found: Iterable[Spelling]) -> None:
        for spelling in found:
            node = _ROOT
            for character in spelling.text:
                child = self._children[node].get(character)
                if child is None:
                    child = self._children[node][character] = len(self._children)
                    self._children.append({})
                    self._ending.append(None)
                node = child
            if node:
                self._ending[node] = min(self._ending[node] or spelling.ending, spelling.ending)

    def _enter(self, node: int, character: str) -> set[int]:
        """The node below, and what may follow if a spelling is complete there."""
        child = self._children[node].get(character)
        if child is None:
            return set()
        ending = self._ending[child]
        return {child} if ending is None else {child, int(AFTER[ending])}

    def _number(self, state: frozenset[int]) -> int:
        number = self._numbers.get(state)
        if number is None:
            number = self._numbers[state] = len(self._states)
            self._states.append(state)
            self._steps.append({})
        return number


class FactConstraint:
    """The constraint of one reply: ask `forbidden`, choose a token, tell `advance`. Not safe from several threads."""

    def __init__(self, table: TokenTable, contexts: ContextTrie) -> None:
        self._table = table
        self._contexts = contexts
        self._state = contexts.start
        self._pending = b""
        self._masks: dict[tuple[int, bytes], NDArray[np.bool_]] = {}
        self._place_masks: dict[int, NDArray[np.bool_]] = {}

    def forbidden(self) -> NDArray[np.bool_]:
        """Which tokens may not come next: True for each of them, shape (size of the table,), read-only.

        The same array comes again when the text stands at the same place, so that what is made of it can be kept. A
        state from which no token leads on forbids no text; the check of the finished sentence remains.
        """
        key = (self._state, self._pending)
        mask = self._masks.get(key)
        if mask is None:
            if len(self._masks) >= _MASKS_KEPT:
                self._masks.clear()
                self._place_masks.clear()
            mask = self._masks[key] = self._mask()
        return mask

    def advance(self, token_id: int) -> None:
        """Take note of the token that was chosen."""
        text, self._pending = decode(self._pending + self._table.text_of(token_id))
        for character in text:
            self._state = self._contexts.step(self._state, character) or self._contexts.recovered

    def _mask(self) -> NDArray[np.bool_]:
        table = self._table
        mask = np.zeros(table.size, dtype=np.bool_)
        if self._pending:
            mask[:] = True
            for number, token in table.continuing:
                mask[number] = not self._fits(*decode(self._pending + token))
        else:
            whole = np.ones(len(table.order), dtype=np.bool_)
            for place in self._contexts.places(self._state):
                whole &= self._place_mask(place)
            mask[table.order] = whole
            mask[table.continuing_ids] = True
            for text, ids in table.cut.items():
                mask[ids] = not self._fits(text, b"cut")
        mask[table.ends] = bool(self._pending) or not self._contexts.may_end(self._state)
        mask[table.never] = True
        if mask.all():
            mask[table.order] = False
        mask.flags.writeable = False
        return mask

    def _place_mask(self, place: int) -> NDArray[np.bool_]:
        """Which of the sorted tokens lead nowhere from one place."""
        mask = self._place_masks.get(place)
        if mask is not None:
            return mask
        contexts = self._contexts
        if place > 0:
            mask = np.ones(len(self._table.order), dtype=np.bool_)
            self._allow(self._table.root, 0, contexts.alone(place), mask)
        else:
            bare = plain_mask(self._table, Mode(place), contexts.names)
            mask = bare.forbidden.copy()
            for character in contexts.leading_on(place):
                for node, offset, mode in bare.entries.get(character, ()):
                    following = contexts.step(contexts.alone(mode), character)
                    if following:
                        self._allow(node, offset, following, mask)
        self._place_masks[place] = mask
        return mask

    def _allow(self, node: TokenNode, offset: int, state: int, mask: NDArray[np.bool_]) -> None:
        """Unmask the tokens below a node that may come in a state; `offset` characters of its tail are read."""
        contexts = self._contexts
        if contexts.is_free(state) and node.calm and (node.lower or not contexts.names):
            mask[node.low : node.high] = False
            return
        for character in node.tail[offset:]:
            state = contexts.step(state, character)
            if not state:
                return
        mask[node.low : node.low + node.own] = False
        if not node.children:
            return
        places = contexts.places(state)
        characters: Iterable[str] = node.children
        if len(places) == 1 and (place := next(iter(places))) > 0:
            characters = contexts.leading_on(place)
        for character in characters:
            child = node.children.get(character)
            if child and (following := contexts.step(state, character)):
                self._allow(child, 0, following, mask)

    def _fits(self, text: str, rest: bytes) -> bool:
        """Whether a text may come; a cut character behind it may become anything."""
        state = self._state
        for character in text:
            state = self._contexts.step(state, character)
            if not state:
                return False
        return not rest or any(self._contexts.step(state, character) for character in _OPEN_ENDS)


class PlainMask:
    """What one rule of plain text forbids without any context.

    Attributes:
        forbidden: of the sorted tokens.
        entries: by the character that may begin a fact: the node behind it, the characters of its tail already read,
            and the mode before it. Only where tokens below are forbidden.
    """

    def __init__(self, table: TokenTable, mode: Mode, names: bool) -> None:
        self.forbidden = np.zeros(len(table.order), dtype=np.bool_)
        self.entries: dict[str, list[tuple[TokenNode, int, Mode]]] = {}
        self._names = names
        self._scan(table.root, mode)

    def _scan(self, node: TokenNode, mode: Mode) -> None:
        if mode in FREE and node.calm and (node.lower or not self._names):
            return
        met: list[tuple[str, int, Mode]] = []
        following: Mode | None = mode
        for offset, character in enumerate(node.tail, 1):
            met.append((character, offset, mode))
            following, _ = follow(mode, character, self._names)
            if following is None:
                self.forbidden[node.low : node.high] = True
                for place in met:
                    self._note(node, *place)
                return
            mode = following
        for character, child in node.children.items():
            following, _ = follow(mode, character, self._names)
            if following is None:
                self.forbidden[child.low : child.high] = True
            else:
                self._scan(child, following)
            if self.forbidden[child.low : child.high].any():
                self._note(child, character, 0, mode)

    def _note(self, node: TokenNode, character: str, offset: int, mode: Mode) -> None:
        if follow(mode, character, self._names)[1]:
            self.entries.setdefault(character, []).append((node, offset, mode))


def plain_mask(table: TokenTable, mode: Mode, names: bool) -> PlainMask:
    """The mask of a rule, made at its first use and kept with the tokens."""
    known = table.kept.get((mode, names))
    if not isinstance(known, PlainMask):
        known = table.kept[mode, names] = PlainMask(table, mode, names)
    return known
