"""How visible each brand is in the answers of a period, with intervals that respect repeated prompts.

Answers to one prompt resemble each other (an intra-class correlation of about .8 was measured on real
answers), so the prompt is the unit of evidence: asking it more often adds little, asking more prompts does.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from liftos_pipelines.stats import FloatArray
from liftos_pipelines.tables import ALL, table

METRICS = ("mention_rate", "share_of_voice", "top1_rate", "top3_rate", "citation_share")
LEVEL = 0.9
REPLICATES = 1000
FEW_PROMPTS = 60
"""Below this many prompts, or within this many effective prompts of 0 or 1, the t-based interval is used."""
MIN_EFFECTIVE = 10.0

EXTRA_COLUMNS: dict[str, pl.DataType] = {"interval": pl.String(), "p_highest": pl.Float64(), "own": pl.Boolean()}


def visibility(mentions: pl.DataFrame, *, seed: int = 0, replicates: int = REPLICATES) -> pl.DataFrame:
    """Visibility per ISO month, engine (and `all`), brand and metric: the table `surfacing/visibility`.

    With one answer's text readable, `mention_rate` is answers that mention the brand / answers;
    `share_of_voice` is answers that mention the brand / the same count summed over all tracked brands;
    `top1_rate` and `top3_rate` are answers that rank it first or among the first three / answers (absent
    counts as not ranked: a mean rank over the answers that mention it would hide its absences);
    `citation_share` is cited pages on the brand's domains / all cited pages. Every answer weighs the same.

    Parameters
    ----------
    mentions : the table `surfacing/answer_mentions` with `mentions.EXTRA_COLUMNS`
    seed, replicates : of the bootstrap over prompts

    Returns
    -------
    the contract's columns; `low`, `high` bound 90 % and are null with fewer than two prompts; `value` is null
    where its denominator is zero or not recorded. `interval` names the method, `p_highest` is the
    bootstrap probability that the brand leads all tracked brands in that metric (ties share it).

    Sources: Field and Welsh (2007) for resampling clusters; Korn and Graubard (1998) for the effective
    sample size of a clustered proportion; Wilson (1927) for the score interval.
    """
    contract = table("surfacing/visibility")
    known = mentions.filter(pl.col("mentioned").is_not_null() & pl.col("asked_at").is_not_null())
    if known.is_empty():
        return pl.DataFrame(schema=contract.columns | EXTRA_COLUMNS)
    known = known.with_columns(period=pl.col("asked_at").dt.strftime("%Y-%m"))
    brands = known.group_by("brand", maintain_order=True).agg(pl.col("own").first())
    frames = []
    pooled = known.with_columns(engine=pl.lit(ALL))
    for group in (known, pooled):
        for (period, engine), part in group.group_by("period", "engine", maintain_order=True):
            rates = _group(part, brands, seed=seed, replicates=replicates)
            frames.append(rates.with_columns(period=pl.lit(period), engine=pl.lit(engine)))
    result = pl.concat(frames).sort("period", "engine", "brand", "metric")
    return contract.conform(result.select(*contract.columns, *EXTRA_COLUMNS))


def _group(part: pl.DataFrame, brands: pl.DataFrame, *, seed: int, replicates: int) -> pl.DataFrame:
    names = brands["brand"].to_list()
    prompts = part["prompt_id"].unique(maintain_order=True)
    row = part["prompt_id"].replace_strict(prompts, range(prompts.len()), return_dtype=pl.Int64).to_numpy()
    column = part["brand"].replace_strict(names, range(len(names)), return_dtype=pl.Int64).to_numpy()
    shape = (prompts.len(), len(names))

    def total(expression: pl.Expr) -> FloatArray:
        values = part.select(expression.cast(pl.Float64).fill_null(0.0)).to_series().to_numpy()
        totals = np.bincount(row * shape[1] + column, weights=values, minlength=shape[0] * shape[1])
        return np.asarray(totals, dtype=float).reshape(shape)

    answers = total(pl.col("mentioned").is_not_null())
    mentioned = total(pl.col("mentioned"))
    numerators = {
        "mention_rate": mentioned,
        "share_of_voice": mentioned,
        "top1_rate": total(pl.col("rank") == 1),
        "top3_rate": total(pl.col("rank") <= 3),
        "citation_share": total(pl.col("brand_citations")),
    }
    denominators = dict.fromkeys(METRICS, answers) | {
        "share_of_voice": np.repeat(mentioned.sum(axis=1, keepdims=True), shape[1], axis=1),
        "citation_share": total(pl.when(pl.col("brand_citations").is_not_null()).then(pl.col("citations"))),
    }
    above = np.hstack([numerators[metric] for metric in METRICS])
    below = np.hstack([denominators[metric] for metric in METRICS])
    draws = _prompt_weights(shape[0], replicates, seed) if shape[0] > 1 else None
    value, low, high, method = ratio_intervals(above, below, draws)
    leads = _probability_highest(above, below, draws, len(names))
    return pl.DataFrame(
        {
            "brand": names * len(METRICS),
            "own": brands["own"].to_list() * len(METRICS),
            "metric": [metric for metric in METRICS for _ in names],
            "value": value,
            "low": low,
            "high": high,
            "interval": method,
            "p_highest": leads,
            "n_prompts": np.tile((answers > 0).sum(axis=0), len(METRICS)),
            "n_answers": np.tile(answers.sum(axis=0).astype(int), len(METRICS)),
        },
        nan_to_null=True,
    )


def _prompt_weights(prompts: int, replicates: int, seed: int) -> FloatArray:
    """How often each prompt is drawn in each bootstrap replicate, (replicates, prompts)."""
    rng = np.random.default_rng(seed)
    return np.asarray(rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=replicates), dtype=float)


def ratio_intervals(
    above: FloatArray, below: FloatArray, draws: FloatArray | None, level: float = LEVEL
) -> tuple[FloatArray, FloatArray, FloatArray, list[str]]:
    """Ratios of totals over prompts with their intervals.

    Parameters
    ----------
    above, below : (n_prompts, m), each prompt's part of numerator and denominator
    draws : (replicates, n_prompts) bootstrap weights; None gives no interval
    level : coverage

    Returns
    -------
    value, low, high : (m,), NaN where not measurable
    method : (m,), `bootstrap`, `t` or `unknown`
    """
    totals = below.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(totals > 0, above.sum(axis=0) / totals, np.nan)
        active = (below > 0).sum(axis=0)  # prompts that say anything about this ratio
        residual = np.where(below > 0, above - value * below, 0.0)
        variance = active / (active - 1) * (residual**2).sum(axis=0) / totals**2
        effective = np.where(variance > 0, value * (1 - value) / variance, active)
    # Repeats never tell more than as many independent answers, nor less than one answer a prompt would
    # when nothing varies between prompts.
    effective = np.clip(effective, 1.0, np.maximum(totals, 1.0))
    low, high = _t_score_interval(value, effective, active, level)
    method = np.where(np.isnan(low), "unknown", "t").astype("U9")
    if draws is not None:
        inside = np.minimum(value, 1 - value) * effective >= MIN_EFFECTIVE
        chosen = np.flatnonzero(inside & (active >= FEW_PROMPTS))
        if chosen.size:
            with np.errstate(divide="ignore", invalid="ignore"):
                replicates = (draws @ above[:, chosen]) / (draws @ below[:, chosen])
            tail = (1 - level) / 2
            low[chosen], high[chosen] = np.nanquantile(replicates, [tail, 1 - tail], axis=0)
            method[chosen] = "bootstrap"
    return value, low, high, method.tolist()


def _t_score_interval(
    value: FloatArray, effective: FloatArray, prompts: NDArray[np.int64], level: float
) -> tuple[FloatArray, FloatArray]:
    """Wilson's score interval at the effective sample size, with Student's t for the few prompts."""
    usable = (prompts >= 2) & np.isfinite(value)
    t = stats.t.ppf(0.5 + level / 2, np.where(usable, prompts - 1, 1))
    centre = (value + t**2 / (2 * effective)) / (1 + t**2 / effective)
    half = t / (1 + t**2 / effective) * np.sqrt(value * (1 - value) / effective + t**2 / (4 * effective**2))
    low = np.where(usable, np.maximum(centre - half, 0.0), np.nan)
    high = np.where(usable, np.minimum(centre + half, 1.0), np.nan)
    return low, high


def _probability_highest(above: FloatArray, below: FloatArray, draws: FloatArray | None, brands: int) -> FloatArray:
    if draws is None:
        return np.full(above.shape[1], np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        replicates = (draws @ above) / (draws @ below)
    values = replicates.reshape(draws.shape[0], -1, brands)
    known = np.isfinite(values)
    filled = np.where(known, values, -1.0)
    best = filled.max(axis=2, keepdims=True)
    leads = (filled == best) & known & (best > 0)
    share = leads / np.maximum(leads.sum(axis=2, keepdims=True), 1)
    probability = share.mean(axis=0)
    probability[~known.any(axis=0)] = np.nan
    return probability.reshape(-1)
