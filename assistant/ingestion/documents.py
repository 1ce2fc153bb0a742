"""Free documents (Markdown, HTML, DOCX, PDF, TXT) → passages with the title "Document — Heading"."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath

from assistant.ingestion.conversion import ConversionError, Converter
from assistant.ingestion.sources import Findings, SourceFile, decode
from assistant.ingestion.splitting import (
    clean,
    detect_language,
    headings_from_layout,
    join_broken_paragraphs,
    split_pieces,
    split_sections,
)
from assistant.records import Passage, PassageId, PassageKind
from assistant.text import shorten, slug, words

_TITLE_CHARS = 200
_LINES_KNOWN = (".md", ".markdown", ".txt")


def document_markdown(source: SourceFile, converter: Converter, findings: Findings) -> str | None:
    """The document as Markdown; None after noting what is wrong."""
    if source.suffix in {".md", ".markdown"}:
        return decode(source, findings)
    if source.suffix == ".txt":
        text = decode(source, findings)
        return None if text is None else headings_from_layout(text)
    if source.suffix in {".html", ".htm"} and decode(source, findings) is None:
        return None
    try:
        text = converter.to_markdown(source)
    except ConversionError as error:
        findings.add(source.name, 0, str(error))
        return None
    return headings_from_layout(join_broken_paragraphs(text)) if source.suffix == ".pdf" else text


def read_document(source: SourceFile, markdown: str, language: str, findings: Findings) -> list[Passage]:
    """Split a document by headings, then by sentences, into passages of about 60 to 150 words."""
    sections = split_sections(markdown)
    ones = [section for section in sections if section.level == 1]
    stem = clean(PurePosixPath(source.name).stem.replace("_", " ").replace("-", " "))
    if (
        len(ones) == 1
        and ones[0].heading
        and not any(section.level > 1 for section in sections[: sections.index(ones[0])])
    ):
        title = ones[0].heading
    else:
        title = stem[:1].upper() + stem[1:]
    passages: list[Passage] = []
    taken: Counter[str] = Counter()
    for section in sections:
        heading = section.heading if section.heading != title else ""
        full = shorten(f"{title} — {heading}" if heading else title, _TITLE_CHARS)
        anchor = slug(heading) if heading else slug(title)
        for text, line in split_pieces(section.lines, section.line + (section.level > 0)):
            if not words(text):
                continue
            taken[anchor] += 1
            number = f"-{taken[anchor]}" if taken[anchor] > 1 else ""
            passages.append(
                Passage(
                    id=PassageId(f"{source.name}#{anchor}{number}"),
                    title=full,
                    text=text,
                    kind=PassageKind.DOCUMENT,
                    document=source.name,
                    line=line if source.suffix in _LINES_KNOWN else 0,
                    language=detect_language(text, language),
                )
            )
    if not passages:
        findings.add(
            source.name,
            0,
            "holds no text; a scanned document needs text recognition first, an empty file removing",
        )
    return passages
