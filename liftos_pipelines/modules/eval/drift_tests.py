"""Two-sample tests for drift whose false-alarm rate holds at every sample size, each with a floor on the effect.

Statistics are effect sizes (PSI, the KS distance, Cramer's V, the Wasserstein distance in reference spreads),
so that one number can be compared with both the threshold of chance and the smallest effect worth a word.
Thresholds: by theory for 200 and more independent rows a side, by permutation below that or when rows
come in clusters (days), "insufficient data" below 50 rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]
Array = NDArray[np.generic]

THEORY_FROM = 200  # below, the chi-square threshold of PSI is too liberal: 2x at n 100, 6x at n 50
ROWS_FROM = 50
CURRENT_UNITS_FROM, REFERENCE_UNITS_FROM = 5, 10
BINS, CELLS, CATEGORIES = 10, 256, 20

FLOORS = {"psi": 0.1, "ks": 0.1, "chi2": 0.1, "wasserstein": 0.25}
"""Effects below these are not called drift however sure they are: PSI .1 and V .1 by convention; KS .1 and
Wasserstein .25 reference spreads are what a normal variable shifted by a quarter of its spread shows."""

Test = Literal["psi", "ks", "chi2", "wasserstein"]
Statistic = Callable[[FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True, kw_only=True)
class DriftTest:
    """One test of one column. `threshold` is chance's at `alpha` or the floor, whichever is higher."""

    test: Test
    statistic: float | None
    threshold: float | None
    p_value: float | None
    method: Literal["theory", "permutation", "none"]
    reason: str = ""


def numeric_tests(
    reference: FloatArray,
    current: FloatArray,
    *,
    units: tuple[Array, Array] | None = None,
    alpha: float = 0.05,
    seed: int = 0,
    replicates: int = 999,
) -> list[DriftTest]:
    """PSI, Kolmogorov-Smirnov and Wasserstein tests of a numeric column.

    Parameters
    ----------
    reference, current : (m,), (n,) finite values
    units : the cluster of each row on either side (such as its day); None when rows are independent. Whole
        clusters are then permuted, which is exact when clusters are exchangeable.

    Source: Yurdakul and Naranjo (2020), Statistical properties of the population stability index;
    Pesarin and Salmaso (2010), Permutation tests for complex data.
    """
    tests: tuple[Test, ...] = ("psi", "ks", "wasserstein")
    reason = _insufficient(reference.size, current.size, units)
    if reason:
        return [_not_tested(test, reason) for test in tests]
    pooled = np.concatenate([reference, current])
    edges = np.unique(np.quantile(pooled, np.linspace(0, 1, CELLS + 1)[1:-1]))
    cells = np.searchsorted(edges, pooled, side="left")
    coarse_edges = np.unique(np.quantile(pooled, np.linspace(0, 1, BINS + 1)[1:-1]))
    coarse = np.searchsorted(coarse_edges, np.append(edges, np.inf), side="left").clip(0, coarse_edges.size)
    # Cells' widths turn a difference of distribution functions into a distance in the column's own unit.
    centres = _centres(pooled, cells, edges.size + 1)
    widths = np.diff(centres) / _spread(reference)
    statistics: dict[Test, Statistic] = {
        "psi": lambda ref, cur: psi(_merge(ref, coarse), _merge(cur, coarse)),
        "ks": lambda ref, cur: np.abs(_cdf(ref) - _cdf(cur)).max(axis=-1),
        "wasserstein": lambda ref, cur: np.abs(_cdf(ref) - _cdf(cur))[..., :-1] @ widths,
    }
    theory: dict[Test, Callable[[], tuple[float, float, float]]] = {
        "psi": lambda: _psi_theory(
            _merge(_count(cells[: reference.size], edges.size + 1), coarse),
            _merge(_count(cells[reference.size :], edges.size + 1), coarse),
            alpha,
        ),
        "ks": lambda: _ks_theory(reference, current, alpha),
    }
    return _run(statistics, theory, cells, edges.size + 1, reference.size, units, alpha, seed, replicates)


