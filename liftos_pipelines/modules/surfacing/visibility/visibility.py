"""How visible each brand is in the answers of a period, with intervals that respect repeated prompts."""

from __future__ import annotations

import numpy as np
import polars as pl

from liftos_pipelines.modules.surfacing.visibility.counts import DEFINITIONS, METRICS, Counts, count_answers
from liftos_pipelines.modules.surfacing.visibility.intervals import LEVEL, prompt_weights, ratio_intervals
from liftos_pipelines.modules.surfacing.visibility.prompt_groups import members
from liftos_pipelines.stats import FloatArray
from liftos_pipelines.tables import ALL, table

REPLICATES = 1000

EXTRA_COLUMNS: dict[str, pl.DataType] = {
    "own": pl.Boolean(),
    "icc": pl.Float64(),
    "p_highest": pl.Float64(),
    "definition": pl.String(),
}


def visibility(
    mentions: pl.DataFrame, groups: pl.DataFrame | None = None, *, seed: int = 0, replicates: int = REPLICATES
) -> pl.DataFrame:
    """Visibility per month, engine (and `all`), prompt group (and `all`), brand and metric.

    Every answer weighs the same; what each metric divides by what stands in `definition`. Absent counts as not
    ranked: a mean rank over the answers that mention a brand would hide its absences.

    Parameters
    ----------
    mentions : the table `surfacing/answer_mentions` with `mentions.EXTRA_COLUMNS`
    groups : `prompt_groups` of the same answers; without them there is only the group `all`
    seed, replicates : of the bootstrap over prompts

    Returns
    -------
    the table `surfacing/visibility`: `low`, `high` bound 90 % and are null with fewer than two prompts; `value` is
    null where its denominator is zero or not recorded. `icc` is the within-prompt correlation that the interval
    reckons with, `p_highest` the bootstrap probability that the brand leads all tracked brands in that metric (ties
    share it; of the group `all` only).
    """
    contract = table("surfacing/visibility")
    by_group = members(groups)
    frames = []
    for month in count_answers(mentions):
        for counts in month:
            frames.append(_rates(counts, ALL, seed=seed, replicates=replicates))
            for group, prompts in by_group.items():
                part = counts.only(np.array([prompt in prompts for prompt in counts.prompts], dtype=bool))
                if part.units["answers"].any():
                    frames.append(_rates(part, group, seed=seed, replicates=0))
    if not frames:
        return pl.DataFrame(schema=contract.columns | EXTRA_COLUMNS)
    result = pl.concat(frames).sort("period", "engine", "group", "brand", "metric")
    return contract.conform(result.select(*contract.columns, *EXTRA_COLUMNS))


def _rates(counts: Counts, group: str, *, seed: int, replicates: int) -> pl.DataFrame:
    asked = counts.units["answers"]
    draws = prompt_weights(len(counts.prompts), replicates, seed) if replicates and len(counts.prompts) > 1 else None
    columns: dict[str, list[FloatArray]] = {name: [] for name in ("value", "low", "high", "icc", "p_highest")}
    for metric in METRICS:
        above, below = counts.parts(metric)
        found = (*ratio_intervals(above, below, LEVEL), _probability_highest(above, below, draws))
        for column, numbers in zip(columns.values(), found, strict=True):
            column.append(numbers)
    size = len(METRICS)
    return pl.DataFrame(
        {
            "brand": list(counts.brands) * size,
            "own": list(counts.own) * size,
            "metric": [metric for metric in METRICS for _ in counts.brands],
            "definition": [DEFINITIONS[metric] for metric in METRICS for _ in counts.brands],
            **{name: np.concatenate(parts) for name, parts in columns.items()},
            "n_prompts": np.tile((asked > 0).sum(axis=0), size),
            "n_answers": np.tile(asked.sum(axis=0).astype(int), size),
        },
        nan_to_null=True,
    ).with_columns(period=pl.lit(counts.period), engine=pl.lit(counts.engine), group=pl.lit(group))


def _probability_highest(above: FloatArray, below: FloatArray, draws: FloatArray | None) -> FloatArray:
    if draws is None:
        return np.full(above.shape[1], np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = (draws @ above) / (draws @ below)
    known = np.isfinite(values)
    filled = np.where(known, values, -1.0)
    best = filled.max(axis=1, keepdims=True)
    # Sums of the same counts in another order may differ in the last digit.
    leads = (filled >= best - 1e-12) & known & (best > 0)
    probability = np.asarray((leads / np.maximum(leads.sum(axis=1, keepdims=True), 1)).mean(axis=0))
    probability[~known.any(axis=0)] = np.nan
    return probability
