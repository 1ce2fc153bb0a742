"""A causal language model from a folder: its weights, its chat template, and its forward passes over slots."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import jinja2
import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from assistant.backends.generation.four_bit import CONFIG, FourBitWeights
from assistant.backends.generation.llama_pass import LlamaPass
from assistant.backends.generation.slot_cache import SlotCache
from assistant.backends.weights import folder_digest, model_folder
from assistant.errors import BackendError, ConfigError
from assistant.protocols import GenerationRequest, Prompt
from assistant.records import Message, Source

_LOG = logging.getLogger(__name__)
_CITATION = re.compile(r"\s*\[\d{1,3}\]")
_BRACKETED = re.compile(r"\s*(?:<.+>|\[.+\])\s*", re.DOTALL)
_FULL_ATTENTION = frozenset({"full_attention", "sliding_attention"})
_USUAL_PROMPT = 400  # tokens
_LIKENESS = 0.98  # least cosine of the logits of a batched and a plain pass; below, it is more than rounding


class LanguageModel:
    """A model with its tokenizer. Reading prompts and taking steps is for one thread, the rest for any."""

    def __init__(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str,
        columns: int,
        four_bit: FourBitWeights | None = None,
    ) -> None:
        """Take a loaded model.

        Args:
            model: a transformers model with a language-modelling head, in evaluation mode.
            tokenizer: a fast tokenizer with a chat template.
            name: for messages and the identity.
            columns: most tokens of a prompt and its reply together; the model's own limit if that is smaller.
            four_bit: what of its weights has four bits on disk.

        Attributes:
            ends: ids that end a reply.
            parameters: how many numbers it has learned.
            width: length of the logits.
            takes_excerpts: it was trained on the sentences of its sources that bear on the question.

        Raises: ConfigError: the model or its tokenizer is of a kind that cannot be served.
        """
        self._model = model
        self._pass: LlamaPass | None = None
        self._four_bit = four_bit
        self.parameters = sum(part.numel() for part in model.parameters())
        self._tokenizer = tokenizer
        self.identity = name
        self.columns = min(columns, _own_limit(model.config, name))
        self.takes_excerpts = bool(getattr(model.config, "excerpts", False))
        self._dtype: torch.dtype = model.dtype
        self._low = torch.finfo(self._dtype).min
        if not tokenizer.is_fast or not getattr(tokenizer, "backend_tokenizer", None):
            raise ConfigError(f"composer {name}: its tokenizer has no tokenizer.json, which streaming needs")
        template = tokenizer.chat_template
        if not isinstance(template, str):
            raise ConfigError(f"composer {name}: it has no chat template; use a model made for conversations")
        self.takes_documents = re.search(r"\bdocuments\b", template) is not None
        self.ends = _end_tokens(model, tokenizer)
        self._reserved = _reserved(tokenizer)
        special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
        self._control = frozenset(
            number
            for number in special | set(tokenizer.all_special_ids)
            if not _CITATION.fullmatch(str(tokenizer.convert_ids_to_tokens(number)))
        )
        self.width = int(model.get_output_embeddings().weight.shape[0])
        hidden = (self._control - self.ends) | set(range(len(tokenizer), self.width))
        self._hidden = torch.tensor(
            sorted(number for number in hidden if number < self.width), dtype=torch.int64
        )
        self._system = not self.takes_documents and self._renders(Prompt((("system", "a"), ("user", "b"))))

    # --- text ----------------------------------------------------------------------------------------------

    @property
    def tokenizer(self) -> Any:
        """The Rust tokenizer, for decoding."""
        return self._tokenizer.backend_tokenizer

    @property
    def takes_system(self) -> bool:
        """Whether the chat template has a place for a system message."""
        return self._system

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The tokens by id, as the tokenizer's own files write them."""
        return tuple(
            str(token) for token in self._tokenizer.convert_ids_to_tokens([*range(len(self._tokenizer))])
        )

    @property
    def silent(self) -> frozenset[int]:
        """Ids of tokens that add nothing to a text."""
        return self._control | self.ends

    def disarm(self, request: GenerationRequest) -> GenerationRequest:
        """The request with every text such that no control token is read out of it."""
        sources = tuple(
            Source(source.id, self._disarm(source.title), self._disarm(source.text), source.document)
            for source in request.sources
        )
        history = tuple(Message(message.role, self._disarm(message.text)) for message in request.history)
        hints = tuple(replace(hint, text=self._disarm(hint.text)) for hint in request.hints)
        return replace(
            request, question=self._disarm(request.question), sources=sources, history=history, hints=hints
        )

    def encode(self, prompt: Prompt) -> list[int]:
        """Token ids of a prompt, up to where the reply begins.

        Raises: BackendError: the template refuses it, or its contents contain control tokens.
        """
        ids = self._ids(prompt)
        bare = Prompt(
            tuple((role, "a") for role, _ in prompt.messages), tuple(("a", "a") for _ in prompt.documents)
        )
        if self._controls(ids) != self._controls(self._ids(bare)):
            raise BackendError("the prompt's contents contain control tokens of the model")
        return ids

    def _disarm(self, text: str) -> str:
        """Break control tokens that are written out in a text, by a space behind their first character."""
        for token in self._reserved:
            while token in text:
                text = text.replace(token, f"{token[0]} {token[1:]}" if len(token) > 1 else "")
        return text

    def _controls(self, ids: Sequence[int]) -> int:
        return sum(number in self._control for number in ids)

    def _ids(self, prompt: Prompt) -> list[int]:
        ids = self.tokenizer.encode(self._render(prompt), add_special_tokens=False).ids
        return cast(list[int], ids)

    def _render(self, prompt: Prompt) -> str:
        messages = [{"role": role, "content": text} for role, text in prompt.messages]
        documents = [{"title": title, "text": text} for title, text in prompt.documents]
        try:
            rendered = self._tokenizer.apply_chat_template(
                messages,
                documents=documents if self.takes_documents else None,
                add_generation_prompt=True,
                tokenize=False,
            )
        except (jinja2.TemplateError, ValueError, TypeError) as error:
            raise BackendError(f"the composer's chat template refuses the conversation: {error}") from error
        return cast(str, rendered)

    def _renders(self, prompt: Prompt) -> bool:
        try:
            self._render(prompt)
        except BackendError:
            return False
        return True

    # --- forward passes ------------------------------------------------------------------------------------

    def slots(self, rows: int) -> SlotCache:
        """Memory for so many replies at a time."""
        config = self._model.config.get_text_config()
        return SlotCache(config.num_hidden_layers, rows, self.columns)

    @torch.inference_mode()
    def read(self, cache: SlotCache, row: int, ids: Sequence[int]) -> Tensor:
        """Read a prompt into an empty row. Returns: float32, shape (vocabulary,): what may come next."""
        cache.clear(row)
        cache.begin_prompt(row)
        count = len(ids)
        place = torch.arange(count)
        mask = torch.where(place[None, :] <= place[:, None], 0.0, self._low).to(self._dtype)[None, None]
        logits = self._forward(cache, torch.tensor([list(ids)]), mask, place[None], 1)
        cache.grew([row], count)
        return logits[0, 0]

    @torch.inference_mode()
    def step(self, cache: SlotCache, tokens: Sequence[Sequence[int]]) -> Tensor:
        """Read tokens behind what each of the first rows holds. They are kept as far as `cache.grew` is told.

        Args:
            cache: of which rows hold something.
            tokens: of each row, at least one.

        Returns: float32, shape (len(tokens), most tokens of a row, vocabulary): what may come behind each.
        """
        count = max(len(row) for row in tokens)
        places = cache.begin_step(len(tokens), count)
        columns = torch.arange(int(places.max()) + 1)
        seen = columns <= places[:, :, None]
        mask = torch.where(seen, 0.0, self._low).to(self._dtype)[:, None]
        ids = torch.tensor([[*row, *[0] * (count - len(row))] for row in tokens])
        return self._forward(cache, ids, mask, places, count)

    def _forward(self, cache: SlotCache, ids: Tensor, mask: Tensor, places: Tensor, wanted: int) -> Tensor:
        """Logits behind the last `wanted` tokens of each row."""
        if self._pass:
            logits = self._pass(cache, ids, mask, places, wanted).float()
        else:
            output = self._model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=places,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=wanted,
            )
            logits = output.logits.float()
        logits[..., self._hidden] = -torch.inf
        return logits

    def warm_up(self) -> None:
        """Read a prompt of usual length and take a step, so that the first customer does not wait. Blocking."""
        cache = self.slots(1)
        usual = min(_USUAL_PROMPT, self.columns - 1)
        self.read(cache, 0, [number % len(self._tokenizer) for number in range(usual)])
        self.step(cache, [[0]])

    def prepare(self) -> None:
        """Take the quickest passes there are, and see that batched ones give what a plain one gives. Blocking.

        Raises: ConfigError: they do not; the architecture keeps other things than keys and values by position.
        """
        usable = [number for number in range(len(self._tokenizer)) if number not in self._control][:4000]
        long, short = usable[5:400:11][: self.columns // 2], usable[7:100:13]
        cache = self.slots(2)
        try:
            plain = torch.stack([self._plain(ids) for ids in (long, short)])
            if LlamaPass.fits(self._model):
                self._pass = LlamaPass(self._model, self._four_bit)
            for row, ids in enumerate((long, short)):
                self.read(cache, row, ids[:-2])
            batched = self.step(cache, [long[-2:], short[-2:]])[:, -1]
        except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise ConfigError(
                f"composer {self.identity}: its architecture cannot be served: {error}"
            ) from error
        likeness = torch.cosine_similarity(_finite(batched), _finite(plain), dim=-1).min().item()
        if not likeness > _LIKENESS:
            raise ConfigError(
                f"composer {self.identity}: several replies at once differ from one alone (likeness {likeness:.3f}); "
                "this architecture cannot be served here, use an OpenAI-compatible server (setting composer_url)"
            )

    @torch.inference_mode()
    def _plain(self, ids: Sequence[int]) -> Tensor:
        """Logits behind the ids without any cache, by the model's own masking."""
        output = self._model(input_ids=torch.tensor([list(ids)]), use_cache=False)
        logits: Tensor = output.logits[0, -1].float()
        logits[self._hidden] = -torch.inf
        return logits


def load_language_model(name: str, *, dtype: str = "auto", columns: int = 2048) -> LanguageModel:
    """Load a causal language model with a chat template, by folder or by the name of a cached one. Blocking.

    Args:
        name: folder, or hub name of a model that is in the cache; nothing is downloaded.
        dtype: "float32", "bfloat16", or "auto": bfloat16 where the processor computes with it.
        columns: most tokens of a prompt and its reply together.

    Raises: ConfigError: not there, no safetensors, code of its own, or of a kind that cannot be served.
    """
    folder = model_folder(name)
    number_format = _choose_dtype(dtype)
    disable_progress_bar()  # type: ignore[no-untyped-call]  # loading takes a moment, and stderr is the server's log
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        four_bit = _four_bit(config, Path(folder))
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=number_format,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise ConfigError(f"composer {name} cannot be loaded: {error}") from error
    label = f"{Path(folder).name}/{str(number_format).removeprefix('torch.')}/{folder_digest(folder)}"
    served = LanguageModel(
        model.requires_grad_(False), tokenizer, name=label, columns=columns, four_bit=four_bit
    )
    served.prepare()
    served.warm_up()
    _LOG.info("composer %s, %d tokens at most", label, served.columns)
    return served


def _four_bit(config: Any, folder: Path) -> FourBitWeights | None:
    """The weights of a compressed model, which is to be loaded with plain ones; None if it is not compressed."""
    quantization: dict[str, Any] = getattr(config, "quantization_config", None) or {}
    if quantization.get("quant_method") != CONFIG["quant_method"]:
        return None
    config.quantization_config = {**quantization, "dequantize": True}
    ours = all(quantization.get(name) == CONFIG[name] for name in ("format", "config_groups"))
    whole = (folder / "model.safetensors").is_file()  # one in several files runs with plain weights
    return FourBitWeights(folder) if ours and whole else None


def _choose_dtype(wanted: str) -> torch.dtype:
    if wanted == "auto":
        able = torch.cpu.get_capabilities()
        wanted = "bfloat16" if able.get("amx_bf16") or able.get("avx512_bf16") else "float32"
    return torch.bfloat16 if wanted == "bfloat16" else torch.float32


def _own_limit(config: Any, name: str) -> int:
    """The most tokens a model takes; a sliding window counts, so that no token falls out of it.

    Raises: ConfigError: it has layers that are no attention.
    """
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ())
    if kinds - _FULL_ATTENTION:
        raise ConfigError(f"composer {name}: layers of kind {', '.join(sorted(kinds))} cannot be served here")
    limits = [getattr(text, "max_position_embeddings", None)]
    if "sliding_attention" in kinds or (not kinds and getattr(text, "use_sliding_window", True)):
        limits.append(getattr(text, "sliding_window", None))
    known = [limit for limit in limits if isinstance(limit, int) and limit > 0]
    return min(known, default=2**31)


def _end_tokens(model: Any, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    given = getattr(model.generation_config, "eos_token_id", None)
    ends = set(given) if isinstance(given, list | tuple) else {given}
    return frozenset(int(number) for number in ends | {tokenizer.eos_token_id} if number is not None)


def _reserved(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """Texts that the tokenizer reads as one of its marks, without the space some begin with, longest first."""
    added = tokenizer.added_tokens_decoder.values()
    marks = {str(token).strip() for token in added if token.special or _BRACKETED.fullmatch(str(token))}
    marks |= {token.strip() for token in tokenizer.all_special_tokens}
    return tuple(sorted((mark for mark in marks if mark), key=lambda mark: (-len(mark), mark)))


def _finite(logits: Tensor) -> Tensor:
    return logits.masked_fill(~torch.isfinite(logits), 0.0)