def categorical_tests(
    reference: Array,
    current: Array,
    *,
    units: tuple[Array, Array] | None = None,
    alpha: float = 0.05,
    seed: int = 0,
    replicates: int = 999,
) -> list[DriftTest]:
    """PSI and chi-square tests of a categorical column; categories beyond the 20 commonest count as one."""
    tests: tuple[Test, ...] = ("psi", "chi2")
    reason = _insufficient(reference.size, current.size, units)
    if reason:
        return [_not_tested(test, reason) for test in tests]
    _, codes, counts = np.unique(np.concatenate([reference, current]), return_inverse=True, return_counts=True)
    if counts.size < 2:
        return [_not_tested(test, "one category only") for test in tests]
    ranks = np.empty(counts.size, dtype=int)
    ranks[np.argsort(-counts, kind="stable")] = np.arange(counts.size)
    cells = np.minimum(ranks[codes], CATEGORIES)
    size = int(cells.max()) + 1
    theory: dict[Test, Callable[[], tuple[float, float, float]]] = {}
    ref, cur = _count(cells[: reference.size], size), _count(cells[reference.size :], size)
    # Theory needs five expected a cell (Cochran 1954); rarer categories are judged by permutation.
    if (ref + cur).min() * min(reference.size, current.size) / cells.size >= 5:
        theory = {"psi": lambda: _psi_theory(ref, cur, alpha), "chi2": lambda: _chi2_theory(ref, cur, alpha)}
    return _run({"psi": psi, "chi2": cramers_v}, theory, cells, size, reference.size, units, alpha, seed, replicates)


def psi(reference: FloatArray, current: FloatArray) -> FloatArray:
    """Population stability index of counts (..., bins), half a count added to each bin so that it is finite."""
    bins = reference.shape[-1]
    p = (reference + 0.5) / (reference.sum(-1, keepdims=True) + 0.5 * bins)
    q = (current + 0.5) / (current.sum(-1, keepdims=True) + 0.5 * bins)
    return ((p - q) * np.log(p / q)).sum(-1)


def psi_threshold(n: int, m: int, bins: int, alpha: float) -> float:
    """What PSI exceeds by chance with probability `alpha`: chi2(bins - 1) x (1/n + 1/m), for n, m >= 200."""
    return float(stats.chi2.isf(alpha, bins - 1) * (1 / n + 1 / m))


def cramers_v(reference: FloatArray, current: FloatArray) -> FloatArray:
    """Cramer's V of the two-row table of counts (..., categories): 0 alike, 1 disjoint."""
    n, m = current.sum(-1, keepdims=True), reference.sum(-1, keepdims=True)
    expected = (reference + current) / (n + m)
    gaps = (reference / m - current / n) ** 2
    per_cell = np.divide(gaps, expected, out=np.zeros_like(expected), where=expected > 0)
    return np.sqrt(per_cell.sum(-1) * (n * m / (n + m) ** 2)[..., 0])


def _psi_theory(ref: FloatArray, cur: FloatArray, alpha: float) -> tuple[float, float, float]:
    n, m, value = int(cur.sum()), int(ref.sum()), float(psi(ref, cur))
    degrees = int(((ref + cur) > 0).sum())
    return value, psi_threshold(n, m, degrees, alpha), float(stats.chi2.sf(value / (1 / n + 1 / m), degrees - 1))


def _chi2_theory(ref: FloatArray, cur: FloatArray, alpha: float) -> tuple[float, float, float]:
    value, total = float(cramers_v(ref, cur)), float(ref.sum() + cur.sum())
    degrees = int(((ref + cur) > 0).sum()) - 1
    return (
        value,
        float(np.sqrt(stats.chi2.isf(alpha, degrees) / total)),
        float(stats.chi2.sf(total * value**2, degrees)),
    )


def _ks_theory(reference: FloatArray, current: FloatArray, alpha: float) -> tuple[float, float, float]:
    outcome = stats.ks_2samp(reference, current, method="asymp")
    size = reference.size * current.size / (reference.size + current.size)
    return float(outcome.statistic), float(stats.kstwobign.isf(alpha) / np.sqrt(size)), float(outcome.pvalue)


