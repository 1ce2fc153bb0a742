"""Questions with answers: Markdown (a heading per question, or front matter), tables, JSON lines."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from assistant.ingestion.sources import Findings, SourceFile, decode
from assistant.ingestion.splitting import (
    Section,
    clean,
    detect_language,
    plain_line,
    plain_text,
    split_sections,
)
from assistant.records import Passage, PassageId, PassageKind
from assistant.text import slug

MAX_TITLE_CHARS = 300
MAX_ANSWER_CHARS = 20_000
_ALSO_ASKED = re.compile(r"^\s*also asked\s*[:：](.*)$", re.IGNORECASE)
_FACT = re.compile(r"[^\s:;][^:;]{0,60}: \S.*")
ALIASES: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "key", "number"),
    "question": ("question", "q", "title", "heading", "prompt", "问题"),
    "answer": ("answer", "a", "text", "reply", "response", "content", "body", "答案", "回答"),
    "also_asked": (
        "also_asked",
        "also asked",
        "questions",
        "variants",
        "alternatives",
        "similar",
        "相似问题",
    ),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a table, by the author's own column names."""

    line: int
    values: Mapping[str, str]


# --- Markdown ----------------------------------------------------------------------------------------------


def is_question_file(source: SourceFile, text: str) -> bool:
    """Whether a Markdown file holds questions (folder faq/, front matter, "Also asked") or is a document."""
    folders = [part.lower() for part in (*source.path.parts[-2:-1], *source.name.split("/")[:-1])]
    if "faq" in folders:
        return True
    front, _, _ = _front_matter(text)
    if front is not None and re.search(r"(?m)^question\s*:", front):
        return True
    return any(_ALSO_ASKED.match(line) for line in text.split("\n"))


def read_question_file(source: SourceFile, text: str, language: str, findings: Findings) -> list[Passage]:
    """Passages of a Markdown file: one for each `##` heading, or one from front matter."""
    front, body, body_line = _front_matter(text)
    if front is not None and re.search(r"(?m)^question\s*:", front):
        return _read_front_matter(source, front, body, language, findings)
    passages: list[Passage] = []
    lines_of: dict[str, int] = {}
    sections = split_sections(body, first_line=body_line, max_level=2)
    found = False
    for section in sections:
        if section.level < 2:
            stray = plain_text(section.lines)
            if stray:
                findings.add(
                    source.name,
                    section.line
                    + next(i for i, line in enumerate(section.lines, section.level) if line.strip()),
                    "text stands before the first `##` heading; give it a heading, or remove it",
                )
            continue
        found = True
        passage = _read_section(source, section, language, findings)
        if passage is None:
            continue
        if passage.id in lines_of:
            findings.add(
                source.name,
                section.line,
                f"repeats the heading of line {lines_of[passage.id]}; reword one, or join the answers",
            )
            continue
        lines_of[passage.id] = section.line
        passages.append(passage)
    if not found:
        findings.add(
            source.name, 0, "has no `##` heading; write each question as `## Question` and its answer below"
        )
    return passages


def _read_section(source: SourceFile, section: Section, language: str, findings: Findings) -> Passage | None:
    questions: list[str] = []
    lines = []
    for line in section.lines:
        match = _ALSO_ASKED.match(line)
        if match:
            questions += _split_questions(match.group(1))
            lines.append("")
        else:
            lines.append(line)
    if not section.heading:
        findings.add(source.name, section.line, "heading is empty; write the question after `##`")
        return None
    return _make(
        source,
        section.line,
        f"{source.name}#{slug(section.heading)}",
        section.heading,
        plain_text(lines),
        questions,
        language,
        findings,
        empty="answer is empty; add text under the heading",
    )


def _front_matter(text: str) -> tuple[str | None, str, int]:
    """The YAML between `---` lines at the top if there is one, the rest, and the line the rest begins on."""
    lines = text.split("\n")
    if lines[0].strip() == "---":
        for number, line in enumerate(lines[1:], 1):
            if line.strip() == "---":
                return "\n".join(lines[1:number]), "\n".join(lines[number + 1 :]), number + 2
    return None, text, 1


