"""Lift Sentiment watches: scores become a daily index, and drops of it become alerts and events."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.modules.sentiment.watch.alerts import AlertReport, find_drops
from liftos_pipelines.modules.sentiment.watch.index import (
    DailyIndex,
    Scored,
    net_sentiment_by_day,
    scored_mentions,
    total_of,
)
from liftos_pipelines.page_style import markdown_image
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.sentiment_model import SentimentModelResource
from liftos_pipelines.resources.sentiment_reading import open_reading
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.outbox import Tells, outbox
from liftos_pipelines.spine.payloads import SentimentDropDetected

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = 3
"""Alerts that are pictured: the newest that lead."""


@lift_asset(
    "sentiment/daily_index",
    ins=inputs("sentiment/mention_scores", "sources/mentions"),
    kinds={"polars"},
    code_version="2",
)
def daily_index(
    context: dg.AssetExecutionContext,
    mention_scores: pl.DataFrame,
    mentions: pl.DataFrame,
    lake: LakeResource,
    sentiment_model: SentimentModelResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """Net sentiment (share of positive less share of negative mentions) per day, in total and by campaign, source,
    language and topic, freed of the classifier's pull to the middle; 90 % intervals by author."""
    if mentions.is_empty():
        return skipped("sentiment/daily_index", "mentions")
    index = net_sentiment_by_day(_scored(context, mention_scores, mentions, lake, sentiment_model))
    return result(index.table, **_index_metadata(index))


@lift_asset(
    "sentiment/alerts",
    ins=inputs("sentiment/daily_index", "sentiment/mention_scores", "sources/mentions"),
    kinds={"polars"},
    code_version="2",
)
def alerts(
    context: dg.AssetExecutionContext,
    daily_index: pl.DataFrame,
    mention_scores: pl.DataFrame,
    mentions: pl.DataFrame,
    spine: SpineResource,
    lake: LakeResource,
    sentiment_model: SentimentModelResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """Drops of net sentiment, in total and by campaign, source, language and topic, from a detector with a stated rate
    of false alarms; what is part of another drop says so, and each that leads raises `sentiment_drop_detected`."""
    if mentions.is_empty():
        return skipped("sentiment/alerts", "mentions")
    report = find_drops(daily_index, _scored(context, mention_scores, mentions, lake, sentiment_model))
    raise_drops(outbox(context, spine), client_of(context).client, report.leads)
    return result(report.alerts, **_alert_metadata(report, daily_index))


def raise_drops(told: Tells, client: str, alerts: pl.DataFrame) -> None:
    """One `sentiment_drop_detected` an alert; raising one again changes nothing."""
    for row in alerts.iter_rows(named=True):
        detected: datetime = row["detected_at"]
        told.raise_event(
            client,
            SentimentDropDetected(**{name: row[name] for name in SentimentDropDetected.model_fields}),
            occurred_at=detected,
            correlation_id=f"sentiment-drop-{row['alert_id']}",
        )


def _scored(
    context: dg.AssetExecutionContext,
    scores: pl.DataFrame,
    mentions: pl.DataFrame,
    lake: LakeResource,
    sentiment_model: SentimentModelResource,
) -> Scored:
    """The mentions that count, corrected by what the client's classifier is known to say of each class."""
    reading, _ = open_reading(sentiment_model, lake.get(), client_of(context))
    own = reading.origin == "client"
    return scored_mentions(
        scores,
        mentions,
        reading.soft_confusion,
        basis="the client's own labelled mentions"
        if own
        else "public posts, which may read otherwise than the client's",
        now=datetime.now(UTC),
    )


def _index_metadata(index: DailyIndex) -> dict[str, Any]:
    total = total_of(index.table).sort("date")
    newest = total.tail(1)
    said: dict[str, Any] = {
        "net_sentiment": newest["net_sentiment"].item() if newest.height else None,
        "net_sentiment_low": newest["low"].item() if newest.height else None,
        "net_sentiment_high": newest["high"].item() if newest.height else None,
        "in_words": _in_words(newest),
        "days": total.height,
        "mentions_counted": total["n"].sum(),
        "mentions_not_scored": index.unscored,
        "mentions_dated_in_the_future": index.future,
        "duplicates_left_out": index.duplicates,
        "corrected_by": index.basis,
        "weights_of_probabilities": index.weights,
    }
    return said | _picture("net_sentiment_by_week", index.table, None)


def _in_words(newest: pl.DataFrame) -> str:
    if newest.is_empty():
        return "no mention could be scored"
    day = newest.row(0, named=True)
    between = "" if day["low"] is None else f" (90 % interval {day['low']:+.2f} to {day['high']:+.2f})"
    return f"Net sentiment on {day['date']} was {day['net_sentiment']:+.2f}{between}, from {day['n']} mentions."


def _alert_metadata(report: AlertReport, index: pl.DataFrame) -> dict[str, Any]:
    from liftos_pipelines.modules.sentiment.watch.index_plots import alert_figure

    leads = report.leads.sort("detected_at", descending=True)
    said: dict[str, Any] = {
        "alerts": report.alerts.height,
        "alerts_that_lead": leads.height,
        "newest": leads["explanation"][0] if leads.height else "no drop",
        "worst_severity": report.alerts["severity"].max(),
        "false_alarms_per_year": report.settings.max_false_alarms if report.monitored else None,
        "false_discovery_rate": report.settings.false_discoveries if report.monitored else None,
        "stream_years": report.stream_years,
        "streams_monitored": ", ".join(report.monitored) or "none",
        "streams_with_too_few_days": ", ".join(report.not_monitored) or "none",
    }
    if report.alerts.height:
        said |= _picture("alerts_by_week", index, report.alerts)
        for number, row in enumerate(leads.head(PICTURES).iter_rows(named=True), start=1):
            said[f"alert_{number}"] = _image(alert_figure(index, row), row["explanation"])
    return said


def _picture(name: str, index: pl.DataFrame, alerts: pl.DataFrame | None) -> dict[str, Any]:
    from liftos_pipelines.modules.sentiment.watch.index_plots import index_figure

    figure = index_figure(index, alerts)
    return {} if figure is None else {name: _image(figure, "Net sentiment by week")}


def _image(figure: "Figure", title: str) -> dg.MetadataValue:
    return dg.MetadataValue.md(markdown_image(figure, title, dpi=75))
