"""Every format of knowledge, read right."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import docx
import openpyxl
import pytest
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfgen import canvas
from reportlab.platypus import Paragraph, SimpleDocTemplate

from assistant.ingestion.reading import Reading, read_knowledge
from assistant.ingestion.sources import Findings, collect_sources
from assistant.records import PassageKind
from assistant.text import words

Read = Callable[..., Reading]


def test_folder_with_every_fixed_file_gives_all_records(shop: Path, read: Read) -> None:
    """shop.toml, intents, catalogue, orders and FAQ come together in one Knowledge."""
    knowledge = read(shop).knowledge
    assert knowledge.shop.name == "Lumen & Moor"
    assert knowledge.shop.hours == {"monday": "08:00-20:00", "sunday": "closed"}
    assert (knowledge.shop.handover_after_misses, knowledge.shop.accepted_wrong_answers) == (3, 0.02)
    assert [intent.name for intent in knowledge.intents] == ["greeting", "order_status"]
    assert knowledge.intents[0].reply == "Hello!"
    slot = knowledge.intents[1].slots[0]
    assert (slot.name, slot.type, slot.required, slot.prompt) == (
        "number",
        "order_number",
        True,
        "Which order?",
    )
    lamp = knowledge.products[0]
    assert (lamp.sku, lamp.price, lamp.stock, lamp.related) == ("LA-1", 89.5, 12, ("LA-2",))
    assert lamp.attributes == {"colour": "brass", "material": "steel", "dimensions": "30 x 30 x 150 cm"}
    order = knowledge.orders[0]
    assert (order.order_number, order.total, order.address) == ("LM-10001", 94.0, "Elm Row 3, Northfield")


def test_faq_heading_becomes_passage_with_line_and_phrasings(shop: Path, read: Read) -> None:
    """A heading gives id, title and line; "Also asked" gives phrasings and leaves the text."""
    first, second = (p for p in read(shop).knowledge.passages if p.document == "faq/delivery.md")
    assert first.id == "faq/delivery.md#how-long-does-delivery-take"
    assert (first.title, first.line) == ("How long does delivery take?", 3)
    assert first.questions == ("when will my sofa come?", "delivery time")
    assert first.text == "Parcels take 2 to 3 working days. Large furniture takes 6 to 9 working days."
    assert second.text == "Parcels cost €4.50 per order. Large furniture costs a flat €49 per order."
    assert first.kind is PassageKind.FAQ


def test_product_becomes_passage_that_holds_its_facts(shop: Path, read: Read) -> None:
    """Price, attributes and stock of a product can be quoted."""
    heron, wren = (p for p in read(shop).knowledge.passages if p.document == "catalog.csv")
    assert (heron.id, heron.title, heron.line) == ("catalog.csv#LA-1", "Heron lamp", 2)
    assert "The Heron lamp costs €89.50." in heron.text
    assert "colour brass; material steel; dimensions 30 x 30 x 150 cm" in heron.text
    assert "A floor lamp that dims." in heron.text
    assert "12 of the Heron lamp are in stock." in heron.text
    assert "The Wren lamp costs €25." in wren.text
    assert "The Wren lamp is out of stock at the moment." in wren.text


def test_media_that_the_catalogue_names_is_not_reported_as_skipped(shop: Path, read: Read) -> None:
    """The server gives it out; a file which no product names is still mentioned."""
    for name in ("i/heron.jpg", "models/wren.glb", "i/old.jpg"):
        (shop / name).parent.mkdir(exist_ok=True)
        (shop / name).write_bytes(b"\0")
    assert [entry.split(":")[0] for entry in read(shop).skipped] == ["i/old.jpg"]


def test_readme_at_top_is_ignored_and_unknown_types_are_named(shop: Path, read: Read) -> None:
    """README.md is no knowledge; a picture is reported as skipped; hidden files are not mentioned."""
    (shop / "photo.png").write_bytes(b"\x89PNG")
    (shop / ".hidden.md").write_text("## Secret\nhidden\n", encoding="utf-8")
    reading = read(shop)
    assert [entry.split(":")[0] for entry in reading.skipped] == ["photo.png"]
    assert not any("README" in p.document or "hidden" in p.document for p in reading.knowledge.passages)


def test_front_matter_gives_one_passage(tmp_path: Path, read: Read) -> None:
    """A file with `question:` between --- lines is one question with the body as its answer."""
    file = tmp_path / "gift.md"
    file.write_text(
        '---\nquestion: Do you wrap gifts?\nalso_asked: [gift wrapping, "can you wrap it?"]\n---\n\nYes, for **€3**.\n',
        encoding="utf-8",
    )
    (passage,) = read(file).knowledge.passages
    assert (passage.title, passage.text) == ("Do you wrap gifts?", "Yes, for €3.")
    assert passage.questions == ("gift wrapping", "can you wrap it?")
    assert passage.id == "gift.md#do-you-wrap-gifts"


@pytest.mark.parametrize(
    "text",
    [
        "question,answer,also_asked\nDo you ship?,Yes.,shipping|delivery?\n",
        "\ufeffQ;A;Also asked\r\nDo you ship?;Yes.;shipping|delivery?\r\n",
        'title\ttext\tvariants\n"Do you ship?"\tYes.\tshipping|delivery?\n',
    ],
    ids=["commas", "semicolons, BOM, CRLF, aliases", "tabs"],
)
def test_csv_table_is_read(tmp_path: Path, read: Read, text: str) -> None:
    """Separator and column names are recognised."""
    file = tmp_path / "table.csv"
    file.write_bytes(text.encode())
    (passage,) = read(file).knowledge.passages
    assert (passage.id, passage.title, passage.text) == ("table.csv#2", "Do you ship?", "Yes.")
    assert passage.questions == ("shipping", "delivery?")


def test_csv_row_with_line_breaks_keeps_lines_of_later_rows(tmp_path: Path, read: Read) -> None:
    """A quoted answer over two lines does not shift the line of the next row."""
    file = tmp_path / "table.csv"
    file.write_text('id,question,answer\na,One?,"First.\nSecond."\n,Two?,"Yes, two."\n', encoding="utf-8")
    first, second = read(file).knowledge.passages
    assert (first.id, first.text) == ("a", "First.\nSecond.")
    assert (second.id, second.line) == ("table.csv#4", 4)


def test_xlsx_sheets_are_read(tmp_path: Path, read: Read) -> None:
    """Each sheet of a workbook is a table; an empty sheet does no harm."""
    book = openpyxl.Workbook()
    one = book.active
    one.title = "Shipping"
    one.append(["Question", "Answer", "Also asked"])
    one.append(["Do you ship?", "Yes.", "shipping"])
    two = book.create_sheet("Payment")
    two.append(["q", "a"])
    two.append([])
    two.append(["How many instalments?", 3])
    book.create_sheet("Empty")
    book.save(tmp_path / "table.xlsx")
    first, second = read(tmp_path / "table.xlsx").knowledge.passages
    assert (first.id, first.text, first.questions) == ("table.xlsx#shipping-2", "Yes.", ("shipping",))
    assert (second.id, second.line, second.text) == ("table.xlsx#payment-3", 3, "3")


def test_corpus_lines_are_taken_as_they_are(tmp_path: Path, read: Read) -> None:
    """`{"id","title","text"}` keeps its id; text of `key: value; ...` throughout is facts."""
    lines = [
        {"id": "x-01", "title": "Delivery", "text": "Delivery takes 2 days; on islands, 4."},
        {
            "id": "x-02",
            "title": "Lookup",
            "text": "order: X-1; status: sent; items: lamp (2); note: a; b; c: d; e: f",
        },
    ]
    file = tmp_path / "x.passages.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    prose, facts = read(file).knowledge.passages
    assert (prose.id, prose.kind, prose.text) == ("x-01", PassageKind.FAQ, lines[0]["text"])
    assert (facts.id, facts.kind, facts.line) == ("x-02", PassageKind.FACTS, 2)


def test_question_lines_and_evaluation_files(tmp_path: Path, read: Read) -> None:
    """JSONL of questions is read; labelled examples beside it are skipped."""
    (tmp_path / "a.jsonl").write_text(
        '{"question": "Do you ship?", "answer": "Yes.", "also_asked": ["shipping"]}\n', encoding="utf-8"
    )
    (tmp_path / "b.jsonl").write_text('{"question": "q", "passages": [], "reply": "r"}\n', encoding="utf-8")
    (tmp_path / "c.jsonl").write_text('{"text": "hello", "intent": null}\n', encoding="utf-8")
    reading = read(tmp_path)
    assert [(p.id, p.questions) for p in reading.knowledge.passages] == [("a.jsonl#1", ("shipping",))]
    assert [entry.split(":")[0] for entry in reading.skipped] == ["b.jsonl", "c.jsonl"]


def docx_bytes() -> bytes:
    """A Word document with a title, two headings and a table."""
    document = docx.Document()
    document.add_heading("Care guide", 1)
    document.add_heading("Oiled wood", 2)
    document.add_paragraph("Oil the table twice a year. Wipe spills at once.")
    document.add_heading("Fabrics", 2)
    document.add_paragraph("Covers can be washed at 30 degrees.")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(
        [c for row in table.rows for c in row.cells], ["Fabric", "Rubs", "Harbour", "40,000"], strict=True
    ):
        cell.text = text
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def pdf_bytes(lines: list[str]) -> bytes:
    """A PDF page with these lines."""
    stream = io.BytesIO()
    page = canvas.Canvas(stream, pagesize=A4)
    for place, line in enumerate(lines):
        page.drawString(72, 780 - 18 * place, line)
    page.showPage()
    page.save()
    return stream.getvalue()


def test_docx_is_split_by_headings(tmp_path: Path, read: Read) -> None:
    """Headings of a Word file stand in the titles; a table row keeps its column names."""
    (tmp_path / "care.docx").write_bytes(docx_bytes())
    wood, fabrics = read(tmp_path / "care.docx").knowledge.passages
    assert (wood.title, wood.text) == (
        "Care guide — Oiled wood",
        "Oil the table twice a year. Wipe spills at once.",
    )
    assert wood.kind is PassageKind.DOCUMENT
    assert fabrics.text == "Covers can be washed at 30 degrees.\nFabric: Harbour; Rubs: 40,000"


def test_html_and_pdf_are_read(tmp_path: Path, read: Read) -> None:
    """HTML loses its tags and scripts, PDF its line breaks."""
    (tmp_path / "page.html").write_text(
        "<html><head><script>alert(1)</script></head><body><h1>Warranty</h1><p>Five years on <b>frames</b>.</p>"
        "</body></html>",
        encoding="utf-8",
    )
    (tmp_path / "terms.pdf").write_bytes(pdf_bytes(["The warranty covers broken", "springs for ten years."]))
    page, terms = read(tmp_path).knowledge.passages
    assert (page.title, page.text) == ("Warranty", "Five years on frames.")
    assert "covers broken springs for ten years." in terms.text


def test_text_file_gets_titles_from_lines_that_stand_alone(tmp_path: Path, read: Read) -> None:
    """A short line between blank lines of a TXT file is a heading; wrapped lines are joined."""
    (tmp_path / "house_rules.txt").write_text(
        "Opening hours\n\nThe showroom opens\nat nine.\n\nParking\n\nBehind the house.\n", encoding="utf-8"
    )
    first, second = read(tmp_path / "house_rules.txt").knowledge.passages
    assert (first.title, first.text, first.line) == (
        "House rules — Opening hours",
        "The showroom opens at nine.",
        3,
    )
    assert (second.title, second.line) == ("House rules — Parking", 8)


def test_exact_duplicates_are_dropped_and_named(tmp_path: Path, read: Read) -> None:
    """The same title and text under another id is left out."""
    (tmp_path / "a.csv").write_text(
        "id,question,answer\none,Ship?,Yes we do.\ntwo,ship,Yes  we do.\n", encoding="utf-8"
    )
    reading = read(tmp_path)
    assert [p.id for p in reading.knowledge.passages] == ["one"]
    assert reading.duplicates == (("two", "one"),)


def test_two_folders_with_files_of_the_same_name(tmp_path: Path, read: Read) -> None:
    """Ids stay apart when several folders are ingested."""
    for folder, text in (("one", "Yes."), ("two", "No.")):
        (tmp_path / folder / "faq").mkdir(parents=True)
        (tmp_path / folder / "faq" / "a.md").write_text(f"## Ship?\n{text}\n", encoding="utf-8")
    ids = [p.id for p in read(tmp_path / "one", tmp_path / "two").knowledge.passages]
    assert ids == ["faq/a.md#ship", "two/faq/a.md#ship"]


def test_a_file_given_twice_is_read_once(shop: Path, read: Read) -> None:
    """A folder and a file in it do not collide."""
    assert read(shop, shop / "faq" / "delivery.md").knowledge == read(shop).knowledge


def test_chinese_document_is_split_between_sentences(tmp_path: Path, read: Read) -> None:
    """Chinese text has no spaces: sentences end at 。, pieces join without a space, the language is noted."""
    found = [
        f"第{number}条：大件家具在六到九个工作日内送达，我们会提前一天打电话通知您。" for number in range(20)
    ]
    blocks = ["".join(found[at : at + 5]) for at in range(0, 20, 5)]
    (tmp_path / "guide.md").write_text("# 配送\n\n" + "\n".join(blocks), encoding="utf-8")
    passages = read(tmp_path / "guide.md").knowledge.passages
    assert len(passages) > 1
    assert all(p.text.endswith("。") for p in passages)
    assert "".join(p.text for p in passages) == "".join(found)
    assert {p.language for p in passages} == {"zh"}
    assert passages[0].title == "配送"


def test_pdf_layout_gives_title_and_headings(tmp_path: Path, read: Read) -> None:
    """Lines that stand alone in a PDF become title and headings; wrapped lines are joined."""
    style = getSampleStyleSheet()
    story = [Paragraph("Care guide", style["Title"]), Paragraph("Oiled wood", style["Heading2"])]
    story += [
        Paragraph("Oil the table twice a year, with the oil that came in the box. " * 3, style["Normal"])
    ]
    SimpleDocTemplate(str(tmp_path / "care.pdf")).build(story)
    (passage,) = read(tmp_path / "care.pdf").knowledge.passages
    assert passage.title == "Care guide — Oiled wood"
    assert passage.text == "Oil the table twice a year, with the oil that came in the box. " * 2 + (
        "Oil the table twice a year, with the oil that came in the box."
    )


def test_long_section_is_cut_between_sentences_into_pieces_of_fitting_size(
    tmp_path: Path, read: Read
) -> None:
    """Pieces have 60 to 150 words, share the title, differ in id, and lose nothing."""
    found = [
        f"Rule number {number} says that every chair is checked twice before it leaves."
        for number in range(40)
    ]
    (tmp_path / "rules.md").write_text("# Rules\n\n## Checks\n\n" + "\n".join(found), encoding="utf-8")
    passages = read(tmp_path / "rules.md").knowledge.passages
    assert [p.id for p in passages[:3]] == ["rules.md#checks", "rules.md#checks-2", "rules.md#checks-3"]
    assert {p.title for p in passages} == {"Rules — Checks"}
    assert all(60 <= len(words(p.text)) <= 150 for p in passages)
    assert " ".join(p.text for p in passages) == " ".join(found)
    assert passages[1].line == 5


def test_drafts_are_left_out_wherever_they_lie(shop: Path, read: Callable[..., Reading]) -> None:
    """The folder drafts/ and files whose front matter says `draft: true` are not knowledge, and are reported."""
    before = read(shop).knowledge.passages
    (shop / "drafts").mkdir()
    (shop / "drafts" / "edited.md").write_text("## Do you wrap gifts?\nYes.\n", encoding="utf-8")
    draft = "---\ndraft: true\n---\n\n## Is there parking?\nYes, behind the house.\n"
    (shop / "faq" / "parking.md").write_text(draft, encoding="utf-8")
    findings = Findings()
    reading = read_knowledge(collect_sources([shop], findings), findings)
    assert reading.knowledge.passages == before
    assert [line.split(":")[0] for line in findings.skipped] == ["drafts/edited.md", "faq/parking.md"]
    findings = Findings()
    assert collect_sources([shop / "faq" / "parking.md"], findings) == []
    published = draft.replace("draft: true", "question: Is there parking?").replace(
        "## Is there parking?\n", ""
    )
    (shop / "faq" / "parking.md").write_text(published + "\ndraft: true was said here.\n", encoding="utf-8")
    assert len(read(shop).knowledge.passages) == len(before) + 1
