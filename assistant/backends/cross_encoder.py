"""Any sentence-transformers CrossEncoder as a reranker."""

from __future__ import annotations

import os
from collections.abc import Sequence

from assistant.backends.weights import folder_digest, model_folder
from assistant.errors import BackendError, ConfigError
from assistant.protocols import PassageScore
from assistant.records import Message, Role

_BATCH = 16
# A customer's words before the last ones say more about a follow-up than the replies do, and take less room.
_EARLIER_UTTERANCES = 2


class CrossEncoderReranker:
    """A `Reranker` over a CrossEncoder with one output.

    Such models read one question and one text: earlier utterances of the customer are put before the
    question, the passage's title before its text. Their logit is taken as it is, so 0 means what the model's
    training made it mean; the calibration at ingest does the rest.
    """

    def __init__(self, model: str, threads: int = 1) -> None:
        """Load a model from this machine.

        Raises: ConfigError: the model is missing, unsafe, unreadable, or has more than one output.
        """
        folder = model_folder(model)
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        import torch
        from sentence_transformers import CrossEncoder
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        torch.set_num_threads(threads)
        try:
            self._model = CrossEncoder(
                str(folder),
                device="cpu",
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            raise ConfigError(f"{folder} cannot be loaded as a CrossEncoder: {error}") from error
        if self._model.num_labels != 1:
            raise ConfigError(f"reranker {model} has {self._model.num_labels} outputs, expected 1")
        self._logits = torch.nn.Identity()
        self._identity = f"{folder.name}/torch-float32/{folder_digest(folder)}"

    @property
    def identity(self) -> str:
        """Name, number format and weights hash."""
        return self._identity

    def score(
        self, question: str, history: Sequence[Message], passages: Sequence[tuple[str, Sequence[str]]]
    ) -> list[PassageScore]:
        """See `Reranker.score`; sentences are not scored."""
        if not passages:
            return []
        earlier = [message.text for message in history if message.role is Role.CUSTOMER][
            -_EARLIER_UTTERANCES:
        ]
        asked = " ".join([*earlier, question])
        pairs = [(asked, f"{title}. {' '.join(sentences)}") for title, sentences in passages]
        try:
            logits = self._model.predict(
                pairs,
                batch_size=_BATCH,
                activation_fn=self._logits,
                show_progress_bar=False,
                convert_to_numpy=True,
            )
        except RuntimeError as error:
            raise BackendError(
                f"reranker {self._identity} failed on {len(pairs)} passages: {error}"
            ) from error
        return [PassageScore(float(logit)) for logit in logits.reshape(len(passages))]
