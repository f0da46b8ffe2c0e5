"""Lift Sentiment watches: scores become a daily index, and drops of it become alerts and events."""

from datetime import datetime

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.modules.sentiment.alerts import AlertReport, find_drops
from liftos_pipelines.modules.sentiment.index import net_sentiment_by_day
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.database import Spine
from liftos_pipelines.spine.payloads import SentimentDropDetected
from liftos_pipelines.tables import ALL


@lift_asset(
    "sentiment/daily_index",
    ins=inputs("sentiment/mention_scores", "sources/mentions"),
    kinds={"polars"},
    code_version="1",
)
def daily_index(
    context: dg.AssetExecutionContext, mention_scores: pl.DataFrame, mentions: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """Net sentiment (mean of p_positive - p_negative) per day, campaign and source, 90 % intervals by author."""
    if mentions.is_empty():
        return skipped("sentiment/daily_index", "mentions")
    index = net_sentiment_by_day(mention_scores, mentions)
    total = index.filter((pl.col("campaign_id") == ALL) & (pl.col("source") == ALL))
    newest = total.tail(1)
    return result(
        index,
        net_sentiment=newest["net_sentiment"].item() if newest.height else None,
        net_sentiment_low=newest["low"].item() if newest.height else None,
        net_sentiment_high=newest["high"].item() if newest.height else None,
        days=total.height,
        mentions_scored=total["n"].sum(),
    )


@lift_asset(
    "sentiment/alerts",
    ins=inputs("sentiment/daily_index", "sentiment/mention_scores", "sources/mentions"),
    kinds={"polars"},
    code_version="1",
)
def alerts(
    context: dg.AssetExecutionContext,
    daily_index: pl.DataFrame,
    mention_scores: pl.DataFrame,
    mentions: pl.DataFrame,
    spine: SpineResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """Drops of net sentiment by campaign and in total, from a detector with a stated rate of false alarms; each
    raises `sentiment_drop_detected`."""
    if mentions.is_empty():
        return skipped("sentiment/alerts", "mentions")
    report = find_drops(daily_index, mention_scores, mentions)
    raise_drops(spine.get(), client_of(context).client, report.alerts)
    return result(report.alerts, **_alert_metadata(report))


def raise_drops(spine: Spine, client: str, alerts: pl.DataFrame) -> None:
    """One `sentiment_drop_detected` an alert; raising one again changes nothing."""
    for row in alerts.iter_rows(named=True):
        detected: datetime = row["detected_at"]
        spine.raise_event(
            client,
            SentimentDropDetected(**{name: row[name] for name in SentimentDropDetected.model_fields}),
            occurred_at=detected,
            correlation_id=f"sentiment-drop-{row['alert_id']}",
        )


def _alert_metadata(report: AlertReport) -> dict[str, object]:
    return {
        "alerts": report.alerts.height,
        "worst_severity": report.alerts["severity"].max(),
        "false_alarms_per_year": report.false_alarms_per_year if report.monitored else None,
        "stream_years": report.stream_years,
        "streams_monitored": ", ".join(report.monitored) or "none",
        "streams_with_too_few_days": ", ".join(report.not_monitored) or "none",
    }
