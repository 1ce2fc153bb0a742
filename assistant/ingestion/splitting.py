"""Documents → passages: Markdown sections, plain text of their lines, pieces of a size worth quoting."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from assistant.text import normalise, sentences, words

MIN_WORDS = 60
MAX_WORDS = 150
# a "sentence" beyond these is a list or a table without full stops, and is cut at spaces
_SENTENCE_WORDS = 300
_SENTENCE_CHARS = 3000
_PIECE_CHARS = 4000

# Every pattern below reads a hostile line in linear time: no run can be matched in two ways.
_HEADING = re.compile(r"^ {0,3}(#{1,6})(?=[ \t]|$)")
_FENCE = re.compile(r"^ {0,3}(```|~~~)")
_LIST_ITEM = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)])\s+")
_IMAGE = re.compile(r"!\[([^\[\]\n]{0,300})\]\([^()\[\n]{0,1000}\)")
_LINK = re.compile(r"\[([^\[\]\n]{1,300})\]\(\s?<?([^()\[\s\n]{0,1000})>?(?: \"[^\"\[\n]{0,300}\")?\)")
_EMPHASIS = re.compile(r"(?<![\w*])(\*{1,3})(?=[^\s*])([^*\n]{1,500})(?<=\S)\1(?![\w*])")
_UNDERLINE = re.compile(r"(?<!\w)(_{1,2})(?=[^\s_])([^_\n]{1,500})(?<=\S)\1(?!\w)")
_CODE = re.compile(r"(`{1,3})([^`\n]{1,500})\1")
_TAG = re.compile(r"</?[a-zA-Z][^<>\n]{0,200}>|<!--[^<>\n]{0,500}-->")
_LONG_DOTS = re.compile(r"[.!?]{10,}")  # leaders of a table of contents
_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()#+\-.!|>~])")
_JOINED_WITHOUT_SPACE = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with the lines under it.

    Attributes:
        level: of the heading, 1 to 6; 0 for what stands before the first.
        heading: plain text, "" at level 0.
        line: 1-based line of the heading (of the first line at level 0).
        lines: raw lines under it.
    """

    level: int
    heading: str
    line: int
    lines: tuple[str, ...]


def split_sections(text: str, *, first_line: int = 1, max_level: int = 6) -> list[Section]:
    """Cut Markdown at its headings; headings in code blocks, or deeper than `max_level`, stay text."""
    sections: list[Section] = []
    level, heading, start = 0, "", first_line
    lines: list[str] = []
    fence = ""
    for number, line in enumerate(text.split("\n"), first_line):
        mark = _FENCE.match(line)
        if mark and (not fence or mark.group(1) == fence):
            fence = "" if fence else mark.group(1)
        found = None if fence else _HEADING.match(line)
        if found and len(found.group(1)) <= max_level:
            sections.append(Section(level, heading, start, tuple(lines)))
            level, heading, start = len(found.group(1)), _heading_text(line), number
            lines = []
        else:
            lines.append(line)
    sections.append(Section(level, heading, start, tuple(lines)))
    return sections if any(line.strip() for line in sections[0].lines) else sections[1:]


def plain_line(line: str) -> str:
    """A line of Markdown without its marks; a link keeps its address in brackets."""
    if "<" in line:
        line = _TAG.sub(" ", line)
    if "](" in line:
        line = _LINK.sub(_link_text, _IMAGE.sub(r"\1", line))
    if "`" in line:
        line = _CODE.sub(r"\2", line)
    if "*" in line or "_" in line:
        line = _UNDERLINE.sub(r"\2", _EMPHASIS.sub(r"\2", line))
    if "\\" in line:
        line = _ESCAPE.sub(r"\1", line)
    return clean(line)


def clean(text: str) -> str:
    """One line of text from outside, as `text.normalise`, quick for the usual case."""
    if not text.isprintable():
        text = normalise(text)
    text = " ".join(unicodedata.normalize("NFC", text).split())
    return _LONG_DOTS.sub("...", text)


def _heading_text(line: str) -> str:
    return plain_line(line.strip().lstrip("#").strip().rstrip("#"))


def _link_text(match: re.Match[str]) -> str:
    label, address = match.groups()
    if not address.startswith(("http://", "https://", "mailto:", "tel:")) or address.endswith(label):
        return label
    return f"{label} ({address.removeprefix('mailto:').removeprefix('tel:')})"


def plain_text(lines: Sequence[str]) -> str:
    """Lines of Markdown as plain text: one line a paragraph, list item or table row."""
    return "\n".join(text for text, _ in _blocks(lines, 0))


def _blocks(lines: Sequence[str], first_line: int) -> Iterator[tuple[str, int]]:
    """Paragraphs, list items and table rows with the line each begins on."""
    paragraph: list[str] = []
    begun = first_line
    header: list[str] = []
    fenced = False
    for number, raw in enumerate(lines, first_line):
        mark = _FENCE.match(raw)
        heading = None if fenced else _HEADING.match(raw)
        is_row = not fenced and raw.lstrip().startswith("|") and raw.count("|") > 1
        alone = fenced or is_row or heading is not None
        if mark or alone or not raw.strip() or _LIST_ITEM.match(raw) or _is_rule(raw):
            if paragraph:
                yield _join(paragraph), begun
                paragraph = []
            if not is_row:
                header = []
        if mark:
            fenced = not fenced
        elif is_row:
            cells = [plain_line(cell) for cell in raw.strip().strip("|").split("|")]
            before = lines[number - first_line - 1] if number > first_line else ""
            following = lines[number - first_line + 1] if number - first_line + 1 < len(lines) else ""
            if _is_table_rule(raw) or not any(cells):
                continue
            if not header and (_is_table_rule(following) or _is_table_rule(before)):
                header = cells  # a converted Word table has an empty row above the rule: its first row names
                continue
            row = _row(header, cells)
            if row:
                yield row, number
        elif heading is not None:
            title = _heading_text(raw)
            if title:
                yield title, number
        elif raw.strip() and not _is_rule(raw):
            text = plain_line(raw.lstrip("> ") if raw.lstrip().startswith(">") else raw)
            if fenced:
                yield text, number
            elif text:
                if not paragraph:
                    begun = number
                paragraph.append(text)
    if paragraph:
        yield _join(paragraph), begun


