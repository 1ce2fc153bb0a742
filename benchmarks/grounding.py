"""Grounding: what the check finds of planted errors, what it says of untouched replies, what the constraint costs.

`python -m benchmarks.grounding --corpus DIR` reads the hand-written replies of the corpus, each with the passages it
cites and three other passages of the same business, plants one error at a time, and checks the sentence. The rules
were made while looking at businesses whose names begin with a to m; figures are those of the others. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from assistant.composition.chunks import cited_numbers, without_citations
from assistant.composition.grounding.check import GroundingCheck, ViolationKind
from assistant.composition.grounding.constraint import ContextTrie, FactConstraint
from assistant.composition.grounding.facts import Fact, FactKind, facts_of
from assistant.composition.grounding.tokens import TokenTable
from assistant.records import Source
from assistant.text import sentences
from benchmarks.signature import signature

_IDS = re.compile(r"\[([a-z]+-\d+(?:[,\s]+[a-z]+-\d+)*)\]")
_MARKERS = re.compile(r"(?:\s*\[\d+\])+")
_OTHERS = 3  # passages beside the right ones
_DEVELOPED_ON = "abcdefghijklm"
_VOCABULARY = 16_000
_TIMED_REPLIES = 300
_UNITS = {
    "minutes": "hours", "minute": "hour", "hours": "days", "hour": "day", "days": "weeks", "day": "week",
    "weeks": "months", "week": "month", "months": "years", "month": "year", "years": "months", "year": "month",
    "monthly": "yearly", "yearly": "monthly", "daily": "weekly", "seconds": "minutes",
}  # fmt: skip
_WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
_MONTHS = "January February March April May June July August September October November December".split()
_SPELLED = "two three four five six seven eight nine ten twelve fifteen twenty thirty forty sixty".split()


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of the corpus with numbered sources."""

    business: str
    sources: tuple[Source, ...]
    right: int
    conversation: tuple[str, ...]
    shop: str
    text: str

    def check(self) -> GroundingCheck:
        return GroundingCheck(self.sources, self.conversation, (self.shop,))

    def trie(self, *, names: bool) -> ContextTrie:
        texts = [f"{source.title}\n{source.text}" for source in self.sources]
        return ContextTrie([*texts, *self.conversation, self.shop], len(self.sources), names=names)


@dataclass(frozen=True, slots=True)
class Planted:
    """A sentence with one error."""

    kind: str
    reply: Reply
    before: str
    sentence: str
    has_facts: bool


def read_replies(folder: Path, draw: random.Random) -> Iterator[Reply]:
    for path in sorted(folder.glob("*.examples.jsonl")):
        business = path.name.partition(".")[0]
        passages = {row["id"]: row for row in _lines(folder / f"{business}.passages.jsonl")}
        examples = _lines(path)
        shop = _shop_name(examples)
        for row in examples:
            right = list(dict.fromkeys(row["passages"]))
            others = draw.sample([key for key in passages if key not in right], _OTHERS)
            keys = right + others
            sources = tuple(Source(key, passages[key]["title"], passages[key]["text"], "") for key in keys)
            text = _IDS.sub(lambda match, keys=keys: _numbered(match.group(1), keys), row["reply"])
            said = [_IDS.sub("", message).replace(" .", ".") for _, message in row["history"]]
            yield Reply(business, sources, len(right), (*said, row["question"]), shop, text)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _numbered(ids: str, keys: list[str]) -> str:
    return "".join(f"[{keys.index(key) + 1}]" for key in re.split(r"[,\s]+", ids))


def _shop_name(examples: Sequence[dict[str, Any]]) -> str:
    """What shop.toml would say: the name that greetings and good-byes mention most."""
    found = Counter(
        fact.surface.removesuffix("'s")
        for row in examples
        if row["kind"] == "social"
        for sentence in sentences(row["reply"])
        for fact in facts_of(sentence)
        if fact.kind is FactKind.NAME
    )
    return found.most_common(1)[0][0] if found else ""


# --- planting --------------------------------------------------------------------------------------------------


