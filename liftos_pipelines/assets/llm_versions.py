"""Lift LLM's versions: what got worse, which is best, what drifted, and what to try next."""

from collections.abc import Iterable, Mapping

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import inputs, lift_asset, result, skipped
from liftos_pipelines.modules.llm.experiments.measured import METRICS, with_metrics
from liftos_pipelines.modules.llm.versions.arms import prepared
from liftos_pipelines.modules.llm.versions.drift import drift as drift_of
from liftos_pipelines.modules.llm.versions.leaderboard import leaderboard as ranks_of
from liftos_pipelines.modules.llm.versions.regression import SAME, TOO_FEW, WORSE
from liftos_pipelines.modules.llm.versions.regression import regressions as regressions_of
from liftos_pipelines.modules.llm.versions.suggestions import Precedent, serving
from liftos_pipelines.modules.llm.versions.suggestions import suggestions as suggestions_of
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.memory_store import MemoryStore, MemoryStoreResource
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.outbox import outbox
from liftos_pipelines.spine.payloads import LlmRegressionDetected

CALLS = inputs("sources/llm_calls", "llm/call_scores")
SEED = 7
PRECEDENTS = 5
"""Memories that are looked at for each use case."""
BEFORE_AND_AFTER = (
    *("prompt_name", "model", "prompt_version", "previous_model", "previous_version", "metric", "switched_at"),
    *("estimate", "low", "high", "p_value_adjusted", "n_before", "n_after"),
)


@lift_asset("llm/regressions", ins=CALLS, kinds={"polars"}, code_version="2")
def regressions(
    context: dg.AssetExecutionContext, llm_calls: pl.DataFrame, call_scores: pl.DataFrame, spine: SpineResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """Each prompt's newest deployment against the one it took over from, metric by metric, with intervals and verdicts
    that may be looked at daily; what got worse raises an event."""
    if llm_calls.is_empty():
        return skipped("llm/regressions", "llm_calls")
    compared = regressions_of(_measured(llm_calls, call_scores))
    told = outbox(context, spine)
    worse = compared.filter(pl.col("verdict") == WORSE)
    for row in worse.iter_rows(named=True):
        payload = LlmRegressionDetected(**{name: row[name] for name in BEFORE_AND_AFTER})
        told.raise_event(context.partition_key, payload, occurred_at=row["switched_at"])
    return result(
        compared,
        worse=worse.height,
        judged=compared.filter(pl.col("verdict") != TOO_FEW).height,
        found=compared.filter(~pl.col("verdict").is_in([SAME, TOO_FEW])).select(
            "prompt_name", "prompt_version", "metric", "estimate", "low", "high", "verdict"
        ),
    )


@lift_asset("llm/leaderboard", ins=CALLS, kinds={"polars"}, code_version="2")
def leaderboard(
    context: dg.AssetExecutionContext, llm_calls: pl.DataFrame, call_scores: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """Prompt versions and models ranked by use case and metric, each rank with its 90 % interval and P(best)."""
    if llm_calls.is_empty():
        return skipped("llm/leaderboard", "llm_calls")
    ranked = ranks_of(_measured(llm_calls, call_scores), SEED)
    first = ranked.filter(pl.col("rank") == 1)
    return result(
        ranked,
        use_cases=ranked["use_case"].n_unique(),
        clear_winners=((first["rank_high"] == 1) & (first["p_best"] < 1)).sum(),
        leading=first.select("use_case", "metric", "prompt_version", "model", "value", "rank_high", "p_best"),
    )


@lift_asset("llm/drift", ins=CALLS, kinds={"polars", "scikitlearn"}, code_version="2")
def drift(
    context: dg.AssetExecutionContext, llm_calls: pl.DataFrame, call_scores: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """Whether inputs and outputs of each prompt and model are still what they were: the newest week against the four
    before, days being what is counted."""
    if llm_calls.is_empty():
        return skipped("llm/drift", "llm_calls")
    found = drift_of(_measured(llm_calls, call_scores), SEED)
    moved = found.filter("drifted")
    return result(
        found,
        tests=found["p_value_adjusted"].count(),
        drifted=moved.height,
        what=moved.select("prompt_name", "model", "quantity", "statistic", "p_value_adjusted"),
    )


@lift_asset(
    "llm/suggestions",
    ins=CALLS | inputs("llm/leaderboard", "llm/experiments"),
    deps=[["memory", "items"]],
    kinds={"polars"},
    code_version="1",
)
def suggestions(
    context: dg.AssetExecutionContext,
    llm_calls: pl.DataFrame,
    call_scores: pl.DataFrame,
    leaderboard: pl.DataFrame,
    experiments: pl.DataFrame,
    lake: LakeResource,
    memory: MemoryStoreResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """Prompt versions and models to try next in each use case, with what is expected of them and the grade of the
    evidence: an experiment, what was observed here, or what memory measured in similar use cases."""
    if llm_calls.is_empty():
        return skipped("llm/suggestions", "llm_calls")
    now = serving(_measured(llm_calls, call_scores))
    items = lake.get().read(context.partition_key, "memory/items")
    found = suggestions_of(now, leaderboard, experiments, _precedents(now, items, memory.get(context.partition_key)))
    counted = dict(found["evidence_grade"].value_counts().iter_rows())
    return result(found, suggestions=found.height, **{f"by_{grade}": n for grade, n in counted.items()})


def _measured(calls: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    return prepared(with_metrics(calls, scores))


def _precedents(
    now: Mapping[str, tuple[str, str, str]], items: pl.DataFrame, memory: MemoryStore
) -> Iterable[Precedent]:
    """What memory measured in use cases like each one, without what it measured in that one."""
    if "metric" not in items.columns:  # nothing was ever remembered
        return
    usable = items.filter(
        pl.col("metric").is_in([metric.name for metric in METRICS]),
        pl.col("effect").is_finite(),
        pl.col("std_error") > 0,
        pl.col("superseded_at").is_null(),
    )
    measured = {row["memory_id"]: row for row in usable.iter_rows(named=True)}
    if not measured:
        return
    for use_case, (prompt_name, _, _) in now.items():
        about = f"{use_case} {prompt_name}".replace("_", " ").replace("-", " ")
        for hit in memory.recall(f"prompt or model for {about}", PRECEDENTS, domains=("llm",)):
            row = measured.get(hit.memory_id)
            if row is None or prompt_name in str(row["context"]):
                continue
            yield Precedent(
                use_case=use_case,
                memory_id=hit.memory_id,
                action=str(row["action"]),
                metric=str(row["metric"]),
                effect=row["effect"],
                std_error=row["std_error"],
                likeness=hit.score,
                context=str(row["context"]),
            )
