"""A campaign begins: what to expect of it under current conditions, and what memory's validated insights suggest."""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.modules.memory.learning.validation import direction_of
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.posterior_io import ABSENT, UNKNOWN
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.outbox import outbox
from liftos_pipelines.tables import table
from liftos_pipelines.text import Name, NameFinder

OUTLOOK, SUGGESTIONS = "causal/campaign_outlook", "causal/budget_suggestions"
REACTION = "causal/campaigns"
# Asked each day, also before a new client's first weekly fit.
SERVED = inputs("causal/panel") | {"champion": dg.AssetIn(key=["causal", "champion"], metadata={ABSENT: UNKNOWN})}


@lift_asset(
    OUTLOOK,
    ins=SERVED | inputs("sources/campaigns"),
    deps=[["causal", "monitor"]],
    kinds={"arviz"},
    code_version="1",
)
def campaign_outlook(
    context: dg.AssetExecutionContext, panel: pl.DataFrame, champion: Any, campaigns: pl.DataFrame, lake: LakeResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """What each campaign that runs on may be expected to gain over the current plan, and the outcome of its weeks, with
    90 % intervals; said once, when it begins, and kept, so that it can be held against what came. Unknown, with the
    reason, where its channel is not modelled, no budget is known, or no week of it lies ahead."""
    from liftos_pipelines.modules.causal.engine import reading
    from liftos_pipelines.modules.causal.inputs.panel import PanelError
    from liftos_pipelines.modules.causal.plan.campaign import Expectation, expect

    if campaigns.is_empty():
        return skipped(OUTLOOK, "campaigns")
    if panel.is_empty():
        return skipped(OUTLOOK, "marketing")
    client, store, now = context.partition_key, lake.get(), datetime.now(UTC)
    contract = table(OUTLOOK)
    earlier = store.read(client, OUTLOOK)
    kept = earlier.filter(pl.col("status") == "ok")
    known = {row["campaign_id"]: row for row in earlier.iter_rows(named=True)}
    fitted = spec = None
    if reading.is_fitted(champion):
        fitted, spec = reading.read_fitted(champion, panel), reading.spec_of(champion)
    monitor = store.read(client, "causal/monitor")
    drifted = bool(monitor["drift_flag"].fill_null(False).any())
    rows = []
    for row in campaigns.join(kept, on="campaign_id", how="anti").iter_rows(named=True):
        found: Expectation | str
        if fitted is None or spec is None:
            found = f"no model serves ({champion.attrs['status']})"
        elif row["channel"] is None:
            found = "the campaign names no channel"
        elif row["budget"] is None:
            found = "the campaign names no budget"
        else:
            try:
                found = expect(
                    fitted, panel, spec, channel=row["channel"], start=row["start"], end=row["end"],
                    budget=row["budget"], seed=spec.seed,
                )  # fmt: skip
            except PanelError as reason:
                found = str(reason)
        blank = dict.fromkeys(contract.columns) | {
            "campaign_id": row["campaign_id"],
            "channel": row["channel"],
            "made_at": now,
            "budget": row["budget"],
        }
        if isinstance(found, str):
            said_before = known.get(row["campaign_id"], {})
            unknown = blank | {"status": f"unknown: {found}"}
            rows.append(said_before if said_before.get("status") == unknown["status"] else unknown)
            continue
        conditions = [*found.conditions]
        if drifted:
            conditions.insert(0, "the model's monitor flags drift: it is fitted anew before this is relied on")
        said = {name: value for name, value in vars(found).items() if name != "conditions"}
        rows.append(blank | said | {"status": "ok", "conditions": "; ".join(conditions)})
    fresh = pl.DataFrame([{name: row[name] for name in contract.columns} for row in rows], schema=contract.columns)
    together = pl.concat([kept.select(list(contract.columns)), fresh])
    return result(together, expected=together["expected"].count(), unknown=together["expected"].null_count())


@lift_asset(
    SUGGESTIONS,
    ins=SERVED | inputs("sources/campaigns", "memory/insights"),
    deps=[OUTLOOK.split("/"), ["causal", "budget_plan"]],
    kinds={"arviz"},
    code_version="1",
)
def budget_suggestions(
    context: dg.AssetExecutionContext,
    panel: pl.DataFrame,
    champion: Any,
    campaigns: pl.DataFrame,
    insights: pl.DataFrame,
    lake: LakeResource,
    spine: SpineResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """Budgets that memory's insights suggest for campaigns that run on, only where Causal agrees under current
    conditions: the amount is the budget plan's for the weeks left, the effect the model's, with a 90 % interval."""
    from liftos_pipelines.modules.causal.engine import reading
    from liftos_pipelines.modules.causal.plan.campaign import expect, planned_change, weeks_left

    told, client = outbox(context, spine), client_of(context)
    for event in spine.get().unhandled(REACTION, ["insights_recalled"], limit=100_000, client=client.client):
        told.mark_handled(event.event_id, REACTION)
    contract = table(SUGGESTIONS)
    if insights.is_empty() or campaigns.is_empty():
        return result(contract.empty(), suggestions=0, status="ok: memory has no insight to suggest from")
    if panel.is_empty() or not reading.is_fitted(champion):
        return skipped(SUGGESTIONS, "a marketing-mix model that serves")
    fitted, spec = reading.read_fitted(champion, panel), reading.spec_of(champion)
    plan = [
        {name: row.get(name) for name in ("channel", "spend_current", "spend_planned", "weeks")}
        for row in lake.get().read(client.client, "causal/budget_plan").iter_rows(named=True)
    ]
    earlier = {row["suggestion_id"]: row for row in lake.get().read(client.client, SUGGESTIONS).iter_rows(named=True)}
    now, rows = datetime.now(UTC), []
    for insight, campaign, channel in _agreed(insights, campaigns, [str(row["channel"]) for row in plan]):
        identity = hashlib.sha256(f"{insight['insight_id']}|{campaign['campaign_id']}|{channel}".encode()).hexdigest()
        running, _ = weeks_left(panel, campaign["start"], campaign["end"])
        if not running:
            continue
        amount = planned_change(plan, channel, len(running))
        if amount is not None and (amount <= 0 if _more(insight) else amount >= 0):
            continue  # Within the same total the plan needs this channel's money elsewhere: nothing to suggest.
        found: Any = "the budget plan says nothing of it"
        if amount is not None:
            first, last = running[0], min(campaign["end"], running[-1])
            found = expect(fitted, panel, spec, channel=channel, start=first, end=last, budget=amount, seed=spec.seed)
        known = not isinstance(found, str)
        row = {
            "suggestion_id": identity[:32],
            "made_at": now,
            "campaign_id": campaign["campaign_id"],
            "channel": channel,
            "amount": None if amount is None else round(amount, 2),
            "currency": client.currency,
            "expected": found.expected if known else None,
            "low": found.low if known else None,
            "high": found.high if known else None,
            "unit": found.unit if known else None,
            "weeks": len(running),
            "insight_id": insight["insight_id"],
            "pattern_id": _pattern_of(insight),
            "validated": True,
            "reason": f"{insight['recommendation']} (confidence {insight['confidence']:.2f}); {insight['validation']}"
            + ("" if known else f"; effect unknown: {found}"),
        }
        before = earlier.get(row["suggestion_id"])
        # The same suggestion keeps the day it was first made.
        same = before is not None and all(before[name] == row[name] for name in row if name != "made_at")
        rows.append(before if same and before is not None else row)
    frame = pl.DataFrame([{name: row[name] for name in contract.columns} for row in rows], schema=contract.columns)
    return result(frame.unique("suggestion_id", keep="first", maintain_order=True), suggestions=frame.height)


def _agreed(
    insights: pl.DataFrame, campaigns: pl.DataFrame, channels: list[str]
) -> Iterator[tuple[dict[str, Any], dict[str, Any], str]]:
    """Validated insights that move spend, each with its campaign and the channel that it is about."""
    finder = NameFinder([Name(name=name, aliases=(name.replace("_", " "),)) for name in channels])
    by_id = {row["campaign_id"]: row for row in campaigns.iter_rows(named=True)}
    for insight in insights.filter(pl.col("validated").fill_null(False)).iter_rows(named=True):
        campaign = by_id.get(insight.get("campaign_id"))
        if campaign is None or direction_of(insight["action"] or "") is None:
            continue
        named = {hit.name for hit in finder.find(insight["action"])} or {campaign["channel"]}
        if len(named) == 1 and (channel := named.pop()) is not None:
            yield insight, campaign, channel


def _more(insight: dict[str, Any]) -> bool:
    """Whether an insight speaks for more spend: doing a raise, or avoiding a cut."""
    return (direction_of(insight["action"]) == "more") == (insight["p_success"] > 0.5)


def _pattern_of(insight: dict[str, Any]) -> str | None:
    try:
        return str(json.loads(insight["evidence"])["pattern_id"])
    except (ValueError, KeyError, TypeError):
        return None
