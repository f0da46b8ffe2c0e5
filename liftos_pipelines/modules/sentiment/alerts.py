"""Drop alerts: which stream fell, by how much, how bad it is, and what it consists of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from liftos_pipelines.modules.sentiment.detector import Alarm, DetectorSettings, Monitoring, monitor
from liftos_pipelines.tables import ALL, table

Array = NDArray[np.float64]

SEED = 7
EXEMPLARS = 5
SEVERITY_SCALE = 0.1
"""Points of the brand's daily index lost that give severity 1 - 1/e."""

NO_CAMPAIGN = "no campaign"
_EXTRA: dict[str, Any] = {
    "window_start": pl.Date(),
    "window_end": pl.Date(),
    "effect_low": pl.Float64(),
    "effect_high": pl.Float64(),
    "level_before": pl.Float64(),
    "false_alarms_per_year": pl.Float64(),
    "threshold": pl.Float64(),
}
SCHEMA = {**table("sentiment/alerts").columns, **_EXTRA}


@dataclass(frozen=True, kw_only=True)
class AlertReport:
    """Alerts; streams watched and not (too few days); stated false alarms a year over all; stream-years watched."""

    alerts: pl.DataFrame
    monitored: tuple[str, ...]
    not_monitored: tuple[str, ...]
    false_alarms_per_year: float
    stream_years: float


def find_drops(
    index: pl.DataFrame, scores: pl.DataFrame, mentions: pl.DataFrame, settings: DetectorSettings | None = None
) -> AlertReport:
    """Drops of net sentiment, per campaign and for the total.

    Parameters
    ----------
    index : `sentiment/daily_index` with `se`; only rows over all sources are watched
    scores, mentions : to explain a drop and to name the posts behind it

    The allowance of false alarms (`settings.max_false_alarms` a year over all streams) is shared equally among the
    streams that can be monitored (Bonferroni). Severity is the drop times the stream's share of the brand's
    mentions, the points that the brand's own index lost, scaled to (0, 1).
    """
    settings = settings or DetectorSettings()
    days = index.filter(pl.col("source") == ALL).sort("date")
    streams = {
        name: _calendar(days.filter(pl.col("campaign_id") == name)) for name in sorted(days["campaign_id"].unique())
    }
    watchable = [name for name, (_, net, *_) in streams.items() if _long_enough(net, settings)]
    results: dict[str, Monitoring] = {}
    for name in watchable:
        _, net, variance, volume = streams[name]
        found = monitor(
            net, variance, volume, target=settings.max_false_alarms / len(watchable), settings=settings, seed=SEED
        )
        if found is not None:
            results[name] = found
    detail = _detail(scores, mentions)
    rows = [
        _alert(name, streams[name], alarm, result, detail)
        for name, result in results.items()
        for alarm in result.alarms
    ]
    alerts = pl.DataFrame(rows, schema=SCHEMA, orient="row").sort("detected_at", "campaign_id")
    return AlertReport(
        alerts=alerts,
        monitored=tuple(results),
        not_monitored=tuple(name for name in streams if name not in results),
        false_alarms_per_year=float(sum(result.false_alarms_per_year for result in results.values())),
        stream_years=sum(result.monitored_days for result in results.values()) / 365.25,
    )


def decompose(before: pl.DataFrame, after: pl.DataFrame, by: str) -> pl.DataFrame:
    """A change of the mean, split by group into a change of level and a change of share.

    `level` = share after x (level after - level before), `mix` = (share after - share before) x (level before - mean
    before); over the groups they add up to the change of the mean. A group that is new has no level before: its
    distance from the old mean counts as mix. Source: Kitagawa (1955), Components of a difference between two rates.
    """
    mean = float(before["net"].mean())  # type: ignore[arg-type]
    both = _shares(before, by, "0").join(_shares(after, by, "1"), on=by, how="full", coalesce=True)
    old_level = pl.coalesce("level0", "level1")
    share0, share1 = pl.col("share0").fill_null(0.0), pl.col("share1").fill_null(0.0)
    return (
        both.with_columns(
            level=share1 * (pl.coalesce("level1", "level0") - old_level),
            mix=(share1 - share0) * (old_level - mean),
        )
        .with_columns(change=pl.col("level") + pl.col("mix"))
        .sort("change")
    )


def _shares(frame: pl.DataFrame, by: str, suffix: str) -> pl.DataFrame:
    return frame.group_by(by).agg(
        (pl.len() / frame.height).alias(f"share{suffix}"), pl.col("net").mean().alias(f"level{suffix}")
    )


def _calendar(days: pl.DataFrame) -> tuple[date, Array, Array, Array]:
    """First day, and net sentiment, its variance and volume on every day from the first to the last."""
    first, last = days["date"].min(), days["date"].max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    position = np.array([(day - first).days for day in days["date"]])
    net = np.full((last - first).days + 1, np.nan)
    variance, volume = net.copy(), np.zeros(net.size)
    net[position] = days["net_sentiment"].to_numpy()
    variance[position] = days["se"].cast(pl.Float64).fill_null(float("nan")).to_numpy() ** 2
    volume[position] = days["n"].to_numpy()
    return first, net, variance, volume


