"""What the modules say will happen, as statements that an outcome can be held against."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from liftos_pipelines.tables import ALL

ACTION_SPAN = timedelta(days=28)
"""How long after an action an outcome of the same action and campaign is taken to be its own."""
INSIGHT_SPAN = timedelta(days=91)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One statement about the future. `key` identifies it; `predicted` is None for an action whose effect nobody
    foresaw, which is watched all the same. `kind` says what its outcome is: effect, success or kpi."""

    module: str
    kind: str
    subject: str
    what: str
    key: str
    made_at: datetime
    due_at: datetime
    predicted: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str | None = None
    campaign_id: str | None = None
    action: str | None = None

    @property
    def prediction_id(self) -> str:
        return hashlib.sha256(f"{self.module}|{self.kind}|{self.key}".encode()).hexdigest()[:32]


def of_proposals(proposals: pl.DataFrame) -> list[Prediction]:
    """Actions that were carried out; what was denied or waits has no outcome to be had."""
    return [
        Prediction(
            module="agentic",
            kind="effect",
            subject=row["action_id"],
            what=f"effect of {row['action']}",
            key=row["action_id"],
            made_at=row["proposed_at"],
            due_at=row["proposed_at"] + ACTION_SPAN,
            predicted=row["predicted_effect"],
            low=row["predicted_low"],
            high=row["predicted_high"],
            campaign_id=_campaign(row["arguments"]),
            action=row["action"],
        )
        for row in proposals.filter(pl.col("status") == "executed").iter_rows(named=True)
    ]


def of_insights(insights: pl.DataFrame, campaigns: pl.DataFrame, as_of: date, now: datetime) -> list[Prediction]:
    """Insights about a campaign that is not over: the chance that their action helps there.

    Several contexts of one campaign may bring the same insight: each action of a campaign is predicted once, and again
    only when that is settled (see `follow`). `as_of` : the newest day of the client's data.
    """
    if "p_success" not in insights.columns:
        return []
    over = set(campaigns.filter(pl.col("end") < as_of)["campaign_id"])
    return [
        Prediction(
            module="memory",
            kind="success",
            subject=row["insight_id"],
            what=f"{row['action']} succeeds",
            key=f"{row['campaign_id']}|{row['action']}|{now.date()}",
            made_at=now,
            due_at=now + INSIGHT_SPAN,
            predicted=row["p_success"],
            low=row["p_success_low"],
            high=row["p_success_high"],
            unit="probability",
            campaign_id=row["campaign_id"],
            action=row["action"],
        )
        for row in insights.iter_rows(named=True)
        if row["p_success"] is not None and row["campaign_id"] and row["campaign_id"] not in over
    ]


def of_campaigns(outlook: pl.DataFrame) -> list[Prediction]:
    """What Causal expected of a campaign: the gain of its money, and the KPI of the weeks until its end."""
    found = []
    for row in outlook.filter(pl.col("status") == "ok").iter_rows(named=True):
        end = midnight(row["last_week"] + timedelta(weeks=1))
        about = {
            "module": "causal",
            "subject": row["campaign_id"],
            "made_at": row["made_at"],
            "due_at": end,
            "campaign_id": row["campaign_id"],
        }
        since = row.get("outcome_from") or row["first_week"]
        found.append(
            Prediction(
                **about,
                kind="gain",
                what="gain of the campaign's budget",
                key=f"campaign|{row['campaign_id']}|gain",
                predicted=row["expected"],
                low=row["low"],
                high=row["high"],
                unit=row["unit"],
            )
        )
        found.append(
            Prediction(
                **about,
                kind="kpi",
                what=f"outcome from {since} to {row['last_week'] + timedelta(days=6)}",
                key=f"{since}|{row['last_week']}|{_joined(row['geos'])}|campaign|{row['campaign_id']}",
                predicted=row["outcome"],
                low=row["outcome_low"],
                high=row["outcome_high"],
                unit="outcome",
            )
        )
    return found


def of_plan(plan: pl.DataFrame, now: datetime) -> list[Prediction]:
    """The budget plan's uplift over the current budget; it can be known only if the plan is followed."""
    whole = plan.filter(pl.col("channel") == ALL)
    if whole.is_empty() or whole["uplift"][0] is None:
        return []
    row = whole.row(0, named=True)
    weeks = row.get("weeks") or 52
    return [
        Prediction(
            module="causal",
            kind="plan",
            subject="budget_plan",
            what="uplift of the budget plan, if it is followed",
            key="plan|" + "|".join(f"{row[name]:.4g}" for name in ("uplift", "spend_planned")),
            made_at=now,
            due_at=now + timedelta(weeks=int(weeks)),
            predicted=row["uplift"],
            low=row["uplift_low"],
            high=row["uplift_high"],
            unit=row.get("unit"),
        )
    ]


def of_forecasts(weeks: pl.DataFrame, now: datetime) -> list[Prediction]:
    """Each week of each scenario, all geos together, as long as it lies ahead of the data it was made from."""
    geos = _joined(weeks.filter(pl.col("geo") != ALL)["geo"].unique().to_list())
    return [
        Prediction(
            module="causal",
            kind="kpi",
            subject=row["scenario"],
            what=f"outcome of the week of {row['date']} under scenario {row['scenario']}",
            key=f"{row['date']}|{row['date']}|{geos}|scenario|{row['scenario']}|{row['outcome']:.4g}",
            made_at=now,
            due_at=midnight(row["date"] + timedelta(weeks=1)),
            predicted=row["outcome"],
            low=row["outcome_low"],
            high=row["outcome_high"],
            unit="outcome",
        )
        for row in weeks.filter(pl.col("geo") == ALL).iter_rows(named=True)
    ]


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


def _joined(geos: Iterable[str] | None) -> str:
    return ";".join(sorted(geos or ()))


def _campaign(arguments: str) -> str | None:
    found = json.loads(arguments).get("campaign_id")
    return found if isinstance(found, str) and found != ALL else None
