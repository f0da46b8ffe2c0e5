"""The brand beside its competitors over time: level, change on the same prompts, slope, and how stable ranks are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from scipy import stats

from liftos_pipelines.modules.surfacing.visibility.counts import Counts, count_answers
from liftos_pipelines.modules.surfacing.visibility.intervals import LEVEL, prompt_weights, ratio, ratio_intervals
from liftos_pipelines.modules.surfacing.visibility.ranks import rank_bounds, rank_probabilities
from liftos_pipelines.stats import FloatArray
from liftos_pipelines.tables import table

METRICS = ("mention_rate", "share_of_voice", "top1_rate", "top3_rate", "win_rate", "citation_share")
REPLICATES = 500
QUARTER = 3
"""Months: the newest quarter against the one before, where both have answers in each month."""
MIN_SLOPE_MONTHS = 3
SLOPE_MONTHS = 12


def benchmark(mentions: pl.DataFrame, *, seed: int = 0, replicates: int = REPLICATES) -> pl.DataFrame:
    """The table `surfacing/benchmark`: brand by metric and engine in the newest month.

    `change` is against the engine's month before and `quarter_change` the newest three months against the three
    before, each on the prompts asked in both and with an interval of their own differences, so that neither a changed
    panel nor prompts' lasting leanings are taken for a change. `slope` is per month over the last twelve. All are null
    where they cannot be measured (fewer than two common prompts, too few months). `p_first`, `rank_low` and
    `rank_high` are of a bootstrap over prompts.

    Parameters
    ----------
    mentions : the table `surfacing/answer_mentions`
    seed, replicates : of the bootstrap
    """
    contract = table("surfacing/benchmark")
    rows: list[dict[str, object]] = []
    for history in histories(mentions).values():
        counts = history[-1]
        draws = prompt_weights(len(counts.prompts), replicates, seed) if len(counts.prompts) > 1 else None
        for metric in METRICS:
            rows += _metric_rows(history, metric, draws)
    return contract.conform(pl.DataFrame(rows, schema=contract.columns, infer_schema_length=None))


def histories(mentions: pl.DataFrame) -> dict[str, list[Counts]]:
    """Counts of every engine (and `all`) by month, oldest first, of engines that were asked in the newest month."""
    found: dict[str, list[Counts]] = {}
    newest = ""
    for month in count_answers(mentions):
        for counts in month:
            found.setdefault(counts.engine, []).append(counts)
            newest = counts.period
    return {engine: history for engine, history in found.items() if history[-1].period == newest}


def _metric_rows(history: list[Counts], metric: str, draws: FloatArray | None) -> list[dict[str, object]]:
    counts = history[-1]
    parts = [one.parts(metric) for one in history]
    prompts = [one.prompts for one in history]
    value, low, high, _ = ratio_intervals(*parts[-1], LEVEL)
    before = history[-2] if len(history) > 1 else None
    change = paired_change(prompts[-1], parts[-1], prompts[-2], parts[-2]) if before is not None else None
    quarter = _quarter_change(history, metric)
    slope = _slope(history, parts)
    p_first, rank_low, rank_high = _ranks(*parts[-1], draws)
    rows: list[dict[str, object]] = []
    for b, brand in enumerate(counts.brands):
        row: dict[str, object] = {
            "period": counts.period, "engine": counts.engine, "brand": brand, "own": counts.own[b], "metric": metric,
            "value": _known(value[b]), "low": _known(low[b]), "high": _known(high[b]),
            "compared_with": before.period if before is not None and change is not None else None,
            "paired_prompts": change[3] if change is not None else 0,
            "p_first": _known(p_first[b]),
            "rank_low": int(rank_low[b]) if np.isfinite(rank_low[b]) else None,
            "rank_high": int(rank_high[b]) if np.isfinite(rank_high[b]) else None,
            "months": len(history), "n_prompts": int((counts.units["answers"][:, b] > 0).sum()),
        }  # fmt: skip
        for name, estimate in (("change", change), ("quarter_change", quarter), ("slope", slope)):
            for suffix, numbers in zip(("", "_low", "_high"), estimate[:3] if estimate else (None,) * 3, strict=True):
                row[name + suffix] = _known(numbers[b]) if numbers is not None else None
        rows.append(row)
    return rows


def paired_change(
    now_prompts: Sequence[str],
    now: tuple[FloatArray, FloatArray],
    before_prompts: Sequence[str],
    before: tuple[FloatArray, FloatArray],
    level: float = LEVEL,
) -> tuple[FloatArray, FloatArray, FloatArray, int] | None:
    """Change of ratios on the prompts asked both times: estimate, low, high (n_brands,), and how many prompts.

    `now`, `before`: numerator and denominator, (n_prompts, n_brands). The interval is Student's t on the prompts'
    linearised differences; a prompt of chance disagreement each way is added, so that few prompts that happen not to
    differ do not make a change certain to be nil (after Agresti and Min 2005). None with fewer than two prompts.
    """
    at_now = {prompt: p for p, prompt in enumerate(now_prompts) if now[1][p].max() > 0}
    at_before = {prompt: p for p, prompt in enumerate(before_prompts) if before[1][p].max() > 0}
    both = sorted(at_now.keys() & at_before.keys())
    if len(both) < 2:
        return None
    rows_now, rows_before = [at_now[p] for p in both], [at_before[p] for p in both]
    value, influence = linearised(now[0][rows_now], now[1][rows_now])
    old, old_influence = linearised(before[0][rows_before], before[1][rows_before])
    change = value - old
    repeats = np.minimum(now[1][rows_now].mean(axis=0), before[1][rows_before].mean(axis=0))
    half = _half_width(influence - old_influence, (value + old) / 2, repeats, level)
    low, high = np.maximum(change - half, -1.0), np.minimum(change + half, 1.0)
    return change, low, high, len(both)


def linearised(above: FloatArray, below: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A ratio of totals (m,), and each prompt's part in its error, (n_prompts, m), summing to nil."""
    value = ratio(above, below)
    with np.errstate(divide="ignore", invalid="ignore"):
        return value, (above - value * below) / below.sum(axis=0)


