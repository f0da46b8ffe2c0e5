"""Every screen over every part of recorded calls."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import polars as pl

from liftos_pipelines.modules.llm.screens import Screened, generalising, injection, pii, toxicity
from liftos_pipelines.stats import wilson_interval
from liftos_pipelines.tables import table

PARTS = ("input", "context", "output")
SCREENS: dict[str, tuple[Callable[[str | None], Screened], tuple[str, ...]]] = {
    "injection": (injection, PARTS),
    "pii": (pii, PARTS),
    "toxicity": (toxicity, ("input", "output")),
    "bias": (generalising, ("output",)),
}
"""Each screen with the parts it reads: a context is a document's wording, not the model's nor the user's."""


def screen_calls(calls: pl.DataFrame) -> tuple[pl.DataFrame, dict[tuple[str, str], int]]:
    """The `llm/screens` table (flagged rows only), and by screen and part how many texts could be read."""
    contract = table("llm/screens")
    rows: list[dict[str, object]] = []
    checked: dict[tuple[str, str], int] = defaultdict(int)
    seen: dict[tuple[str, str], Screened] = {}
    for call_id, *texts in calls.select("call_id", *PARTS).iter_rows():
        for where, text in zip(PARTS, texts, strict=True):
            if not text:
                continue
            for name, (screen, parts) in SCREENS.items():
                if where not in parts:
                    continue
                found = seen.get((name, text))  # contexts recur
                if found is None:
                    found = seen[name, text] = screen(text)
                checked[name, where] += found.flagged is not None
                if found.flagged:
                    rows.append(
                        {
                            "call_id": call_id, "screen": name, "where": where, "flagged": True,
                            "probability": found.probability, "kind": found.kind, "spans": list(found.spans),
                        }
                    )  # fmt: skip
    return contract.conform(pl.DataFrame(rows, schema=contract.columns, orient="row")), dict(checked)


def screen_summary(flagged: pl.DataFrame, checked: dict[tuple[str, str], int]) -> pl.DataFrame:
    """`screen, where, read, flagged, rate, low, high`: share of readable texts flagged, Wilson's 90 % interval."""
    counts = {(screen, where): n for screen, where, n in flagged.group_by("screen", "where").len().iter_rows()}
    rows = []
    for (screen, where), n in sorted(checked.items()):
        hits = counts.get((screen, where), 0)
        low, high = wilson_interval(hits, n) if n else (None, None)
        rows.append((screen, where, n, hits, hits / n if n else None, low, high))
    return pl.DataFrame(rows, schema=["screen", "where", "read", "flagged", "rate", "low", "high"], orient="row")
