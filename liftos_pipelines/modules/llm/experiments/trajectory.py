"""What a look at the end of each day would have said: the primary metric's estimate and sequence, day by day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import polars as pl

from liftos_pipelines.modules.llm.experiments.compare import ALPHA
from liftos_pipelines.modules.llm.experiments.judge import measured_in, primary_alone
from liftos_pipelines.modules.llm.experiments.measured import with_metrics
from liftos_pipelines.modules.llm.experiments.pairs import Pair, pairs
from liftos_pipelines.modules.llm.experiments.plan import Plan, all_plans

MOST_DAYS = 40
SCHEMA = {
    "experiment": pl.String(),
    "variant_b": pl.String(),
    "metric": pl.String(),
    "looked_at": pl.Date(),
    "estimate": pl.Float64(),
    "cs_low": pl.Float64(),
    "cs_high": pl.Float64(),
    "verdict": pl.String(),
}


def by_day(
    calls: pl.DataFrame, scores: pl.DataFrame, plans: Sequence[Plan] = (), *, alpha: float = ALPHA
) -> pl.DataFrame:
    """One row an experiment, arm and day on which there were calls; of many days, evenly spaced ones and the last."""
    frame = with_metrics(calls, scores)
    rows = []
    for plan in all_plans(frame, list(plans)):
        for pair in pairs(frame, plan):
            metric = plan.primary_metric(measured_in(pair))
            if metric is None:
                continue
            days = pair.calls["called_at"].dt.date().unique().sort(descending=True)
            for day in reversed(days.to_list()[:: 1 + days.len() // MOST_DAYS]):
                found = primary_alone(_until(pair, day + timedelta(days=1)), metric, alpha / (len(pair.arms) - 1))
                rows.append(
                    {
                        "experiment": plan.experiment,
                        "variant_b": pair.other,
                        "metric": metric.name,
                        "looked_at": day,
                        "estimate": found.estimate,
                        "cs_low": found.cs_low,
                        "cs_high": found.cs_high,
                        "verdict": found.verdict,
                    }
                )
    return pl.DataFrame(rows, schema=SCHEMA)


def _until(pair: Pair, end: date) -> Pair:
    before = pl.col("called_at").dt.date() < pl.lit(end)
    return replace(pair, calls=pair.calls.filter(before), everything=pair.everything.filter(before))
