"""The rules of plain text between facts: what a character leads to, and where a fact may begin. Pure."""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache

from assistant.composition.grounding.spellings import Ending
from assistant.composition.grounding.tokens import CURRENCY_CHARACTERS

_CLOSING = frozenset("\"'”’)]}»*_")
_OPENING = frozenset("\"'“‘({«*_<")
_ENDS_SENTENCE = frozenset(":!?。！？…•>")
_TRANSITIONS_KEPT = 1 << 15


class Mode(IntEnum):
    """Where the text stands; below zero, so that the nodes of a trie can share a set with them."""

    LINE = -1  # at the start of the text or a line: a list number may come
    START = -2  # at the start of a sentence
    GAP = -3  # between words
    WORD = -4  # in a word
    HYPHEN = -5  # after a hyphen in a word
    DOT = -6  # right after a full stop that follows a word
    COLON = -7  # right after a colon that follows a word
    DASHED = -8  # after the hyphen behind a number: "14-"
    JOINT_STOP = -9  # right after a full stop, exclamation or question mark behind a fact
    JOINT = -10  # right after another sign behind a fact, such as the comma in "15,"
    LIST_NUMBER = -11
    LIST_MARK = -12
    AFTER_NUMBER = -13  # a spelling of the context is complete
    AFTER_CODE = -14
    AFTER_NAME = -15
    AFTER_CITATION = -16


AFTER = {
    Ending.NUMBER: Mode.AFTER_NUMBER,
    Ending.CODE: Mode.AFTER_CODE,
    Ending.NAME: Mode.AFTER_NAME,
    Ending.CITATION: Mode.AFTER_CITATION,
}
FREE = frozenset({Mode.LINE, Mode.START, Mode.GAP, Mode.WORD, Mode.DASHED})  # any word may follow
NO_END = frozenset({Mode.LIST_NUMBER, Mode.LIST_MARK})

Following = tuple[Mode | None, bool]
_NOWHERE: Following = (None, False)


@lru_cache(maxsize=_TRANSITIONS_KEPT)
def follow(mode: Mode, character: str, names: bool) -> Following:
    """One character of plain text.

    With `names`, a capital letter inside a sentence begins a name, which is a fact.

    Returns: where it leads (None: nowhere), and whether a fact may begin with this character.
    """
    if mode in (Mode.LIST_NUMBER, Mode.LIST_MARK):
        return _in_list(mode, character), False
    if mode <= Mode.AFTER_NUMBER:
        return _after_fact(mode, character, names)
    if character == "\n":
        return Mode.LINE, False
    match mode:
        case Mode.WORD:
            return _in_word(character, names)
        case Mode.HYPHEN | Mode.DASHED if joins(character):
            if character.isdecimal():
                return None, mode is Mode.DASHED
            return Mode.WORD, False
        case Mode.HYPHEN | Mode.DASHED:
            return _at_gap(Mode.GAP, character, names)
        case Mode.DOT | Mode.JOINT_STOP | Mode.JOINT:
            if joins(character):
                return _NOWHERE
            if character in _CLOSING or character == ".":
                return mode, False
            return _at_gap(Mode.GAP if mode is Mode.JOINT else Mode.START, character, names)
        case Mode.COLON:
            return _NOWHERE if character == "/" else _at_gap(Mode.START, character, names)
        case _:
            return _at_gap(mode, character, names)


def joins(character: str) -> bool:
    """Whether a character next to a letter or digit belongs to the same word; Chinese characters do not."""
    return character.isalnum() and not "\u2e80" <= character <= "\uffef"


def _after_fact(mode: Mode, character: str, names: bool) -> Following:
    """After a complete spelling: a letter or digit would make it another one."""
    if mode is Mode.AFTER_CITATION:
        return follow(Mode.START, character, names)
    if joins(character):
        return _NOWHERE
    if mode is Mode.AFTER_NAME:
        return follow(Mode.WORD, character, names)
    if character == "-":
        return (Mode.DASHED if mode is Mode.AFTER_NUMBER else Mode.JOINT), False
    if character in "%@" or character in CURRENCY_CHARACTERS:
        return _NOWHERE
    if character in ".!?":
        return Mode.JOINT_STOP, False
    if character in ",:/_=#&~+":
        return Mode.JOINT, False
    if character in "'’":
        return Mode.WORD, False
    return follow(Mode.GAP, character, names)


def _in_word(character: str, names: bool) -> Following:
    if character.isdecimal() or character == "@":
        return _NOWHERE
    if joins(character) or character in "'’_":
        return Mode.WORD, False
    signs = {"-": Mode.HYPHEN, ".": Mode.DOT, ":": Mode.COLON}
    return (signs[character], False) if character in signs else _at_gap(Mode.GAP, character, names)


def _at_gap(mode: Mode, character: str, names: bool) -> Following:
    """Where a word or a fact may begin."""
    if character.isdecimal():
        return (Mode.LIST_NUMBER if mode is Mode.LINE else None), True
    if character in "[@" or character in CURRENCY_CHARACTERS:
        return None, True
    if joins(character):
        return (None if names and mode is Mode.GAP and character.isupper() else Mode.WORD), True
    if character == "\n":
        return Mode.LINE, False
    if character.isspace() or character in _OPENING:
        return mode, False
    if character == ".":
        return Mode.DOT, False
    return (Mode.START if character in _ENDS_SENTENCE else Mode.GAP), True


def _in_list(mode: Mode, character: str) -> Mode | None:
    """The number of a list item: digits, a full stop or bracket, a space."""
    if mode is Mode.LIST_NUMBER:
        if character in ".)":
            return Mode.LIST_MARK
        return Mode.LIST_NUMBER if character.isdecimal() else None
    return Mode.START if character == " " else None
