"""What memory tells when a campaign began: that it was asked, and what came of it."""

from __future__ import annotations

from typing import Any

import polars as pl

from liftos_pipelines.spine.database import Spine
from liftos_pipelines.spine.outbox import Tells
from liftos_pipelines.spine.payloads import CampaignStarted, InsightsRecalled


def tell_recalled(told: Tells, spine: Spine, client: str, patterns: pl.DataFrame, insights: pl.DataFrame) -> int:
    """Raise `insights_recalled` for every campaign that began and was not told of yet; how many those were.

    Also where nothing was found: that memory knows nothing is an answer, and what Causal expects does not hang on it.
    """
    known = {getattr(event.payload, "trigger_event_id", "") for event in spine.events(client, [InsightsRecalled.type])}
    new = [event for event in spine.events(client, [CampaignStarted.type]) if event.event_id not in known]
    for event in new:
        said = event.payload
        assert isinstance(said, CampaignStarted)
        found, learned = _about(patterns, said.campaign_id), _about(insights, said.campaign_id)
        told.raise_event(
            client,
            InsightsRecalled(
                trigger_event_id=event.event_id,
                campaign_id=said.campaign_id,
                patterns=found.height,
                answered=_count(found, "abstained", False),
                insights=learned.height,
                validated=_count(learned, "validated", True),
            ),
            occurred_at=event.recorded_at,
            causation_id=event.event_id,
            correlation_id=event.correlation_id,
        )
    return len(new)


def _about(frame: pl.DataFrame, campaign_id: str) -> pl.DataFrame:
    """Rows of the campaign's own question; a table that was skipped has not all columns."""
    if "campaign_id" not in frame.columns:
        return frame.clear()
    mine = frame.filter(pl.col("campaign_id") == campaign_id)
    return mine.filter(pl.col("query_kind") == "campaign") if "query_kind" in frame.columns else mine


def _count(frame: pl.DataFrame, column: str, value: Any) -> int:
    return frame.filter(pl.col(column) == value).height if column in frame.columns else 0
