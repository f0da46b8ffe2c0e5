"""Drop alerts: which stream fell, by how much, how bad it is, what it consists of, and what it is part of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from liftos_pipelines.modules.sentiment.watch.calendar_terms import holiday_mask
from liftos_pipelines.modules.sentiment.watch.decomposition import CROSSED, DIMENSIONS, PART, components
from liftos_pipelines.modules.sentiment.watch.detector import Alarm, DetectorSettings, Monitoring, watch
from liftos_pipelines.modules.sentiment.watch.grouping import (
    CAMPAIGN,
    KINDS,
    LANGUAGE,
    SOURCE,
    TOPIC,
    TOTAL,
    Fall,
    led_by,
)
from liftos_pipelines.modules.sentiment.watch.index import GROUPS, NO_TOPIC, Scored
from liftos_pipelines.tables import ALL, table

Array = NDArray[np.float64]

SEED = 7
EXEMPLARS = 5
SEVERITY_SCALE = 0.1
"""Points of the brand's daily index lost that give severity 1 - 1/e."""
ALLOWANCE = {TOTAL: 0.25, CAMPAIGN: 0.375, TOPIC: 0.125, SOURCE: 0.125, LANGUAGE: 0.125}
"""How the allowance of false alarms is divided among the kinds of stream: what one would act on gets most of it."""
NEARLY_ALL = 0.95
NO_CAMPAIGN = "no campaign"
COLUMN = {CAMPAIGN: "campaign_id", TOPIC: "topic", SOURCE: "source", LANGUAGE: "language"}

_EXTRA: dict[str, Any] = {
    "stream_kind": pl.String(),
    "stream": pl.String(),
    "group_id": pl.String(),
    "part_of": pl.String(),
    "window_start": pl.Date(),
    "window_end": pl.Date(),
    "baseline_start": pl.Date(),
    "baseline_end": pl.Date(),
    "effect_low": pl.Float64(),
    "effect_high": pl.Float64(),
    "level_before": pl.Float64(),
    "level_after": pl.Float64(),
    "p_value": pl.Float64(),
    "false_alarms_per_year": pl.Float64(),
    "components": pl.List(PART),
}
SCHEMA = {**table("sentiment/alerts").columns, **_EXTRA}


@dataclass(frozen=True, kw_only=True)
class AlertReport:
    """Alerts; streams watched and not (too few days), as `kind: name`; stream-years watched; settings it ran with."""

    alerts: pl.DataFrame
    monitored: tuple[str, ...]
    not_monitored: tuple[str, ...]
    stream_years: float
    settings: DetectorSettings

    @property
    def leads(self) -> pl.DataFrame:
        """Alerts that are part of no other: what one is told of."""
        return self.alerts.filter(pl.col("part_of").is_null())


def find_drops(
    index: pl.DataFrame, scored: Scored, settings: DetectorSettings | None = None, holidays: Iterable[date] = ()
) -> AlertReport:
    """Drops of net sentiment: of the total, and of each campaign, source, language and topic.

    Parameters
    ----------
    index : `net_sentiment_by_day(scored).table`
    scored : the mentions behind it, to explain a drop and to name the posts behind it
    holidays : days that are no evidence, neither of a drop nor of what is usual

    False alarms are limited over all streams together (`discovery`); `ALLOWANCE` says how they share. Severity is the
    drop times the stream's share of the brand's mentions, the points that the brand's own index lost, scaled to (0, 1).
    """
    settings = settings or DetectorSettings()
    streams, first, y, v, n = _calendar(index)
    if y.size:
        v[:, holiday_mask(first, y.shape[1], holidays)] = np.nan
    kinds = np.array([KINDS.index(kind) for kind, _ in streams], dtype=np.int64)
    shares = np.array([ALLOWANCE[kind] for kind in KINDS])
    watched = watch(y, v, n, settings=settings, seed=SEED, kinds=kinds, shares=shares) if streams else []
    detail = _detail(scored)
    found = [
        (stream, alarm, result, _Window(first, alarm, result, v[row], n[row], _of(detail, *stream), detail))
        for row, (stream, result) in enumerate(zip(streams, watched, strict=True))
        if result is not None
        for alarm in result.alarms
    ]
    falls = [
        Fall(
            alert_id=_alert_id(*stream, window.start), kind=stream[0], name=stream[1], start=window.start,
            end=window.end, effect=window.effect, severity=window.severity, before=window.before, after=window.after,
        )
        for stream, _, _, window in found
    ]  # fmt: skip
    part_of = led_by(falls, _belongs)
    called = {fall.alert_id: (fall.kind, fall.name) for fall in falls}
    rows = [
        _alert(fall, alarm, result, window, part_of[fall.alert_id], called, part_of)
        for fall, (_, alarm, result, window) in zip(falls, found, strict=True)
    ]
    names = [f"{kind}: {name}" if kind != TOTAL else TOTAL for kind, name in streams]
    return AlertReport(
        alerts=pl.DataFrame(rows, schema=SCHEMA, orient="row").sort("detected_at", "stream_kind", "stream"),
        monitored=tuple(name for name, result in zip(names, watched, strict=True) if result is not None),
        not_monitored=tuple(name for name, result in zip(names, watched, strict=True) if result is None),
        stream_years=sum(each.monitored_days for each in watched if each is not None) / settings.steps_a_year,
        settings=settings,
    )


