"""Where a change of a mean comes from: exact Shapley shares of mix and level, tested against chance.

A mean over segments is sum of share x level. Between two windows each segment's share and level may change.
With the mix (all shares together) and each segment's level as players, the game is a sum of products of two
players' moves, so its Shapley values are exact in closed form:
    level of segment g: (w0 + w1)/2 x (mu1 - mu0)        mix: sum over g of (w1 - w0) x (mu0 + mu1)/2
A large segment gets a large share of any *general* change too. To find where a change sits, each segment's
move is compared with that of everything outside it (its excess); that is what is tested, by permuting days.

Sources: Shapley (1953); Budhathoki et al. (2021), Why did the distribution change?; Westfall and Young (1993)
for the maximum over candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]
MIX = "mix"
OTHER = "(other)"
MAX_SEGMENTS = 25
MIN_DAYS = 3
AS_MUCH = 0.8
ALPHA = 0.05
"""Chance of naming any cause where there is none; what was measured stands in docs/modules/eval.md."""


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One segment's (or a dimension's mix's) part of the change, in the unit of the mean.

    `new` is a mix that changed because this one segment arrived in the current window.
    """

    dimension: str
    segment: str
    kind: Literal["level", "mix", "new"]
    contribution: float
    low: float
    high: float
    excess: float
    p_value: float
    n_reference: int
    n_current: int
    reference_level: float | None
    current_level: float | None


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """The change, the causes found beyond chance (strongest first), and what they leave unexplained."""

    change: float
    low: float
    high: float
    causes: tuple[Cause, ...]
    unexplained: float
    unexplained_low: float
    unexplained_high: float
    reason: str = ""


@dataclass(frozen=True)
class _Cells:
    """Sums and counts by (day, segment) of one dimension, and which days are current."""

    dimension: str
    segments: list[str]
    sums: FloatArray
    counts: FloatArray


