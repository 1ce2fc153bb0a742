"""The decoding constraint, character by character and token by token."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from assistant.composition.grounding.constraint import ContextTrie, FactConstraint
from assistant.composition.grounding.tokens import TokenTable
from tests.composition.grounding.shop import QUESTION, REQUEST, SOURCES

TRIE = ContextTrie.of(REQUEST)
NAMES = ContextTrie.of(REQUEST, names=True)
END = 0

WRITABLE = [
    "You have 30 days [1]. Delivery is €5.90 [2].",
    "It's 5.90 euros, or EUR 5.90; free from €1200 or 1,200 euros [2].",
    "Between 9 am and 17:30, so 9:00 to 5:30pm, not on 24 December or the 24th [2].",
    "Collecting costs €49, €49.00 or 49€ [1].",
    "We keep it for 3 weeks (21 days) [1].",
    "You get 15% off until 1 May [2].",
    "Quote BACK-2207 at shop.example.com/returns, or post@example.com [1][2].",
    "Call +00 555 0142. It's a 30-day return, i.e. 5–7 days for the money.",
    "12 days ago, on 3 June at 8.",
    "1. Open the app\n2. Tap Send back",
    "Chinese goes on: 15%的折扣，30天。",
    "Seven hundred words are free; they're left to the check, e.g. this one.",
]
FORBIDDEN = [  # the first character that leads nowhere, after the bar
    "You have 4|0 days",
    "You have 2| day",
    "You have 30|0 days",
    "Delivery is €5.9|5",
    "Delivery is €5|,90",
    "It costs |£49",
    "It costs €|30",
    "At 17:3|5",
    "You get 15%| off, or 30|% off",
    "Quote BACK-2208|",
    "Quote BACK-220|.",
    "Quote MORE-|2207",
    "See shop.example.com/re|funds",
    "See shop.example.com|.",
    "See other.|example.com",
    "Write to help|@example.com",
    "Call +00 555 014|3",
    "Call +00|, please",
    "See [|3]",
    "It costs 1,2|50 euros",
    "It costs |$49",
]


def reached(trie: ContextTrie, text: str) -> tuple[int, int]:
    """The state after a text, and how many characters could be written."""
    state = trie.start
    for place, character in enumerate(text):
        following = trie.step(state, character)
        if not following:
            return 0, place
        state = following
    return state, len(text)


@pytest.mark.parametrize("text", WRITABLE)
def test_what_stands_there_can_be_written(text: str) -> None:
    """Facts of the context in their usual spellings, and plain words."""
    state, place = reached(TRIE, text)
    assert place == len(text), text[:place]
    assert TRIE.may_end(state)


@pytest.mark.parametrize(
    "marked", [text for text in FORBIDDEN if text.count("|") == 1 and not text.endswith("|")]
)
def test_what_stands_nowhere_cannot_be_written(marked: str) -> None:
    """The text stops before the character that would make another fact."""
    before, _, after = marked.partition("|")
    assert reached(TRIE, before)[1] == len(before)
    assert reached(TRIE, before + after)[1] == len(before)


def test_text_may_not_end_inside_a_fact() -> None:
    """ "1" is no number where only "15" stands; a half-written link is none."""
    trie = ContextTrie(["15 days, BACK-2207, +00 555 0142"], 1)
    for text in ("You have 1", "Quote BACK-22", "Call +00 555", "It is [1"):
        assert not trie.may_end(reached(trie, text)[0])
    assert trie.may_end(reached(trie, "You have 15")[0])


def test_parts_of_a_telephone_number_stand_for_nothing() -> None:
    """Digits of a number that was given for calling are no amounts."""
    trie = ContextTrie(["Call +00 555 0142."], 0)
    assert reached(trie, "It costs 555")[1] == len("It costs ")


def test_names_are_held_to_the_context_only_if_asked() -> None:
    """Capitalised words inside sentences; beginnings of sentences are free."""
    text = "Take it to the Market Depot."
    assert reached(TRIE, text)[1] == len(text)
    assert reached(NAMES, text)[1] == len("Take it to the Mar")  # as in "March"
    for allowed in (
        "Take it to the Harbour Depot. Market days follow.",
        "Open Orders > Send back, I'm here.",
        "On Mondays",
    ):
        assert reached(NAMES, allowed)[1] == len(allowed)


def test_customers_codes_may_be_written_in_capitals() -> None:
    """People type codes in lower case."""
    trie = ContextTrie(["my order is av-77315"], 0)
    assert reached(trie, "Order AV-77315 is on its way.")[1] == len("Order AV-77315 is on its way.")


# --- tokens ----------------------------------------------------------------------------------------------------


def byte_level_tokenizer(*, single_digits: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, cut]) if single_digits else cut
    tokenizer.decoder = decoders.ByteLevel()
    texts = [source.text for source in SOURCES] * 3 + [
        text.replace("|", "") for text in WRITABLE + FORBIDDEN
    ] * 3
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=700,
            special_tokens=["<end>", "<pad>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return tokenizer


TOKENIZERS = [byte_level_tokenizer(single_digits=True), byte_level_tokenizer(single_digits=False)]


def table_of(tokenizer: Tokenizer) -> TokenTable:
    strings = [tokenizer.id_to_token(number) for number in range(tokenizer.get_vocab_size())]
    return TokenTable.of(strings, ends={END}, never={1}, size=len(strings) + 3)


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=["single digits", "many digits"])
@pytest.mark.parametrize("text", WRITABLE)
def test_tokens_of_writable_text_are_allowed(text: str, tokenizer: Tokenizer) -> None:
    """No token of a grounded reply is forbidden, nor its end; others always are."""
    constraint = FactConstraint(table_of(tokenizer), ContextTrie.of(REQUEST))
    for token in tokenizer.encode(text).ids:
        assert not constraint.forbidden()[token], tokenizer.id_to_token(token)
        constraint.advance(token)
    mask = constraint.forbidden()
    assert not mask[END]
    assert mask[1]
    assert mask[-3:].all()
    assert not mask.flags.writeable


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=["single digits", "many digits"])
@pytest.mark.parametrize("marked", FORBIDDEN)
def test_tokens_of_invented_text_are_forbidden(marked: str, tokenizer: Tokenizer) -> None:
    """Somewhere in an invented fact a token, or the end, is forbidden."""
    constraint = FactConstraint(table_of(tokenizer), ContextTrie.of(REQUEST))
    for token in [*tokenizer.encode(marked.replace("|", "")).ids, END]:
        if constraint.forbidden()[token]:
            return
        constraint.advance(token)
    pytest.fail("nothing was forbidden")


@pytest.mark.parametrize("names", [False, True])
@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=["single digits", "many digits"])
def test_masks_are_those_of_writing_each_token_out(tokenizer: Tokenizer, names: bool) -> None:
    """The mask of every state met equals stepping through the characters of every token."""
    table = table_of(tokenizer)
    texts = {
        number: tokenizer.decode([number], skip_special_tokens=False)
        for number in range(2, tokenizer.get_vocab_size())
        if "\ufffd" not in tokenizer.decode([number], skip_special_tokens=False)
    }
    for reply in WRITABLE:
        trie = ContextTrie.of(REQUEST, names=names)
        constraint = FactConstraint(table, trie)
        written = ""
        for token in tokenizer.encode(reply).ids:
            if "\ufffd" not in tokenizer.decode(tokenizer.encode(written).ids):
                state, place = reached(trie, written)
                if place < len(written):
                    break
                mask = constraint.forbidden()
                for number, text in texts.items():
                    at = state
                    for character in text:
                        at = trie.step(at, character)
                        if not at:
                            break
                    assert bool(mask[number]) is not bool(at), (written, text)
                assert bool(mask[END]) is not trie.may_end(state)
            constraint.advance(token)
            if token not in texts:
                break
            written += texts[token]


_LONG_TOKENS = (
    "ab", "ab (x", "ab (3", "ab (30", "ab (4", "ab. cd", "ab.cd", "a:/b", "a: b", "a\n1", "a\n1.", " x €", " x £",
    " (\"€5", "days, 49", "days, 94", "0 days", " ok [1", " ok [3", "mm Harbour", "mm Market", "mm\u201cMarket", "x-30",
    "30-x", "a@b", "it at shop.example.com/returns", "it at shop.example.com/refunds", "?! A1", "e.g. x", "e.g. 7",
    "\n\n2) x 30", "49", " 0142",
)  # fmt: skip


@pytest.mark.parametrize("names", [False, True])
@pytest.mark.parametrize(
    "written", ["", "ab", "ab ", "ab. ", "ab:", "30", "at 3", "€", "x [1]", "x-", "30-", "Call +00 555"]
)
def test_facts_deep_inside_tokens_are_seen(written: str, names: bool) -> None:
    """Tokens of many words are forbidden for what stands anywhere in them, and for nothing else."""
    table = TokenTable([b"", *(text.encode() for text in _LONG_TOKENS), written.encode()], ends={END})
    trie = ContextTrie.of(REQUEST, names=names)
    constraint = FactConstraint(table, trie)
    constraint.advance(len(_LONG_TOKENS) + 1)
    state, place = reached(trie, written)
    assert place == len(written)
    mask = constraint.forbidden()
    for number, text in enumerate(_LONG_TOKENS, 1):
        at = state
        for character in text:
            at = at and trie.step(at, character)
        assert bool(mask[number]) is not bool(at), text


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 10_000), max_size=60))
def test_whatever_is_drawn_the_text_states_only_what_stands_there(draws: list[int]) -> None:
    """Random tokens among those allowed never make a digit run that stands nowhere, and never run dry."""
    tokenizer = TOKENIZERS[1]
    table, trie = table_of(tokenizer), ContextTrie.of(REQUEST)
    constraint = FactConstraint(table, trie)
    tokens: list[int] = []
    for draw in draws:
        allowed = np.flatnonzero(~constraint.forbidden())
        assert len(allowed)
        token = int(allowed[draw % len(allowed)])
        if token == END:
            break
        tokens.append(token)
        constraint.advance(token)
    text = tokenizer.decode(tokens, skip_special_tokens=False)
    if "\ufffd" not in text:
        assert reached(trie, text)[1] == len(text)


def test_cut_characters_are_put_together() -> None:
    """A currency sign in three tokens is judged like one in one token."""
    euro = "€".encode()
    tokens = [b"", b"costs ", *(bytes([byte]) for byte in euro), b"5.90", b"30", b"x", b" "]
    constraint = FactConstraint(TokenTable(tokens, ends={END}), ContextTrie.of(REQUEST))
    constraint.advance(1)
    assert not constraint.forbidden()[2]
    assert constraint.forbidden()[3], "a continuation byte cannot come first"
    for token in (2, 3):
        constraint.advance(token)
        assert constraint.forbidden()[[5, 6, 7, 8, END]].all(), "the character must be finished"
    constraint.advance(4)
    mask = constraint.forbidden()
    assert list(mask[[5, 6, 7]]) == [False, True, True]


def test_sentencepiece_vocabulary_is_read() -> None:
    """Spaces as U+2581 and bytes as <0xNN>."""
    table = TokenTable.of(["</s>", "▁30", "▁40", "<0x35>", "▁days"], ends={END})
    assert [table.text_of(number) for number in range(5)] == [b"", b" 30", b" 40", b"5", b" days"]
    constraint = FactConstraint(table, ContextTrie(["within 30 days"], 0))
    constraint.advance(4)
    assert list(constraint.forbidden()) == [False, False, True, True, False]


def test_dead_end_forbids_no_text() -> None:
    """A vocabulary that cannot finish a number is let go on; the check remains."""
    table = TokenTable([b"", b"1", b"a"], ends={END}, never={})
    constraint = FactConstraint(table, ContextTrie(["15 days"], 0))
    constraint.advance(2)
    assert list(constraint.forbidden()) == [False, True, False], "no number goes on from inside a word"
    constraint = FactConstraint(TokenTable([b"", b"1", b"a "], ends={END}), ContextTrie(["15 days"], 0))
    constraint.advance(2)
    constraint.advance(1)
    assert list(constraint.forbidden()) == [True, False, False]


def test_same_place_gives_the_same_array() -> None:
    """Masks are kept, so that callers can keep what they make of them."""
    tokenizer = TOKENIZERS[0]
    constraint = FactConstraint(table_of(tokenizer), ContextTrie([QUESTION], 0))
    masks = []
    for token in tokenizer.encode("the or the").ids:
        masks.append(constraint.forbidden())
        constraint.advance(token)
    assert len({id(mask) for mask in masks[1:]}) == 1
