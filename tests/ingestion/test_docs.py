"""docs/knowledge.md and the code say the same."""

import re
from collections.abc import Callable
from pathlib import Path

from assistant.ingestion.reading import Reading
from assistant.ingestion.shop import SLOT_TYPES
from assistant.ingestion.sources import KNOWN_NAMES, KNOWN_SUFFIXES

TEXT = (Path(__file__).parents[2] / "docs" / "knowledge.md").read_text(encoding="utf-8")


def test_every_example_of_a_file_can_be_ingested(tmp_path: Path, read: Callable[..., Reading]) -> None:
    """The examples, put into files, make a base without a problem."""
    blocks = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
    names = {
        "toml": ["shop.toml"],
        "yaml": ["intents.yaml"],
        "json": ["a.jsonl"],
        "markdown": ["faq/delivery.md", "faq/b.md"],
    }
    names["csv"] = ["table.csv", "catalog.csv", "orders.csv"]
    (tmp_path / "faq").mkdir()
    for kind, content in blocks:
        (tmp_path / names[kind].pop(0)).write_text(content, encoding="utf-8")
    assert not any(names.values())
    knowledge = read(tmp_path).knowledge
    assert len(knowledge.passages) == 6
    assert [len(part) for part in (knowledge.intents, knowledge.products, knowledge.orders)] == [2, 1, 1]


def test_every_file_type_and_slot_type_is_named() -> None:
    """What is read is written down."""
    for name in [*KNOWN_NAMES, *SLOT_TYPES, *(KNOWN_SUFFIXES - {".htm", ".markdown"})]:
        assert f"`{name}`" in TEXT or f"*{name}`" in TEXT, name
