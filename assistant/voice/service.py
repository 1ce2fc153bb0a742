"""Speech recognition for a server: the models by language, the threads they run on, and how many may speak."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from assistant.protocols import Recognizer
from assistant.records import Knowledge
from assistant.voice.correction import Corrector, Plain, build_corrector
from assistant.voice.decoder_pool import DecoderPool, DecodingLimits
from assistant.voice.endpointing import TurnDetection
from assistant.voice.errors import AudioError, AudioProblem
from assistant.voice.listening import Listening
from assistant.voice.utterance import LEEWAY_S, AudioForm, AudioLimits, Utterance, UtteranceEvent

AUDIO_LIMITS = AudioLimits(seconds=60.0, size_bytes=12_000_000)  # 60 s of 48 kHz stereo samples fit
_DECODERS = 16  # processes for compressed audio at the same time; further speakers wait for one


@dataclass(frozen=True, slots=True)
class VoiceRules:
    """The settings that speech needs.

    Attributes:
        threads: recognisers that run at the same time.
        speakers: utterances at the same time.
        detection: when an utterance ends by itself, unless the client says otherwise; None: not by itself.
        sure: confidence below which the customer is asked what was meant.
    """

    threads: int
    speakers: int
    detection: TurnDetection | None
    sure: float


class Voice:
    """Takes utterances in speech. The methods belong to one event loop, except `corrector`."""

    def __init__(self, recognizers: Mapping[str, Recognizer], rules: VoiceRules) -> None:
        self.rules = rules
        self._recognizers = recognizers
        self._executor = ThreadPoolExecutor(rules.threads, thread_name_prefix="speech")
        limits = DecodingLimits(AUDIO_LIMITS.size_bytes, AUDIO_LIMITS.seconds + 2 * LEEWAY_S)
        self._decoders = DecoderPool(_DECODERS, limits)
        self._open: set[Utterance] = set()
        self._correctors: dict[str, tuple[Knowledge, Corrector | Plain]] = {}
        self._correcting = threading.Lock()

    @property
    def languages(self) -> frozenset[str]:
        """Languages that are understood."""
        return frozenset(self._recognizers)

    def hears(self, *languages: str) -> str:
        """The first of these languages that is understood, or ""."""
        return next((language for language in languages if language in self._recognizers), "")

    @property
    def identities(self) -> Mapping[str, str]:
        """Name of the model for each language."""
        return {language: recognizer.identity for language, recognizer in self._recognizers.items()}

    @property
    def speakers(self) -> int:
        """Utterances that are open now."""
        return len(self._open)

    def begin(
        self,
        form: AudioForm,
        language: str,
        knowledge: Knowledge,
        told: Callable[[UtteranceEvent], None],
        *,
        detection: TurnDetection | None,
    ) -> Utterance:
        """Begin an utterance.

        Args:
            form: what the client says about its audio.
            language: one of `languages`.
            knowledge: the shop's, whose words are put right.
            told: called with each event.
            detection: when the utterance ends by itself.

        Raises: AudioError: too many speak at the same time.
        """
        if len(self._open) >= self.rules.speakers:
            raise AudioError(
                AudioProblem.BUSY, "too many customers speak at the same time; try again in some seconds"
            )
        recognizer = self._recognizers[language]

        def listen(rate_hz: int, channels: int) -> Listening:
            return Listening(
                recognizer,
                rate_hz,
                channels,
                detection=detection,
                language=language,
                correct=self.corrector(language, knowledge).correct,
                sure=self.rules.sure,
            )

        utterance = Utterance(form, AUDIO_LIMITS, listen, self._decoders, self._executor, told)
        self._open.add(utterance)
        utterance.when_closed(self._open.discard)
        return utterance

    def corrector(self, language: str, knowledge: Knowledge) -> Corrector | Plain:
        """What puts the words of a shop right. Blocking, a second for new knowledge. Safe from several threads."""
        with self._correcting:
            known, corrector = self._correctors.get(language, (None, None))
            if known is not knowledge or corrector is None:
                corrector = build_corrector(knowledge, self._recognizers[language].vocabulary(), language)
                self._correctors[language] = (knowledge, corrector)
            return corrector

    def learn(self, knowledge: Knowledge) -> None:
        """Learn a shop's words before the first customer speaks. Blocking."""
        for language in self._recognizers:
            self.corrector(language, knowledge)

    async def close(self) -> None:
        """Drop what is being said and end threads and processes. May be called twice."""
        for utterance in tuple(self._open):
            utterance.abort()
            await utterance.closed()
        await self._decoders.close()
        self._executor.shutdown(wait=True, cancel_futures=True)
