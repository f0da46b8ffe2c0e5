"""Gates of what memory learned: fusion does no harm, patterns are as right as they say, unknown topics are noticed.

None blocks: a memory that recalls poorly still holds what was said, and each pattern carries its own uncertainty. With
too little to tell, a check passes as unknown.
"""

import dagster as dg
import polars as pl

from liftos_pipelines.clients import clients_partitions

HARM_METRICS = ("mrr", "recall@10")
"""The metrics on which fused search must not fall below BM25 alone."""
MIN_QUESTIONS = 30
"""Fewer questions than this cannot tell harm from noise."""
MAX_CALIBRATION_ERROR = 0.05
MIN_NEW_TOPIC_ABSTENTION = 0.9
"""Share of contexts of a topic that memory does not hold on which it abstains: 1 less `scope.ALPHA`."""
MIN_TOPIC_AUROC = 0.8

QUALITY, PATTERNS = dg.AssetKey(["memory", "retrieval_quality"]), dg.AssetKey(["memory", "patterns"])


def _unknown(rows: pl.DataFrame) -> dg.AssetCheckResult | None:
    asked = float(rows["n"].to_numpy().min()) if rows.height else 0.0
    if asked >= MIN_QUESTIONS:
        return None
    why = "unknown: too few questions"
    return dg.AssetCheckResult(
        passed=True, metadata={"status": why, "questions": asked, "needed": float(MIN_QUESTIONS)}
    )


def _of(quality: pl.DataFrame, method: str, *metrics: str) -> pl.DataFrame:
    return quality.filter(pl.col("method") == method, pl.col("metric").is_in(metrics))


def _numbers(row: dict[str, float | str | None], name: str) -> dict[str, float | str]:
    told: dict[str, float | str] = {}
    for column in ("value", "low", "high", "n"):
        number = row[column]
        told[name if column == "value" else f"{name}_{column}"] = "unknown" if number is None else float(number)
    return told


def _warning(passed: bool, metadata: dict[str, float | str]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=passed, severity=dg.AssetCheckSeverity.WARN, metadata=metadata)


@dg.asset_check(asset=QUALITY, name="fusion_not_below_words_alone", partitions_def=clients_partitions)
def fusion_not_below_words_alone(
    context: dg.AssetCheckExecutionContext, retrieval_quality: pl.DataFrame
) -> dg.AssetCheckResult:
    """Hybrid recall is not below BM25: the paired 90 % interval of the difference, clustered by campaign, is not wholly
    below 0, in MRR and in recall@10."""
    rows = _of(retrieval_quality, "hybrid-bm25", *HARM_METRICS)
    told: dict[str, float | str] = {}
    for row in rows.iter_rows(named=True):
        told |= _numbers(row, f"{row['metric']}_difference")
    harmed = rows.filter(pl.col("high") < 0)["metric"].to_list()
    if harmed:
        told["reason"] = f"fused search finds less than words alone ({', '.join(harmed)})"
    return _unknown(rows) or _warning(not harmed, told)


@dg.asset_check(asset=QUALITY, name="patterns_not_below_the_base_rate", partitions_def=clients_partitions)
def patterns_not_below_the_base_rate(
    context: dg.AssetCheckExecutionContext, retrieval_quality: pl.DataFrame
) -> dg.AssetCheckResult:
    """What patterns say of past decisions, asked before they were taken, is not further from what came of them (Brier
    score) than the base rate is; accuracy stands beside at its coverage."""
    rows = pl.concat(
        [
            _of(retrieval_quality, "pattern", "coverage", "accuracy", "accuracy@50%", "brier"),
            _of(retrieval_quality, "base_rate", "accuracy", "brier"),
        ]
    )
    told: dict[str, float | str] = {}
    for row in rows.iter_rows(named=True):
        told |= _numbers(row, f"{row['method']}_{row['metric']}")
    unknown = _unknown(rows.filter(pl.col("metric") == "brier"))
    if unknown is not None:
        return unknown
    mine = _of(retrieval_quality, "pattern", "brier").row(0, named=True)
    base = _of(retrieval_quality, "base_rate", "brier").row(0, named=True)
    # Worse only where the intervals of the two do not meet.
    return _warning(mine["low"] <= base["high"], told)


