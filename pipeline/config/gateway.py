"""The gateway before the model servers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from pipeline.config.addresses import HttpUrl, Network, RedisUrl, checked_url
from pipeline.config.flaws import Flaw, FlawedError
from pipeline.config.section import ConfigPath, Section
from pipeline.util.suggestions import did_you_mean

# As `serving.client.Address` reads it.
_Model = Annotated[
    str,
    Field(
        pattern=r"^(grpc://[^/]+|https?://[^/]+(/.+)?/v1/models)/[^/:]+(/versions/[0-9]+|/labels/[^/:]+)?/?$",
        examples=["grpc://localhost:8500/flights"],
        json_schema_extra={"patternErrorMessage": "grpc://HOST:PORT/MODEL or http://HOST:PORT/v1/models/MODEL"},
    ),
    checked_url,
]
_Rate = Annotated[str, Field(pattern=r"^[1-9]\d*/(second|minute|hour|day)$", examples=["600/minute"])]


class Upstream(Section):
    """The model servers behind the gateway, each as grpc://HOST:PORT/MODEL or http://HOST:PORT/v1/models/MODEL."""

    stable: _Model = "grpc://localhost:8500/{name}"
    """Serves the stable version; {name} stands for the pipeline's name."""
    canary: _Model | None = None
    """Serves the canary of a rollout, where that has a server of its own; the same as `stable` when not given."""


class Batching(Section):
    """Rows of requests that come at the same time go to the model server in one call."""

    max_rows: Annotated[int, Field(ge=1)] = 64
    """The maximum number of rows in one call; 1: every request is a call of its own."""
    max_wait_ms: Annotated[float, Field(ge=0)] = 5.0
    """Milliseconds that a row waits at the most while another call is under way; without one, it does not wait."""


class Cache(Section):
    """Predictions that are kept, by model version and row."""

    rows: Annotated[int, Field(ge=0)] = 10_000
    """How many the process keeps; 0: none. Redis has a limit of its own."""
    redis: RedisUrl | None = None
    """Keep them in this Redis instead, where all gateways find them, and count requests there for rate limits. The password, if
    it has one, is in the environment variable CONVEYOR_REDIS_PASSWORD, or in the file that is named by
    CONVEYOR_REDIS_PASSWORD_FILE."""
    redis_seconds: Annotated[int, Field(ge=1)] = 3600
    """redis: how long one is kept."""


ANYBODY = "*"


class ApiKey(Section):
    """A key that lets a caller in; `conveyor gateway key` makes one."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """The key's hash. The key itself is kept by the caller alone."""
    rate_limit: _Rate | None = None
    """This caller's rate limit; that of the gateway when not given."""


class Oidc(Section):
    """Tokens of an OpenID Connect provider."""

    issuer: Annotated[HttpUrl, Field(examples=["https://login.example.com/realms/main"])]
    """The provider's address, as its tokens have it in `iss`."""
    audience: Annotated[str, Field(min_length=1)]
    """The audience that the tokens have in `aud`."""
    jwks_url: HttpUrl | None = None
    """Where the provider's keys are; asked of the provider when not given."""


class Access(Section):
    """Who may call. Without keys and without a provider: everybody on this machine."""

    open: bool = False
    """Let everybody call, also from other machines, where there are neither keys nor a provider."""
    api_keys: dict[str, ApiKey] = Field(default_factory=dict)
    """By the caller's name; sent as `X-API-Key: KEY`."""
    oidc: Oidc | None = None
    """Tokens sent as `Authorization: Bearer TOKEN`."""
    rate_limit: _Rate | None = None
    """The maximum number of requests for predictions from each caller, such as 600/minute; not limited when not given."""
    choose_version: tuple[str, ...] = ()
    """Names of keys and subjects of tokens that may ask for a version by the header X-Conveyor-Version; "*": everybody. A name
    that a key has means the key alone. Their rows count for that version's verdict as all do, but not for that on a shadow."""
    failed_logins: _Rate = "60/minute"
    """How many requests with an unknown key or a wrong token each address may send before it gets 429, not 401."""
    proxies: tuple[Network, ...] = ()
    """Addresses or networks of the proxies before the gateway. X-Forwarded-For is believed from them, and from nobody else."""

    @model_validator(mode="after")
    def _choosers_have_keys(self) -> Access:
        # Subjects of tokens are the provider's, and callers without either go by their address.
        if self.oidc is not None or not self.api_keys:
            return self
        flaws = [
            Flaw(
                "A caller who may choose a version has no key.",
                ("choose_version", position),
                ", ".join([*self.api_keys, ANYBODY]),
                name,
                did_you_mean(name, self.api_keys) or "Name a key of api_keys, or add one for this caller.",
            )
            for position, name in enumerate(self.choose_version)
            if name != ANYBODY and name not in self.api_keys
        ]
        if flaws:
            raise FlawedError(*flaws)
        return self


class PredictionLog(Section):
    """Rows with their predictions, as Parquet files in a folder for each day."""

    folder: ConfigPath | None = "{workspace}/predictions/{name}"
    """Where they are written; null: nowhere."""
    sample: Annotated[float, Field(ge=0, le=1)] = 1.0
    """The share of rows that is logged."""
    exclude: tuple[str, ...] = ()
    """Features that are left out, such as personal ones, also of the rows that the report shows."""
    keep_days: Annotated[int, Field(ge=1)] | None = None
    """How many days are kept; older ones are deleted by the gateway. All of them when not given."""
    flush_seconds: Annotated[float, Field(gt=0)] = 30.0
    """How old a row gets at the most before its file is written."""


class Gateway(Section):
    """The HTTP service that applications call, before the model server, with a page that shows the model's features."""

    host: Annotated[str, Field(pattern=r"^[^\s/]+$")] = "127.0.0.1"
    """The address to listen on; 0.0.0.0: all of the machine's."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8088
    """The port to listen on; 0: any that is free."""
    upstream: Upstream = Upstream()
    """The model servers behind it."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 10.0
    """How long the model server may take for a request, with all attempts."""
    rollout: ConfigPath | None = "{workspace}/serving/{name}/rollout.json"
    """The state of the rollout, which says how much traffic the canary gets; watched. No such file: no rollout."""
    split_by: str | None = None
    """The feature whose value decides between stable and canary, for example a customer's id; the request id when not given."""
    feature_schema: ConfigPath | None = None
    """A TFX schema (.pbtxt) with what features may be: what it requires and its ranges hold for requests, too. The pipeline's
    curated one (schema.path) when not given; types alone where there is none."""
    enforce_domains: bool = True
    """Refuse values outside the schema's ranges and lists; if not, the page shows them, and the model decides."""
    example: dict[str, int | float | str | list[int | float | str]] = Field(default_factory=dict)
    """The row that the page shows, by feature; whatever is required and not given here is made up from the schema."""
    max_rows: Annotated[int, Field(ge=1)] = 1000
    """The maximum number of rows in one request."""
    max_explained_rows: Annotated[int, Field(ge=0)] = 10
    """The maximum number of rows in one request with `explain=true`, each of which costs hundreds of predictions; 0: none is
    explained."""
    max_body_bytes: Annotated[int, Field(ge=1)] = 1_048_576
    """The maximum number of bytes in the body of one request."""
    batching: Batching = Batching()
    """Requests that come at the same time."""
    cache: Cache = Cache()
    """Predictions that are kept."""
    access: Access = Access()
    """Who may call, and how often."""
    log: PredictionLog = PredictionLog()
    """The rows and predictions that are logged for later checks of the data."""
