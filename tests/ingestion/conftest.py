"""A small shop, a small encoder, and one call that ingests the one with the other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from assistant.errors import KnowledgeError, KnowledgeProblem
from assistant.ingestion.pipeline import IngestReport, ingest
from assistant.ingestion.reading import Reading, read_knowledge
from assistant.ingestion.sources import Findings, collect_sources
from assistant.protocols import Vectors
from assistant.records import Intent, Passage, Unit, UnitKind
from assistant.storage.snapshots import DraftSnapshot, SnapshotStore
from assistant.text import sentences, words


class HashingEmbedder:
    """A bag of hashed words: texts with the same words are close. Counts what it is asked."""

    dimension = 32

    def __init__(self, identity: str = "hashing-1") -> None:
        self.identity = identity
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.texts += texts
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in enumerate(texts):
            for word in words(text) or ["∅"]:
                digest = hashlib.sha256(word.encode()).digest()
                vectors[row, digest[0] % self.dimension] += 1 if digest[1] % 2 else -1
                vectors[row, digest[2] % self.dimension] += 0.5
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)


def build_units(passages: Sequence[Passage]) -> list[Unit]:
    """Body, sentences and questions of each passage."""
    units: list[Unit] = []
    for row, passage in enumerate(passages):
        units.append(Unit(row, UnitKind.BODY, f"{passage.title}. {passage.text}"))
        units += [Unit(row, UnitKind.SENTENCE, sentence) for sentence in sentences(passage.text)]
        units += [Unit(row, UnitKind.QUESTION, question) for question in (passage.title, *passage.questions)]
    return units


def name_intents(intents: Sequence[Intent]) -> list[str]:
    """The bare names."""
    return [intent.name for intent in intents]


def fit_intents(intents: Sequence[Intent], vectors: Vectors, names: Vectors) -> Mapping[str, NDArray[Any]]:
    """The mean vector of each intent's examples."""
    assert len(names) == len(intents)
    ends = np.cumsum([0, *(len(intent.examples) for intent in intents)])
    assert ends[-1] == len(vectors)
    means = [vectors[start:end].mean(axis=0) for start, end in pairwise(ends)]
    return {"means": np.array(means, np.float32).reshape(len(intents), vectors.shape[1])}


def calibrate(draft: DraftSnapshot) -> Mapping[str, Any]:
    """Something that depends on the draft."""
    return {"threshold": 0.5, "units": len(draft.units)}


def run_ingest(
    paths: Sequence[Path], data: Path, embedder: HashingEmbedder | None = None, **options: Any
) -> IngestReport:
    """Ingest with the small parts of this file; options override them."""
    parts: dict[str, Any] = {
        "build_units": build_units,
        "name_intents": name_intents,
        "fit_intents": fit_intents,
        "calibrate": calibrate,
        "self_test": lambda draft: [],
    }
    return ingest(
        paths, store=SnapshotStore(data), embedder=embedder or HashingEmbedder(), **{**parts, **options}
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """An empty data folder."""
    return tmp_path / "data"


@pytest.fixture
def embedder() -> HashingEmbedder:
    """A small encoder that counts."""
    return HashingEmbedder()


@pytest.fixture
def run(data: Path, embedder: HashingEmbedder) -> Callable[..., IngestReport]:
    """Ingest paths into the data folder with the small encoder."""

    def call(*paths: Path, **options: Any) -> IngestReport:
        return run_ingest(paths, data, **{"embedder": embedder, **options})

    return call


@pytest.fixture
def read() -> Callable[..., Reading]:
    """Read paths into knowledge."""

    def call(*paths: Path) -> Reading:
        findings = Findings()
        return read_knowledge(collect_sources(paths, findings), findings)

    return call


@pytest.fixture
def problems_of(read: Callable[..., Reading]) -> Callable[..., list[KnowledgeProblem]]:
    """The problems of paths that must not be accepted."""

    def call(*paths: Path) -> list[KnowledgeProblem]:
        with pytest.raises(KnowledgeError) as caught:
            read(*paths)
        return list(caught.value.problems)

    return call


FAQ = """# Delivery

## How long does delivery take?
Also asked: when will my sofa come? | delivery time
Parcels take 2 to 3 working days. Large furniture takes 6 to 9 working days.

## What does delivery cost?
Parcels cost €4.50 per order.
Large furniture costs a flat €49 per order.
"""
SHOP = """name = "Lumen & Moor"
order_number = "LM-#####"

[hours]
monday = "08:00-20:00"
sunday = "closed"

[handover]
after_misses = 3

[accepted]
wrong_answers = 0.02
"""
INTENTS = """- name: greeting
  description: says hello
  examples: [hello, hi there]
  reply: Hello!
- name: order_status
  examples:
    - where is my order
    - track my parcel
  slots:
    - {name: number, type: order_number, prompt: "Which order?"}
  action: order_status
"""
CATALOG = """
sku,name,category,price,currency,barcode,stock,colour,material,dimensions,description,image,model_3d,related
LA-1,Heron lamp,lamps,89.50,EUR,4006381333931,12,brass,steel,30 x 30 x 150 cm,A floor lamp that dims.,i/heron.jpg,,LA-2
LA-2,Wren lamp,lamps,25,EUR,9780201379624,0,white,,,A small lamp,,models/wren.glb,
""".lstrip()
ORDERS = """order_number,customer,email,placed,status,items,total,currency,delivery_method,expected,slot,address,note
LM-10001,Ada Quist,ada@example.com,2026-10-15,shipped,LA-1 x1,94.00,EUR,parcel,2026-10-18,,"Elm Row 3, Northfield",
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A knowledge folder with a file of every fixed name."""
    folder = tmp_path / "knowledge"
    (folder / "faq").mkdir(parents=True)
    (folder / "README.md").write_text("# About this folder\n\nNot knowledge.\n", encoding="utf-8")
    (folder / "faq" / "delivery.md").write_text(FAQ, encoding="utf-8")
    (folder / "shop.toml").write_text(SHOP, encoding="utf-8")
    (folder / "intents.yaml").write_text(INTENTS, encoding="utf-8")
    (folder / "catalog.csv").write_text(CATALOG, encoding="utf-8")
    (folder / "orders.csv").write_text(ORDERS, encoding="utf-8")
    return folder
