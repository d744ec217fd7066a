"""Configuration from the environment and `.env`. All invalid and missing settings are reported together."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import AfterValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from adapters.better_auth.identity import ExpectedClaims, checked_secret
from adapters.postgres.url import conninfo
from entrypoints.cors_origins import cors_origin
from entrypoints.setting_types import (
    ANY_CASE,
    COMMA_SEPARATED,
    WELL_KNOWN,
    BaseUrl,
    FilePath,
    HttpUrl,
    NeonAuthBaseUrl,
    content,
    is_neon_auth,
    jwks_places,
    origin,
    whole_number,
)
from entrypoints.settings_faults import lines, misspelt_names, unparsable_line

_INVALID = object()  # stands for a setting that failed its own validation and is reported for that

NO_PAGE = (
    "no page may call the API from a browser: set CORS_ORIGINS to the origins of yours, like https://app.example.com"
)


class InvalidSettings(Exception):
    """The message has one line per invalid or missing setting, and never contains a value."""


def _secrets(secrets: list[SecretStr]) -> list[SecretStr]:
    """Raises one ValueError for all invalid ones, with a line for each."""
    faults = []
    for position, secret in enumerate(secrets, 1):
        try:
            checked_secret(secret.get_secret_value())
        except ValueError as fault:
            faults.append(f"secret {position} of {len(secrets)} {fault}" if len(secrets) > 1 else str(fault))
    if faults:
        raise ValueError("\n".join(faults))
    return secrets


def _distinct(urls: list[str]) -> list[str]:
    """Issuers are told apart by their origin, which their tokens name."""
    if len({origin(url) for url in urls}) < len(urls):
        raise ValueError("has two addresses with one origin, whose tokens could not be told apart")
    return urls


class Settings(BaseSettings):
    """Each field is read from the environment variable of the same name in upper case; `.env.example` explains them."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    database_insecure: bool = False
    database_url_file: FilePath | None = None
    database_url: SecretStr | None = Field(default=None, validate_default=True)
    database_connections: Annotated[int, whole_number(1, 90)] = 8
    database_prepared_statements: bool | None = None
    database_row_security: bool = False
    database_citus: bool | None = None

    better_auth_url: Annotated[list[BaseUrl], NoDecode, COMMA_SEPARATED, AfterValidator(_distinct)] = []
    better_auth_primary_url: BaseUrl | None = Field(default=None, validate_default=True)
    neon_auth_base_url: NeonAuthBaseUrl | None = None
    better_auth_issuer: str | None = None
    better_auth_audience: str | None = None
    better_auth_jwks_url: HttpUrl | None = None
    better_auth_secret_file: FilePath | None = None
    better_auth_secret: Annotated[list[SecretStr], NoDecode, COMMA_SEPARATED, AfterValidator(_secrets)] = Field(
        default=[], validate_default=True
    )

    cors_origins: Annotated[list[Annotated[str, AfterValidator(cors_origin)]] | None, NoDecode, COMMA_SEPARATED] = None
    complete_toggles: bool = False
    remembered_tasks_mib: Annotated[int, whole_number(0, 1024)] = 8
    max_tasks_per_user: Annotated[int, whole_number(1, 1_000_000)] | None = None

    max_connections: Annotated[int, whole_number(1, 100_000)] = 2000
    max_connections_per_address: Annotated[int, whole_number(1, 100_000)] = 1000
    keep_unknown_members: bool = False
    dialect: Annotated[Literal["words"], ANY_CASE] | None = None
    dialect_list: Annotated[Literal["tasks"], ANY_CASE] | None = None
    dialect_delete: Literal["200"] | None = None

    metrics_port: Annotated[int, whole_number(0, 65535)] | None = None
    metrics_host: str = "127.0.0.1"

    log_level: Annotated[Literal["debug", "info", "warning", "error"], ANY_CASE] = "info"
    log_format: Annotated[Literal["auto", "json", "text"], ANY_CASE] = "auto"
    access_log: Annotated[Literal["on", "off", "errors"], ANY_CASE] = "on"

    @field_validator("database_url", "better_auth_secret", mode="before")
    @classmethod
    def _take_from_file(cls, value: Any, others: ValidationInfo) -> Any:
        name = f"{others.field_name}_file"
        file = others.data.get(name)
        if file is None:
            return value
        if value:
            raise ValueError(f"must not be set together with {name.upper()}")
        return content(file)

    @field_validator("database_url")
    @classmethod
    def _require_a_usable_url(cls, url: SecretStr | None, others: ValidationInfo) -> SecretStr | None:
        if url is None:
            return None
        stripped = url.get_secret_value().strip()
        conninfo(stripped, insecure=others.data.get("database_insecure", True))
        return SecretStr(stripped)

    @field_validator("better_auth_primary_url")
    @classmethod
    def _require_a_primary_of_several(cls, primary: str | None, others: ValidationInfo) -> str | None:
        urls = others.data.get("better_auth_url", [])
        if (len(urls) > 1 and primary not in urls) or (primary and primary not in urls):
            raise ValueError(
                "must be one of the addresses in BETTER_AUTH_URL: the issuer whose users keep their IDs. "
                "The IDs of all other users are stored with their issuer"
            )
        return primary

    @field_validator("neon_auth_base_url")
    @classmethod
    def _refuse_a_second_address(cls, base: str | None, others: ValidationInfo) -> str | None:
        """Neon's integration may set it beside an address that was there before: a new issuer by accident."""
        if base and others.data.get("better_auth_url", []) not in ([], [base]):
            raise ValueError("must not be set beside BETTER_AUTH_URL: list both addresses there if both are meant")
        return base

    @field_validator("better_auth_issuer", "better_auth_audience", "better_auth_jwks_url")
    @classmethod
    def _refuse_for_several(cls, value: str | None, others: ValidationInfo) -> str | None:
        if value and len(others.data.get("better_auth_url", [])) > 1:
            raise ValueError("cannot be set with several addresses in BETTER_AUTH_URL: each has its own")
        return value

    @field_validator("better_auth_jwks_url")
    @classmethod
    def _require_claims_for_jwks(cls, jwks_url: str | None, others: ValidationInfo) -> str | None:
        known = others.data.get
        address = known("better_auth_url", _INVALID) or known("neon_auth_base_url", _INVALID)
        claims = address or (known("better_auth_issuer") and known("better_auth_audience"))
        if jwks_url and not claims:
            raise ValueError("also needs BETTER_AUTH_URL (or both BETTER_AUTH_ISSUER and BETTER_AUTH_AUDIENCE)")
        return jwks_url

    @field_validator("better_auth_secret")
    @classmethod
    def _require_a_key_source(cls, secrets: list[SecretStr], others: ValidationInfo) -> list[SecretStr]:
        sources = ("better_auth_url", "neon_auth_base_url", "better_auth_jwks_url", "better_auth_secret_file")
        has_database = others.data.get("database_url") is not None
        if has_database and not secrets and not any(others.data.get(source, _INVALID) for source in sources):
            raise ValueError(
                "must be set, or BETTER_AUTH_URL, NEON_AUTH_BASE_URL or BETTER_AUTH_JWKS_URL: without any, no token "
                "can be verified"
            )
        return secrets

    @property
    def frontend_settings(self) -> Mapping[str, Any]:
        """Those that change responses for some frontends, by name; only those that are set."""
        names = ("complete_toggles", "keep_unknown_members", "dialect", "dialect_list", "dialect_delete")
        return {name: value for name in names if (value := getattr(self, name))}

    @property
    def secrets(self) -> list[str]:
        return [secret.get_secret_value() for secret in self.better_auth_secret]

    @property
    def remembered_bytes(self) -> int:
        """Of the states of tasks, in each process."""
        return self.remembered_tasks_mib * 2**20

    @property
    def conninfo(self) -> str:
        assert self.database_url is not None, "without DATABASE_URL, zero_config has to provide a database first"
        return conninfo(self.database_url.get_secret_value(), insecure=self.database_insecure)

    @property
    def renew_conninfo(self) -> Callable[[], str] | None:
        """What the conninfo is now; None if it never changes."""
        return self._renewed_conninfo if self.database_url_file else None

    def _renewed_conninfo(self) -> str:
        """From what DATABASE_URL_FILE holds now: passwords may be short-lived. While the file cannot be used, what it
        held at the start."""
        assert self.database_url_file
        with suppress(ValueError):
            return conninfo(content(self.database_url_file), insecure=self.database_insecure)
        return self.conninfo

    @property
    def issuer_urls(self) -> list[str]:
        """Addresses of all issuers, the primary one first."""
        if self.neon_auth_base_url:
            return [self.neon_auth_base_url]
        return sorted(self.better_auth_url, key=lambda url: url != self.better_auth_primary_url)

    @property
    def jwks_urls(self) -> list[str]:
        """Where the JWKS of the primary issuer may be. Empty if there is no issuer."""
        if self.better_auth_jwks_url:
            return [self.better_auth_jwks_url]
        if self.neon_auth_base_url:
            return [f"{self.neon_auth_base_url}/{WELL_KNOWN}"]
        return [place for url in self.issuer_urls[:1] for place in jwks_places(url)]

    @property
    def other_issuers(self) -> dict[str, list[str]]:
        """Where the JWKS of each further issuer may be, by the issuer's origin."""
        return {origin(url): jwks_places(url) for url in self.issuer_urls[1:]}

    @property
    def expected_claims(self) -> ExpectedClaims:
        """Of the primary issuer. By default its origin is issuer and audience, which is also Better Auth's default."""
        default = origin(self.issuer_urls[0]) if self.issuer_urls else None
        return ExpectedClaims(
            issuer=self.better_auth_issuer or default,
            audience=self.better_auth_audience or default,
            required=frozenset(
                claim
                for claim, configured in (("iss", self.better_auth_issuer), ("aud", self.better_auth_audience))
                if configured
            ),
        )

    @property
    def origins(self) -> list[str]:
        """Origins whose pages may call the API from a browser (CORS), exact ones and patterns. By default those of the
        issuers, except for Neon Auth, whose host serves no pages."""
        if self.cors_origins is not None:
            return self.cors_origins
        return [origin(url) for url in self.issuer_urls if not self.neon_auth_base_url and not is_neon_auth(url)]

    @property
    def admits_no_page(self) -> bool:
        """Whether users sign in on pages that this server does not know of."""
        return bool(self.issuer_urls) and not self.origins


def load() -> Settings:
    """Reads the settings. Raises InvalidSettings."""
    file = Path(".env")
    try:
        line = unparsable_line(file)
        if line:
            raise InvalidSettings(f"{file}: line {line} cannot be parsed")
        faults = [*misspelt_names({**dotenv_values(file, interpolate=False), **os.environ}, Settings.model_fields)]
        try:
            settings = Settings()
        except ValidationError as failure:
            faults += [line for error in failure.errors(include_input=False) for line in lines(error)]
    except (OSError, UnicodeError):
        raise InvalidSettings(f"{file}: is not readable as UTF-8 text") from None
    if faults:
        raise InvalidSettings("\n".join(faults))
    return settings
