"""Gates of Lift Surfacing: answers read as they should be, real citations, audits that measure."""

import dagster as dg
import polars as pl

from liftos_pipelines.clients import clients_partitions, load_client
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


def _unknown(measure: str) -> dg.AssetCheckResult:
    """Nothing to judge: said, and not counted as a failure."""
    return dg.AssetCheckResult(passed=True, metadata={measure: "unknown"})