def _is_rule(line: str) -> bool:
    marks = "".join(line.split())
    return len(marks) >= 3 and marks[0] in "-*_" and marks == marks[0] * len(marks)


def _is_table_rule(line: str) -> bool:
    return "-" in line and "|" in line and set(line) <= set("|-: \t")


def _row(header: Sequence[str], cells: Sequence[str]) -> str:
    pairs = [
        f"{name}: {cell}" if name else cell
        for name, cell in zip([*header, *[""] * len(cells)], cells, strict=False)
        if cell
    ]
    return "; ".join(pairs)


def _join(pieces: Sequence[str]) -> str:
    """Join the lines of a paragraph: with a space, or with nothing between Chinese characters."""
    joined = pieces[0]
    for piece in pieces[1:]:
        tight = _JOINED_WITHOUT_SPACE.match(joined[-1:]) and _JOINED_WITHOUT_SPACE.match(piece)
        joined += piece if tight else f" {piece}"
    return joined


def split_pieces(lines: Sequence[str], first_line: int) -> list[tuple[str, int]]:
    """Cut the lines of a section into pieces of about 60 to 150 words, between sentences.

    Returns: each piece and the line it begins on. Paragraphs in a piece are parted by a line break. The last
    piece may be shorter than 60 words when it does not fit to the one before it.
    """
    pieces: list[tuple[str, int, int]] = []
    text, line, size = "", first_line, 0
    for block, number in _blocks(lines, first_line):
        glue = "\n"
        for sentence in _bounded(sentences(block)):
            length = len(words(sentence))
            full = size >= MIN_WORDS and size + length > MAX_WORDS
            if text and (full or len(text) + len(sentence) > _PIECE_CHARS):
                pieces.append((text, line, size))
                text, size = "", 0
            if not text:
                text, line, size = sentence, number, length
            else:
                tight = glue == " " and _JOINED_WITHOUT_SPACE.match(text[-1])
                text, size = f"{text}{'' if tight else glue}{sentence}", size + length
            glue = " "
    if text:
        if pieces and size < MIN_WORDS // 2 and pieces[-1][2] + size <= MAX_WORDS + MIN_WORDS // 2:
            before, line, _ = pieces.pop()
            text = f"{before}\n{text}"
        pieces.append((text, line, size))
    return [(text, line) for text, line, _ in pieces]


def _bounded(found: Sequence[str]) -> Iterator[str]:
    for sentence in found:
        if len(sentence) <= _SENTENCE_CHARS and len(words(sentence)) <= _SENTENCE_WORDS:
            yield sentence
        else:
            yield from _cut(sentence)


def _cut(text: str) -> Iterator[str]:
    """Cut what has no sentence boundaries into runs of at most MAX_WORDS words, at spaces if it has any."""
    run: list[str] = []
    size = chars = 0
    for token in text.split(" "):
        for part in (token[at : at + MAX_WORDS] for at in range(0, len(token), MAX_WORDS)):
            length = len(words(part))
            if run and (size + length > MAX_WORDS or chars + len(part) > _SENTENCE_CHARS // 2):
                yield " ".join(run)
                run, size, chars = [], 0, 0
            run.append(part)
            size, chars = size + length, chars + len(part) + 1
    if run:
        yield " ".join(run)


def headings_from_layout(text: str) -> str:
    """Plain text (TXT, or the text of a PDF) as Markdown: short lines that stand alone become headings.

    The first becomes the title if another follows at once. Lines that were wrapped at a page width come out as
    one paragraph, because Markdown joins them. The number of lines stays.
    """
    lines = text.replace("\f", "").split("\n")
    filled = [number for number, line in enumerate(lines) if line.strip()]
    headings = []
    for place, number in enumerate(filled[:-1]):
        following = filled[place + 1]
        alone = following > number + 1 and (place == 0 or filled[place - 1] < number - 1)
        continued = lines[following].lstrip()[:1].islower()
        if alone and not continued and _looks_like_heading(lines[number].strip()):
            headings.append(number)
    titled = headings[:2] == filled[:2] and len(headings) > 1
    for number in headings:
        mark = "#" if titled and number == filled[0] else "##"
        lines[number] = f"{mark} {lines[number].strip()}"
    return "\n".join(lines)


def join_broken_paragraphs(text: str) -> str:
    """Text of a PDF without the empty lines that its layout puts inside sentences."""
    joined: list[str] = []
    for line in text.replace("\f", "\n").split("\n"):
        if line.lstrip()[:1].islower():
            while joined and not joined[-1].strip():
                joined.pop()
        joined.append(line)
    return "\n".join(joined)


def _looks_like_heading(line: str) -> bool:
    if not line or line.startswith(("#", "|", ">", "-", "*", "•")) or len(line) > 80:
        return False
    has_letters = any(c.isalpha() for c in line)
    return (
        has_letters
        and len(words(line)) <= 10
        and line[-1] not in ".!,;:。！，；："
        and not _LIST_ITEM.match(line)
    )


def detect_language(text: str, default: str) -> str:
    """`zh` where a fifth of the letters or more are Han characters, else the default."""
    sample = text[:2000]
    letters = sum(c.isalpha() for c in sample)
    return "zh" if letters and len(_HAN.findall(sample)) * 5 >= letters else default
