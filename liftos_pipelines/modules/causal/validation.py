"""Whether the model may be published: named checks with value, threshold and a verdict each."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from liftos_pipelines.modules.causal.design import YEAR_WEEKS, Design
from liftos_pipelines.modules.causal.prior import effect_scale
from liftos_pipelines.modules.causal.results import Fitted
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.modules.causal.transforms import FloatArray
from liftos_pipelines.stats import cluster_bootstrap, percentile_interval

if TYPE_CHECKING:
    import arviz as az

Status = Literal["pass", "warn", "fail", "unknown"]
R_HAT, ESS, BFMI = 1.01, 400.0, 0.3
"""Vehtari et al. (2021), Rank-normalization, folding, and localization; Betancourt (2016) for BFMI."""
FAR_R_HAT, FAR_ESS = 1.05, 100.0
"""Beyond these the draws do not stand for the posterior at all: fail, not warn."""
NEGATIVE_BASELINE = (0.2, 0.8)
ACCURACY = 0.85
VIF = 10.0
RESIDUAL_CORRELATION = 0.3
SHIFT = 0.1
"""A channel learned something when its effect's posterior sd or mean moved by a tenth of the prior's sd."""
TYPES = {"value": pl.Float64, "threshold": pl.Float64, "n": pl.Int64, "low": pl.Float64, "high": pl.Float64}
SAMPLED = ("share", "positive", "log_effect", "sigma", "week_sigma", "geo_spread", "geo_effect")


@dataclass(frozen=True, kw_only=True)
class Check:
    check: str
    value: float | None
    threshold: float | None
    status: Status
    detail: str
    n: int | None = None
    """What the value was measured on: draws, weeks, channels."""
    low: float | None = None
    high: float | None = None


NAMES = (
    "r_hat",
    "ess_bulk",
    "ess_tail",
    "divergences",
    "bfmi",
    "heldout_accuracy",
    "holdout_skill",
    "interval_coverage",
    "negative_baseline",
    "multicollinearity",
    "prior_posterior_shift",
    "residual_autocorrelation",
)
"""Every check there is; each stands in the table whatever was measured."""


def validate(data: az.InferenceData, fitted: Fitted, spec: ModelSpec) -> pl.DataFrame:
    """The table `causal/validation`: one row a name of `NAMES`."""
    checks = [
        *sampling_checks(data),
        *holdout_checks(data, fitted.design),
        negative_baseline(fitted),
        multicollinearity(fitted),
        prior_posterior_shift(data, fitted.design, spec),
        residual_autocorrelation(fitted),
    ]
    return pl.DataFrame([asdict(check) for check in checks], schema_overrides=TYPES).with_columns(
        pl.col("value", "low", "high").fill_nan(None)
    )


def sampling_checks(data: az.InferenceData) -> list[Check]:
    """R-hat, effective sample sizes, divergences and energy of the full fit."""
    import arviz as az

    # With one geo its effect is 1 by definition: there is nothing to converge.
    fixed = {"geo_effect"} if "geo_spread" not in data.posterior else set()
    names = [name for name in SAMPLED if name in data.posterior and name not in fixed]
    posterior = data.posterior[names].load()
    r_hat, worst = _extreme(az.rhat(posterior), np.max)
    bulk, least_bulk = _extreme(az.ess(posterior, method="bulk"), np.min)
    tail, least_tail = _extreme(az.ess(posterior, method="tail"), np.min)
    diverging = float(data.sample_stats["diverging"].sum())
    checks = [
        Check(
            check="r_hat",
            value=r_hat,
            threshold=R_HAT,
            detail=f"largest: {worst}",
            status="pass" if r_hat <= R_HAT else "warn" if r_hat <= FAR_R_HAT else "fail",
        ),
        Check(
            check="ess_bulk",
            value=bulk,
            threshold=ESS,
            detail=f"smallest: {least_bulk}",
            status="pass" if bulk >= ESS else "warn" if bulk >= FAR_ESS else "fail",
        ),
        Check(
            check="ess_tail",
            value=tail,
            threshold=ESS,
            detail=f"smallest: {least_tail}",
            status="pass" if tail >= ESS else "warn" if tail >= FAR_ESS else "fail",
        ),
        Check(
            check="divergences",
            value=diverging,
            threshold=0.0,
            detail=f"of {data.posterior.sizes['chain'] * data.posterior.sizes['draw']} draws",
            status=_divergence_status(diverging, data),
        ),
    ]
    if "energy" in data.sample_stats:
        bfmi = float(np.min(az.bfmi(data)))
        checks.append(
            Check(
                check="bfmi",
                value=bfmi,
                threshold=BFMI,
                detail="smallest chain",
                status="pass" if bfmi >= BFMI else "warn",
            )
        )
    else:
        checks.append(_unknown("bfmi", BFMI, "the sampler did not record its energy"))
    return checks


def _divergence_status(diverging: float, data: az.InferenceData) -> Status:
    draws = data.posterior.sizes["chain"] * data.posterior.sizes["draw"]
    return "pass" if diverging == 0 else "warn" if diverging <= 0.005 * draws else "fail"


def _extreme(values: Any, choose: Any) -> tuple[float, str]:
    """The extreme value of a data set of statistics and the parameter it belongs to.

    A chain that stands still has no R-hat: NaN is the worst there is, and no threshold passes it.
    """
    found = {str(name): float(choose(values[name].to_numpy())) for name in values.data_vars}
    stuck = [name for name, value in found.items() if np.isnan(value)]
    if stuck:
        return float("nan"), f"{stuck[0]} (a chain stands still)"
    best = float(choose(list(found.values())))
    return best, next(name for name, value in found.items() if value == best)


def holdout_checks(data: az.InferenceData, design: Design) -> list[Check]:
    """Newest weeks as a fit without them foresaw them, media and controls known: accuracy, skill and coverage."""
    if "predictions" not in data.groups():
        reason = "causal.holdout_weeks is 0: no validation fit"
        return [_unknown(name, None, reason) for name in ("heldout_accuracy", "holdout_skill", "interval_coverage")]
    folds = data.predictions
    predicted = np.concatenate(list(folds["outcome"].to_numpy()[::-1]), axis=-1)
    begins = [design.weeks.index(date.fromisoformat(str(day))) for day in folds["first_week"].to_numpy()[::-1]]
    ahead = int(folds.sizes["ahead"])
    places = np.concatenate([np.arange(begin, begin + ahead) for begin in begins])
    held = len(places)
    actual = design.outcome[:, places]
    accuracy = _accuracy(actual.sum(axis=0), np.median(predicted.sum(axis=1), axis=0))
    year = round(YEAR_WEEKS)
    label = f"{held} weeks in {len(begins)} back-test(s), all geos together"
    if places.min() >= year:
        naive = _accuracy(actual.sum(axis=0), design.outcome[:, places - year].sum(axis=0))
        baseline = "the same weeks a year before"
    else:
        last = np.concatenate([np.full(ahead, begin - 1) for begin in begins])
        naive = _accuracy(actual.sum(axis=0), design.outcome[:, last].sum(axis=0))
        baseline = "the last week seen"
    low, high = np.quantile(predicted, [0.05, 0.95], axis=0)
    inside = (actual >= low) & (actual <= high)
    coverage = float(inside.mean())
    # Weeks share their trend's error, so geo-weeks count as weeks only: the margin is of a binomial with n = weeks.
    margin = 0.9 - 1.645 * np.sqrt(0.9 * 0.1 / held)
    foreseen, seen = np.median(predicted.sum(axis=1), axis=0), actual.sum(axis=0)
    low_accuracy, high_accuracy = percentile_interval(
        cluster_bootstrap(np.arange(held), lambda rows: _accuracy(seen[rows], foreseen[rows]), seed=held)
    )
    return [
        Check(
            check="heldout_accuracy",
            value=accuracy,
            threshold=ACCURACY,
            detail=f"1 - wMAPE; {label}",
            status="pass" if accuracy >= ACCURACY else "warn",
            n=held,
            low=low_accuracy,
            high=high_accuracy,
        ),
        Check(
            check="holdout_skill",
            value=accuracy - naive,
            threshold=0.0,
            detail=f"accuracy above that of {baseline} ({naive:.3f}); {label}",
            status="pass" if accuracy >= naive else "warn",
            n=held,
        ),
        Check(
            check="interval_coverage",
            value=coverage,
            threshold=float(margin),
            detail=f"share of {inside.size} geo-weeks inside their 90 % interval",
            status="pass" if coverage >= margin else "warn",
            n=inside.size,
        ),
    ]


def _accuracy(actual: FloatArray, predicted: FloatArray) -> float:
    return 1 - float(np.abs(actual - predicted).sum() / np.abs(actual).sum())


def negative_baseline(fitted: Fitted) -> Check:
    """Probability that media would explain more than all of the outcome over the whole time."""
    design, draws = fitted.design, fitted.draws.thin(500)
    baseline = design.outcome.sum() - sum(fitted.gained(draws, c).sum(axis=(1, 2)) for c in range(len(design.channels)))
    probability = float((baseline < 0).mean())
    status: Status = "pass" if probability < NEGATIVE_BASELINE[0] else "warn"
    if probability > NEGATIVE_BASELINE[1]:
        status = "fail"
    return Check(
        check="negative_baseline",
        value=probability,
        threshold=NEGATIVE_BASELINE[0],
        status=status,
        detail="P(total outcome less media < 0); above 0.8 fails",
    )


def multicollinearity(fitted: Fitted) -> Check:
    """Largest variance inflation factor of carried-over media, given the baseline and the other channels."""
    design = fitted.design
    channels, geos, weeks = design.shape
    few = fitted.draws.thin(50)
    carried = np.stack([fitted.media.saturated(few, c).mean(axis=0) for c in range(channels)])
    media = carried.reshape(channels, geos * weeks).T
    centred = media - media.mean(axis=0)
    worst, name = 0.0, ""
    for c, channel in enumerate(design.channels):
        others = np.column_stack([design.baseline, np.delete(media, c, axis=1)])
        fitted_values = others @ np.linalg.lstsq(others, media[:, c], rcond=None)[0]
        rest = float(((media[:, c] - fitted_values) ** 2).sum())
        vif = float((centred[:, c] ** 2).sum()) / rest if rest > 0 else np.inf
        if vif > worst:
            worst, name = vif, channel
    finite = float(worst) if np.isfinite(worst) else None
    return Check(
        check="multicollinearity",
        value=finite,
        threshold=VIF,
        status="pass" if worst <= VIF else "warn",
        detail=f"largest variance inflation factor: {name}",
    )


def prior_posterior_shift(data: az.InferenceData, design: Design, spec: ModelSpec) -> Check:
    """Share of channels whose effect the data moved or narrowed against its prior; names those it did not."""
    prior = effect_scale(design, spec)
    effect = data.posterior["log_effect"].to_numpy().reshape(-1, len(design.channels))
    moved = np.abs(effect.mean(axis=0) - prior.mu) / prior.sd > SHIFT
    narrowed = effect.std(axis=0) < (1 - SHIFT) * prior.sd
    learned = moved | narrowed
    silent = [name for name, yes in zip(design.channels, learned, strict=True) if not yes]
    return Check(
        check="prior_posterior_shift",
        value=float(learned.mean()),
        threshold=1.0,
        status="pass" if learned.all() else "warn",
        detail=f"the data say little about: {', '.join(silent) or 'no channel'}",
        n=len(learned),
    )


def residual_autocorrelation(fitted: Fitted) -> Check:
    """Lag-1 correlation of the posterior mean's residuals within geos; the model assumes there is none."""
    design, draws = fitted.design, fitted.draws.thin(300)
    assert draws.beta is not None
    residual = fitted.media.residual(draws).mean(axis=0) - (draws.beta @ design.baseline.T).mean(axis=0).reshape(
        design.y.shape
    )
    residual -= residual.mean(axis=1, keepdims=True)
    correlation = float((residual[:, 1:] * residual[:, :-1]).sum() / (residual**2).sum())
    return Check(
        check="residual_autocorrelation",
        value=correlation,
        threshold=RESIDUAL_CORRELATION,
        status="pass" if abs(correlation) <= RESIDUAL_CORRELATION else "warn",
        detail="lag-1; above the threshold intervals are too narrow",
    )


def _unknown(check: str, threshold: float | None, detail: str) -> Check:
    return Check(check=check, value=None, threshold=threshold, status="unknown", detail=detail)
