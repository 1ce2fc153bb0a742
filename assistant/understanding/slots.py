"""Values that intents need, read from free text: one parser for each slot type.

A parser takes the text and a `Context` and returns the value in its canonical form, or None. Parsers are pure
and raise on no text. `PARSERS` maps the type names that intents.yaml may use to their parsers:

| type | canonical value | reads |
|---|---|---|
| order_number | as the shop writes it: `LM-48213` | `lm 48213`, `L M four eight two one three`, digits alone |
| email | lower case | also `anna at mail dot example` |
| email_or_postcode | as above, or the postcode in capitals without spaces | a postcode where it is awaited or named |
| phone | digits, with `+` if given | 7 to 15 digits |
| date | `2026-11-03` | `tomorrow`, `next friday`, `in two weeks`, `3 November`, `3.11.`, ISO |
| day_part | `morning`, `afternoon`, `evening`, or `08:00-12:00` | `after lunch`, `8 to 12` |
| number | `3`, `2.5` | digits, words, `a dozen` |
| percent | `0` to `100` | `60 %`, `half`, `full` |
| temperature | degrees Celsius, `21.5` | `21 degrees`, `70 F`, `twenty-one and a half` |
| yes_no | `yes`, `no` | only when awaited; nothing where it is doubtful |
| text | the text | only when awaited |
| product, room, device | a name of the vocabulary | exact or misspelt |
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from difflib import SequenceMatcher

from assistant.records import SlotSpec
from assistant.text import normalise, words
from assistant.understanding.numerals import numerals_to_digits, spelled_digits

CONFIRM = "confirm"

_LONGEST = 1000  # characters that are read
_ROOMS = (
    "living room",
    "bedroom",
    "kitchen",
    "bathroom",
    "hall",
    "office",
    "dining room",
    "children's room",
    "garage",
    "garden",
    "balcony",
    "terrace",
    "basement",
    "attic",
)
_ALIKE = 0.82  # similarity (difflib) from which a misspelt name counts as that name


@dataclass(frozen=True, slots=True)
class Context:
    """What a parser may know besides the text.

    Attributes:
        today: for relative dates.
        awaited: whether the last reply asked for this very value.
        names: names to choose from.
        order_number: the shop's pattern; `#` stands for a digit, the rest for itself.
    """

    today: date
    awaited: bool = False
    names: Sequence[str] = ()
    order_number: str = ""


SlotParser = Callable[[str, Context], str | None]


def find_slots(
    text: str,
    specs: Sequence[SlotSpec],
    *,
    today: date,
    awaiting: str = "",
    vocabulary: Mapping[str, Sequence[str]] | None = None,
    order_number: str = "",
) -> dict[str, str]:
    """Read every slot that the text has a value for.

    Args:
        text: the utterance.
        specs: the slots of the intent; one of an unknown type is read as text.
        today: the shop's date.
        awaiting: name of the slot that the last reply asked for; "confirm" awaits every yes_no slot.
        vocabulary: names to choose from, by slot name or by slot type.
        order_number: the shop's pattern, such as "LM-#####".

    Returns: canonical values by slot name; slots without a value are left out.
    """
    clean = normalise(unicodedata.normalize("NFKC", text[:_LONGEST]))
    names = vocabulary or {}
    found = {}
    for spec in specs:
        context = Context(
            today=today,
            awaited=awaiting == spec.name or (awaiting == CONFIRM and spec.type == "yes_no"),
            names=names.get(spec.name) or names.get(spec.type) or (),
            order_number=order_number,
        )
        value = PARSERS.get(spec.type, _text)(clean, context)
        if value:
            found[spec.name] = value
    return found


# --- codes and addresses -----------------------------------------------------------------------------------

_GAP = r"[\s\-./,]*"
_ORDER_WORD = re.compile(r"\b(?:order|number|no|nr|purchase|reference|ref)\b|#")
_ANY_CODE = re.compile(r"\b[a-z]{0,4}[- ]?[0-9]{5,12}\b")
_EMAIL = re.compile(r"[a-z0-9][a-z0-9._%+-]{0,63}@[a-z0-9](?:[a-z0-9-]{0,62}\.)+[a-z]{2,24}")
_SPOKEN_EMAIL = re.compile(
    r"\b[a-z0-9]+(?: (?:dot|underscore|dash) [a-z0-9]+)* at [a-z0-9-]+(?: dot [a-z0-9-]+)+"
)
_POSTCODE_WORD = re.compile(r"\b(?:post ?code|postal code|zip(?: ?code)?|plz)\b")
_POSTCODE = re.compile(
    r"\b(?:[a-z]{1,2}[0-9][a-z0-9]? ?[0-9][a-z]{2}|[0-9]{4,6}(?: ?[a-z]{2}\b)?)(?![a-z0-9])"
)
_PHONE = re.compile(r"(?<![\w.])\+?(?:[0-9][\s\-/().]{0,3}){6,14}[0-9](?![\w])")


def _order_number(text: str, context: Context) -> str | None:
    """The shop's own form; its digits alone where an order is spoken of or the number is awaited."""
    lower = spelled_digits(text.casefold())
    pattern = context.order_number
    if "#" not in pattern:
        match = _ANY_CODE.search(lower)
        return match.group().replace(" ", "").upper() if match else None
    parts = [r"([0-9])" if sign == "#" else re.escape(sign.casefold()) for sign in pattern if _counts(sign)]
    whole = re.search(rf"(?<![a-z0-9]){_GAP.join(parts)}(?![0-9])", lower)
    if whole:
        return _filled(pattern, whole.groups())
    if context.awaited or _ORDER_WORD.search(lower):
        size = pattern.count("#")
        runs = [re.sub(r"[^0-9]", "", run) for run in re.findall(r"(?<![0-9])[0-9](?:[\s\-.]*[0-9])*", lower)]
        for digits in (*runs, *re.findall(r"(?<![0-9a-z])[0-9]+(?![0-9])", lower)):
            if len(digits) == size:
                return _filled(pattern, digits)
    return None


