"""Configuration from the environment and `.env`. All invalid and missing settings are reported together."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from dotenv.parser import parse_stream
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from adapters.better_auth.identity import ExpectedClaims, checked_secret
from adapters.postgres.url import conninfo

_INVALID = object()  # stands for a setting that failed its own validation and is reported for that


class InvalidSettings(Exception):
    """The message has one line per invalid or missing setting, and never contains a value."""


def origin(url: str) -> str:
    """The origin of a URL as browsers serialise it: lower case, no default port, no path (RFC 6454 section 6.2).

    Raises ValueError, whose message never contains the URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its message contains the URL
        raise ValueError("must be a URL like https://app.example.com") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a URL that begins with https:// or http://")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, default) else "")


def _comma_separated(text: Any) -> Any:
    return [part.strip() for part in text.split(",") if part.strip()] if isinstance(text, str) else text


def _database(url: SecretStr) -> SecretStr:
    stripped = url.get_secret_value().strip()
    conninfo(stripped)
    return SecretStr(stripped)


def _secret(secret: SecretStr) -> SecretStr:
    checked_secret(secret.get_secret_value())
    return secret


def _http_url(url: str) -> str:
    origin(url)
    return url.rstrip("/")


class Settings(BaseSettings):
    """Each field is read from the environment variable of the same name in upper case; `.env.example` explains them."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    database_url: Annotated[SecretStr, AfterValidator(_database)] | None = None
    database_connections: int = Field(default=8, ge=1, le=90)
    database_prepared_statements: bool | None = None

    better_auth_url: Annotated[str, AfterValidator(_http_url)] | None = None
    better_auth_jwks_url: Annotated[str, AfterValidator(_http_url)] | None = None
    better_auth_secret: Annotated[
        list[Annotated[SecretStr, AfterValidator(_secret)]], NoDecode, BeforeValidator(_comma_separated)
    ] = Field(default=[], validate_default=True)
    better_auth_issuer: str | None = None
    better_auth_audience: str | None = Field(default=None, validate_default=True)

    cors_origins: Annotated[
        list[Annotated[str, AfterValidator(origin)]] | None, NoDecode, BeforeValidator(_comma_separated)
    ] = None
    complete_toggles: bool = False

    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    metrics_host: str = "127.0.0.1"

    @field_validator("better_auth_secret")
    @classmethod
    def _require_a_key_source(cls, secrets: list[SecretStr], others: ValidationInfo) -> list[SecretStr]:
        has_database = others.data.get("database_url") is not None
        has_jwks = others.data.get("better_auth_url", _INVALID) or others.data.get("better_auth_jwks_url")
        if has_database and not secrets and not has_jwks:
            raise ValueError("must be set, or BETTER_AUTH_URL: without either, no token can be verified")
        return secrets

    @field_validator("better_auth_audience")
    @classmethod
    def _require_claims_for_jwks(cls, audience: str | None, others: ValidationInfo) -> str | None:
        claims = others.data.get("better_auth_url", _INVALID) or (others.data.get("better_auth_issuer") and audience)
        if others.data.get("better_auth_jwks_url") and not claims:
            raise ValueError("must be set with BETTER_AUTH_JWKS_URL, and BETTER_AUTH_ISSUER too, or BETTER_AUTH_URL")
        return audience

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
    try:
        _require_readable(Path(".env"))
        return Settings()
    except ValidationError as failure:
        lines = (f"{error['loc'][0]}".upper() + ": " + _reason(error) for error in failure.errors(include_input=False))
        raise InvalidSettings("\n".join(lines)) from None
    except (OSError, UnicodeError):
        raise InvalidSettings(".env: is not readable as UTF-8 text") from None


def _require_readable(file: Path) -> None:
    """Rejects lines that cannot be parsed: skipping one that sets DATABASE_URL would serve another database."""
    if not file.exists():
        return
    with file.open(encoding="utf-8") as lines:
        for binding in parse_stream(lines):
            if binding.error:
                raise InvalidSettings(f"{file}: line {binding.original.line} cannot be parsed")


def _reason(error: ErrorDetails) -> str:
    return str(error.get("ctx", {}).get("error") or error["msg"])
