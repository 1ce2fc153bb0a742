"""Written text as it is spoken: lower-case words, numbers, money, times, dates and codes said in full."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

ONES = "zero one two three four five six seven eight nine".split()
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
_IRREGULAR = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
_CURRENCIES = {
    "$": ("dollar", "dollars", "cents"), "€": ("euro", "euros", "cents"), "£": ("pound", "pounds", "pence"),
    "¥": ("yuan", "yuan", "fen"),
}  # fmt: skip
_UNITS = {
    "km": "kilometres", "cm": "centimetres", "mm": "millimetres", "m": "metres", "kg": "kilos", "g": "grams",
    "mg": "milligrams", "ml": "millilitres", "l": "litres", "gb": "gigabytes", "mb": "megabytes", "h": "hours",
    "hrs": "hours", "min": "minutes", "mins": "minutes", "kwh": "kilowatt hours", "kw": "kilowatts", "w": "watts",
    "mbps": "megabits",
}  # fmt: skip
_MONTHS = {
    "jan": "january", "feb": "february", "mar": "march", "apr": "april", "jun": "june", "jul": "july",
    "aug": "august", "sep": "september", "sept": "september", "oct": "october", "nov": "november",
    "dec": "december",
}  # fmt: skip
_SHORT = {
    **{
        word.replace("'", ""): word
        for word in (
            "don't didn't doesn't can't isn't aren't wasn't weren't haven't hasn't hadn't couldn't wouldn't shouldn't "
            "i'm i've you're they're what's that's where's how's there's who's you've we've they've"
        ).split()
    },
    "pls": "please", "plz": "please", "thx": "thanks", "mr": "mister", "dr": "doctor", "vs": "versus",
    "etc": "etcetera", "w/": "with", "w/o": "without",
}  # fmt: skip
_MONTH_NAMES = "|".join((*_MONTHS, *_MONTHS.values(), "may"))


def cardinal(number: int, joint: str = " ") -> str:
    """A number as it is counted; `joint` stands after "hundred", for example " and "."""
    if number < 10:
        return ONES[number]
    if number < 20:
        return _TEENS[number - 10]
    if number < 100:
        return _TENS[number // 10] + (f" {ONES[number % 10]}" if number % 10 else "")
    for size, name in ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if number >= size:
            rest = number % size
            between = joint if rest < 100 else " "
            return f"{cardinal(number // size, joint)} {name}" + (
                between + cardinal(rest, joint) if rest else ""
            )
    raise AssertionError(number)


def ordinal(number: int) -> str:
    """A number as one in a row."""
    head, _, last = cardinal(number).rpartition(" ")
    regular = last[:-1] + "ieth" if last.endswith("y") else last + "th"
    return f"{head} {_IRREGULAR.get(last, regular)}".strip()


def digits(text: str) -> str:
    """Digits one by one."""
    return " ".join(ONES[int(digit)] for digit in text)


def year(number: int) -> str:
    """A year as it is said."""
    if 2000 <= number < 2010 or not 1100 <= number < 2100:
        return cardinal(number)
    first, second = divmod(number, 100)
    if second == 0:
        return f"{cardinal(first)} hundred"
    return f"{cardinal(first)} {'oh ' if second < 10 else ''}{cardinal(second)}"


def money(sign: str, amount: str) -> str:
    """An amount of money; "12.50" of "$" is "twelve dollars fifty"."""
    one, many, _ = _CURRENCIES[sign]
    whole, _, part = amount.replace(",", "").partition(".")
    said = f"{cardinal(int(whole))} {one if int(whole) == 1 else many}"
    return said if not part.strip("0") else f"{said} {cardinal(int(part.ljust(2, '0')[:2]))}"


def clock(hour: int, minute: int) -> str:
    """A time of day; hours above twelve are said as they are."""
    if minute == 0:
        return f"{cardinal(hour)} o'clock" if 0 < hour <= 12 else f"{cardinal(hour)} hundred"
    return f"{cardinal(hour)} {'oh ' if minute < 10 else ''}{cardinal(minute)}"


def _half_day(hour: int, minute: int) -> str:
    return clock(hour, minute) if minute else cardinal(hour)


def _code(text: str) -> str:
    """Letters and digits one by one; long runs of letters that could be a word stay one."""
    pieces = re.findall(r"[a-z]+|\d+", text)
    return " ".join(
        digits(piece) if piece.isdigit() else piece if len(piece) > 3 else " ".join(piece) for piece in pieces
    )


def _decimal(text: str) -> str:
    whole, _, part = text.replace(",", "").partition(".")
    said = digits(whole) if len(whole) > 6 or (len(whole) > 1 and whole[0] == "0") else cardinal(int(whole))
    return f"{said} point {digits(part)}" if part else said


def _number_word(match: re.Match[str]) -> str:
    text = match[0]
    if re.fullmatch(r"1[1-9]\d\d|20\d\d", text):
        return year(int(text))
    return _decimal(text)


_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"https?://\S+|www\.\S+|\S+@\S+"), lambda m: " "),
    (
        re.compile(r"([$€£¥])\s?(\d[\d,]*(?:\.\d+)?)"),
        lambda m: f" {money(m[1], m[2])} ",
    ),
    (re.compile(r"(\d[\d,]*(?:\.\d+)?)\s?([€£¥])"), lambda m: f" {money(m[2], m[1])} "),
    (
        re.compile(r"\b([01]?\d|2[0-3])[:.]([0-5]\d)\s?([ap])\.?m\b\.?"),
        lambda m: f" {_half_day(int(m[1]), int(m[2]))} {m[3]} m ",
    ),
    (re.compile(r"\b(1?\d)\s?([ap])\.?m\b\.?"), lambda m: f" {cardinal(int(m[1]))} {m[2]} m "),
    (re.compile(r"\b([01]?\d|2[0-3]):([0-5]\d)\b"), lambda m: f" {clock(int(m[1]), int(m[2]))} "),
    (re.compile(r"\b24/7\b"), lambda m: " twenty four seven "),
    (re.compile(r"\b(\d{1,4})(?:st|nd|rd|th)\b"), lambda m: f" {ordinal(int(m[1]))} "),
    (
        re.compile(rf"\b(\d{{1,2}})\s+({_MONTH_NAMES})\b"),
        lambda m: f" {ordinal(int(m[1]))} of {_MONTHS.get(m[2], m[2])} ",
    ),
    (
        re.compile(rf"\b({_MONTH_NAMES})\s+(\d{{1,2}})\b(?![:.,]?\d)"),
        lambda m: f" {_MONTHS.get(m[1], m[1])} {ordinal(int(m[2]))} ",
    ),
    (re.compile(r"\b(?=[a-z\d-]*\d)(?=[\d-]*[a-z])[a-z]{1,3}-?\d[a-z\d-]*\b"), lambda m: f" {_code(m[0])} "),
    (re.compile(r"(?<=\d)\s?[-–](?=\d)"), lambda m: " to "),
    (
        re.compile(r"\b(\d[\d,]*(?:\.\d+)?)\s?(" + "|".join(sorted(_UNITS, key=len, reverse=True)) + r")\b"),
        lambda m: f" {_decimal(m[1])} {_UNITS[m[2]]} ",
    ),
    (re.compile(r"\b\d[\d,]*\.\d+|\b\d{1,3}(?:,\d{3})+|\d+"), lambda m: f" {_number_word(m)} "),
    (re.compile(r"%"), lambda m: " percent "),
    (re.compile(r"&"), lambda m: " and "),
    (re.compile(r"\+"), lambda m: " plus "),
)
_WORD = re.compile(r"\bw/o?|[a-z]+(?:'[a-z]+)*'?")
_FROM_LATIN = str.maketrans("àáâäãåçèéêëìíîïñòóôöõùúûüÿ’‘`", "aaaaaaceeeeiiiinooooouuuuy'''")


def words(text: str) -> list[str]:
    """The words of a text as they are spoken."""
    text = text.lower().translate(_FROM_LATIN)
    for pattern, said in _RULES:
        text = pattern.sub(said, text)
    found = []
    for word in _WORD.findall(text):
        bare = _SHORT.get(word) or (word if word.endswith("s'") else word.rstrip("'"))
        if bare:
            found.append(bare)
    return found


class Sayings:
    """Things customers say that no text has enough of: numbers, names spelled, dates, money, short answers."""

    def __init__(self, rng: random.Random, names: list[str], products: list[str]) -> None:
        self._rng, self._names, self._products = rng, names, products

    def digit_string(self) -> str:
        """Digits, sometimes with "oh", "double" or pairs as numbers."""
        rng = self._rng
        said = [rng.choice(ONES) for _ in range(rng.choice((1, 2, 3, 4, 4, 5, 6, 6, 7, 8, 10)))]
        if rng.random() < 0.3:
            said = ["oh" if word == "zero" else word for word in said]
        if len(said) > 3 and rng.random() < 0.15:
            said.insert(rng.randrange(len(said) - 1), rng.choice(("double", "triple")))
        if rng.random() < 0.15:
            said = [cardinal(rng.randrange(10, 100)) for _ in range(rng.choice((2, 3, 4)))]
        return " ".join(said)

    def spelled(self) -> str:
        """A name letter by letter."""
        return " ".join(self._rng.choice(self._names))

    def order_number(self) -> str:
        """A code of letters and digits."""
        rng = self._rng
        letters = [rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.choice((0, 1, 2, 2, 3)))]
        return " ".join(letters + [rng.choice(ONES) for _ in range(rng.randrange(3, 8))])

    def amount(self) -> str:
        """An amount of money."""
        rng = self._rng
        whole = rng.randrange(1, 400) if rng.random() < 0.8 else rng.randrange(400, 9000)
        one, many, small = rng.choice(list(_CURRENCIES.values()))
        said = f"{cardinal(whole, rng.choice((' ', ' and ')))} {one if whole == 1 else many}"
        if rng.random() < 0.3:
            part = cardinal(rng.randrange(1, 100))
            said += rng.choice((f" {part}", f" and {part} {small}"))
        return said

    def date(self) -> str:
        """A day of the year, sometimes with the year."""
        rng = self._rng
        month = rng.choice((*_MONTHS.values(), "may"))
        day = ordinal(rng.randrange(1, 32))
        said = rng.choice((f"the {day} of {month}", f"{month} {day}", f"{month} the {day}", f"{day} {month}"))
        return f"{said} {year(rng.randrange(1950, 2031))}" if rng.random() < 0.2 else said

    def time(self) -> str:
        """A time of day."""
        rng = self._rng
        hour = cardinal(rng.randrange(1, 13))
        return rng.choice(
            (
                f"{hour} o'clock",
                f"{hour} {rng.choice('ap')} m",
                f"{hour} {rng.choice(('thirty', 'fifteen', 'forty five', 'twenty', 'ten'))}",
                f"{rng.choice(('half past', 'quarter past', 'quarter to', 'ten to', 'twenty past'))} {hour}",
            )
        )

    def count(self) -> str:
        """A number."""
        rng = self._rng
        return cardinal(rng.randrange(0, 200) if rng.random() < 0.7 else rng.randrange(200, 20000))

    def name(self) -> str:
        """A person's name."""
        return self._rng.choice(self._names)

    def product(self) -> str:
        """Something that is sold."""
        return self._rng.choice(self._products)

    def sentence(self) -> str:
        """One of the above, alone or in what is said around it."""
        kind, around = self._rng.choice(_AROUND)
        return " ".join(around.format(getattr(self, kind)() if kind else "").split())


