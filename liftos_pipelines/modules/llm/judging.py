"""Judges of groundedness side by side: how each agrees with people's labels, with the others, and what it costs.

People's labels are what the log holds: feedback above or below zero, and whether the output says what `reference` says.
Both stand for support without being it; where there are none, agreement is unknown. A judge that knows nothing but the
output's length stands beside, as a judge worth its price must beat it.

Sources: Cohen (1960) kappa; Hanley and McNeil (1982) area under the curve; Efron (1979) percentile bootstrap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import rankdata

from liftos_pipelines.stats import FloatArray, cluster_bootstrap, percentile_interval
from liftos_pipelines.tables import table
from liftos_pipelines.text import words

BUILT_IN = "built-in"
LENGTH_ONLY = "length only"
MIN_OF_EACH = 5
"""Labelled calls of either kind below which no agreement is stated."""
REPLICATES = 400
CUT = 0.5
"""A probability below says "not supported", where two judges' yes and no are compared."""


def auroc(score: FloatArray, label: NDArray[np.bool_]) -> float:
    """Chance that a true one scores above a false one, ties half; NaN where one kind is missing."""
    good, bad = int(label.sum()), int((~label).sum())
    if not good or not bad:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[label].sum() - good * (good + 1) / 2) / (good * bad))


def kappa(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Agreement of two yes-no judges beyond chance; NaN where both always say the same one thing."""
    agreed = float((first == second).mean())
    expected = float(first.mean() * second.mean() + (1 - first.mean()) * (1 - second.mean()))
    return float("nan") if expected >= 1 else (agreed - expected) / (1 - expected)


def human_labels(calls: pl.DataFrame) -> dict[str, dict[str, bool]]:
    """By kind of label: call id to whether a person's word speaks for the output."""
    labels: dict[str, dict[str, bool]] = {"feedback": {}, "reference": {}}
    columns = ("call_id", "output", "user_feedback", "reference")
    for call_id, output, feedback, reference in calls.select(columns).iter_rows():
        if feedback:
            labels["feedback"][call_id] = feedback > 0
        wanted = set() if not reference or reference.lstrip().startswith("{") else set(words(reference))
        if wanted and output:
            labels["reference"][call_id] = wanted <= set(words(output))
    return labels


def judge_agreement(
    calls: pl.DataFrame, scores: pl.DataFrame, judgements: pl.DataFrame, *, seed: int = 0
) -> pl.DataFrame:
    """The `llm/judge_agreement` table: one row a method and metric, value null where not measured.

    Parameters
    ----------
    calls : `sources/llm_calls`
    scores : `llm/call_scores`, whose groundedness is the built-in judge's
    judgements : `llm/judgements`, of every configured judge

    Metrics: `judged` (calls), `auroc feedback`, `auroc reference`, `kappa <other>`, `latency_p95`, `cost_per_call`,
    `failed_share`. All judges are compared on calls that have a context.
    """
    contract = table("llm/judge_agreement")
    with_context = calls.filter((pl.col("context").fill_null("") != "") & (pl.col("output").fill_null("") != ""))
    if with_context.is_empty():
        return contract.empty()
    wanted = set(with_context["call_id"])
    grounded = scores.drop_nulls("groundedness").select("call_id", "groundedness").iter_rows()
    methods: dict[str, dict[str, float]] = {BUILT_IN: {call: value for call, value in grounded if call in wanted}}
    for (judge,), group in judgements.sort("judge").group_by(["judge"], maintain_order=True):
        known = group.drop_nulls("probability").select("call_id", "probability").iter_rows()
        methods[str(judge)] = {call: value for call, value in known if call in wanted}
    lengths = with_context.select("call_id", "output").iter_rows()
    # Longer answers say more that may be unsupported: the direction is fixed beforehand, not fitted.
    methods[LENGTH_ONLY] = {call: -float(len(words(output))) for call, output in lengths}
    labels = human_labels(with_context)
    rows = []
    for name, given in methods.items():
        rows.append({"method": name, "metric": "judged", "value": float(len(given)), "n": len(given)})
        for kind, truth in labels.items():
            rows.append({"method": name, "metric": f"auroc {kind}"} | _agreement(given, truth, seed))
        if name != LENGTH_ONLY:
            for other, theirs in methods.items():
                if other not in (name, LENGTH_ONLY):
                    rows.append({"method": name, "metric": f"kappa {other}"} | _mutual(given, theirs, seed))
        rows += _upkeep(name, judgements.filter(pl.col("judge") == name))
    return contract.conform(pl.DataFrame(rows, schema=contract.columns, orient="row"))


def _agreement(given: Mapping[str, float], truth: Mapping[str, bool], seed: int) -> dict[str, object]:
    shared = sorted(given.keys() & truth.keys())
    label = np.array([truth[call] for call in shared], dtype=bool)
    score = np.array([given[call] for call in shared], dtype=float)
    if min(int(label.sum()), int((~label).sum())) < MIN_OF_EACH:
        return {"value": None, "low": None, "high": None, "n": len(shared)}
    return _estimate(lambda rows: auroc(score[rows], label[rows]), len(shared), seed)


def _mutual(given: Mapping[str, float], theirs: Mapping[str, float], seed: int) -> dict[str, object]:
    shared = sorted(given.keys() & theirs.keys())
    if len(shared) < 2 * MIN_OF_EACH:
        return {"value": None, "low": None, "high": None, "n": len(shared)}
    first = np.array([given[call] >= CUT for call in shared])
    second = np.array([theirs[call] >= CUT for call in shared])
    return _estimate(lambda rows: kappa(first[rows], second[rows]), len(shared), seed)


def _estimate(statistic: Callable[[NDArray[np.int64]], float], n: int, seed: int) -> dict[str, object]:
    value = statistic(np.arange(n))
    if np.isnan(value):
        return {"value": None, "low": None, "high": None, "n": n}
    low, high = percentile_interval(cluster_bootstrap(np.arange(n), statistic, seed=seed, replicates=REPLICATES))
    return {"value": value, "low": low, "high": high, "n": n}


def _upkeep(name: str, judged: pl.DataFrame) -> list[dict[str, object]]:
    """What a configured judge took: latency, cost, and how often it failed. The built-in's are in the benchmark."""
    if judged.is_empty():
        return []
    latency = judged.drop_nulls("latency_ms")["latency_ms"]
    cost = judged.drop_nulls("cost")["cost"]
    failed = judged["error"].is_not_null()
    measured = {
        "latency_p95": (latency.quantile(0.95, "linear"), latency.len()),
        "cost_per_call": (cost.mean(), cost.len()),
        "failed_share": (failed.mean(), judged.height),
    }
    return [{"method": name, "metric": metric, "value": value, "n": n} for metric, (value, n) in measured.items()]
