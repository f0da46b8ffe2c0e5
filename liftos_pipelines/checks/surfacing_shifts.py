"""Gates of what Surfacing watches: our own prompts held still, and alarms no more frequent than was said."""

import dagster as dg
import polars as pl
from scipy import stats

from liftos_pipelines.clients import clients_partitions
from liftos_pipelines.modules.surfacing.changes.watch import FALSE_ALARMS_PER_YEAR

ALLOWED_FALSE_ALARMS = 1.0
"""False alarms a year and engine that may be promised at most."""
TOO_MANY = 0.01
"""More alarms than stable engines raise with this probability need a look: the world changed often, or noise did."""


@dg.asset_check(
    asset=dg.AssetKey(["surfacing", "shifts"]),
    name="prompts_unchanged",
    partitions_def=clients_partitions,
    description="No change of visibility is explained by a change of our own prompts.",
)
def prompts_unchanged(shifts: pl.DataFrame) -> dg.AssetCheckResult:
    own = shifts.filter(pl.col("kind") == "own")
    return dg.AssetCheckResult(
        passed=own.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "own_changes": float(own.height),
            "days": ", ".join(f"{at:%Y-%m-%d}" for at in own["detected_at"]) or "none",
        },
    )


@dg.asset_check(
    asset=dg.AssetKey(["surfacing", "shifts"]),
    name="false_alarm_rate",
    partitions_def=clients_partitions,
    description=f"The stated rate of false alarms is at most {ALLOWED_FALSE_ALARMS:g} a year and engine, and alarms "
    "that would be expected so often by chance are not most of what was raised.",
)
def false_alarm_rate(shifts: pl.DataFrame) -> dg.AssetCheckResult:
    if shifts.is_empty():
        stated = FALSE_ALARMS_PER_YEAR
        return dg.AssetCheckResult(
            passed=stated <= ALLOWED_FALSE_ALARMS,
            metadata={"stated_rate": stated, "allowed_rate": ALLOWED_FALSE_ALARMS, "alarms": 0.0},
        )
    stated = float(shifts["false_alarms_per_year"].max())  # type: ignore[arg-type]
    # Of n alarms that chance alone raised, half would have a recurrence above half of the stated rate.
    weak = int((shifts["recurrence_per_year"] > stated / 2).sum())
    p = float(stats.binom.sf(weak - 1, shifts.height, 0.5)) if weak else 1.0
    return dg.AssetCheckResult(
        passed=stated <= ALLOWED_FALSE_ALARMS and p > TOO_MANY,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "stated_rate": stated,
            "allowed_rate": ALLOWED_FALSE_ALARMS,
            "alarms": float(shifts.height),
            "alarms_near_threshold": float(weak),
        },
    )
