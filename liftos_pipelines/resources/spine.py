"""The spine database as a Dagster resource: one open connection pool per URL and process."""

from __future__ import annotations

from functools import lru_cache

import dagster as dg

from liftos_pipelines import settings
from liftos_pipelines.spine.database import Spine
from liftos_pipelines.spine.sealing import Seal


@lru_cache(maxsize=8)
def _open(url: str) -> Spine:
    spine = Spine(url)
    spine.seal = Seal()
    return spine


def open_spine(url: str | None = None) -> Spine:
    """The spine at a URL, by default `LIFTOS_SPINE_URL` or SQLite in `LIFTOS_HOME`."""
    return _open(url or settings.spine_url())


class SpineResource(dg.ConfigurableResource):
    """Events, ledger and approvals; `url` empty means the setting of this process."""

    url: str = ""

    def get(self) -> Spine:
        return open_spine(self.url or None)