def plant(replies: Sequence[Reply], draw: random.Random, most: int) -> list[Planted]:
    """At most `most` errors of each kind, from sentences in random order."""
    names = sorted(
        {
            (reply.business, fact.surface)
            for reply in replies
            for source in reply.sources
            for fact in facts_of(source.text)
            if fact.kind is FactKind.NAME and len(fact.surface) > 3
        }
    )
    places = [
        (reply, sentence)
        for reply in replies
        for sentence in sentences(reply.text)
        if cited_numbers(sentence)
    ]
    draw.shuffle(places)
    made: dict[str, list[Planted]] = defaultdict(list)
    for reply, sentence in places:
        for kind, changed in _errors(reply, sentence, names, draw):
            if changed and changed != sentence and len(made[kind]) < most:
                has_facts = any(not _said(reply, fact) for fact in facts_of(without_citations(changed)))
                made[kind].append(Planted(kind, reply, sentence, changed, has_facts))
    return [error for kind in sorted(made) for error in made[kind]]


def _said(reply: Reply, fact: Fact) -> bool:
    return reply.check().is_said(fact)


def _errors(
    reply: Reply, sentence: str, names: Sequence[tuple[str, str]], draw: random.Random
) -> Iterator[tuple[str, str]]:
    blank = _MARKERS.sub(lambda match: " " * len(match.group()), sentence)
    facts = list(facts_of(blank))
    draw.shuffle(facts)
    seen: set[str] = set()
    for fact in facts:
        for kind, change in _CHANGES.get(fact.kind, ()):
            if kind in seen:
                continue
            new = change(fact.surface, draw)
            if new != fact.surface:
                seen.add(kind)
                yield kind, sentence[: fact.start] + new + sentence[fact.end :]
        if fact.kind is FactKind.NAME and "name" not in seen:
            seen.add("name")
            other = draw.choice([name for business, name in names if business != reply.business])
            yield "name", sentence[: fact.start] + other + sentence[fact.end :]
    cited = cited_numbers(sentence)
    wrong = draw.choice([n for n in range(1, len(reply.sources) + 1) if n not in cited])
    yield "citation_wrong", _MARKERS.sub(f" [{wrong}]", sentence)
    yield "citation_missing", _MARKERS.sub("", sentence)
    yield (
        "citation_nonexistent",
        _MARKERS.sub(f" [{len(reply.sources) + draw.randrange(1, 4)}]", sentence, count=1),
    )


def _other_number(surface: str, draw: random.Random) -> str:
    """The same words with another number of as many digits."""

    def changed(match: re.Match[str]) -> str:
        digits = match.group()
        while True:
            first = draw.choice("123456789")
            new = first + "".join(draw.choice("0123456789") for _ in digits[1:])
            if new != digits:
                return new

    if re.search(r"\d", surface):
        return re.sub(r"\d+", changed, surface, count=1)
    return re.sub(
        rf"\b({'|'.join(_SPELLED)})\b",
        lambda match: draw.choice([word for word in _SPELLED if word != match.group().lower()]),
        surface,
        count=1,
        flags=re.IGNORECASE,
    )


def _other_unit(surface: str, draw: random.Random) -> str:
    return re.sub(
        rf"\b({'|'.join(_UNITS)})\b",
        lambda match: _UNITS[match.group().lower()],
        surface,
        flags=re.IGNORECASE,
    )


def _other_date(surface: str, draw: random.Random) -> str:
    for names in (_WEEKDAYS, _MONTHS):
        for name in names:
            if re.search(rf"\b{name}", surface):
                if re.search(r"\d", surface) and draw.random() < 0.5:
                    break
                return surface.replace(name, draw.choice([other for other in names if other != name]), 1)
    return _other_day(surface, draw)


def _other_day(surface: str, draw: random.Random) -> str:
    """Another day of the month, or another time of the day, that exists."""

    def changed(match: re.Match[str]) -> str:
        old = match.group()
        top = 23 if ":" in surface else 12 if re.search(r"[ap]\.?m", surface) else 28
        new = draw.choice([number for number in range(1, top + 1) if number != int(old)])
        return f"{new:02d}" if old.startswith("0") else str(new)

    return re.sub(r"\d+", changed, surface, count=1)


