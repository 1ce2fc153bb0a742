"""CPU time of serving on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from training.retrieval import inputs, ranking
from training.retrieval.corpus import Business
from training.retrieval.reference import Retriever


def figures(retriever: Retriever, businesses: Sequence[Business], questions: int = 40) -> dict[str, float]:
    """Milliseconds of CPU: one query, the candidates the first stage asks for, and ten rows of 120 tokens."""
    encode, rerank, counts = [], [], []
    for business in businesses:
        base = retriever.ingest([(p.title, p.text) for p in business.passages])
        for question in business.questions[:questions]:
            query = retriever.inputs.query(question.text, question.history)
            encode.append(_cpu_ms(lambda query=query: retriever.encoder.vectors([query])))  # type: ignore[misc]
            signals = retriever.signals(base, question.text, question.history)
            chosen = ranking.candidates(retriever.constants, signals)
            rows = [inputs.pair(query, base.rows[i]) for i in chosen]
            counts.append(len(rows))
            rerank.append(_cpu_ms(lambda rows=rows: retriever.reranker.logits(rows)))  # type: ignore[misc]
    ten = [([inputs.CLS, *range(2000, 2118), inputs.SEP], 30)] * 10
    full = [_cpu_ms(lambda: retriever.reranker.logits(ten)) for _ in range(20)]
    return {
        "encode p50": float(np.median(encode)),
        "encode p95": float(np.quantile(encode, 0.95)),
        "candidates mean": float(np.mean(counts)),
        "candidates p50": float(np.median(counts)),
        "rerank p50": float(np.median(rerank)),
        "rerank mean": float(np.mean(rerank)),
        "rerank p95": float(np.quantile(rerank, 0.95)),
        "ten rows of 120 tokens p50": float(np.median(full)),
    }


def _cpu_ms(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1000