class _Window:
    """What is known of one alarm: its days, levels, effect with its error, severity, and the mentions it rests on."""

    def __init__(
        self, first: date, alarm: Alarm, result: Monitoring, v: Array, n: Array, own: pl.DataFrame, detail: pl.DataFrame
    ) -> None:
        self.start, self.end, self.old_start, old_stop = (
            first + timedelta(days=int(at)) for at in (alarm.onset, alarm.day, alarm.baseline_start, alarm.baseline_end)
        )
        self.old_end = old_stop - timedelta(days=1)
        inside = slice(alarm.onset, alarm.day + 1)
        seen = np.isfinite(result.adjusted[inside])
        days = result.adjusted[inside][seen]
        # A day weighs by what it tells: the inverse of its lasting and its sampling variance.
        level = float(np.average(days, weights=1 / (alarm.baseline.variance + v[inside][seen])))
        # No net sentiment lies outside -1 to 1, however noisy its estimate.
        self.level_before, self.level_after = (float(np.clip(each, -1, 1)) for each in (alarm.baseline.level, level))
        self.effect = self.level_after - self.level_before
        self.half = float(stats.norm.ppf(0.95)) * _effect_error(alarm, v[inside][seen])
        self.n = int(n[inside].sum())
        self.after = own.filter(pl.col("date").is_between(self.start, self.end))
        self.before = own.filter(pl.col("date").is_between(self.old_start, self.old_end))
        everything = detail.filter(pl.col("date").is_between(self.start, self.end)).height
        self.severity = float(1 - np.exp(-max(0.0, -self.effect) * self.n / max(everything, 1) / SEVERITY_SCALE))


def _calendar(index: pl.DataFrame) -> tuple[list[tuple[str, str]], date, Array, Array, Array]:
    """Streams (kind, name), the first day, and net sentiment, its variance and volume, (streams, days)."""
    nothing = np.empty((0, 0))
    if index.is_empty():
        return [], date.min, nothing, nothing, nothing
    parts = {name: pl.col(name) != ALL for name in GROUPS}
    single = index.filter(pl.sum_horizontal(parts.values()) <= 1)
    kind = pl.lit(TOTAL)
    name = pl.lit(ALL)
    for each, column in COLUMN.items():
        kind = pl.when(parts[column]).then(pl.lit(each)).otherwise(kind)
        name = pl.when(parts[column]).then(pl.col(column)).otherwise(name)
    days = single.select("date", "estimate", "se", "n", kind=kind, name=name).filter(
        ~((pl.col("kind") == TOPIC) & (pl.col("name") == NO_TOPIC))
    )
    days = days.filter(~_as_the_total(days))
    first, last = days["date"].min(), days["date"].max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    order = {name: at for at, name in enumerate(KINDS)}
    streams = sorted(set(days.select("kind", "name").iter_rows()), key=lambda each: (order[each[0]], each[1]))
    place = {stream: at for at, stream in enumerate(streams)}
    row = np.array([place[each] for each in days.select("kind", "name").iter_rows()])
    day = (days["date"] - first).dt.total_days().to_numpy()
    y = np.full((len(streams), (last - first).days + 1), np.nan)
    v, n = y.copy(), np.zeros(y.shape)
    y[row, day] = days["estimate"].to_numpy()
    v[row, day] = days["se"].cast(pl.Float64).fill_null(float("nan")).to_numpy() ** 2
    n[row, day] = days["n"].to_numpy()
    return streams, first, y, v, n


def _as_the_total(days: pl.DataFrame) -> pl.Expr:
    """Rows of a source, language or topic that is nearly every mention: watching it would say the total twice."""
    sizes = days.group_by("kind", "name").agg(pl.col("n").sum())
    whole = int(sizes.filter(pl.col("kind") == TOTAL)["n"].sum())
    same = sizes.filter(pl.col("kind").is_in([SOURCE, LANGUAGE, TOPIC]), pl.col("n") >= NEARLY_ALL * whole)
    pairs = list(same.select("kind", "name").iter_rows())
    return pl.any_horizontal(
        pl.lit(False), *((pl.col("kind") == kind) & (pl.col("name") == name) for kind, name in pairs)
    )


def _detail(scored: Scored) -> pl.DataFrame:
    """The mentions with the columns that a decomposition splits by."""
    return scored.rows.with_columns(
        campaign=pl.col("campaign_id").fill_null(NO_CAMPAIGN),
        source=pl.col("source").fill_null("unknown"),
        language=pl.col("language").fill_null("unknown"),
        topics=pl.when(pl.col("topics").list.len() > 0).then(pl.col("topics")).otherwise(pl.lit([NO_TOPIC])),
    )


def _belongs(kind: str, name: str) -> pl.Expr:
    if kind == TOTAL:
        return pl.lit(True)
    return pl.col("topics").list.contains(name) if kind == TOPIC else pl.col(COLUMN[kind]) == name