def _run(
    statistics: dict[Test, Statistic],
    theory: dict[Test, Callable[[], tuple[float, float, float]]],
    cells: NDArray[np.int64],
    size: int,
    split: int,
    units: tuple[Array, Array] | None,
    alpha: float,
    seed: int,
    replicates: int,
) -> list[DriftTest]:
    large = units is None and min(split, cells.size - split) >= THEORY_FROM
    by_theory = set(theory) if large else set()
    results = []
    null: tuple[FloatArray, FloatArray] | None = None
    for test, statistic in statistics.items():
        if test in by_theory:
            value, chance, p = theory[test]()
            results.append(_result(test, value, chance, p, "theory"))
            continue
        if null is None:
            null = _permuted_counts(cells, size, split, units, np.random.default_rng(seed), replicates)
        value = float(statistic(_count(cells[:split], size), _count(cells[split:], size)))
        draws = statistic(*null)
        # Counting the observed split itself keeps the level exact (Phipson and Smyth 2010).
        p = (1 + int((draws >= value - 1e-12).sum())) / (draws.size + 1)
        results.append(_result(test, value, float(np.quantile(draws, 1 - alpha, method="higher")), p, "permutation"))
    return results


def _permuted_counts(
    cells: NDArray[np.int64],
    size: int,
    split: int,
    units: tuple[Array, Array] | None,
    rng: np.random.Generator,
    replicates: int,
) -> tuple[FloatArray, FloatArray]:
    """Counts (replicates, cells) of both sides when rows, or whole clusters, are dealt out anew."""
    if units is None:
        pooled = np.bincount(cells, minlength=size)
        current = rng.multivariate_hypergeometric(pooled, cells.size - split, size=replicates, method="marginals")
        return (pooled - current).astype(float), current.astype(float)
    before, after = np.unique(units[0]).size, np.unique(units[1]).size
    _, reference_codes = np.unique(units[0], return_inverse=True)
    _, current_codes = np.unique(units[1], return_inverse=True)
    codes = np.concatenate([reference_codes, current_codes + before])
    table = np.bincount(codes * size + cells, minlength=(before + after) * size).reshape(-1, size).astype(float)
    chosen = np.zeros((replicates, before + after))
    picks = rng.random(chosen.shape).argsort(axis=1)[:, :after]
    np.put_along_axis(chosen, picks, 1.0, axis=1)
    current_counts = chosen @ table
    return table.sum(0) - current_counts, current_counts


def _result(test: Test, value: float, chance: float, p: float, method: Literal["theory", "permutation"]) -> DriftTest:
    return DriftTest(test=test, statistic=value, threshold=max(chance, FLOORS[test]), p_value=p, method=method)


def _not_tested(test: Test, reason: str) -> DriftTest:
    return DriftTest(test=test, statistic=None, threshold=None, p_value=None, method="none", reason=reason)


def _insufficient(m: int, n: int, units: tuple[Array, Array] | None) -> str:
    if min(m, n) < ROWS_FROM:
        return f"insufficient data: {m} reference and {n} current rows, {ROWS_FROM} needed"
    if units is not None:
        before, after = np.unique(units[0]).size, np.unique(units[1]).size
        if before < REFERENCE_UNITS_FROM or after < CURRENT_UNITS_FROM:
            return (
                f"insufficient data: {before} reference and {after} current periods, "
                f"{REFERENCE_UNITS_FROM} and {CURRENT_UNITS_FROM} needed"
            )
    return ""


def _count(cells: NDArray[np.int64], size: int) -> FloatArray:
    return np.bincount(cells, minlength=size).astype(float)


def _merge(counts: FloatArray, into: NDArray[np.int64]) -> FloatArray:
    merged = np.zeros((*counts.shape[:-1], int(into.max()) + 1))
    for target in range(merged.shape[-1]):
        merged[..., target] = counts[..., into == target].sum(-1)
    return merged


def _cdf(counts: FloatArray) -> FloatArray:
    return np.cumsum(counts, axis=-1) / counts.sum(-1, keepdims=True)


def _centres(pooled: FloatArray, cells: NDArray[np.int64], size: int) -> FloatArray:
    sums, counts = np.bincount(cells, weights=pooled, minlength=size), np.bincount(cells, minlength=size)
    centres = np.divide(sums, counts, out=np.full(size, np.nan), where=counts > 0)
    known = np.flatnonzero(~np.isnan(centres))
    return np.interp(np.arange(size), known, centres[known])


def _spread(values: FloatArray) -> float:
    """Robust standard deviation; the ordinary one where more than half of the values are equal."""
    low, high = np.quantile(values, [0.25, 0.75])
    return float((high - low) / 1.349) or float(values.std()) or 1.0
