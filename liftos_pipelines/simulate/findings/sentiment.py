"""Sentiment: classes, the daily index, and the alert on the incident."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl

from liftos_pipelines.simulate.findings.finding import (
    Finding,
    Read,
    Truth,
    coverage,
    finding,
    not_found,
    share,
)
from liftos_pipelines.simulate.mentions import CLASSES
from liftos_pipelines.stats import wilson_interval
from liftos_pipelines.tables import ALL

SCORES, INDEX, ALERTS = "sentiment/mention_scores", "sentiment/daily_index", "sentiment/alerts"
LATE_DAYS = 14
"""An alert this long after the incident's end is no longer counted as being about it."""


def compare(read: Read, truth: Truth) -> list[Finding]:
    index = read(INDEX)
    return [
        *_classes(read(SCORES), truth["sentiment"]["class_digits"]),
        _index(index, truth["sentiment"]["net_by_day"]),
        *_alerts(read(ALERTS), truth["incident"], watched=not index.is_empty()),
    ]


def _classes(scores: pl.DataFrame, digits: str) -> list[Finding]:
    dummy = max(digits.count(str(number)) for number in range(len(CLASSES))) / len(digits)
    beside = f"always the most frequent class: {dummy:.1%}"
    what = "class of a mention, all mentions"
    known = (
        scores.select("mention_id", "label", "p_negative", "p_neutral", "p_positive", "abstained")
        .with_columns(number=pl.col("mention_id").str.extract(r"^m-(\d+)$", 1).cast(pl.Int64))
        .filter(pl.col("number").is_not_null() & (pl.col("number") < len(digits)))
    )
    if known.is_empty():
        return [not_found(SCORES, what, beside)]
    true = pl.Series("true", [CLASSES[int(digits[row])] for row in known["number"]], dtype=pl.String)
    # The most probable class, also where the module abstained: full coverage, so that nothing is left out.
    best = pl.concat_list("p_negative", "p_neutral", "p_positive").list.arg_max()
    judged = known.with_columns(true, best=pl.Series(CLASSES).gather(known.select(best).to_series()))
    right, n = int((judged["best"] == judged["true"]).sum()), judged.height
    low, _ = wilson_interval(right, n)
    found = [finding(SCORES, what, share(right, n), beside, low > dummy)]
    sure = judged.filter(~pl.col("abstained"))
    if sure.height:
        right_sure = int((sure["label"] == sure["true"]).sum())
        low_sure, _ = wilson_interval(right_sure, sure.height)
        of_all = f"; says so of {sure.height / n:.0%} of mentions"
        found.append(
            finding(
                SCORES,
                "class where it does not abstain",
                share(right_sure, sure.height) + of_all,
                f"no worse than over all; {beside}",
                low_sure > dummy and right_sure / sure.height >= right / n,
            )
        )
    return found


def _index(index: pl.DataFrame, net_by_day: dict[str, Any]) -> Finding:
    rows = [
        {"campaign_id": campaign_id, "date": date.fromisoformat(days["start"]) + timedelta(days=offset), "true": net}
        for campaign_id, days in net_by_day.items()
        for offset, net in enumerate(days["net"])
    ]
    one_campaign = [pl.col(name) == ALL for name in ("source", "language", "topic")]
    both = index.filter(*one_campaign, pl.col("low").is_not_null()).join(
        pl.DataFrame(rows), on=["campaign_id", "date"], how="inner"
    )
    held = both.select((pl.col("true") >= pl.col("low")) & (pl.col("true") <= pl.col("high"))).to_series().to_list()
    return coverage(INDEX, "net sentiment a day and campaign", held)


def _alerts(alerts: pl.DataFrame, incident: dict[str, str], *, watched: bool) -> list[Finding]:
    """No alert is a miss where a daily index was watched, and unknown where there was none."""
    start, end = date.fromisoformat(incident["start"]), date.fromisoformat(incident["end"])
    beside = f"{incident['campaign_id']} from {start}"
    if not watched:
        return [not_found(ALERTS, "alert on the incident", beside)]
    day = pl.col("detected_at").dt.date()
    about = pl.col("campaign_id").is_in([incident["campaign_id"], ALL]) & day.is_between(
        start, end + timedelta(days=LATE_DAYS)
    )
    hits = alerts.filter(about, pl.col("campaign_id") != ALL).sort("detected_at")
    others = alerts.filter(~about)
    if hits.height:
        first = hits.row(0, named=True)
        delay = (first["detected_at"].date() - start).days
        what_found = f"{first['campaign_id']} on {first['detected_at']:%Y-%m-%d}, {delay} days after it began"
    else:
        what_found = "no alert on its campaign"
    return [
        finding(ALERTS, "alert on the incident", what_found, beside, hits.height > 0),
        finding(
            ALERTS,
            "alerts on anything else",
            f"{others.height} in two years",
            "0: nothing else was planted",
            others.is_empty(),
        ),
    ]
