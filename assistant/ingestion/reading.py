"""All knowledge files → one validated `Knowledge`, or every problem at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assistant.errors import KnowledgeError
from assistant.ingestion.catalog import product_passage, read_orders, read_products
from assistant.ingestion.conversion import ConversionError, Converter
from assistant.ingestion.documents import document_markdown, read_document
from assistant.ingestion.home import read_devices, read_events
from assistant.ingestion.questions import (
    Row,
    is_question_file,
    read_csv,
    read_json_lines,
    read_question_file,
    read_question_table,
)
from assistant.ingestion.shop import check_sources, check_tests, read_intents, read_shop
from assistant.ingestion.sources import Findings, SourceFile, decode
from assistant.ingestion.splitting import clean
from assistant.records import Knowledge, Passage, Product, Shop
from assistant.text import words

_ONCE = ("shop.toml", "intents.yaml", "catalog.csv", "orders.csv", "devices.yaml", "events.csv")


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read.

    Attributes:
        knowledge: validated, without exact duplicates.
        duplicates: (id of the passage left out, id of the one kept).
        skipped: files that were left out, with the reason.
    """

    knowledge: Knowledge
    duplicates: tuple[tuple[str, str], ...]
    skipped: tuple[str, ...]


def read_knowledge(files: Sequence[SourceFile], findings: Findings) -> Reading:
    """Read and validate everything.

    Raises: KnowledgeError: with all problems of all files, also those already in `findings`.
    """
    named = {name: [file for file in files if file.path.name.lower() == name] for name in _ONCE}
    for name, found in named.items():
        for extra in found[1:]:
            findings.add(extra.name, 0, f"is a second {name} beside {found[0].name}; keep one")
    shop = read_shop(named["shop.toml"][0], findings) if named["shop.toml"] else Shop()
    intents = read_intents(named["intents.yaml"][0], findings) if named["intents.yaml"] else []
    products = read_products(named["catalog.csv"][0], findings) if named["catalog.csv"] else []
    orders = read_orders(named["orders.csv"][0], shop.order_number, findings) if named["orders.csv"] else []
    catalogue = [product for product, _ in products]
    devices = read_devices(named["devices.yaml"][0], findings) if named["devices.yaml"] else []
    events = read_events(named["events.csv"][0], catalogue, findings) if named["events.csv"] else []
    passages: list[Passage] = []
    with Converter() as converter:
        for source in files:
            if source.path.name.lower() == "tests.yaml":
                check_tests(source, findings)
            elif source.path.name.lower() not in _ONCE:
                passages += _read_passages(source, shop.language, converter, findings)
    for product, line in products:
        passages.append(product_passage(product, named["catalog.csv"][0].name, line, shop.language))
    unique, duplicates = drop_duplicates(passages, findings)
    if shop.orders is not None:
        check_sources(named["shop.toml"][0], shop.orders, unique, findings)
    if not findings.problems and not unique and not intents:
        findings.add(
            ", ".join(file.name for file in files), 0, "hold no passage and no intent; add knowledge"
        )
    if findings.problems:
        order = {file.name: place for place, file in enumerate(files)}
        raise KnowledgeError(
            sorted(findings.problems, key=lambda problem: (order.get(problem.path, -1), problem.line))
        )
    return Reading(
        Knowledge(
            tuple(unique),
            shop,
            tuple(intents),
            tuple(catalogue),
            tuple(orders),
            tuple(devices),
            tuple(events),
        ),
        tuple(duplicates),
        _without_media(findings.skipped, catalogue),
    )


def _without_media(skipped: Sequence[str], catalogue: Sequence[Product]) -> tuple[str, ...]:
    """What was left out, less the pictures and 3D models of products: the server gives those out."""
    media = {name for product in catalogue for name in (product.image, product.model_3d)}
    return tuple(entry for entry in skipped if entry.partition(": ")[0] not in media)


def _read_passages(
    source: SourceFile, language: str, converter: Converter, findings: Findings
) -> list[Passage]:
    if source.suffix == ".csv":
        table = read_csv(source, findings)
        return read_question_table(source, *table, language, findings) if table else []
    if source.suffix == ".xlsx":
        return _read_workbook(source, language, converter, findings)
    if source.suffix == ".jsonl":
        return read_json_lines(source, language, findings)
    if source.suffix in {".md", ".markdown"}:
        text = decode(source, findings)
        if text is None:
            return []
        if is_question_file(source, text):
            return read_question_file(source, text, language, findings)
    markdown = document_markdown(source, converter, findings)
    return [] if markdown is None else read_document(source, markdown, language, findings)


def _read_workbook(
    source: SourceFile, language: str, converter: Converter, findings: Findings
) -> list[Passage]:
    try:
        sheets = [(name, rows) for name, rows in converter.to_sheets(source) if rows]
    except ConversionError as error:
        findings.add(source.name, 0, str(error))
        return []
    if not sheets:
        findings.add(source.name, 0, "has no rows; the first row must name the columns")
    passages: list[Passage] = []
    for name, cells in sheets:
        top = next(place for place, row in enumerate(cells) if any(row))
        header = [clean(cell).lower() for cell in cells[top]]
        rows = [
            Row(number, dict(zip(header, (*row, *[""] * len(header)), strict=False)))
            for number, row in enumerate(cells[top + 1 :], top + 2)
            if any(cell.strip() for cell in row)
        ]
        part = name if len(sheets) > 1 else ""
        passages += read_question_table(source, header, rows, language, findings, part=part)
    return passages


def drop_duplicates(
    passages: Sequence[Passage], findings: Findings
) -> tuple[list[Passage], list[tuple[str, str]]]:
    """Passages without exact repetitions of title and text; notes ids used for different passages.

    Returns: (passages kept, pairs of the id left out and the id kept).
    """
    by_content: dict[tuple[str, ...], Passage] = {}
    by_id: dict[str, Passage] = {}
    kept: list[Passage] = []
    dropped: list[tuple[str, str]] = []
    for passage in passages:
        content = (*words(passage.title), "\n", *passage.text.casefold().split())
        same = by_content.setdefault(content, passage)
        if same is not passage:
            dropped.append((passage.id, same.id))
            continue
        first = by_id.setdefault(passage.id, passage)
        if first is not passage:
            where = f"{first.document}:{first.line}" if first.line else first.document
            findings.add(
                passage.document,
                passage.line,
                f"id {passage.id!r} stands already in {where}; give it another",
            )
            continue
        kept.append(passage)
    return kept, dropped
