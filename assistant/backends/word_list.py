"""Common words of a language, by which a mistyped word is told from a rare one."""

from __future__ import annotations

import functools
import json

from assistant.backends.weights import builtin_folder


@functools.cache
def common_words(language: str) -> tuple[str, ...]:
    """Words in lower case, roughly the most frequent first; none for a language without a list.

    English: the whole words in the vocabulary of MiniLM (that of BERT, ordered by frequency).
    Raises: ConfigError: the package that brings it is missing.
    """
    if language.partition("-")[0] != "en":
        return ()
    tokenizer = json.loads((builtin_folder() / "tokenizer.json").read_text(encoding="utf-8"))
    pieces = tokenizer["model"]["vocab"]
    return tuple(piece for piece in pieces if len(piece) > 1 and piece.isascii() and piece.isalpha())
