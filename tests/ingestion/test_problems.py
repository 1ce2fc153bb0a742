"""What is wrong in knowledge files is said once, all of it, with file and line."""

import io
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest

from assistant.errors import KnowledgeProblem
from assistant.ingestion.catalog import ean13_check_digit
from assistant.ingestion.conversion import ConversionError, Converter
from assistant.ingestion.reading import Reading
from assistant.ingestion.sources import MAX_FILE_BYTES, SourceFile
from assistant.ingestion.splitting import split_pieces, split_sections

ProblemsOf = Callable[..., list[KnowledgeProblem]]
RULES = b"""[orders]
free_cancel_hours = 72
cancel_refund_days = 3
return_days = 50
drop_off_days = 10
collection_days = 8
collection_fee = 55
inspection_days = 2
late_move_fee = 29
late_move_hour = 12
most_moves = 3
most_days_moved = 21
driver_calls_minutes = 30
windows = ["08:00-12:00", "12:00-16:00"]
"""


def test_all_problems_of_all_files_come_in_one_run(shop: Path, problems_of: ProblemsOf) -> None:
    """Each file contributes its problems, with the line an author can jump to."""
    (shop / "faq" / "delivery.md").write_text(
        "# T\n\n## One?\nYes.\n\n## Two?\n\n## One?\nNo.\n", encoding="utf-8"
    )
    (shop / "shop.toml").write_text(
        'name = "X"\n\ntimezone = "Mars/Base"\n[hours]\nmonday = "9-5"\n', encoding="utf-8"
    )
    (shop / "intents.yaml").write_text(
        "- name: a\n  examples: [hello]\n- name: b\n  examples: [bye]\n  action: x\n  slots:\n"
        "    - {name: n, type: colour}\n",
        encoding="utf-8",
    )
    (shop / "catalog.csv").write_text(
        "sku,name,price,currency,barcode,related\nA,Lamp,9,EUR,4006381333930,\nB,Lamp two,free,EUR,9780201379624,C\n",
        encoding="utf-8",
    )
    (shop / "orders.csv").write_text("order_number,customer\nLM-1,Ada\n", encoding="utf-8")
    (shop / "more.csv").write_text("question,reply text\nq,a\n", encoding="utf-8")
    found = {(problem.path, problem.line): problem.message for problem in problems_of(shop)}
    assert found.keys() == {
        ("faq/delivery.md", 6),
        ("faq/delivery.md", 8),
        ("shop.toml", 3),
        ("shop.toml", 5),
        ("intents.yaml", 1),
        ("intents.yaml", 7),
        ("catalog.csv", 2),
        ("catalog.csv", 3),
        ("orders.csv", 1),
        ("more.csv", 1),
    }
    assert found["faq/delivery.md", 6] == "answer is empty; add text under the heading"
    assert "repeats the heading of line 3" in found["faq/delivery.md", 8]
    assert "neither action nor reply" in found["intents.yaml", 1]
    assert "unknown slot type 'colour'" in found["intents.yaml", 7]
    assert "the last is 1" in found["catalog.csv", 2]
    assert "email" in found["orders.csv", 1]
    assert "column answer missing" in found["more.csv", 1]


@pytest.mark.parametrize("barcode", ["4006381333931", "9780201379624", "5901234123457", "0012345678905"])
def test_check_digit_agrees_with_published_barcodes(barcode: str) -> None:
    """Barcodes printed in the GS1 manual and on known goods have the digit we compute."""
    assert ean13_check_digit(barcode) == int(barcode[-1])