def _half_width(influence: FloatArray, value: FloatArray, repeats: FloatArray, level: float) -> FloatArray:
    """Student's half-width; `value` and `repeats` (m,) say what chance disagreement on a prompt is worth."""
    size = len(influence)
    smoothed = (value * size + 0.5) / (size + 1)
    disagreement = 4 * smoothed * (1 - smoothed) / np.maximum(repeats, 1.0)
    spread = size**3 / (size - 1) * (influence**2).sum(axis=0)
    variance = (spread + disagreement) / (size + 2) ** 2
    return np.asarray(stats.t.ppf(0.5 + level / 2, size - 1) * np.sqrt(variance))


def _quarter_change(history: list[Counts], metric: str) -> tuple[FloatArray, FloatArray, FloatArray, int] | None:
    if len(history) < 2 * QUARTER or not _consecutive([one.period for one in history[-2 * QUARTER :]]):
        return None
    old, new = _merged(history[-2 * QUARTER : -QUARTER]), _merged(history[-QUARTER:])
    return paired_change(new.prompts, new.parts(metric), old.prompts, old.parts(metric))


def _merged(history: Sequence[Counts]) -> Counts:
    """Several months of one engine as one."""
    prompts = tuple(sorted({prompt for one in history for prompt in one.prompts}))
    units: Mapping[str, FloatArray] = {
        name: np.sum([_aligned(one, name, prompts) for one in history], axis=0) for name in history[0].units
    }
    last = history[-1]
    return Counts(
        period=last.period, engine=last.engine, prompts=prompts, brands=last.brands, own=last.own, units=units
    )


def _aligned(counts: Counts, unit: str, prompts: tuple[str, ...]) -> FloatArray:
    return _placed(counts, counts.units[unit], prompts)


def _placed(counts: Counts, values: FloatArray, prompts: tuple[str, ...]) -> FloatArray:
    out = np.zeros((len(prompts), values.shape[1]))
    place = {prompt: p for p, prompt in enumerate(prompts)}
    out[[place[prompt] for prompt in counts.prompts]] = values
    return out


def _slope(
    history: list[Counts], parts: list[tuple[FloatArray, FloatArray]]
) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    """Least-squares slope of the months' ratios per month; its error from the prompts' part in every month."""
    recent = list(zip(history, parts, strict=True))[-SLOPE_MONTHS:]
    if len(recent) < MIN_SLOPE_MONTHS:
        return None
    when = np.array([month_number(one.period) for one, _ in recent], dtype=float)
    weights = (when - when.mean()) / ((when - when.mean()) ** 2).sum()
    prompts = tuple(sorted({prompt for one, _ in recent for prompt in one.prompts}))
    if len(prompts) < 2:
        return None
    slope = np.zeros(len(history[-1].brands))
    influence = np.zeros((len(prompts), len(slope)))
    for weight, (one, (above, below)) in zip(weights, recent, strict=True):
        value, each = linearised(above, below)
        slope += weight * value
        influence += weight * _placed(one, each, prompts)
    half = stats.t.ppf(0.5 + LEVEL / 2, len(prompts) - 1) * np.sqrt(
        len(prompts) / (len(prompts) - 1) * (influence**2).sum(axis=0)
    )
    return slope, slope - half, slope + half


def _ranks(above: FloatArray, below: FloatArray, draws: FloatArray | None) -> tuple[FloatArray, FloatArray, FloatArray]:
    brands = above.shape[1]
    unknown = np.full(brands, np.nan)
    measured = np.flatnonzero(below.sum(axis=0) > 0)
    if draws is None or not measured.size:
        return unknown, unknown, unknown
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.nan_to_num((draws @ above[:, measured]) / (draws @ below[:, measured]), nan=-1.0)
    rng = np.random.default_rng(0)
    values = values + 1e-9 * rng.random(values.shape)  # brands never named share their ranks
    chances = rank_probabilities(values)
    low, high = rank_bounds(chances)
    out = [unknown.copy() for _ in range(3)]
    for target, numbers in zip(out, (chances[:, 0], low, high), strict=True):
        target[measured] = numbers
    return out[0], out[1], out[2]


def month_number(period: str) -> int:
    """Months since year 0 of `YYYY-MM`."""
    year, month = period.split("-")
    return 12 * int(year) + int(month)


def _consecutive(periods: list[str]) -> bool:
    numbers = [month_number(period) for period in periods]
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _known(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
