"""What an incident comes from: the data themselves first, then the segments in which the change sits.

An incident is a drop that an alert reported, or a promise that is more likely broken than kept. For each the
rows behind it are found, its window is compared with the one before, and causes are named only beyond chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from liftos_pipelines.modules.eval.attribution import MIX, Attribution, Cause, attribute
from liftos_pipelines.modules.eval.metrics import Scope, _condition, _where
from liftos_pipelines.modules.eval.slo import Slo
from liftos_pipelines.modules.eval.views import Frames, newest, view
from liftos_pipelines.tables import FLOAT, TABLES, TEXT

NONE_FOUND, UNEXPLAINED = "none found", "unexplained"
SEGMENTS = (
    "campaign_id", "source", "language", "engine", "prompt_id", "model", "prompt_name", "prompt_version", "variant",
    "agent_id", "tool",
)  # fmt: skip
MADE_FROM = {
    "sentiment": ("mentions", "labelled_mentions"),
    "surfacing": ("answers", "pages"),
    "llm": ("llm_calls",),
    "agentic": ("agent_steps", "agents"),
    "causal": ("marketing_outcome", "marketing_media", "marketing_controls", "experiments"),
}
REFERENCE_DAYS = 28
TRACED_DAYS = 14
"""Days from an alert's onset that are looked at, as far as they have come in."""
NEAR_DAYS = 7
VOLUME_ALPHA, VOLUME_FACTOR = 0.01, 2.0