@dg.asset_check(asset=QUALITY, name="chances_are_calibrated", partitions_def=clients_partitions)
def chances_are_calibrated(
    context: dg.AssetCheckExecutionContext, retrieval_quality: pl.DataFrame
) -> dg.AssetCheckResult:
    """The calibration error of chances of success, and of recognised topics, is not surely above .05 (its interval,
    clustered by campaign), nor above what calibrated answers come to by chance at this number of questions."""
    told: dict[str, float | str] = {"threshold": MAX_CALIBRATION_ERROR}
    passed, asked = True, pl.DataFrame(schema=retrieval_quality.schema)
    for method in ("pattern", "recogniser"):
        found, chance = _of(retrieval_quality, method, "ece"), _of(retrieval_quality, method, "ece_if_calibrated")
        asked = pl.concat([asked, found])
        if found.is_empty() or chance.is_empty() or found["n"][0] < MIN_QUESTIONS:
            continue
        told |= _numbers(found.row(0, named=True), f"{method}_ece")
        told |= _numbers(chance.row(0, named=True), f"{method}_ece_if_calibrated")
        passed &= found["low"][0] <= max(MAX_CALIBRATION_ERROR, chance["high"][0])
    return _unknown(asked.sort("n", descending=True).head(1)) or _warning(bool(passed), told)


@dg.asset_check(asset=QUALITY, name="unknown_topics_are_noticed", partitions_def=clients_partitions)
def unknown_topics_are_noticed(
    context: dg.AssetCheckExecutionContext, retrieval_quality: pl.DataFrame
) -> dg.AssetCheckResult:
    """With a whole topic taken out of memory, its contexts are abstained on as often as promised, and familiarity
    tells them from known ones."""
    rows = _of(retrieval_quality, "pattern", "abstention", "abstention_new_topic")
    auroc = _of(retrieval_quality, "recogniser", "oos_auroc")
    told: dict[str, float | str] = {"promised": MIN_NEW_TOPIC_ABSTENTION, "auroc_threshold": MIN_TOPIC_AUROC}
    for row in pl.concat([rows, auroc]).iter_rows(named=True):
        told |= _numbers(row, row["metric"])
    new = rows.filter(pl.col("metric") == "abstention_new_topic")
    unknown = _unknown(new)
    if unknown is not None:
        return unknown
    noticed = new["high"][0] >= MIN_NEW_TOPIC_ABSTENTION
    told_apart = auroc.is_empty() or auroc["value"][0] >= MIN_TOPIC_AUROC
    return _warning(bool(noticed and told_apart), told)


@dg.asset_check(asset=PATTERNS, name="patterns_say_what_they_know", partitions_def=clients_partitions, blocking=True)
def patterns_say_what_they_know(context: dg.AssetCheckExecutionContext, patterns: pl.DataFrame) -> dg.AssetCheckResult:
    """Every answer has a chance within its interval and memories behind it; every abstention has a reason and no
    chance. What breaks this must not become an insight."""
    if not {"p_success_low", "p_success_high", "reason"} <= set(patterns.columns):
        return dg.AssetCheckResult(passed=patterns.is_empty(), metadata={"broken": float(patterns.height)})
    inside = pl.col("p_success").is_between(pl.col("p_success_low"), pl.col("p_success_high"))
    said = inside & pl.col("confidence").is_between(0.5, 1) & (pl.col("memory_ids").list.len() > 0)
    silent = pl.col("p_success").is_null() & pl.col("reason").is_not_null()
    fine = pl.when("abstained").then(silent).otherwise(said).fill_null(False)
    broken = patterns.filter(~fine)
    answers = patterns.filter(~pl.col("abstained")).height
    return dg.AssetCheckResult(
        passed=broken.is_empty(),
        metadata={"broken": float(broken.height), "answers": float(answers), "rows": float(patterns.height)},
    )
