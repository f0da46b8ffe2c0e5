"""Gates of Lift Surfacing: answers read as they should be, enough prompts, real citations, audits that measure."""

import math

import dagster as dg
import polars as pl

from liftos_pipelines.clients import clients_partitions, load_client
from liftos_pipelines.modules.surfacing import measured_share
from liftos_pipelines.tables import ALL
from liftos_pipelines.templates.loader import Targets, load_template

UNREADABLE_WARNING = 0.05
"""Share of answers without readable text above which the collection, not an engine, is suspect."""


def targets_of(client: str) -> Targets:
    """The client's targets: its industry's template, overridden by its own."""
    config = load_client(client)
    return load_template(config.industry, config.folder).targets


@dg.asset_check(
    asset=dg.AssetKey(["surfacing", "answer_mentions"]),
    name="mentions_consistent",
    blocking=True,
    partitions_def=clients_partitions,
    description="A rank only where mentioned, every mention ranked, shares in [0, 1], sentiment in [-1, 1].",
)
def mentions_consistent(answer_mentions: pl.DataFrame) -> dg.AssetCheckResult:
    wrong = answer_mentions.filter(
        (pl.col("mentioned").fill_null(False) != pl.col("rank").is_not_null())
        | (pl.col("rank") < 1)
        | ~pl.col("citation_share").fill_null(0.0).is_between(0, 1)
        | ~pl.col("position_weighted_words").fill_null(0.0).is_between(0, 1 + 1e-9)
        | ~pl.col("sentiment").fill_null(0.0).is_between(-1, 1)
    ).height
    return dg.AssetCheckResult(passed=wrong == 0, metadata={"rows_inconsistent": float(wrong)})


@dg.asset_check(
    asset=dg.AssetKey(["surfacing", "answer_mentions"]),
    name="answers_readable",
    partitions_def=clients_partitions,
    description=f"At most {UNREADABLE_WARNING:.0%} of answers hold no readable text.",
)
def answers_readable(answer_mentions: pl.DataFrame) -> dg.AssetCheckResult:
    each = answer_mentions.unique("answer_id")
    if each.is_empty():
        return _unknown("unreadable_share")
    share = each["mentioned"].null_count() / each.height
    return dg.AssetCheckResult(
        passed=share <= UNREADABLE_WARNING,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"unreadable_share": share, "threshold": UNREADABLE_WARNING, "answers": float(each.height)},
    )


@dg.asset_check(
    asset=dg.AssetKey(["surfacing", "answer_mentions"]),
    name="citations_exist",
    partitions_def=clients_partitions,
    description="References in answers point to a source that the answer lists, up to the template's target.",
)
def citations_exist(context: dg.AssetCheckExecutionContext, answer_mentions: pl.DataFrame) -> dg.AssetCheckResult:
    known = (
        answer_mentions.unique("answer_id").drop_nulls("hallucinated_citations")
        if "hallucinated_citations" in answer_mentions.columns
        else pl.DataFrame()
    )
    if known.is_empty():
        return _unknown("hallucinated_share")
    threshold = targets_of(context.partition_key).hallucinated_citations
    missing = float(known["hallucinated_citations"].sum())
    listed = float(known["citations"].sum())
    share = missing / (missing + listed) if missing + listed else 0.0
    return dg.AssetCheckResult(
        passed=share <= threshold,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"hallucinated_share": share, "hallucinated": missing, "citations": listed, "threshold": threshold},
    )


@dg.asset_check(
    asset=dg.AssetKey(["surfacing", "visibility"]),
    name="enough_prompts",
    partitions_def=clients_partitions,
    description="The newest month's interval of the brand's mention rate is as narrow as the template wants it.",
)
def enough_prompts(context: dg.AssetCheckExecutionContext, visibility: pl.DataFrame) -> dg.AssetCheckResult:
    if visibility.is_empty() or "own" not in visibility.columns:
        return _unknown("interval_width")
    newest = visibility.filter(pl.col("own"), pl.col("engine") == ALL, pl.col("metric") == "mention_rate").filter(
        pl.col("period") == pl.col("period").max()
    )
    low, high, prompts = newest.select("low", "high", "n_prompts").row(0) if newest.height else (None, None, 0)
    target = targets_of(context.partition_key).interval_width
    if low is None or high is None:
        return dg.AssetCheckResult(
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description="fewer than two prompts: no interval",
            metadata={"interval_width": "unknown", "target": target, "prompts": float(prompts or 0)},
        )
    width = high - low
    # Width falls with the root of the number of prompts; repeats of a prompt hardly narrow it.
    needed = math.ceil(prompts * (width / target) ** 2)
    return dg.AssetCheckResult(
        passed=width <= target,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "interval_width": width,
            "target": target,
            "prompts": float(prompts),
            "prompts_needed": float(needed),
        },
    )


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
    asset=dg.AssetKey(["surfacing", "page_audit"]),
    name="audit_coverage",
    partitions_def=clients_partitions,
    description="As many of the audit's dimensions could be measured as the template wants.",
)
def audit_coverage(context: dg.AssetCheckExecutionContext, page_audit: pl.DataFrame) -> dg.AssetCheckResult:
    share = measured_share(page_audit)
    if share is None:
        return _unknown("measured_share")
    target = targets_of(context.partition_key).audit_coverage
    unmeasured = page_audit.filter(pl.col("score").is_null())["dimension"].unique().sort().to_list()
    return dg.AssetCheckResult(
        passed=share >= target,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"measured_share": share, "target": target, "not_measured": ", ".join(unmeasured) or "none"},
    )


def _unknown(measure: str) -> dg.AssetCheckResult:
    """Nothing to judge: said, and not counted as a failure."""
    return dg.AssetCheckResult(passed=True, metadata={measure: "unknown"})