def _read_front_matter(
    source: SourceFile, front: str, body: str, language: str, findings: Findings
) -> list[Passage]:
    values, problem = parse_yaml(front)
    if problem or not isinstance(values, dict):
        line, message = problem or (1, "must hold `question: ...`")
        findings.add(source.name, line + 1, f"front matter: {message}")
        return []
    unknown = sorted(str(key) for key in values if key not in {"question", "also_asked", "id"})
    if unknown:
        findings.add(
            source.name,
            line_of(front, unknown[0]) + 1,
            f"front matter: unknown key {unknown[0]!r}; known are question, also_asked and id",
        )
    also = values.get("also_asked") or []
    questions = _split_questions(also) if isinstance(also, str) else [clean(str(item)) for item in also]
    question = clean(str(values.get("question") or ""))
    if not question:
        findings.add(
            source.name, line_of(front, "question") + 1, "question is empty; write it after `question:`"
        )
        return []
    given = str(values.get("id") or f"{source.name}#{slug(question)}")
    passage = _make(
        source,
        1,
        given,
        question,
        plain_text(body.split("\n")),
        questions,
        language,
        findings,
        empty="answer is empty; add text below the front matter",
    )
    return [passage] if passage else []


def parse_yaml(text: str) -> tuple[Any, tuple[int, str] | None]:
    """Read YAML without aliases; returns (value, None) or (None, (1-based line, what is wrong))."""
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                begun: Any = event.start_mark
                return None, (begun.line + 1, "YAML aliases (*name) are not read; write it out")
        return yaml.safe_load(text), None
    except yaml.MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        return None, (mark.line + 1 if mark else 1, f"is not valid YAML: {error.problem}")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return None, (1, f"is not valid YAML: {str(error).splitlines()[0]}")


def line_of(text: str, key: str) -> int:
    """1-based line on which a `key =` or `key:` stands; 1 if it is not found."""
    match = re.search(rf"(?m)^[ \t]*[\"']?{re.escape(key)}[\"']?\s*[:=]", text)
    return text.count("\n", 0, match.start()) + 1 if match else 1


def _split_questions(text: str) -> list[str]:
    return [question for part in re.split(r"[|｜]", text) if (question := plain_line(part))]


def _make(
    source: SourceFile,
    line: int,
    identity: str,
    title: str,
    text: str,
    questions: Iterable[str],
    language: str,
    findings: Findings,
    *,
    empty: str,
    kind: PassageKind = PassageKind.FAQ,
) -> Passage | None:
    if not text:
        findings.add(source.name, line, empty)
    elif len(title) > MAX_TITLE_CHARS:
        findings.add(
            source.name, line, f"the question has more than {MAX_TITLE_CHARS} characters; shorten it"
        )
    elif len(text) > MAX_ANSWER_CHARS:
        findings.add(
            source.name, line, f"the answer has more than {MAX_ANSWER_CHARS} characters; cut it into several"
        )
    else:
        own = title.casefold()
        kept = dict.fromkeys(question for question in questions if question and question.casefold() != own)
        return Passage(
            id=PassageId(clean(identity)),
            title=title,
            text=text,
            kind=kind,
            document=source.name,
            line=line,
            questions=tuple(kept),
            language=detect_language(f"{title} {text}", language),
        )
    return None


# --- tables ------------------------------------------------------------------------------------------------


def read_csv(source: SourceFile, findings: Findings) -> tuple[list[str], list[Row]] | None:
    """Header and rows of a CSV file with commas, semicolons or tabs; None after noting what is wrong."""
    text = decode(source, findings)
    if text is None:
        return None
    head = text.lstrip("\n").split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    header: list[str] = []
    rows: list[Row] = []
    start = 1
    try:
        for cells in reader:
            line, start = start, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = [clean(cell).lower() for cell in cells]
                twice = next((name for name in header if name and header.count(name) > 1), None)
                if twice:
                    findings.add(source.name, line, f"column {twice!r} stands twice; rename one of them")
                    return None
                continue
            if len(cells) > len(header) and any(cell.strip() for cell in cells[len(header) :]):
                findings.add(
                    source.name,
                    line,
                    f"has {len(cells)} fields for {len(header)} columns; "
                    'put text that holds the separator in "quotes"',
                )
                continue
            rows.append(Row(line, dict(zip(header, (*cells, *[""] * len(header)), strict=False))))
    except csv.Error as error:
        findings.add(
            source.name, start, f"is not valid CSV: {error}; check the quotes in and after this line"
        )
        return None
    if not header:
        findings.add(source.name, 0, "is empty; the first line must name the columns")
        return None
    return header, rows