def _counts(sign: str) -> bool:
    return sign == "#" or sign.isalnum()


def _filled(pattern: str, digits: Sequence[str]) -> str:
    rest = iter(digits)
    return "".join(next(rest) if sign == "#" else sign for sign in pattern)


def _email(text: str, _context: Context) -> str | None:
    lower = text.casefold()
    match = _EMAIL.search(lower)
    if match is None and (spoken := _SPOKEN_EMAIL.search(lower)):
        said = spoken.group()
        for word, sign in ((" dot ", "."), (" underscore ", "_"), (" dash ", "-"), (" at ", "@")):
            said = said.replace(word, sign)
        match = _EMAIL.search(said)
    return match.group() if match else None


def _email_or_postcode(text: str, context: Context) -> str | None:
    """What proves that an order is the customer's: "anna@example.com", "28205", "1071 AB", "W1A 1AA"."""
    email = _email(text, context)
    if email:
        return email
    lower = spelled_digits(text.casefold())
    named = _POSTCODE_WORD.search(lower)
    if not context.awaited and named is None:
        return None
    code = _POSTCODE.search(lower, named.end() if named else 0)
    return re.sub(r"\s", "", code.group()).upper() if code else None


def _phone(text: str, _context: Context) -> str | None:
    match = _PHONE.search(spelled_digits(text.casefold()))
    return re.sub(r"[^0-9+]", "", match.group()) if match else None


# --- dates -------------------------------------------------------------------------------------------------

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = "january february march april may june july august september october november december".split()
_DAY_OF_WEEK = re.compile(
    r"\b(?:(next|this|last|coming)\s+)?(mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\b"
)
_MONTH = r"(jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]*\.?"
_DAY_MONTH = re.compile(rf"\b([0-9]{{1,2}})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?{_MONTH}(?:,?\s+([0-9]{{4}}))?\b")
_MONTH_DAY = re.compile(rf"\b{_MONTH}\s+(?:the\s+)?([0-9]{{1,2}})(?:st|nd|rd|th)?(?:,?\s+([0-9]{{4}}))?\b")
_ISO = re.compile(r"\b([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})\b")
_NUMERIC = re.compile(r"(?<![0-9])([0-9]{1,2})([./])([0-9]{1,2})(?:[./]([0-9]{4}|[0-9]{2}))?(?![0-9])")
_GREETING = re.compile(r"\bgood (?:morning|afternoon|evening)\b")
_DISTANCE = re.compile(r"\b(?:in\s+)?([0-9]{1,3}|an?)\s+(day|week|month)s?(\s+ago)?\b")
_PAST = re.compile(r"\b(?:ago|last|since|was|were|ordered|bought|paid|arrived|delivered|came|received)\b")


def _date(text: str, context: Context) -> str | None:
    """A day; without a year the next one from today, or the last one where the words speak of the past."""
    lower, today = numerals_to_digits(text.casefold()), context.today
    past = bool(_PAST.search(lower))
    for read in (_full_date, _named_month, _numeric_date):
        found = read(lower, today, past)
        if found:
            return found.isoformat()
    days = _relative_days(lower, today, past)
    try:
        return (today + timedelta(days=days)).isoformat() if days is not None else None
    except OverflowError:
        return None


