"""Types of settings: how each is parsed from text, with messages that say what to set and never contain the value."""

import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator

_HOST = re.compile(r"[a-z0-9_.-]+|[0-9a-f:.]+")  # lower case already; the latter is an IPv6 address
_VISIBLE = re.compile(r"[!-~]+")


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
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or a password")
    if parts.fragment or not _HOST.fullmatch(parts.hostname) or not _VISIBLE.fullmatch(url):
        raise ValueError(
            "must be a URL like https://app.example.com, without blanks, wildcards or a fragment, "
            "and with an international domain name in its form `xn--...`"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, default) else "")


def is_neon_auth(url: str) -> bool:
    """Whether this is the address of a Neon Auth, whose host serves no pages."""
    host = urlsplit(url).hostname or ""
    return ".neonauth." in host and host.endswith(".neon.tech")


WELL_KNOWN = ".well-known/jwks.json"


def jwks_places(issuer_url: str) -> list[str]:
    """Better Auth serves its JWKS below its base path, which is /api/auth unless it is configured, and calls it `jwks`
    unless `jwksPath` is configured; Neon Auth does."""
    if not urlsplit(issuer_url).path.strip("/"):
        return [f"{issuer_url}/api/auth/jwks"]
    places = [f"{issuer_url}/jwks", f"{issuer_url}/{WELL_KNOWN}"]
    return places[::-1] if is_neon_auth(issuer_url) else places


def _http_url(url: str) -> str:
    origin(url)
    return url.rstrip("/")


def _base_url(url: str) -> str:
    if "?" in url:
        raise ValueError("must not contain a query")
    return _http_url(url)


def _neon_auth_base_url(url: str) -> str:
    if not urlsplit(_base_url(url)).path.strip("/"):
        raise ValueError("must be the whole address with its path, as Neon's console shows it")
    return _base_url(url)


def content(file: Path) -> str:
    """What the file holds, without whitespace around it. Raises ValueError, whose message never contains any of it."""
    try:
        text = file.read_text(encoding="utf-8").strip()
    except OSError as failure:
        raise ValueError(f"the file cannot be read ({failure.strerror})") from None
    except UnicodeError:
        raise ValueError("the file is not UTF-8 text") from None
    if not text:
        raise ValueError("the file is empty")
    return text


def _readable(file: Path) -> Path:
    content(file)
    return file


def _comma_separated(text: Any) -> Any:
    return [part.strip() for part in text.split(",") if part.strip()] if isinstance(text, str) else text


def whole_number(lowest: int, highest: int) -> BeforeValidator:
    def parse(value: Any) -> int:
        if re.fullmatch("[0-9]{1,9}", str(value).strip()) and lowest <= int(value) <= highest:
            return int(value)
        raise ValueError(f"must be a whole number from {lowest} to {highest}")

    return BeforeValidator(parse)


HttpUrl = Annotated[str, AfterValidator(_http_url)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
NeonAuthBaseUrl = Annotated[str, AfterValidator(_neon_auth_base_url)]

FilePath = Annotated[Path, AfterValidator(_readable)]
"""Path of a file that holds the value of another setting."""

COMMA_SEPARATED = BeforeValidator(_comma_separated)
ANY_CASE = BeforeValidator(lambda text: text.lower() if isinstance(text, str) else text)
