"""HTTP client for the JWKS, with the proxies and the certificates that the environment names."""

import os

import httpx2

_PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY")


class InvalidEnvironment(Exception):
    """A variable for HTTP clients cannot be used. The message is one line, and never contains a value."""


def http_client() -> httpx2.AsyncClient:
    """Follows no redirects and asks for no compression. Raises InvalidEnvironment."""
    try:
        return httpx2.AsyncClient(follow_redirects=False, headers={"Accept-Encoding": "identity"})
    except ImportError:  # of a package for SOCKS
        fault = f"{_proxies()}: must be http:// or https:// proxies, because SOCKS is not supported; or unset them"
    except (ValueError, httpx2.InvalidURL):
        fault = f"{_proxies()}: must be URLs that begin with http:// or https://; or unset them"
    except OSError:
        fault = "SSL_CERT_FILE: must name an existing file of certificates in PEM format; or unset it"
    raise InvalidEnvironment(fault)


def _proxies() -> str:
    """The variables that are set, in upper case or in lower."""
    return ", ".join(name for name in _PROXIES if os.environ.get(name) or os.environ.get(name.lower()))
