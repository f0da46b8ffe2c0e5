"""The publish gate of Lift Causal: each check of `causal/validation`, and whether the served model is current."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import SKIPPED
from liftos_pipelines.clients import clients_partitions

VALIDATION = dg.AssetKey(["causal", "validation"])
CHAMPION = dg.AssetKey(["causal", "champion"])
GATES = {
    "r_hat": "Chains agree: largest R-hat at most 1.01; above 1.05 fails.",
    "ess_bulk": "Smallest bulk effective sample size at least 400; below 100 fails.",
    "ess_tail": "Smallest tail effective sample size at least 400; below 100 fails.",
    "divergences": "No divergent draw after the sampler's remedies; more than one in 200 fails.",
    "bfmi": "Energy fraction of missing information at least 0.3; below 0.1 fails.",
    "heldout_accuracy": "1 - wMAPE on weeks that the back-tests have not seen, at least 0.85; below 0 fails.",
    "holdout_skill": "Held-out accuracy above that of the same weeks a year before; 0.1 below it fails.",
    "media_skill": "Held-out accuracy not below that of the baseline without media; 0.1 below it fails.",
    "interval_coverage": "Held-out weeks lie in their 90 % interval as often as they would if the model were right.",
    "pit_uniformity": "Held-out weeks rank evenly among their predictions.",
    "posterior_predictive": "Residuals look like the model's noise over time, with the level, over geos, in the tails.",
    "residual_autocorrelation": "Residuals of neighbouring weeks are nearly independent; above 0.7 fails.",
    "ljung_box": "Residuals do not follow each other over four to eight weeks.",
    "negative_baseline": "Media do not explain more than the whole outcome; P above 0.8 fails.",
    "multicollinearity": "Channels can be told apart: largest variance inflation factor at most 10.",
    "prior_posterior_shift": "The data taught something about every channel.",
    "refit_stability": "No channel's effect moved by more than a posterior sd with the newest weeks; 2.5 fails.",
    "champion_stability": "No channel's effect is more than two posterior sd from where the served model has it.",
    "leads_of_media": "Next week's exposure does not explain this week's outcome.",
    "functional_form": "Responses bend as their curves can.",
    "baseline_break": "Trend and season follow the baseline: no step or bend is left over.",
    "serial_dependence": "Residuals follow each other no more than the fit itself makes them.",
    "placebo_channels": "Media at the wrong time are not found to act.",
    "entangled_effects": "No two channels' effects are known only as a sum.",
    "outlier_leverage": "No channel's effect rests on a few extreme weeks.",
    "steeper_curve": "An S-shaped response is not more probable than the model's curve.",
}
"""Levels are those of `causal.gate` by default; the row's threshold is what holds for the client."""


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(name=name, asset=VALIDATION, description=text, partitions_def=clients_partitions)
        for name, text in GATES.items()
    ],
    ins={"validation": dg.AssetIn(key=VALIDATION)},
    name="causal_publish_gate",
)
def causal_publish_gate(validation: pl.DataFrame) -> Iterator[dg.AssetCheckResult]:
    """A fail is an error; a warning, or what could not be measured, is a warning that says so."""
    rows = {row["check"]: row for row in validation.iter_rows(named=True)}
    for name in GATES:
        row = rows.get(name)
        status = row["status"] if row else "unknown"
        metadata: dict[str, str | float] = {"status": status, "detail": row["detail"] if row else "no marketing source"}
        for field in ("value", "threshold"):
            number = row[field] if row else None
            metadata[field] = float(number) if number is not None else "unknown"
        yield dg.AssetCheckResult(
            asset_key=VALIDATION,
            check_name=name,
            # What no source exists for is not a failure of it.
            # Nor can a first fit be compared with a model that serves.
            passed=status == "pass" or row is None or (name == "champion_stability" and status == "unknown"),
            severity=dg.AssetCheckSeverity.ERROR if status == "fail" else dg.AssetCheckSeverity.WARN,
            metadata=metadata,
        )


@dg.asset_check(
    asset=CHAMPION,
    name="served_model_is_current",
    partitions_def=clients_partitions,
    description="Answers come from the newest fit, and it has seen all but the newest six weeks.",
)
def served_model_is_current(champion: Any) -> dg.AssetCheckResult:
    """Warns when an older version serves, when none does, or when the served one is weeks behind the data."""
    from liftos_pipelines.modules.causal.engine.reading import is_fitted, spec_of

    status = str(champion.attrs["status"])
    metadata: dict[str, str | float] = {"status": status, "why": str(champion.attrs.get("why", status))}
    passed = status.startswith(SKIPPED)
    if is_fitted(champion):
        unseen, served = float(champion.attrs["weeks_unseen"]), float(champion.attrs["version"])
        metadata |= {"version": served, "weeks_unseen": unseen}
        recent = spec_of(champion).gate.served_weeks.status(unseen) == "pass"
        passed = recent and served == float(champion.attrs["candidate"])
    return dg.AssetCheckResult(passed=passed, severity=dg.AssetCheckSeverity.WARN, metadata=metadata)