@pytest.mark.parametrize(
    ("name", "content", "line", "says"),
    [
        ("a.md", b"caf\xe9 au lait\n", 1, "UTF-8"),
        ("a.md", b"one\ntwo \xff\n", 2, "UTF-8"),
        ("a.txt", b"a\n\0b", 2, "binary"),
        ("a.md", b"", 0, "holds no text"),
        ("faq/a.md", b"just text\n", 1, "before the first `##`"),
        ("faq/a.md", b"# Only a topic\n", 0, "no `##` heading"),
        ("a.md", b"---\nquestion: [\n---\nx", 2, "YAML"),
        ("a.csv", b"", 0, "is empty"),
        ("a.csv", b"question,answer\n", 1, "no rows"),
        ("a.csv", b"question,answer\nq,a\nq2,\n", 3, "answer is empty"),
        ("a.csv", b"question,answer\n,a\n", 2, "question is empty"),
        ("a.csv", b'question,answer\nq,"open\n', 2, "quotes"),
        ("a.csv", b"question,answer\nq,Yes, we do\n", 2, "3 fields for 2 columns"),
        ("a.csv", b"id,question,answer\nx,q,a\nx,r,b\n", 3, "id 'x' stands already in a.csv:2"),
        ("a.jsonl", b'{"id": "1", "title": "t", "text": "x"}\n{"id": 2', 2, "not valid JSON"),
        ("a.jsonl", b'{"id": "1", "title": "t"}', 1, "text (or answer) is missing"),
        ("a.jsonl", b'{"title": "t", "text": 5}', 1, "must be text"),
        ("a.jsonl", b'["t"]', 1, "must be an object"),
        ("a.jsonl", b"", 0, "is empty"),
        ("a.jsonl", b"[" * 200_000, 1, "not valid JSON"),
        ("a.pdf", b"hello", 0, "not a PDF"),
        ("a.pdf", b"%PDF-1.7\nbroken", 0, "damaged"),
        ("a.docx", b"PK\x03\x04broken", 0, "not a DOCX"),
        ("a.xlsx", b"hello", 0, "not a XLSX"),
        ("a.html", b"<p>\xff</p>", 1, "UTF-8"),
        ("shop.toml", b"name = \n", 1, "not valid TOML"),
        ("shop.toml", b"x = 1\nnmae = 'a'\n", 2, "did you mean 'name'"),
        ("shop.toml", b"[accepted]\nwrong_answers = 5\n", 2, "from 0 to 1"),
        ("shop.toml", b"hours = 3\n", 1, "must be a table"),
        ("shop.toml", b"order_number = 'LM'\n", 1, "as #"),
        ("shop.toml", b"name = 'x'\n\n[orders]\nreturn_days = 50\n", 3, "lacks free_cancel_hours"),
        ("shop.toml", RULES.replace(b"return_days = 50", b"return_days = -1"), 4, "from 0 to 3650"),
        ("shop.toml", RULES.replace(b"collection_fee = 55", b"collection_fee = '55'"), 7, "an amount"),
        ("shop.toml", RULES.replace(b"12:00-16:00", b"16:00-12:00"), 14, "later time last"),
        ("shop.toml", RULES.replace(b"most_moves", b"most_movies"), 11, "did you mean 'most_moves'"),
        ("shop.toml", RULES + b"mattress_category = 'beds'\n", 15, "needs mattress_nights"),
        ("shop.toml", RULES + b"device_categories = 'hubs'\n", 15, "list of categories"),
        ("shop.toml", RULES + b"lock_category = 5\n", 15, "in quotes"),
        ("shop.toml", RULES + b"[orders.sources]\nreturns = ['a#b']\n", 16, "no topic"),
        ("shop.toml", RULES + b"[orders.sources]\nreturn = ['a']\n", 16, "list of passages"),
        ("shop.toml", RULES + b"[orders.sources]\nreturn = ['faq/delivery.md#Nothing']\n", 16, "no passage"),
        ("shop.toml", b"[handover]\nafter_upset = 0\n", 2, "1 or more"),
        ("intents.yaml", b"- name: a\n examples: [x]\n", 2, "not valid YAML"),
        ("intents.yaml", b"- &a {name: b}\n- *a\n", 2, "aliases"),
        ("intents.yaml", b"name: a\n", 1, "must be a list"),
        ("intents.yaml", b"- name: a\n  reply: hi\n", 1, "no examples"),
        ("intents.yaml", b"- name: a\n  reply: hi\n  examples: [x, X]\n", 3, "stands twice"),
        ("intents.yaml", b"- name: A b\n  reply: hi\n  examples: [x]\n", 1, "lower-case"),
        ("tests.yaml", b"- turns: []\n", 1, "needs a name"),
        ("notes.unknown", b"x", 0, "unknown type"),
    ],
)  # fmt: skip
def test_single_bad_file_is_refused(
    tmp_path: Path, problems_of: ProblemsOf, name: str, content: bytes, line: int, says: str
) -> None:
    """A bad file gives a problem with its line and what to do."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    problems = problems_of(path)
    assert any(problem.line == line and says in str(problem) for problem in problems), problems
    assert all(problem.path == path.name for problem in problems)


def test_empty_folder_and_missing_path_are_refused(tmp_path: Path, problems_of: ProblemsOf) -> None:
    """A folder without knowledge, and a path that does not exist, are named together."""
    (tmp_path / "empty").mkdir()
    first, second = problems_of(tmp_path / "empty", tmp_path / "nowhere")
    assert "holds no knowledge files" in first.message
    assert "no such file" in second.message


def test_file_over_the_size_limit_is_refused(tmp_path: Path, problems_of: ProblemsOf) -> None:
    """A file is read no further than the limit."""
    with (tmp_path / "big.txt").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    (problem,) = problems_of(tmp_path)
    assert "is larger than 20 MB" in problem.message


def test_file_with_thousands_of_problems_is_cut_short(tmp_path: Path, problems_of: ProblemsOf) -> None:
    """After 100 problems of one file the rest is summed up."""
    (tmp_path / "a.csv").write_text("question,answer\n" + "q,\n" * 5000, encoding="utf-8")
    problems = problems_of(tmp_path)
    assert len(problems) == 101
    assert "more problems follow" in "".join(problem.message for problem in problems)


def zip_bomb(name: str) -> bytes:
    """An archive of a few kilobytes that unpacks to 300 MB."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(name, "w") as member,
    ):
        for _ in range(300):
            member.write(bytes(1_000_000))
    return stream.getvalue()