def _of(detail: pl.DataFrame, kind: str, name: str) -> pl.DataFrame:
    return detail.filter(_belongs(kind, name))


def _alert_id(kind: str, name: str, start: date) -> str:
    stream = name if kind in (TOTAL, CAMPAIGN) else f"{kind}:{name}"
    digest = hashlib.blake2b(f"sentiment|{stream}|{start.isoformat()}".encode(), digest_size=6).hexdigest()
    return f"sentiment-{digest}"


def _alert(
    fall: Fall, alarm: Alarm, result: Monitoring, window: _Window, lead: str | None,
    called: dict[str, tuple[str, str]], part_of: dict[str, str | None],
) -> dict[str, Any]:  # fmt: skip
    dimensions = [each for each in DIMENSIONS if each != fall.kind]
    parts = components(window.before, window.after, dimensions, seed=SEED)
    followers = [called[each] for each, its in part_of.items() if its == fall.alert_id]
    return {
        "alert_id": fall.alert_id,
        "detected_at": window.after["published_at"].max(),
        "campaign_id": fall.name if fall.kind == CAMPAIGN else ALL,
        "severity": window.severity,
        "effect": window.effect,
        "n": window.n,
        "explanation": _explain(fall, window, parts, called.get(lead or ""), followers),
        "exemplars": _exemplars(window.after, parts),
        "stream_kind": fall.kind,
        "stream": fall.name,
        "group_id": lead or fall.alert_id,
        "part_of": lead,
        "window_start": window.start,
        "window_end": window.end,
        "baseline_start": window.old_start,
        "baseline_end": window.old_end,
        "effect_low": window.effect - window.half,
        "effect_high": window.effect + window.half,
        "level_before": window.level_before,
        "level_after": window.level_after,
        "p_value": alarm.p_value,
        "false_alarms_per_year": float(np.exp(result.null.log_rate(alarm.statistic))),
        "components": parts,
    }


def _effect_error(alarm: Alarm, sampling: Array) -> float:
    """Standard error of window mean minus baseline level: persistence of both and sampling noise."""
    days, rho = sampling.size, alarm.baseline.persistence
    lags = np.arange(1, days)
    inflation = 1 + 2 * float(((1 - lags / days) * rho**lags).sum())
    window = alarm.baseline.variance * inflation / days + float(sampling.mean()) / days
    long_run = (1 + rho) / (1 - rho)
    return float(np.sqrt(window + (alarm.baseline.variance * long_run + alarm.baseline.sampling) / alarm.baseline.days))


def stream_words(kind: str, name: str) -> str:
    """A stream as one would say it."""
    return "all mentions" if kind == TOTAL else f"{kind} {name}"


def _explain(
    fall: Fall, window: _Window, parts: list[dict[str, Any]], lead: tuple[str, str] | None,
    followers: list[tuple[str, str]],
) -> str:  # fmt: skip
    before, change, half = window.level_before, window.effect, window.half
    text = [
        f"Net sentiment of {stream_words(fall.kind, fall.name)} fell from {before:+.2f} to {window.level_after:+.2f} "
        f"({change:+.2f}, 90 % interval {change - half:+.2f} to {change + half:+.2f}) between {window.start} and "
        f"{window.end}, {window.n} mentions."
    ]
    for dimension in [each for each in DIMENSIONS if each != fall.kind]:
        falling = [part for part in parts if part["dimension"] == dimension and part["high"] < 0][:3]
        if falling and len({part["part"] for part in parts if part["dimension"] == dimension}) > 1:
            said = "; ".join(
                f"{part['part']} {part['change']:+.2f} (level {part['level']:+.2f}, share {part['mix']:+.2f})"
                for part in falling
            )
            text.append(f"By {dimension}: {said}.")
    if lead:
        text.append(f"Part of the fall of {stream_words(*lead)}.")
    if followers:
        text.append(f"It shows in {', '.join(stream_words(*each) for each in sorted(followers))} too.")
    return " ".join(text)


def _exemplars(own: pl.DataFrame, parts: list[dict[str, Any]]) -> list[str]:
    """Posts that show the drop: of the cell that explains most of it first, the surest negative, each text once."""
    crossed = [part for part in parts if part["dimension"] == CROSSED and part["change"] < 0]
    columns = [each for each in DIMENSIONS if each != "topic"]
    cells = {tuple(part["part"].split(" | ")) for part in crossed[:3]}
    named = {value for cell in cells for value in cell}
    hits = [pl.col(column).is_in(sorted(named)).cast(pl.Int64) for column in columns]
    near = pl.sum_horizontal(hits)
    likely = pl.col("p_negative") > pl.max_horizontal("p_neutral", "p_positive")
    order = own.with_columns(likely=likely, near=near).sort(
        ["likely", "near", "p_negative", "engagement", "mention_id"],
        descending=[True, True, True, True, False],
        nulls_last=True,
    )
    return order.unique("text", keep="first", maintain_order=True).head(EXEMPLARS)["mention_id"].to_list()
