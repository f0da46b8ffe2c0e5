"""The linear-Gaussian baseline, integrated out of the likelihood and drawn back afterwards.

The residuals r = y - media of all geos are rotated into two independent parts: the weekly mean over geos (times the
root of their number) and what is left within weeks. Columns of the baseline belong to one part or the other (see
`baseline`), and noise is s2 within and s2 + geos x w2 for the mean, where w is a shock that all geos share in a week.
In each part, with X = U D V' and v its noise variance, beta ~ Normal(0, I) integrates out exactly:

    cov(r) = X X' + v I,   log|cov| = sum log(D^2 + v) + (n - q) log v,
    r' cov^-1 r = (r'r - p'p) / v + sum p^2 / (D^2 + v),   p = U'r

U and D^2 are computed once. Given draws of the rest, beta is normal and drawn exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.modules.causal.engine.transforms import FloatArray

NOTHING = 1e-10
"""Squared singular values below this carry no information."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """One part: `u` (n_rows, q) with zero rows outside the mask, `d2` (q,), `n` rows that count.

    `right` (n_block_columns, n_block_columns), `d_all` (n_block_columns,): all right singular vectors and values, zero
    ones too, which drawing needs; `columns`: positions in the design.
    """

    u: FloatArray
    d2: FloatArray
    n: float
    right: FloatArray
    d_all: FloatArray
    columns: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Window:
    """What the likelihood sees: `mask` (n_weeks,) of 0 and 1, and the parts; `within` has no rows with one geo."""

    mask: FloatArray
    geos: int
    mean: Block
    within: Block


def window(baseline: FloatArray, geos: int, weeks: int, last_weeks_out: int = 0) -> Window:
    """The likelihood's view of all weeks but the newest `last_weeks_out`.

    Parameters
    ----------
    baseline : (n_geos * n_weeks, n_columns), weeks within geos

    Raises
    ------
    ValueError : a column that is neither equal in all geos nor of zero mean over them
    """
    mask = np.ones(weeks)
    if last_weeks_out:
        mask[weeks - last_weeks_out :] = 0
    cube = baseline.reshape(geos, weeks, -1)
    mean = cube.mean(axis=0)
    size = np.abs(cube).max(axis=(0, 1))
    is_within = np.abs(mean).max(axis=0) <= 1e-8 * np.maximum(size, 1e-300)
    is_shared = np.abs(cube - mean).max(axis=(0, 1)) <= 1e-8 * np.maximum(size, 1e-300)
    mixed = np.flatnonzero(~is_within & ~is_shared)
    if mixed.size:
        raise ValueError(f"baseline column {mixed[0]} is neither shared by all geos nor of zero mean over them")
    shared = np.flatnonzero(is_shared)
    own = np.flatnonzero(~is_shared)
    seen = mask > 0
    return Window(
        mask=mask,
        geos=geos,
        mean=_block(np.sqrt(geos) * mean[:, shared], seen, shared, float(seen.sum())),
        within=_block(
            cube[:, :, own].reshape(geos * weeks, -1), np.tile(seen, geos), own, float((geos - 1) * seen.sum())
        ),
    )


def _block(design: FloatArray, seen: NDArray[np.bool_], columns: NDArray[np.int64], n: float) -> Block:
    terms = design.shape[1]
    if terms == 0:
        empty = np.empty(0)
        return Block(u=np.zeros((len(design), 0)), d2=empty, n=n, right=np.empty((0, 0)), d_all=empty, columns=columns)
    # Through the small Gram matrix: with many geos the rows are thousands, the columns tens.
    values, vectors = np.linalg.eigh(design[seen].T @ design[seen])
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    kept = values > NOTHING * max(float(values[0]), 1.0)
    u = np.zeros((len(design), int(kept.sum())))
    u[seen] = design[seen] @ vectors[:, kept] / np.sqrt(values[kept])
    d_all = np.where(kept, np.sqrt(values), 0.0)
    return Block(u=u, d2=values[kept], n=n, right=vectors, d_all=d_all, columns=columns)


def split(residual: FloatArray, seen: Window) -> tuple[FloatArray, FloatArray]:
    """Residuals (n_draws, n_geos, n_weeks) as mean part (n_draws, n_weeks) and the rest (n_draws, n_geos * n_weeks)."""
    masked = residual * seen.mask
    mean = masked.mean(axis=1)
    rest = (masked - mean[:, None]).reshape(len(residual), -1) if seen.geos > 1 else np.zeros((len(residual), 0))
    return np.sqrt(seen.geos) * mean, rest


def _parts(seen: Window, sigma: FloatArray, week_sigma: FloatArray) -> list[tuple[Block, FloatArray]]:
    parts = [(seen.mean, sigma**2 + seen.geos * week_sigma**2)]
    return [*parts, (seen.within, sigma**2)] if seen.geos > 1 else parts


def log_density(residual: FloatArray, seen: Window, sigma: FloatArray, week_sigma: FloatArray) -> FloatArray:
    """(n_draws,), log p(y of the weeks in the mask | draw), the baseline integrated out.

    Parameters
    ----------
    residual : (n_draws, n_geos, n_weeks), y - media; sigma, week_sigma : (n_draws,)
    """
    out = np.zeros(len(residual))
    for (block, variance), r in zip(_parts(seen, sigma, week_sigma), split(residual, seen), strict=False):
        projected = r @ block.u
        wide = block.d2[None] + variance[:, None]
        outside = np.maximum((r**2).sum(axis=1) - (projected**2).sum(axis=1), 0.0)
        quadratic = outside / variance + (projected**2 / wide).sum(axis=1)
        determinant = np.log(wide).sum(axis=1) + (block.n - block.d2.size) * np.log(variance)
        out -= 0.5 * (quadratic + determinant + block.n * np.log(2 * np.pi))
    return out


def draw_baseline(
    residual: FloatArray, seen: Window, sigma: FloatArray, week_sigma: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """(n_draws, n_columns), one exact draw of the baseline's coefficients for each draw of the rest."""
    total = seen.mean.columns.size + seen.within.columns.size
    beta = np.zeros((len(residual), total))
    for (block, variance), r in zip(_parts(seen, sigma, week_sigma), split(residual, seen), strict=False):
        q = block.d2.size
        rotated = rng.standard_normal((len(residual), block.columns.size))
        wide = block.d2[None] + variance[:, None]
        centre = np.sqrt(block.d2) * (r @ block.u) / wide
        rotated[:, :q] = centre + np.sqrt(variance[:, None] / wide) * rotated[:, :q]
        beta[:, block.columns] = rotated @ block.right.T
    return beta
