"""What LiftOS's own tables know, as facts that claims of a language model are checked against.

Returns, contributions and shares carry their intervals; money spent over an unstated period is compared between
channels only, since a text rarely says which weeks it means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from liftos_pipelines.modules.llm.grounding.claim_report import CheckedClaim, check_claims
from liftos_pipelines.modules.llm.grounding.facts import Fact
from liftos_pipelines.tables import ALL, table

RETURNS = ("roi", "mroi")
TOTALS = ("spend", "contribution")
"""Sums over the whole data: their order is checked, their value only where it agrees."""
SHARES = {"share_of_voice": "share of voice", "mention_rate": "mention rate", "citation_rate": "citation rate"}
SOURCES = ("causal/channel_results", "surfacing/visibility", "sources/campaigns")


def facts_of(tables: Mapping[str, pl.DataFrame], currency: str) -> list[Fact]:
    """Facts of `SOURCES`; an absent or empty table gives none.

    Parameters
    ----------
    tables : by `module/asset`; currency : of the client's money
    """
    readers = dict(zip(SOURCES, (_channels, _shares, _campaigns), strict=True))
    return [fact for name, read in readers.items() if name in tables for fact in read(tables[name], currency)]


def claims(calls: pl.DataFrame, facts: Sequence[Fact]) -> pl.DataFrame:
    """The `llm/claims` table: every claim of an output about a subject that a fact knows, and how it fares."""
    contract = table("llm/claims")
    rows: list[dict[str, Any]] = []
    if facts:
        for call_id, output in calls.select("call_id", "output").iter_rows():
            # A number beside a known name may be of anything: what it measures must be said.
            said = [claim for claim in check_claims(output, facts=facts) if claim.subjects and claim.measure]
            rows += [_row(call_id, place, claim) for place, claim in enumerate(said)]
    return pl.DataFrame(rows, schema=contract.columns)


def _row(call_id: str, place: int, claim: CheckedClaim) -> dict[str, Any]:
    verdict, reason = claim.outcome, claim.reason
    if claim.kind == "value" and claim.measure in TOTALS and verdict == "contradicted":
        verdict, reason = "unknown", f"the period that the claim means is not said; over all data {reason}"
    return {
        "call_id": call_id,
        "place": place,
        "start": claim.start,
        "end": claim.end,
        "claim": claim.text,
        "kind": claim.kind,
        "subject": ", ".join(claim.subjects),
        "measure": claim.measure,
        "verdict": verdict,
        "reason": reason,
        "source": ", ".join(claim.sources) or None,
    }


def _channels(results: pl.DataFrame, currency: str) -> Iterator[Fact]:
    total = results.filter(pl.col("geo") == ALL, pl.col("channel") != ALL)
    for row in total.iter_rows(named=True):
        spoken = row["channel"].replace("_", " ").replace("-", " ")
        where = f"causal/channel_results, {row['channel']}"
        # A channel without spend has no return: it is no candidate for the highest or the lowest.
        for measure in (name for name in (*RETURNS, *TOTALS) if row[name] is not None):
            yield Fact(
                subject=spoken,
                aliases=tuple({row["channel"], spoken} - {spoken}),
                measure=measure,
                value=row[measure],
                unit=currency if measure == "spend" else None,
                low=row.get(f"{measure}_low"),
                high=row.get(f"{measure}_high"),
                source=where,
            )


def _shares(visibility: pl.DataFrame, currency: str) -> Iterator[Fact]:
    """By period and over all engines; a share is told in percent."""
    every = (pl.col("engine") == ALL) & (pl.col("group") == ALL)
    whole = visibility.filter(every, pl.col("metric").is_in(list(SHARES)))
    for row in whole.drop_nulls("value").iter_rows(named=True):
        yield Fact(
            subject=row["brand"],
            measure=SHARES[row["metric"]],
            value=100 * row["value"],
            unit="percent",
            low=None if row["low"] is None else 100 * row["low"],
            high=None if row["high"] is None else 100 * row["high"],
            as_of=row["period"],
            source=f"surfacing/visibility, {row['brand']} {row['period']}",
        )


def _campaigns(campaigns: pl.DataFrame, currency: str) -> Iterator[Fact]:
    for row in campaigns.drop_nulls("budget").iter_rows(named=True):
        yield Fact(
            subject=row["name"],
            measure="budget",
            value=row["budget"],
            unit=currency,
            source=f"sources/campaigns, {row['campaign_id']}",
        )
