"""Causal: ROI, marginal ROI, the budget plan, and what the incident cost."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from liftos_pipelines.simulate.findings.finding import (
    Finding,
    Read,
    Truth,
    coverage,
    finding,
    holds,
    not_found,
    number,
    with_interval,
)
from liftos_pipelines.tables import ALL

RESULTS, PLAN, IMPACT = "causal/channel_results", "causal/budget_plan", "causal/impact"


def compare(read: Read, truth: Truth) -> list[Finding]:
    channels = truth["marketing"]["channels"]
    totals = read(RESULTS).filter(pl.col("geo") == ALL)
    found: list[Finding] = []
    for name, true in channels.items():
        rows = totals.filter(pl.col("channel") == name)
        if rows.is_empty():
            found.append(not_found(RESULTS, f"ROI of {name}", number(true["roi"])))
            continue
        row = rows.row(0, named=True)
        found.append(
            finding(
                RESULTS,
                f"ROI of {name}",
                with_interval(row["roi"], row["roi_low"], row["roi_high"]),
                number(true["roi"]),
                holds(row["roi_low"], row["roi_high"], true["roi"]),
            )
        )
    marginal = [
        held
        for row in totals.iter_rows(named=True)
        if row["channel"] in channels
        and (held := holds(row["mroi_low"], row["mroi_high"], channels[row["channel"]]["mroi"])) is not None
    ]
    found.append(coverage(RESULTS, "marginal ROI, all channels", marginal))
    return [*found, _plan(read(PLAN), truth["marketing"]), _impact(read(IMPACT), truth)]


def _plan(plan: pl.DataFrame, marketing: dict[str, Any]) -> Finding:
    """The plan's own promise beside what the true curves make of it, both as a share of the media's conversions."""
    what = "budget plan's gain"
    best = f"best within {marketing['best_split']['bounds']}: {marketing['best_split']['uplift_share_of_media']:+.1%}"
    known = plan.filter(pl.col("channel").is_in(list(marketing["channels"])), pl.col("spend_current") > 0)
    if known.height < len(marketing["channels"]):
        return not_found(PLAN, what, best)
    promised = float(known["response_planned"].sum()) / float(known["response_current"].sum()) - 1
    scales = marketing["scales"]
    now = then = 0.0
    for row in known.iter_rows(named=True):
        scale = row["spend_planned"] / row["spend_current"]
        if scale > scales[-1]:
            return not_found(PLAN, what, f"{best}; the plan more than doubles {row['channel']}, beyond what is kept")
        curve = marketing["channels"][row["channel"]]["conversions_at_scale"]
        now += float(np.interp(1.0, scales, curve))
        then += float(np.interp(scale, scales, curve))
    gain = then / now - 1
    return finding(PLAN, what, f"{promised:+.1%} promised", f"{gain:+.1%} by the true curves; {best}", gain > 0)


def _impact(impact: pl.DataFrame, truth: Truth) -> Finding:
    incident = truth["incident"]
    start, end = date.fromisoformat(incident["start"]), date.fromisoformat(incident["end"])
    what = "conversions lost in the incident"
    hit = impact.filter(pl.col("window_start") <= end, pl.col("window_end") >= start)
    if hit.is_empty():
        return not_found(IMPACT, what, number(incident["conversions_lost"]))
    rows = hit.sort("window_start", "event_id").to_dicts()
    lost = [_lost_in(incident, start, row["window_start"], row["window_end"]) for row in rows]
    held = sum(
        holds(row["effect_low"], row["effect_high"], -true) is True for row, true in zip(rows, lost, strict=True)
    )
    widest = int(np.argmax(lost))
    row, true = rows[widest], lost[widest]
    more = f"; {held} of {len(rows)} windows hold the truth" if len(rows) > 1 else ""
    return finding(
        IMPACT,
        what,
        with_interval(row["effect"], row["effect_low"], row["effect_high"]) + more,
        f"{number(-true)} in {row['window_start']} to {row['window_end']}",
        holds(row["effect_low"], row["effect_high"], -true),
    )


def _lost_in(incident: dict[str, Any], start: date, first: date, last: date) -> float:
    """True loss in a window; a week counts by the share of its days inside."""
    total = 0.0
    for week, loss in enumerate(incident["loss_by_week"]):
        days = [start + timedelta(days=7 * week + day) for day in range(7)]
        total += loss * sum(first <= day <= last for day in days) / 7
    return total
