"""Variants of an example that stay true: other names, codes and numbers, other sources around it, other spelling."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from training.composer.corpus import Business, Example, Passage
from training.composer.encoding import Task
from training.retrieval.noise import augment as misspelt

_CITATION = re.compile(r"\s*\[([a-z0-9]+-[a-z0-9]+)\]")
_CODE = re.compile(r"\b(?=[A-Z0-9-]*\d)(?=[A-Z0-9-]*[A-Z])[A-Z0-9]+(?:-[A-Z0-9]+)*\b")
_NAME = re.compile(r"\b[A-Z][a-z]{2,}\b")
_NUMBER = re.compile(r"(?<![\w.,:/+-])\d{2,4}(?![\d:]|[.,]\d{3}|[/-]\d|\w)")
_YEAR = re.compile(r"(?:19|20)\d\d")
_DATE = re.compile(
    r"\b\d{1,2}(?:st|nd|rd|th)? (?:of )?(?:january|february|march|april|may|june|july|august|september|october|"
    r"november|december)|(?:january|february|march|april|may|june|july|august|september|october|november|"
    r"december) \d{1,2}\b",
    re.IGNORECASE,
)
_COUNTED = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|"
    r"sixty|hundred|thousand|half|dozen|fortnight|twice|double|yesterday|tomorrow|week|month|year)s?\b",
    re.IGNORECASE,
)
_ONSETS = "b br c cl d dr f fl g gr h j k kl l m n p pl pr qu r s sk sl st t th tr v w y z".split()
_NUCLEI = "a e i o u ai ea ee oa ou".split()
_CODAS = "b ck d ft g l ld lm m n nd nt p r rn rk s sk st t th v w x".split()

DECLINES = (
    "I'm sorry, I have no information about that. Shall I pass you on to a colleague?",
    "I don't know, I'm afraid. A colleague can find out for you; shall I connect you?",
    "I can't find anything on that, sorry. Would you like me to ask a human colleague?",
    "That's not something I have details of, and I'd rather not guess. May I hand you over to a colleague?",
    "I'm afraid I can't answer that from what I have here. Shall I put you through to a person?",
    "Sorry, I have nothing on this. I can pass your question to a colleague if you like.",
    "I don't have that information, sorry. Would you like to speak to one of my colleagues?",
    "I'm not able to tell you that, as I have no details about it. Shall I ask a colleague to help?",
    "I have no details on that, so I can't promise anything. A colleague will gladly check it for you.",
    "I don't want to guess here, because I have nothing about it. Can I pass you on to a human colleague?",
    "Good question, but I have no information on it. Let me connect you with a colleague, if you like.",
    "I'm sorry, that isn't covered in what I know. Shall a colleague get back to you on it?",
)
SINGLE = ("answer", "followup", "facts", "upset")
_COUNT = (1, 2, 3, 3, 3, 4)
_SURE = "**"  # before a sentence that surely answers


@dataclass(frozen=True, slots=True)
class Base:
    """What variants of one business are made from.

    Attributes:
        near: positions of the passages by example id, the nearest to the question first.
        pieces: sentences by passage id.
    """

    business: Business
    near: Mapping[str, Sequence[int]]
    pieces: Mapping[str, Sequence[str]]


Shorten = Callable[[Base, Example, Sequence[Passage], random.Random], list[Passage]]


class Augmenter:
    """Draws variants of examples.

    Args:
        bases: the businesses trained on.
        common: lower-case words that are no invented names.
        shorten: the sources with the sentences alone that bear on the question; without it they stay whole.
    """

    def __init__(
        self, bases: Sequence[Base], common: Collection[str], shorten: Shorten | None = None
    ) -> None:
        self._shorten = shorten
        self._passages = {
            base.business.name: {passage.id: passage for passage in base.business.passages} for base in bases
        }
        self._all = [passage for base in bases for passage in base.business.passages]
        self._common = common

    def draw(self, base: Base, example: Example, rng: random.Random) -> Task:
        """One variant."""
        hidden = example.kind in SINGLE and rng.random() < 0.05
        sources = self._shown(base, example, hidden, rng)
        if hidden and any(_SURE in source.text for source in sources):
            # another passage answers too, or seems to: to decline there would teach to decline what is known
            hidden, sources = False, self._shown(base, example, False, rng)
        history = [(role, without_ids(text)) for role, text in example.history]
        if history and example.kind != "followup" and rng.random() < 0.3:
            history = []
        elif not history and rng.random() < 0.12:
            history = self._earlier(base, example, rng)
        reply = rng.choice(DECLINES) if hidden else example.reply
        question = misspelt(example.question, rng)
        task = numbered(sources, history, question, reply)
        return self._renamed(task, rng) if rng.random() < 0.6 else task

    def _shown(self, base: Base, example: Example, hidden: bool, rng: random.Random) -> list[Passage]:
        sources = self._sources(base, example, hidden, rng.choice(_COUNT), rng)
        return self._shorten(base, example, sources, rng) if self._shorten else sources

    def _sources(
        self, base: Base, example: Example, hidden: bool, least: int, rng: random.Random
    ) -> list[Passage]:
        known = self._passages[base.business.name]
        wanted = [known[i] for i in used(example)]
        count = max(len(wanted), least)
        near = [base.business.passages[i] for i in base.near[example.id]]
        others = [passage for passage in near if passage not in wanted]
        if hidden:
            # what stands nearest may hold the answer too
            wanted, others = [], others[2:]
        while len(wanted) < count and others:
            draw = rng.random()
            if draw < 0.75:
                found = others.pop(min(int(rng.expovariate(0.35)), len(others) - 1))
            elif draw < 0.92:
                found = others.pop(rng.randrange(len(others)))
            else:
                found = rng.choice(self._all)
            if found not in wanted:
                wanted.append(found)
        rng.shuffle(wanted)
        if rng.random() < 0.4:  # as retrieval would bring them
            order = [base.business.passages[i].id for i in base.near[example.id]]
            wanted.sort(key=lambda passage: order.index(passage.id) if passage.id in order else len(order))
        return wanted

    def _earlier(self, base: Base, example: Example, rng: random.Random) -> list[tuple[str, str]]:
        other = rng.choice(base.business.examples)
        if other.kind not in ("answer", "social") or set(used(other)) & set(used(example)) or other.history:
            return []
        return [("customer", other.question), ("assistant", without_ids(other.reply))]

    def _renamed(self, task: Task, rng: random.Random) -> Task:
        everything = "\n".join(_texts(task))
        mapping: dict[str, str] = {}
        for code in dict.fromkeys(_CODE.findall(everything)):
            mapping[code] = "".join(
                rng.choice(string.digits)
                if c.isdigit()
                else rng.choice(string.ascii_uppercase)
                if c != "-"
                else c
                for c in code
            )
        for name in dict.fromkeys(_NAME.findall(everything)):
            if name.lower() not in self._common:
                new = invented(rng)
                mapping |= {name: new, name.lower(): new.lower(), name.upper(): new.upper()}
        said = " ".join([task.question, *(text for role, text in task.history)])
        if not _COUNTED.search(said):
            mapping |= _other_numbers(everything, rng)
        if not mapping:
            return task
        pattern = re.compile(
            r"(?<![\w])(?:"
            + "|".join(re.escape(old) for old in sorted(mapping, key=len, reverse=True))
            + r")(?![\w])"
        )
        return _mapped(task, lambda text: pattern.sub(lambda match: mapping[match.group()], text))


def used(example: Example) -> tuple[str, ...]:
    """Ids of the passages an example needs, those named first."""
    return tuple(dict.fromkeys((*example.passages, *_CITATION.findall(example.reply))))


def without_ids(text: str) -> str:
    """A text without its citations."""
    return _CITATION.sub("", text)


def numbered(
    sources: Sequence[Passage], history: Sequence[tuple[str, str]], question: str, reply: str
) -> Task:
    """A task whose reply cites by number; citations of passages that are not among the sources are dropped."""
    number = {passage.id: i for i, passage in enumerate(sources, start=1)}

    def cite(match: re.Match[str]) -> str:
        return f" [{number[match[1]]}]" if match[1] in number else ""

    return Task(
        tuple((passage.title, passage.text) for passage in sources),
        tuple(history),
        question,
        _CITATION.sub(cite, reply),
    )


def invented(rng: random.Random) -> str:
    """A name that no shop has."""
    syllables = [
        rng.choice(_ONSETS) + rng.choice(_NUCLEI) + (rng.choice(_CODAS) if rng.random() < 0.6 else "")
        for _ in range(rng.choice((1, 2, 2, 2, 3)))
    ]
    return "".join(syllables).capitalize()


def _other_numbers(text: str, rng: random.Random) -> dict[str, str]:
    """New numbers of as many digits, in the same order of size; years, dates, times and small numbers stay."""
    kept = {number for date in _DATE.findall(text) for number in re.findall(r"\d+", date)}
    found = {n for n in _NUMBER.findall(text) if n not in kept and not _YEAR.fullmatch(n) and n != "00"}
    mapping = {}
    for digits in (2, 3, 4):
        old = sorted((n for n in found if len(n) == digits and n[0] != "0"), key=int)
        low, high = 10 ** (digits - 1) + (2 if digits == 2 else 0), 10**digits
        if rng.random() < 0.5:  # round numbers stay round
            tens = 5 if digits == 2 else 10
            pool = range(low - low % tens + tens, high, tens)
        else:
            pool = range(low, high)
        if len(old) <= len(pool):
            mapping |= dict(zip(old, map(str, sorted(rng.sample(pool, len(old)))), strict=True))
    return mapping


def _texts(task: Task) -> list[str]:
    return [
        *(text for source in task.sources for text in source),
        *(text for _, text in task.history),
        task.question,
        task.reply,
    ]


def _mapped(task: Task, change: Callable[[str], str]) -> Task:
    return replace(
        task,
        sources=tuple((change(title), change(text)) for title, text in task.sources),
        history=tuple((role, change(text)) for role, text in task.history),
        question=change(task.question),
        reply=change(task.reply),
    )
