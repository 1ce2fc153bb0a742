"""Joins the parts that write replies: settings in, a ready generator out."""

from __future__ import annotations

from collections.abc import Callable

from assistant.composition.extractive import ExtractiveGenerator
from assistant.composition.prompt import ChatPromptWriter
from assistant.config import Settings
from assistant.errors import ConfigError
from assistant.protocols import GenerationRequest, Generator, TokenConstraint

_BUILTIN = "builtin"
_PROMPT_CHARS_PER_TOKEN = 3  # of English text, cautiously: how much of it a server's context holds


class Composer:
    """The generator of the settings, with what must be closed behind it.

    Attributes:
        generator: writes replies; in the composed mode it falls back on the passages' own sentences.
        identity: what writes, for the start log; it names no credential.
    """

    def __init__(self, settings: Settings) -> None:
        """Load the model, or prepare the client of a server. Blocking, seconds.

        Raises: ConfigError: the model is missing or cannot be served, or the server's address is none.
        """
        quotes = ExtractiveGenerator()
        self._close: Callable[[], None] = _nothing
        self.generator: Generator = quotes
        self.identity = "the passages' own sentences"
        if settings.mode == "composed":
            held = bool(settings.composer_url)  # no constraint kept that server's words to the facts
            first = self._server(settings) if held else self._model(settings)
            self.generator = _made_safe(first, quotes, hold=held)

    def close(self) -> None:
        """End threads and connections. May be called twice."""
        self._close()

    def _server(self, settings: Settings) -> Generator:
        from assistant.backends.generation.openai_server import OpenAiGenerator

        generator = OpenAiGenerator(
            settings.composer_url,
            ChatPromptWriter(documents=False),
            model=settings.composer_model,
            credential=settings.composer_credential,
            tokens=settings.composer_reply_tokens,
            prompt_chars=_PROMPT_CHARS_PER_TOKEN
            * (settings.composer_context_tokens - settings.composer_reply_tokens),
            seconds=settings.composer_deadline_s,
            temperature=settings.composer_temperature,
        )
        self._close = generator.close
        self.identity = f"{settings.composer_model or 'the first model'} of an OpenAI-compatible server"
        return generator

    def _model(self, settings: Settings) -> Generator:
        from assistant.backends.generation.language_model import load_language_model
        from assistant.backends.generation.transformers_generator import Limits, TransformersGenerator
        from assistant.composition.grounding.constraint import ContextTrie, FactConstraint
        from assistant.composition.grounding.tokens import TokenTable

        folder = settings.models / "composer"
        builtin = settings.composer == _BUILTIN
        if builtin and not (folder / "config.json").is_file():
            raise ConfigError(
                f"mode is composed, but there is no composer in {folder}; make it with `make train-composer`, or set "
                "composer to the folder of a language model, or composer_url to a server (docs/generation.md)"
            )
        model = load_language_model(
            str(folder) if builtin else settings.composer,
            dtype=settings.composer_dtype,
            columns=settings.composer_context_tokens,
        )
        table = TokenTable.of(
            model.vocabulary, ends=model.ends, never=model.silent - model.ends, size=model.width
        )

        def constrain(request: GenerationRequest) -> TokenConstraint:
            return FactConstraint(table, ContextTrie.of(request))

        generator = TransformersGenerator(
            model,
            ChatPromptWriter(model.takes_documents, model.takes_system, model.takes_excerpts),
            constrain=constrain,
            limits=Limits(
                settings.composer_reply_tokens, settings.composer_deadline_s, settings.composer_patience_s
            ),
            rows=settings.composer_replies,
            waiting=settings.composer_waiting,
            threads=settings.composer_threads,
            temperature=settings.composer_temperature,
        )
        self._close = generator.close
        self.identity = model.identity
        return generator


def _nothing() -> None:
    """What there is to close where nothing was opened."""


def _made_safe(first: Generator, spare: Generator, *, hold: bool) -> Generator:
    """The first generator, checked, with the spare one behind it."""
    from assistant.backends.generation.checked import CheckedGenerator
    from assistant.backends.generation.fallback import FallbackGenerator
    from assistant.composition.grounding.stream import GroundedText

    checked = CheckedGenerator(first, lambda request: GroundedText.of(request, hold=hold))
    return FallbackGenerator(checked, spare)
