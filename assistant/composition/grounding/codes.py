"""E-mail addresses, links, telephone numbers and codes in text. Pure."""

from __future__ import annotations

import re

from assistant.composition.grounding.scan import FactKind, Scan

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+")
_LINK = re.compile(
    r"(?:https?://|www\.)[^\s<>\"'”’)\]]+"
    r"|(?<![\w.@-])[A-Za-z][\w-]*(?:\.[a-z][\w-]*)+(?:/[^\s<>\"'”’)\]]*)?",
)
_NO_LINK = re.compile(r"(?:[a-z]\.)+[a-z]\.?", re.IGNORECASE)
_PHONE = re.compile(r"(?<![\w.,])(?:\+\d|\(0|0\d|\d{3}[ -]\d{3}[ -])[\d ()/-]{4,16}\d(?!\w|[.,]\d)")
_CODE = re.compile(
    r"(?<![\w@])(?:[A-Z]+\d[A-Z0-9]*|\d+[A-Z]{2,}\d*|[A-Z]\d+)(?:-[A-Z0-9]+){0,6}(?![\w-])"
    r"|(?<![\w@])[A-Za-z]{1,6}-(?:[A-Za-z0-9]{1,30}-){0,6}(?=[A-Za-z]{0,30}\d)[A-Za-z0-9]+(?:-[A-Za-z0-9]+){0,6}(?!\w)"
    r"|(?<![\w@.,:-])\d{2,}(?:-\d{2,}){2,}(?![\w-])"
    r"|(?<![\w@.,:-])\d{10,}(?![\w%]|[.,]\d)"
    r"|(?<![\w@.,:/-])24/7(?![\w/])"
    r"|(?<![\w@])[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}\b"  # a British postal code
)
_FEWEST_DIGITS = 7  # of a telephone number


def find_addresses(scan: Scan) -> None:
    """E-mail addresses and links."""
    for match in _EMAIL.finditer(scan.rest):
        address = match.group().rstrip(".-")
        scan.take(FactKind.EMAIL, address.lower(), match.start(), match.start() + len(address))
    for match in _LINK.finditer(scan.rest):
        link = match.group().rstrip(".,;:!?-")
        if not _NO_LINK.fullmatch(link):
            host, slash, path = re.sub(r"^(?:https?://)?(?:www\.)?", "", link).partition("/")
            value = (host.lower() + slash + path).rstrip("/")
            scan.take(FactKind.LINK, value, match.start(), match.start() + len(link))


def find_codes(scan: Scan) -> None:
    """Telephone numbers, order numbers, article numbers, vouchers."""
    for match in _PHONE.finditer(scan.rest):
        if sum(character.isdigit() for character in match.group()) >= _FEWEST_DIGITS:
            scan.take(FactKind.CODE, re.sub(r"\W", "", match.group()), *match.span())
    for match in _CODE.finditer(scan.rest):
        scan.take(FactKind.CODE, match.group().upper().replace(" ", ""), *match.span())
