"""The scan that takes days as exchangeable, kept as a baseline: 5 days against the 28 before, all series jointly.

The threshold comes from the client's own data: days are put in random order many times, which keeps their
spread and destroys any change in time, and the threshold is what such orders exceed at the stated rate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from liftos_pipelines.stats import FloatArray

RECENT_DAYS = 5
BASE_DAYS = 28
MIN_BASE = 14
"""Fewest asking days before the recent ones; with fewer there is nothing to compare with."""
FALSE_ALARMS_PER_YEAR = 0.1
"""Per engine, for each of the two tests (all series jointly; the largest single brand)."""
PERMUTATIONS = 1000
_CELLS = 4_000_000  # numbers held at once while permuting


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Lengths in asking days."""

    recent: int
    base: int
    minimum: int


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """An alarm on day `day` (position): its windows, the z of every series and the joint statistic."""

    day: int
    recent_start: int
    base_start: int
    z: FloatArray
    joint: float


def windows_for(median_gap_days: float) -> Windows:
    """5 days against the 28 before them for daily asking; the same spans, but at least 3 and 10 askings, otherwise."""
    gap = max(median_gap_days, 1.0)
    base = max(10, round(BASE_DAYS / gap))
    return Windows(recent=max(3, round(RECENT_DAYS / gap)), base=base, minimum=min(base, MIN_BASE))


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One engine's tests on every day that has enough days before it.

    `z` : (n_days, n_series), `joint` and `single` : (n_days,), NaN before the first testable day;
    thresholds are for one false alarm in 1 / `FALSE_ALARMS_PER_YEAR` years of asking, NaN where untestable.
    `joint_null`, `single_null` : sorted values of both statistics on all days of all random orders.
    """

    z: FloatArray
    joint: FloatArray
    single: FloatArray
    joint_threshold: float
    single_threshold: float
    joint_null: FloatArray
    single_null: FloatArray
    windows: Windows


def answer_spread(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Variance of one answer's worth, `mean((y_d - y_{d-1})^2 / (1/n_d + 1/n_{d-1}))`, (..., 1, n_series).

    From successive days, so it carries over- or underdispersion against the binomial and is not inflated by
    the change that is looked for.
    """
    pair = 1 / weights[..., 1:] + 1 / weights[..., :-1]
    return np.asarray((np.diff(values, axis=-2) ** 2 / pair[..., None]).mean(axis=-2, keepdims=True))


def window_z(values: FloatArray, weights: FloatArray, windows: Windows, spread: FloatArray | None = None) -> FloatArray:
    """Standardised change of each series on each day.

    `z = (mean of the recent days - mean of the base days) / sqrt(s2 (1/N_recent + 1/N_base))`, means weighted
    by answers, `N` answers in the window, `s2` the `answer_spread`.

    Parameters
    ----------
    values : (..., n_days, n_series)
    weights : (..., n_days), answers a day
    spread : (..., 1, n_series), by default that of `values`

    Returns
    -------
    (..., n_days, n_series), NaN on days without `windows.minimum` base days
    """
    sums = np.cumsum(values * weights[..., None], axis=-2)
    weighted = np.concatenate([np.zeros_like(values[..., :1, :]), sums], axis=-2)
    counts = np.concatenate([np.zeros_like(weights[..., :1]), np.cumsum(weights, axis=-1)], axis=-1)
    if spread is None:
        spread = answer_spread(values, weights)
    days = values.shape[-2]
    z = np.full(values.shape, np.nan)
    first = windows.recent + windows.minimum
    if days < first:
        return z
    end = np.arange(first, days + 1)
    middle = end - windows.recent
    start = np.maximum(middle - windows.base, 0)
    n_recent = (counts[..., end] - counts[..., middle])[..., None]
    n_base = (counts[..., middle] - counts[..., start])[..., None]
    change = (weighted[..., end, :] - weighted[..., middle, :]) / n_recent - (
        weighted[..., middle, :] - weighted[..., start, :]
    ) / n_base
    with np.errstate(divide="ignore", invalid="ignore"):
        z[..., first - 1 :, :] = change / np.sqrt(spread * (1 / n_recent + 1 / n_base))
    z[..., first - 1 :, :] = np.nan_to_num(z[..., first - 1 :, :], nan=0.0, posinf=0.0, neginf=0.0)
    return z


def joint_statistic(z: FloatArray) -> FloatArray:
    """`S = (sum z^2 - B) / sqrt(2 B)` over the last axis: about standard normal when nothing changed."""
    size = z.shape[-1]
    return ((z**2).sum(axis=-1) - size) / np.sqrt(2 * size)


