"""Lift Sentiment relates: does the outcome move with what people feel."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.modules.sentiment import revenue


@lift_asset(
    "sentiment/revenue_link",
    ins=inputs(
        "sentiment/daily_index",
        "sentiment/alerts",
        "sentiment/mention_scores",
        "sources/mentions",
        "sources/marketing_outcome",
        "sources/marketing_media",
        "sources/marketing_controls",
    ),
    kinds={"polars"},
    code_version="2",
)
def revenue_link(
    context: dg.AssetExecutionContext,
    daily_index: pl.DataFrame,
    alerts: pl.DataFrame,
    mention_scores: pl.DataFrame,
    mentions: pl.DataFrame,
    marketing_outcome: pl.DataFrame,
    marketing_media: pl.DataFrame,
    marketing_controls: pl.DataFrame,
) -> dg.MaterializeResult[pl.DataFrame]:
    """Whether the outcome goes with sentiment, conditional on spend, price and promotions: a ladder of correlation by
    lag, forecast gain and dated shocks, each against placebos. Row `ladder` holds the verdict; it is never a cause."""
    for frame, source in ((daily_index, "mentions"), (marketing_outcome, "marketing")):
        if frame.is_empty():
            return skipped("sentiment/revenue_link", source)
    client = client_of(context)
    competitors = [] if client.brand is None else [other.name for other in client.brand.competitors]
    series = revenue.link_series(
        daily_index,
        marketing_outcome,
        marketing_media,
        marketing_controls,
        alerts,
        holidays=_public_holidays(client.causal, marketing_outcome["date"]),
        others=revenue.other_brands(mention_scores, mentions, competitors),
    )
    ladder = revenue.climb(series)
    link = revenue.link_table(ladder)
    head = link.row(0, named=True)
    picture = revenue.ladder_picture(ladder, f"{context.partition_key}: {head['verdict']}")
    told = ladder.missing is None
    return result(
        link,
        verdict=head["verdict"],
        words=head["words"],
        rung=ladder.claims.rung if told else None,
        periods=ladder.series.n,
        p_value=head["p_value"],
        smallest_visible_correlation=head["smallest_visible"],
        smallest_visible_simulated=head["smallest_visible_simulated"],
        smallest_visible_outcome_per_tenth=head["smallest_visible_per_tenth"],
        reliability_of_sentiment=head["reliability"],
        gain_of_sentiment_for_outcome=float(ladder.forward.gain.max()) if ladder.forward else None,
        gain_of_outcome_for_sentiment=float(ladder.reverse.gain.max()) if ladder.reverse else None,
        shocks=len(ladder.events.at) if ladder.events else None,
        **({"picture": dg.MetadataValue.md(picture)} if picture else {}),
    )


def _public_holidays(causal: dict[str, Any], dates: pl.Series) -> Sequence[date]:
    """Days off in the countries that the client names for its media model; none where it names none."""
    countries = causal.get("holidays") or ()
    if not countries or dates.is_empty():
        return ()
    import holidays

    first, last = dates.min(), dates.max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    years = range(first.year, last.year + 2)
    found: set[date] = set()
    for code in countries:
        country, _, part = str(code).partition("-")
        found |= set(holidays.country_holidays(country, subdiv=part or None, years=years))
    return sorted(found)
