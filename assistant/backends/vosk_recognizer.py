"""Speech recognition with Vosk: any model folder it can load, shared by all utterances."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import BackendError, ConfigError
from assistant.records import HeardWord

if TYPE_CHECKING:
    import vosk

RATE_HZ = 16_000
_SECOND_BYTES = 2 * RATE_HZ
_PIECE_BYTES = _SECOND_BYTES // 2  # what one call takes; a longer one would hold up the partial results
_ACOUSTIC_MODELS = ("am/final.mdl", "final.mdl")
_WORD_LISTS = ("graph/words.txt", "words.txt")
_LOADING = threading.Lock()  # Vosk's log level belongs to the process


class VoskRecognizer:
    """A Vosk model in memory. Safe from several threads; each utterance is one `VoskRecognition`.

    Raises: ConfigError: the folder holds no model. BackendError: Vosk cannot load it.
    """

    def __init__(self, folder: Path) -> None:
        if not any((folder / name).is_file() for name in _ACOUSTIC_MODELS):
            raise ConfigError(
                f"voice.models: {folder} holds no Vosk model (no {_ACOUSTIC_MODELS[0]}); give a model's own folder"
            )
        import vosk

        with _LOADING:
            vosk.SetLogLevel(-1)  # it writes to stderr by itself
            try:
                self._model = vosk.Model(str(folder))
            except Exception as error:  # its only kind
                raise BackendError(f"the speech model in {folder} cannot be loaded; it is damaged") from error
        self._folder = folder

    @property
    def identity(self) -> str:
        """Name of the model's folder."""
        return self._folder.name

    def vocabulary(self) -> frozenset[str]:
        """The words it can hear; empty if the model does not list them. Reads a file."""
        for name in _WORD_LISTS:
            file = self._folder / name
            if file.is_file():
                lines = file.read_text(encoding="utf-8").splitlines()
                words = (line.split(" ", 1)[0] for line in lines)
                return frozenset(word for word in words if word[:1] not in {"<", "[", "#", "!", ""})
        return frozenset()

    def start(self) -> VoskRecognition:
        """Begin an utterance."""
        return VoskRecognition(self._model)

    def alternatives(self, samples: bytes, count: int) -> tuple[str, ...]:
        """What an utterance may have been, likeliest first; recognises it anew.

        Blocking, about as long as the recognition took altogether.
        """
        recognizer = _recognizer(self._model)
        recognizer.SetMaxAlternatives(count)
        texts = [
            _texts(recognizer.Result()) for piece in _pieces(samples) if recognizer.AcceptWaveform(piece)
        ]
        texts.append(_texts(recognizer.FinalResult()))
        parts = [part for part in texts if part]
        longest = max((len(part) for part in parts), default=0)
        joined = (" ".join(part[min(rank, len(part) - 1)] for part in parts) for rank in range(longest))
        return tuple(dict.fromkeys(text for text in joined if text))


class VoskRecognition:
    """One utterance being recognised; used from one thread at a time."""

    def __init__(self, model: vosk.Model) -> None:
        self._recognizer = _recognizer(model)
        self._recognizer.SetWords(True)
        self._words: list[HeardWord] = []

    def accept(self, samples: bytes) -> str:
        """Take 16 kHz mono 16-bit PCM; returns all that has been heard so far. Blocking.

        Raises: BackendError: the samples cannot be processed.
        """
        for piece in _pieces(samples):
            try:
                ended = self._recognizer.AcceptWaveform(piece)
            except Exception as error:  # its only kind
                raise BackendError("the speech model cannot process these samples") from error
            if ended:
                self._words += _words(self._recognizer.Result())
        partial = json.loads(self._recognizer.PartialResult()).get("partial", "")
        return " ".join([*(word.text for word in self._words), *_known(partial.split())])

    def finish(self) -> tuple[HeardWord, ...]:
        """All words of the utterance; to be called once. Blocking, tens of milliseconds."""
        self._words += _words(self._recognizer.FinalResult())
        return tuple(self._words)


def _recognizer(model: vosk.Model) -> vosk.KaldiRecognizer:
    import vosk

    return vosk.KaldiRecognizer(model, RATE_HZ)


def _pieces(samples: bytes) -> Iterator[bytes]:
    for at in range(0, len(samples), _PIECE_BYTES):
        yield samples[at : at + _PIECE_BYTES]


def _words(result: str) -> list[HeardWord]:
    found: list[dict[str, Any]] = json.loads(result).get("result", [])
    return [
        HeardWord(word["word"], float(word["start"]), float(word["end"]), float(word["conf"]))
        for word in found
        if not word["word"].startswith("[")
    ]


def _texts(result: str) -> list[str]:
    alternatives = json.loads(result).get("alternatives", [])
    texts = (" ".join(_known(one.get("text", "").split())) for one in alternatives)
    return [text for text in texts if text]


def _known(words: list[str]) -> list[str]:
    """Without marks for noise and for words outside the vocabulary."""
    return [word for word in words if not word.startswith("[")]