def _relative_days(lower: str, today: date, past: bool) -> int | None:
    """Days from today that the words name."""
    for phrase, days in (
        ("day after tomorrow", 2),
        ("day before yesterday", -2),
        ("tomorrow", 1),
        ("yesterday", -1),
        ("today", 0),
        ("tonight", 0),
        ("this evening", 0),
    ):
        if re.search(rf"\b{phrase}\b", lower):
            return days
    distance = _DISTANCE.search(lower)
    if distance and (distance.group(3) or re.search(r"\bin\b", lower)):
        number = 1 if distance.group(1).startswith("a") else int(distance.group(1))
        days = number * {"day": 1, "week": 7, "month": 30}[distance.group(2)]
        return -days if distance.group(3) else days
    weekday = _DAY_OF_WEEK.search(lower)
    if weekday:
        which, name = weekday.groups()
        ahead = (next(i for i, day in enumerate(_WEEKDAYS) if day.startswith(name[:3])) - today.weekday()) % 7
        if which == "last" or (past and which is None):
            return ahead - 7
        if which is None and not ahead:
            return 7  # who means today says "today"
        # "Next Friday", said on a Monday, is the Friday of the week to come.
        return ahead + 7 if which == "next" and today.weekday() + ahead < 7 else ahead
    if "next week" in lower:
        return 7 - today.weekday()
    return None


def _full_date(lower: str, _today: date, _past: bool) -> date | None:
    match = _ISO.search(lower)
    return _valid(int(match.group(1)), int(match.group(2)), int(match.group(3))) if match else None


def _named_month(lower: str, today: date, past: bool) -> date | None:
    for pattern, day_first in ((_DAY_MONTH, True), (_MONTH_DAY, False)):
        match = pattern.search(lower)
        if match:
            day, month = match.groups()[:2] if day_first else (match.group(2), match.group(1))
            number = next(i for i, name in enumerate(_MONTHS, 1) if name.startswith(month[:3]))
            return _in_year(match.group(3), number, int(day), today, past)
    return None


def _numeric_date(lower: str, today: date, past: bool) -> date | None:
    """Day first, as in Europe; month first where only that is a date."""
    for match in _NUMERIC.finditer(lower):
        first, second, year = int(match.group(1)), int(match.group(3)), match.group(4)
        for day, month in ((first, second), (second, first)):
            found = _in_year(year, month, day, today, past)
            if found and (year or match.group(2) == "/" or lower[match.end() : match.end() + 1] == "."):
                return found
    return None


def _in_year(year: str | None, month: int, day: int, today: date, past: bool) -> date | None:
    if year:
        return _valid(int(year) + (2000 if len(year) == 2 else 0), month, day)
    found = _valid(today.year, month, day)
    if past:
        return found if found is None or found <= today else _valid(today.year - 1, month, day)
    return found if found is None or found >= today else _valid(today.year + 1, month, day)


