"""Mention rates for the report: posterior per month, engine and brand, and who leads whom as probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from liftos_pipelines.modules.surfacing.visibility.counts import Counts, count_answers
from liftos_pipelines.modules.surfacing.visibility.posterior import DRAWS, sample_engine
from liftos_pipelines.modules.surfacing.visibility.ranks import above, couple, rank_bounds, rank_probabilities
from liftos_pipelines.stats import FloatArray
from liftos_pipelines.tables import ALL, table

MONTHS = 12
"""Months of the report; the newest ones."""
MIN_PROMPTS = 2


@dataclass(frozen=True, kw_only=True)
class _Series:
    """The brands of one engine and month: `rates`, `icc` (draws, n_brands), `prompts` (their names, answers)."""

    counts: Counts
    rates: FloatArray
    icc: FloatArray
    edge: FloatArray


def visibility_posterior(
    mentions: pl.DataFrame, *, seed: int = 0, draws: int = DRAWS
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The tables `surfacing/visibility_posterior` and `surfacing/visibility_pairs`.

    Of each month (the newest `MONTHS`) and engine that asked at least two prompts: every brand's mention rate averaged
    over prompts with its 90 % interval, within-prompt correlation, probability of leading, rank interval and rank
    probabilities. `all` weighs engines by their answers. The pairs are of the newest month.

    Parameters
    ----------
    mentions : the table `surfacing/answer_mentions`
    seed, draws : of the posterior's draws
    """
    contract, pairs = table("surfacing/visibility_posterior"), table("surfacing/visibility_pairs")
    found: list[_Series] = []
    for number, month in enumerate(list(count_answers(mentions))[-MONTHS:]):
        for position, counts in enumerate(month[:-1]):
            asked = counts.units["answers"]
            if (asked.max(axis=1) > 0).sum() < MIN_PROMPTS:
                continue
            own_seed = seed + 1000 * number + position
            sampled = sample_engine(counts.units["mentioned"], asked, seed=own_seed, draws=draws)
            found.append(_Series(counts=counts, rates=sampled.rates, icc=sampled.icc, edge=sampled.edge))
    if not found:
        return contract.empty(), pairs.empty()
    coupled = _coupled(found, seed)
    rows: list[dict[str, object]] = []
    pair_rows: list[dict[str, object]] = []
    newest = found[-1].counts.period
    for period in sorted({series.counts.period for series in found}):
        month_series = [(s, c) for s, c in zip(found, coupled, strict=True) if s.counts.period == period]
        groups = [(s.counts.engine, rates, s.icc, s.edge, _size(s.counts)) for s, rates in month_series]
        groups.append((ALL, *_pooled(month_series)))
        for engine, rates, icc, edge, size in groups:
            counts = month_series[0][0].counts
            rows += _rows(counts, str(engine), rates, icc, edge, size)
            if period == newest:
                pair_rows += _pairs(counts, str(engine), rates)
    return contract.conform(pl.DataFrame(rows, schema=contract.columns)), pairs.conform(
        pl.DataFrame(pair_rows, schema=pairs.columns)
    )


def _coupled(found: list[_Series], seed: int) -> list[FloatArray]:
    """Each series' draws, coupled over brands, engines and months."""
    prompts = sorted({prompt for series in found for prompt in series.counts.prompts})
    place = {prompt: p for p, prompt in enumerate(prompts)}
    brands = len(found[0].counts.brands)
    rates = np.full((len(prompts), len(found) * brands), np.nan)
    for number, series in enumerate(found):
        rows = [place[prompt] for prompt in series.counts.prompts]
        with np.errstate(divide="ignore", invalid="ignore"):
            rates[rows, number * brands : (number + 1) * brands] = (
                series.counts.units["mentioned"] / series.counts.units["answers"]
            )
    together = couple(np.hstack([series.rates for series in found]), rates, seed=seed)
    return np.split(together, len(found), axis=1)


def _size(counts: Counts) -> tuple[int, int]:
    asked = counts.units["answers"].max(axis=1)
    return int((asked > 0).sum()), int(asked.sum())


def _pooled(
    month: list[tuple[_Series, FloatArray]],
) -> tuple[FloatArray, FloatArray, FloatArray, tuple[int, int]]:
    """All engines of a month together, weighed by their answers."""
    sizes = np.array([_size(series.counts)[1] for series, _ in month], dtype=float)
    share = sizes / sizes.sum()
    rates = sum(weight * rates for weight, (_, rates) in zip(share, month, strict=True))
    icc = sum(weight * series.icc for weight, (series, _) in zip(share, month, strict=True))
    edge = np.max([series.edge for series, _ in month], axis=0)
    asked = np.max([series.counts.units["answers"].max(axis=1) for series, _ in month], axis=0)
    return np.asarray(rates), np.asarray(icc), edge, (int((asked > 0).sum()), int(sizes.sum()))


def _rows(
    counts: Counts, engine: str, rates: FloatArray, icc: FloatArray, edge: FloatArray, size: tuple[int, int]
) -> list[dict[str, object]]:
    low, high = np.quantile(rates, [0.05, 0.95], axis=0)
    icc_low, icc_high = np.quantile(icc, [0.05, 0.95], axis=0)
    chances = rank_probabilities(rates)
    rank_low, rank_high = rank_bounds(chances)
    return [
        {
            "period": counts.period, "engine": engine, "brand": brand, "own": counts.own[b],
            "rate": float(rates[:, b].mean()), "low": float(low[b]), "high": float(high[b]),
            "icc": float(icc[:, b].mean()), "icc_low": float(icc_low[b]), "icc_high": float(icc_high[b]),
            "p_first": float(chances[b, 0]), "rank_low": int(rank_low[b]), "rank_high": int(rank_high[b]),
            "rank_probabilities": chances[b].tolist(), "edge": float(edge[b]), "draws": len(rates),
            "n_prompts": size[0], "n_answers": size[1],
        }
        for b, brand in enumerate(counts.brands)
    ]  # fmt: skip


def _pairs(counts: Counts, engine: str, rates: FloatArray) -> list[dict[str, object]]:
    chance = above(rates)
    rows: list[dict[str, object]] = []
    for b, brand in enumerate(counts.brands):
        apart = rates[:, [b]] - rates
        low, high = np.quantile(apart, [0.05, 0.95], axis=0)
        rows += [
            {
                "period": counts.period, "engine": engine, "brand": brand, "other": other,
                "p_above": float(chance[b, o]), "difference": float(apart[:, o].mean()),
                "low": float(low[o]), "high": float(high[o]),
            }
            for o, other in enumerate(counts.brands)
            if o != b
        ]  # fmt: skip
    return rows
