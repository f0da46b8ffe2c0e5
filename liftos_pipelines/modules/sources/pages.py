"""The address of a saved web page: what `pages.csv` says, else its own `<link rel="canonical">`."""

from __future__ import annotations

from urllib.parse import urldefrag, urlsplit

import polars as pl


def canonical_url(html: str) -> str | None:
    """The page's canonical address (then `og:url`), if it is an absolute http address."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(html)
    for selector, attribute in (('link[rel~="canonical" i]', "href"), ('meta[property="og:url"]', "content")):
        node = tree.css_first(selector)
        address = (node.attributes.get(attribute) or "").strip() if node is not None else ""
        if _absolute(address):
            return urldefrag(address).url
    return None


def with_urls(pages: pl.DataFrame) -> pl.DataFrame:
    """Fill `url` from the pages themselves where it is null.

    Parameters
    ----------
    pages : columns url, path, html (text); a page without any address keeps a null `url`
    """
    urls = [
        urldefrag(url.strip()).url if url else canonical_url(html)
        for url, html in pages.select("url", "html").iter_rows()
    ]
    return pages.with_columns(pl.Series("url", urls, dtype=pl.String))


def _absolute(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)