def shapley(w0: FloatArray, w1: FloatArray, m0: FloatArray, m1: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Level and mix parts per segment; together they are exactly sum(w1 m1) - sum(w0 m0).

    Parameters
    ----------
    w0, w1 : (..., segments), shares that sum to 1
    m0, m1 : (..., segments), levels; where a segment is absent on one side its level there is the other's

    The mix part of a segment is measured from the overall level, so that it says whether a segment that grew
    lies above or below the rest; summed over segments this changes nothing.
    """
    centre = ((w0 * m0).sum(-1, keepdims=True) + (w1 * m1).sum(-1, keepdims=True)) / 2
    return (w0 + w1) / 2 * (m1 - m0), (w1 - w0) * ((m0 + m1) / 2 - centre)


def attribute(
    reference: pl.DataFrame,
    current: pl.DataFrame,
    dimensions: Sequence[str],
    *,
    alpha: float = ALPHA,
    seed: int = 0,
    replicates: int = 499,
    most: int = 3,
) -> Attribution:
    """Explain the change of the mean of `value` between two windows by the segments of each dimension.

    Parameters
    ----------
    reference, current : frames with `value`, `day` (whole clusters are resampled) and the dimension columns
    alpha : chance of naming any cause when there is none (family-wise, by the maximum over all candidates)
    most : at most this many causes

    Intervals are 90 %, by bootstrap of days within each window. `unexplained` is the change less the named parts.
    """
    change = _mean(current) - _mean(reference)
    days = (reference["day"].n_unique(), current["day"].n_unique())
    if min(days) < MIN_DAYS:
        return Attribution(
            change=change, low=float("nan"), high=float("nan"), causes=(), unexplained=change,
            unexplained_low=float("nan"), unexplained_high=float("nan"),
            reason=f"insufficient data: {days[0]} reference and {days[1]} current days, {MIN_DAYS} needed",
        )  # fmt: skip
    rng = np.random.default_rng(seed)
    both = pl.concat(
        [reference.with_columns(pl.lit(False).alias("_now")), current.with_columns(pl.lit(True).alias("_now"))],
        how="diagonal",
    ).with_columns(
        pl.concat_str([pl.col("_now").cast(pl.String), pl.col("day").cast(pl.String)], separator="|").alias("_key")
    )
    keys = both.select("_key", "_now").unique(maintain_order=True).sort("_now", "_key")
    now = keys["_now"].to_numpy()
    bootstrap = _bootstrap_weights(now, rng, replicates)
    totals = _cells(both.with_columns(pl.lit(OTHER).alias("_all")), "_all", keys["_key"])
    changes = _change_of(totals, *bootstrap)
    used: list[tuple[str, str]] = []
    causes: list[Cause] = []
    explained = np.zeros(changes.size)
    remaining = both
    while len(causes) < most:
        found = _strongest(remaining, totals, keys, now, dimensions, used, alpha, rng, replicates, bootstrap)
        if found is None:
            break
        cause, draws = found
        causes.append(cause)
        explained = explained + draws
        used.append((cause.dimension, cause.segment))
        if cause.kind != "mix":
            # What the first cause did must not be blamed on whatever else its rows have in common.
            remaining = remaining.filter(pl.col(cause.dimension).cast(pl.String).fill_null("") != cause.segment)
        if cause.kind == "mix" or remaining.filter("_now").is_empty() or remaining.filter(~pl.col("_now")).is_empty():
            break
    rest = changes - explained
    return Attribution(
        change=change, low=_percentile(changes, 5), high=_percentile(changes, 95), causes=tuple(causes),
        unexplained=change - sum(cause.contribution for cause in causes),
        unexplained_low=_percentile(rest, 5), unexplained_high=_percentile(rest, 95),
    )  # fmt: skip


def _strongest(
    both: pl.DataFrame,
    totals: _Cells,
    keys: pl.DataFrame,
    now: NDArray[np.bool_],
    dimensions: Sequence[str],
    used: list[tuple[str, str]],
    alpha: float,
    rng: np.random.Generator,
    replicates: int,
    bootstrap: tuple[FloatArray, FloatArray],
) -> tuple[Cause, FloatArray] | None:
    """Of the candidates that beat the maximum over candidates, the one that accounts for most; with its draws."""
    # Each window is centred first: a change that all segments share is not local, and must not widen the null.
    centred = both.with_columns((pl.col("value") - pl.col("value").mean().over("_now")).alias("value"))
    observed_weights = ((~now).astype(float)[None, :], now.astype(float)[None, :])
    shuffled = rng.random((replicates, now.size)).argsort(axis=1) < now.sum()
    null_weights = ((~shuffled).astype(float), shuffled.astype(float))
    labels: list[tuple[_Cells, int | None]] = []
    observed, null = [], []
    for dimension in dimensions:
        cells = _cells(centred, dimension, keys["_key"])
        if len(cells.segments) < 2:
            continue
        real, dealt = _candidates(cells, *observed_weights), _candidates(cells, *null_weights)
        for position in range(len(cells.segments) + 1):
            segment = None if position == len(cells.segments) else position
            if segment is not None and (dimension, cells.segments[segment]) in used:
                continue
            labels.append((cells, segment))
            observed.append(real[0, position])
            null.append(dealt[:, position])
    if not labels:
        return None
    chance = np.array(null)
    spread = chance.std(axis=1)
    usable = spread > 1e-12
    if not usable.any():
        return None
    z = np.where(usable, np.abs(np.array(observed)) / np.where(usable, spread, 1.0), 0.0)
    largest = np.where(usable[:, None], np.abs(chance) / np.where(usable, spread, 1.0)[:, None], 0.0).max(axis=0)
    # A permuted world has no shift of mix at all, so it cannot say how sure the effect of a real one is: what is
    # named must stand clear of its own bootstrap spread too. Mixes of all dimensions are tried: Bonferroni.
    mixes = sum(segment is None for _, segment in labels)
    found: list[tuple[Cause, FloatArray]] = []
    for best in np.argsort(-z, kind="stable"):
        p = (1 + int((largest >= z[best] - 1e-12).sum())) / (replicates + 1)
        if p > alpha:
            break
        cells, segment = labels[best]
        plain = _cells(both, cells.dimension, keys["_key"])
        draws = _parts(plain, totals, *bootstrap)[:, -1 if segment is None else segment]
        contribution = float(_parts(plain, totals, *observed_weights)[0, -1 if segment is None else segment])
        own = _normal_p(contribution, draws) * (mixes if segment is None else 1)
        if own <= alpha:
            cause = _cause(plain, segment, now, contribution, draws, float(observed[best]), max(p, own))
            found.append((cause, draws))
    # Which is surest says little: shares hardly vary from day to day, so the least shift of mix beats any level.
    found.sort(key=lambda pair: -abs(pair[0].contribution))
    # Something new (a prompt version, a source) that accounts for as much as an old segment which merely contains
    # it is the better account: it has a date, and it can be rolled back.
    for cause, draws in found[1:]:
        if cause.kind == "new" and cause.contribution / found[0][0].contribution >= AS_MUCH:
            return cause, draws
    return found[0] if found else None


def _cause(
    cells: _Cells, segment: int | None, now: NDArray[np.bool_], contribution: float, draws: FloatArray,
    excess: float, p_value: float,
) -> Cause:  # fmt: skip
    n0, n1 = (cells.counts[side].sum(0) for side in (~now, now))
    s0, s1 = (cells.sums[side].sum(0) for side in (~now, now))
    kind: Literal["level", "mix", "new"] = "mix" if segment is None else "level"
    name = MIX if segment is None else cells.segments[segment]
    arrived = np.flatnonzero((n0 == 0) & (n1 > 0))
    if segment is None and arrived.size == 1 and _share_of_mix(n0, n1, s0, s1, int(arrived[0])) >= AS_MUCH:
        # A mix that changed because one segment arrived is that segment's doing; a row or two of it is not.
        kind, segment = "new", int(arrived[0])
        name = cells.segments[segment]
    return Cause(
        dimension=cells.dimension, segment=name, kind=kind, contribution=contribution, low=_percentile(draws, 5),
        high=_percentile(draws, 95), excess=excess, p_value=p_value,
        n_reference=int(n0.sum() if segment is None else n0[segment]),
        n_current=int(n1.sum() if segment is None else n1[segment]),
        reference_level=_level(s0, n0, segment), current_level=_level(s1, n1, segment),
    )  # fmt: skip


def _share_of_mix(n0: FloatArray, n1: FloatArray, s0: FloatArray, s1: FloatArray, segment: int) -> float:
    """How much of the rows that moved between segments moved into this one, 0 to 1."""
    w0, w1, _, _ = _shares_and_levels(n0, n1, s0, s1)
    moved = np.abs(w1 - w0)
    return float(2 * moved[segment] / moved.sum()) if moved.sum() else 0.0


def _candidates(cells: _Cells, before: FloatArray, after: FloatArray) -> FloatArray:
    """(draws, segments + 1): each segment's excess level move against all else, then the dimension's mix part."""
    n0, n1, s0, s1 = before @ cells.counts, after @ cells.counts, before @ cells.sums, after @ cells.sums
    w0, w1, m0, m1 = _shares_and_levels(n0, n1, s0, s1)
    o0, o1 = (_ratio(s.sum(-1, keepdims=True) - s, n.sum(-1, keepdims=True) - n) for s, n in ((s0, n0), (s1, n1)))
    outside = np.where(np.isnan(o0) | np.isnan(o1), 0.0, o1 - o0)
    _, mix = shapley(w0, w1, m0, m1)
    present = (n0 > 0) & (n1 > 0)
    excess = np.where(present, (w0 + w1) / 2 * ((m1 - m0) - outside), 0.0)
    return np.concatenate([excess, mix.sum(-1, keepdims=True)], axis=-1)


def _parts(cells: _Cells, totals: _Cells, before: FloatArray, after: FloatArray) -> FloatArray:
    """(draws, segments + 1): Shapley parts of the whole's change, each segment's level and then the mix.

    Where earlier causes' rows were set aside, `cells` cover the rest of `totals`: the partition is then those
    causes and the rest's segments, so each level part is weighed by the segment's share of *all* rows.
    """
    n0, n1, s0, s1 = before @ cells.counts, after @ cells.counts, before @ cells.sums, after @ cells.sums
    w0, w1, m0, m1 = _shares_and_levels(n0, n1, s0, s1)
    _, mix = shapley(w0, w1, m0, m1)
    rest0 = _ratio(n0.sum(-1, keepdims=True), before @ totals.counts)
    rest1 = _ratio(n1.sum(-1, keepdims=True), after @ totals.counts)
    level = (w0 * rest0 + w1 * rest1) / 2 * (m1 - m0)
    return np.concatenate([level, mix.sum(-1, keepdims=True) * (rest0 + rest1) / 2], axis=-1)


def _shares_and_levels(
    n0: FloatArray, n1: FloatArray, s0: FloatArray, s1: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    m0, m1 = _ratio(s0, n0), _ratio(s1, n1)
    known0, known1 = np.where(np.isnan(m0), m1, m0), np.where(np.isnan(m1), m0, m1)
    return (
        _ratio(n0, n0.sum(-1, keepdims=True)), _ratio(n1, n1.sum(-1, keepdims=True)),
        np.nan_to_num(known0), np.nan_to_num(known1),
    )  # fmt: skip


def _cells(both: pl.DataFrame, dimension: str, keys: pl.Series) -> _Cells:
    labelled = both.select("_key", "value", pl.col(dimension).cast(pl.String).fill_null("").alias("_segment"))
    commonest = (
        labelled.group_by("_segment").len().sort(["len", "_segment"], descending=[True, False])["_segment"].to_list()
    )
    kept = commonest[:MAX_SEGMENTS]
    segments = [*kept, OTHER] if len(commonest) > MAX_SEGMENTS else kept
    row = {key: position for position, key in enumerate(keys.to_list())}
    column = {segment: position for position, segment in enumerate(segments)}
    sums, counts = np.zeros((len(row), len(segments))), np.zeros((len(row), len(segments)))
    grouped = labelled.group_by("_key", "_segment").agg(pl.col("value").sum(), pl.len().alias("n"))
    for key, segment, total, n in grouped.iter_rows():
        position = (row[key], column.get(segment, len(segments) - 1))
        sums[position] += total
        counts[position] += n
    return _Cells(dimension, segments, sums, counts)


def _bootstrap_weights(
    now: NDArray[np.bool_], rng: np.random.Generator, replicates: int
) -> tuple[FloatArray, FloatArray]:
    """How often each day is drawn, on either side (replicates, days)."""
    sides = []
    for side in (~now, now):
        days = np.flatnonzero(side)
        weights = np.zeros((replicates, now.size))
        weights[:, days] = rng.multinomial(days.size, np.full(days.size, 1 / days.size), size=replicates)
        sides.append(weights)
    return sides[0], sides[1]


def _change_of(cells: _Cells, before: FloatArray, after: FloatArray) -> FloatArray:
    return (_ratio(after @ cells.sums, after @ cells.counts) - _ratio(before @ cells.sums, before @ cells.counts))[:, 0]


def _ratio(top: FloatArray, bottom: FloatArray) -> FloatArray:
    return np.divide(top, bottom, out=np.full(np.broadcast(top, bottom).shape, np.nan), where=bottom > 0)


def _level(sums: FloatArray, counts: FloatArray, segment: int | None) -> float | None:
    total, n = (sums.sum(), counts.sum()) if segment is None else (sums[segment], counts[segment])
    return float(total / n) if n else None


def _normal_p(value: float, draws: FloatArray) -> float:
    spread = float(np.nanstd(draws))
    return float(2 * stats.norm.sf(abs(value) / spread)) if spread > 0 else 1.0


def _percentile(draws: FloatArray, q: float) -> float:
    known = draws[np.isfinite(draws)]
    return float(np.percentile(known, q)) if known.size else float("nan")


def _mean(frame: pl.DataFrame) -> float:
    value = frame["value"].mean()
    return float(value) if isinstance(value, (int, float)) else float("nan")
