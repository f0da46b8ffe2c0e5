"""Whether the model may be published: named checks with value, threshold and a verdict each.

A family of checks is a file: `checks_sampling` (do the draws stand for the posterior), `checks_heldout` (does it
foretell weeks it has not seen), `checks_model` (residuals, baseline, what was learned, stability),
`checks_identification` (do the data contradict what identifies the effects), `checks_leverage` (on how little does an
effect rest), `checks_rivals` (is another form more probable). Levels stand in `gate`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import polars as pl

from liftos_pipelines.modules.causal.answers.results import Fitted
from liftos_pipelines.modules.causal.checks import model
from liftos_pipelines.modules.causal.checks.check import Check, judge_again
from liftos_pipelines.modules.causal.checks.gate import Status
from liftos_pipelines.modules.causal.checks.heldout import heldout_checks
from liftos_pipelines.modules.causal.checks.sampling import remedies, sampling_checks
from liftos_pipelines.modules.causal.spec import ModelSpec

if TYPE_CHECKING:
    import arviz as az

__all__ = ["NAMES", "Check", "Status", "failed", "heldout_checks", "remedies", "sampling_checks", "validate"]

TYPES = {"value": pl.Float64, "threshold": pl.Float64, "n": pl.Int64, "low": pl.Float64, "high": pl.Float64}
NAMES = (
    "r_hat",
    "ess_bulk",
    "ess_tail",
    "divergences",
    "bfmi",
    "heldout_accuracy",
    "holdout_skill",
    "media_skill",
    "interval_coverage",
    "pit_uniformity",
    "posterior_predictive",
    "residual_autocorrelation",
    "ljung_box",
    "negative_baseline",
    "multicollinearity",
    "prior_posterior_shift",
    "refit_stability",
    "champion_stability",
    "leads_of_media",
    "functional_form",
    "baseline_break",
    "serial_dependence",
    "placebo_channels",
    "entangled_effects",
    "outlier_leverage",
    "steeper_curve",
)
"""Every check there is; each stands in the table whatever was measured."""


def validate(data: az.InferenceData, fitted: Fitted, spec: ModelSpec) -> pl.DataFrame:
    """The table `causal/validation`: one row a name of `NAMES`."""
    # It imports `Check` from here.
    from liftos_pipelines.modules.causal.checks.identification import identification_checks

    gate, seed = spec.gate, spec.seed
    checks = [
        *sampling_checks(data, gate),
        *heldout_checks(data, fitted.design, spec),
        model.posterior_predictive(fitted, gate, seed),
        *model.residual_checks(fitted, gate, seed),
        model.negative_baseline(fitted, gate),
        model.multicollinearity(fitted, gate),
        model.prior_posterior_shift(data, fitted.design, spec),
        model.refit_stability(data, gate),
        model.champion_stability(data, gate),
        *(judge_again(check, gate) for check in identification_checks(fitted, spec)),
    ]
    return pl.DataFrame([asdict(check) for check in checks], schema_overrides=TYPES).with_columns(
        pl.col("value", "low", "high").fill_nan(None)
    )


def failed(checks: pl.DataFrame) -> list[str]:
    """Names of the checks of a table `causal/validation` that keep the model from being served."""
    return checks.filter(pl.col("status") == "fail")["check"].to_list()
