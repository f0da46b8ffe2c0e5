"""What moves all geos slowly: knots, a Gaussian process or a straight line, columns times their prior sd."""

from __future__ import annotations

import numpy as np

from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.inputs.panel import PanelError
from liftos_pipelines.modules.causal.spec import ModelSpec

GP_HORIZON = 52
"""Weeks beyond the fit that a Gaussian-process trend can still be asked for."""
GP_MARGIN, GP_FREQUENCY = 2.0, 3.2
"""The basis vanishes this many length scales outside; frequencies up to this many per length scale are kept."""


def knot_count(weeks: int, spec: ModelSpec) -> int:
    """Knots of a spline trend over the weeks of a fit.

    Raises
    ------
    PanelError : more knots than weeks
    """
    if spec.knots is None:
        return max(2, round((weeks - 1) / spec.knot_weeks) + 1)
    if spec.knots > weeks:
        raise PanelError(f"causal.knots is {spec.knots}, but there are {weeks} weeks: ask for fewer knots")
    return spec.knots


def trend_columns(elapsed: FloatArray, weeks: int, knots: int, spec: ModelSpec) -> list[tuple[str, FloatArray]]:
    """Names and columns of the shared trend.

    Parameters
    ----------
    elapsed : (n_weeks,), weeks since the first week of the fit
    weeks : how many weeks the fit had
    knots : how many knots it had

    Returns
    -------
    pairs of name and (n_weeks,) column
    """
    if spec.trend == "none":
        return []
    if spec.trend == "linear":
        return [("trend_line", spec.trend_sd * elapsed / spec.knot_weeks)]
    if spec.trend == "gp":
        basis = hilbert_basis(elapsed, weeks, lengthscale=spec.gp_lengthscale_weeks, sd=spec.trend_sd)
        return [(f"trend_gp_{j}", column) for j, column in enumerate(basis.T, start=1)]
    if spec.independent_knots:
        values = independent_knots(elapsed, weeks, knots)
        return [(f"knot_{k}", spec.baseline_sd * column) for k, column in enumerate(values.T, start=1)]
    if knots == 1:
        return []
    # A random walk over knots: beyond the last knot the trend stays where it is, with honest uncertainty.
    position = elapsed / (spec.knot_weeks if spec.knots is None else (weeks - 1) / (knots - 1))
    last = max(knots, int(np.ceil(position[-1] - 1e-9)) + 1)
    return [(f"trend_{knot}", spec.trend_sd * np.clip(position - (knot - 1), 0, 1)) for knot in range(1, last)]


def independent_knots(elapsed: FloatArray, weeks: int, knots: int) -> FloatArray:
    """Weights of knots whose values are interpolated linearly and held before the first and after the last.

    Returns
    -------
    (n_weeks, n_knots), each row sums to 1

    Source: Meridian (2024), `model/knots.py`: knots at whole weeks, evenly spaced from the first week to the last.
    """
    where = np.linspace(0, weeks - 1, knots, dtype=int).astype(float)
    return np.stack([np.interp(elapsed, where, own) for own in np.eye(knots)], axis=1)


def hilbert_basis(elapsed: FloatArray, weeks: int, *, lengthscale: float, sd: float) -> FloatArray:
    """Basis of a Gaussian process with squared-exponential covariance; coefficients are Normal(0, 1).

    The basis reaches `GP_HORIZON` weeks beyond the fit; without data there it returns to the level within a length
    scale or two, with the prior's uncertainty.

    Parameters
    ----------
    elapsed : (n_weeks,), weeks since the first week of the fit
    weeks : how many weeks the fit had; the basis depends on nothing else
    lengthscale : weeks
    sd : of the process at any week

    Returns
    -------
    (n_weeks, n_basis), columns times the root of the spectral density

    Raises
    ------
    PanelError : a week beyond the basis's reach

    Source: Riutort-Mayol et al. (2023), Practical Hilbert space approximate Bayesian Gaussian processes. Their
    rules for the boundary and the number of functions left 28 % of the variance out at the first of 156 weeks; these
    leave at most 0.2 % of any covariance out over 52 to 312 weeks.
    """
    reach = weeks - 1 + GP_HORIZON
    if np.max(elapsed) > reach or np.min(elapsed) < 0:
        raise PanelError(
            f"week {np.max(elapsed):g} after the fit's first lies beyond the {reach} that its Gaussian-process trend "
            "can reach: refit the model"
        )
    half = reach / 2
    edge = half + GP_MARGIN * lengthscale
    n = int(np.ceil(2 * GP_FREQUENCY * edge / (np.pi * lengthscale)))
    root = np.pi * np.arange(1, n + 1) / (2 * edge)
    density = sd**2 * np.sqrt(2 * np.pi) * lengthscale * np.exp(-0.5 * (lengthscale * root) ** 2)
    functions = np.sin(root[None, :] * (elapsed[:, None] - half + edge)) / np.sqrt(edge)
    return np.asarray(functions * np.sqrt(density), dtype=float)
