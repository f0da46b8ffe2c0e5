"""The publish gate of Lift Causal: each check of `causal/validation` as an asset check of its own."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import polars as pl

from liftos_pipelines.clients import clients_partitions

VALIDATION = dg.AssetKey(["causal", "validation"])
GATES = {
    "r_hat": "Chains agree: largest R-hat at most 1.01; above 1.05 fails.",
    "ess_bulk": "Smallest bulk effective sample size at least 400; below 100 fails.",
    "ess_tail": "Smallest tail effective sample size at least 400; below 100 fails.",
    "divergences": "No divergent draw; more than one in 200 fails.",
    "bfmi": "Energy fraction of missing information at least 0.3.",
    "heldout_accuracy": "1 - wMAPE on weeks the validation fit has not seen, at least 0.85.",
    "holdout_skill": "Held-out accuracy above that of the same weeks a year before.",
    "interval_coverage": "Held-out weeks lie in their 90 % interval about as often as they should.",
    "negative_baseline": "Media do not explain more than the whole outcome; P above 0.8 fails.",
    "multicollinearity": "Channels can be told apart: largest variance inflation factor at most 10.",
    "prior_posterior_shift": "The data taught something about every channel.",
    "residual_autocorrelation": "Residuals of neighbouring weeks are nearly independent.",
}


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
            passed=status == "pass" or row is None,
            severity=dg.AssetCheckSeverity.ERROR if status == "fail" else dg.AssetCheckSeverity.WARN,
            metadata=metadata,
        )
