"""What the server counts, for Prometheus; one registry per server, so several can run in one process."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.02, 0.04, 0.07, 0.1, 0.2, 0.35, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)


class Metrics:
    """Counters, gauges and histograms of one server; names start with `assistant_`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.turns = Counter(
            "assistant_turns", "Turns ended.", ["status", "decision"], registry=self.registry
        )
        self.first_delta_seconds = Histogram(
            "assistant_first_delta_seconds",
            "From a message's arrival to the first delta.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.turn_seconds = Histogram(
            "assistant_turn_seconds",
            "From a message's arrival to turn.done.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.messages = Counter(
            "assistant_messages", "Messages from clients.", ["type"], registry=self.registry
        )
        self.errors = Counter("assistant_errors", "Errors sent.", ["code"], registry=self.registry)
        self.refused = Counter(
            "assistant_refused_connections", "Connections refused.", ["reason"], registry=self.registry
        )
        self.speech_seconds = Histogram(
            "assistant_speech_seconds",
            "Length of the utterances in speech that were recognised.",
            buckets=(1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0),
            registry=self.registry,
        )
        self.feedback = Counter(
            "assistant_feedback", "Opinions on replies.", ["value"], registry=self.registry
        )

    def watch(self, name: str, help_text: str, value: Callable[[], float]) -> None:
        """Add a gauge that is read when the metrics are."""
        Gauge(name, help_text, registry=self.registry).set_function(value)

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)
