"""Settings: command-line flag over `ASSISTANT_` environment variable over TOML file over default; read once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from assistant.errors import ConfigError

DEFAULT_FILE = Path("assistant.toml")


class Settings(BaseSettings):
    """Every setting, with its unit in its name. docs/settings.md lists them; a test compares."""

    model_config = SettingsConfigDict(env_prefix="ASSISTANT_", frozen=True, extra="forbid")

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

    # decision
    mode: Literal["approved"] = Field(
        "approved", description="Replies are made of the passages' own sentences."
    )
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
        "", description="Opens /agent and the metrics from elsewhere; empty keeps them closed."
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
    for name, field in Settings.model_fields.items():
        default = field.get_default()
        shown = f"the project's `{default.name}/`" if name == "models" else f"`{_toml(default)}`"
        lines += [
            f"## `{name}`",
            "",
            f"{field.description} Environment: `ASSISTANT_{name.upper()}`. Default: {shown}.",
            "",
        ]
    return "\n".join(lines)


def _toml(value: object) -> str:
    """A default as it would stand in assistant.toml; settings without one have none."""
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return "[]"
    return f'"{value}"' if isinstance(value, str | Path) else str(value)
