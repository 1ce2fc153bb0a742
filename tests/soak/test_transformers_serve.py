"""The OpenAI-compatible back-end against `transformers serve`, which takes a minute to start."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from assistant.backends.generation.openai_server import OpenAiGenerator
from assistant.composition.prompt import ChatPromptWriter
from assistant.protocols import GenerationReport
from tests.backends.generation.conftest import REQUEST, save_model


def free_port() -> int:
    """A port that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    """Whether a server is up."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=1):
            return True
    except OSError:
        return False


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("fastapi", "uvicorn", "openai")),
    reason="the serving extra of transformers is not installed",
)
def test_server_of_transformers_streams_replies(tmp_path: Path) -> None:
    """`transformers serve` with a tiny model: pieces, a report, and a cancel half-way."""
    port = free_port()
    root = f"http://127.0.0.1:{port}"
    model = str(save_model("llama", tmp_path / "model"))
    command = "from transformers.cli.transformers import main; main()"
    log = (tmp_path / "serve.log").open("w")
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            command,
            "serve",
            model,
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--device",
            "cpu",
        ],
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )
    try:
        patience = time.monotonic() + 300
        while not answers(root):
            assert process.poll() is None, (tmp_path / "serve.log").read_text()
            assert time.monotonic() < patience, "transformers serve does not come up"
        generator = OpenAiGenerator(
            f"{root}/v1", ChatPromptWriter(documents=False), model=model, tokens=12, seconds=60.0
        )
        *pieces, report = generator.generate(REQUEST, threading.Event())
        assert "".join(piece for piece in pieces if isinstance(piece, str))
        assert isinstance(report, GenerationReport)
        assert report.generated
        stop = threading.Event()
        reply = generator.generate(REQUEST, stop)
        next(reply)
        stop.set()
        *_, last = reply
        assert isinstance(last, GenerationReport)
        assert last.detail["finish"] == "stopped"
        generator.close()
    finally:
        process.terminate()
        process.wait(20)
        log.close()