def _other_letters(surface: str, draw: random.Random) -> str:
    """The last part of an address with another word."""
    word = draw.choice(["service", "contact", "orders", "info2", "portal", "refund"])
    if "@" in surface:
        return f"{word}@{surface.partition('@')[2]}"
    host, slash, _ = surface.rpartition("/")
    return f"{host}/{word}" if slash else f"{word}.{surface.partition('.')[2]}"


_Change = Callable[[str, random.Random], str]
_CHANGES: dict[FactKind, tuple[tuple[str, _Change], ...]] = {
    FactKind.NUMBER: (("number", _other_number),),
    FactKind.PERCENT: (("percent", _other_number),),
    FactKind.MONEY: (("price", _other_number),),
    FactKind.DATE: (("date", _other_date),),
    FactKind.TIME: (("time", _other_day),),
    FactKind.DURATION: (("duration_number", _other_number), ("duration_unit", _other_unit)),
    FactKind.CODE: (("code", _other_number),),
    FactKind.LINK: (("link", _other_letters),),
    FactKind.EMAIL: (("email", _other_letters),),
}
_WRITTEN_IN_DIGITS = (
    "number",
    "percent",
    "price",
    "date",
    "time",
    "duration_number",
    "code",
    "link",
    "email",
)


# --- measuring -------------------------------------------------------------------------------------------------


def measure_check(replies: Sequence[Reply], errors: Sequence[Planted]) -> dict[str, Any]:
    """Recall by kind, false alarms on untouched replies, and the precision that follows."""
    alarms: Counter[str] = Counter()
    alarmed_sentences = alarmed_replies = count = facts = 0
    started = time.thread_time()
    for reply in replies:
        check, alarmed = reply.check(), False
        for sentence in sentences(reply.text):
            count += 1
            found = check.check(sentence)
            facts += len(facts_of(without_citations(sentence)))
            alarmed_sentences += bool(found)
            alarmed |= bool(found)
            alarms.update(
                f"{violation.kind}/{violation.fact.kind if violation.fact else 'none'}" for violation in found
            )
        alarmed_replies += alarmed
    seconds = time.thread_time() - started
    caught: Counter[str] = Counter()
    total: Counter[str] = Counter()
    with_facts: Counter[str] = Counter()
    caught_with_facts: Counter[str] = Counter()
    for error in errors:
        check = error.reply.check()
        hit = bool(set(map(str, _kinds(check, error.sentence))) - set(map(str, _kinds(check, error.before))))
        hit = hit or len(check.check(error.sentence)) > len(check.check(error.before))
        total[error.kind] += 1
        caught[error.kind] += hit
        with_facts[error.kind] += error.has_facts
        caught_with_facts[error.kind] += hit and error.has_facts
    hits = sum(caught.values())
    clean = sum(not reply.check().check(sentence) for reply in replies for sentence in sentences(reply.text))
    return {
        "planted": sum(total.values()),
        "recall": _share(hits, sum(total.values())),
        "precision": _share(hits, hits + alarmed_sentences),
        "recall_by_kind": {
            kind: {"n": total[kind], "recall": _share(caught[kind], total[kind])} for kind in total
        },
        "recall_of_sentences_with_facts": {
            kind: {"n": with_facts[kind], "recall": _share(caught_with_facts[kind], with_facts[kind])}
            for kind in ("citation_wrong", "citation_missing")
        },
        "untouched": {
            "replies": len(replies),
            "sentences": count,
            "sentences_passed": clean,
            "facts": facts,
            "alarmed_replies": _share(alarmed_replies, len(replies)),
            "alarmed_sentences": _share(alarmed_sentences, count),
            "alarms": dict(alarms.most_common()),
        },
        "ms_per_sentence": round(seconds * 1000 / count, 3),
    }


def _kinds(check: GroundingCheck, sentence: str) -> set[ViolationKind]:
    return {violation.kind for violation in check.check(sentence)}