_AROUND: tuple[tuple[str, str], ...] = (
    *(("digit_string", text) for text in (
        "{}", "{}", "{}", "{}", "my order number is {}", "order {}", "it's {}", "the number is {}",
        "my phone number is {}", "you can reach me on {}", "the code says {}", "my postcode is {}", "yes {}",
        "where is order {}", "the last digits are {}", "i'm calling about order number {}",
    )),
    *(("order_number", text) for text in (
        "{}", "{}", "{}", "my order number is {}", "the reference is {}", "the booking code is {}", "it's {}",
        "can you check {} for me", "please cancel order {}", "i want to return order {}", "what happened to {}",
    )),
    *(("spelled", text) for text in (
        "{}", "{}", "{}", "it is spelled {}", "my name is spelled {}", "that is {}", "my last name is {}",
    )),
    *(("amount", text) for text in (
        "{}", "{}", "i paid {}", "it was {}", "you charged me {}", "is it really {}", "the total says {}",
        "refund me {} please", "do i get {} back", "anything under {}",
    )),
    *(("date", text) for text in (
        "{}", "{}", "on {}", "it should come on {}", "can i move it to {}", "i ordered on {}", "is {} free",
        "until {}", "i was born on {}",
    )),
    *(("time", text) for text in (
        "{}", "at {}", "can you come at {}", "are you open at {}", "before {} please", "after {} is better",
        "is {} still free", "let's say {}",
    )),
    *(("count", text) for text in ("{}", "{}", "{} please", "i want {} of them", "{} percent", "number {}")),
    *(("name", text) for text in (
        "my name is {}", "this is {}", "it's for {}", "{}", "can i speak to {}", "ask for {}", "hello {} here",
    )),
    *(("product", text) for text in (
        "do you have {}", "how much is {}", "{}", "i'm looking for {}", "is {} in stock", "tell me about {}",
        "i bought {} last week", "can i return {}", "what comes with {}", "{} please", "i'd like {}",
        "where can i find {}", "is there a warranty on {}", "show me {}", "my {} is broken",
    )),
    *(("", text) for text in (
        "yes", "yes", "yes please", "no", "no", "no thanks", "no thank you", "okay", "ok", "that's right",
        "that's wrong", "yes that's right", "correct", "sure", "never mind", "stop", "cancel", "go back", "help",
        "hello", "hi", "hi there", "good morning", "good afternoon", "goodbye", "bye", "thanks", "thank you",
        "thank you very much", "a person please", "i want to talk to somebody", "let me speak to a human",
        "can you say that again", "i don't understand", "what can you do", "the first one", "the second one",
        "the last one", "neither", "both", "all of them", "one moment", "hold on", "that is all", "none of these",
    )),
)  # fmt: skip