def read_question_table(
    source: SourceFile,
    header: Sequence[str],
    rows: Sequence[Row],
    language: str,
    findings: Findings,
    *,
    part: str = "",
) -> list[Passage]:
    """Passages of a table with the columns question, answer[, also_asked][, id], or their aliases.

    `part` is the name of the sheet, where a file has several; it stands in the ids.
    """
    columns = {
        role: next((name for name in names if name in header), None) for role, names in ALIASES.items()
    }
    missing = [role for role in ("question", "answer") if columns[role] is None]
    if missing:
        findings.add(
            source.name,
            1,
            f"{f'sheet {part!r}: ' if part else ''}column {' and '.join(missing)} missing; "
            "a table of questions needs the columns question and answer "
            f"(found: {', '.join(filter(None, header)) or 'none'})",
        )
        return []
    passages = []
    for row in rows:
        values = {role: row.values.get(name, "") if name else "" for role, name in columns.items()}
        place = f"{slug(part)}-{row.line}" if part else str(row.line)
        passage = _from_values(source, row.line, values, f"{source.name}#{place}", language, findings)
        if passage:
            passages.append(passage)
    if not rows:
        findings.add(
            source.name, 1, f"{f'sheet {part!r}: ' if part else ''}has no rows below the column names"
        )
    return passages


def _from_values(
    source: SourceFile,
    line: int,
    values: Mapping[str, str],
    default_id: str,
    language: str,
    findings: Findings,
    kind: PassageKind = PassageKind.FAQ,
) -> Passage | None:
    title = clean(values["question"])
    if not title:
        findings.add(source.name, line, "question is empty; fill it in, or remove the row")
        return None
    lines = (clean(part) for part in values["answer"].splitlines())
    return _make(
        source,
        line,
        clean(values.get("id", "")) or default_id,
        title,
        "\n".join(part for part in lines if part),
        [clean(part) for part in re.split(r"[|｜\n]", values.get("also_asked", ""))],
        language,
        findings,
        empty="answer is empty; fill it in, or remove the row",
        kind=kind,
    )


# --- JSON lines --------------------------------------------------------------------------------------------


def read_json_lines(source: SourceFile, language: str, findings: Findings) -> list[Passage]:
    """Passages of a JSONL file: `{"id", "title", "text"}` or `{"question", "answer"}` on each line.

    Files with labelled questions for `assistant evaluate` are skipped.
    """
    text = decode(source, findings)
    if text is None:
        return []
    passages = []
    is_first = True
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except (ValueError, RecursionError) as error:
            message = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            findings.add(source.name, number, f"is not valid JSON: {message}; write one object a line")
            continue
        if not isinstance(item, dict):
            findings.add(
                source.name, number, 'must be an object such as {"id": ..., "title": ..., "text": ...}'
            )
            continue
        if is_first and (
            {"question", "passages", "reply"} <= item.keys() or item.keys() == {"text", "intent"}
        ):
            findings.skip(source.name, "holds labelled questions for `assistant evaluate`, not knowledge")
            return []
        is_first = False
        passage = _from_object(source, number, item, language, findings)
        if passage:
            passages.append(passage)
    if is_first:
        findings.add(source.name, 0, "is empty; write one object a line, or remove the file")
    return passages


def _from_object(
    source: SourceFile, line: int, item: Mapping[str, Any], language: str, findings: Findings
) -> Passage | None:
    lowered = {str(key).lower(): value for key, value in item.items()}
    values: dict[str, str] = {}
    for role, names in ALIASES.items():
        name = next((name for name in names if name in lowered), None)
        value = lowered[name] if name else ""
        if isinstance(value, list) and role == "also_asked" and all(isinstance(part, str) for part in value):
            value = "|".join(value)
        if isinstance(value, int) and not isinstance(value, bool) and role == "id":
            value = str(value)
        if not isinstance(value, str):
            findings.add(source.name, line, f"{name} must be text, not {type(value).__name__}")
            return None
        if name is None and role in {"question", "answer"}:
            wanted = "title (or question)" if role == "question" else "text (or answer)"
            findings.add(source.name, line, f"{wanted} is missing; found: {', '.join(lowered) or 'nothing'}")
            return None
        values[role] = value
    kind = PassageKind.FACTS if is_facts(values["answer"]) else PassageKind.FAQ
    return _from_values(source, line, values, f"{source.name}#{line}", language, findings, kind)


def is_facts(text: str) -> bool:
    """Whether a text is `key: value; key: value; ...` throughout, as a back-end returns it."""
    parts = [part.strip() for part in text.strip().rstrip(".;").split(";")]
    if len(parts) < 3 or "\n" in text.strip() or not _FACT.fullmatch(parts[0]):
        return False
    return 5 * sum(_FACT.fullmatch(part) is not None for part in parts) >= 4 * len(
        parts
    )  # a value may hold a ";"