SCHEMA: dict[str, Any] = TABLES["eval/root_causes"].columns | {
    "rank": pl.Int64(), "kind": TEXT, "change": FLOAT, "share_of_change": FLOAT, "p_value": FLOAT, "metric": TEXT,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Incident:
    """What is to be explained: the mean of `value` in `rows` (with `at`) between `start` and `end`, inclusive.

    `rows` is None, with `reason`, where the number has no rows behind it that could be compared.
    """

    incident_id: str
    module: str
    metric: str
    rows: pl.DataFrame | None
    start: date | None = None
    end: date | None = None
    reference_days: int = REFERENCE_DAYS
    note: str = ""
    reason: str = ""


def sentiment_incidents(frames: Frames, impacts: pl.DataFrame | None = None) -> list[Incident]:
    """One a sentiment alert. Its window is the alert's own (or the week it ends), and what followed up to two weeks.

    `impacts` : rows of `causal/impact` with `alert_id`, whose money is added to the note; may be empty.
    """
    alerts = frames.get("sentiment/alerts", TABLES["sentiment/alerts"].empty())
    scored = view(frames, "sentiment/mention_scores")
    if "part_of" in alerts.columns:
        # One fall is one incident: an alert that is part of another one has the same causes.
        alerts = alerts.filter(pl.col("part_of").is_null())
    if alerts.is_empty() or scored.is_empty():
        return []
    rows = scored.with_columns((pl.col("p_positive") - pl.col("p_negative")).alias("value"))
    moment = newest(rows)
    last = moment.date() if moment else date.min
    incidents = []
    for alert in alerts.sort("detected_at", "alert_id").iter_rows(named=True):
        end = alert.get("window_end") or alert["detected_at"].date()
        start = alert.get("window_start") or end - timedelta(days=6)
        # An alert is raised on a few days; what has come in since says more of its cause.
        end = max(_day(end), min(last, _day(start) + timedelta(days=TRACED_DAYS - 1)))
        note = alert["explanation"] or ""
        if impacts is not None and not impacts.is_empty():
            for impact in impacts.filter(pl.col("alert_id") == alert["alert_id"]).iter_rows(named=True):
                money = impact["revenue_at_risk"]
                note += (
                    f" Causal impact {impact['effect']:.4g} ({impact['effect_low']:.4g} to {impact['effect_high']:.4g})"
                )
                note += f", {money:.4g} of revenue at risk." if money is not None else "."
        incidents.append(
            Incident(incident_id=alert["alert_id"], module="sentiment", metric="net sentiment", rows=rows,
                     start=_day(start), end=_day(end), note=note.strip())
        )  # fmt: skip
    return incidents


def promise_incidents(
    slos: Sequence[Slo], degraded: pl.DataFrame, frames: Frames, names: dict[str, Any] | None = None
) -> list[Incident]:
    """One a degraded promise (rows of `trust_scores`), with the rows that its value was made of."""
    by_key = {slo.key: slo for slo in slos}
    incidents = []
    for row in degraded.sort("module", "slo").iter_rows(named=True):
        slo = by_key.get(f"{row['module']}.{row['slo']}")
        if slo is None:
            continue
        rows, reason = rows_behind(slo, frames, names or {})
        end = newest(rows) if rows is not None else None
        days = slo.span.days if slo.span else REFERENCE_DAYS
        incidents.append(
            Incident(
                incident_id=f"{slo.key}@{row['newest'].date() if row['newest'] else 'undated'}", module=slo.module,
                metric=slo.name, rows=rows, end=end.date() if end else None,
                start=end.date() - timedelta(days=days - 1) if end else None, reference_days=days, reason=reason,
                note=f"{slo.name} is {row['value']:.4g}, promised {slo.direction.replace('_', ' ')} {slo.threshold:g}."
                + (f" {row['reason'].capitalize()}." if row["reason"] else ""),
            )
        )  # fmt: skip
    return incidents


def rows_behind(slo: Slo, frames: Frames, names: dict[str, Any]) -> tuple[pl.DataFrame | None, str]:
    """The dated rows whose mean `value` is (or stands for) the promise's value; None and why where there are none.

    A quantile stands as the share of rows beyond the threshold, a share of clean units as one row a unit.
    """
    frame, params = view(frames, slo.table), slo.params
    if "at" not in frame.columns or frame["at"].null_count() == frame.height:
        return None, "its table has no dated rows to compare"
    lacking = [name for name in (*params.get("where", {}), params.get("column")) if name and name not in frame.columns]
    if lacking:
        return None, f'no column "{lacking[0]}" in the table'
    scope = Scope(frames=frames, threshold=slo.threshold, direction=slo.direction, names=names)
    frame = _where(frame, params.get("where", {}), scope)
    column = pl.col(params.get("column", "at"))
    if slo.metric == "share":
        frame = frame if {"is_null", "not_null"} & set(params) else frame.filter(column.is_not_null())
        value = _condition(params).fill_null(False).cast(pl.Float64)
    elif slo.metric == "mean":
        frame, value = frame.filter(column.is_not_null()), column.cast(pl.Float64)
    elif slo.metric == "quantile":
        frame, value = frame.filter(column.is_not_null()), (column > slo.threshold).cast(pl.Float64)
    elif slo.metric == "clean_units":
        kept = [name for name in SEGMENTS if name in frame.columns and name != "tool"]
        frame = frame.group_by(params["unit"], maintain_order=True).agg(
            (~_condition(params).fill_null(False).any()).cast(pl.Float64).alias("value"), pl.col("at").min(),
            *(pl.col(name).first() for name in kept),
        )  # fmt: skip
        return frame, ""
    else:
        return None, f"the metric {slo.metric} has no single rows that could be compared"
    return frame.with_columns(value.alias("value")), ""


def explain(
    incidents: Iterable[Incident], scores: pl.DataFrame, campaigns: pl.DataFrame, *, seed: int = 0
) -> pl.DataFrame:
    """Causes of every incident, ranked: broken data contracts, then segments beyond chance, then what is left.

    Parameters
    ----------
    scores : `eval/trust_scores`; promises of `sources` that are broken come first as causes
    campaigns : `sources/campaigns`; those that began shortly before are named as evidence, not as causes
    """
    rows: list[dict[str, Any]] = []
    for incident in incidents:
        rows.extend(_explain(incident, scores, campaigns, seed))
    frame = pl.DataFrame(rows, schema=SCHEMA)
    return frame.unique(["incident_id", "cause"], keep="first", maintain_order=True)


def _explain(incident: Incident, scores: pl.DataFrame, campaigns: pl.DataFrame, seed: int) -> list[dict[str, Any]]:
    rows = [
        _row(incident, f"data contract: {broken['slo']}", kind="contract",
             evidence=f"{broken['slo']} is {broken['value']:.4g} against {broken['threshold']:g}. {broken['reason']}")
        for broken in scores.filter((pl.col("module") == "sources") & (pl.col("met") == "no")).iter_rows(named=True)
        if _concerns(incident.module, broken["reason"])
    ]  # fmt: skip
    if incident.rows is None or incident.start is None or incident.end is None:
        rows.append(_row(incident, NONE_FOUND, kind="none", evidence=f"{incident.note} Not traced: {incident.reason}."))
        return _ranked(rows)
    reference, current = _sides(incident)
    if reference.is_empty() or current.is_empty():
        side = "in the window" if current.is_empty() else "before the window to compare with"
        rows.append(_row(incident, NONE_FOUND, kind="none", evidence=f"{incident.note} Not traced: no row {side}."))
        return _ranked(rows)
    rows.extend(_volume(incident, reference, current, seed))
    dimensions = [
        name
        for name in SEGMENTS
        if name in current.columns and current[name].n_unique() + reference[name].n_unique() > 2
    ]
    found = attribute(reference, current, dimensions, seed=seed)
    for cause in found.causes:
        rows.append(_cause_row(incident, cause, found, reference, current, campaigns))
    if not rows:
        why = found.reason or "no segment moved apart from the rest beyond chance"
        rows.append(_row(incident, NONE_FOUND, kind="none", change=found.change,
                         evidence=f"{incident.note} {_change_words(incident, found)}; {why}."))  # fmt: skip
    rows.append(
        _row(incident, UNEXPLAINED, kind="rest", change=found.change, contribution=found.unexplained,
             low=found.unexplained_low, high=found.unexplained_high, share=_share(found.unexplained, found.change),
             evidence=f"{_change_words(incident, found)}; what no named cause accounts for")
    )  # fmt: skip
    return _ranked(rows)


def _concerns(module: str, reason: str) -> bool:
    """Whether a broken promise of the sources touches a module: it names a source that the module is made from.

    The metrics `stalest_source` and `quarantine_share` end their reason with that source; without one, it may.
    """
    if module == "sources":
        return False
    _, named, source = reason.rpartition(": ")
    return not named or source in MADE_FROM.get(module, (source,))


def _sides(incident: Incident) -> tuple[pl.DataFrame, pl.DataFrame]:
    assert incident.rows is not None
    assert incident.start is not None
    assert incident.end is not None
    dated = incident.rows.filter(pl.col("at").is_not_null() & pl.col("value").is_not_null()).with_columns(
        pl.col("at").dt.date().alias("day")
    )
    before = incident.start - timedelta(days=incident.reference_days)
    return (
        dated.filter((pl.col("day") >= before) & (pl.col("day") < incident.start)),
        dated.filter((pl.col("day") >= incident.start) & (pl.col("day") <= incident.end)),
    )


def _volume(incident: Incident, reference: pl.DataFrame, current: pl.DataFrame, seed: int) -> list[dict[str, Any]]:
    """Half or double the rows a day, beyond chance: something is wrong with, or new in, the data's supply."""
    assert incident.start is not None
    assert incident.end is not None
    spans = ((incident.start - timedelta(days=incident.reference_days), incident.start - timedelta(days=1)),
             (incident.start, incident.end))  # fmt: skip
    first = reference["day"].min()
    assert isinstance(first, date)
    counts = [
        np.array([side.filter(pl.col("day") == day).height for day in _days(max(span[0], first), span[1])], dtype=float)
        for side, span in zip((reference, current), spans, strict=True)
    ]
    before, now = counts[0].mean(), counts[1].mean()
    if min(before, now) <= 0 or min(map(len, counts)) < 3 or max(now / before, before / now) < VOLUME_FACTOR:
        return []
    rng = np.random.default_rng(seed)
    pooled = np.concatenate(counts)
    shuffled = rng.permuted(np.tile(pooled, (999, 1)), axis=1)
    gaps = np.abs(shuffled[:, : len(counts[0])].mean(1) - shuffled[:, len(counts[0]) :].mean(1))
    p = (1 + int((gaps >= abs(now - before)).sum())) / 1000
    if p > VOLUME_ALPHA:
        return []
    return [
        _row(incident, "data volume", kind="contract", p_value=p,
             evidence=f"rows a day went from {before:.3g} to {now:.3g}, which chance does in {p:.1%} of cases")
    ]  # fmt: skip


def _cause_row(
    incident: Incident, cause: Cause, found: Attribution, reference: pl.DataFrame, current: pl.DataFrame,
    campaigns: pl.DataFrame,
) -> dict[str, Any]:  # fmt: skip
    if cause.kind == "mix":
        label = f"{cause.dimension}: {MIX}"
        evidence = f"shares moved: {_moved_shares(cause.dimension, reference, current)}"
    elif cause.kind == "new":
        label = f"{cause.dimension} = {cause.segment or '(none)'} (new)"
        rows = current.filter(pl.col(cause.dimension).cast(pl.String).fill_null("") == cause.segment)
        evidence = (
            f"first seen on {_first_day(rows)}, since then {rows.height} of {current.height} rows, "
            f"{incident.metric} {_number(cause.current_level)}"
        )
    else:
        label = f"{cause.dimension} = {cause.segment or '(none)'}"
        evidence = (
            f"{incident.metric} there went from {_number(cause.reference_level)} ({cause.n_reference} rows) to "
            f"{_number(cause.current_level)} ({cause.n_current} rows)"
        )
    evidence += "; " + _change_words(incident, found)
    for campaign in _began_near(incident, cause, campaigns):
        evidence += f"; campaign {campaign['name']} began on {campaign['start']}"
    return _row(
        incident, label, kind=cause.kind, change=found.change, contribution=cause.contribution, low=cause.low,
        high=cause.high, share=_share(cause.contribution, found.change), p_value=cause.p_value,
        evidence=f"{evidence}. {incident.note}".strip(),
    )  # fmt: skip


def _began_near(incident: Incident, cause: Cause, campaigns: pl.DataFrame) -> list[dict[str, Any]]:
    assert incident.start is not None
    near = campaigns.filter(
        pl.col("start").is_between(
            incident.start - timedelta(days=NEAR_DAYS), incident.start + timedelta(days=NEAR_DAYS)
        )
    )
    if cause.dimension == "campaign_id" and cause.kind == "level":
        near = near.filter(pl.col("campaign_id") == cause.segment)
    return near.sort("start").head(2).to_dicts()


def _moved_shares(dimension: str, reference: pl.DataFrame, current: pl.DataFrame) -> str:
    """The three segments whose share of the rows moved most, in words."""
    shares = []
    for side in (reference, current):
        names = side[dimension].cast(pl.String).fill_null("(none)").to_list()
        shares.append({name: names.count(name) / len(names) for name in set(names)})
    before, now = shares
    moved = sorted({*before, *now}, key=lambda name: (-abs(now.get(name, 0) - before.get(name, 0)), name))
    return ", ".join(f"{name} {before.get(name, 0):.0%} to {now.get(name, 0):.0%}" for name in moved[:3])


def _row(
    incident: Incident, cause: str, *, kind: str, evidence: str, contribution: float | None = None,
    low: float | None = None, high: float | None = None, change: float | None = None, share: float | None = None,
    p_value: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    return {
        "incident_id": incident.incident_id, "module": incident.module, "cause": cause,
        "contribution": contribution, "low": _known(low), "high": _known(high), "evidence": evidence.strip(),
        "rank": 0, "kind": kind, "change": change, "share_of_change": share, "p_value": p_value,
        "metric": incident.metric,
    }  # fmt: skip


def _ranked(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {"rank": position} for position, row in enumerate(rows, start=1)]


def _change_words(incident: Incident, found: Attribution) -> str:
    spread = "" if math.isnan(found.low) else f" ({found.low:+.3g} to {found.high:+.3g})"
    return f"{incident.metric} changed by {found.change:+.3g}{spread} in all"


def _share(part: float, change: float) -> float | None:
    return part / change if change else None


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"


def _day(value: date | datetime) -> date:
    return value.date() if isinstance(value, datetime) else value


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]


def _first_day(rows: pl.DataFrame) -> str:
    first = rows["day"].min()
    return first.isoformat() if isinstance(first, date) else "an unknown day"