@pytest.mark.parametrize(("file", "member"), [("a.docx", "word/document.xml"), ("a.xlsx", "xl/workbook.xml")])
def test_zip_bomb_is_refused_unopened(
    tmp_path: Path, problems_of: ProblemsOf, file: str, member: str
) -> None:
    """What a member would unpack to is checked before anything is unpacked."""
    (tmp_path / file).write_bytes(zip_bomb(member))
    (problem,) = problems_of(tmp_path)
    assert "unpacks to 300 MB" in problem.message


def test_deep_html_does_no_harm(tmp_path: Path, read: Callable[..., Reading]) -> None:
    """HTML nested too deeply for a recursive parser neither crashes nor hangs the run."""
    (tmp_path / "deep.html").write_text(
        "<div>" * 20_000 + "hello there" + "</div>" * 20_000, encoding="utf-8"
    )
    (passage,) = read(tmp_path).knowledge.passages
    assert passage.text == "hello there"


@pytest.mark.parametrize(
    "line",
    ["word " * 200_000, "." * 1_000_000, "[" * 1_000_000, "*a" * 200_000, "# " + " " * 1_000_000 + "x",
     "<!--" * 200_000, "`" * 1_000_000, "字" * 200_000, "|" * 500_000, "- " * 200_000 + "x", "<a" * 200_000],
    ids=["words", "dots", "brackets", "stars", "spaces", "comments", "ticks", "han", "pipes", "rules", "tags"],
)  # fmt: skip
def test_huge_line_is_read_in_bounded_time(tmp_path: Path, line: str) -> None:
    """A line of a million characters gives bounded pieces in seconds, whatever it is made of."""
    begun = time.process_time()
    (section,) = split_sections(f"start {line}")
    pieces = split_pieces(section.lines, 1)
    assert time.process_time() - begun < 20
    assert pieces
    assert max(len(text) for text, _ in pieces) < 10_000


def test_conversion_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    """A document that keeps its reader busy past the limit costs one problem; the next one is read."""
    slow = SourceFile("slow.html", tmp_path / "slow.html", b"<p>word</p>" * 100_000)
    quick = SourceFile("quick.html", tmp_path / "quick.html", b"<p>Hello there</p>")
    with Converter(time_limit_s=0.0) as converter, pytest.raises(ConversionError, match="took longer"):
        converter.to_markdown(slow)
    with Converter() as converter:
        assert converter.to_markdown(quick).strip() == "Hello there"


def test_workbook_that_claims_a_million_rows_is_read_by_what_it_holds(tmp_path: Path) -> None:
    """Formatted but empty rows at the end of a sheet are not read one by one."""
    book = openpyxl.Workbook()
    book.active.append(["question", "answer"])
    book.active.append(["q", "a"])
    book.active.cell(row=1_000_000, column=1).value = None
    stream = io.BytesIO()
    book.save(stream)
    with Converter() as converter:
        sheets = converter.to_sheets(SourceFile("a.xlsx", tmp_path / "a.xlsx", stream.getvalue()))
    assert sheets == [("Sheet", [["question", "answer"], ["q", "a"]])]


def test_link_out_of_the_folder_is_not_followed(
    tmp_path: Path, shop: Path, read: Callable[..., object]
) -> None:
    """A symbolic link in a knowledge folder cannot pull in files from elsewhere."""
    (tmp_path / "secret.md").write_text("## Secret?\nYes.\n", encoding="utf-8")
    (shop / "faq" / "link.md").symlink_to(tmp_path / "secret.md")
    reading = read(shop)
    assert any("outside the folder" in entry for entry in reading.skipped)
