"""Addresses: which host a citation names, and whether that host belongs to a brand."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import parse_qsl, urlencode, urlsplit

# Links that an assistant makes to its own search or shopping pages cite nobody.
ENGINE_HOSTS = frozenset(
    {"chatgpt.com", "chat.openai.com", "google.com", "bing.com", "perplexity.ai", "gemini.google.com"}
)
_HOST = re.compile(r"^(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)+[a-z][a-z0-9-]*[a-z0-9]$")
_OTHER_SCHEME = re.compile(r"^(?:mailto|javascript|data|tel|about|blob):", re.IGNORECASE)
_TRACKING = re.compile(r"^(?:utm_\w+|gclid|fbclid|msclkid|srsltid)$")


@lru_cache(maxsize=65536)
def host_of(url: str | None) -> str | None:
    """The host of a web address, lower case and without `www.`; None where the text is no web address.

    A bare host (`acme.example/page`) counts; `mailto:`, `file:` and plain words do not.
    """
    if not url:
        return None
    candidate = url.strip().strip("<>\"'")
    if any(char.isspace() for char in candidate) or _OTHER_SCHEME.match(candidate):
        return None
    try:
        parts = urlsplit(candidate if "://" in candidate else f"https://{candidate}")
        host = parts.hostname
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https") or not host:
        return None
    try:
        host = host.encode("idna").decode("ascii")
    except UnicodeError:
        return None
    host = host.lower().removeprefix("www.")
    return host if _HOST.match(host) else None


def belongs_to(host: str, domains: Iterable[str]) -> bool:
    """True when `host` is one of `domains` or a subdomain of one."""
    for domain in domains:
        own = host_of(domain)
        if own is not None and (host == own or host.endswith(f".{own}")):
            return True
    return False


def is_engine_link(url: str) -> bool:
    """True for links to an assistant's own pages."""
    return host_of(url) in ENGINE_HOSTS


@lru_cache(maxsize=65536)
def page_key(url: str) -> str:
    """One spelling a page: without scheme, `www.`, fragment, tracking parameters and trailing slash."""
    host = host_of(url)
    if host is None:
        return url.strip()
    parts = urlsplit(url.strip() if "://" in url else f"https://{url.strip()}")
    query = urlencode([(key, value) for key, value in parse_qsl(parts.query) if not _TRACKING.match(key.lower())])
    return host + parts.path.rstrip("/") + (f"?{query}" if query else "")