def measure_constraint(replies: Sequence[Reply], errors: Sequence[Planted], *, names: bool) -> dict[str, Any]:
    """Share of reference replies that could not have been written, and of planted errors that could not."""
    blocked = sum(not _writable(reply.trie(names=names), reply.text) for reply in replies)
    kinds = (*_WRITTEN_IN_DIGITS, "citation_nonexistent", *(("name",) if names else ()))
    stopped: dict[str, list[bool]] = defaultdict(list)
    for error in errors:
        if error.kind in kinds and (names or error.kind == "citation_nonexistent" or _has_signs(error)):
            stopped[error.kind].append(not _writable(error.reply.trie(names=names), error.sentence))
    return {
        "reference_replies_blocked": _share(blocked, len(replies)),
        "planted_errors_blocked": {
            kind: {"n": len(found), "share": _share(sum(found), len(found))}
            for kind, found in stopped.items()
        },
    }


def _has_signs(error: Planted) -> bool:
    """Whether what was changed is written in digits or as an address."""
    a, b = without_citations(error.before), without_citations(error.sentence)
    return sorted(re.findall(r"\d", a)) != sorted(re.findall(r"\d", b)) or error.kind in {"link", "email"}


def _writable(trie: ContextTrie, text: str) -> bool:
    state = trie.start
    for character in text:
        state = trie.step(state, character)
        if not state:
            return False
    return trie.may_end(state)


def measure_tokens(
    replies: Sequence[Reply], texts: Sequence[str], *, single_digits: bool, names: bool
) -> dict[str, Any]:
    """Milliseconds of processor time per token with a byte-level BPE trained on the spot."""
    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = (
        pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
        if single_digits
        else byte_level
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=_VOCABULARY,
            special_tokens=["<end>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    size = tokenizer.get_vocab_size()
    started = time.thread_time()
    table = TokenTable.of([tokenizer.id_to_token(number) for number in range(size)], ends={0})
    building = time.thread_time() - started
    idle: list[float] = []
    active: list[float] = []
    setting_up: list[float] = []
    blocked = 0
    for reply in replies[:_TIMED_REPLIES]:
        started = time.thread_time()
        constraint = FactConstraint(table, reply.trie(names=names))
        setting_up.append(time.thread_time() - started)
        possible = True
        for token in [*tokenizer.encode(reply.text).ids, 0]:
            started = time.thread_time()
            mask = constraint.forbidden()
            constraint.advance(token)
            (active if mask[table.order].mean() > 0.25 else idle).append(
                (time.thread_time() - started) * 1000
            )
            possible &= not mask[token]
        blocked += not possible
    return {
        "vocabulary": size,
        "table_ms": round(building * 1000, 1),
        "set_up_ms": _percentiles([seconds * 1000 for seconds in setting_up]),
        "idle_ms": _percentiles(idle),
        "active_ms": _percentiles(active),
        "replies": len(setting_up),
        "blocked": blocked,
    }


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    return {
        "mean": round(float(np.mean(values)), 4),
        "p50": round(float(np.percentile(values, 50)), 4),
        "p95": round(float(np.percentile(values, 95)), 4),
        "max": round(float(np.max(values)), 4),
    }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("../shared/corpus"))
    parser.add_argument("--per-kind", type=int, default=150, help="planted errors of each kind")
    parser.add_argument(
        "--developed-on", action="store_true", help="the businesses the rules were made on instead"
    )
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    everything = list(read_replies(arguments.corpus, draw))
    replies = [
        reply for reply in everything if (reply.business[0] in _DEVELOPED_ON) is arguments.developed_on
    ]
    errors = plant(replies, draw, arguments.per_kind)
    order = draw.sample(replies, len(replies))
    texts = [
        text for reply in everything for text in (reply.text, reply.sources[0].text if reply.sources else "")
    ]
    result = {
        "signature": signature(),
        "businesses": len({reply.business for reply in replies}),
        "check": measure_check(replies, errors),
        "constraint": measure_constraint(replies, errors, names=False),
        "constraint_with_names": measure_constraint(replies, errors, names=True),
        "tokens": {
            f"{'single' if single else 'many'}_digits{'_names' if names else ''}": measure_tokens(
                order, texts, single_digits=single, names=names
            )
            for single, names in ((True, False), (True, True), (False, False))
        },
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