def _long_enough(net: Array, settings: DetectorSettings) -> bool:
    seen = np.flatnonzero(np.isfinite(net))
    return seen.size > settings.min_baseline and net.size > settings.min_baseline + settings.gap_days


def _detail(scores: pl.DataFrame, mentions: pl.DataFrame) -> pl.DataFrame:
    return (
        mentions.select("mention_id", "published_at", "source", "campaign_id", "engagement", "text")
        .join(scores.select("mention_id", "p_negative", "p_positive", "abstained"), on="mention_id")
        .drop_nulls("p_negative")
        .with_columns(
            date=pl.col("published_at").dt.date(),
            net=pl.col("p_positive") - pl.col("p_negative"),
            campaign=pl.col("campaign_id").fill_null(NO_CAMPAIGN),
        )
    )


def _alert(
    name: str, stream: tuple[date, Array, Array, Array], alarm: Alarm, result: Monitoring, detail: pl.DataFrame
) -> dict[str, Any]:
    first, net, variance, volume = stream
    window = slice(alarm.onset, alarm.day + 1)
    seen = np.isfinite(net[window])
    weights = volume[window][seen]
    level = float(np.average(net[window][seen], weights=weights))
    effect = level - alarm.baseline.level
    half = float(stats.norm.ppf(0.95)) * _effect_error(alarm, variance[window][seen])
    day = [first + timedelta(days=int(at)) for at in (alarm.onset, alarm.day, alarm.baseline_start, alarm.baseline_end)]
    everything = detail.filter(pl.col("date").is_between(day[0], day[1]))
    own = everything if name == ALL else everything.filter(pl.col("campaign_id") == name)
    earlier = detail.filter(pl.col("date").is_between(day[2], day[3], closed="left"))
    earlier = earlier if name == ALL else earlier.filter(pl.col("campaign_id") == name)
    n = int(volume[window].sum())
    lost = max(0.0, -effect) * n / max(everything.height, 1)
    alert_id = hashlib.blake2b(f"sentiment|{name}|{day[0].isoformat()}".encode(), digest_size=6).hexdigest()
    return {
        "alert_id": f"sentiment-{alert_id}",
        "detected_at": own["published_at"].max(),
        "campaign_id": name,
        "severity": float(1 - np.exp(-lost / SEVERITY_SCALE)),
        "effect": effect,
        "n": n,
        "explanation": _explain(name, (day[0], day[1]), alarm.baseline.level, level, half, n, earlier, own),
        "exemplars": _exemplars(own),
        "window_start": day[0],
        "window_end": day[1],
        "effect_low": effect - half,
        "effect_high": effect + half,
        "level_before": alarm.baseline.level,
        "false_alarms_per_year": result.false_alarms_per_year,
        "threshold": result.threshold,
    }


def _effect_error(alarm: Alarm, sampling: Array) -> float:
    """Standard error of window mean minus baseline level: persistence of both and sampling noise."""
    days, rho = sampling.size, alarm.baseline.persistence
    lags = np.arange(1, days)
    inflation = 1 + 2 * float(((1 - lags / days) * rho**lags).sum())
    window = alarm.baseline.variance * inflation / days + float(sampling.mean()) / days
    long_run = (1 + rho) / (1 - rho)
    return float(np.sqrt(window + (alarm.baseline.variance * long_run + alarm.baseline.sampling) / alarm.baseline.days))


def _explain(
    name: str,
    window: tuple[date, date],
    before: float,
    after: float,
    half: float,
    n: int,
    old: pl.DataFrame,
    new: pl.DataFrame,
) -> str:
    who = "Net sentiment of all mentions" if name == ALL else f"Net sentiment of campaign {name}"
    change = after - before
    text = (
        f"{who} fell from {before:+.2f} to {after:+.2f} ({change:+.2f}, 90 % interval {change - half:+.2f} to "
        f"{change + half:+.2f}) between {window[0]} and {window[1]}, {n} mentions."
    )
    by = "campaign" if name == ALL else "source"
    if old.is_empty() or new.is_empty():
        return text
    parts = decompose(old, new, by).filter(pl.col("change") < 0).head(3)
    reasons = [
        f"{row[by]} {row['change']:+.2f} (level {row['level']:+.2f}, share {row['mix']:+.2f})"
        for row in parts.iter_rows(named=True)
    ]
    return f"{text} By {by}: {'; '.join(reasons)}." if reasons else text


def _exemplars(own: pl.DataFrame) -> list[str]:
    """Posts that show the drop: surest negative first, each text once, the most engaged copy of it."""
    order = own.sort(
        ["abstained", "p_negative", "engagement", "mention_id"], descending=[False, True, True, False], nulls_last=True
    )
    return order.unique("text", keep="first", maintain_order=True).head(EXEMPLARS)["mention_id"].to_list()