def scan(
    values: FloatArray,
    weights: FloatArray,
    brands: int,
    *,
    windows: Windows,
    span_days: float,
    seed: int,
    permutations: int = PERMUTATIONS,
    false_alarms_per_year: float = FALSE_ALARMS_PER_YEAR,
) -> Scan:
    """Test every day of one engine's series and calibrate both thresholds by permuting days.

    Alarms of a stable engine are taken as a Poisson process, so over `span_days` none occurs with
    probability exp(-rate * span); the threshold is that quantile of the largest statistic per random order.

    Parameters
    ----------
    values, weights : as in `window_z`; the first `brands` columns are brands, the rest features
    span_days : calendar days from the first to the last testable day
    """
    rng = np.random.default_rng(seed)
    z = window_z(values, weights, windows)
    joint, single = joint_statistic(z), _largest(z, brands)
    testable = bool(np.isfinite(joint).any())
    if not testable:
        nan, nothing = float("nan"), np.empty(0)
        return Scan(
            z=z, joint=joint, single=single, joint_threshold=nan, single_threshold=nan,
            joint_null=nothing, single_null=nothing, windows=windows,
        )  # fmt: skip
    nulls = [_permuted(values, weights, brands, windows, rng, n) for n in _batches(permutations, values.size)]
    joint_null, single_null = (np.concatenate(parts) for parts in zip(*nulls, strict=True))
    quiet = float(np.exp(-false_alarms_per_year * max(span_days, 1.0) / 365.25))
    return Scan(
        z=z,
        joint=joint,
        single=single,
        joint_threshold=float(np.quantile(joint_null.max(axis=1), quiet)),
        single_threshold=float(np.quantile(single_null.max(axis=1), quiet)) if brands else float("nan"),
        joint_null=np.sort(joint_null, axis=None),
        single_null=np.sort(single_null, axis=None),
        windows=windows,
    )


def _largest(z: FloatArray, brands: int) -> FloatArray:
    return np.abs(z[..., :brands]).max(axis=-1) if brands else np.full(z.shape[:-1], np.nan)


def _batches(permutations: int, size: int) -> list[int]:
    step = max(1, min(permutations, _CELLS // max(size, 1)))
    return [min(step, permutations - done) for done in range(0, permutations, step)]


def _permuted(
    values: FloatArray, weights: FloatArray, brands: int, windows: Windows, rng: np.random.Generator, n: int
) -> tuple[FloatArray, FloatArray]:
    """Both statistics on every testable day of n random orders, (n, testable days) each."""
    order = np.argsort(rng.random((n, values.shape[0])), axis=1)
    z = window_z(values[order], weights[order], windows)[:, windows.recent + windows.minimum - 1 :]
    return joint_statistic(z), _largest(z, brands)


def exceedance(null: FloatArray, value: float) -> float:
    """Share of the sorted null values that reach `value`: the p-value of one day's test."""
    return float((null.size - np.searchsorted(null, value, side="left") + 1) / (null.size + 1))


def find_alarms(values: FloatArray, weights: FloatArray, brands: int, found: Scan) -> list[Alarm]:
    """Alarms in order of time, each change once.

    The first day on which either statistic passes its threshold; while the recent window fills with days after
    the change, an alarm of a single brand may still prove to be one of the engine, and the first joint alarm
    then stands for both. After an alarm the days before it are forgotten: testing resumes against days from
    the alarm on, as soon as there are as many of them as the recent window has.
    """
    alarms: list[Alarm] = []
    if not np.isfinite(found.joint).any():
        return alarms
    windows, start = found.windows, 0
    spread = answer_spread(values, weights)
    while True:
        z = window_z(values[start:], weights[start:], windows, spread)
        joint, single = joint_statistic(z), _largest(z, brands)
        wide = np.nan_to_num(joint, nan=-np.inf) > found.joint_threshold
        above = wide | (np.nan_to_num(single, nan=-np.inf) > found.single_threshold)
        if not above.any():
            return alarms
        first = int(np.argmax(above))
        filling = wide[first : first + windows.recent]
        day = first + int(np.argmax(filling)) if filling.any() else first
        middle = day - windows.recent + 1
        alarms.append(
            Alarm(
                day=start + day,
                recent_start=start + middle,
                base_start=start + max(middle - windows.base, 0),
                z=z[day],
                joint=float(joint[day]),
            )
        )
        start += day
        windows = replace(found.windows, minimum=found.windows.recent)
