"""Whether the data contradict what identifies the effects: exogenous spend, form of response, a steady baseline.

The first five are score tests (see `scores`) at `LEVEL`, so that together they raise a false alarm on about one sound
model in twenty; those of `checks_leverage` and `checks_rivals` stand beside them. All warn and none fails: a
contradicted assumption does not say how wrong the effects are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from liftos_pipelines.modules.causal.answers.results import Fitted
from liftos_pipelines.modules.causal.checks.check import Check
from liftos_pipelines.modules.causal.checks.leverage import entangled_effects, outlier_leverage
from liftos_pipelines.modules.causal.checks.rivals import steeper_curve
from liftos_pipelines.modules.causal.checks.scores import (
    Leftover,
    Scores,
    largest_p_value,
    leftover,
    normal_draws,
    score,
    squares_p_value,
)
from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.spec import ModelSpec

LEVEL = 0.01
FEW = 200
EDGE = 0.12
"""Share of weeks at either end where no break is looked for."""
LEADS = (1, 2)
LAGS = 6
SHIFTS = 16


IDENTIFICATION = (
    "leads_of_media",
    "functional_form",
    "baseline_break",
    "serial_dependence",
    "placebo_channels",
    "entangled_effects",
    "outlier_leverage",
    "steeper_curve",
)
"""Names of the checks below, in their order."""


def identification_checks(fitted: Fitted, spec: ModelSpec) -> list[Check]:
    """One check a name of `IDENTIFICATION`; nothing is sampled again."""
    left = leftover(fitted)
    tests = (leads_of_media, functional_form, baseline_break, serial_dependence, placebo_channels)
    scored = [test(fitted, left) for test in tests]
    return [*scored, entangled_effects(fitted), outlier_leverage(fitted), steeper_curve(fitted, spec)]


def leads_of_media(fitted: Fitted, left: Leftover) -> Check:
    """Strict exogeneity: spend of the next two weeks must not explain this week's outcome.

    What does is something that moves both, such as a demand that the planners see and the model does not, or spend
    that follows the outcome. Tested for each channel and for their sum, by the sum of squares.

    Source: Wooldridge (2010), Econometric analysis of cross section and panel data, section 10.7.1.
    """
    x = fitted.design.x
    curved = x / (1 + x)
    curved = curved - curved.mean(axis=-1, keepdims=True)
    ahead = np.zeros_like(curved)
    for lead in LEADS:
        ahead[..., :-lead] += curved[..., lead:]
    spread = ahead.std(axis=(1, 2), keepdims=True)
    ahead /= np.where(spread > 0, spread, 1)
    names = [*fitted.design.channels, "all channels"]
    scores = score(left, np.concatenate([ahead, ahead.sum(axis=0, keepdims=True)]))
    return _verdict("leads_of_media", scores, names, "exposure of the next weeks explains this week's outcome", seed=1)


def functional_form(fitted: Fitted, left: Leftover) -> Check:
    """Whether media add up otherwise than the model says: powers of all media's contribution must explain nothing.

    The bend of single channels is not tested here: half-saturation points leave their slope too little room, and their
    posterior is too far from normal, for a score to be trusted; `steeper_curve` holds whole models against each other.

    Source: Ramsey (1969), Tests for specification errors in classical linear least-squares regression analysis.
    """
    total = fitted.media.total(fitted.draws.thin(FEW)).mean(axis=0)
    total = (total - total.mean()) / max(float(total.std()), 1e-12)
    scores = score(left, np.stack([total**2, total**3]))
    names = ("the square of all media", "the cube of all media")
    return _verdict("functional_form", scores, names, "media add up otherwise", seed=2)


def baseline_break(fitted: Fitted, left: Leftover) -> Check:
    """A step or a bend of the baseline, common to all geos, that trend and season cannot follow.

    Source: Andrews (1993), Tests for parameter instability and structural change with unknown change point.
    """
    _, geos, weeks = fitted.design.shape
    time = np.arange(weeks)
    # Every second week: a break in between is met by its neighbours.
    places = time[int(EDGE * weeks) : weeks - int(EDGE * weeks) : 2]
    steps = (time[None] >= places[:, None]).astype(float)
    bends = np.clip(time[None] - places[:, None], 0, None).astype(float)
    directions = np.repeat(np.concatenate([steps, bends])[:, None], geos, axis=1)
    names = [f"{kind} in the week of {fitted.design.weeks[t]}" for kind in ("a step", "a bend") for t in places]
    return _verdict("baseline_break", score(left, directions), names, "the baseline breaks", seed=3, largest=True)


def serial_dependence(fitted: Fitted, left: Leftover) -> Check:
    """Residuals, averaged over geos, that follow each other: something that lasts is missing, and intervals are narrow.

    Statistics: the first autocorrelation, and the sum of the first six, each against its distribution when the model
    holds; a fit takes freedom from its residuals, so neither is centred on 0.
    """
    _, geos, weeks = fitted.design.shape
    rows = left.white(np.repeat(np.eye(weeks)[:, None], geos, axis=1))
    rows /= np.sqrt((rows**2).sum(axis=1, keepdims=True))
    beside, freed = left.covariance(rows)
    drawn = normal_draws(beside - freed, 2000, seed=4)
    null, seen = _memory(drawn), _memory((rows @ left.residual)[None])[0]
    centre, spread = null.mean(axis=0), null.std(axis=0)
    largest = np.abs((null - centre) / spread).max(axis=1)
    p = float((1 + (largest >= np.abs((seen - centre) / spread).max()).sum()) / (len(largest) + 1))
    return Check(
        check="serial_dependence",
        value=p,
        threshold=LEVEL,
        status="pass" if p > LEVEL else "warn",
        detail=f"p-value; first autocorrelation {seen[0]:+.2f}, {centre[0]:+.2f} expected",
        n=weeks,
    )


def _memory(series: FloatArray) -> FloatArray:
    """(n, weeks) -> (n, 2): first autocorrelation and the sum of the first `LAGS`."""
    size = (series**2).sum(axis=1)
    lags = [(series[:, lag:] * series[:, :-lag]).sum(axis=1) / size for lag in range(1, LAGS + 1)]
    return np.stack([lags[0], np.sum(lags, axis=0)], axis=1)


def placebo_channels(fitted: Fitted, left: Leftover) -> Check:
    """Whether each channel's response at the wrong time, shifted round the years, is found to act as well.

    Statistic: the mean squared z of all channels and shifts, against its distribution when the model holds. Shifts
    within the carry-over are left out, and a year, which would bring the season back.
    """
    draws = fitted.draws.thin(FEW)
    _, _, weeks = fitted.design.shape
    margin = min(12, weeks // 4)
    shifts = np.unique(np.linspace(margin, weeks - margin, SHIFTS).round().astype(int))
    shifts = shifts[np.abs((shifts + 26) % 52 - 26) > 2]
    responses = [fitted.media.contribution(draws, c).mean(axis=0) for c in range(len(fitted.design.channels))]
    directions = np.stack([np.roll(response, shift, axis=-1) for response in responses for shift in shifts])
    scores = score(left, directions)
    if not len(scores.z):
        return _untested("placebo_channels")
    seen = float((scores.z**2).mean())
    null = (normal_draws(scores.correlation, 2000, seed=5) ** 2).mean(axis=1)
    p = float((1 + (null >= seen).sum()) / (len(null) + 1))
    return Check(
        check="placebo_channels",
        value=p,
        threshold=LEVEL,
        status="pass" if p > LEVEL else "warn",
        detail=f"p-value; mean squared z of {len(scores.z)} placebos {seen:.2f}, 1 expected",
        n=len(scores.z),
    )


def _verdict(name: str, scores: Scores, names: Sequence[str], claim: str, *, seed: int, largest: bool = False) -> Check:
    if not len(scores.z):
        return _untested(name)
    p = largest_p_value(scores, seed) if largest else squares_p_value(scores, seed)
    worst = int(np.argmax(np.abs(scores.z)))
    untested = len(names) - len(scores.rows)
    return Check(
        check=name,
        value=p,
        threshold=LEVEL,
        status="pass" if p > LEVEL else "warn",
        detail=f"p-value; {claim}: strongest {names[scores.rows[worst]]}, z {scores.z[worst]:+.1f}"
        + (f"; {untested} of {len(names)} cannot be told from the model" if untested else ""),
        n=len(scores.z),
    )


def _untested(name: str) -> Check:
    return Check(
        check=name,
        value=None,
        threshold=LEVEL,
        status="unknown",
        detail="no direction that could be told from the model",
    )
