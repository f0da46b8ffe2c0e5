"""Gates of Lift Sentiment's scores: they are probabilities, abstention and unknown languages are in bounds, calibration
holds against the stars that authors gave. Those of the index and its alerts: `sentiment_index`.
"""

from __future__ import annotations

import dagster as dg
import numpy as np
import polars as pl

from liftos_pipelines.clients import clients_partitions
from liftos_pipelines.modules.sentiment.reading.calibration import expected_calibration_error

ABSTENTION_WARNING = 0.75
"""Above this share of abstentions, labels speak for a small and easy part of the mentions only."""
UNKNOWN_LANGUAGE_WARNING = 0.10
CALIBRATION_WARNING = 0.15
"""Gap between stated probability of a polarity and its frequency, among rated mentions."""
MIN_RATED = 50
TOLERANCE = 1e-6
SCORES = dg.AssetKey(["sentiment", "mention_scores"])
WARN = dg.AssetCheckSeverity.WARN


@dg.asset_check(
    asset=SCORES,
    name="probabilities_sound",
    blocking=True,
    partitions_def=clients_partitions,
    description="Probabilities sum to 1; a mention without them is labelled unknown and abstained, with a reason.",
)
def probabilities_sound(mention_scores: pl.DataFrame) -> dg.AssetCheckResult:
    if mention_scores.is_empty():
        return dg.AssetCheckResult(passed=True, metadata={"mentions": 0.0})
    total = pl.col("p_negative") + pl.col("p_neutral") + pl.col("p_positive")
    unsound = mention_scores.filter((total - 1).abs() > TOLERANCE).height
    without = mention_scores.filter(pl.col("p_negative").is_null())
    silent = without.filter((pl.col("label") != "unknown") | ~pl.col("abstained")).height
    silent += without["reason"].null_count()
    return dg.AssetCheckResult(
        passed=unsound == 0 and silent == 0,
        metadata={"rows_unsound": float(unsound), "rows_without_reason": float(silent)},
    )


@dg.asset_check(
    asset=SCORES,
    name="abstention",
    partitions_def=clients_partitions,
    description=f"At most {ABSTENTION_WARNING:.0%} of mentions are left without a label to rely on.",
)
def abstention(mention_scores: pl.DataFrame) -> dg.AssetCheckResult:
    return _share(mention_scores, pl.col("abstained"), ABSTENTION_WARNING, "abstained_share")


@dg.asset_check(
    asset=SCORES,
    name="languages_known",
    partitions_def=clients_partitions,
    description=f"At most {UNKNOWN_LANGUAGE_WARNING:.0%} of mentions are in a language that is not known.",
)
def languages_known(mention_scores: pl.DataFrame) -> dg.AssetCheckResult:
    return _share(mention_scores, pl.col("language") == "unknown", UNKNOWN_LANGUAGE_WARNING, "unknown_language_share")


@dg.asset_check(
    asset=SCORES,
    name="agrees_with_ratings",
    additional_ins={"mentions": dg.AssetIn(key=["sources", "mentions"])},
    partitions_def=clients_partitions,
    description=(
        f"Among mentions rated 1-2 or 4-5 stars, the stated probability of the rated polarity is off by at most "
        f"{CALIBRATION_WARNING:.0%} on average (equally filled bins); needs {MIN_RATED} ratings."
    ),
)
def agrees_with_ratings(mention_scores: pl.DataFrame, mentions: pl.DataFrame) -> dg.AssetCheckResult:
    rated = (
        mention_scores.drop_nulls("p_negative")
        .join(mentions.select("mention_id", "rating"), on="mention_id")
        .filter(pl.col("rating").is_between(1, 2) | pl.col("rating").is_between(4, 5))
    )
    if rated.height < MIN_RATED:
        return dg.AssetCheckResult(passed=True, metadata={"calibration_error": "unknown", "rated": float(rated.height)})
    # Stars of 1-2 or 4-5 rule "neutral" out, so the two polarities share its probability in proportion.
    positive = (rated["p_positive"] / (rated["p_positive"] + rated["p_negative"])).to_numpy()
    truth = (rated["rating"] >= 4).to_numpy()
    error = expected_calibration_error(positive, truth)
    return dg.AssetCheckResult(
        passed=error <= CALIBRATION_WARNING,
        severity=WARN,
        metadata={
            "calibration_error": error,
            "polarity_agreement": float(np.mean((positive >= 0.5) == truth)),
            "rated": float(rated.height),
            "threshold": CALIBRATION_WARNING,
        },
    )


def _share(frame: pl.DataFrame, condition: pl.Expr, limit: float, name: str) -> dg.AssetCheckResult:
    if frame.is_empty():
        return dg.AssetCheckResult(passed=True, metadata={name: "unknown"})
    share = float(frame.select(condition.mean()).item())
    return dg.AssetCheckResult(
        passed=share <= limit,
        severity=WARN,
        metadata={name: share, "threshold": limit, "mentions": float(frame.height)},
    )
