"""Books in the public domain, as Project Gutenberg writes them, cut into what is said in one breath."""

from __future__ import annotations

import re

_LINE = 120  # letters that are taken as one piece, if there is a comma


def pieces(text: str) -> list[str]:
    """Of a book, each in one line; long sentences are cut at dashes and, as they are read, at commas."""
    found = []
    for paragraph in re.split(r"\n\s*\n", text.replace("\r", "")):
        if "gutenberg" in paragraph.lower():
            continue
        cut = [""]
        for piece in re.split(r"(?<=,)\s|--", " ".join(paragraph.split())):
            ended = cut[-1].endswith((".", "!", "?"))
            if cut[-1] and (ended or len(cut[-1]) + len(piece) > _LINE):
                cut.append("")
            cut[-1] = f"{cut[-1]} {piece}".strip()
        found += cut
    return found
