"""Configuration from the environment and `.env`. All invalid and missing settings are reported together."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import AfterValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from adapters.better_auth.identity import ExpectedClaims, checked_secret
from adapters.postgres.url import conninfo
from entrypoints.setting_types import (
    ANY_CASE,
    COMMA_SEPARATED,
    ContentOfFile,
    CorsOrigin,
    HttpUrl,
    origin,
    whole_number,
)

_INVALID = object()  # stands for a setting that failed its own validation and is reported for that

_OTHERS = {"BETTER_AUTH_SECRETS", "LOGLEVEL"}
"""Names one edit away from ours that mean something else: to Better Auth itself, and to many programs."""


class InvalidSettings(Exception):
    """The message has one line per invalid or missing setting, and never contains a value."""


def _database(url: SecretStr) -> SecretStr:
    stripped = url.get_secret_value().strip()
    conninfo(stripped)
    return SecretStr(stripped)


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


class Settings(BaseSettings):
    """Each field is read from the environment variable of the same name in upper case; `.env.example` explains them."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    database_url_file: ContentOfFile | None = None
    database_url: Annotated[SecretStr, AfterValidator(_database)] | None = Field(default=None, validate_default=True)
    database_connections: Annotated[int, whole_number(1, 90)] = 8
    database_prepared_statements: bool | None = None

    better_auth_url: HttpUrl | None = None
    better_auth_issuer: str | None = None
    better_auth_audience: str | None = None
    better_auth_jwks_url: HttpUrl | None = None
    better_auth_secret_file: ContentOfFile | None = None
    better_auth_secret: Annotated[list[SecretStr], NoDecode, COMMA_SEPARATED, AfterValidator(_secrets)] = Field(
        default=[], validate_default=True
    )

    cors_origins: Annotated[list[CorsOrigin] | None, NoDecode, COMMA_SEPARATED] = None
    complete_toggles: bool = False

    metrics_port: Annotated[int, whole_number(0, 65535)] | None = None
    metrics_host: str = "127.0.0.1"

    log_level: Annotated[Literal["debug", "info", "warning", "error"], ANY_CASE] = "info"
    log_format: Annotated[Literal["auto", "json", "text"], ANY_CASE] = "auto"
    access_log: Annotated[Literal["on", "off", "errors"], ANY_CASE] = "on"

    @field_validator("database_url", "better_auth_secret", mode="before")
    @classmethod
    def _take_from_file(cls, value: Any, others: ValidationInfo) -> Any:
        file = f"{others.field_name}_file"
        content = others.data.get(file)
        if content is None:
            return value
        if value:
            raise ValueError(f"must not be set together with {file.upper()}")
        return content.get_secret_value()

    @field_validator("better_auth_jwks_url")
    @classmethod
    def _require_claims_for_jwks(cls, jwks_url: str | None, others: ValidationInfo) -> str | None:
        known = others.data.get
        claims = known("better_auth_url", _INVALID) or (known("better_auth_issuer") and known("better_auth_audience"))
        if jwks_url and not claims:
            raise ValueError("also needs BETTER_AUTH_URL (or both BETTER_AUTH_ISSUER and BETTER_AUTH_AUDIENCE)")
        return jwks_url

    @field_validator("better_auth_secret")
    @classmethod
    def _require_a_key_source(cls, secrets: list[SecretStr], others: ValidationInfo) -> list[SecretStr]:
        sources = ("better_auth_url", "better_auth_jwks_url", "better_auth_secret_file")
        has_database = others.data.get("database_url") is not None
        if has_database and not secrets and not any(others.data.get(source, _INVALID) for source in sources):
            raise ValueError("must be set, or BETTER_AUTH_URL: without either, no token can be verified")
        return secrets

    @property
    def secrets(self) -> list[str]:
        return [secret.get_secret_value() for secret in self.better_auth_secret]

    @property
    def conninfo(self) -> str:
        assert self.database_url is not None, "without DATABASE_URL, zero_config has to provide a database first"
        return conninfo(self.database_url.get_secret_value())

    @property
    def jwks_url(self) -> str | None:
        """URL of the JWKS. By default below the path of BETTER_AUTH_URL, or below /api/auth if that has no path."""
        if self.better_auth_url is None or self.better_auth_jwks_url:
            return self.better_auth_jwks_url
        path = urlsplit(self.better_auth_url).path.strip("/")
        return self.better_auth_url + ("/jwks" if path else "/api/auth/jwks")

    @property
    def expected_claims(self) -> ExpectedClaims:
        """By default issuer and audience are the origin of BETTER_AUTH_URL, which is also Better Auth's default."""
        default = self.better_auth_url and origin(self.better_auth_url)
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
        """Origins whose pages may call the API from a browser (CORS)."""
        if self.cors_origins is not None:
            return self.cors_origins
        return [origin(self.better_auth_url)] if self.better_auth_url else []


def load() -> Settings:
    """Reads the settings. Raises InvalidSettings."""
    file = Path(".env")
    try:
        _require_readable(file)
        faults = [*_misspelt_names({**dotenv_values(file, interpolate=False), **os.environ})]
        try:
            settings = Settings()
        except ValidationError as failure:
            faults += [line for error in failure.errors(include_input=False) for line in _lines(error)]
    except (OSError, UnicodeError):
        raise InvalidSettings(f"{file}: is not readable as UTF-8 text") from None
    if faults:
        raise InvalidSettings("\n".join(faults))
    return settings


def _require_readable(file: Path) -> None:
    """Rejects lines that cannot be parsed: skipping one that sets DATABASE_URL would serve another database."""
    if not file.exists():
        return
    with file.open(encoding="utf-8") as lines:
        for binding in parse_stream(lines):
            if binding.error:
                raise InvalidSettings(f"{file}: line {binding.original.line} cannot be parsed")


def _misspelt_names(variables: Mapping[str, str | None]) -> Iterator[str]:
    """A line for each name that is one edit away from a setting which is not set itself: it was meant for that."""
    given = {name.upper() for name, value in variables.items() if value}
    ours = {name.upper() for name in Settings.model_fields}
    for name in sorted(given - ours - _OTHERS):
        for setting in sorted(ours - given):
            if _one_edit_apart(name, setting):
                yield f"{name}: is not a setting; did you mean {setting}?"


def _one_edit_apart(one: str, other: str) -> bool:
    """Whether adding, removing, replacing or swapping one character turns one into the other, a different name."""
    if len(one) == len(other):
        differing = [place for place in range(len(one)) if one[place] != other[place]]
        first, last = differing[0], differing[-1]
        return first == last or (first + 1 == last and one[first : last + 1] == other[first : last + 1][::-1])
    shorter, longer = sorted((one, other), key=len)
    return any(shorter == longer[:place] + longer[place + 1 :] for place in range(len(longer)))


def _lines(error: ErrorDetails) -> list[str]:
    """What is wrong with one setting, in our words: pydantic's name its types, and change with its versions."""
    context = error.get("ctx", {})
    match error["type"]:
        case "bool_parsing":
            reason = "must be true or false"
        case "literal_error":
            reason = "must be " + context["expected"].replace("'", "")
        case _:
            reason = str(context.get("error") or error["msg"])
    return [f"{error['loc'][0]}".upper() + f": {line}" for line in reason.splitlines()]
