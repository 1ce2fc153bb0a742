"""The composer: time to first token, tokens per second alone and with 16 sessions, memory. One JSON line."""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from assistant.backends.generation.batching import Batch, Job
from assistant.backends.generation.language_model import LanguageModel, load_language_model
from assistant.composition.grounding.constraint import ContextTrie, FactConstraint
from assistant.composition.grounding.tokens import TokenTable
from assistant.composition.prompt import ChatPromptWriter
from assistant.config import load_settings
from assistant.protocols import GenerationRequest, Hint
from assistant.records import Source
from benchmarks.signature import signature

_PROMPT_TOKENS = 400  # three whole passages and a question
_REPLY_TOKENS = 60  # at most; a reply ends where the model ends it
_SESSIONS = 16
_ROUNDS = 3  # replies of each session one after the other
_ALONE = 12
_TITLES = ("Delivery times", "Delivery costs", "Assembly", "Returns", "Warranty", "Payment")
_SENTENCES = (
    "Parcels with lamps, textiles and small furniture reach you within 2 to 4 working days.",
    "Sofas, beds and wardrobes are brought by two people within 7 to 10 working days of your order.",
    "The fee for bulky goods is a flat €39 per order; from €900 it is free.",
    "You choose a time slot of four hours between 08:00 and 20:00 by text message.",
    "If nobody is at home, the team calls the number given with the order and waits for 15 minutes.",
    "A second attempt costs €25 and is made within 5 working days.",
)
_ANSWER = _SENTENCES[1]


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply: seconds to the first token, to the last, and how many there were."""

    first_s: float
    last_s: float
    tokens: int


def request_for(model: LanguageModel, number: int, tokens: int) -> tuple[GenerationRequest, list[int]]:
    """A request whose prompt has about so many tokens, another one for each number, and its tokens."""
    write = ChatPromptWriter(model.takes_documents, model.takes_system, model.takes_excerpts)
    sources: list[Source] = []
    hints: list[Hint] = []
    while True:
        turned = number + len(sources)
        chosen = [_SENTENCES[(turned + place) % len(_SENTENCES)] for place in range(4)]
        sources.append(Source(str(turned), _TITLES[turned % len(_TITLES)], " ".join(chosen), "d.md"))
        hints += [Hint(len(sources), sentence, 2 * (sentence == _ANSWER)) for sentence in chosen]
        asked = f"how long does delivery of {number + 2} sofas take?"
        request = GenerationRequest(asked, tuple(sources), hints=tuple(hints))
        ids = model.encode(write(request, lambda prompt: True))
        if len(ids) >= tokens - 45:
            return request, ids


def reply(batch: Batch, prompt: Sequence[int], constraint: Any) -> Reply:
    """Run one reply."""
    job = Job(prompt, _REPLY_TOKENS, threading.Event(), time.monotonic() + 300, constraint)
    started = time.perf_counter()
    batch.submit(job)
    times = list(_arrivals(job))
    if not times:
        raise SystemExit("the model has nothing to say to these prompts")
    return Reply(times[0] - started, times[-1] - started, len(times))


def _arrivals(job: Job) -> Iterator[float]:
    """When each token came."""
    while isinstance(item := job.arrived.get(timeout=300), int):
        yield time.perf_counter()
    if isinstance(item, Exception):
        raise item


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p95 and the quickest, in milliseconds."""
    values = 1e3 * np.array(seconds)
    p50, p95 = np.quantile(values, [0.5, 0.95])
    return {"p50": round(float(p50), 1), "p95": round(float(p95), 1), "min": round(float(values.min()), 1)}


def measure(path: str, dtype: str, threads: int, constrained: bool, prompt_tokens: int) -> dict[str, Any]:
    """All figures of one model."""
    process = psutil.Process()
    before = process.memory_info().rss
    started = time.perf_counter()
    model = load_language_model(path, dtype=dtype)
    loaded = time.perf_counter() - started
    table = TokenTable.of(model.vocabulary, never=model.silent, size=model.width)
    batch = Batch(model, rows=_SESSIONS, waiting=_SESSIONS, threads=threads)
    prompts = [request_for(model, number, prompt_tokens) for number in range(_SESSIONS)]

    def one(number: int) -> Reply:
        request, ids = prompts[number % _SESSIONS]
        constraint = FactConstraint(table, ContextTrie.of(request)) if constrained else None
        return reply(batch, ids, constraint)

    try:
        one(0)
        alone_cpu = time.process_time()
        alone = [one(number) for number in range(_ALONE)]
        alone_cpu = time.process_time() - alone_cpu
        began, together_cpu = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(_SESSIONS) as sessions:
            runs = sessions.map(
                lambda number: [one(number + turn) for turn in range(_ROUNDS)], range(_SESSIONS)
            )
            together = [item for run in runs for item in run]
        seconds, together_cpu = time.perf_counter() - began, time.process_time() - together_cpu
    finally:
        batch.close()
    rates = [(item.tokens - 1) / (item.last_s - item.first_s) for item in alone if item.tokens > 1]
    return {
        "benchmark": "generation",
        "model": model.identity,
        "parameters": model.parameters,
        "threads": threads,
        "constrained": constrained,
        "prompt_tokens": round(float(np.mean([len(ids) for _, ids in prompts]))),
        "reply_tokens": round(float(np.mean([item.tokens for item in alone + together])), 1),
        "load_s": round(loaded, 2),
        "alone": {
            "first_token_ms": percentiles([item.first_s for item in alone]),
            "tokens_per_s": {"p50": round(float(np.median(rates)), 1), "max": round(max(rates), 1)},
            "cpu_ms_per_reply": round(1e3 * alone_cpu / len(alone), 1),
        },
        "sessions": {
            "n": _SESSIONS,
            "replies": len(together),
            "first_token_ms": percentiles([item.first_s for item in together]),
            "tokens_per_s": round(sum(item.tokens for item in together) / seconds, 1),
            "tokens_per_cpu_s": round(sum(item.tokens for item in together) / together_cpu, 1),
        },
        "rss_mib": round(process.memory_info().rss / 2**20),
        "rss_of_model_mib": round((process.memory_info().rss - before) / 2**20),
    }


def main() -> None:
    """Print one JSON line."""
    settings = load_settings()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", type=Path, default=settings.models / "composer", help="folder of the model"
    )
    parser.add_argument("--dtype", choices=["auto", "float32", "bfloat16"], default=settings.composer_dtype)
    parser.add_argument("--threads", type=int, default=settings.composer_threads)
    parser.add_argument("--unconstrained", action="store_true", help="without the constraint on facts")
    parser.add_argument(
        "--prompt-tokens", type=int, default=_PROMPT_TOKENS, help="about; excerpts take some 220"
    )
    options = parser.parse_args()
    line = measure(
        str(options.model), options.dtype, options.threads, not options.unconstrained, options.prompt_tokens
    )
    print(json.dumps({**line, "signature": signature()}), flush=True)


if __name__ == "__main__":
    main()