def _valid(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


_SPAN = re.compile(
    r"\b([01]?[0-9]|2[0-4])(?::?([0-5][0-9]))?\s*(?:-|–|to|and|until|till)\s*([01]?[0-9]|2[0-4])(?::?([0-5][0-9]))?"
    r"(?:\s*(?:h|hours|o'clock))?\b(?!\s*(?:%|percent|[0-9./]))"
)
_DAY_PARTS = (
    ("evening", re.compile(r"\b(?:evening|after work|tonight)\b")),
    ("afternoon", re.compile(r"\b(?:afternoon|after lunch|after noon|midday)\b")),
    ("morning", re.compile(r"\b(?:morning|forenoon|before noon|before lunch)\b")),
)


def _day_part(text: str, _context: Context) -> str | None:
    """A part of the day, or a span of hours; nothing if several parts are named."""
    lower = text.casefold()
    span = _SPAN.search(lower)
    if span:
        begin, end = int(span.group(1)), int(span.group(3))
        if begin < end:
            return f"{begin:02d}:{span.group(2) or '00'}-{end:02d}:{span.group(4) or '00'}"
    named = [part for part, pattern in _DAY_PARTS if pattern.search(_GREETING.sub(" ", lower))]
    return named[0] if len(named) == 1 else None


# --- quantities --------------------------------------------------------------------------------------------

_NUMBER = r"-?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]{1,4})?|-?[0-9]{1,9}(?:[.,][0-9]{1,4})?"
_PLAIN = re.compile(rf"(?<![\w.,-])({_NUMBER})(?![\w]|[.,][0-9])")
_PERCENT = re.compile(rf"(?<![\w.,])({_NUMBER})\s*(?:%|percent\b|per cent\b)")
_DEGREES = re.compile(rf"(?<![\w.,])({_NUMBER})\s*(?:°|degrees?\b|deg\b)?\s*(celsius|fahrenheit|c|f)?\b")
_SHARES = (("quarter", 25), ("half", 50), ("full", 100), ("maximum", 100), ("max", 100), ("minimum", 1))
_COLDEST_C, _HOTTEST_C = -40.0, 100.0


def _number(text: str, _context: Context) -> str | None:
    match = _PLAIN.search(numerals_to_digits(text.casefold()))
    return _plain(_value(match.group(1))) if match else None


def _percent(text: str, context: Context) -> str | None:
    lower = numerals_to_digits(text.casefold())
    match = _PERCENT.search(lower) or (_PLAIN.search(lower) if context.awaited else None)
    if match:
        value = _value(match.group(1))
        return _plain(value) if 0 <= value <= 100 else None
    found = set(words(lower))
    return next((str(share) for name, share in _SHARES if name in found), None)


def _temperature(text: str, context: Context) -> str | None:
    lower = numerals_to_digits(text.casefold())
    for match in _DEGREES.finditer(lower):
        named = match.group().strip() != match.group(1)
        if named or context.awaited:
            value = _value(match.group(1))
            if (match.group(2) or "").startswith("f"):
                value = round((value - 32) / 1.8 * 2) / 2
            return _plain(value) if _COLDEST_C <= value <= _HOTTEST_C else None
    return None


def _value(written: str) -> float:
    """A number as written; a comma before exactly three digits groups thousands, else it is a decimal comma."""
    if re.fullmatch(r"-?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?", written):
        return float(written.replace(",", ""))
    return float(written.replace(",", "."))


def _plain(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e5 else f"{value:.4f}".rstrip("0").rstrip(".")


# --- words -------------------------------------------------------------------------------------------------

_NEUTRAL = re.compile(
    r"\b(?:no (?:problem|worries|rush|need to ask)|not a problem|don't worry|do not worry|why not)\b"
)
_INSISTS = re.compile(r"\b(?:go ahead|do (?:it|that)|go for it)\b")
_YES = re.compile(r"\b(?:yes|yeah|yep|yup|ya|aye|affirmative|definitely|absolutely|certainly)\b")
_NO = re.compile(r"\b(?:no|nope|nah|never|negative)\b")
_SOFT_YES = re.compile(
    r"\b(?:sure|ok|okay|okey|fine|correct|right|exactly|go ahead|do (?:it|that|so)|please do|go for it|of course|"
    r"sounds good|confirm(?:ed)?|agreed?|that works|why not|please)\b"
)
_SOFT_NO = re.compile(
    r"\b(?:(?:don't|dont|do not)(?: do (?:it|that|so)| go ahead)?|never ?mind|"
    r"not (?:now|yet|really|today|anymore|sure)|rather not|stop|leave it|"
    r"forget it|changed my mind|of course not|certainly not|absolutely not|definitely not|wrong|incorrect)\b"
)
_DOUBT = re.compile(
    r"\?|\b(?:but|if|unless|wait|depends|first|before|how|what|when|which|who|where|maybe|perhaps|later|instead)\b"
)


def _yes_no(text: str, context: Context) -> str | None:
    """A clear yes or no to what was asked. Doubt, conditions and questions are neither: it may cost money."""
    if not context.awaited:
        return None
    lower = text.casefold().replace("’", "'")
    said = _NEUTRAL.sub(" ", lower)
    without_soft_no = _SOFT_NO.sub(" ", said)
    if _NO.search(said) or without_soft_no != said:
        contradicted = _YES.search(said) or _INSISTS.search(without_soft_no)
        return None if contradicted else "no"
    agreed = _YES.search(said) or _SOFT_YES.search(said) or "why not" in lower
    return "yes" if agreed and not _DOUBT.search(said) else None


def _text(text: str, context: Context) -> str | None:
    return text if text and context.awaited else None


def _name(text: str, context: Context) -> str | None:
    """The name of the vocabulary that the text holds: the longest written out, else the most alike."""
    said = words(text)
    split = [(name, words(name)) for name in context.names]
    joined = f" {' '.join(said)} "
    whole = [name for name, parts in split if parts and f" {' '.join(parts)} " in joined]
    if whole:
        return max(whole, key=len)
    best, likeness = None, _ALIKE
    for name, parts in split:
        size = len(parts)
        for width in {size, size + 1, max(1, size - 1)} if parts else ():
            for start in range(max(0, len(said) - width) + 1):
                matcher = SequenceMatcher(None, "".join(parts), "".join(said[start : start + width]), False)
                if matcher.real_quick_ratio() > likeness and matcher.quick_ratio() > likeness:
                    alike = matcher.ratio()
                    if alike > likeness:
                        best, likeness = name, alike
    return best


def _room(text: str, context: Context) -> str | None:
    rooms = Context(context.today, context.awaited, context.names or _ROOMS)
    return _name(text, rooms)


PARSERS: Mapping[str, SlotParser] = {
    "order_number": _order_number,
    "email": _email,
    "email_or_postcode": _email_or_postcode,
    "phone": _phone,
    "date": _date,
    "day_part": _day_part,
    "number": _number,
    "percent": _percent,
    "temperature": _temperature,
    "yes_no": _yes_no,
    "text": _text,
    "product": _name,
    "room": _room,
    "device": _name,
}
