"""Settings: command-line flag over `ASSISTANT_` environment variable over TOML file over default; read once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from assistant.errors import ConfigError

DEFAULT_FILE = Path("assistant.toml")


class TurnDetectionSettings(BaseModel):
    """When an utterance in speech ends by itself; named as the OpenAI Realtime API names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["server_vad", "none"] = Field(
        "server_vad",
        description='"server_vad": an utterance ends when the customer has finished; "none": only with `audio.end`. '
        "A client may say otherwise for each utterance.",
    )
    threshold: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Probability from which sound counts as speech; higher in loud surroundings.",
    )
    prefix_padding_ms: int = Field(
        300, ge=0, le=5000, description="How much before the first speech is listened to."
    )
    silence_duration_ms: int = Field(
        500,
        ge=100,
        le=10_000,
        description="Silence that ends an utterance; twice as much after a word that asks for another one.",
    )


class VoiceSettings(BaseModel):
    """Speech recognition."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: dict[str, Path] | None = Field(
        None,
        description='Folder of a Vosk model for each language, such as `{en = "/models/vosk-model-en-us-0.22"}`; '
        "by default `vosk-en` in the folder `models`, if it is there. Without a model speech is switched off.",
    )
    threads: int = Field(2, ge=1, le=64, description="Utterances that are recognised at the same moment.")
    speakers: int = Field(
        64, ge=1, le=10_000, description="Utterances that may be open; more are answered with `audio_busy`."
    )
    sure: float = Field(
        0.7,
        ge=0,
        le=1,
        description="Mean confidence of the words below which the customer is asked what was meant; 0 never asks.",
    )
    turn_detection: TurnDetectionSettings = TurnDetectionSettings.model_validate({})


class Settings(BaseSettings):
    """Every setting, with its unit in its name. docs/settings.md lists them; a test compares."""

    model_config = SettingsConfigDict(
        env_prefix="ASSISTANT_", env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    # folders
    data: Path = Field(
        Path("data"), description="Folder for snapshots, sessions and caches; created if missing."
    )
    knowledge: Path = Field(
        Path("knowledge"), description="Folder ingested by `make serve` on the first start."
    )
    models: Path = Field(
        Path(__file__).resolve().parent.parent / "models",
        description="Folder of the models that come with the project.",
    )

    # models
    encoder: str = Field(
        "builtin",
        description='Sentence encoder: "builtin", or any sentence-transformers model by path or name.',
    )
    encoder_backend: Literal["auto", "onnx-int8", "torch-float32", "torch-bfloat16"] = Field(
        "auto",
        description="Number format of the encoder; auto measures once per machine and keeps the fastest.",
    )
    reranker: str = Field(
        "builtin", description='"builtin", "none", or a sentence-transformers CrossEncoder by path.'
    )
    model_threads: int = Field(1, ge=1, le=64, description="Threads inside one model call.")
    model_workers: int = Field(2, ge=1, le=64, description="Model calls that may run at the same time.")

    # replies
    mode: Literal["approved", "composed"] = Field(
        "approved",
        description='"composed": a language model writes replies from the passages; "approved": replies are made '
        "of the passages' own sentences, no text is generated.",
    )
    composer: str = Field(
        "builtin",
        description='Language model of the composed mode: "builtin", or any causal language model with a chat '
        "template, by path or name.",
    )
    composer_dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Number format of the composer; auto takes bfloat16 where the processor computes with it.",
    )
    composer_threads: int = Field(1, ge=1, le=64, description="Threads inside one step of the composer.")
    composer_replies: int = Field(16, ge=1, le=256, description="Replies that the composer writes at a time.")
    composer_waiting: int = Field(
        32, ge=0, description="Replies that may wait for the composer; more fall back to the approved mode."
    )
    composer_context_tokens: int = Field(
        2048, ge=256, description="Longest prompt and reply together; a model's own limit if that is smaller."
    )
    composer_reply_tokens: int = Field(
        128, ge=16, le=1024, description="Length at which a reply ends with its sentence."
    )
    composer_deadline_s: float = Field(
        8.0,
        gt=0,
        description="A reply that takes longer ends with its sentence; one that has not begun falls back to the "
        "approved mode.",
    )
    composer_patience_s: float = Field(
        0.4,
        gt=0,
        description="A reply that waits longer for others to be written falls back to the approved mode.",
    )
    composer_temperature: float = Field(
        0.0, ge=0, le=2, description="0 always takes the likeliest word; above, replies vary."
    )
    composer_passages: int = Field(
        3, ge=1, le=6, description="Passages that the composer reads for a reply, the likeliest first."
    )
    composer_url: str = Field(
        "",
        description="OpenAI-compatible server that writes the replies instead, such as "
        "`http://127.0.0.1:8000/v1`; empty uses the model in `composer`.",
    )
    composer_model: str = Field(
        "", description="Model to ask that server for; empty takes the first one it lists."
    )
    composer_credential: str = Field("", description="Bearer token for that server.")

    # speech
    voice: VoiceSettings = VoiceSettings.model_validate({})

    # decision
    accepted_wrong_answers: float | None = Field(
        None,
        ge=0.0,
        le=1.0,
        description="Wrong answers accepted (0.05 = one in twenty); default from shop.toml.",
    )
    turn_deadline_s: float = Field(
        20.0, gt=0, description="A turn that takes longer fails with code `timeout`."
    )

    # skills
    orders_url: str = Field(
        "",
        description="Where the shop's order system begins (docs/orders-api.yaml), such as "
        "`https://shop.example/assistant-api`; empty uses the demonstration back-office.",
    )
    orders_credential: str = Field("", description="Bearer token for the order system.")
    orders_timeout_s: float = Field(
        1.4,
        gt=0,
        le=10,
        description="Seconds one request to the order system may take; a reply makes at most two.",
    )
    shop_hosts: tuple[str, ...] = Field(
        (), description="The shop's own host names; links to them in scanned codes name products."
    )
    mqtt_url: str = Field(
        "",
        description="MQTT broker of the devices, such as `mqtts://broker.example`; empty switches devices off.",
    )
    mqtt_credential: str = Field("", description="`user:password` for the MQTT broker.")
    device_timeout_s: float = Field(
        2.0, gt=0, le=10, description="Seconds that devices have to confirm a command."
    )

    # server
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8765, ge=0, le=65535, description="Port; 0 takes a free one.")
    origins: tuple[str, ...] = Field(
        (),
        description="Web origins allowed to connect besides the server's own page; `*` allows all. "
        "Clients that send no Origin (mini-programs) are allowed.",
    )
    credential: str = Field("", description="If set, `hello` must carry it.")
    customer_key: str = Field(
        "",
        description="Key shared with the shop's server, which signs with it who is signed in "
        "(docs/protocol.md); at least 32 characters, empty refuses every customer token.",
    )
    operator_credential: str = Field(
        "",
        description="Opens the metrics from elsewhere; empty keeps them closed. Agents have their own "
        "credentials: `assistant team add`.",
    )
    console_hours: float = Field(
        12.0, gt=0, description="A sign-in to the operator's page ends after so many hours."
    )
    handover_grace_s: float = Field(
        60.0,
        ge=0,
        description="Seconds an agent has to come back before a conversation returns to the queue.",
    )
    max_connections: int = Field(1000, ge=1, description="Open connections.")
    max_connections_per_address: int = Field(400, ge=1, description="Open connections from one address.")
    max_sessions: int = Field(20000, ge=1, description="Sessions kept in memory.")
    max_message_bytes: int = Field(65536, ge=1024, description="Largest message from a client.")
    max_text_chars: int = Field(2000, ge=1, description="Longest customer text, in characters.")
    max_photo_bytes: int = Field(
        1_000_000, ge=1024, le=8_000_000, description="Largest photo of a code, before base64."
    )
    max_messages_per_minute: int = Field(120, ge=1, description="Messages of one connection.")
    max_queued_turns: int = Field(
        4, ge=0, description="Utterances waiting behind the running turn of a session."
    )
    session_minutes: float = Field(30.0, gt=0, description="A session without connection is kept this long.")
    heartbeat_s: float = Field(25.0, gt=0, description="Seconds between the server's pings.")
    hello_timeout_s: float = Field(
        10.0, gt=0, description="A connection that sends no `hello` by then is closed."
    )
    drain_s: float = Field(10.0, ge=0, description="Seconds that running turns get to finish at shutdown.")
    retention_days: float = Field(
        30.0, gt=0, description="Conversations not continued for so long are deleted, at start and daily."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Log level on stderr."
    )

    @field_validator("customer_key")
    @classmethod
    def _is_long(cls, key: str) -> str:
        if key and len(key) < 32:
            raise ValueError("a key has at least 32 characters; leave it empty to refuse customer tokens")
        return key

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of precedence: flags, environment, file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, DEFAULT_FILE)


def load_settings(**flags: Any) -> Settings:
    """Read settings; flags that are None count as not given.

    Raises: ConfigError: names each wrong setting and what it may be.
    """
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        lines = [
            f"setting {'.'.join(str(part) for part in item['loc'])}: {item['msg'].lower()} (got {item['input']!r})"
            for item in error.errors()
        ]
        raise ConfigError("\n".join([*lines, "see docs/settings.md"])) from error
    except ValueError as error:  # an unreadable TOML file or a malformed value in the environment
        raise ConfigError(f"settings cannot be read: {error}") from error


def describe_settings() -> str:
    """docs/settings.md: every setting with its variable, default and meaning; a test compares."""
    lines = [
        "# Settings",
        "",
        "A flag of a command goes before an environment variable, that before `assistant.toml` in the folder the "
        "command is started in, that before the default. Values are parsed strictly: a value that does not fit is "
        "refused with its name and what it may be. Lists in the environment are written as JSON.",
        "",
    ]
    for name, field in _leaves(Settings):
        default = field.get_default()
        shown = f"the project's `{default.name}/`" if name == "models" else f"`{_toml(default)}`"
        lines += [
            f"## `{name}`",
            "",
            f"{field.description} Environment: `ASSISTANT_{name.upper().replace('.', '__')}`. Default: {shown}.",
            "",
        ]
    return "\n".join(lines)


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting with its full name; those of a group as `group.name`."""
    for name, field in model.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, BaseModel):
            yield from _leaves(group, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def _toml(value: object) -> str:
    """A default as it would stand in assistant.toml; settings without one have none."""
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return "[]"
    return f'"{value}"' if isinstance(value, str | Path) else str(value)
